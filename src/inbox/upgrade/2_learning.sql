
-- Sources whose handshake may teach hookbox their secret now: `hookbox learn`.
CREATE TABLE learning (
  source     TEXT    PRIMARY KEY,
  open_until INTEGER NOT NULL                                -- believed before that, while no secret is known
) STRICT, WITHOUT ROWID;
