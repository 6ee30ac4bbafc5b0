//! Why a delivery was turned away, in plain words for the operator.
//!
//! The words name headers, fields and clocks, never a secret, a signature or what was expected. The caller hears
//! none of it: the listener answers every [`VerifyError::NotGenuine`] alike.

use std::fmt;
use std::time::Duration;

use crate::model::event::MAX_NAME_BYTES;
use crate::providers::{Setting, ValueLocation};

/// SignatureError a delivery was turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Nothing proves that the provider sent it, or not now: 401.
    #[error("not genuine: {0}")]
    NotGenuine(#[from] SignatureError),
    /// The provider sent it, but it cannot be told what it is: 400.
    #[error("genuine, but {0}")]
    Malformed(#[from] ExtractError),
    /// A method by which this provider sends nothing: 405.
    #[error("neither a delivery nor the provider's handshake")]
    MethodNotAllowed,
    /// A handshake that does not fit the source's settings: 403 or 404.
    #[error("{0}")]
    Handshake(HandshakeMismatch),
    /// It cannot be told now, since the provider's keys could not be fetched: 503.
    #[error("cannot be verified now: {0}")]
    Unavailable(String),
}

/// How a handshake differs from what is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a handshake whose {place} does not match `{}`", .setting.key())]
pub struct HandshakeMismatch {
    /// The status that the provider expects then.
    pub status: u16,
    /// Where it differs.
    pub place: String,
    /// From which setting.
    pub setting: Setting,
}

/// What is wrong with the proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature, the timestamp, or another signed value is absent or empty.
    #[error("the {0} is missing")]
    Missing(ValueLocation),
    /// The place holds several values that differ.
    #[error("the {0} came several times with different values")]
    Repeated(ValueLocation),
    /// The prefix that the scheme asks for is not there.
    #[error("the {0} does not begin with `{1}`")]
    MissingPrefix(ValueLocation, String),
    /// No item of the list is a signature.
    #[error("the {0} has no `{1}` among its fields")]
    MissingField(ValueLocation, String),
    /// A field that may be there once is there more often.
    #[error("the {0} has the field `{1}` more than once")]
    RepeatedField(ValueLocation, String),
    /// Nobody sends that many.
    #[error("the {0} holds more than {MAX_SIGNATURES} signatures")]
    TooManySignatures(ValueLocation),
    /// No signature could be decoded.
    #[error("the {0} is not written as {1}")]
    Undecodable(ValueLocation, &'static str),
    /// A signature, but not one that any of the source's secrets makes of this delivery.
    #[error("the {0} matches none of the source's secrets")]
    NoMatch(ValueLocation),
    /// The body is no form, and the signature is over the fields of one.
    #[error("the body is not the form that the signature is over")]
    NotAForm,
    /// A header that must say something else.
    #[error("the {0} is not `{1}`")]
    UnexpectedValue(ValueLocation, String),
    /// Signed with a key of another name.
    #[error("the {0} names a key that is not the source's")]
    UnknownKeyId(ValueLocation),
    /// Signed in a way that the scheme does not allow.
    #[error("the {0} names an algorithm that this provider does not use")]
    AlgorithmNotAllowed(ValueLocation),
    /// A claim of the token says something else of the delivery.
    #[error("the token's claim `{0}` does not hold of this delivery")]
    ClaimMismatch(String),
    /// Not what the provider sends at all.
    #[error("it is not {0}")]
    NotAMessage(&'static str),
    /// About something that the source does not want.
    #[error("it is about a topic that is not among the source's `topics`")]
    TopicNotAllowed,
    /// An address that is not the provider's.
    #[error("{0} {1}")]
    UrlNotAllowed(&'static str, String),
    /// A key that the provider does not have, or not now.
    #[error("the provider has no such key, or it is not valid now")]
    UnknownKey,
    /// The provider tells the secret itself, and has not yet.
    #[error("no secret is known yet; `hookbox learn` believes the provider's handshake for ten minutes")]
    NotEnrolled,
    /// A handshake that would set a secret, and one is known.
    #[error("a handshake that would change the secret, and one is known already")]
    AlreadyEnrolled,
    /// A handshake that would set a secret, and nobody asked for it.
    #[error("a handshake that would set the secret; `hookbox learn` believes it for ten minutes")]
    EnrollmentClosed,
    /// Signed, but no instant.
    #[error("the timestamp is not written as {0}")]
    MalformedTimestamp(&'static str),
    /// Signed, but longer ago than the window allows.
    #[error("signed {} ago, and at most {} are allowed: sent again by someone, or the clock here is ahead", Seconds(.age), Seconds(.allowed))]
    TooOld {
        /// From the timestamp to now.
        age: Duration,
        /// The window.
        allowed: Duration,
    },
    /// Signed further in the future than the window allows.
    #[error("signed {} in the future, and at most {} are allowed: the clock here is behind", Seconds(.ahead), Seconds(.allowed))]
    InFuture {
        /// From now to the timestamp.
        ahead: Duration,
        /// The window.
        allowed: Duration,
    },
}

/// Most signatures that one delivery may carry: senders that roll a secret put two or three.
pub(super) const MAX_SIGNATURES: usize = 16;

/// What cannot be told about a genuine delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// None of the places holds an id.
    #[error("no event id at {0}")]
    NoId(String),
    /// Content-Type says JSON.
    #[error("its body is not the JSON that its Content-Type claims")]
    NotJson,
    /// A selector looks into XML.
    #[error("its body is not the XML that it should be")]
    NotXml,
    /// A place holds several values that differ.
    #[error("{0} came several times with different values")]
    Repeated(String),
    /// A place holds bytes that are no text.
    #[error("{0} is not UTF-8")]
    NotText(String),
    /// The id or type is longer than the inbox keeps.
    #[error("its {0} is {1} bytes long, and at most {MAX_NAME_BYTES} are allowed")]
    TooLong(Name, usize),
    /// The id or type holds a control character.
    #[error("its {0} holds a control character")]
    ControlCharacter(Name),
    /// A form field or an array is not the JSON it should be, or holds too many events.
    #[error("its events cannot be told apart: {0}")]
    InvalidBatch(&'static str),
    /// The provider's handshake lacks what is to be sent back.
    #[error("its handshake has nothing at {0} that could be sent back")]
    NoChallenge(String),
}

/// Which of an event's names is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The event id.
    Id,
    /// The event type.
    Type,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "event id",
            Self::Type => "event type",
        })
    }
}

struct Seconds<'a>(&'a Duration);

impl fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs())
    }
}
