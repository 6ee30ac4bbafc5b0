-- hookbox's inbox, as it is today. Read it with `sqlite3 -readonly hookbox.db`; hookbox alone writes.
-- Instants are unix milliseconds; the views show them as ISO 8601 in UTC.
-- Nothing here needs more than sqlite3 3.40.

PRAGMA application_id = 1752133474; -- 0x686f6f62, "hoob": this file is a hookbox inbox
PRAGMA user_version = 3;            -- the version of this schema

-- One row per event: what happened, once, however often it was delivered. Small, so that listing never touches bodies.
CREATE TABLE events (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,             -- order of arrival; never used twice
  source      TEXT    NOT NULL,                              -- NAME of [sources.NAME]
  event_id    TEXT    NOT NULL,                              -- the provider's id
  type        TEXT    NOT NULL,                              -- such as push or invoice.paid; '' when the provider names none
  received_at INTEGER NOT NULL,                              -- of the first delivery
  deliveries  INTEGER NOT NULL DEFAULT 1 CHECK (deliveries >= 1), -- the first and all duplicates
  body_bytes  INTEGER NOT NULL CHECK (body_bytes >= 0),
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32),
  CHECK (length(CAST(event_id AS BLOB)) BETWEEN 1 AND 255),
  CHECK (length(CAST(type AS BLOB)) <= 255),
  UNIQUE (source, event_id)
) STRICT;

-- What came with an event. Apart from it, so that a body can go before its key.
CREATE TABLE payloads (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
  headers      TEXT NOT NULL CHECK (json_valid(headers)),    -- one JSON object; tokens are ***
  content_type TEXT,                                         -- as received; NULL when none came
  body         BLOB NOT NULL                                 -- the exact bytes received
) STRICT;

-- One row per event and matching handler, made in the same transaction as the event.
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

CREATE INDEX jobs_due     ON jobs (handler, run_at) WHERE state = 'pending' AND lost = 0 AND held = 0;
CREATE INDEX jobs_suspect ON jobs (handler, run_at) WHERE state = 'pending' AND lost > 0 AND held = 0;
CREATE INDEX jobs_running ON jobs (handler)         WHERE state = 'running';
CREATE INDEX jobs_dead    ON jobs (event_seq, handler) WHERE state = 'dead';
CREATE INDEX jobs_keyed   ON jobs (handler, order_key, event_seq) WHERE order_key IS NOT NULL AND state IN ('pending', 'running');
CREATE INDEX jobs_held    ON jobs (handler, held, order_key)      WHERE held > 0;
-- At most one job of a value is to run or runs: what must not run beside it cannot even be written.
CREATE UNIQUE INDEX jobs_first ON jobs (handler, order_key) WHERE order_key IS NOT NULL AND held = 0 AND state IN ('pending', 'running');

-- The ledger: one row per run of a job, written before the handler starts and completed when it has ended.
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

CREATE INDEX attempts_open ON attempts (job_id) WHERE ending IS NULL;

-- What a handler with `respond` had to say to the provider: a duplicate gets the same answer.
CREATE TABLE answers (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
  status       INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
  content_type TEXT,                                         -- NULL when the handler names none
  body         BLOB    NOT NULL                              -- at most 64 KiB
) STRICT;

-- Dedup keys of events that are gone: forgetting a body must not reopen the door to a replay.
CREATE TABLE keys (
  source      TEXT    NOT NULL,
  event_id    TEXT    NOT NULL,
  received_at INTEGER NOT NULL,                              -- of the first delivery
  deliveries  INTEGER NOT NULL,
  body_sha256 BLOB    NOT NULL,
  PRIMARY KEY (source, event_id)
) STRICT, WITHOUT ROWID;

-- A ring of the newest deliveries that were turned away; at most ten a second per source, the others only counted.
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

