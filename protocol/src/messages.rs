//! What travels on each subject, where it is more than one signed thing. All CBOR maps with integer keys.

use crate::amounts::Units;
use crate::buy::{BuyEcoins, SealedPaywords};
use crate::ids::{ContentId, Digest, PeerId};
use crate::key_list::SignedKeyList;
use crate::keys::PublicKey;
use crate::layout::Signed;
use crate::listing::{Listing, Withdraw};
use crate::payout::RequestPayout;
use crate::query::Query;
use crate::quote::Quote;
use crate::redemption::RedemptionBatch;
use crate::register::{Register, RotateKeys};
use crate::suite::Suite;
use crate::touchstone::Touchstone;

/// Broker → peer, after `register`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Account {
    /// The peer's id.
    #[n(0)]
    pub peer: PeerId,
    /// The broker's keys.
    #[n(1)]
    pub keys: SignedKeyList,
}

/// Peer → broker, `buy`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Buy {
    /// What is bought.
    #[n(0)]
    pub buy: Signed<BuyEcoins>,
    /// The peer's keys, which the broker keeps from its first money command on.
    #[n(1)]
    pub register: Option<Signed<Register>>,
}

/// Broker → peer: the purchase (M2 and M3).
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Sold {
    /// The words.
    #[n(0)]
    pub sealed: Signed<SealedPaywords>,
    /// The touchstones, in the order of the words.
    #[n(1)]
    pub touchstones: Vec<Signed<Touchstone>>,
    /// The ledger record that sold them.
    #[n(2)]
    pub position: u64,
}

/// Peer → broker, `redeem`. The answer is a signed [`crate::redemption::Statement`].
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Redeem {
    /// The batch (M6).
    #[n(0)]
    pub batch: Signed<RedemptionBatch>,
    /// Touchstones of e-coins that the broker called unknown. They need no signature but the broker's.
    #[n(1)]
    pub touchstones: Vec<Signed<Touchstone>>,
    /// The peer's keys, see [`Buy`].
    #[n(2)]
    pub register: Option<Signed<Register>>,
}

/// Peer → peer, `quote`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct AskQuote {
    /// What is wanted.
    #[n(0)]
    pub content: ContentId,
    /// The first chunk wanted: 0 for the whole.
    #[n(1)]
    pub first_chunk: u64,
    /// How many chunks are wanted; absent: all from the first on.
    #[n(2)]
    pub chunk_count: Option<u64>,
}

/// Peer → peer: the payee's offer.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Quoted {
    /// The offer.
    #[n(0)]
    pub quote: Signed<Quote>,
    /// The payee's signing key, whose hash is its PeerId.
    #[n(1)]
    pub key: PublicKey,
    /// The suites that it accepts.
    #[n(2)]
    pub suites: Vec<Suite>,
}

/// Peer → peer, after `pay`: how the order stands. The same payment again gets the same answer.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Paid {
    /// What has been paid towards the order in all.
    #[n(0)]
    pub paid: Units,
}

/// Peer → peer, `chunk`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct AskChunk {
    /// The order that pays for it.
    #[n(0)]
    pub order: Digest,
    /// Which chunk, from 0.
    #[n(1)]
    pub index: u64,
}

/// Peer → peer: content with proof of its hash (M5).
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Chunk {
    /// The chunk's bytes and the hash tree above it, in the Bao encoding of that slice.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub slice: Vec<u8>,
}

/// Peer → peer, `close`. The answer is a signed [`crate::quote::Receipt`].
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct AskReceipt {
    /// The order that was paid.
    #[n(0)]
    pub order: Digest,
}

/// Peer → CIS, `announce`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Announce {
    /// What is on offer.
    #[n(0)]
    pub listing: Signed<Listing>,
    /// The supplier's signing key.
    #[n(1)]
    pub key: PublicKey,
}

/// Peer → CIS, `withdraw`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct TakeBack {
    /// What is on offer no more.
    #[n(0)]
    pub withdraw: Signed<Withdraw>,
    /// The supplier's signing key.
    #[n(1)]
    pub key: PublicKey,
}

/// Peer → CIS, `search`.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Search {
    /// Words, all of which must be found (as a whole or as a beginning).
    #[n(0)]
    pub text: String,
    /// How many hits to skip.
    #[n(1)]
    pub skip: u32,
    /// How many hits to answer, at most [`crate::limits::MAX_SEARCH_RESULTS`].
    #[n(2)]
    pub limit: u32,
}

/// One hit.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Hit {
    /// The listing, which the searcher verifies itself.
    #[n(0)]
    pub listing: Signed<Listing>,
    /// The supplier's signing key.
    #[n(1)]
    pub key: PublicKey,
    /// Whether the supplier was heard of lately.
    #[n(2)]
    pub online: bool,
}

/// CIS → peer: hits, best first.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Hits {
    /// The hits.
    #[n(0)]
    pub hits: Vec<Hit>,
    /// Whether there are more.
    #[n(1)]
    pub more: bool,
}

/// An answer that says nothing but: done.
#[derive(Clone, PartialEq, Eq, Debug, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Done {}

/// Peer → broker, `payout`. The answer is a signed [`crate::query::Answer`] with a [`crate::payout::PayoutView`].
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Withdrawal {
    /// What is to be paid out.
    #[n(0)]
    pub payout: Signed<RequestPayout>,
    /// The peer's keys, see [`Buy`].
    #[n(1)]
    pub register: Option<Signed<Register>>,
}

/// Peer → broker, `rotate`. The answer is a signed [`crate::certificate::Certificate`].
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Rotate {
    /// The order, signed with the key that is given up.
    #[n(0)]
    pub order: Signed<RotateKeys>,
    /// The new keys, signed with the new signing key.
    #[n(1)]
    pub register: Signed<Register>,
}

/// Peer → broker, `balance`, `statement` and `restore`: the subject is the question's ([`crate::query::Question::op`]).
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Ask {
    /// The question.
    #[n(0)]
    pub query: Signed<Query>,
    /// The peer's keys, for an account that was credited but never used; see [`Buy`].
    #[n(1)]
    pub register: Option<Signed<Register>>,
}
