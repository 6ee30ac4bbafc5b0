//! Answers the commands of a batch after its commit or failure.

use std::sync::atomic::Ordering;

use rusqlite::{Error, ErrorCode};

use super::Writer;
use super::command::{Command, Written, send};
use crate::inbox::types::NotStored;
use crate::support::control::ControlMessage;

impl Writer {
    /// After the commit: answers every command, and wakes the dispatcher if there are new jobs.
    pub(super) fn answer(&mut self, batch: Vec<Command>, written: Vec<Written>) {
        self.last_failure = None;
        let (mut new_jobs, mut more_pending) = (0, 0);
        for (command, written) in batch.into_iter().zip(written) {
            match (command, written) {
                (Command::Accept(delivery), Written::Accepted(inserted)) => {
                    if inserted.receipt.is_accepted() {
                        new_jobs += i64::try_from(delivery.insertion.routed.job_count()).unwrap_or(0);
                    }
                    delivery.answer(Ok(inserted), &self.shared.reply_waiters);
                }
                (Command::Accept(delivery), Written::TooMany) => {
                    delivery.answer(Err(NotStored::Backlog), &self.shared.reply_waiters);
                }
                (Command::CompleteAndClaim(request, answer), Written::Claimed(result)) => {
                    more_pending += request.change_in_pending(&result);
                    self.shared.reply_waiters.notify(&request.results, &result.stale);
                    if result.changed_externally {
                        self.shared.changed_externally.store(false, Ordering::Relaxed);
                    }
                    send(&answer, Ok(result));
                }
                (Command::Enroll(enrollment), Written::Enrolled(result)) => {
                    enrollment.answer(Ok(result), &self.shared.enrollments);
                }
                (Command::WriteRejections, _) => {}
                (Command::SetDurability(durability), _) => self.sync.set_durability(durability),
                (Command::Change(change), Written::Changed) => {
                    self.watch.changed_by_operator();
                    change.finish(Ok(()));
                }
                (Command::Accept(_) | Command::Enroll(_) | Command::CompleteAndClaim(..) | Command::Change(_), _) => {
                    log::error!("a command was written as another kind of command");
                }
            }
        }
        self.watch.after_commit(new_jobs + more_pending);
        if new_jobs > 0 {
            self.watch.wake_dispatcher();
        }
    }

    pub(super) fn fail(&mut self, batch: Vec<Command>, error: &Error) {
        let why = self.handle_error(error);
        let is_known = self.shared.failed.load(Ordering::Relaxed) || self.last_failure.as_ref() == Some(&why);
        let level = if is_known { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "a batch of {} was not stored: {why} ({error})", batch.len());
        self.last_failure = Some(why.clone());
        self.answer_failed(batch, &why);
    }

    pub(super) fn answer_failed(&self, batch: Vec<Command>, why: &NotStored) {
        batch.into_iter().for_each(|one| one.fail(why, &self.shared.reply_waiters, &self.shared.enrollments));
    }

    /// Classifies an error and acts on it: stops hookbox after an I/O error, releases the disk reserve if the disk is full.
    pub(super) fn handle_error(&mut self, error: &Error) -> NotStored {
        let why = self.shared.classify(error);
        match &why {
            NotStored::Failing(_) if is_io_error(error) => {
                log::error!("the inbox could not be written and synced, hookbox exits: {error}");
                self.shared.failed.store(true, Ordering::Relaxed);
                let why = format!("the inbox could not be written and synced: {error}");
                self.control.send(ControlMessage::Failed(why));
            }
            NotStored::DiskLow => {
                self.watch.disk_is_full();
                if is_io_error(error) {
                    self.wal.mark_suspect();
                }
            }
            _ => {}
        }
        why
    }
}

fn is_io_error(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
}
