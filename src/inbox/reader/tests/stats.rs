//! Counts per hour, source and handler.

use super::*;
use crate::inbox::reader::handler_stats::pending_times;

const NOW: Millis = Millis(1000 * HOUR_MS + 5);

#[test]
fn day_has_24_hours_oldest_first() {
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
fn overview_counts_jobs_per_handler_and_shows_the_last_failure() {
    let sample = Sample::new();
    for (number, state) in ["pending", "pending", "running", "dead", "dead", "succeeded"].iter().enumerate() {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        sample.job(seq, "deploy", state);
    }
    let seq = sample.event("s", "else", "t", 1);
    sample.job(seq, "gone", "pending");
    sample.run(
        "UPDATE jobs SET lost = 0 WHERE id <> 1; UPDATE jobs SET created_at = 700, run_at = 50 WHERE id = 2;
         INSERT INTO handlers (name, paused, paused_by, reason, paused_at) VALUES ('paused', 1, 'operator', 'why', 5)",
    );
    let handlers = sample.reader().handler_overview(&["idle".to_owned(), "deploy".to_owned()]).unwrap();
    let names: Vec<_> = handlers.iter().map(|handler| handler.status.handler.as_str()).collect();
    assert_eq!(names, ["idle", "deploy", "gone", "paused"]);
    let deploy = &handlers[1].status;
    assert_eq!((deploy.pending, deploy.running, deploy.dead), (2, 1, 2));
    assert_eq!((deploy.oldest_pending_at, deploy.next_run_at), (Some(Millis(700)), Some(Millis(50))));
    assert_eq!(handlers[1].last_failure.as_ref().map(|job| job.id), Some(5));
    assert_eq!(handlers[2].last_failure.as_ref().map(|job| job.handler.as_str()), Some("gone"));
    assert!(handlers[0].last_failure.is_none() && !handlers[0].status.paused);
    assert_eq!(handlers[3].status.reason.as_deref(), Some("why"));
}

#[test]
fn blocked_jobs_count_for_the_oldest_pending_job() {
    let sample = Sample::new();
    for number in 0..1_200 {
        let seq = sample.event("s", &number.to_string(), "t", 1);
        sample.job(seq, "mail", "pending");
    }
    // The oldest is blocked; by ordering key it is last.
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
    assert_eq!(pending_times(&sample.connection, "mail").unwrap().0, Some(Millis(1001)), "undecided");
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
fn last_delivery_is_exact_after_many_events_of_other_sources() {
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
