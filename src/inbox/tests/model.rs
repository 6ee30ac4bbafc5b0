//! Compares the inbox with a simple model of its state machine after every step of random sequences.
//!
//! The model scans all jobs each time. The handlers are `free`, `ordered` (by `/k`) and `burst`; an event's type names
//! the handler that takes it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use rusqlite::Connection;

use crate::config::{self, Handler, OrderingMode, Retention};
use crate::inbox::complete::recover;
use crate::inbox::insert::Insertion;
use crate::inbox::operator::{BulkAction, BulkRequest, plan_bulk_update};
use crate::inbox::rejections::HourlyTotals;
use crate::inbox::replies::ReplyWaiters;
use crate::inbox::tests::database;
use crate::inbox::types::{AttemptResult, ClaimRequest, CompleteAndClaim, JobRef};
use crate::inbox::writer::retention::{Cutoffs, RetentionCursor, step};
use crate::model::event::AttemptStatus;
use crate::model::filter::JobFilter;
use crate::retry::{self, JobOutcome, RetryCounters};
use crate::routing::Routes;
use crate::support::time::Millis;
use crate::verify::VerifiedDelivery;

const HANDLERS: [&str; 3] = ["free", "ordered", "burst"];
const QUIET: i64 = 5_000;
const MAX: i64 = 20_000;
const KEPT: i64 = 600_000;

#[derive(Debug, Clone)]
enum Step {
    Receive { handler: usize, key: Option<u8> },
    Duplicate(Index),
    Claim { handler: usize, slots: usize },
    Finish { which: Index, outcome: Outcome, delay: i64 },
    UndoClaim(Index),
    FinishLate(Index),
    Operator { change: BulkAction, which: Index },
    Crash { not_started: u8 },
    DeleteExpired,
    Wait(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeds,
    Fails,
    TimesOut,
    Snoozes,
    Dies,
    Stops,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop_oneof![1 => Just(None), 3 => (0..2_u8).prop_map(Some)];
    let outcome = prop_oneof![
        3 => Just(Outcome::Succeeds), 3 => Just(Outcome::Fails), 1 => Just(Outcome::TimesOut), 1 => Just(Outcome::Snoozes),
        1 => Just(Outcome::Dies), 1 => Just(Outcome::Stops)
    ];
    let change = prop_oneof![Just(BulkAction::Retry), Just(BulkAction::Replay), Just(BulkAction::Skip)];
    let step = prop_oneof![
        6 => (0..3_usize, key).prop_map(|(handler, key)| Step::Receive { handler, key }),
        1 => any::<Index>().prop_map(Step::Duplicate),
        8 => (0..3_usize, 1..4_usize).prop_map(|(handler, slots)| Step::Claim { handler, slots }),
        6 => (any::<Index>(), outcome, 0..20_000_i64).prop_map(|(which, outcome, delay)| Step::Finish { which, outcome, delay }),
        1 => any::<Index>().prop_map(Step::UndoClaim),
        1 => any::<Index>().prop_map(Step::FinishLate),
        3 => (change, any::<Index>()).prop_map(|(change, which)| Step::Operator { change, which }),
        1 => any::<u8>().prop_map(|not_started| Step::Crash { not_started }),
        1 => Just(Step::DeleteExpired),
        4 => prop_oneof![8 => 0..8_000_i64, 1 => Just(KEPT + 1)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..90)
}

/// A job in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    seq: i64,
    handler: usize,
    key: Option<String>,
    state: &'static str,
    run_at: i64,
    attempt: u32,
    failures: u32,
    deferrals: u32,
    lost: u32,
    replays: u32,
    created_at: i64,
    finished_at: Option<i64>,
    is_unblocked: bool,
    has_payload: bool,
}

impl Job {
    fn is_open(&self) -> bool {
        matches!(self.state, "pending" | "running")
    }

    fn set_state(&mut self, state: &'static str, now: i64) {
        self.state = state;
        self.is_unblocked = false;
        self.finished_at = (!self.is_open()).then_some(now);
    }

