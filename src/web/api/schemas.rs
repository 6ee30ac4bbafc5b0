//! The JSON schemas of the API: objects from `schemas.toml`, and those that need more than a list of fields.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::event::{EventState, JobState};

const TABLE: &str = include_str!("schemas.toml");
/// A time in a filter: a duration before now, or a subset of RFC 3339 in which every value exists.
const TIME_PATTERN: &str = "^(0|[1-9][0-9]{0,3}(s|m|h|d)|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])\
     T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$";
/// The fields that all lists share.
const PAGE: &str = "Page";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectSchema {
    description: String,
    #[serde(default)]
    extends: String,
    /// `TYPE` or `TYPE: description`, by name.
    fields: BTreeMap<String, String>,
}

/// All schemas by name.
pub(super) fn all() -> Result<Value, toml::de::Error> {
    let table: BTreeMap<String, ObjectSchema> = toml::from_str(TABLE)?;
    let mut all = Map::new();
    for (name, schema) in table.iter().filter(|(name, _)| *name != PAGE) {
        let base = table.get(&schema.extends).map(|base| &base.fields);
        let fields = base.into_iter().flatten().chain(&schema.fields);
        let properties: Map<_, _> = fields.map(|(name, field)| (name.clone(), field_schema(field))).collect();
        let schema = json!({
            "type": "object",
            "required": properties.keys().collect::<Vec<_>>(),
            "properties": properties,
            "additionalProperties": false,
            "description": schema.description,
        });
        all.insert(name.clone(), schema);
    }
    let reason = described(json!({ "type": ["string", "null"] }), "Shown with the pause.");
    let pause = json!({ "type": "object", "properties": { "reason": reason }, "additionalProperties": false });
    all.insert("PauseRequest".to_owned(), pause);
    all.insert("JobSelection".to_owned(), job_selection());
    Ok(Value::Object(all))
}

fn field_schema(field: &str) -> Value {
    let (notation, text) = field.split_once(": ").unwrap_or((field, ""));
    described(type_schema(notation), text)
}

fn described(mut schema: Value, text: &str) -> Value {
    if !text.is_empty() {
        schema["description"] = text.into();
    }
    schema
}

/// The schema of a type in the notation of `schemas.toml`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_valid_schemas() {
        let all = all().unwrap();
        let detail = &all["JobDetail"];
        assert_eq!(detail["properties"]["attempts"]["items"]["$ref"], "#/components/schemas/Attempt");
        assert_eq!(detail["properties"]["reason"]["type"], json!(["string", "null"]));
        assert!(all.get(PAGE).is_none() && all["EventList"]["properties"]["next"].is_object());
    }
}
