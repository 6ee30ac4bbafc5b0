-- From version 2 to 3: answers of handlers, the status a URL answered with, jobs by their key, dead ones by their event.
-- The tables are written as in schema.sql, to the letter.

-- Views and references go on to name `attempts` and `jobs`.
PRAGMA legacy_alter_table = ON;
ALTER TABLE attempts RENAME TO attempts_of_2;
ALTER TABLE jobs RENAME TO jobs_of_2;
PRAGMA legacy_alter_table = OFF;
DROP INDEX attempts_open;
DROP INDEX jobs_due;
DROP INDEX jobs_suspect;
DROP INDEX jobs_running;
DROP INDEX jobs_dead;

CREATE TABLE jobs (
  id          INTEGER PRIMARY KEY,
  event_seq   INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
  handler     TEXT    NOT NULL,                              -- NAME of [handlers.NAME]
  state       TEXT    NOT NULL DEFAULT 'pending'
              CHECK (state IN ('pending', 'running', 'succeeded', 'dead', 'skipped')),
  reason      TEXT,                                          -- why it is dead or skipped, or what the last failure was
  run_at      INTEGER NOT NULL,                              -- due then, while pending
  attempt     INTEGER NOT NULL DEFAULT 0,                    -- number of the newest attempt; 0 before the first
  failures    INTEGER NOT NULL DEFAULT 0,                    -- counted failures since the last retry or replay
  deferrals   INTEGER NOT NULL DEFAULT 0,                    -- times the handler asked for a later run, likewise
  lost        INTEGER NOT NULL DEFAULT 0,                    -- attempts in a row under which hookbox died
  replays     INTEGER NOT NULL DEFAULT 0,                    -- times a person replayed it
  order_key   TEXT,                                          -- value of the handler's order_by or coalesce; NULL when it has none
  held        INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1, 2)), -- 1 while another job of its value comes first; 2 until that is judged anew
  created_at  INTEGER NOT NULL,
  finished_at INTEGER,                                       -- when it became succeeded, dead or skipped
  CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'dead', 'skipped'))),
  CHECK (held <> 1 OR state = 'pending'),
  UNIQUE (event_seq, handler)
) STRICT;

INSERT INTO jobs
SELECT id, event_seq, handler, state, reason, run_at, attempt, failures, deferrals, lost, replays, order_key, 0, created_at, finished_at
FROM jobs_of_2;

DROP TABLE jobs_of_2;

CREATE INDEX jobs_due     ON jobs (handler, run_at) WHERE state = 'pending' AND lost = 0 AND held = 0;
CREATE INDEX jobs_suspect ON jobs (handler, run_at) WHERE state = 'pending' AND lost > 0 AND held = 0;
CREATE INDEX jobs_running ON jobs (handler)         WHERE state = 'running';
CREATE INDEX jobs_dead    ON jobs (event_seq, handler) WHERE state = 'dead';
CREATE INDEX jobs_keyed   ON jobs (handler, order_key, event_seq) WHERE order_key IS NOT NULL AND state IN ('pending', 'running');
CREATE INDEX jobs_held    ON jobs (handler, held, order_key)      WHERE held > 0;
-- At most one job of a value is to run or runs: what must not run beside it cannot even be written.
CREATE UNIQUE INDEX jobs_first ON jobs (handler, order_key) WHERE order_key IS NOT NULL AND held = 0 AND state IN ('pending', 'running');

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

CREATE TABLE answers (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
  status       INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
  content_type TEXT,                                         -- NULL when the handler names none
  body         BLOB    NOT NULL                              -- at most 64 KiB
) STRICT;
