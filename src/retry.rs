//! What an attempt's ending means for its job: succeeded, again at a time, or dead. The retry policy.
//!
//! Pure: the ending, the job's counters, the time and the jitter come in as arguments, the verdict goes out.
//! The table in `handlers/README.md` says the same in words.

use std::fmt;
use std::time::Duration;

use crate::model::event::Ending;
use crate::support::time::Millis;

/// When a failed job runs again, and when it is dead.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Failures after which the job is dead; at least 1.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// Share of the pause by which it varies, up and down: 0 to 1.
    pub jitter: f64,
    /// AttemptExit statuses that mean: this event can never work.
    pub dead_exit_codes: Vec<i32>,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptExit {
    /// It exited by itself.
    Exited(i32),
    /// A signal that hookbox did not send ended it.
    Signaled(i32),
    /// A worker said that it has done the job.
    Completed,
    /// A worker said that it has failed, or broke the protocol; or a URL could not be asked: why.
    Failed(String),
    /// A worker ended while it had the job.
    WorkerDied {
        /// Its exit status, unless a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Whether it had answered any job before.
        has_answered: bool,
    },
    /// A URL answered with this status.
    HttpStatus(u16),
    /// hookbox ended it at the time limit.
    TimedOut,
    /// It could not be executed: why.
    NotExecutable(String),
    /// There was no memory, process or file descriptor to start it: why.
    Starved(String),
    /// hookbox ended it while shutting down.
    Stopped,
    /// A person skipped the job; hookbox ended it.
    Skipped,
}

/// What the handler wrote into its result file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandlerDirectives {
    /// `{"retry_after":"5m"}`
    pub retry_after: Option<Duration>,
    /// `{"dead":"reason"}`
    pub dead: Option<String>,
    /// `{"note":"…"}`
    pub note: Option<String>,
    /// `{"status":201}`: of the answer to the provider.
    pub status: Option<u16>,
    /// `{"content_type":"…"}`: likewise.
    pub content_type: Option<String>,
}

/// A job's counters before this ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryCounters {
    /// Counted failures since the last retry or replay by a person.
    pub failures: u32,
    /// Times the handler asked for a later run, likewise.
    pub deferrals: u32,
}

/// What becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// Done.
    Succeeded,
    /// Pending again.
    Retry {
        /// When.
        at: Millis,
        /// The counters from now on.
        counters: RetryCounters,
        /// StopReason, for the job's row.
        reason: String,
    },
    /// Set aside for a person.
    Dead {
        /// The counters from now on.
        counters: RetryCounters,
        /// StopReason.
        reason: String,
    },
    /// A person has already said so.
    Skipped,
}

/// The ending as the ledger keeps it, and what becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDecision {
    /// For `attempts.ending`.
    pub ending: Ending,
    /// For `jobs`.
    pub outcome: JobOutcome,
}

/// Times a handler may ask for a later run before that counts as a failure.
pub const MAX_DEFERRALS: u32 = 100;

/// Losses in a row after which a job is set aside as `poison`.
pub const MAX_LOSSES: u32 = 3;

/// How long a job waits when there was no memory, process or descriptor to start it.
pub const STARVED_PAUSE: Duration = Duration::from_secs(1);
const LOSS_PAUSE: Duration = Duration::from_secs(5);
const MAX_DOUBLINGS: u32 = 65;

impl fmt::Display for AttemptExit {
    /// In words, for the ledger and for people: `exit 1`, `signal 11 (SEGV)`, `time limit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit {status}"),
            Self::Signaled(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            Self::Completed => f.write_str("done"),
            Self::Failed(why) => f.write_str(why),
            Self::WorkerDied { signal: Some(signal), .. } => write!(f, "the worker died: {}", Self::Signaled(*signal)),
            Self::WorkerDied { code, .. } => write!(f, "the worker died: {}", Self::Exited(code.unwrap_or(-1))),
            Self::HttpStatus(status) => write!(f, "answered {status}"),
            Self::TimedOut => f.write_str("time limit"),
            Self::NotExecutable(why) => write!(f, "cannot be executed: {why}"),
            Self::Starved(why) => write!(f, "could not be started: {why}"),
            Self::Stopped => f.write_str("stopped while hookbox shut down"),
            Self::Skipped => f.write_str("skipped by a person"),
        }
    }
}

