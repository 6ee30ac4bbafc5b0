//! What is deleted and what is kept, at each age and in each state.

use super::*;
use crate::inbox::tests::Sample;

const CUTOFFS: Cutoffs = Cutoffs { payloads: Millis(10_000), events: Millis(5_000), ids: Millis(1_000) };

fn pass(sample: &Sample, is_dry_run: bool) -> Pruned {
    let (mut cursor, mut pruned, mut steps) = (RetentionCursor::Start, Pruned::default(), 0);
    while cursor != RetentionCursor::End {
        pruned.add(step(&sample.connection, &CUTOFFS, &mut cursor, is_dry_run).unwrap());
        steps += 1;
        assert!(steps < 1000, "the pass never ends");
    }
    pruned
}

/// An event with jobs in these states, finished at these times.
fn event(sample: &Sample, id: &str, received_at: i64, jobs: &[(&str, i64)]) -> i64 {
    let seq = sample.event("s", id, "t", received_at);
    for (index, (state, finished_at)) in jobs.iter().enumerate() {
        let job = sample.job(seq, &index.to_string(), state);
        sample
            .run(&format!("UPDATE jobs SET finished_at = {finished_at} WHERE id = {job} AND finished_at IS NOT NULL"));
    }
    seq
}

fn sample() -> Sample {
    let sample = Sample::new();
    sample.run("PRAGMA foreign_keys = ON");
    sample
}

#[test]
fn age_counts_from_the_end_of_the_last_job() {
    let sample = sample();
    event(&sample, "gone", 1_500, &[("succeeded", 4_000), ("dead", 4_999)]);
    event(&sample, "stripped", 1_500, &[("succeeded", 4_000), ("dead", 5_000)]);
    event(&sample, "whole", 1_500, &[("succeeded", 10_000)]);
    event(&sample, "open", 1_500, &[("succeeded", 2_000), ("pending", 0)]);
    event(&sample, "runs", 1_500, &[("running", 0)]);
    event(&sample, "unmatched", 1_500, &[]);
    event(&sample, "young", 20_000, &[]);
    let expected = Pruned { events: 2, payloads: 1, dead: 2, keys: 0 };
    assert_eq!(pass(&sample, true), expected);
    assert_eq!(sample.line("SELECT count(*) FROM payloads"), "7", "a dry run changes nothing");
    assert_eq!(pass(&sample, false), expected);
    assert_eq!(pass(&sample, false), Pruned::default());
    let ids = |table: &str| {
        sample
            .line(&format!("SELECT group_concat(event_id, ' ') FROM (SELECT event_id FROM {table} ORDER BY event_id)"))
    };
    assert_eq!(ids("events"), "open runs stripped whole young");
    assert_eq!(ids("events JOIN payloads ON event_seq = seq"), "open runs whole young");
    assert_eq!(ids("seen_ids"), "gone unmatched");
    assert_eq!(sample.line("SELECT count(*) FROM jobs WHERE event_seq NOT IN (SELECT seq FROM events)"), "0");
    assert_eq!(sample.line("SELECT count(*) FROM attempts WHERE job_id NOT IN (SELECT id FROM jobs)"), "0");
    let outputs = "SELECT group_concat(DISTINCT event_id) FROM attempts JOIN jobs ON id = job_id
                   JOIN events ON seq = event_seq WHERE stderr IS NULL";
    assert_eq!(sample.line(outputs), "stripped");
}

#[test]
fn expired_id_takes_its_body_digest_along() {
    let sample = sample();
    let body = |byte: &str| format!("x'{}'", byte.repeat(32));
    for (id, received_at, byte) in [("old", 999, "aa"), ("kept", 1_000, "bb")] {
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s', '{id}', {received_at}, 1, {})", body(byte)));
        sample.run(&format!("INSERT INTO seen_bodies VALUES ('s', {}, '{id}')", body(byte)));
    }
    // The digest belongs to the event that brought the body first.
    sample.run(&format!("INSERT INTO seen_ids VALUES ('s', 'second', 999, 1, {})", body("bb")));
    sample.run("INSERT INTO hourly_counts (source, hour) VALUES ('s', 0), ('s', 3600000)");
    assert_eq!(pass(&sample, false), Pruned { keys: 2, ..Pruned::default() });
    assert_eq!(sample.line("SELECT group_concat(event_id) FROM seen_ids"), "kept");
    assert_eq!(sample.line("SELECT group_concat(event_id) FROM seen_bodies"), "kept");
    assert_eq!(sample.line("SELECT count(*) FROM hourly_counts"), "1");
}

#[test]
fn pass_stops_at_events_that_are_all_too_young() {
    let sample = sample();
    for number in 0..3 * CHUNK {
        event(&sample, &number.to_string(), if number < CHUNK + 1 { 1 } else { 20_000 }, &[("pending", 0)]);
    }
    let mut cursor = RetentionCursor::Start;
    for expected in [
        RetentionCursor::Events(CHUNK as i64),
        RetentionCursor::Events(2 * CHUNK as i64),
        RetentionCursor::Payloads(i64::MIN),
    ] {
        step(&sample.connection, &CUTOFFS, &mut cursor, false).unwrap();
        assert_eq!(cursor, expected);
    }
    assert_eq!(pass(&sample, false), Pruned::default());
}

#[test]
fn every_expired_id_is_deleted() {
    let sample = sample();
    for number in 0..2 * IDS_IN_CHUNK + 1 {
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s{}', '{number:05}', 1, 1, zeroblob(32))", number % 2));
    }
    assert_eq!(pass(&sample, false).keys, 2 * IDS_IN_CHUNK + 1);
}
