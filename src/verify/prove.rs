//! Does anything prove this request? With keys that are configured or taught, or with the provider's own.
//!
//! A request and keys come in; out goes what was signed beside the body. The age is looked at last, once the signature
//! holds.

use super::extract::batch as items;
use super::{Verifier, timestamp};
use crate::model::request::Request;
use crate::providers::{Algorithm, AuthMethod, BatchLocation, ValueLocation};
use crate::support::time::Millis;
use crate::verify::context::Case;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::key::Key;
use crate::verify::remote::Remote;
use crate::verify::signature::{self, Proven};

impl Verifier {
    pub(super) fn prove<'a>(
        &'a self,
        request: &'a Request,
        keys: &[(Algorithm, Key)],
        now: Millis,
    ) -> Result<Proven<'a>, SignatureError> {
        let case = Case { scheme: &self.scheme, own: &self.own, request, item: None };
        let proven = match (&self.scheme.signature, &self.scheme.batch) {
            (ValueLocation::Item(_), Some(batch)) => return self.prove_items(&case, keys, batch, now),
            _ => signature::check(&case, keys, now)?,
        };
        self.check_age(proven, now)
    }

    /// With keys that the provider publishes; newer ones are asked for where a signature names none.
    pub(super) fn prove_remotely<'a>(
        &'a self,
        remote: &Remote,
        request: &'a Request,
        now: Millis,
    ) -> Result<Proven<'a>, VerifyError> {
        let case = Case { scheme: &self.scheme, own: &self.own, request, item: None };
        if let AuthMethod::Builtin(code) = self.scheme.auth {
            let timestamp = remote.prove(code, request, now)?;
            let proven = Proven { timestamp: Some(timestamp.into()), claims: None };
            return Ok(self.check_age(proven, now)?);
        }
        // What no key could prove is refused before anyone is asked.
        if let Err(why) = self.prove(request, &[], now)
            && !matches!(why, SignatureError::NoMatch(_))
        {
            return Err(why.into());
        }
        let (keys, is_named) = remote.keys(&case, now)?;
        match self.prove(request, &keys, now) {
            Err(SignatureError::NoMatch(_)) if !is_named => {
                Ok(self.prove(request, &remote.newer_keys(&case, now)?, now)?)
            }
            proven => Ok(proven?),
        }
    }

    fn check_age<'a>(&self, proven: Proven<'a>, now: Millis) -> Result<Proven<'a>, SignatureError> {
        let Some(timestamp) = &self.scheme.timestamp else { return Ok(proven) };
        // Were either missing here, an empty text and no window refuse.
        let text = proven.timestamp.as_deref().unwrap_or_default();
        timestamp::check(text, timestamp.unit, self.scheme.tolerance.unwrap_or_default(), now)?;
        Ok(proven)
    }

    /// Each item has a signature of its own, and none may be without.
    fn prove_items<'a>(
        &'a self,
        case: &Case<'a>,
        keys: &[(Algorithm, Key)],
        batch: &BatchLocation,
        now: Millis,
    ) -> Result<Proven<'a>, SignatureError> {
        let items = items::split(batch, case.request).ok().flatten().filter(|items| !items.is_empty());
        for item in items.ok_or_else(|| SignatureError::Missing(self.scheme.signature.clone()))? {
            let case = Case { scheme: case.scheme, own: case.own, request: case.request, item: Some(&item) };
            signature::check(&case, keys, now)?;
        }
        Ok(Proven::default())
    }
}