-- Event bodies of sources with replay_guard = "id+body": seen again under another id, one is a duplicate.
CREATE TABLE bodies (
  source      TEXT    NOT NULL,
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32),
  event_id    TEXT    NOT NULL,                              -- the first it came under
  PRIMARY KEY (source, body_sha256)
) STRICT, WITHOUT ROWID;

-- What the inbox needs to know of itself.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value ANY  NOT NULL                                        -- token_key: key of the HMAC-SHA-256 in refusals.tokens
) STRICT, WITHOUT ROWID;

-- Deliveries per source and hour.
CREATE TABLE hours (
  source    TEXT    NOT NULL,
  hour      INTEGER NOT NULL,                                -- start of the hour
  accepted  INTEGER NOT NULL DEFAULT 0,
  duplicate INTEGER NOT NULL DEFAULT 0,
  refused   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- What hookbox knows of a handler beyond its configuration.
CREATE TABLE handlers (
  name      TEXT    PRIMARY KEY,
  paused    INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  paused_by TEXT CHECK (paused_by IN ('operator', 'hookbox')), -- hookbox pauses a broken handler and probes it
  reason    TEXT,
  paused_at INTEGER,
  probes    INTEGER NOT NULL DEFAULT 0,                      -- failed probes since it broke
  probe_at  INTEGER,                                         -- the next probe of a broken handler
  CHECK ((paused = 1) = (paused_by IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Secrets that a provider's handshake taught.
CREATE TABLE learned (
  source     TEXT    PRIMARY KEY,
  secret     TEXT    NOT NULL,
  learned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sources whose handshake may teach hookbox their secret now: `hookbox learn`.
CREATE TABLE learning (
  source     TEXT    PRIMARY KEY,
  open_until INTEGER NOT NULL                                -- believed before that, while no secret is known
) STRICT, WITHOUT ROWID;

-- One line per event, newest first: when, from where, what, and how it stands.
CREATE VIEW inbox AS
SELECT
  e.seq,
  strftime('%Y-%m-%dT%H:%M:%S', e.received_at / 1000, 'unixepoch') || printf('.%03dZ', e.received_at % 1000) AS received_at,
  e.source,
  e.type,
  e.event_id,
  coalesce(
    (SELECT CASE min(CASE j.state WHEN 'running' THEN 1 WHEN 'dead' THEN 2 WHEN 'pending' THEN 3 WHEN 'succeeded' THEN 4 ELSE 5 END)
            WHEN 1 THEN 'running' WHEN 2 THEN 'dead' WHEN 3 THEN 'pending' WHEN 4 THEN 'succeeded' WHEN 5 THEN 'skipped' END
     FROM jobs j WHERE j.event_seq = e.seq),
    'unmatched') AS state,
  e.deliveries,
  e.body_bytes
FROM events e
ORDER BY e.seq DESC;

-- Dead jobs and those that wait for another try, with their last error.
CREATE VIEW failing AS
SELECT
  j.id AS job,
  e.seq,
  e.source,
  e.type,
  e.event_id,
  j.handler,
  j.state,
  j.failures,
  j.attempt,
  j.reason,
  CASE j.state WHEN 'pending'
    THEN strftime('%Y-%m-%dT%H:%M:%S', j.run_at / 1000, 'unixepoch') || printf('.%03dZ', j.run_at % 1000)
  END AS run_at,
  a.ending,
  a.exit_code,
  a.signal,
  substr(CAST(a.stderr AS TEXT), -400) AS last_error
FROM jobs j
JOIN events e ON e.seq = j.event_seq
LEFT JOIN attempts a ON a.job_id = j.id AND a.number = j.attempt
WHERE j.state = 'dead' OR (j.state = 'pending' AND j.attempt > 0)
ORDER BY j.state, j.id DESC;

-- Deliveries per source and hour, newest first.
CREATE VIEW activity AS
SELECT
  source,
  strftime('%Y-%m-%dT%H:%M:%SZ', hour / 1000, 'unixepoch') AS hour,
  accepted,
  duplicate,
  refused
FROM hours
ORDER BY hours.hour DESC, source;
