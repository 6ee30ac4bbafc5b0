//! The state machine on paper beside the one in the file: after every step both must say the same.
//!
//! The model is written as plainly as can be: it looks through all jobs each time. Handlers are `free`, `ordered` (by
//! `/k`) and `burst`; an event's type names the one that takes it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use rusqlite::Connection;

use crate::config::{self, Handler, OrderingMode, Retention};
use crate::inbox::accept::Routed;
use crate::inbox::answers::Board;
use crate::inbox::operator::{BulkAction, BulkRequest, plan_bulk_update};
use crate::inbox::prune::{Ages, Place, step};
use crate::inbox::tally::Counts;
use crate::inbox::{Finished, JobRef, Turn, Wanted, recover};
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
    Claim { handler: usize, places: usize },
    End { which: Index, how: How, delay: i64 },
    TakeBack(Index),
    EndLate(Index),
    Person { change: BulkAction, which: Index },
    Crash { unbegun: u8 },
    Prune,
    Wait(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Succeeds,
    Fails,
    TimesOut,
    Snoozes,
    Dies,
    Stops,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop_oneof![1 => Just(None), 3 => (0..2_u8).prop_map(Some)];
    let how = prop_oneof![
        3 => Just(How::Succeeds), 3 => Just(How::Fails), 1 => Just(How::TimesOut), 1 => Just(How::Snoozes),
        1 => Just(How::Dies), 1 => Just(How::Stops)
    ];
    let change = prop_oneof![Just(BulkAction::Retry), Just(BulkAction::Replay), Just(BulkAction::Skip)];
    let step = prop_oneof![
        6 => (0..3_usize, key).prop_map(|(handler, key)| Step::Receive { handler, key }),
        1 => any::<Index>().prop_map(Step::Duplicate),
        8 => (0..3_usize, 1..4_usize).prop_map(|(handler, places)| Step::Claim { handler, places }),
        6 => (any::<Index>(), how, 0..20_000_i64).prop_map(|(which, how, delay)| Step::End { which, how, delay }),
        1 => any::<Index>().prop_map(Step::TakeBack),
        1 => any::<Index>().prop_map(Step::EndLate),
        3 => (change, any::<Index>()).prop_map(|(change, which)| Step::Person { change, which }),
        1 => any::<u8>().prop_map(|unbegun| Step::Crash { unbegun }),
        1 => Just(Step::Prune),
        4 => prop_oneof![8 => 0..8_000_i64, 1 => Just(KEPT + 1)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..90)
}

/// A job as it is on paper.
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
    is_first: bool,
    has_payload: bool,
}

impl Job {
    fn is_open(&self) -> bool {
        matches!(self.state, "pending" | "running")
    }

    fn becomes(&mut self, state: &'static str, now: i64) {
        self.state = state;
        self.is_first = false;
        self.finished_at = (!self.is_open()).then_some(now);
    }

    fn runs_afresh(&mut self, now: i64) {
        self.becomes("pending", now);
        (self.run_at, self.failures, self.deferrals, self.lost) = (now, 0, 0, 0);
    }
}

/// An attempt in the dispatcher's hands, by its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UnderWay {
    seq: i64,
    job: JobRef,
    is_suspect: bool,
}

