-- The schema of hookbox's inbox. Read it with `sqlite3 -readonly hookbox.db`; only hookbox writes to it.
-- Times are Unix milliseconds; the views show them as ISO 8601 in UTC.
-- sqlite3 3.40 or later can read it.

PRAGMA application_id = 1752133474; -- 0x686f6f62, "hoob": marks the file as a hookbox inbox
PRAGMA user_version = 1;            -- version of this schema

-- One row per event, however often it was delivered. Payloads are in their own table, so that lists do not read them.
CREATE TABLE events (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,             -- order of arrival; never reused
  source      TEXT    NOT NULL,                              -- NAME in [sources.NAME]
  event_id    TEXT    NOT NULL,                              -- the provider's event id; ID#DIGEST for a further state of an object
  type        TEXT    NOT NULL,                              -- such as push or invoice.paid; '' if the provider sends none
  received_at INTEGER NOT NULL,                              -- time of the first delivery
  deliveries  INTEGER NOT NULL DEFAULT 1 CHECK (deliveries >= 1), -- the first one and all duplicates
  body_bytes  INTEGER NOT NULL CHECK (body_bytes >= 0),      -- length of the body
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32), -- SHA-256 of the body
  deviating_deliveries INTEGER NOT NULL DEFAULT 0,           -- those of the duplicates that had another body, which is not stored
  CHECK (length(CAST(event_id AS BLOB)) BETWEEN 1 AND 255),
  CHECK (length(CAST(type AS BLOB)) <= 255),
  UNIQUE (source, event_id)
) STRICT;

CREATE INDEX events_deviating ON events (source) WHERE deviating_deliveries > 0;

-- Headers and body of each event. They can be deleted before the event itself.
CREATE TABLE payloads (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE, -- the event
  headers      TEXT NOT NULL CHECK (json_valid(headers)),    -- JSON object; tokens are replaced by ***
  content_type TEXT,                                         -- as received; NULL if missing
  body         BLOB NOT NULL                                 -- the bytes exactly as received
) STRICT;

-- One row per event and matching handler, inserted in the same transaction as the event.
CREATE TABLE jobs (
  id          INTEGER PRIMARY KEY,                           -- the job's id
  event_seq   INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE, -- the event
  handler     TEXT    NOT NULL,                              -- NAME in [handlers.NAME]
  state       TEXT    NOT NULL DEFAULT 'pending'             -- an attempt is running only in state running
              CHECK (state IN ('pending', 'running', 'succeeded', 'dead', 'skipped')),
  reason      TEXT,                                          -- why the job is dead or skipped, or its last failure
  run_at      INTEGER NOT NULL,                              -- when a pending job is due
  attempt     INTEGER NOT NULL DEFAULT 0,                    -- number of the latest attempt; 0 before the first
  failures    INTEGER NOT NULL DEFAULT 0,                    -- failed attempts since the last manual retry or replay
  deferrals   INTEGER NOT NULL DEFAULT 0,                    -- times the handler deferred the job since then
  lost        INTEGER NOT NULL DEFAULT 0,                    -- consecutive attempts during which hookbox was killed
  replays     INTEGER NOT NULL DEFAULT 0,                    -- manual replays
  order_key   TEXT,                                          -- value of the handler's order_by or coalesce; NULL if none
  -- 0: may run. 1: another job with the same order_key runs first. 2: undecided, the next claim decides.
  blocked     INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1, 2)),
  created_at  INTEGER NOT NULL,                              -- when the job was inserted
  finished_at INTEGER,                                       -- when the job became succeeded, dead or skipped
  CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'dead', 'skipped'))),
  CHECK (blocked <> 1 OR state = 'pending'),
  UNIQUE (event_seq, handler)
) STRICT;

CREATE INDEX jobs_due     ON jobs (handler, run_at) WHERE state = 'pending' AND lost = 0 AND blocked = 0;
CREATE INDEX jobs_suspect ON jobs (handler, run_at) WHERE state = 'pending' AND lost > 0 AND blocked = 0;
CREATE INDEX jobs_running ON jobs (handler)         WHERE state = 'running';
CREATE INDEX jobs_dead    ON jobs (event_seq, handler) WHERE state = 'dead';
CREATE INDEX jobs_by_key  ON jobs (handler, order_key, event_seq) WHERE order_key IS NOT NULL AND state IN ('pending', 'running');
CREATE INDEX jobs_blocked ON jobs (handler, blocked, order_key) WHERE blocked > 0;
-- At most one job per ordering key is running or free to run: SQLite rejects a second one.
CREATE UNIQUE INDEX jobs_one_per_key ON jobs (handler, order_key) WHERE order_key IS NOT NULL AND blocked = 0 AND state IN ('pending', 'running');

-- One row per attempt, inserted before the handler starts and completed when it has finished.
CREATE TABLE attempts (
  job_id       INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, -- the job
  number       INTEGER NOT NULL CHECK (number >= 1),         -- 1, 2, …, counted over all retries and replays
  started_at   INTEGER NOT NULL,                             -- when the handler was started
  finished_at  INTEGER,                                      -- NULL while the attempt is running
  status       TEXT                                          -- how the attempt ended; NULL while it is running
               CHECK (status IN ('succeeded', 'failed', 'timeout', 'dead', 'deferred', 'broken', 'starved',
                                 'stopped', 'lost', 'skipped')),
  exit_code    INTEGER,                                      -- exit code of the process; NULL if it did not exit normally
  http_status  INTEGER,                                      -- status of the response from the handler's URL
  signal       INTEGER,                                      -- signal that killed the process
  stdout       BLOB,                                         -- up to 16 KiB: all of it, or the first 4 KiB and the last 12 KiB; of a URL's response the first 64 KiB
  stderr       BLOB,                                         -- up to 16 KiB, cut the same way
  stdout_bytes INTEGER NOT NULL DEFAULT 0,                   -- total bytes written to stdout
  stderr_bytes INTEGER NOT NULL DEFAULT 0,                   -- total bytes written to stderr
  note         TEXT,                                         -- message from the handler or from hookbox
  PRIMARY KEY (job_id, number),
  CHECK ((finished_at IS NULL) = (status IS NULL))
) STRICT;

