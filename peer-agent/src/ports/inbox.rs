//! The ports of leaving a batch for the broker: the inbox that takes it, and the note that it was taken.
//!
//! Nothing depends on either. What is claimed stays claimed until a statement is held, and the broker's word comes from the
//! broker alone. Part of [`crate::ports`].

use netpay_protocol::ids::RequestId;

use crate::ports::Stored;

/// A message that the inbox has stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Whether it lay there already, from an earlier try.
    pub before: bool,
}

/// Why a message was not left.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotLeft {
    /// Nobody takes messages there.
    #[error("this broker has no inbox on the NATS server (or JetStream is switched off there)")]
    NoInbox,
    /// It is full: of this peer's messages, or of everybody's.
    #[error("the broker's inbox is full ({0})")]
    Full(String),
    /// It takes no such message.
    #[error("the broker's inbox does not take it: {0}")]
    Refused(String),
    /// No answer: whether it is stored is not known.
    #[error("{0}")]
    Silence(String),
}

/// The broker's inbox, as a peer reaches it.
#[allow(async_fn_in_trait)]
pub trait Inbox {
    /// Leaves a message and waits until it is stored. The same message may be left again under the same id: it is kept once.
    async fn leave(&self, message: Vec<u8>, id: &str) -> Result<Left, NotLeft>;
}

/// The open batch, left in the inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// Which.
    pub request: RequestId,
    /// When it was first.
    pub at_ms: u64,
}

/// What was left and is not answered.
pub trait Outbox {
    /// Notes that the open batch is in the inbox. The first time counts.
    fn mark_published(&self, request: RequestId, at_ms: u64) -> Stored<()>;
    /// The open batch, if it was left there.
    fn published(&self) -> Stored<Option<Published>>;
}
