//! The retry policy: maps the exit of an attempt to what becomes of its job (succeeded, retry at a time, dead).
//!
//! Pure: time and jitter are arguments. A table in `handlers/README.md` documents the rules, and the tests compare it.

use std::fmt;
use std::time::Duration;

use crate::model::event::AttemptStatus;
use crate::support::time::Millis;

/// When a failed job is retried, and when it is dead.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Failures after which the job is dead; at least 1.
    pub attempts: u32,
    /// The delay after the first failure. It doubles with each further one.
    pub initial: Duration,
    pub max: Duration,
    /// Fraction of the delay by which it varies in both directions: 0 to 1.
    pub jitter: f64,
    /// Exit codes with which the event can never succeed.
    pub dead_exit_codes: Vec<i32>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptExit {
    /// A command exited with this code.
    Exited(i32),
    /// A signal that hookbox did not send ended the command.
    Signaled(i32),
    /// A worker reported success.
    Completed,
    /// A worker reported failure or broke the protocol, or the URL was unreachable: the reason.
    Failed(String),
    /// A worker process ended while it had the job.
    WorkerDied {
        code: Option<i32>,
        signal: Option<i32>,
        /// Whether this process had answered a job before.
        has_answered: bool,
    },
    /// The URL answered with this status.
    HttpStatus(u16),
    TimedOut,
    /// The command could not be executed: the reason.
    NotExecutable(String),
    /// hookbox lacked memory, a process slot or a file descriptor: the reason.
    Starved(String),
    /// hookbox ended the attempt because it shut down.
    Stopped,
    /// hookbox ended the attempt because the operator skipped the job.
    Skipped,
}

/// What the handler asked for, in its result file, its reply line or its response headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandlerDirectives {
    pub retry_after: Option<Duration>,
    /// The reason why the event can never succeed.
    pub dead: Option<String>,
    pub note: Option<String>,
    /// Status of the response to the provider.
    pub status: Option<u16>,
    /// Content type of the response to the provider.
    pub content_type: Option<String>,
}

/// Counters since the operator's last retry or replay of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryCounters {
    pub failures: u32,
    /// How often the handler asked for a later run.
    pub deferrals: u32,
}

/// What becomes of the job. The counters are the new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    Succeeded,
    Retry {
        at: Millis,
        counters: RetryCounters,
        reason: String,
    },
    Dead {
        counters: RetryCounters,
        reason: String,
    },
    /// The operator has already moved the job.
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDecision {
    /// For the attempt's row.
    pub status: AttemptStatus,
    /// For the job's row.
    pub outcome: JobOutcome,
}

/// What a decision depends on besides the attempt.
#[derive(Debug, Clone, Copy)]
pub struct RetryContext<'a> {
    pub policy: &'a RetryPolicy,
    /// Before this attempt.
    pub counters: RetryCounters,
    pub now: Millis,
    /// A random number from -1 to 1.
    pub jitter: f64,
}

/// Deferrals after which a further one counts as a failure.
pub const MAX_DEFERRALS: u32 = 100;

/// Crashes of hookbox in a row after which the running job is dead as `poison`.
pub const MAX_LOSSES: u32 = 3;

/// The delay after [`AttemptExit::Starved`].
pub const STARVED_DELAY: Duration = Duration::from_secs(1);
/// The delay after the first crash of hookbox.
const LOSS_DELAY: Duration = Duration::from_secs(5);
const MAX_DOUBLINGS: u32 = 65;

impl AttemptExit {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0) | Self::Completed | Self::HttpStatus(200..=299))
    }
}

impl fmt::Display for AttemptExit {
    /// For attempts, jobs and logs: `exit 1`, `signal 11 (SEGV)`, `timed out`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signaled(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(known) => write!(f, "signal {signal} ({})", known.as_str().trim_start_matches("SIG")),
                Err(_) => write!(f, "signal {signal}"),
            },
            Self::Completed => f.write_str("completed"),
            Self::Failed(reason) => f.write_str(reason),
            Self::WorkerDied { signal: Some(signal), .. } => write!(f, "the worker died: {}", Self::Signaled(*signal)),
            Self::WorkerDied { code, .. } => write!(f, "the worker died: {}", Self::Exited(code.unwrap_or(-1))),
            Self::HttpStatus(status) => write!(f, "answered {status}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotExecutable(reason) => write!(f, "cannot be executed: {reason}"),
            Self::Starved(reason) => write!(f, "could not be started: {reason}"),
            Self::Stopped => f.write_str("stopped because hookbox shut down"),
            Self::Skipped => f.write_str("skipped by the operator"),
        }
    }
}

