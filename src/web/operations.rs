//! Operations on handlers and refusals that the API and the dashboard share.
//!
//! The writer thread carries out the changes. The dispatcher notices them within a second.

use std::sync::Arc;

use super::state::WebConfig;
use crate::config::Source;
use crate::diagnose::{self, Explanation, ReverifyResult};
use crate::inbox::reader::{ReadError, StoredRefusal};
use crate::inbox::{Inbox, InboxError, PauseResult};
use crate::support::secret::DigestKey;
use crate::support::time::Millis;

/// Longest reason for a pause, in characters.
pub(super) const MAX_REASON: usize = 500;

pub(super) struct Operations<'a> {
    pub(super) inbox: &'a Inbox,
    pub(super) config: &'a WebConfig,
    pub(super) now: Millis,
}

/// A refusal, and the key with which its tokens were digested.
pub(super) struct RefusalWithKey {
    pub(super) refusal: StoredRefusal,
    key: Option<DigestKey>,
}

pub(super) enum AcceptResult {
    /// The number of events.
    Accepted(u32),
    AlreadyAccepted,
    /// Why it is still refused, or cannot be verified.
    Rejected(String),
}

impl Operations<'_> {
    /// Pauses a handler; `None` if there is no such handler.
    pub(super) fn pause(&self, handler: &str, reason: &str) -> Result<Option<PauseResult>, InboxError> {
        if !self.is_known_handler(handler)? {
            return Ok(None);
        }
        let reason: String = reason.trim().chars().take(MAX_REASON).collect();
        let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
        self.inbox.pause(handler, reason, self.now).map(Some)
    }

    /// Resumes a handler; `None` if there is no such handler.
    pub(super) fn resume(&self, handler: &str) -> Result<Option<PauseResult>, InboxError> {
        if !self.is_known_handler(handler)? {
            return Ok(None);
        }
        self.inbox.resume(handler, self.now).map(Some)
    }

    /// Whether the handler is configured or has jobs. A misspelled name would create a row in the inbox.
    fn is_known_handler(&self, name: &str) -> Result<bool, ReadError> {
        let known = self.inbox.reader()?.handler_overview(&self.config.handler_names())?;
        Ok(known.iter().any(|handler| handler.status.handler == name))
    }

    pub(super) fn refusal(&self, id: i64) -> Result<Option<RefusalWithKey>, ReadError> {
        let reader = self.inbox.reader()?;
        let Some(refusal) = reader.refusal(id)? else { return Ok(None) };
        Ok(Some(RefusalWithKey { refusal, key: reader.token_key()? }))
    }

    pub(super) fn diagnose(&self, stored: &RefusalWithKey) -> Explanation {
        let sources: Vec<_> = self.config.sources.iter().map(|source| self.with_enrolled_secret(source)).collect();
        diagnose::diagnose(&stored.refusal.refused, &sources, stored.key.as_ref())
    }

    /// Verifies a refusal under the current configuration.
    pub(super) fn verify_again(&self, stored: &RefusalWithKey) -> ReverifyResult {
        match self.config.source(&stored.refusal.refused.source) {
            Some(source) => {
                let source = self.with_enrolled_secret(source);
                diagnose::reverify(&stored.refusal.refused, &source, stored.key.as_ref())
            }
            None => ReverifyResult::Unrecoverable("its source is no longer in the configuration".to_owned()),
        }
    }

    /// Stores a refusal as events if its signature is valid now.
    pub(super) fn accept(&self, id: i64, stored: &RefusalWithKey) -> Result<AcceptResult, InboxError> {
        let verified = match self.verify_again(stored) {
            ReverifyResult::Verified(verified) => verified,
            ReverifyResult::Unrecoverable(why) | ReverifyResult::StillRefused(why) => {
                return Ok(AcceptResult::Rejected(why));
            }
        };
        let receipt = self.inbox.accept_refusal(id, self.config.routes.route(*verified))?;
        Ok(receipt.map_or(AcceptResult::AlreadyAccepted, |receipt| AcceptResult::Accepted(receipt.events())))
    }

    /// The source with the secret from its provider's handshake, if it has no other.
    fn with_enrolled_secret(&self, source: &Arc<Source>) -> Arc<Source> {
        let is_enrolled =
            source.secrets.is_empty() && source.scheme.handshake.is_some_and(|handshake| handshake.teaches);
        match self.inbox.enrolled_secret(&source.name).filter(|_| is_enrolled) {
            Some(secret) => Arc::new(Source { secrets: vec![secret], ..Source::clone(source) }),
            None => source.clone(),
        }
    }
}
