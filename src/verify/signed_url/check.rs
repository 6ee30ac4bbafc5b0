//! Verifies a request with every scheme of its source, under the usual and other spellings of its URL.

use crate::model::request::Request;
use crate::support::time::Millis;
use crate::verify::context::Context;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::key::SignatureKey;
use crate::verify::signature::SignedMetadata;
use crate::verify::{VerifiedRequest, Verifier};
use crate::verify::{remote, signature};

impl Verifier {
    /// Verifies a request, under other spellings of its URL if necessary, and reads it.
    pub(in crate::verify) fn check_signed(
        &self,
        request: &Request,
        enrolled: Option<&[SignatureKey]>,
        now: Millis,
        read: &dyn Fn(&SignedMetadata<'_>) -> Result<VerifiedRequest, VerifyError>,
    ) -> Result<VerifiedRequest, VerifyError> {
        let urls = super::usual(&self.source, request);
        let signed = self.signed(&self.context(request, &urls), enrolled, now);
        let is_other_url = |error: &VerifyError| {
            let has_signature =
                matches!(error, VerifyError::NotGenuine(SignatureError::NoMatch(_) | SignatureError::ClaimMismatch(_)));
            has_signature && self.source.scheme.signs_url()
        };
        match signed {
            Err(error) if is_other_url(&error) => {
                let spellings = super::spellings(&self.source, request);
                let signed = self.signed(&self.context(request, &spellings), enrolled, now);
                read(&signed.map_err(|_| error)?)
            }
            signed => read(&signed?),
        }
    }

    /// Verifies with the source's own scheme, then with each alternative. The first error is returned, unless it is about a
    /// signature that is absent.
    fn signed<'a>(
        &'a self,
        context: &Context<'a>,
        enrolled: Option<&[SignatureKey]>,
        now: Millis,
    ) -> Result<SignedMetadata<'a>, VerifyError> {
        if self.source.admission.unsigned {
            return Ok(SignedMetadata::default());
        }
        let own = match (&self.remote, enrolled) {
            (Some(remote), _) => remote::verify(remote, context, now),
            (None, Some(keys)) => signature::verify(context, keys, now).map_err(VerifyError::from),
            (None, None) if self.needs_enrollment() => Err(SignatureError::NotEnrolled.into()),
            (None, None) => signature::verify(context, &self.keys, now).map_err(VerifyError::from),
        };
        self.alternatives.iter().fold(own, |found, (source, keys)| {
            let Err(error) = found else { return found };
            let context = Context { source, scheme: &source.scheme, ..*context };
            signature::verify(&context, keys, now).map_err(|other| {
                use SignatureError::{InFuture, Missing, NoMatch, TooOld};
                let is_absent =
                    matches!(&error, VerifyError::NotGenuine(Missing(place)) if *place == self.source.scheme.signature);
                let is_close = matches!(other, NoMatch(_) | TooOld { .. } | InFuture { .. });
                if is_absent && is_close { other.into() } else { error }
            })
        })
    }

    pub(in crate::verify) fn context<'a>(&'a self, request: &'a Request, urls: &'a [String]) -> Context<'a> {
        Context::new(&self.source, urls, request)
    }
}
