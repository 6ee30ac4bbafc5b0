//! The first look: hours in their places, jobs counted per handler, the failure that came last.

use super::*;
use crate::inbox::reader::overview::pending_times;

const NOW: Millis = Millis(1000 * HOUR_MS + 5);

#[test]
fn a_day_has_24_hours_and_the_newest_is_the_last() {
    let sample = Sample::new();
    for (source, hour, accepted) in [("a", 1000, 1), ("a", 977, 2), ("a", 976, 4), ("gone", 999, 8), ("old", 900, 16)] {
        let insert = "INSERT INTO hourly_counts VALUES (?, ?, ?, 3, 5)";
        sample.connection.execute(insert, (source, hour * HOUR_MS, accepted)).unwrap();
    }
    let days = sample.reader().hourly_counts(&["quiet".to_owned(), "a".to_owned()], NOW).unwrap();
    assert_eq!(days.iter().map(|day| day.source.as_str()).collect::<Vec<_>>(), ["quiet", "a", "gone"]);
    assert_eq!(days[0].total(), HourCounts::default());
    assert_eq!(days[1].since, Millis(977 * HOUR_MS));
    assert_eq!((days[1].hours[0].accepted, days[1].hours[23].accepted), (2, 1));
    assert_eq!(days[1].total(), HourCounts { accepted: 3, duplicate: 6, refused: 10 });
}

#[test]
fn jobs_are_counted_per_handler_and_the_last_failure_is_told() {
    let sample = Sample::new();
    for (number, state) in ["pending", "pending", "running", "dead", "dead", "succeeded"].iter().enumerate() {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        sample.job(seq, "deploy", state);
    }
    let seq = sample.event("s", "else", "t", 1);
    sample.job(seq, "gone", "pending");
    sample.run(
        "UPDATE jobs SET lost = 0 WHERE id <> 1; UPDATE jobs SET created_at = 700, run_at = 50 WHERE id = 2;
         INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES ('held', 1, 'operator', 'why', 5)",
    );
    let handlers = sample.reader().handler_overview(&["idle".to_owned(), "deploy".to_owned()]).unwrap();
    let names: Vec<_> = handlers.iter().map(|handler| handler.status.handler.as_str()).collect();
    assert_eq!(names, ["idle", "deploy", "gone", "held"]);
    let deploy = &handlers[1].status;
    assert_eq!((deploy.pending, deploy.running, deploy.dead), (2, 1, 2));
    assert_eq!((deploy.oldest_pending_at, deploy.next_run_at), (Some(Millis(700)), Some(Millis(50))));
    assert_eq!(handlers[1].last_failure.as_ref().map(|job| job.id), Some(5));
    assert_eq!(handlers[2].last_failure.as_ref().map(|job| job.handler.as_str()), Some("gone"));
    assert!(handlers[0].last_failure.is_none() && !handlers[0].status.paused);
    assert_eq!(handlers[3].status.reason.as_deref(), Some("why"));
}

#[test]
fn the_oldest_pending_job_is_told_though_it_waits_for_another_of_its_value() {
    let sample = Sample::new();
    for number in 0..1_200 {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        sample.job(seq, "mail", "pending");
    }
    // The first waits behind one that runs; by its value it comes last.
    sample.run(
        "UPDATE jobs SET lost = 0, failures = 0, created_at = 1000 + id, blocked = 1, order_key = printf('%05d', 9000 - id);
         UPDATE jobs SET blocked = 0, order_key = 'free', failures = 2 WHERE id = 1200",
    );
    let mail = &sample.reader().handler_overview(&["mail".to_owned()]).unwrap()[0].status;
    assert_eq!(mail.oldest_pending_at, Some(Millis(1001)));
    assert_eq!((mail.pending, mail.blocked, mail.failing), (1_200, 1_199, 1));
    let exact = &sample.reader().handler_stats().unwrap()[0];
    assert_eq!(exact.oldest_pending_at, mail.oldest_pending_at);
    assert_eq!((exact.pending, exact.blocked, exact.failing), (1_200, 1_199, 1));
    sample.run("UPDATE jobs SET blocked = 2 WHERE id = 1");
    assert_eq!(pending_times(&sample.connection, "mail").unwrap().0, Some(Millis(1001)), "not judged yet");
}