struct Both {
    connection: Connection,
    handlers: Vec<Arc<Handler>>,
    routes: Routes,
    now: i64,
    jobs: Vec<Job>,
    under_way: Vec<UnderWay>,
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

impl Both {
    fn new(handlers: Vec<Arc<Handler>>) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::inbox::file::SCHEMA).unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        let routes = Routes::new(&handlers).unwrap();
        Self { connection, handlers, routes, now: 1_000_000, jobs: vec![], under_way: vec![], received: vec![] }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Receive { handler, key } => self.receive(*handler, *key),
            Step::Duplicate(which) if !self.received.is_empty() => {
                let again = which.get(&self.received).clone();
                assert_eq!(self.store(again), 0);
            }
            Step::Claim { handler, places } => self.claim(*handler, *places),
            Step::End { which, how, delay } if !self.under_way.is_empty() => {
                let ended = self.under_way.remove(which.index(self.under_way.len()));
                self.end(ended, *how, self.now + delay);
            }
            Step::TakeBack(which) if !self.under_way.is_empty() => {
                let unbegun = self.under_way.remove(which.index(self.under_way.len()));
                self.take_back(unbegun);
            }
            Step::EndLate(which) if !self.jobs.is_empty() => self.end_late(which.index(self.jobs.len())),
            Step::Person { change, which } if !self.jobs.is_empty() => {
                self.person(*change, which.index(self.jobs.len()));
            }
            Step::Crash { unbegun } => self.crash(*unbegun),
            Step::Prune => self.prune(),
            // An attempt does not outlive what is kept of its job.
            Step::Wait(span) if *span < KEPT || self.under_way.is_empty() => self.now += span,
            _ => {}
        }
    }

    /// How many events were new.
    fn store(&self, verified: VerifiedDelivery) -> u32 {
        let mut counts = Counts::default();
        let receipt = Routed::new(verified, &self.routes, false).store(&self.connection, &mut counts).unwrap().receipt;
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
            is_first: false,
            has_payload: true,
        });
    }

    fn claim(&mut self, handler: usize, places: usize) {
        self.choose_firsts(handler);
        let expected = self.due(handler, places);
        let turned = Turn {
            places,
            wanted: vec![Wanted {
                handler: HANDLERS[handler].into(),
                slots: places,
                sequence: self.handlers[handler].ordering.as_ref().map(|keyed| keyed.mode),
            }],
            running: self.under_way.iter().map(|attempt| attempt.job).collect(),
            may_claim_suspect: !self.under_way.iter().any(|attempt| attempt.is_suspect),
            ..Turn::default()
        }
        .carry_out(&self.connection, &Board::default(), Millis(self.now), false)
        .unwrap();
        assert_eq!(turned.claimed.iter().map(|job| job.event_seq).collect::<Vec<_>>(), expected, "claimed");
        for claimed in turned.claimed {
            let job = self.job(claimed.event_seq);
            job.state = "running";
            job.attempt += 1;
            assert_eq!((claimed.job.attempt, claimed.is_suspect), (job.attempt, job.lost > 0));
            let (seq, key) = (job.seq, job.key.clone());
            self.under_way.push(UnderWay { seq, job: claimed.job, is_suspect: claimed.is_suspect });
            let now = self.now;
            let is_older = |job: &&mut Job| {
                handler == 2
                    && key.is_some()
                    && job.key == key
                    && job.handler == 2
                    && job.state == "pending"
                    && job.seq < seq
            };
            self.jobs.iter_mut().filter(is_older).for_each(|job| job.becomes("skipped", now));
        }
    }

    /// The job of each value that comes first.
    fn choose_firsts(&mut self, handler: usize) {
        for key in
            self.jobs.iter().filter(|job| job.handler == handler).filter_map(|job| job.key.clone()).collect::<Vec<_>>()
        {
            let is_of_value = |job: &Job| job.handler == handler && job.key.as_ref() == Some(&key);
            let is_busy = |job: &Job| self.under_way.iter().any(|attempt| attempt.seq == job.seq);
            if self.jobs.iter().any(|job| is_of_value(job) && is_busy(job)) {
                continue;
            }
            let pending = || self.jobs.iter().filter(|job| is_of_value(job) && job.state == "pending");
            let first =
                if handler == 1 { pending().min_by_key(|job| job.seq) } else { pending().max_by_key(|job| job.seq) };
            let Some((first, was_first)) = first.map(|job| (job.seq, job.is_first)) else { continue };
            let oldest = pending().filter(|job| job.attempt == 0).min_by_key(|job| job.seq).map(|job| job.created_at);
            for job in self.jobs.iter_mut().filter(|job| is_of_value(job) && job.state == "pending") {
                job.is_first = job.seq == first;
            }
            let job = self.job(first);
            if handler == 2 && !was_first && job.run_at == job.created_at {
                job.run_at = (job.created_at + QUIET).min(oldest.unwrap_or(job.created_at) + MAX);
            }
        }
    }

    fn due(&self, handler: usize, places: usize) -> Vec<i64> {
        let is_due = |job: &&Job| {
            job.handler == handler
                && job.state == "pending"
                && job.run_at <= self.now
                && (job.key.is_none() || job.is_first)
        };
        let mut due: Vec<&Job> = self.jobs.iter().filter(is_due).collect();
        due.sort_by_key(|job| (job.run_at, job.seq));
        let (suspect, others): (Vec<&Job>, Vec<&Job>) = due.into_iter().partition(|job| job.lost > 0);
        let may_claim_suspect = !self.under_way.iter().any(|attempt| attempt.is_suspect);
        let suspect = suspect.into_iter().filter(|_| may_claim_suspect).take(1);
        suspect.chain(others).take(places).map(|job| job.seq).collect()
    }

    fn end(&mut self, ended: UnderWay, how: How, later: i64) {
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
        let (ending, at) = match how {
            How::Succeeds => (AttemptStatus::Succeeded, None),
            How::Fails | How::TimesOut => {
                counters.failures += 1;
                (if how == How::Fails { AttemptStatus::Failed } else { AttemptStatus::Timeout }, Some(later))
            }
            How::Snoozes => {
                counters.deferrals += 1;
                (AttemptStatus::Deferred, Some(later))
            }
            How::Dies => (AttemptStatus::Dead, None),
            How::Stops => (AttemptStatus::Stopped, Some(now)),
        };
        let reason = || "why".to_owned();
        let outcome = match (how, at) {
            (How::Succeeds, _) => JobOutcome::Succeeded,
            (_, Some(at)) => JobOutcome::Retry { at: Millis(at), counters, reason: reason() },
            (_, None) => JobOutcome::Dead { counters, reason: reason() },
        };
        let stale = self.write(ended.job, ending, outcome);
        assert_eq!(stale, if is_stale { vec![ended.job] } else { vec![] }, "stale");
        if is_stale {
            return;
        }
        let job = self.job(ended.seq);
        (job.failures, job.deferrals) = (counters.failures, counters.deferrals);
        if how != How::Stops {
            job.lost = 0;
        }
        match (how, at) {
            (How::Succeeds, _) => job.becomes("succeeded", now),
            (_, None) => job.becomes("dead", now),
            (_, Some(at)) => {
                job.becomes("pending", now);
                job.run_at = at;
            }
        }
    }

    /// A claim that came to nothing: the job stands as before it.
    fn take_back(&mut self, unbegun: UnderWay) {
        let turn = Turn { unbegun: vec![unbegun.job], ..Turn::default() };
        turn.carry_out(&self.connection, &Board::default(), Millis(self.now), false).unwrap();
        let now = self.now;
        let job = self.jobs.iter_mut().find(|job| job.seq == unbegun.seq);
        if let Some(job) = job.filter(|job| job.state == "running" && job.attempt == unbegun.job.attempt) {
            job.becomes("pending", now);
            job.attempt -= 1;
        }
    }

    /// An ending of an attempt that is not under way: refused, and nothing has changed.
    fn end_late(&mut self, which: usize) {
        let job = self.jobs[which].clone();
        let number = if job.state == "running" { job.attempt.saturating_sub(1) } else { job.attempt };
        if number == 0 || self.under_way.iter().any(|attempt| attempt.seq == job.seq && attempt.job.attempt == number) {
            return;
        }
        let id = "SELECT id FROM jobs WHERE event_seq = ?";
        let id = self.connection.query_row(id, [job.seq], |row| row.get(0)).unwrap();
        let late = JobRef { id, attempt: number };
        assert_eq!(self.write(late, AttemptStatus::Succeeded, JobOutcome::Succeeded), [late]);
    }

    /// What was refused as stale.
    fn write(&self, job: JobRef, ending: AttemptStatus, outcome: JobOutcome) -> Vec<JobRef> {
        let now = Millis(self.now);
        let finished = Finished {
            job,
            ending,
            outcome,
            started_at: now,
            finished_at: now,
            exit_code: None,
            http_status: None,
            signal: None,
            stdout: (vec![], 0),
            stderr: (vec![], 0),
            spoken: None,
            note: None,
        };
        let turn = Turn { finished: vec![finished], ..Turn::default() };
        turn.carry_out(&self.connection, &Board::default(), now, false).unwrap().stale
    }

    fn person(&mut self, change: BulkAction, which: usize) {
        let now = self.now;
        let filter = JobFilter { events: Some(vec![self.jobs[which].seq]), ..JobFilter::default() };
        let wish = BulkRequest { change, filter, revives: true };
        let plan = plan_bulk_update(&self.connection, &wish, Millis(now), None).unwrap();
        for step in plan.steps(10) {
            plan.apply(&self.connection, &step, Millis(now)).unwrap();
        }
        let is_ending = self.under_way.iter().any(|attempt| attempt.seq == self.jobs[which].seq);
        let job = &mut self.jobs[which];
        let is_fresh = job.run_at <= now && job.failures + job.deferrals + job.lost == 0;
        let may_run = job.has_payload && !is_ending;
        match (change, job.state) {
            (BulkAction::Skip, "pending" | "running" | "dead") => job.becomes("skipped", now),
            (BulkAction::Retry, "pending") if !is_fresh && may_run => job.runs_afresh(now),
            (BulkAction::Retry, "dead" | "skipped") if may_run => job.runs_afresh(now),
            (BulkAction::Replay, "succeeded") if may_run => {
                job.runs_afresh(now);
                job.replays += 1;
            }
            _ => {}
        }
    }

    /// The bits of `unbegun` tell which attempts had not begun.
    fn crash(&mut self, unbegun: u8) {
        let now = self.now;
        let (mut waiting, mut expected, mut seqs) = (HashSet::new(), vec![], vec![]);
        for (bit, attempt) in self.under_way.drain(..).enumerate() {
            if bit < 8 && unbegun >> bit & 1 == 1 {
                waiting.insert(attempt.job);
                seqs.push(attempt.seq);
            } else {
                expected.push(attempt.job);
            }
        }
        let lost = recover::settle(&self.connection, Millis(now), &waiting).unwrap();
        let by_id = |job: &JobRef| job.id;
        expected.sort_by_key(by_id);
        let mut told = lost;
        told.sort_by_key(by_id);
        assert_eq!(told, expected, "lost");
        for job in self.jobs.iter_mut().filter(|job| job.state == "running") {
            if seqs.contains(&job.seq) {
                job.becomes("pending", now);
                job.attempt -= 1;
                continue;
            }
            job.lost += 1;
            match retry::after_loss(job.lost, RetryCounters::default(), Millis(now)) {
                JobOutcome::Retry { at, .. } => {
                    job.becomes("pending", now);
                    job.run_at = at.0;
                }
                _ => job.becomes("dead", now),
            }
        }
    }

    fn prune(&mut self) {
        let span = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let keep = Retention { payloads: span(KEPT / 2), events: span(KEPT), keys: span(100 * KEPT) };
        let (ages, mut place) = (Ages::new(&keep, Millis(self.now)), Place::Start);
        while place != Place::End {
            step(&self.connection, &ages, &mut place, false).unwrap();
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
        let on_paper = |job: &Job| {
            let number = |number: i64| format!("Integer({number})");
            let text = |text: &str| format!("Text({text:?})");
            let key = job.key.as_ref().map_or("Null".to_owned(), |key| text(key));
            let mut row = vec![number(job.seq), text(HANDLERS[job.handler]), key, text(job.state), number(job.run_at)];
            row.extend(
                [job.attempt, job.failures, job.deferrals, job.lost, job.replays].map(|count| number(count.into())),
            );
            row
        };
        assert_eq!(stored, self.jobs.iter().map(on_paper).collect::<Vec<_>>());
        for one in &self.under_way {
            let value =
                |seq: i64| self.jobs.iter().find(|job| job.seq == seq).map(|job| (job.handler, job.key.clone()));
            let beside = |other: &&UnderWay| {
                value(other.seq) == value(one.seq) && value(one.seq).is_some_and(|(_, key)| key.is_some())
            };
            assert_eq!(self.under_way.iter().filter(beside).count().max(1), 1, "two of one value are under way");
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
    let mut both = Both::new(handlers.to_vec());
    for step in steps {
        both.take(step);
        both.compare();
    }
}

#[test]
fn the_inbox_does_what_the_model_does() {
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

/// Chance takes this way too seldom to rely on it.
#[test]
fn a_job_that_is_skipped_while_it_runs_holds_its_value_until_its_attempt_has_ended() {
    let same = |both: &mut Both, act: &dyn Fn(&mut Both)| {
        act(both);
        both.compare();
    };
    for handler in [1, 2] {
        for is_killed in [false, true] {
            let mut both = Both::new(handlers());
            let steps: [&dyn Fn(&mut Both); 7] = [
                &|both| both.receive(handler, Some(0)),
                &|both| both.claim(handler, 3),
                &|both| both.now += MAX,
                &|both| both.claim(handler, 3),
                &|both| both.person(BulkAction::Skip, 0),
                &|both| both.receive(handler, Some(0)),
                &|both| both.claim(handler, 3),
            ];
            steps.iter().for_each(|step| same(&mut both, step));
            assert_eq!(both.under_way.iter().map(|attempt| attempt.seq).collect::<Vec<_>>(), [1], "not beside another");
            let ending: &dyn Fn(&mut Both) = match is_killed {
                true => &|both| both.crash(0),
                false => &|both| {
                    let ended = both.under_way.remove(0);
                    both.end(ended, How::Stops, both.now);
                },
            };
            let steps: [&dyn Fn(&mut Both); 4] =
                [ending, &|both| both.claim(handler, 3), &|both| both.now += MAX, &|both| both.claim(handler, 3)];
            steps.iter().for_each(|step| same(&mut both, step));
            assert_eq!(both.under_way.iter().map(|attempt| attempt.seq).collect::<Vec<_>>(), [2]);
            assert_eq!(both.jobs.iter().map(|job| job.state).collect::<Vec<_>>(), ["skipped", "running"]);
        }
    }
}
