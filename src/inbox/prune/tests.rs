//! What goes and what stays, at every age and in every state.

use super::*;
use crate::inbox::tests::Sample;

const AGES: Ages = Ages { payloads: Millis(10_000), events: Millis(5_000), keys: Millis(1_000) };

fn pass(sample: &Sample, is_dry: bool) -> Pruned {
    let (mut place, mut pruned, mut steps) = (Place::Start, Pruned::default(), 0);
    while place != Place::End {
        pruned.add(step(&sample.connection, &AGES, &mut place, is_dry).unwrap());
        steps += 1;
        assert!(steps < 1000, "it never ends");
    }
    pruned
}

/// An event, and a job in each of these states that ended then.
fn event(sample: &Sample, id: &str, received_at: i64, jobs: &[(&str, i64)]) -> i64 {
    let seq = sample.event("s", id, "t", received_at);
    for (index, (state, ended_at)) in jobs.iter().enumerate() {
        let job = sample.job(seq, &index.to_string(), state);
        sample.run(&format!("UPDATE jobs SET finished_at = {ended_at} WHERE id = {job} AND finished_at IS NOT NULL"));
    }
    seq
}

fn sample() -> Sample {
    let sample = Sample::new();
    sample.run("PRAGMA foreign_keys = ON");
    sample
}

#[test]
fn each_thing_goes_at_its_own_age_counted_from_the_end_of_the_last_job() {
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
    assert_eq!(sample.line("SELECT count(*) FROM payloads"), "7", "a dry pass changes nothing");
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
fn a_key_goes_with_the_body_that_the_guard_remembers() {
    let sample = sample();
    let body = |byte: &str| format!("x'{}'", byte.repeat(32));
    for (id, received_at, byte) in [("old", 999, "aa"), ("kept", 1_000, "bb")] {
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s', '{id}', {received_at}, 1, {})", body(byte)));
        sample.run(&format!("INSERT INTO seen_bodies VALUES ('s', {}, '{id}')", body(byte)));
    }
    // A body that an older event brought first stays that one's.
    sample.run(&format!("INSERT INTO seen_ids VALUES ('s', 'second', 999, 1, {})", body("bb")));
    sample.run("INSERT INTO hourly_counts (source, hour) VALUES ('s', 0), ('s', 3600000)");
    assert_eq!(pass(&sample, false), Pruned { keys: 2, ..Pruned::default() });
    assert_eq!(sample.line("SELECT group_concat(event_id) FROM seen_ids"), "kept");
    assert_eq!(sample.line("SELECT group_concat(event_id) FROM seen_bodies"), "kept");
    assert_eq!(sample.line("SELECT count(*) FROM hourly_counts"), "1");
}

#[test]
fn a_pass_looks_at_what_is_old_and_a_little_further() {
    let sample = sample();
    for number in 0..3 * CHUNK {
        event(&sample, &number.to_string(), if number < CHUNK + 1 { 1 } else { 20_000 }, &[("pending", 0)]);
    }
    let mut place = Place::Start;
    for expected in [Place::Events(CHUNK as i64), Place::Events(2 * CHUNK as i64), Place::Payloads(i64::MIN)] {
        step(&sample.connection, &AGES, &mut place, false).unwrap();
        assert_eq!(place, expected);
    }
    assert_eq!(pass(&sample, false), Pruned::default());
}

#[test]
fn every_key_is_looked_at_once() {
    let sample = sample();
    for number in 0..2 * KEYS_IN_CHUNK + 1 {
        sample.run(&format!("INSERT INTO seen_ids VALUES ('s{}', '{number:05}', 1, 1, zeroblob(32))", number % 2));
    }
    assert_eq!(pass(&sample, false).keys, 2 * KEYS_IN_CHUNK + 1);
}
