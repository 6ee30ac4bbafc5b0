//! The JSON schemas of the API, as tables of fields.
//!
//! Every field of an object is required, and there are no others. A type is `integer`, `string`, `boolean`, the name of a
//! schema, one of [`special`], or `[T]` for a list. `T?` allows null.

use serde_json::{Map, Value, json};

use crate::model::event::{EventState, JobState};

/// A time as it may be written in a filter: a duration before now, or a subset of RFC 3339 that every value of exists.
const TIME_PATTERN: &str = "^(0|[1-9][0-9]{0,3}(s|m|h|d)|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])\
     T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$";

/// Name, type and description; an empty description is left out.
type Field = (&'static str, &'static str, &'static str);

struct Schema {
    name: &'static str,
    description: &'static str,
    /// A schema whose fields come first.
    base: &'static str,
    fields: &'static [Field],
}

impl Schema {
    const fn new(name: &'static str, description: &'static str, fields: &'static [Field]) -> Self {
        Self { name, description, base: "", fields }
    }

    const fn extending(self, base: &'static str) -> Self {
        Self { base, ..self }
    }
}

const SCHEMAS: &[Schema] = &[
    Schema::new(
        "Error",
        "What is wrong, and what to do about it.",
        &[("error", "string", "One sentence."), ("hint", "string", "The next step.")],
    ),
    Schema::new(
        "Event",
        "A row of `events`, with the overall state of its jobs.",
        &[
            ("seq", "integer", "Number in order of arrival."),
            ("source", "string", ""),
            ("event_id", "string", "The provider's id."),
            ("type", "string", "Empty if the provider names none."),
            ("received_at", "integer", "Unix milliseconds."),
            ("deliveries", "integer", "The first delivery and all duplicates."),
            ("body_bytes", "integer", ""),
            ("body_sha256", "string", "Hex."),
            ("state", "event_state", ""),
        ],
    ),
    Schema::new(
        "EventDetail",
        "An event with its headers, jobs and attempts.",
        &[
            ("content_type", "string?", ""),
            ("headers", "headers", "Value by name, or a list of values. Tokens are `***`. Null if no longer stored."),
            ("jobs", "[JobDetail]", ""),
        ],
    )
    .extending("Event"),
    Schema::new("EventList", "Events, newest first.", &[("rows", "[Event]", "")]).extending("Page"),
    Schema::new(
        "Job",
        "A row of `jobs`, with columns of its event.",
        &[
            ("id", "integer", ""),
            ("event_seq", "integer", ""),
            ("source", "string", ""),
            ("event_id", "string", ""),
            ("type", "string", ""),
            ("handler", "string", ""),
            ("state", "job_state", ""),
            ("reason", "string?", "Why it is dead or skipped, or the last failure."),
            ("run_at", "integer", "When the next attempt is due, in unix milliseconds."),
            ("attempt", "integer", "Number of the newest attempt."),
            ("failures", "integer", "Failures since the last retry or replay."),
            ("deferrals", "integer", "Times the handler asked for a later attempt."),
            ("lost", "integer", "Consecutive attempts that a crash of hookbox interrupted."),
            ("replays", "integer", ""),
            ("order_key", "string?", "Ordering key."),
            (
                "blocked",
                "integer",
                "Whether another job with the same ordering key comes first: 0 no, 1 yes, 2 not yet known.",
            ),
            ("behind", "integer?", "The `seq` of the event whose job comes first, if `blocked` is 1."),
            ("created_at", "integer", "Unix milliseconds."),
            ("finished_at", "integer?", "Unix milliseconds."),
        ],
    ),
    Schema::new("JobDetail", "A job with all its attempts.", &[("attempts", "[Attempt]", "")]).extending("Job"),
    Schema::new("JobList", "Jobs, newest first.", &[("rows", "[Job]", "")]).extending("Page"),
    Schema::new(
        "Attempt",
        "A row of `attempts`: one run of a job.",
        &[
            ("job_id", "integer", ""),
            ("number", "integer", ""),
            ("started_at", "integer", "Unix milliseconds."),
            ("finished_at", "integer?", "Unix milliseconds."),
            ("status", "string?", "The result; null while it runs."),
            ("exit_code", "integer?", ""),
            ("http_status", "integer?", ""),
            ("signal", "integer?", ""),
            ("stdout", "string?", "Complete, or the first 4 KiB and the last 12 KiB."),
            ("stderr", "string?", ""),
            ("stdout_bytes", "integer", "Bytes written, including those that are not stored."),
            ("stderr_bytes", "integer", ""),
            ("note", "string?", ""),
        ],
    ),
    Schema::new(
        "Refusal",
        "A row of `refusals`: a rejected delivery.",
        &[
            ("id", "integer", ""),
            ("source", "string", ""),
            ("received_at", "integer", "Unix milliseconds."),
            ("status", "integer", "The HTTP status that the sender received."),
            ("reason", "string", ""),
            ("remote", "string?", "The client's address."),
            ("method", "string", ""),
            ("target", "string", "Path and query. Tokens are `***`."),
            ("body_bytes", "integer", ""),
            ("taken_at", "integer?", "When it was verified again and accepted, in unix milliseconds."),
        ],
    ),
    Schema::new(
        "RefusalDetail",
        "A refusal with everything that is stored of the delivery.",
        &[
            ("headers", "headers", "Value by name, or a list of values. Tokens are `***`."),
            ("body", "string", "The stored part of the body, as text."),
        ],
    )
    .extending("Refusal"),
    Schema::new("RefusalList", "Refusals, newest first.", &[("rows", "[Refusal]", "")]).extending("Page"),
    Schema::new(
        "Finding",
        "A cause of a refusal.",
        &[("what", "string", "One sentence."), ("change", "string", "The change that would accept the delivery.")],
    ),
    Schema::new(
        "Explanation",
        "Which change would have accepted a delivery.",
        &[
            ("id", "integer", ""),
            ("source", "string", ""),
            ("status", "integer", ""),
            ("reason", "string", ""),
            ("findings", "[Finding]", "The likeliest first. Empty if no change that was tried would accept it."),
            ("tried", "[string]", ""),
        ],
    ),
    Schema::new(
        "Source",
        "A source, and its deliveries.",
        &[
            ("source", "string", ""),
            ("provider", "string?", "Null if the source is no longer configured, like `path`."),
            ("path", "string?", ""),
            ("configured", "boolean", ""),
            (
                "last_at",
                "integer?",
                "Last new event, or the start of the hour of a later duplicate, in unix milliseconds.",
            ),
            ("last_at_is_hour", "boolean", "Whether `last_at` is the start of an hour."),
            ("accepted", "integer", "Within the last 24 hours, like the other counts."),
            ("duplicate", "integer", ""),
            ("refused", "integer", ""),
        ],
    ),
    Schema::new(
        "Hour",
        "Deliveries of a source in one hour.",
        &[
            ("source", "string", ""),
            ("hour", "integer", "Start of the hour, in unix milliseconds."),
            ("accepted", "integer", ""),
            ("duplicate", "integer", ""),
            ("refused", "integer", ""),
        ],
    ),
    Schema::new(
        "Handler",
        "A handler, and its unfinished jobs.",
        &[
            ("handler", "string", ""),
            ("configured", "boolean", ""),
            ("mode", "string?", "`command`, `worker` or `http`."),
            ("pending", "integer", "Counted up to 100,000, like `blocked`, `running` and `dead`."),
            ("failing", "integer", "Pending jobs whose last attempt failed, among the 1,000 that are due last."),
            ("blocked", "integer", "Pending jobs that wait for another with the same ordering key."),
            ("running", "integer", ""),
            ("dead", "integer", ""),
            ("oldest_pending_at", "integer?", "When the oldest pending job was created, in unix milliseconds."),
            ("next_run_at", "integer?", "Unix milliseconds."),
            ("paused", "boolean", ""),
            ("paused_by", "string?", "`operator` or `hookbox`."),
            ("reason", "string?", "Why it is paused."),
            ("paused_at", "integer?", "Unix milliseconds."),
            ("probes", "integer", "Failed probes since hookbox paused it."),
            ("probe_at", "integer?", "When the next probe is due, in unix milliseconds."),
            ("last_failure", "Job?", "The newest dead job, or one that waits for a retry."),
        ],
    ),
    Schema::new(
        "Status",
        "The state of the inbox, the sources and the handlers.",
        &[
            ("inbox", "string", "Path of the inbox."),
            ("ready", "boolean", "Whether a new event would be stored."),
            ("reason", "string?", "Why it is not ready."),
            ("sources", "[Source]", ""),
            ("handlers", "[Handler]", ""),
        ],
    ),
    Schema::new(
        "HandlerPause",
        "The pause state of a handler.",
        &[
            ("handler", "string", ""),
            ("changed", "boolean", "Whether the request changed something."),
            ("paused", "boolean", ""),
            ("paused_by", "string?", "`operator` or `hookbox`."),
            ("reason", "string?", ""),
            ("paused_at", "integer?", "Unix milliseconds."),
            ("probe_at", "integer?", "Unix milliseconds."),
        ],
    ),
    Schema::new(
        "BulkResult",
        "What a request on many jobs changed, or would change.",
        &[
            ("dry_run", "boolean", ""),
            ("changed", "integer", "Jobs changed."),
            ("made", "integer", "Jobs created for events that had none for the handler."),
            ("left", "counts", "Unchanged jobs by reason."),
        ],
    ),
    Schema::new(
        "BulkChange",
        "A change of many jobs in the background.",
        &[
            ("id", "integer", "When it started, in unix milliseconds."),
            ("change", "change_verb", ""),
            ("state", "change_state", "`stopped` and `failed` changes did not process all jobs."),
            ("total", "integer", "Jobs to process."),
            ("done", "integer", "Jobs processed."),
            ("changed", "integer", "Jobs changed."),
            ("made", "integer", "Jobs created for events that had none for the handler."),
            ("left", "counts", "Unchanged jobs by reason."),
            ("started_at", "integer", "Unix milliseconds."),
            ("finished_at", "integer?", "Unix milliseconds."),
            ("reason", "string?", "Why it stopped or failed."),
        ],
    ),
    Schema::new(
        "Reverification",
        "The result of verifying a refusal again.",
        &[
            ("id", "integer", ""),
            ("taken", "boolean", "Whether it was accepted."),
            ("events", "integer", "Events that it contained."),
            ("reason", "string?", "Why it was not accepted."),
        ],
    ),
];

/// Fields that all lists share, after `rows`.
const PAGE: &[Field] = &[
    ("next", "integer?", "`before` of the next page; null at the end."),
    ("cut_short", "boolean", "Whether time ran out before the page was full. Continue at `next`."),
    ("looked_at", "integer", "Rows searched."),
];

/// All schemas by name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for schema in SCHEMAS {
        let base = SCHEMAS.iter().find(|base| base.name == schema.base).map_or(&[][..], |base| base.fields);
        let page = if schema.base == "Page" { PAGE } else { &[] };
        let fields: Vec<&Field> = base.iter().chain(schema.fields).chain(page).collect();
        all.insert(schema.name.to_owned(), object(schema.description, &fields));
    }
    all.insert(
        "PauseRequest".to_owned(),
        json!({
            "type": "object",
            "properties": { "reason": { "type": ["string", "null"], "description": "Shown with the pause." } },
            "additionalProperties": false,
            "description": "An optional reason.",
        }),
    );
    all.insert("JobSelection".to_owned(), job_selection());
    Value::Object(all)
}

