//! The ports of the past: what happened to this peer's money, and what still waits for the broker's answer.
//!
//! Apart from the other ports because nothing is decided by it: it is there to be read. Part of [`crate::ports`].

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId};

use crate::ports::Stored;

/// How much of one kind waits for the broker's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// `purchases`, `payouts` or `batches`.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// When the oldest was made.
    pub oldest_ms: u64,
}

/// What waits for the broker's answer.
pub trait Waits {
    /// One for each kind.
    fn waiting(&self) -> Stored<Vec<Waiting>>;
}

/// What an entry belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reference {
    /// A purchase, a batch or a payout.
    Request(RequestId),
    /// A quote that is being paid.
    Order(Digest),
}

/// Something that happened to this peer's money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When.
    pub at_ms: u64,
    /// `buy`, `buy_refused`, `buy_dropped`, `grant`, `refused`, `receipt`, `accept`, `redeem`, `paid_before`, `forgotten`, `regained`, `double_spend`,
    /// `lost`, `broker_restored`,
    /// `payout`, `payout_refused`, `payout_dropped`, `payout_settled`, `payout_failed`, `locked`,
    /// `stale_copy`.
    pub what: String,
    /// Payer, payee, or nobody but the broker.
    pub with: Option<PeerId>,
    /// On which e-coin.
    pub ecoin: Option<EcoinId>,
    /// How much.
    pub units: Units,
    /// What it belongs to.
    pub reference: Option<Reference>,
    /// For a person.
    pub note: String,
}

/// Which entries are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Those since then.
    pub since_ms: u64,
    /// Those with this peer alone.
    pub with: Option<PeerId>,
    /// Those of this name alone.
    pub what: Option<String>,
    /// The most, latest first.
    pub limit: u32,
}

/// What happened, in order.
pub trait History {
    /// Adds an entry.
    fn note(&self, entry: Entry) -> Stored<()>;
    /// Those wanted, latest first.
    fn history(&self, wanted: &Wanted) -> Stored<Vec<Entry>>;
}
