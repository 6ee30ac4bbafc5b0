//! Retry, replay and skip: which jobs they change, which they skip and why.

use crate::inbox::operator::*;
use crate::inbox::tests::Sample;
use crate::model::event::JobState;
use crate::model::filter::JobFilter;
use crate::support::time::Millis;

const NOW: Millis = Millis(5000);

/// One job per state, each for its own event, in the order of [`JobState::ALL`].
fn one_of_each() -> Sample {
    let sample = Sample::new();
    for state in JobState::ALL {
        let seq = sample.event("s", state.as_str(), "t", 1);
        sample.job(seq, "deploy", state.as_str());
    }
    sample
}

fn carry_out(sample: &Sample, wish: &BulkRequest) -> (BulkPlan, BulkResult) {
    let mut file = InboxFile::open(&sample.path()).unwrap();
    let plan = file.reader().plan_bulk_update(wish, NOW, None).unwrap();
    let tally = file.bulk_update(&plan, NOW, |_| true).unwrap();
    (plan, tally)
}

fn wish(change: BulkAction) -> BulkRequest {
    BulkRequest { change, filter: JobFilter::default(), revives: false }
}

fn left(plan: &BulkPlan) -> Vec<(SkipReason, usize)> {
    plan.left.clone().into_iter().collect()
}

fn states(sample: &Sample) -> String {
    sample.line("SELECT group_concat(state) FROM (SELECT state FROM jobs ORDER BY id)")
}

#[test]
fn retry_resets_failures_of_jobs_that_have_not_succeeded() {
    let sample = one_of_each();
    let (plan, tally) = carry_out(&sample, &wish(BulkAction::Retry));
    assert_eq!(tally, BulkResult { changed: 2, made: 0, overtaken: 0 });
    assert_eq!(left(&plan), [(SkipReason::Succeeded, 1), (SkipReason::Running, 1), (SkipReason::Skipped, 1)]);
    assert_eq!(states(&sample), "pending,running,succeeded,pending,skipped");
    let row = "SELECT run_at, attempt, failures, deferrals, lost, replays, reason, finished_at FROM jobs WHERE id = 4";
    assert_eq!(sample.line(row), "5000|1|0|0|0|0||");
}

#[test]
fn retry_revives_skipped_jobs_only_if_they_are_named() {
    let sample = one_of_each();
    let (plan, _) = carry_out(&sample, &BulkRequest { revives: true, ..wish(BulkAction::Retry) });
    assert_eq!(left(&plan), [(SkipReason::Succeeded, 1), (SkipReason::Running, 1)]);
    assert_eq!(states(&sample), "pending,running,succeeded,pending,pending");
}

#[test]
fn retry_skips_due_jobs_without_failures() {
    let sample = Sample::new();
    let seq = sample.event("s", "a", "t", 1);
    sample.job(seq, "deploy", "pending");
    sample.run("UPDATE jobs SET failures = 0, lost = 0");
    assert_eq!(left(&carry_out(&sample, &wish(BulkAction::Retry)).0), [(SkipReason::Due, 1)]);
    sample.run("UPDATE jobs SET blocked = 1, order_key = 'a'");
    assert_eq!(left(&carry_out(&sample, &wish(BulkAction::Retry)).0), [(SkipReason::Blocked, 1)]);
    sample.run("UPDATE jobs SET blocked = 0, run_at = 5001");
    assert_eq!(carry_out(&sample, &wish(BulkAction::Retry)).1.changed, 1);
    assert_eq!(sample.line("SELECT run_at FROM jobs"), "5000");
}

#[test]
fn replay_runs_succeeded_jobs_again_and_counts() {
    let sample = one_of_each();
    let (plan, tally) = carry_out(&sample, &wish(BulkAction::Replay));
    assert_eq!(tally.changed, 1);
    assert_eq!(
        left(&plan),
        [(SkipReason::Dead, 1), (SkipReason::Pending, 1), (SkipReason::Running, 1), (SkipReason::Skipped, 1)]
    );
    assert_eq!(sample.line("SELECT state, replays, attempt, run_at FROM jobs WHERE id = 3"), "pending|1|1|5000");
}

#[test]
fn skip_cancels_jobs_and_leaves_running_attempts_to_serve() {
    let sample = one_of_each();
    let (plan, tally) = carry_out(&sample, &wish(BulkAction::Skip));
    assert_eq!(tally.changed, 3);
    assert_eq!(left(&plan), [(SkipReason::Succeeded, 1), (SkipReason::Skipped, 1)]);
    assert_eq!(states(&sample), "skipped,skipped,succeeded,skipped,skipped");
    assert_eq!(sample.line("SELECT reason, finished_at FROM jobs WHERE id = 2"), "by operator|5000");
    assert_eq!(sample.line("SELECT count(*) FROM attempts WHERE finished_at IS NULL"), "1");
}

