//! What a person's change asks of a job's row, and what it writes there, in SQL.
//!
//! Fragments over `jobs j` come out: the reason why a job is left, and the assignments of an UPDATE. Both take the time as
//! `?1`. Who may run next of its value is left to `sequence`. The words for changes and reasons are here too.

use super::{BulkAction, SkipReason};

/// An attempt that outlives its job for a moment must end before the job may run again.
const UNLESS_RUNNABLE: &str = "WHEN NOT EXISTS (SELECT 1 FROM payloads p WHERE p.event_seq = j.event_seq) THEN 'pruned'
     WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.finished_at IS NULL) THEN 'ending'";
const AFRESH: &str =
    "state = 'pending', run_at = ?1, failures = 0, deferrals = 0, lost = 0, reason = NULL, finished_at = NULL";
/// Which job of its value comes first is judged anew by who serves the inbox (`sequence`).
const MARKED: &str = "blocked = CASE WHEN order_key IS NULL THEN 0 ELSE 2 END";

/// NULL where `jobs j` is to be changed, else why it is left, for `SkipReason::from_word`. Retry takes the time as `?1`.
pub(super) fn left_because(change: BulkAction, revives: bool) -> String {
    match change {
        BulkAction::Retry => format!(
            "CASE WHEN j.state IN ('succeeded', 'running'{}) THEN j.state
             WHEN j.state = 'pending' AND j.run_at <= ?1 AND j.failures + j.deferrals + j.lost = 0
             THEN CASE j.blocked WHEN 1 THEN 'blocked' ELSE 'due' END
             {UNLESS_RUNNABLE} END",
            if revives { "" } else { ", 'skipped'" }
        ),
        BulkAction::Replay => format!("CASE WHEN j.state <> 'succeeded' THEN j.state {UNLESS_RUNNABLE} END"),
        BulkAction::Skip => "CASE WHEN j.state IN ('succeeded', 'skipped') THEN j.state END".to_owned(),
    }
}

/// What is set in a job's row, with the time as `?1`.
pub(super) fn becomes(change: BulkAction) -> String {
    match change {
        BulkAction::Retry => format!("{AFRESH}, {MARKED}"),
        BulkAction::Replay => format!("{AFRESH}, replays = replays + 1, {MARKED}"),
        BulkAction::Skip => format!("state = 'skipped', reason = 'by operator', finished_at = ?1, {MARKED}"),
    }
}

impl BulkAction {
    /// The verb.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Skip => "skip",
        }
    }
}

impl SkipReason {
    /// The reason in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Pending => "pending",
            Self::Due => "due",
            Self::Blocked => "blocked",
            Self::Running => "running",
            Self::Skipped => "skipped",
            Self::Ending => "ending",
            Self::Pruned => "pruned",
            Self::Overtaken => "overtaken",
        }
    }
}