/// What an attempt's ending means for its job.
///
/// `jitter` is a random number from -1 to 1. The rules in words: `handlers/README.md`.
#[must_use]
pub fn decide(
    exit: &AttemptExit,
    said: &HandlerDirectives,
    counters: RetryCounters,
    policy: &RetryPolicy,
    now: Millis,
    jitter: f64,
) -> RetryDecision {
    let uncounted = |at| JobOutcome::Retry { at, counters, reason: exit.to_string() };
    let dead = |reason: &str| verdict(Ending::Dead, JobOutcome::Dead { counters, reason: reason.to_owned() });
    match exit {
        AttemptExit::Skipped => return verdict(Ending::Skipped, JobOutcome::Skipped),
        AttemptExit::Stopped => return verdict(Ending::Stopped, uncounted(now)),
        AttemptExit::NotExecutable(_) => return verdict(Ending::Broken, uncounted(now)),
        AttemptExit::Starved(_) => return verdict(Ending::Starved, uncounted(now.after(STARVED_PAUSE))),
        AttemptExit::Exited(_) | AttemptExit::Signaled(_) | AttemptExit::TimedOut => {}
        AttemptExit::Completed
        | AttemptExit::Failed(_)
        | AttemptExit::WorkerDied { .. }
        | AttemptExit::HttpStatus(_) => {}
    }
    if let Some(reason) = &said.dead {
        return dead(reason);
    }
    let failed = |reason| failure(reason, counters, policy, now, jitter);
    match (exit, said.retry_after) {
        (AttemptExit::Exited(0) | AttemptExit::Completed | AttemptExit::HttpStatus(200..=299), _) => {
            verdict(Ending::Succeeded, JobOutcome::Succeeded)
        }
        (AttemptExit::Exited(status), _) if policy.dead_exit_codes.contains(status) => dead(&exit.to_string()),
        (AttemptExit::HttpStatus(410), _) => dead(&exit.to_string()),
        (AttemptExit::Exited(_) | AttemptExit::Failed(_) | AttemptExit::HttpStatus(429 | 503), Some(pause))
            if counters.deferrals < MAX_DEFERRALS =>
        {
            let counters = RetryCounters { deferrals: counters.deferrals + 1, ..counters };
            let reason = format!("{exit}, the handler asked to be run again later");
            verdict(Ending::Deferred, JobOutcome::Retry { at: now.after(pause), counters, reason })
        }
        (AttemptExit::Exited(_) | AttemptExit::Failed(_) | AttemptExit::HttpStatus(429 | 503), Some(_)) => {
            let reason = format!("{exit}, the handler asked to be run again later for more than {MAX_DEFERRALS} times");
            verdict(Ending::Failed, failed(reason))
        }
        (AttemptExit::TimedOut, _) => verdict(Ending::Timeout, failed(exit.to_string())),
        _ => verdict(Ending::Failed, failed(exit.to_string())),
    }
}

/// What becomes of a job under which hookbox died. `losses` counts them in a row, this one included.
#[must_use]
pub fn after_loss(losses: u32, counters: RetryCounters, now: Millis) -> JobOutcome {
    if losses >= MAX_LOSSES {
        let reason = format!("poison: hookbox died {losses} times in a row while it ran");
        return JobOutcome::Dead { counters, reason };
    }
    let reason = "hookbox died while it ran".to_owned();
    JobOutcome::Retry { at: now.after(LOSS_PAUSE.saturating_mul(losses)), counters, reason }
}

/// The pause after the given number of failures: `min(max, initial · 2^(failures-1))`, give or take the jitter.
#[must_use]
pub fn backoff(policy: &RetryPolicy, failures: u32, jitter: f64) -> Duration {
    let pause = doubled(policy, failures);
    let share = policy.jitter.clamp(0.0, 1.0) * jitter.clamp(-1.0, 1.0);
    Duration::try_from_secs_f64(pause.as_secs_f64() * (1.0 + share)).unwrap_or(pause)
}

