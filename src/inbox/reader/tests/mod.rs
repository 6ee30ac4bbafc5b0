//! Filters, states, lookup and serialized rows, compared with the views of `schema.sql`.

mod paged_list;
mod stats;

use super::*;
use crate::inbox::tests::Sample;
use crate::model::event::{EventState, JobState};
use crate::model::filter::{ArrivalFilter, EventFilter, JobFilter, Page};
use crate::support::time::{HOUR_MS, Millis};

const ALL: Page = Page { before: None, limit: 100, deadline: None };

fn seqs(sample: &Sample, filter: &EventFilter) -> Vec<i64> {
    sample.reader().events(filter, ALL).unwrap().rows.iter().map(|event| event.seq).collect()
}

fn job_ids(sample: &Sample, filter: &JobFilter) -> Vec<i64> {
    sample.reader().jobs(filter, ALL).unwrap().rows.iter().map(|job| job.id).collect()
}

fn found(sample: &Sample, wanted: &str) -> String {
    match sample.reader().lookup(wanted).unwrap() {
        LookupResult::Event(event) => format!("#{}", event.seq),
        LookupResult::Several(events) => {
            format!("several: {:?}", events.iter().map(|event| event.seq).collect::<Vec<_>>())
        }
        LookupResult::Deleted(keys) => format!("pruned: {}/{}", keys[0].source, keys[0].event_id),
        LookupResult::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn event_state_equals_the_view_for_every_pair_of_job_states() {
    let sample = Sample::new();
    let mut expected = Vec::new();
    sample.event("s", "none", "", 1);
    expected.push(EventState::Unmatched);
    for first in JobState::ALL {
        for second in JobState::ALL {
            let seq = sample.event("s", &format!("{first}-{second}"), "", 1);
            sample.job(seq, "one", first.as_str());
            sample.job(seq, "two", second.as_str());
            let holds = |state: &EventState| [first, second].iter().any(|job| job.as_str() == state.as_str());
            expected.push(*EventState::ALL.iter().find(|state| holds(state)).unwrap());
        }
    }
    let mut listed = sample.reader().events(&EventFilter::default(), ALL).unwrap().rows;
    listed.reverse();
    assert_eq!(listed.iter().map(|event| event.state).collect::<Vec<_>>(), expected);
    for event in &listed {
        assert_eq!(sample.line(&format!("SELECT state FROM inbox WHERE seq = {}", event.seq)), event.state.as_str());
    }
    for state in EventState::ALL {
        let filter = EventFilter { states: vec![*state], ..EventFilter::default() };
        let wanted = listed.iter().rev().filter(|event| event.state == *state).map(|event| event.seq);
        assert_eq!(seqs(&sample, &filter), wanted.collect::<Vec<_>>(), "{state}");
    }
    let two = EventFilter { states: vec![EventState::Dead, EventState::Unmatched], ..EventFilter::default() };
    assert_eq!(seqs(&sample, &two).len(), expected.iter().filter(|state| two.states.contains(state)).count());
}

#[test]
fn events_and_jobs_are_filtered_by_source_type_and_time() {
    let sample = Sample::new();
    sample.event("github", "a", "push", 1000);
    sample.event("github", "b", "pull_request.opened", 2000);
    sample.event("stripe", "c", "pushed", 3000);
    let with = |change: &dyn Fn(&mut ArrivalFilter)| {
        let mut arrival = ArrivalFilter::default();
        change(&mut arrival);
        let listed = seqs(&sample, &EventFilter { arrival: arrival.clone(), ..EventFilter::default() });
        let seqs_of_jobs = job_ids(&sample, &JobFilter { arrival, ..JobFilter::default() });
        assert_eq!(listed, seqs_of_jobs);
        listed
    };
    for seq in 1..=3 {
        sample.job(seq, "deploy", "dead");
    }
    assert_eq!(with(&|_| ()), [3, 2, 1]);
    assert_eq!(with(&|arrival| arrival.source = Some("github".into())), [2, 1]);
    assert_eq!(with(&|arrival| arrival.event_type = Some("push".into())), [1]);
    assert_eq!(with(&|arrival| arrival.event_type = Some("pull_request".into())), [2]);
    assert_eq!(with(&|arrival| arrival.event_type = Some("pu*e?".into())), [3, 2]);
    assert_eq!(with(&|arrival| arrival.since = Some(Millis(2000))), [3, 2]);
    assert_eq!(with(&|arrival| arrival.until = Some(Millis(2000))), [1]);
    assert_eq!(with(&|arrival| arrival.since = Some(Millis(9000))), [] as [i64; 0]);
}

#[test]
fn jobs_are_filtered_by_state_handler_reason_and_event() {
    let sample = Sample::new();
    for (id, state) in [("a", "dead"), ("b", "skipped"), ("c", "pending")] {
        let seq = sample.event("s", id, "t", 1);
        sample.job(seq, "one", state);
        sample.job(seq, "two", state);
    }
    sample.run("UPDATE jobs SET reason = 'coalesced' WHERE id = 3");
    let by = |change: &dyn Fn(&mut JobFilter)| {
        let mut filter = JobFilter::default();
        change(&mut filter);
        job_ids(&sample, &filter)
    };
    assert_eq!(by(&|filter| filter.states = vec![JobState::Dead]), [2, 1]);
    assert_eq!(by(&|filter| filter.states = vec![JobState::Dead, JobState::Pending]), [6, 5, 2, 1]);
    assert_eq!(by(&|filter| filter.handler = Some("two".into())), [6, 4, 2]);
    assert_eq!(by(&|filter| filter.reason = Some("coal*".into())), [3]);
    assert_eq!(by(&|filter| filter.reason = Some("coal".into())), [] as [i64; 0]);
    assert_eq!(by(&|filter| filter.events = Some(vec![1, 3])), [6, 5, 2, 1]);
    assert_eq!(by(&|filter| filter.events = Some(vec![])), [] as [i64; 0]);
}

#[test]
fn pages_have_no_gap_and_no_overlap() {
    let sample = Sample::new();
    for number in 0..7 {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        sample.job(seq, "one", "dead");
    }
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page =
            sample.reader().events(&EventFilter::default(), Page { before, limit: 3, deadline: None }).unwrap().rows;
        let jobs = sample.reader().jobs(&JobFilter::default(), Page { before, limit: 3, deadline: None }).unwrap().rows;
        assert_eq!(page.len(), jobs.len());
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        seen.extend(page.iter().map(|event| event.seq));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn lookup_takes_an_id_a_source_with_id_or_a_seq() {
    let sample = Sample::new();
    sample.event("github", "a", "", 1);
    sample.event("stripe", "a", "", 1);
    sample.event("stripe", "b", "", 1);
    sample.event("stripe", "github/a", "", 1);
    sample.event("stripe", "#2", "", 1);
    sample.run("INSERT INTO seen_ids VALUES ('gone', 'old', 5, 1, zeroblob(32))");
    for (wanted, expected) in [
        ("b", "#3"),
        ("#1", "#1"),
        ("#2", "#2"),
        ("stripe/#2", "#5"),
        ("stripe/a", "#2"),
        ("a", "several: [1, 2]"),
        ("github/a", "several: [1, 4]"),
        ("stripe/github/a", "#4"),
        ("old", "pruned: gone/old"),
        ("gone/old", "pruned: gone/old"),
        ("#99", "nothing"),
        ("nope/b", "nothing"),
        ("", "nothing"),
        ("B", "nothing"),
    ] {
        assert_eq!(found(&sample, wanted), expected, "{wanted}");
    }
    assert_eq!(found(&Sample::new(), "a"), "nothing");
}

#[test]
fn event_detail_has_headers_jobs_attempts_and_the_exact_body() {
    let sample = Sample::new();
    let seq = sample.event("github", "a", "push", 1000);
    sample.job(seq, "deploy", "dead");
    sample.run("UPDATE payloads SET body = x'00ff0a'");
    let shown = serde_json::to_value(sample.reader().event_detail(seq).unwrap().unwrap()).unwrap();
    assert_eq!(shown["type"], "push");
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["body_sha256"], "0".repeat(64));
    assert_eq!(shown["headers"]["A"], "1");
    assert_eq!(shown["jobs"][0]["handler"], "deploy");
    assert_eq!(shown["jobs"][0]["attempts"][0]["status"], "failed");
    assert_eq!(shown["jobs"][0]["attempts"][0]["stderr"], "oh");
    assert_eq!(sample.reader().body(seq).unwrap().unwrap(), [0x00, 0xff, 0x0a]);
    sample.run("DELETE FROM payloads");
    let shown = serde_json::to_value(sample.reader().event_detail(seq).unwrap().unwrap()).unwrap();
    assert!(shown["headers"].is_null());
    assert_eq!(sample.reader().body(seq).unwrap(), None);
    assert!(sample.reader().event_detail(99).unwrap().is_none());
}

#[test]
fn serialized_keys_are_the_column_names() {
    let sample = Sample::new();
    let seq = sample.event("github", "a", "push", 1000);
    sample.job(seq, "deploy", "dead");
    let keys = |row: serde_json::Value, added: &[&str]| {
        let mut keys: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        keys.retain(|key| !added.contains(&key.as_str()));
        keys.sort();
        keys.join(",")
    };
    let columns = |table| {
        sample.line(&format!(
            "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info('{table}') ORDER BY name)"
        ))
    };
    let event = &sample.reader().events(&EventFilter::default(), ALL).unwrap().rows[0];
    assert_eq!(keys(serde_json::to_value(event).unwrap(), &["state"]), columns("events"));
    let job = &sample.reader().jobs(&JobFilter::default(), ALL).unwrap().rows[0];
    assert_eq!(keys(serde_json::to_value(job).unwrap(), &["source", "event_id", "type", "behind"]), columns("jobs"));
    let attempt = &sample.reader().job(job.id).unwrap().unwrap().attempts[0];
    assert_eq!(keys(serde_json::to_value(attempt).unwrap(), &[]), columns("attempts"));
}