#[test]
fn skipped_job_runs_again_only_after_its_attempt_finished() {
    let sample = one_of_each();
    carry_out(&sample, &wish(BulkAction::Skip));
    let (plan, tally) = carry_out(&sample, &BulkRequest { revives: true, ..wish(BulkAction::Retry) });
    assert_eq!(left(&plan), [(SkipReason::Succeeded, 1), (SkipReason::Ending, 1)]);
    assert_eq!(tally.changed, 3);
    assert_eq!(sample.line("SELECT state FROM jobs WHERE id = 2"), "skipped");
}

#[test]
fn job_without_payload_does_not_run_again() {
    let sample = one_of_each();
    sample.run("DELETE FROM payloads");
    let (plan, _) = carry_out(&sample, &wish(BulkAction::Replay));
    assert_eq!(plan.left[&SkipReason::Pruned], 1);
    assert!(plan.len() == 0);
}

#[test]
fn jobs_changed_since_the_plan_are_left_alone() {
    let sample = one_of_each();
    let mut file = InboxFile::open(&sample.path()).unwrap();
    let plan = file.reader().plan_bulk_update(&wish(BulkAction::Retry), NOW, None).unwrap();
    sample.run("UPDATE jobs SET state = 'running' WHERE id = 1; DELETE FROM jobs WHERE id = 4");
    assert_eq!(file.bulk_update(&plan, NOW, |_| true).unwrap(), BulkResult { changed: 0, made: 0, overtaken: 2 });
    assert_eq!(sample.line("SELECT state FROM jobs WHERE id = 1"), "running");
}

#[test]
fn replay_creates_a_job_for_a_handler_without_one() {
    let sample = Sample::new();
    for (id, event_type) in [("a", "push"), ("b", "push"), ("c", "star"), ("d", "push"), ("e", "push")] {
        sample.event("github", id, event_type, 1);
    }
    sample.job(2, "mail", "succeeded");
    sample.job(4, "other", "dead");
    sample.run("DELETE FROM payloads WHERE event_seq = 5");
    let takes = |source: &str, event_type: &str, body: &[u8]| {
        assert_eq!((source, body), ("github", &b"{}"[..]));
        event_type == "push"
    };
    let filter = JobFilter { handler: Some("mail".into()), ..JobFilter::default() };
    let mut file = InboxFile::open(&sample.path()).unwrap();
    let wish = BulkRequest { filter: filter.clone(), ..wish(BulkAction::Replay) };
    let mut planned = file.reader().plan_bulk_update(&wish, NOW, None).unwrap();
    sample.run("INSERT INTO payloads SELECT 5, '{}', NULL, CAST('{}' AS BLOB)");
    let missing = MissingJobs { handler: "mail", reads_payload: true, takes: &takes, key: &|_, _| None };
    file.reader().add_missing_jobs(&mut planned, &filter, &missing).unwrap();
    sample.run("DELETE FROM payloads WHERE event_seq = 5");
    let seqs: Vec<_> = planned.events.iter().map(|job| job.event_seq).collect();
    assert_eq!((planned.jobs.len(), seqs), (1, vec![1, 4, 5]));
    assert_eq!(file.bulk_update(&planned, NOW, |_| true).unwrap(), BulkResult { changed: 1, made: 2, overtaken: 1 });
    assert_eq!(
        sample.line("SELECT group_concat(event_seq) FROM jobs WHERE handler = 'mail' AND state = 'pending'"),
        "2,1,4"
    );
    assert_eq!(
        sample.line("SELECT run_at, created_at, attempt FROM jobs WHERE event_seq = 4 AND handler = 'mail'"),
        "5000|5000|0"
    );
}

#[test]
fn large_plans_are_applied_in_steps() {
    let sample = Sample::new();
    sample.run(
        "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 600)
         INSERT INTO events (seq, source, event_id, type, received_at, body_bytes, body_sha256)
         SELECT n, 's', n, 't', n, 0, zeroblob(32) FROM n;
         INSERT INTO payloads SELECT seq, '{}', NULL, x'' FROM events;
         INSERT INTO jobs (event_seq, handler, state, run_at, created_at, finished_at)
         SELECT seq, 'deploy', 'dead', 1, 1, 1 FROM events;",
    );
    let mut file = InboxFile::open(&sample.path()).unwrap();
    let plan = file.reader().plan_bulk_update(&wish(BulkAction::Retry), NOW, None).unwrap();
    let mut steps = Vec::new();
    assert_eq!(
        file.bulk_update(&plan, NOW, |total| {
            steps.push(total.looked_at());
            true
        })
        .unwrap()
        .changed,
        600
    );
    assert_eq!(steps, [250, 500, 600]);
    assert_eq!(sample.line("SELECT count(*) FROM jobs WHERE state = 'pending'"), "600");
}
