//! The first look: hours in their places, jobs counted per handler, the failure that came last.

use super::*;

const HOUR: i64 = 3_600_000;
const NOW: Millis = Millis(1000 * HOUR + 5);

#[test]
fn a_day_has_24_hours_and_the_newest_is_the_last() {
    let sample = Sample::new();
    for (source, hour, accepted) in [("a", 1000, 1), ("a", 977, 2), ("a", 976, 4), ("gone", 999, 8), ("old", 900, 16)] {
        let insert = "INSERT INTO hours VALUES (?, ?, ?, 3, 5)";
        sample.connection.execute(insert, (source, hour * HOUR, accepted)).unwrap();
    }
    let days = days(&sample.connection, &["quiet".to_owned(), "a".to_owned()], NOW).unwrap();
    assert_eq!(days.iter().map(|day| day.source.as_str()).collect::<Vec<_>>(), ["quiet", "a", "gone"]);
    assert_eq!(days[0].total(), Hour::default());
    assert_eq!(days[1].since, Millis(977 * HOUR));
    assert_eq!((days[1].hours[0].accepted, days[1].hours[23].accepted), (2, 1));
    assert_eq!(days[1].total(), Hour { accepted: 3, duplicate: 6, refused: 10 });
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
    let handlers = handlers_now(&sample.connection, &["idle".to_owned(), "deploy".to_owned()]).unwrap();
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