fn object(description: &str, fields: &[&Field]) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    let properties = fields.iter().map(|(name, kind, text)| ((*name).to_owned(), described(type_schema(kind), text)));
    json!({
        "type": "object",
        "required": required,
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
        "description": description,
    })
}

fn described(mut schema: Value, text: &str) -> Value {
    if !text.is_empty() {
        schema["description"] = text.into();
    }
    schema
}

/// The schema of a type in the notation of this module.
pub(super) fn type_schema(notation: &str) -> Value {
    if let Some(item) = notation.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({ "type": "array", "items": type_schema(item) });
    }
    let (name, is_nullable) = notation.strip_suffix('?').map_or((notation, false), |name| (name, true));
    if let Some(schema) = special(name) {
        return schema;
    }
    let is_reference = name.starts_with(char::is_uppercase);
    match (is_reference, is_nullable) {
        (true, false) => json!({ "$ref": format!("#/components/schemas/{name}") }),
        (true, true) => json!({ "oneOf": [type_schema(name), { "type": "null" }] }),
        (false, false) => json!({ "type": name }),
        (false, true) => json!({ "type": [name, "null"] }),
    }
}

fn special(name: &str) -> Option<Value> {
    Some(match name {
        "any" => json!({ "type": "object", "additionalProperties": true }),
        "headers" => json!({ "type": ["object", "null"], "additionalProperties": true }),
        "counts" => json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        "event_state" => json!({ "type": "string", "enum": event_states() }),
        "job_state" => json!({ "type": "string", "enum": job_states() }),
        "change_verb" => json!({ "type": "string", "enum": ["retry", "replay", "skip"] }),
        "change_state" => json!({ "type": "string", "enum": ["running", "done", "stopped", "failed"] }),
        _ => return None,
    })
}