impl RetryPolicy {
    /// The delay after a number of failures: `min(max, initial · 2^(failures-1))`, varied by the jitter (-1 to 1).
    pub fn backoff(&self, failures: u32, jitter: f64) -> Duration {
        let delay = self.doubled(failures);
        let share = self.jitter.clamp(0.0, 1.0) * jitter.clamp(-1.0, 1.0);
        Duration::try_from_secs_f64(delay.as_secs_f64() * (1.0 + share)).unwrap_or(delay)
    }

    /// The time from the first failure to the last attempt, without jitter: the longest outage that a job survives.
    pub fn span(&self) -> Duration {
        let delays = self.attempts.saturating_sub(1);
        let growing = (1..=delays.min(MAX_DOUBLINGS))
            .fold(Duration::ZERO, |span, failures| span.saturating_add(self.doubled(failures)));
        let level = self.doubled(MAX_DOUBLINGS).saturating_mul(delays.saturating_sub(MAX_DOUBLINGS));
        growing.saturating_add(level)
    }

    /// The delay without jitter. It stops growing after 64 doublings: by then a nanosecond has become 584 years.
    fn doubled(&self, failures: u32) -> Duration {
        let doublings = failures.clamp(1, MAX_DOUBLINGS) - 1;
        let delay = self.initial.as_secs_f64() * 2_f64.powi(doublings.cast_signed());
        Duration::try_from_secs_f64(delay).map_or(self.max, |delay| delay.min(self.max))
    }
}

/// Decides what the exit of an attempt means for its job. `handlers/README.md` documents the rules.
pub fn decide(exit: &AttemptExit, directives: &HandlerDirectives, context: &RetryContext<'_>) -> RetryDecision {
    let &RetryContext { policy, counters, now, .. } = context;
    let decision = |status, outcome| RetryDecision { status, outcome };
    let uncounted = |status, at| decision(status, JobOutcome::Retry { at, counters, reason: exit.to_string() });
    let dead = |reason: &str| decision(AttemptStatus::Dead, JobOutcome::Dead { counters, reason: reason.to_owned() });
    match exit {
        AttemptExit::Skipped => return decision(AttemptStatus::Skipped, JobOutcome::Skipped),
        AttemptExit::Stopped => return uncounted(AttemptStatus::Stopped, now),
        AttemptExit::NotExecutable(_) => return uncounted(AttemptStatus::Broken, now),
        AttemptExit::Starved(_) => return uncounted(AttemptStatus::Starved, now.after(STARVED_DELAY)),
        _ => {}
    }
    if let Some(reason) = &directives.dead {
        return dead(reason);
    }
    let may_defer =
        matches!(exit, AttemptExit::Exited(_) | AttemptExit::Failed(_) | AttemptExit::HttpStatus(429 | 503));
    match (exit, directives.retry_after.filter(|_| may_defer)) {
        (exit, _) if exit.is_success() => decision(AttemptStatus::Succeeded, JobOutcome::Succeeded),
        (AttemptExit::Exited(code), _) if policy.dead_exit_codes.contains(code) => dead(&exit.to_string()),
        (AttemptExit::HttpStatus(410), _) => dead(&exit.to_string()),
        (_, Some(delay)) if counters.deferrals < MAX_DEFERRALS => {
            let counters = RetryCounters { deferrals: counters.deferrals + 1, ..counters };
            let reason = format!("{exit}; the handler asked for a later retry");
            decision(AttemptStatus::Deferred, JobOutcome::Retry { at: now.after(delay), counters, reason })
        }
        (_, Some(_)) => {
            let reason = format!("{exit}; the handler asked for a later retry more than {MAX_DEFERRALS} times");
            decision(AttemptStatus::Failed, failure(reason, context))
        }
        (AttemptExit::TimedOut, _) => decision(AttemptStatus::Timeout, failure(exit.to_string(), context)),
        _ => decision(AttemptStatus::Failed, failure(exit.to_string(), context)),
    }
}