/// From the first failure to the last attempt, without jitter: how long what the handler needs may be down.
#[must_use]
pub fn span(policy: &RetryPolicy) -> Duration {
    let pauses = policy.attempts.saturating_sub(1);
    let growing: Duration = (1..=pauses.min(MAX_DOUBLINGS))
        .fold(Duration::ZERO, |span, failures| span.saturating_add(doubled(policy, failures)));
    let level = doubled(policy, MAX_DOUBLINGS).saturating_mul(pauses.saturating_sub(MAX_DOUBLINGS));
    growing.saturating_add(level)
}

/// The pause without jitter, which no longer grows after 64 doublings: a nanosecond would have become 584 years.
fn doubled(policy: &RetryPolicy, failures: u32) -> Duration {
    let doublings = failures.clamp(1, MAX_DOUBLINGS) - 1;
    let pause = policy.initial.as_secs_f64() * 2_f64.powi(doublings.cast_signed());
    Duration::try_from_secs_f64(pause).map_or(policy.max, |pause| pause.min(policy.max))
}

fn failure(reason: String, counters: RetryCounters, policy: &RetryPolicy, now: Millis, jitter: f64) -> JobOutcome {
    let counters = RetryCounters { failures: counters.failures.saturating_add(1), ..counters };
    match counters.failures {
        1 if policy.attempts <= 1 => JobOutcome::Dead { counters, reason: format!("failed: {reason}") },
        failures if failures >= policy.attempts => {
            JobOutcome::Dead { counters, reason: format!("failed {failures} times, the last: {reason}") }
        }
        failures => JobOutcome::Retry { at: now.after(backoff(policy, failures, jitter)), counters, reason },
    }
}

fn verdict(ending: Ending, outcome: JobOutcome) -> RetryDecision {
    RetryDecision { ending, outcome }
}