    fn restart(&mut self, now: i64) {
        self.set_state("pending", now);
        (self.run_at, self.failures, self.deferrals, self.lost) = (now, 0, 0, 0);
    }
}

/// An attempt that the dispatcher runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InProgress {
    seq: i64,
    job: JobRef,
    is_suspect: bool,
}

struct Comparison {
    connection: Connection,
    handlers: Vec<Arc<Handler>>,
    routes: Routes,
    now: i64,
    jobs: Vec<Job>,
    in_progress: Vec<InProgress>,
    received: Vec<VerifiedDelivery>,
}

fn handlers() -> Vec<Arc<Handler>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbox.toml");
    let toml = "[sources.s]\nprovider = 'github'\nsecret = 'a-secret-that-is-long-enough'\n\
                [handlers.free]\ncommand = ['/bin/sh']\nevents = ['free']\n\
                [handlers.ordered]\ncommand = ['/bin/sh']\nevents = ['ordered']\norder_by = '/k'\n\
                [handlers.burst]\ncommand = ['/bin/sh']\nevents = ['burst']\n\
                coalesce = { key = '/k', quiet = '5s', max = '20s' }\n";
    std::fs::write(&file, toml).unwrap();
    config::read(&file, &|_| None).unwrap().handlers
}

impl Comparison {
    fn new(handlers: Vec<Arc<Handler>>) -> Self {
        let connection = database();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        let routes = Routes::new(&handlers).unwrap();
        Self { connection, handlers, routes, now: 1_000_000, jobs: vec![], in_progress: vec![], received: vec![] }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Receive { handler, key } => self.receive(*handler, *key),
            Step::Duplicate(which) if !self.received.is_empty() => {
                let again = which.get(&self.received).clone();
                assert_eq!(self.store(again), 0);
            }
            Step::Claim { handler, slots } => self.claim(*handler, *slots),
            Step::Finish { which, outcome, delay } if !self.in_progress.is_empty() => {
                let ended = self.in_progress.remove(which.index(self.in_progress.len()));
                self.finish(ended, *outcome, self.now + delay);
            }
            Step::UndoClaim(which) if !self.in_progress.is_empty() => {
                let attempt = self.in_progress.remove(which.index(self.in_progress.len()));
                self.undo_claim(attempt);
            }
            Step::FinishLate(which) if !self.jobs.is_empty() => self.finish_late(which.index(self.jobs.len())),
            Step::Operator { change, which } if !self.jobs.is_empty() => {
                self.operator_update(*change, which.index(self.jobs.len()));
            }
            Step::Crash { not_started } => self.crash(*not_started),
            Step::DeleteExpired => self.delete_expired(),
            // No attempt runs for longer than its job is kept.
            Step::Wait(span) if *span < KEPT || self.in_progress.is_empty() => self.now += span,
            _ => {}
        }
    }

    /// Outcome many events were new.
    fn store(&self, verified: VerifiedDelivery) -> u32 {
        let insertion = Insertion { routed: self.routes.route(verified), dedups_bodies: false };
        let receipt = insertion.write(&self.connection, &mut HourlyTotals::default()).unwrap().receipt;
        receipt.events() - receipt.duplicates()
    }

    fn receive(&mut self, handler: usize, key: Option<u8>) {
        let id = format!("e{}", self.received.len());
        let key = key.map(|key| format!("k{key}"));
        let body = key.as_ref().map_or("{}".to_owned(), |key| format!(r#"{{"k":"{key}"}}"#));
        let verified = VerifiedDelivery::of_test("s", (&id, HANDLERS[handler]), &body, Millis(self.now));
        self.received.push(verified.clone());
        assert_eq!(self.store(verified), 1);
        self.jobs.push(Job {
            seq: self.connection.last_insert_rowid_of_events(),
            handler,
            key: key.filter(|_| handler > 0),
            state: "pending",
            run_at: self.now,
            attempt: 0,
            failures: 0,
            deferrals: 0,
            lost: 0,
            replays: 0,
            created_at: self.now,
            finished_at: None,
            is_unblocked: false,
            has_payload: true,
        });
    }

    fn claim(&mut self, handler: usize, slots: usize) {
        self.unblock_next(handler);
        let expected = self.due(handler, slots);
        let result = CompleteAndClaim {
            max_jobs: slots,
            requests: vec![ClaimRequest {
                handler: HANDLERS[handler].into(),
                slots,
                ordering: self.handlers[handler].ordering.as_ref().map(|keyed| keyed.mode),
            }],
            running: self.in_progress.iter().map(|attempt| attempt.job).collect(),
            may_claim_suspect: !self.in_progress.iter().any(|attempt| attempt.is_suspect),
            ..CompleteAndClaim::default()
        }
        .carry_out(&self.connection, &ReplyWaiters::default(), Millis(self.now), false)
        .unwrap();
        assert_eq!(result.claimed.iter().map(|job| job.event_seq).collect::<Vec<_>>(), expected, "claimed");
        for claimed in result.claimed {
            let job = self.job(claimed.event_seq);
            job.state = "running";
            job.attempt += 1;
            assert_eq!((claimed.job.attempt, claimed.is_suspect), (job.attempt, job.lost > 0));
            let (seq, key) = (job.seq, job.key.clone());
            self.in_progress.push(InProgress { seq, job: claimed.job, is_suspect: claimed.is_suspect });
            let now = self.now;
            let is_older = |job: &&mut Job| {
                handler == 2
                    && key.is_some()
                    && job.key == key
                    && job.handler == 2
                    && job.state == "pending"
                    && job.seq < seq
            };
            self.jobs.iter_mut().filter(is_older).for_each(|job| job.set_state("skipped", now));
        }
    }

    /// Unblocks the next job of each key.
    fn unblock_next(&mut self, handler: usize) {
        for key in
            self.jobs.iter().filter(|job| job.handler == handler).filter_map(|job| job.key.clone()).collect::<Vec<_>>()
        {
            let has_key = |job: &Job| job.handler == handler && job.key.as_ref() == Some(&key);
            let is_running = |job: &Job| self.in_progress.iter().any(|attempt| attempt.seq == job.seq);
            if self.jobs.iter().any(|job| has_key(job) && is_running(job)) {
                continue;
            }
            let pending = || self.jobs.iter().filter(|job| has_key(job) && job.state == "pending");
            let first =
                if handler == 1 { pending().min_by_key(|job| job.seq) } else { pending().max_by_key(|job| job.seq) };
            let Some((first, was_unblocked)) = first.map(|job| (job.seq, job.is_unblocked)) else { continue };
            let oldest = pending().filter(|job| job.attempt == 0).min_by_key(|job| job.seq).map(|job| job.created_at);
            for job in self.jobs.iter_mut().filter(|job| has_key(job) && job.state == "pending") {
                job.is_unblocked = job.seq == first;
            }
            let job = self.job(first);
            if handler == 2 && !was_unblocked && job.run_at == job.created_at {
                job.run_at = (job.created_at + QUIET).min(oldest.unwrap_or(job.created_at) + MAX);
            }
        }
    }

    fn due(&self, handler: usize, slots: usize) -> Vec<i64> {
        let is_due = |job: &&Job| {
            job.handler == handler
                && job.state == "pending"
                && job.run_at <= self.now
                && (job.key.is_none() || job.is_unblocked)
        };
        let mut due: Vec<&Job> = self.jobs.iter().filter(is_due).collect();
        due.sort_by_key(|job| (job.run_at, job.seq));
        let (suspect, others): (Vec<&Job>, Vec<&Job>) = due.into_iter().partition(|job| job.lost > 0);
        let may_claim_suspect = !self.in_progress.iter().any(|attempt| attempt.is_suspect);
        let suspect = suspect.into_iter().filter(|_| may_claim_suspect).take(1);
        suspect.chain(others).take(slots).map(|job| job.seq).collect()
    }

    fn finish(&mut self, ended: InProgress, how: Outcome, later: i64) {
        let now = self.now;
        let is_stale = !self
            .jobs
            .iter()
            .any(|job| job.seq == ended.seq && job.state == "running" && job.attempt == ended.job.attempt);
        let mut counters = self
            .jobs
            .iter()
            .find(|job| job.seq == ended.seq)
            .map(|job| RetryCounters { failures: job.failures, deferrals: job.deferrals })
            .unwrap_or_default();
        let (status, at) = match how {
            Outcome::Succeeds => (AttemptStatus::Succeeded, None),
            Outcome::Fails | Outcome::TimesOut => {
                counters.failures += 1;
                (if how == Outcome::Fails { AttemptStatus::Failed } else { AttemptStatus::Timeout }, Some(later))
            }
            Outcome::Snoozes => {
                counters.deferrals += 1;
                (AttemptStatus::Deferred, Some(later))
            }
            Outcome::Dies => (AttemptStatus::Dead, None),
            Outcome::Stops => (AttemptStatus::Stopped, Some(now)),
        };
        let reason = || "why".to_owned();
        let outcome = match (how, at) {
            (Outcome::Succeeds, _) => JobOutcome::Succeeded,
            (_, Some(at)) => JobOutcome::Retry { at: Millis(at), counters, reason: reason() },
            (_, None) => JobOutcome::Dead { counters, reason: reason() },
        };
        let stale = self.write(ended.job, status, outcome);
        assert_eq!(stale, if is_stale { vec![ended.job] } else { vec![] }, "stale");
        if is_stale {
            return;
        }
        let job = self.job(ended.seq);
        (job.failures, job.deferrals) = (counters.failures, counters.deferrals);
        if how != Outcome::Stops {
            job.lost = 0;
        }
        match (how, at) {
            (Outcome::Succeeds, _) => job.set_state("succeeded", now),
            (_, None) => job.set_state("dead", now),
            (_, Some(at)) => {
                job.set_state("pending", now);
                job.run_at = at;
            }
        }
    }

    /// The attempt was not started: the job is as before the claim.
    fn undo_claim(&mut self, attempt: InProgress) {
        let request = CompleteAndClaim { not_started: vec![attempt.job], ..CompleteAndClaim::default() };
        request.carry_out(&self.connection, &ReplyWaiters::default(), Millis(self.now), false).unwrap();
        let now = self.now;
        let job = self.jobs.iter_mut().find(|job| job.seq == attempt.seq);
        if let Some(job) = job.filter(|job| job.state == "running" && job.attempt == attempt.job.attempt) {
            job.set_state("pending", now);
            job.attempt -= 1;
        }
    }

    /// The result of an attempt that is not in progress is refused and changes nothing.
    fn finish_late(&mut self, which: usize) {
        let job = self.jobs[which].clone();
        let number = if job.state == "running" { job.attempt.saturating_sub(1) } else { job.attempt };
        if number == 0 || self.in_progress.iter().any(|attempt| attempt.seq == job.seq && attempt.job.attempt == number)
        {
            return;
        }
        let id = "SELECT id FROM jobs WHERE event_seq = ?";
        let id = self.connection.query_row(id, [job.seq], |row| row.get(0)).unwrap();
        let late = JobRef { id, attempt: number };
        assert_eq!(self.write(late, AttemptStatus::Succeeded, JobOutcome::Succeeded), [late]);
    }

    /// Returns the stale results.
    fn write(&self, job: JobRef, status: AttemptStatus, outcome: JobOutcome) -> Vec<JobRef> {
        let now = Millis(self.now);
        let result = AttemptResult {
            job,
            status,
            outcome,
            started_at: now,
            finished_at: now,
            exit_code: None,
            http_status: None,
            signal: None,
            stdout: (vec![], 0),
            stderr: (vec![], 0),
            reply: None,
            note: None,
        };
        let request = CompleteAndClaim { results: vec![result], ..CompleteAndClaim::default() };
        request.carry_out(&self.connection, &ReplyWaiters::default(), now, false).unwrap().stale
    }

    fn operator_update(&mut self, change: BulkAction, which: usize) {
        let now = self.now;
        let filter = JobFilter { events: Some(vec![self.jobs[which].seq]), ..JobFilter::default() };
        let request = BulkRequest { change, filter, revives: true };
        let plan = plan_bulk_update(&self.connection, &request, Millis(now), None).unwrap();
        for step in plan.steps(10) {
            plan.apply(&self.connection, &step, Millis(now)).unwrap();
        }
        let is_ending = self.in_progress.iter().any(|attempt| attempt.seq == self.jobs[which].seq);
        let job = &mut self.jobs[which];
        let is_fresh = job.run_at <= now && job.failures + job.deferrals + job.lost == 0;
        let may_run = job.has_payload && !is_ending;
        match (change, job.state) {
            (BulkAction::Skip, "pending" | "running" | "dead") => job.set_state("skipped", now),
            (BulkAction::Retry, "pending") if !is_fresh && may_run => job.restart(now),
            (BulkAction::Retry, "dead" | "skipped") if may_run => job.restart(now),
            (BulkAction::Replay, "succeeded") if may_run => {
                job.restart(now);
                job.replays += 1;
            }
            _ => {}
        }
    }

    /// Each bit of `not_started` stands for one attempt.
    fn crash(&mut self, not_started: u8) {
        let now = self.now;
        let (mut waiting, mut expected, mut seqs) = (HashSet::new(), vec![], vec![]);
        for (bit, attempt) in self.in_progress.drain(..).enumerate() {
            if bit < 8 && not_started >> bit & 1 == 1 {
                waiting.insert(attempt.job);
                seqs.push(attempt.seq);
            } else {
                expected.push(attempt.job);
            }
        }
        let lost = recover(&self.connection, Millis(now), &waiting).unwrap();
        let by_id = |job: &JobRef| job.id;
        expected.sort_by_key(by_id);
        let mut lost = lost;
        lost.sort_by_key(by_id);
        assert_eq!(lost, expected, "lost");
        for job in self.jobs.iter_mut().filter(|job| job.state == "running") {
            if seqs.contains(&job.seq) {
                job.set_state("pending", now);
                job.attempt -= 1;
                continue;
            }
            job.lost += 1;
            match retry::after_loss(job.lost, RetryCounters::default(), Millis(now)) {
                JobOutcome::Retry { at, .. } => {
                    job.set_state("pending", now);
                    job.run_at = at.0;
                }
                _ => job.set_state("dead", now),
            }
        }
    }

    fn delete_expired(&mut self) {
        let span = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let keep = Retention { payloads: span(KEPT / 2), events: span(KEPT), keys: span(100 * KEPT) };
        let (cutoffs, mut cursor) = (Cutoffs::new(&keep, Millis(self.now)), RetentionCursor::Start);
        while cursor != RetentionCursor::End {
            step(&self.connection, &cutoffs, &mut cursor, false).unwrap();
        }
        let now = self.now;
        let is_over = |job: &Job, kept: i64| job.finished_at.is_some_and(|at| at < now - kept);
        self.jobs.retain(|job| !is_over(job, KEPT));
        self.jobs.iter_mut().filter(|job| is_over(job, KEPT / 2)).for_each(|job| job.has_payload = false);
    }

    fn job(&mut self, seq: i64) -> &mut Job {
        self.jobs.iter_mut().find(|job| job.seq == seq).unwrap()
    }

    fn compare(&self) {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT event_seq, handler, order_key, state, run_at, attempt, failures, deferrals, lost, replays
                 FROM jobs ORDER BY event_seq",
            )
            .unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            let columns =
                (0..10).map(|column| row.get::<_, rusqlite::types::Value>(column).map(|value| format!("{value:?}")));
            columns.collect::<Result<Vec<_>, _>>()
        };
        let stored: Vec<Vec<String>> = statement.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap();
        let in_model = |job: &Job| {
            let number = |number: i64| format!("Integer({number})");
            let text = |text: &str| format!("Text({text:?})");
            let key = job.key.as_ref().map_or("Null".to_owned(), |key| text(key));
            let mut row = vec![number(job.seq), text(HANDLERS[job.handler]), key, text(job.state), number(job.run_at)];
            row.extend(
                [job.attempt, job.failures, job.deferrals, job.lost, job.replays].map(|count| number(count.into())),
            );
            row
        };
        assert_eq!(stored, self.jobs.iter().map(in_model).collect::<Vec<_>>());
        for one in &self.in_progress {
            let key = |seq: i64| self.jobs.iter().find(|job| job.seq == seq).map(|job| (job.handler, job.key.clone()));
            let has_same_key = |other: &&InProgress| {
                key(other.seq) == key(one.seq) && key(one.seq).is_some_and(|(_, key)| key.is_some())
            };
            assert_eq!(
                self.in_progress.iter().filter(has_same_key).count().max(1),
                1,
                "two attempts of one key are in progress"
            );
        }
    }
}