/// The schema of a parameter.
pub(super) fn parameter(kind: &str) -> Value {
    let states = |states: Vec<&str>| {
        let one = states.join("|");
        json!({ "type": "string", "pattern": format!("^({one})(,({one}))*$") })
    };
    match kind {
        "id" => json!({ "type": "integer", "format": "int64" }),
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 50 }),
        "time" => json!({ "type": "string", "pattern": TIME_PATTERN }),
        "event_states" => states(event_states()),
        "job_states" => states(job_states()),
        other => json!({ "type": other }),
    }
}

/// The body of retry, replay and skip: at least one filter, or `all`.
fn job_selection() -> Value {
    let text = |text| described(json!({ "type": ["string", "null"] }), text);
    let time = |text| described(json!({ "type": ["string", "null"], "pattern": TIME_PATTERN }), text);
    let given = |name: &str, schema: Value| json!({ "required": [name], "properties": { name: schema } });
    let mut required = vec![given("state", json!({ "type": "array", "minItems": 1 }))];
    for name in ["source", "type", "since", "until", "handler", "reason"] {
        required.push(given(name, json!({ "type": "string" })));
    }
    required.push(given("events", json!({ "type": "array" })));
    required.push(given("all", json!({ "const": true })));
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "Which jobs: at least one filter, or `all`.",
        "anyOf": required,
        "properties": {
            "state": {
                "type": "array",
                "items": type_schema("job_state"),
                "description": "Any of these states. Empty matches all.",
            },
            "source": text("The exact name."),
            "type": text("A type with all types below it, or a glob."),
            "since": time("RFC 3339, or a duration before now such as 2h."),
            "until": time("RFC 3339, or a duration before now such as 2h."),
            "handler": text("The exact name."),
            "reason": text("The exact reason, or a glob."),
            "events": {
                "type": ["array", "null"],
                "items": parameter("id"),
                "maxItems": 1000,
                "description": "The `seq` of each event.",
            },
            "finished_before": time("Excludes jobs that finished at this time or later."),
            "all": { "type": "boolean", "description": "Selects all jobs that the operation applies to." },
            "dry_run": { "type": "boolean", "description": "Counts the jobs without changing them." },
        },
    })
}

fn event_states() -> Vec<&'static str> {
    EventState::ALL.iter().map(|state| state.as_str()).collect()
}

fn job_states() -> Vec<&'static str> {
    JobState::ALL.iter().map(|state| state.as_str()).collect()
}
