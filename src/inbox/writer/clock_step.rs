//! Shifts the scheduled jobs after the wall clock was stepped, so that their remaining delay is unchanged.
//!
//! While hookbox is running, the dispatcher detects the step. At start a clock that was set back is recognised by rows
//! with a time in the future.

use rusqlite::{Connection, Result};

use crate::inbox::schema::PENDING;
use crate::support::time::Millis;

/// Smaller differences are no step: clocks are adjusted, and machines differ. In milliseconds.
const MIN_STEP: i64 = 2_000;

/// Shifts pending jobs by `step` milliseconds. Returns how many.
pub(super) fn shift_run_at(connection: &Connection, now: Millis, step: i64) -> Result<usize> {
    let (after, condition) = if step < 0 {
        (now.0, "")
    } else {
        // New and manually retried jobs have no delay, and may have been inserted after the step.
        (now.0.saturating_sub(step), "AND failures + deferrals + lost > 0")
    };
    let mut shifted = 0;
    for part in PENDING {
        let sql = format!(
            "UPDATE jobs SET run_at = run_at + ?1 WHERE state = 'pending' AND {part} AND run_at > ?2 {condition}"
        );
        shifted += connection.execute(&sql, (step, after))?;
    }
    Ok(shifted)
}

/// At start: shifts pending jobs if the latest row lies in the future.
pub(in crate::inbox) fn correct_at_start(connection: &Connection, now: Millis) -> Result<()> {
    let latest = "SELECT max(coalesce((SELECT received_at FROM events ORDER BY seq DESC LIMIT 1), 0),
                             coalesce((SELECT max(started_at, coalesce(finished_at, 0)) FROM attempts ORDER BY rowid DESC LIMIT 1), 0))";
    let latest: i64 = connection.query_row(latest, [], |row| row.get(0))?;
    let behind = latest - now.0;
    if behind >= MIN_STEP {
        let shifted = shift_run_at(connection, now, -behind)?;
        log::warn!("the clock is {} s behind the latest event; shifted the schedule of {shifted} jobs", behind / 1_000);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    const DAY: i64 = 86_400_000;

    /// Pending jobs: overdue, waiting for a retry, waiting after a lost attempt, new.
    fn sample(now: i64) -> Sample {
        let sample = Sample::new();
        for (id, run_at, failures, lost) in [
            ("due", now - 60_000, 1, 0),
            ("retry", now + 30_000, 2, 0),
            ("lost", now + 5_000, 0, 1),
            ("new", now, 0, 0),
        ] {
            let seq = sample.event("s", id, "t", now - 90_000);
            let job = sample.job(seq, "h", "pending");
            sample.run(&format!(
                "UPDATE jobs SET run_at = {run_at}, failures = {failures}, lost = {lost} WHERE id = {job};
                 UPDATE attempts SET started_at = {now} - 80000, finished_at = {now} - 70000"
            ));
        }
        sample
    }

    fn delays(sample: &Sample, now: i64) -> String {
        sample.line(&format!("SELECT group_concat(max(run_at - {now}, 0)) FROM (SELECT run_at FROM jobs ORDER BY id)"))
    }

    #[test]
    fn clock_step_leaves_remaining_delays_unchanged() {
        for step in [-DAY, DAY] {
            let (before, after) = (10 * DAY, 10 * DAY + step);
            let sample = sample(before);
            assert_eq!(delays(&sample, before), "0,30000,5000,0");
            shift_run_at(&sample.connection, Millis(after), step).unwrap();
            assert_eq!(delays(&sample, after), "0,30000,5000,0", "{step}");
        }
    }

    #[test]
    fn start_with_a_clock_set_back_shifts_the_schedule() {
        let sample = sample(10 * DAY);
        correct_at_start(&sample.connection, Millis(10 * DAY + 1_000)).unwrap();
        assert_eq!(delays(&sample, 10 * DAY), "0,30000,5000,0", "too small to be a step");
        correct_at_start(&sample.connection, Millis(9 * DAY)).unwrap();
        let longest: i64 = sample.line("SELECT max(run_at) FROM jobs").parse().unwrap();
        assert!(longest - 9 * DAY <= 30_000 + 70_000, "{longest}");
    }
}
