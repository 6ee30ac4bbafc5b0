-- From version 1 to 2: refusals keep digests of their tokens, replay_guard its bodies, the inbox a key.
-- The tables are written as in schema.sql, to the letter.

ALTER TABLE refusals RENAME TO refusals_of_1;

CREATE TABLE refusals (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,             -- the newest 1,000 are kept
  source      TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  status      INTEGER NOT NULL,                              -- what was answered
  reason      TEXT    NOT NULL,                              -- why, in words for the operator
  remote      TEXT,                                          -- the client's address; NULL where there is none to be told
  method      TEXT    NOT NULL,
  target      TEXT    NOT NULL,                              -- path and query; tokens are ***
  headers     TEXT    NOT NULL CHECK (json_valid(headers)),  -- one JSON object; tokens are ***; a list where values differ
  tokens      TEXT    NOT NULL CHECK (json_valid(tokens)),   -- of each ***: place → keyed digest, for `reverify` (see meta)
  body        BLOB    NOT NULL,                              -- the first 64 KiB, tokens are ***; none of it when it was not read
  body_bytes  INTEGER NOT NULL CHECK (body_bytes >= 0),      -- how long it was, or was said to be
  taken_at    INTEGER                                        -- when `reverify` took it in as an event
) STRICT;

INSERT INTO refusals
SELECT id, source, received_at, status, reason, remote, method, target, headers, '{}', body, body_bytes, NULL
FROM refusals_of_1;

DROP TABLE refusals_of_1;

CREATE TABLE bodies (
  source      TEXT    NOT NULL,
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32),
  event_id    TEXT    NOT NULL,                              -- the first it came under
  PRIMARY KEY (source, body_sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value ANY  NOT NULL                                        -- token_key: key of the HMAC-SHA-256 in refusals.tokens
) STRICT, WITHOUT ROWID;

-- Start-up looks for attempts that were under way, however long the ledger is.
CREATE INDEX attempts_open ON attempts (job_id) WHERE ending IS NULL;