CREATE INDEX attempts_open ON attempts (job_id) WHERE status IS NULL;

-- Responses of handlers with `respond`. A duplicate gets the same response.
CREATE TABLE replies (
  event_seq    INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE, -- the event
  status       INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299), -- HTTP status
  content_type TEXT,                                         -- NULL if the handler set none
  body         BLOB    NOT NULL                              -- at most 64 KiB
) STRICT;

-- Ids of deleted events, so that a replayed delivery is still recognised as a duplicate.
CREATE TABLE seen_ids (
  source      TEXT    NOT NULL,                              -- as in events
  event_id    TEXT    NOT NULL,                              -- the provider's event id
  received_at INTEGER NOT NULL,                              -- time of the first delivery
  deliveries  INTEGER NOT NULL,                              -- the first one and all duplicates
  body_sha256 BLOB    NOT NULL,                              -- SHA-256 of the body
  PRIMARY KEY (source, event_id)
) STRICT, WITHOUT ROWID;

-- The latest 1,000 rejected deliveries. At most ten per second and source are stored; the rest are only counted.
-- In addition the latest 100 requests to paths without a source, at most three per second.
CREATE TABLE refusals (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,             -- the oldest are deleted first
  source      TEXT    NOT NULL,                              -- as in events; '(none)' if no source has the path
  received_at INTEGER NOT NULL,                              -- when the request arrived
  status      INTEGER NOT NULL,                              -- HTTP status of hookbox's response
  reason      TEXT    NOT NULL,                              -- why it was rejected, for the operator
  remote      TEXT,                                          -- the client's address; NULL if unknown
  method      TEXT    NOT NULL,                              -- HTTP method
  target      TEXT    NOT NULL,                              -- path and query; tokens are replaced by ***
  headers     TEXT    NOT NULL CHECK (json_valid(headers)),  -- JSON object; tokens are replaced by ***; a list if values differ
  tokens      TEXT    NOT NULL CHECK (json_valid(tokens)),   -- where each *** was → its keyed digest, for `reverify` (see meta)
  body        BLOB    NOT NULL,                              -- the first 64 KiB, tokens replaced by ***; empty if it was not read
  body_bytes  INTEGER NOT NULL CHECK (body_bytes >= 0),      -- length of the body, or its Content-Length
  taken_at    INTEGER                                        -- when `reverify` accepted it as an event
) STRICT;

-- Digests of the bodies of sources with replay_guard = "id+body". The same body with another id is a duplicate.
CREATE TABLE seen_bodies (
  source      TEXT    NOT NULL,                              -- as in events
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32), -- SHA-256 of the body
  event_id    TEXT    NOT NULL,                              -- id of the first event with this body
  PRIMARY KEY (source, body_sha256)
) STRICT, WITHOUT ROWID;

-- Internal values: the key of the token digests, the progress of background work, and the rules that order_key was computed with.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,                                    -- such as token_key, the HMAC-SHA-256 key of refusals.tokens
  value ANY  NOT NULL                                        -- its value
) STRICT, WITHOUT ROWID;

-- Deliveries per source and hour.
CREATE TABLE hourly_counts (
  source    TEXT    NOT NULL,                                -- as in events
  hour      INTEGER NOT NULL,                                -- start of the hour
  accepted  INTEGER NOT NULL DEFAULT 0,                      -- events stored for the first time
  duplicate INTEGER NOT NULL DEFAULT 0,                      -- events that were stored before
  refused   INTEGER NOT NULL DEFAULT 0,                      -- rejected deliveries
  PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- Pause state of handlers. A handler that was never paused has no row.
CREATE TABLE handlers (
  name      TEXT    PRIMARY KEY,                             -- NAME in [handlers.NAME]
  paused    INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)), -- 1 while paused
  paused_by TEXT CHECK (paused_by IN ('operator', 'hookbox')), -- hookbox pauses a broken handler and probes it
  reason    TEXT,                                            -- why it is paused
  paused_at INTEGER,                                         -- when it was paused
  probes    INTEGER NOT NULL DEFAULT 0,                      -- failed probes since hookbox paused it
  probe_at  INTEGER,                                         -- time of the next probe
  CHECK ((paused = 1) = (paused_by IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Secrets received in a provider's handshake.
CREATE TABLE enrolled_secrets (
  source      TEXT    PRIMARY KEY,                           -- NAME in [sources.NAME]
  secret      TEXT    NOT NULL,                              -- the secret as received
  enrolled_at INTEGER NOT NULL                               -- when it was received
) STRICT, WITHOUT ROWID;

-- Sources that accept a secret from a handshake at the moment, opened by `hookbox learn`.
CREATE TABLE enrollments (
  source     TEXT    PRIMARY KEY,                            -- NAME in [sources.NAME]
  open_until INTEGER NOT NULL                                -- later handshakes are not accepted
) STRICT, WITHOUT ROWID;

-- Events, newest first, with their state.
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

-- Dead jobs and jobs that wait for a retry, with their last error.
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
  a.status,
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
FROM hourly_counts
ORDER BY hourly_counts.hour DESC, source;
