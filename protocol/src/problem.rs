//! What goes wrong between two programs: one numbered list, never renumbered, in order of precedence within the broker.

use crate::wire::NotAMessage;

/// The kind of a problem. The number travels; the name is for people and scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// Not a message of version 1.
    #[n(1)]
    Malformed,
    /// Larger than a message may be, or asking for more than the limits allow.
    #[n(2)]
    TooLarge,
    /// Meant for another broker, peer or subject.
    #[n(3)]
    NotForMe,
    /// A signature that does not verify.
    #[n(4)]
    BadSignature,
    /// An account, e-coin, statement, content or order that is not there.
    #[n(5)]
    NotFound,
    /// The request's id was used for other bytes.
    #[n(6)]
    RequestIdReused,
    /// The request's time is over; it was not carried out, and will not be.
    #[n(7)]
    RequestExpired,
    /// The account is suspended.
    #[n(8)]
    Suspended,
    /// The account is in debt for a double spend.
    #[n(9)]
    InDebt,
    /// The balance is too small.
    #[n(10)]
    InsufficientFunds,
    /// The broker's or payee's policy does not allow it.
    #[n(11)]
    Policy,
    /// It contradicts what was recorded before.
    #[n(12)]
    Conflict,
    /// A queue is full, or a budget is used up: come again later.
    #[n(13)]
    Busy,
    /// Not now: stopping, starting, or behind. The outcome is not known; repeat the same bytes.
    #[n(14)]
    Unavailable,
    /// Payment refused by the payee's rules.
    #[n(15)]
    PaymentRefused,
    /// More must be paid before this is served.
    #[n(16)]
    PaymentDue,
    /// The broker's log does not contain the head that the peer has seen: it was restored from an older copy.
    #[n(17)]
    Fork,
}

impl Kind {
    /// The code in the header `Nats-Service-Error-Code`.
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed | Self::TooLarge | Self::NotForMe => 400,
            Self::InsufficientFunds | Self::PaymentRefused | Self::PaymentDue => 402,
            Self::BadSignature | Self::Suspended | Self::InDebt => 403,
            Self::NotFound => 404,
            Self::RequestIdReused | Self::Conflict | Self::Fork => 409,
            Self::RequestExpired | Self::Policy => 422,
            Self::Busy => 429,
            Self::Unavailable => 503,
        }
    }

    /// Its name, as scripts read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NotForMe => "not_for_me",
            Self::BadSignature => "bad_signature",
            Self::NotFound => "not_found",
            Self::RequestIdReused => "request_id_reused",
            Self::RequestExpired => "request_expired",
            Self::Suspended => "suspended",
            Self::InDebt => "in_debt",
            Self::InsufficientFunds => "insufficient_funds",
            Self::Policy => "policy",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::PaymentRefused => "payment_refused",
            Self::PaymentDue => "payment_due",
            Self::Fork => "fork",
        }
    }

    /// Whether the same bytes may be sent again with another outcome.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }
}

/// A problem as it travels, as the body of an answer that carries the error headers.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, minicbor::Encode, minicbor::Decode)]
#[error("{text}")]
#[cbor(map)]
pub struct Problem {
    /// The kind.
    #[n(0)]
    pub kind: Kind,
    /// What was expected, for a person.
    #[n(1)]
    pub text: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<NotAMessage> for Problem {
    fn from(error: NotAMessage) -> Self {
        let kind = if matches!(error, NotAMessage::TooLarge(_)) { Kind::TooLarge } else { Kind::Malformed };
        Self::new(kind, error.to_string())
    }
}
