//! Pages: their rows, their deadline, and searches by body text and id.

use std::time::{Duration, Instant};

use super::*;

/// As in `paged_list`.
const FEW_PENDING: i64 = 2000;

fn page(before: Option<i64>, limit: u32) -> Page {
    Page { before, limit, deadline: Some(Instant::now() + Duration::from_secs(60)) }
}

/// Jobs in every state for two handlers, and events without jobs, from two sources.
fn mixed() -> Sample {
    let sample = Sample::new();
    for round in 0..3 {
        for (number, state) in JobState::ALL.iter().enumerate() {
            let at = 10_000_000 * (i64::from(round) * 10 + i64::try_from(number).unwrap());
            let seq = sample.event(["a", "b"][number % 2], &format!("{round}-{state}"), "push", at);
            sample.job(seq, "one", state.as_str());
            sample.job(seq, "two", "succeeded");
            sample.event("a", &format!("{round}-{state}-none"), "ping", at + 1);
        }
    }
    sample.run("UPDATE jobs SET lost = 0 WHERE id % 3 = 0");
    sample
}

/// The rows of all pages.
fn all<T>(mut page: impl FnMut(Option<i64>) -> PagedList<T>) -> Vec<T> {
    let (mut before, mut rows) = (None, Vec::new());
    loop {
        let list = page(before);
        rows.extend(list.rows);
        match list.next {
            Some(next) => before = Some(next),
            None => return rows,
        }
    }
}

