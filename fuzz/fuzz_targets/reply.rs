//! Random worker replies: they are parsed or rejected, count as success only if they say so, and nothing panics.
//!
//! The input is a line for job 7. `cargo fuzz run reply`

#![no_main]

use hookbox::internals::parse_worker_reply;
use hookbox::internals::AttemptExit;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const JOB: i64 = 7;

fuzz_target!(|line: &[u8]| {
    match parse_worker_reply(line, JOB) {
        Ok(AttemptExit::Completed) => assert!(is_plain_success(line), "a success that is none"),
        Ok(AttemptExit::Failed(why)) => assert!(!why.is_empty() && why.len() <= 1024, "what the ledger is to say"),
        Ok(exit) => panic!("no line means {exit}"),
        Err(why) => assert!(why.len() <= 2048, "a line may be long, what is said of it not"),
    }
});

fn is_plain_success(line: &[u8]) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return false };
    let says = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
    let bodies = ["body", "body_base64"];
    let has_two_bodies = object.get("response").is_some_and(|response| bodies.iter().all(|name| response[name].is_string()));
    object.get("id").and_then(Value::as_i64) == Some(JOB)
        && object.get("ok") == Some(&Value::Bool(true))
        && !["error", "retry_after", "dead"].into_iter().any(says)
        && !has_two_bodies
}