/// The newest event's `seq`.
trait LastEvent {
    fn last_insert_rowid_of_events(&self) -> i64;
}

impl LastEvent for Connection {
    fn last_insert_rowid_of_events(&self) -> i64 {
        self.query_row("SELECT max(seq) FROM events", [], |row| row.get(0)).unwrap()
    }
}

fn walk(handlers: &[Arc<Handler>], steps: &[Step]) {
    let mut inbox = Comparison::new(handlers.to_vec());
    for step in steps {
        inbox.take(step);
        inbox.compare();
    }
}

#[test]
fn inbox_behaves_like_the_model() {
    let handlers = handlers();
    let spans = handlers[2].ordering.as_ref().map(|keyed| keyed.mode);
    let [quiet, max] = [QUIET, MAX].map(|millis| Duration::from_millis(millis.unsigned_abs()));
    assert_eq!(spans, Some(OrderingMode::Coalesce { quiet, max }));
    let rounds: u32 = std::env::var("HOOKBOX_TORTURE_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150 * rounds));
    runner
        .run(&steps(), |steps| {
            walk(&handlers, &steps);
            Ok(())
        })
        .unwrap();
}

/// Random steps seldom take this path.
#[test]
fn skipped_running_job_blocks_its_key_until_the_attempt_ends() {
    let same = |inbox: &mut Comparison, act: &dyn Fn(&mut Comparison)| {
        act(inbox);
        inbox.compare();
    };
    for handler in [1, 2] {
        for is_killed in [false, true] {
            let mut inbox = Comparison::new(handlers());
            let steps: [&dyn Fn(&mut Comparison); 7] = [
                &|inbox| inbox.receive(handler, Some(0)),
                &|inbox| inbox.claim(handler, 3),
                &|inbox| inbox.now += MAX,
                &|inbox| inbox.claim(handler, 3),
                &|inbox| inbox.operator_update(BulkAction::Skip, 0),
                &|inbox| inbox.receive(handler, Some(0)),
                &|inbox| inbox.claim(handler, 3),
            ];
            steps.iter().for_each(|step| same(&mut inbox, step));
            assert_eq!(
                inbox.in_progress.iter().map(|attempt| attempt.seq).collect::<Vec<_>>(),
                [1],
                "not two at the same time"
            );
            let finish: &dyn Fn(&mut Comparison) = match is_killed {
                true => &|inbox| inbox.crash(0),
                false => &|inbox| {
                    let ended = inbox.in_progress.remove(0);
                    inbox.finish(ended, Outcome::Stops, inbox.now);
                },
            };
            let steps: [&dyn Fn(&mut Comparison); 4] =
                [finish, &|inbox| inbox.claim(handler, 3), &|inbox| inbox.now += MAX, &|inbox| inbox.claim(handler, 3)];
            steps.iter().for_each(|step| same(&mut inbox, step));
            assert_eq!(inbox.in_progress.iter().map(|attempt| attempt.seq).collect::<Vec<_>>(), [2]);
            assert_eq!(inbox.jobs.iter().map(|job| job.state).collect::<Vec<_>>(), ["skipped", "running"]);
        }
    }
}