fn failure(reason: String, context: &RetryContext<'_>) -> JobOutcome {
    let &RetryContext { policy, now, jitter, .. } = context;
    let failures = context.counters.failures.saturating_add(1);
    let counters = RetryCounters { failures, ..context.counters };
    match failures {
        1 if policy.attempts <= 1 => JobOutcome::Dead { counters, reason: format!("failed: {reason}") },
        failures if failures >= policy.attempts => {
            JobOutcome::Dead { counters, reason: format!("failed {failures} times, the last: {reason}") }
        }
        failures => JobOutcome::Retry { at: now.after(policy.backoff(failures, jitter)), counters, reason },
    }
}

/// Decides what becomes of a job that was running when hookbox crashed. `losses` counts the crashes in a row, this one
/// included.
pub fn after_loss(losses: u32, counters: RetryCounters, now: Millis) -> JobOutcome {
    if losses >= MAX_LOSSES {
        let reason = format!("poison: hookbox crashed {losses} times in a row while running it");
        return JobOutcome::Dead { counters, reason };
    }
    let reason = "hookbox crashed while running it".to_owned();
    JobOutcome::Retry { at: now.after(LOSS_DELAY.saturating_mul(losses)), counters, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);
    const COUNTERS: RetryCounters = RetryCounters { failures: 1, deferrals: 2 };

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            initial: Duration::from_secs(3),
            max: Duration::from_secs(6 * 3600),
            jitter: 0.1,
            dead_exit_codes: vec![65],
        }
    }

    fn context(policy: &RetryPolicy, counters: RetryCounters) -> RetryContext<'_> {
        RetryContext { policy, counters, now: NOW, jitter: 0.0 }
    }

    fn again(seconds: i64, failures: u32, deferrals: u32) -> Option<(i64, RetryCounters)> {
        Some((NOW.0 + seconds * 1000, RetryCounters { failures, deferrals }))
    }

    /// When the job is retried and with which counters; `None` if it is not.
    fn later(outcome: &JobOutcome) -> Option<(i64, RetryCounters)> {
        match outcome {
            JobOutcome::Retry { at, counters, .. } => Some((at.0, *counters)),
            _ => None,
        }
    }

    fn reason(outcome: &JobOutcome) -> &str {
        match outcome {
            JobOutcome::Retry { reason, .. } | JobOutcome::Dead { reason, .. } => reason,
            JobOutcome::Succeeded | JobOutcome::Skipped => "",
        }
    }

    #[test]
    fn every_exit_maps_to_one_decision() {
        let silent = HandlerDirectives::default();
        let deferred =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let never = HandlerDirectives {
            dead: Some("no such user".into()),
            retry_after: deferred.retry_after,
            ..HandlerDirectives::default()
        };
        let broken = AttemptExit::NotExecutable("gone".into());
        let starved = AttemptExit::Starved("no memory".into());
        let said_no = AttemptExit::Failed("no".into());
        let died = |code, signal| AttemptExit::WorkerDied { code, signal, has_answered: true };
        let kept = |seconds| again(seconds, 1, 2);
        let counted = again(6, 2, 2);
        type Row<'a> = (AttemptExit, &'a HandlerDirectives, AttemptStatus, Option<(i64, RetryCounters)>, &'a str);
        #[rustfmt::skip]
        let table: &[Row] = &[
            (AttemptExit::Exited(0),    &silent,       AttemptStatus::Succeeded, None,             ""),
            (AttemptExit::Exited(0),    &deferred, AttemptStatus::Succeeded, None,             ""),
            (AttemptExit::Exited(0),    &never,        AttemptStatus::Dead,      None,             "no such user"),
            (AttemptExit::Exited(65),   &silent,       AttemptStatus::Dead,      None,             "exit 65"),
            (AttemptExit::Exited(65),   &deferred, AttemptStatus::Dead,      None,             "exit 65"),
            (AttemptExit::Exited(1),    &silent,       AttemptStatus::Failed,    counted,          "exit 1"),
            (AttemptExit::Exited(1),    &deferred, AttemptStatus::Deferred,  again(300, 1, 3), "exit 1; the handler asked for a later retry"),
            (AttemptExit::Exited(1),    &never,        AttemptStatus::Dead,      None,             "no such user"),
            (AttemptExit::Exited(127),  &silent,       AttemptStatus::Failed,    counted,          "exit 127"),
            (AttemptExit::Signaled(11),   &silent,       AttemptStatus::Failed,    counted,          "signal 11 (SEGV)"),
            (AttemptExit::Signaled(40),   &deferred, AttemptStatus::Failed,    counted,          "signal 40"),
            (AttemptExit::Signaled(9),    &never,        AttemptStatus::Dead,      None,             "no such user"),
            (AttemptExit::Completed,         &silent,       AttemptStatus::Succeeded, None,             ""),
            (AttemptExit::Completed,         &never,        AttemptStatus::Dead,      None,             "no such user"),
            (said_no.clone(),    &silent,       AttemptStatus::Failed,    counted,          "no"),
            (said_no.clone(),    &deferred, AttemptStatus::Deferred,  again(300, 1, 3), "no; the handler asked for a later retry"),
            (said_no,            &never,        AttemptStatus::Dead,      None,             "no such user"),
            (died(Some(0), None), &silent,      AttemptStatus::Failed,    counted,          "the worker died: exit 0"),
            (died(Some(65), None), &silent,     AttemptStatus::Failed,    counted,          "the worker died: exit 65"),
            (died(None, Some(9)), &deferred, AttemptStatus::Failed,   counted,          "the worker died: signal 9 (KILL)"),
            (AttemptExit::HttpStatus(200), &silent,      AttemptStatus::Succeeded, None,             ""),
            (AttemptExit::HttpStatus(204), &deferred, AttemptStatus::Succeeded, None,            ""),
            (AttemptExit::HttpStatus(302), &silent,      AttemptStatus::Failed,    counted,          "answered 302"),
            (AttemptExit::HttpStatus(400), &deferred, AttemptStatus::Failed,   counted,          "answered 400"),
            (AttemptExit::HttpStatus(410), &silent,      AttemptStatus::Dead,      None,             "answered 410"),
            (AttemptExit::HttpStatus(429), &silent,      AttemptStatus::Failed,    counted,          "answered 429"),
            (AttemptExit::HttpStatus(429), &deferred, AttemptStatus::Deferred, again(300, 1, 3), "answered 429; the handler asked for a later retry"),
            (AttemptExit::HttpStatus(503), &deferred, AttemptStatus::Deferred, again(300, 1, 3), "answered 503; the handler asked for a later retry"),
            (AttemptExit::HttpStatus(500), &deferred, AttemptStatus::Failed,   counted,          "answered 500"),
            (AttemptExit::TimedOut,     &silent,       AttemptStatus::Timeout,   counted,          "timed out"),
            (AttemptExit::TimedOut,     &deferred, AttemptStatus::Timeout,   counted,          "timed out"),
            (AttemptExit::TimedOut,     &never,        AttemptStatus::Dead,      None,             "no such user"),
            (broken.clone(),     &silent,       AttemptStatus::Broken,    kept(0),          "cannot be executed: gone"),
            (broken,             &never,        AttemptStatus::Broken,    kept(0),          "cannot be executed: gone"),
            (starved,            &silent,       AttemptStatus::Starved,   kept(1),          "could not be started: no memory"),
            (AttemptExit::Stopped,      &silent,       AttemptStatus::Stopped,   kept(0),          "stopped because hookbox shut down"),
            (AttemptExit::Stopped,      &never,        AttemptStatus::Stopped,   kept(0),          "stopped because hookbox shut down"),
            (AttemptExit::Skipped,      &never,        AttemptStatus::Skipped,   None,             ""),
        ];
        for (exit, directives, ending, at, why) in table {
            let RetryDecision { status: got, outcome } = decide(exit, directives, &context(&policy(), COUNTERS));
            assert_eq!((got, later(&outcome), reason(&outcome)), (*ending, *at, *why), "{exit:?} {directives:?}");
            let is_dead = matches!(outcome, JobOutcome::Dead { counters: COUNTERS, .. });
            assert_eq!(is_dead, *ending == AttemptStatus::Dead, "{exit:?} {directives:?}");
        }
    }

    #[test]
    fn last_failure_is_dead_with_the_number_of_failures() {
        let decide = |exit: &AttemptExit, failures, attempts| {
            let counters = RetryCounters { failures, deferrals: 0 };
            let policy = RetryPolicy { attempts, ..policy() };
            decide(exit, &HandlerDirectives::default(), &context(&policy, counters))
        };
        let last = decide(&AttemptExit::TimedOut, 2, 3);
        assert_eq!(last.status, AttemptStatus::Timeout);
        let counters = RetryCounters { failures: 3, deferrals: 0 };
        assert_eq!(last.outcome, JobOutcome::Dead { counters, reason: "failed 3 times, the last: timed out".into() });
        assert_eq!(reason(&decide(&AttemptExit::Exited(2), 0, 1).outcome), "failed: exit 2");
        assert_eq!(reason(&decide(&AttemptExit::Exited(2), 9, 3).outcome), "failed 10 times, the last: exit 2");
        assert!(matches!(decide(&AttemptExit::Exited(2), u32::MAX, u32::MAX).outcome, JobOutcome::Dead { .. }));
    }

    #[test]
    fn hundred_deferrals_are_uncounted() {
        let directives =
            HandlerDirectives { retry_after: Some(Duration::from_secs(60)), ..HandlerDirectives::default() };
        let asks = |deferrals| {
            let counters = RetryCounters { failures: 0, deferrals };
            decide(&AttemptExit::Exited(75), &directives, &context(&policy(), counters))
        };
        assert_eq!(asks(99).status, AttemptStatus::Deferred);
        assert_eq!(later(&asks(99).outcome), again(60, 0, 100));
        assert_eq!(asks(100).status, AttemptStatus::Failed);
        assert_eq!(later(&asks(100).outcome), again(3, 1, 100));
        assert!(reason(&asks(100).outcome).ends_with("more than 100 times"));
    }

    #[test]
    fn third_loss_in_a_row_is_poison() {
        assert_eq!(later(&after_loss(1, COUNTERS, NOW)), again(5, 1, 2));
        assert_eq!(later(&after_loss(2, COUNTERS, NOW)), again(10, 1, 2));
        let JobOutcome::Dead { counters: COUNTERS, reason } = after_loss(3, COUNTERS, NOW) else { panic!("not dead") };
        assert!(reason.starts_with("poison: "), "{reason}");
    }

    #[test]
    fn backoff_doubles_up_to_the_maximum() {
        let seconds = |failures| policy().backoff(failures, 0.0).as_secs();
        let first: Vec<u64> = (1..=15).map(seconds).collect();
        assert_eq!(first[..6], [3, 6, 12, 24, 48, 96]);
        assert_eq!(first[11..], [6144, 12288, 21600, 21600]);
        assert_eq!(seconds(0), 3);
        assert_eq!(seconds(u32::MAX), 21600);
    }

    #[test]
    fn jitter_varies_the_delay_by_its_share() {
        let pause = |jitter, by| RetryPolicy { jitter, ..policy() }.backoff(1, by).as_millis();
        assert_eq!([pause(0.1, -1.0), pause(0.1, 0.5), pause(0.1, 1.0)], [2700, 3150, 3300]);
        assert_eq!([pause(0.0, 1.0), pause(1.0, -1.0), pause(9.0, 9.0)], [3000, 0, 6000]);
        assert_eq!(pause(f64::NAN, f64::NAN), 3000);
    }

    #[test]
    fn no_policy_overflows() {
        let endless = RetryPolicy { attempts: u32::MAX, initial: Duration::MAX, max: Duration::MAX, ..policy() };
        assert_eq!(endless.backoff(u32::MAX, 1.0), Duration::MAX);
        assert_eq!(endless.span(), Duration::MAX);
        let none = RetryPolicy { initial: Duration::ZERO, ..endless };
        assert_eq!((none.backoff(u32::MAX, 1.0), none.span()), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn default_policy_spans_73_hours() {
        let span = RetryPolicy { attempts: 25, ..policy() }.span();
        assert_eq!(span.as_secs().div_ceil(3600), 73);
        assert_eq!(RetryPolicy { attempts: 1, ..policy() }.span(), Duration::ZERO);
    }

    /// Rows of a table in `handlers/README.md`: how the attempt ends, its status, what becomes of the job.
    fn rows(how: &str) -> Vec<[&'static str; 3]> {
        let page = include_str!("../handlers/README.md");
        let table = page.split(&format!("| {how} | ending |")).nth(1).unwrap().lines().skip(2);
        let rows = table.take_while(|line| line.starts_with("| "));
        let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
        cells.map(|cells| [cells[0], cells[1].trim_matches('`'), cells[2]]).collect()
    }

    #[test]
    fn handlers_page_lists_every_exit_of_a_command() {
        let dead = HandlerDirectives { dead: Some("no such user".into()), ..HandlerDirectives::default() };
        let deferred =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default();
        let decided =
            |exit, directives: &HandlerDirectives| decide(&exit, directives, &context(&policy(), COUNTERS)).status;
        let expected = [
            ("status 0", decided(AttemptExit::Exited(0), &silent)),
            ("a status in `dead_exit_codes` (65", decided(AttemptExit::Exited(65), &silent)),
            ("`dead` in the result file", decided(AttemptExit::Exited(0), &dead)),
            ("another status, with `retry_after`", decided(AttemptExit::Exited(1), &deferred)),
            ("another status", decided(AttemptExit::Exited(1), &silent)),
            ("a signal", decided(AttemptExit::Signaled(9), &silent)),
            ("the time limit", decided(AttemptExit::TimedOut, &silent)),
            ("it cannot be executed", decided(AttemptExit::NotExecutable(String::new()), &silent)),
            ("no memory, process or descriptor", decided(AttemptExit::Starved(String::new()), &silent)),
            ("hookbox stopped it", decided(AttemptExit::Stopped, &silent)),
            ("hookbox or the machine died", AttemptStatus::Lost),
            ("you skipped it", decided(AttemptExit::Skipped, &silent)),
        ];
        let rows = rows("how it ends");
        assert_eq!(rows.len(), expected.len());
        for ([how, word, _], (start, ending)) in rows.iter().zip(&expected) {
            assert!(how.starts_with(start), "{how}, not {start}");
            assert_eq!(*word, ending.as_str(), "{how}");
        }
        assert!(AttemptStatus::ALL.iter().all(|ending| rows.iter().any(|[_, word, _]| *word == ending.as_str())));
        let of = |ending: AttemptStatus| rows.iter().find(|[_, word, _]| *word == ending.as_str()).unwrap()[2];
        assert!(of(AttemptStatus::Deferred).contains(&format!("at most {MAX_DEFERRALS} times")));
        assert!(of(AttemptStatus::Lost).contains(&format!(
            "after {} seconds, then {}",
            LOSS_DELAY.as_secs(),
            2 * LOSS_DELAY.as_secs()
        )));
    }

    #[test]
    fn handlers_page_lists_every_exit_of_workers_and_urls() {
        let dead = HandlerDirectives { dead: Some("no such user".into()), ..HandlerDirectives::default() };
        let deferred =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default();
        let decided =
            |exit, directives: &HandlerDirectives| decide(&exit, directives, &context(&policy(), COUNTERS)).status;
        let failed = || AttemptExit::Failed("why".into());
        let workers = [
            ("`{\"id\":7,\"ok\":true}`", decided(AttemptExit::Completed, &silent)),
            ("`{\"id\":7,\"error\":", decided(failed(), &silent)),
            ("`{\"id\":7,\"retry_after\":", decided(failed(), &deferred)),
            ("`{\"id\":7,\"dead\":", decided(failed(), &dead)),
            ("anything else", decided(failed(), &silent)),
            (
                "none: it exited",
                decided(AttemptExit::WorkerDied { code: Some(0), signal: None, has_answered: true }, &silent),
            ),
            ("none within the time limit", decided(AttemptExit::TimedOut, &silent)),
            ("it ended before it had read the job", decided(AttemptExit::NotExecutable(String::new()), &silent)),
        ];
        let urls = [
            ("answers 200 to 299", decided(AttemptExit::HttpStatus(204), &silent)),
            ("answers 410", decided(AttemptExit::HttpStatus(410), &silent)),
            ("answers 429 or 503 with Retry-After", decided(AttemptExit::HttpStatus(503), &deferred)),
            ("answers 429 or 503 without it", decided(AttemptExit::HttpStatus(429), &silent)),
            ("answers 300 to 399", decided(AttemptExit::HttpStatus(301), &silent)),
            ("answers anything else", decided(AttemptExit::HttpStatus(500), &deferred)),
            ("cannot be reached", decided(failed(), &silent)),
            ("has not answered within the time limit", decided(AttemptExit::TimedOut, &silent)),
        ];
        for (rows, expected) in [(rows("answer"), workers), (rows("what the URL does"), urls)] {
            assert_eq!(rows.len(), expected.len());
            for ([how, word, _], (start, ending)) in rows.iter().zip(&expected) {
                assert!(how.starts_with(start), "{how}, not {start}");
                assert_eq!(*word, ending.as_str(), "{how}");
            }
        }
    }
}
