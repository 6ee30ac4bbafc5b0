//! The wall clock has jumped: what waits for its time is moved along, so that it waits as long as it was to.
//!
//! While hookbox serves, the dispatcher notices and says by how much. At a start the rows themselves tell when the clock is
//! behind: something in them would lie in the future.

use rusqlite::Connection;

use crate::support::time::Millis;

/// Clocks are set and machines differ; less than this is no jump. Milliseconds.
const LEAST: i64 = 2_000;

/// Moves waiting jobs by `jump` milliseconds. How many they were.
pub(super) fn shift(connection: &Connection, now: Millis, jump: i64) -> rusqlite::Result<usize> {
    let (after, which) = if jump < 0 {
        (now.0, "")
    } else {
        // What is new or was asked for by a person waits for no time, and may have come since the jump.
        (now.0.saturating_sub(jump), "AND failures + deferrals + lost > 0")
    };
    let mut moved = 0;
    for part in ["lost = 0 AND blocked = 0", "lost > 0 AND blocked = 0", "blocked > 0"] {
        let sql =
            format!("UPDATE jobs SET run_at = run_at + ?1 WHERE state = 'pending' AND {part} AND run_at > ?2 {which}");
        moved += connection.execute(&sql, (jump, after))?;
    }
    Ok(moved)
}

/// At a start: as [`shift`], when the newest of the rows lies in the future.
pub(super) fn settle(connection: &Connection, now: Millis) -> rusqlite::Result<()> {
    let newest = "SELECT max(coalesce((SELECT received_at FROM events ORDER BY seq DESC LIMIT 1), 0),
                             coalesce((SELECT max(started_at, coalesce(finished_at, 0)) FROM attempts ORDER BY rowid DESC LIMIT 1), 0))";
    let newest: i64 = connection.query_row(newest, [], |row| row.get(0))?;
    let ahead = newest - now.0;
    if ahead >= LEAST {
        let moved = shift(connection, now, -ahead)?;
        log::warn!(
            "the clock is {} s behind what the inbox holds; {moved} waiting jobs were moved along",
            ahead / 1_000
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::Sample;

    const DAY: i64 = 86_400_000;

    /// Pending jobs: due long ago, waiting for a retry, lost and waiting, new.
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

    fn waits(sample: &Sample, now: i64) -> String {
        sample.line(&format!("SELECT group_concat(max(run_at - {now}, 0)) FROM (SELECT run_at FROM jobs ORDER BY id)"))
    }

    #[test]
    fn what_waits_goes_on_waiting_as_long_whichever_way_the_clock_jumps() {
        for jump in [-DAY, DAY] {
            let (before, after) = (10 * DAY, 10 * DAY + jump);
            let sample = sample(before);
            assert_eq!(waits(&sample, before), "0,30000,5000,0");
            shift(&sample.connection, Millis(after), jump).unwrap();
            assert_eq!(waits(&sample, after), "0,30000,5000,0", "{jump}");
        }
    }

    #[test]
    fn a_start_with_a_clock_that_was_set_back_makes_nothing_wait_for_a_day() {
        let sample = sample(10 * DAY);
        settle(&sample.connection, Millis(10 * DAY + 1_000)).unwrap();
        assert_eq!(waits(&sample, 10 * DAY), "0,30000,5000,0", "no jump");
        settle(&sample.connection, Millis(9 * DAY)).unwrap();
        let longest: i64 = sample.line("SELECT max(run_at) FROM jobs").parse().unwrap();
        assert!(longest - 9 * DAY <= 30_000 + 70_000, "{longest}");
    }
}
