//! Lists, finds and sums over a scratch inbox: filters, pages, ambiguous names, states.
//!
//! What a person is shown must agree with the views of `schema.sql`.

use super::*;
use crate::inbox::tests::Sample;
use crate::model::event::{EventState, JobState};
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
        LookupResult::One(event) => format!("#{}", event.seq),
        LookupResult::Several(events) => {
            format!("several: {:?}", events.iter().map(|event| event.seq).collect::<Vec<_>>())
        }
        LookupResult::PrunedEvent(keys) => format!("pruned: {}/{}", keys[0].source, keys[0].event_id),
        LookupResult::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn the_state_of_an_event_is_the_one_the_view_shows_for_every_pair_of_job_states() {
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
fn filters_narrow_by_source_type_and_time() {
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
fn pages_follow_one_another_without_gap_or_overlap() {
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
fn an_event_is_found_by_id_by_source_and_id_and_by_seq() {
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
fn one_event_comes_with_headers_jobs_attempts_and_its_exact_bytes() {
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
fn serialised_keys_are_the_columns_of_the_tables() {
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

#[test]
fn status_sums_the_last_day_and_counts_jobs_by_handler() {
    let sample = Sample::new();
    let now = Millis(100 * HOUR_MS + 7);
    sample.run(&format!(
        "INSERT INTO hourly_counts VALUES ('github', {}, 5, 1, 2), ('github', {}, 7, 0, 0), ('old', {}, 1, 0, 0), ('forged', {}, 0, 0, 3)",
        100 * HOUR_MS,
        77 * HOUR_MS,
        76 * HOUR_MS,
        99 * HOUR_MS,
    ));
    let seq = sample.event("github", "a", "push", 100 * HOUR_MS + 5);
    sample.job(seq, "deploy", "dead");
    sample.job(seq, "mail", "pending");
    sample.run("INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES ('idle', 1, 'hookbox', 'no such file', 5)");
    let sources = sample.reader().source_stats(now).unwrap();
    let counted = sample.reader().handler_stats().unwrap();
    let sums = |name: &str| {
        let source = sources.iter().find(|source| source.source == name).unwrap();
        (source.last_at.map(|at| at.0), source.accepted, source.duplicate, source.refused)
    };
    assert_eq!(sums("github"), (Some(100 * HOUR_MS + 5), 12, 1, 2));
    assert_eq!(sums("old"), (Some(76 * HOUR_MS), 0, 0, 0));
    assert_eq!(sums("forged"), (None, 0, 0, 3));
    let [deploy, idle, mail] = &counted[..] else { panic!("{counted:?}") };
    assert_eq!((deploy.dead, deploy.pending, deploy.paused), (1, 0, false));
    assert_eq!((mail.pending, mail.oldest_pending_at, mail.next_run_at), (1, Some(Millis(900)), Some(Millis(1000))));
    assert_eq!((idle.paused_by.as_deref(), idle.reason.as_deref()), (Some("hookbox"), Some("no such file")));
    assert_eq!(sample.reader().handlers().unwrap(), ["deploy", "mail"]);
}

#[test]
fn the_last_delivery_of_a_source_is_told_exactly_however_many_of_others_came_since() {
    let sample = Sample::new();
    let many = |source: &str, count: i64, at: i64| {
        sample.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO events (source, event_id, type, received_at, body_bytes, body_sha256)
             SELECT '{source}', 'e' || i, 't', {at} + i, 0, zeroblob(32) FROM n"
        ));
    };
    many("many", 1500, 8 * HOUR_MS);
    many("again", 3, 8 * HOUR_MS + 5000);
    sample.event("rare", "only", "t", 9 * HOUR_MS + 1234);
    many("busy", 12_000, 9 * HOUR_MS + 2000);
    sample.run(&format!(
        "INSERT INTO hourly_counts VALUES ('many', {0}, 1500, 0, 0), ('again', {0}, 3, 0, 0), ('again', {1}, 0, 1, 0),
                                  ('rare', {1}, 1, 0, 0), ('busy', {1}, 12000, 0, 0)",
        8 * HOUR_MS,
        9 * HOUR_MS,
    ));
    let sources = sample.reader().source_stats(Millis(10 * HOUR_MS)).unwrap();
    let last: Vec<_> =
        sources.iter().map(|one| (&*one.source, one.last_at.unwrap().0, one.latest_at().unwrap().0)).collect();
    let exactly = |source, at: i64| (source, at, at);
    let hour = ("again", 9 * HOUR_MS, 10 * HOUR_MS);
    let [many, rare, busy] = [8 * HOUR_MS + 1500, 9 * HOUR_MS + 1234, 9 * HOUR_MS + 14_000];
    assert_eq!(last, [hour, exactly("busy", busy), exactly("many", many), exactly("rare", rare)]);
}

mod overview;
mod paged_list;
