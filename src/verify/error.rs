//! Why a delivery was rejected, for the operator.
//!
//! Messages name headers, fields and times, never a secret, a signature or an expected value. The sender sees none of
//! them: the receiver answers every [`VerifyError::NotGenuine`] alike.

use std::fmt;
use std::time::Duration;

use crate::model::event::MAX_NAME_BYTES;
use crate::providers::{Setting, ValueLocation};

/// The most signatures that one delivery may carry. Senders that rotate a secret send two or three.
pub(super) const MAX_SIGNATURES: usize = 16;

/// Why a request was rejected, and with which status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// 401: nothing proves that the provider sent it, or sent it recently.
    #[error("not genuine: {0}")]
    NotGenuine(#[from] SignatureError),
    /// 400: the provider sent it, but its id, type or events cannot be read.
    #[error("genuine, but {0}")]
    Malformed(#[from] ExtractError),
    /// 405
    #[error("neither a delivery nor the provider's handshake")]
    MethodNotAllowed,
    /// 403 or 404
    #[error("{0}")]
    Handshake(HandshakeMismatch),
    /// 503: the provider's keys could not be fetched.
    #[error("cannot be verified now: {0}")]
    Unavailable(String),
}

/// A handshake that does not match the source's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a handshake whose {place} does not match `{}`", .setting.key())]
pub struct HandshakeMismatch {
    /// The HTTP status that the provider expects in this case.
    pub status: u16,
    /// The part of the request that differs.
    pub place: String,
    pub setting: Setting,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature, the timestamp or another signed value is absent or empty.
    #[error("the {0} is missing")]
    Missing(ValueLocation),
    #[error("the {0} occurs several times with different values")]
    Repeated(ValueLocation),
    #[error("the {0} does not begin with `{1}`")]
    MissingPrefix(ValueLocation, String),
    #[error("the {0} has no field `{1}`")]
    MissingField(ValueLocation, String),
    #[error("the {0} has the field `{1}` more than once")]
    RepeatedField(ValueLocation, String),
    #[error("the {0} contains more than {MAX_SIGNATURES} signatures")]
    TooManySignatures(ValueLocation),
    #[error("the {0} is not {1}")]
    Undecodable(ValueLocation, &'static str),
    #[error("the {0} matches none of the source's secrets")]
    NoMatch(ValueLocation),
    /// The signature covers form fields, and the body is not a form.
    #[error("the signature covers form fields, but the body is not a form")]
    NotAForm,
    #[error("the {0} is not `{1}`")]
    UnexpectedValue(ValueLocation, String),
    #[error("the {0} names a key that is not the source's `key_id`")]
    UnknownKeyId(ValueLocation),
    #[error("the {0} names an algorithm that this provider does not use")]
    AlgorithmNotAllowed(ValueLocation),
    #[error("the token's claim `{0}` does not match this delivery")]
    ClaimMismatch(String),
    #[error("the body is not {0}")]
    NotAMessage(&'static str),
    #[error("its topic is not among the source's `topics`")]
    TopicNotAllowed,
    /// A URL in the delivery that hookbox does not fetch.
    #[error("{0} {1}")]
    UrlNotAllowed(&'static str, String),
    #[error("the provider has no such key, or the key is not valid now")]
    UnknownKey,
    #[error("no secret is known yet (hint: `hookbox learn` accepts the provider's handshake for ten minutes)")]
    NotEnrolled,
    #[error("a handshake that would change the known secret")]
    AlreadyEnrolled,
    #[error("a handshake that would set the secret (hint: `hookbox learn` accepts it for ten minutes)")]
    EnrollmentClosed,
    #[error("the timestamp is not {0}")]
    MalformedTimestamp(&'static str),
    #[error(
        "signed {} s ago, more than the {} s allowed: a replayed request, or the clock of this machine is ahead",
        .age.as_secs(), .allowed.as_secs()
    )]
    TooOld { age: Duration, allowed: Duration },
    #[error(
        "signed {} s in the future, more than the {} s allowed: the clock of this machine is behind",
        .ahead.as_secs(), .allowed.as_secs()
    )]
    InFuture { ahead: Duration, allowed: Duration },
}

pub(super) type VerifyResult<T> = Result<T, VerifyError>;
pub(super) type SignatureResult<T> = Result<T, SignatureError>;

/// Why the events of a genuine delivery cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    #[error("no event id at {0}")]
    NoId(String),
    #[error("its body is not JSON, although its Content-Type says so")]
    NotJson,
    #[error("its body unpacks to more than {0} bytes, the source's `max_body`")]
    UnpacksTooLarge(u64),
    #[error("its body is not XML")]
    NotXml,
    #[error("{0} occurs several times with different values")]
    Repeated(String),
    #[error("{0} is not UTF-8")]
    NotText(String),
    #[error("its {0} is {1} bytes long (at most {MAX_NAME_BYTES} are allowed)")]
    TooLong(EventField, usize),
    #[error("its {0} contains a control character")]
    ControlCharacter(EventField),
    #[error("its batch of events cannot be read: {0}")]
    InvalidBatch(&'static str),
    #[error("its handshake has nothing at {0} that could be sent back")]
    NoChallenge(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventField {
    Id,
    Type,
}

impl fmt::Display for EventField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "event id",
            Self::Type => "event type",
        })
    }
}