#[test]
fn pages_hold_every_row_that_passes_the_filter() {
    let sample = mixed();
    let every_event = sample.reader().events(&EventFilter::default(), page(None, 1000)).unwrap().rows;
    let every_job = sample.reader().jobs(&JobFilter::default(), page(None, 1000)).unwrap().rows;
    let times = [None, Some(Millis(100_000_000))];
    for states in EventState::ALL.iter().map(|state| vec![*state]).chain([vec![], EventState::ALL[..2].to_vec()]) {
        for (source, since, until) in [(None, 0, 0), (Some("a"), 0, 1), (None, 1, 0), (None, 0, 1), (Some("b"), 1, 0)] {
            let arrival = ArrivalFilter {
                source: source.map(str::to_owned),
                since: times[since],
                until: times[until],
                ..ArrivalFilter::default()
            };
            let filter = EventFilter { arrival, states: states.clone(), ..EventFilter::default() };
            let found = all(|before| sample.reader().events(&filter, page(before, 2)).unwrap());
            let expected = every_event.iter().filter(|event| {
                source.is_none_or(|source| source == event.source)
                    && times[since].is_none_or(|since| event.received_at >= since)
                    && times[until].is_none_or(|until| event.received_at < until)
                    && (states.is_empty() || states.contains(&event.state))
            });
            let expected: Vec<_> = expected.map(|event| event.seq).collect();
            assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
    for states in JobState::ALL.iter().map(|state| vec![*state]).chain([vec![], JobState::ALL[..3].to_vec()]) {
        for (handler, events) in [(None, None), (Some("one"), None), (None, Some(vec![3]))] {
            let filter = JobFilter {
                states: states.clone(),
                handler: handler.map(str::to_owned),
                events: events.clone(),
                ..JobFilter::default()
            };
            let found = all(|before| sample.reader().jobs(&filter, page(before, 2)).unwrap());
            let expected = every_job.iter().filter(|job| {
                handler.is_none_or(|handler| handler == job.handler)
                    && events.as_ref().is_none_or(|events| events.contains(&job.event_seq))
                    && (states.is_empty() || states.contains(&job.state))
            });
            let expected: Vec<_> = expected.map(|job| job.id).collect();
            assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
}

#[test]
fn search_stops_at_the_deadline_and_can_be_continued() {
    let sample = Sample::new();
    for number in 0..600 {
        sample.event("s", &number.to_string(), if number == 0 { "rare" } else { "t" }, 1);
    }
    let arrival = ArrivalFilter { event_type: Some("rare".into()), ..ArrivalFilter::default() };
    let filter = EventFilter { arrival, ..EventFilter::default() };
    let first = sample.reader().events(&filter, Page { deadline: Some(Instant::now()), ..page(None, 10) }).unwrap();
    assert_eq!((first.rows.len(), first.is_cut_short, first.looked_at, first.next), (0, true, 256, Some(345)));
    let second = sample.reader().events(&filter, page(first.next, 10)).unwrap();
    assert_eq!((second.rows.len(), second.is_cut_short, second.looked_at, second.next), (1, false, 344, None));
}

#[test]
fn page_of_one_handler_needs_one_batch_despite_newer_jobs_of_others() {
    let sample = Sample::new();
    sample.run("BEGIN");
    for number in 0..FEW_PENDING * 4 {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        let (handler, state) = match number {
            0..30 => ("old", "pending"),
            30..60 => ("old", "dead"),
            _ if number % 2 == 0 => ("new", "pending"),
            _ => ("new", "dead"),
        };
        let insert = "INSERT INTO jobs (event_seq, handler, state, run_at, lost, order_key, blocked, created_at, finished_at)
                      VALUES (?1, ?2, ?3, 1, ?1 % 3 = 0, ?1, (?1 % 3 = 1 AND ?3 = 'pending'), 1, nullif(?3 = 'dead', 0))";
        sample.connection.execute(insert, (seq, handler, state)).unwrap();
    }
    sample.run("COMMIT");
    for (state, ids) in [(JobState::Pending, 1..=30), (JobState::Dead, 31..=60)] {
        let filter = JobFilter { states: vec![state], handler: Some("old".into()), ..JobFilter::default() };
        let in_one_batch = |before| Page { deadline: Some(Instant::now()), ..page(before, 20) };
        let first = sample.reader().jobs(&filter, in_one_batch(None)).unwrap();
        let second = sample.reader().jobs(&filter, in_one_batch(first.next)).unwrap();
        assert_eq!((first.is_cut_short, second.is_cut_short, second.next), (false, false, None), "{state}");
        let found: Vec<_> = first.rows.iter().chain(&second.rows).map(|job| job.id).collect();
        assert_eq!(found, ids.rev().collect::<Vec<i64>>(), "{state}");
    }
}

#[test]
fn body_text_is_found_byte_for_byte() {
    let sample = Sample::new();
    for (id, body) in [("a", "{\"name\":\"Grüße\"}"), ("b", "\u{0}binary gr"), ("c", "nothing")] {
        let seq = sample.event("s", id, "t", 1);
        let update = "UPDATE payloads SET body = CAST(?2 AS BLOB) WHERE event_seq = ?1";
        sample.connection.execute(update, (seq, body)).unwrap();
    }
    let found = |text: &str| -> Vec<String> {
        let list = sample
            .reader()
            .events(&EventFilter { body_text: Some(text.to_owned()), ..EventFilter::default() }, page(None, 10))
            .unwrap();
        list.rows.into_iter().map(|event| event.event_id).collect()
    };
    assert_eq!(found("Grüße"), ["a"]);
    assert_eq!(found("gr"), ["b"]);
    assert_eq!(found("n"), ["c", "b", "a"]);
    assert_eq!(found("%"), [] as [&str; 0]);
}

#[test]
fn events_are_found_by_id_prefix() {
    let sample = Sample::new();
    for (source, id) in [("a", "evt_1"), ("b", "evt_12"), ("a", "evt_2"), ("a", "EVT_1"), ("b", "evt%1")] {
        sample.event(source, id, "t", 1);
    }
    let found = |prefix: &str, limit| -> Vec<String> {
        sample.reader().events_by_id_prefix(prefix, limit).unwrap().into_iter().map(|event| event.event_id).collect()
    };
    assert_eq!(found("evt_1", 9), ["evt_12", "evt_1"]);
    assert_eq!(found("evt_", 1), ["evt_12", "evt_1"]);
    assert_eq!(found("%", 9), [] as [&str; 0]);
}

#[test]
fn body_start_has_the_first_bytes_and_the_length() {
    let sample = Sample::new();
    let seq = sample.event("s", "a", "t", 1);
    assert_eq!(sample.reader().body_start(seq, 1).unwrap(), Some((b"{".to_vec(), 2)));
    assert_eq!(sample.reader().body_start(seq, 9).unwrap(), Some((b"{}".to_vec(), 2)));
    sample.run("DELETE FROM payloads");
    assert_eq!(sample.reader().body_start(seq, 9).unwrap(), None);
}
