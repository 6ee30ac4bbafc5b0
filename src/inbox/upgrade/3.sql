-- From version 2 to 3: answers of handlers, the status a URL answered with, jobs by their key, dead ones by their event.
-- The tables are written as in schema.sql, to the letter.

-- Views go on to name `attempts`.
PRAGMA legacy_alter_table = ON;
ALTER TABLE attempts RENAME TO attempts_of_2;
PRAGMA legacy_alter_table = OFF;
DROP INDEX attempts_open;

CREATE TABLE attempts (
  job_id       INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  number       INTEGER NOT NULL CHECK (number >= 1),         -- 1, 2, … over all retries and replays of the job
  started_at   INTEGER NOT NULL,
  finished_at  INTEGER,                                      -- NULL while it runs
  ending       TEXT CHECK (ending IN ('succeeded', 'failed', 'timeout', 'dead', 'deferred', 'broken', 'starved',
                                      'stopped', 'lost', 'skipped')),
  exit_code    INTEGER,                                      -- NULL unless the process exited by itself
  http_status  INTEGER,                                      -- NULL unless the handler's URL answered
  signal       INTEGER,                                      -- NULL unless a signal ended it
  stdout       BLOB,                                         -- up to 16 KiB: all of it, or the first 4 KiB and the last 12 KiB; a URL's answer: the first 64 KiB
  stderr       BLOB,                                         -- likewise
  stdout_bytes INTEGER NOT NULL DEFAULT 0,                   -- how much was written in all
  stderr_bytes INTEGER NOT NULL DEFAULT 0,
  note         TEXT,                                         -- what the handler or hookbox had to say
  PRIMARY KEY (job_id, number),
  CHECK ((finished_at IS NULL) = (ending IS NULL))
) STRICT;

INSERT INTO attempts
SELECT job_id, number, started_at, finished_at, ending, exit_code, NULL, signal, stdout, stderr, stdout_bytes, stderr_bytes, note
FROM attempts_of_2;

DROP TABLE attempts_of_2;

CREATE INDEX attempts_open ON attempts (job_id) WHERE ending IS NULL;

DROP INDEX jobs_dead;
CREATE INDEX jobs_dead    ON jobs (event_seq, handler) WHERE state = 'dead';
CREATE INDEX jobs_keyed   ON jobs (handler, order_key, event_seq) WHERE order_key IS NOT NULL AND state IN ('pending', 'running');

CREATE TABLE answers (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
  status       INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
  content_type TEXT,                                         -- NULL when the handler names none
  body         BLOB    NOT NULL                              -- at most 64 KiB
) STRICT;