/// Of the signals that end a process by themselves (signal(7), the numbers of Linux).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        5 => "TRAP",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        10 => "USR1",
        11 => "SEGV",
        12 => "USR2",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        31 => "SYS",
        _ => return None,
    })
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

    fn again(seconds: i64, failures: u32, deferrals: u32) -> Option<(i64, RetryCounters)> {
        Some((NOW.0 + seconds * 1000, RetryCounters { failures, deferrals }))
    }

    /// When it runs again and with which counters; `None` where it does not.
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
    fn every_ending_means_one_thing_for_its_job() {
        let silent = HandlerDirectives::default();
        let later_please =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let never = HandlerDirectives {
            dead: Some("no such user".into()),
            retry_after: later_please.retry_after,
            ..HandlerDirectives::default()
        };
        let broken = AttemptExit::NotExecutable("gone".into());
        let starved = AttemptExit::Starved("no memory".into());
        let said_no = AttemptExit::Failed("no".into());
        let died = |code, signal| AttemptExit::WorkerDied { code, signal, has_answered: true };
        let kept = |seconds| again(seconds, 1, 2);
        let counted = again(6, 2, 2);
        type Row<'a> = (AttemptExit, &'a HandlerDirectives, Ending, Option<(i64, RetryCounters)>, &'a str);
        #[rustfmt::skip]
        let table: &[Row] = &[
            (AttemptExit::Exited(0),    &silent,       Ending::Succeeded, None,             ""),
            (AttemptExit::Exited(0),    &later_please, Ending::Succeeded, None,             ""),
            (AttemptExit::Exited(0),    &never,        Ending::Dead,      None,             "no such user"),
            (AttemptExit::Exited(65),   &silent,       Ending::Dead,      None,             "exit 65"),
            (AttemptExit::Exited(65),   &later_please, Ending::Dead,      None,             "exit 65"),
            (AttemptExit::Exited(1),    &silent,       Ending::Failed,    counted,          "exit 1"),
            (AttemptExit::Exited(1),    &later_please, Ending::Deferred,  again(300, 1, 3), "exit 1, the handler asked to be run again later"),
            (AttemptExit::Exited(1),    &never,        Ending::Dead,      None,             "no such user"),
            (AttemptExit::Exited(127),  &silent,       Ending::Failed,    counted,          "exit 127"),
            (AttemptExit::Signaled(11),   &silent,       Ending::Failed,    counted,          "signal 11 (SEGV)"),
            (AttemptExit::Signaled(40),   &later_please, Ending::Failed,    counted,          "signal 40"),
            (AttemptExit::Signaled(9),    &never,        Ending::Dead,      None,             "no such user"),
            (AttemptExit::Completed,         &silent,       Ending::Succeeded, None,             ""),
            (AttemptExit::Completed,         &never,        Ending::Dead,      None,             "no such user"),
            (said_no.clone(),    &silent,       Ending::Failed,    counted,          "no"),
            (said_no.clone(),    &later_please, Ending::Deferred,  again(300, 1, 3), "no, the handler asked to be run again later"),
            (said_no,            &never,        Ending::Dead,      None,             "no such user"),
            (died(Some(0), None), &silent,      Ending::Failed,    counted,          "the worker died: exit 0"),
            (died(Some(65), None), &silent,     Ending::Failed,    counted,          "the worker died: exit 65"),
            (died(None, Some(9)), &later_please, Ending::Failed,   counted,          "the worker died: signal 9 (KILL)"),
            (AttemptExit::HttpStatus(200), &silent,      Ending::Succeeded, None,             ""),
            (AttemptExit::HttpStatus(204), &later_please, Ending::Succeeded, None,            ""),
            (AttemptExit::HttpStatus(302), &silent,      Ending::Failed,    counted,          "answered 302"),
            (AttemptExit::HttpStatus(400), &later_please, Ending::Failed,   counted,          "answered 400"),
            (AttemptExit::HttpStatus(410), &silent,      Ending::Dead,      None,             "answered 410"),
            (AttemptExit::HttpStatus(429), &silent,      Ending::Failed,    counted,          "answered 429"),
            (AttemptExit::HttpStatus(429), &later_please, Ending::Deferred, again(300, 1, 3), "answered 429, the handler asked to be run again later"),
            (AttemptExit::HttpStatus(503), &later_please, Ending::Deferred, again(300, 1, 3), "answered 503, the handler asked to be run again later"),
            (AttemptExit::HttpStatus(500), &later_please, Ending::Failed,   counted,          "answered 500"),
            (AttemptExit::TimedOut,     &silent,       Ending::Timeout,   counted,          "time limit"),
            (AttemptExit::TimedOut,     &later_please, Ending::Timeout,   counted,          "time limit"),
            (AttemptExit::TimedOut,     &never,        Ending::Dead,      None,             "no such user"),
            (broken.clone(),     &silent,       Ending::Broken,    kept(0),          "cannot be executed: gone"),
            (broken,             &never,        Ending::Broken,    kept(0),          "cannot be executed: gone"),
            (starved,            &silent,       Ending::Starved,   kept(1),          "could not be started: no memory"),
            (AttemptExit::Stopped,      &silent,       Ending::Stopped,   kept(0),          "stopped while hookbox shut down"),
            (AttemptExit::Stopped,      &never,        Ending::Stopped,   kept(0),          "stopped while hookbox shut down"),
            (AttemptExit::Skipped,      &never,        Ending::Skipped,   None,             ""),
        ];
        for (exit, said, ending, at, why) in table {
            let RetryDecision { ending: got, outcome } = decide(exit, said, COUNTERS, &policy(), NOW, 0.0);
            assert_eq!((got, later(&outcome), reason(&outcome)), (*ending, *at, *why), "{exit:?} {said:?}");
            let is_dead = matches!(outcome, JobOutcome::Dead { counters: COUNTERS, .. });
            assert_eq!(is_dead, *ending == Ending::Dead, "{exit:?} {said:?}");
        }
    }

    #[test]
    fn the_last_failure_is_dead_and_says_how_often_it_failed() {
        let decide = |exit: &AttemptExit, failures, attempts| {
            let counters = RetryCounters { failures, deferrals: 0 };
            let policy = RetryPolicy { attempts, ..policy() };
            decide(exit, &HandlerDirectives::default(), counters, &policy, NOW, 0.0)
        };
        let last = decide(&AttemptExit::TimedOut, 2, 3);
        assert_eq!(last.ending, Ending::Timeout);
        let counters = RetryCounters { failures: 3, deferrals: 0 };
        assert_eq!(last.outcome, JobOutcome::Dead { counters, reason: "failed 3 times, the last: time limit".into() });
        assert_eq!(reason(&decide(&AttemptExit::Exited(2), 0, 1).outcome), "failed: exit 2");
        assert_eq!(reason(&decide(&AttemptExit::Exited(2), 9, 3).outcome), "failed 10 times, the last: exit 2");
        assert!(matches!(decide(&AttemptExit::Exited(2), u32::MAX, u32::MAX).outcome, JobOutcome::Dead { .. }));
    }

    #[test]
    fn a_handler_may_ask_for_later_runs_a_hundred_times() {
        let said = HandlerDirectives { retry_after: Some(Duration::from_secs(60)), ..HandlerDirectives::default() };
        let asks = |deferrals| {
            decide(&AttemptExit::Exited(75), &said, RetryCounters { failures: 0, deferrals }, &policy(), NOW, 0.0)
        };
        assert_eq!(asks(99).ending, Ending::Deferred);
        assert_eq!(later(&asks(99).outcome), again(60, 0, 100));
        assert_eq!(asks(100).ending, Ending::Failed);
        assert_eq!(later(&asks(100).outcome), again(3, 1, 100));
        assert!(reason(&asks(100).outcome).ends_with("more than 100 times"));
    }

    #[test]
    fn the_third_loss_in_a_row_is_poison() {
        assert_eq!(later(&after_loss(1, COUNTERS, NOW)), again(5, 1, 2));
        assert_eq!(later(&after_loss(2, COUNTERS, NOW)), again(10, 1, 2));
        let JobOutcome::Dead { counters: COUNTERS, reason } = after_loss(3, COUNTERS, NOW) else { panic!("not dead") };
        assert!(reason.starts_with("poison: "), "{reason}");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = |failures| backoff(&policy(), failures, 0.0).as_secs();
        let first: Vec<u64> = (1..=15).map(seconds).collect();
        assert_eq!(first[..6], [3, 6, 12, 24, 48, 96]);
        assert_eq!(first[11..], [6144, 12288, 21600, 21600]);
        assert_eq!(seconds(0), 3);
        assert_eq!(seconds(u32::MAX), 21600);
    }

    #[test]
    fn jitter_moves_a_pause_by_its_share_and_no_more() {
        let pause = |jitter, by| backoff(&RetryPolicy { jitter, ..policy() }, 1, by).as_millis();
        assert_eq!([pause(0.1, -1.0), pause(0.1, 0.5), pause(0.1, 1.0)], [2700, 3150, 3300]);
        assert_eq!([pause(0.0, 1.0), pause(1.0, -1.0), pause(9.0, 9.0)], [3000, 0, 6000]);
        assert_eq!(pause(f64::NAN, f64::NAN), 3000);
    }

    #[test]
    fn no_policy_overflows() {
        let endless = RetryPolicy { attempts: u32::MAX, initial: Duration::MAX, max: Duration::MAX, ..policy() };
        assert_eq!(backoff(&endless, u32::MAX, 1.0), Duration::MAX);
        assert_eq!(span(&endless), Duration::MAX);
        let none = RetryPolicy { initial: Duration::ZERO, ..endless };
        assert_eq!((backoff(&none, u32::MAX, 1.0), span(&none)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn the_default_retries_span_seventy_three_hours() {
        let span = span(&RetryPolicy { attempts: 25, ..policy() });
        assert_eq!(span.as_secs().div_ceil(3600), 73);
        assert_eq!(super::span(&RetryPolicy { attempts: 1, ..policy() }), Duration::ZERO);
    }
    /// The rows of `handlers/README.md` that say how an attempt ends: how, the ledger's word, what becomes of the job.
    fn told(how: &str) -> Vec<[&'static str; 3]> {
        let page = include_str!("../handlers/README.md");
        let table = page.split(&format!("| {how} | ending |")).nth(1).unwrap().lines().skip(2);
        let rows = table.take_while(|line| line.starts_with("| "));
        let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
        cells.map(|cells| [cells[0], cells[1].trim_matches('`'), cells[2]]).collect()
    }

    #[test]
    fn the_page_for_handlers_tells_every_ending_as_it_is() {
        let dead = HandlerDirectives { dead: Some("no such user".into()), ..HandlerDirectives::default() };
        let later_please =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default();
        let decided = |exit, said: &HandlerDirectives| decide(&exit, said, COUNTERS, &policy(), NOW, 0.0).ending;
        let expected = [
            ("status 0", decided(AttemptExit::Exited(0), &silent)),
            ("a status in `dead_exit_codes` (65", decided(AttemptExit::Exited(65), &silent)),
            ("`dead` in the result file", decided(AttemptExit::Exited(0), &dead)),
            ("another status, with `retry_after`", decided(AttemptExit::Exited(1), &later_please)),
            ("another status", decided(AttemptExit::Exited(1), &silent)),
            ("a signal", decided(AttemptExit::Signaled(9), &silent)),
            ("the time limit", decided(AttemptExit::TimedOut, &silent)),
            ("it cannot be executed", decided(AttemptExit::NotExecutable(String::new()), &silent)),
            ("no memory, process or descriptor", decided(AttemptExit::Starved(String::new()), &silent)),
            ("hookbox stopped it", decided(AttemptExit::Stopped, &silent)),
            ("hookbox or the machine died", Ending::Lost),
            ("you skipped it", decided(AttemptExit::Skipped, &silent)),
        ];
        let told = told("how it ends");
        assert_eq!(told.len(), expected.len());
        for ([how, word, _], (start, ending)) in told.iter().zip(&expected) {
            assert!(how.starts_with(start), "{how}, not {start}");
            assert_eq!(*word, ending.as_str(), "{how}");
        }
        assert!(Ending::ALL.iter().all(|ending| told.iter().any(|[_, word, _]| *word == ending.as_str())));
        let of = |ending: Ending| told.iter().find(|[_, word, _]| *word == ending.as_str()).unwrap()[2];
        assert!(of(Ending::Deferred).contains(&format!("at most {MAX_DEFERRALS} times")));
        assert!(of(Ending::Lost).contains(&format!(
            "after {} seconds, then {}",
            LOSS_PAUSE.as_secs(),
            2 * LOSS_PAUSE.as_secs()
        )));
    }

    #[test]
    fn the_page_for_handlers_tells_what_workers_and_urls_can_do() {
        let dead = HandlerDirectives { dead: Some("no such user".into()), ..HandlerDirectives::default() };
        let later_please =
            HandlerDirectives { retry_after: Some(Duration::from_secs(300)), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default();
        let decided = |exit, said: &HandlerDirectives| decide(&exit, said, COUNTERS, &policy(), NOW, 0.0).ending;
        let failed = || AttemptExit::Failed("why".into());
        let workers = [
            ("`{\"id\":7,\"ok\":true}`", decided(AttemptExit::Completed, &silent)),
            ("`{\"id\":7,\"error\":", decided(failed(), &silent)),
            ("`{\"id\":7,\"retry_after\":", decided(failed(), &later_please)),
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
            ("answers 429 or 503 with Retry-After", decided(AttemptExit::HttpStatus(503), &later_please)),
            ("answers 429 or 503 without it", decided(AttemptExit::HttpStatus(429), &silent)),
            ("answers 300 to 399", decided(AttemptExit::HttpStatus(301), &silent)),
            ("answers anything else", decided(AttemptExit::HttpStatus(500), &later_please)),
            ("cannot be reached", decided(failed(), &silent)),
            ("has not answered within the time limit", decided(AttemptExit::TimedOut, &silent)),
        ];
        for (told, expected) in [(told("answer"), workers), (told("what the URL does"), urls)] {
            assert_eq!(told.len(), expected.len());
            for ([how, word, _], (start, ending)) in told.iter().zip(&expected) {
                assert!(how.starts_with(start), "{how}, not {start}");
                assert_eq!(*word, ending.as_str(), "{how}");
            }
        }
    }
}
