//! The ports: what wallet and till need of a store, of the broker, and of another peer.
//!
//! Wallet and till are plain functions over these traits. Everything one function call does through a store port
//! happens in one transaction, which the caller begins and commits before it lets anything leave. Adapters are
//! `store` (SQLite) and `net` (NATS); nothing here knows either.

mod folders;
pub mod inbox;
mod past;

pub use crate::ports::folders::{Folder, FolderFile, Folders};
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{ContentId, Digest, EcoinId, PeerId, RequestId};
use netpay_protocol::index::Grant;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::payment::Pay;
use netpay_protocol::payout::{PayoutView, RequestPayout};
use netpay_protocol::problem::Problem;
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::redemption::{RedemptionBatch, Statement, Verdict};
use netpay_protocol::subjects::{BrokerOp, PeerOp};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Touchstone;

pub use crate::ports::past::{Entry, History, Reference, Waiting, Waits, Wanted};

/// The store failed, or holds what it must not. Nothing of the transaction happened.
#[derive(Debug, thiserror::Error)]
#[error("the wallet's database: {0}")]
pub struct StoreError(pub Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// The store holds something that it cannot hold.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self(what.into().into())
    }
}

/// What a store answers.
pub type Stored<T> = Result<T, StoreError>;

/// An e-coin of the wallet. Holding it is holding the money.
#[derive(Clone, Debug)]
pub struct Ecoin {
    /// What the broker says of it.
    pub touchstone: Signed<Touchstone>,
    /// Wₙ, from which all others follow.
    pub last: Payword,
    /// Never to be granted on (bought before a restore).
    pub locked: bool,
}

/// A grant of the wallet, with how far its words went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnGrant {
    /// The e-coin.
    pub ecoin: EcoinId,
    /// To whom.
    pub payee: PeerId,
    /// Range, order and signature.
    pub grant: Grant,
    /// The highest word that may have left; `from − 1` when none has.
    pub through: PaywordIndex,
    /// The highest word that the payee acknowledged.
    pub acked: PaywordIndex,
    /// The `to` that the payee acknowledged; 0 when it knows nothing of this grant.
    pub acked_to: PaywordIndex,
}

impl OwnGrant {
    /// Open until through = to − 1: nobody else may be paid with this e-coin.
    pub fn is_open(&self) -> bool {
        self.through.next() < self.grant.to
    }
}

/// A payment that left, or was about to, and was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The very payment: it is sent again as it is.
    pub pay: Pay,
    /// What it adds to the order.
    pub units: Units,
    /// Of that, what left before in a payment that was refused: the payee may have counted it then.
    pub sent_before: Units,
}

/// An order of the wallet: a quote that is being paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutOrder {
    /// The quote.
    pub quote: Signed<Quote>,
    /// The payee's key, to read the quote again with.
    pub payee_key: PublicKey,
    /// The suites that the payee takes.
    pub suites: Vec<Suite>,
    /// What was acknowledged, and the worth of the pending words.
    pub sent: Units,
    /// What the payee acknowledged.
    pub paid: Units,
    /// How many words left for it.
    pub words: WordCount,
    /// The last payment, while the payee has not answered it.
    pub pending: Option<Pending>,
    /// Whether it is over: everything was received, or the payee refused it.
    pub done: bool,
}

/// How a purchase stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PurchaseState {
    /// Not answered yet: its bytes are sent again.
    Pending,
    /// Its e-coins are in the wallet.
    Done,
    /// Somebody said no in the broker's name. That is not signed, and the same bytes may still arrive there from some
    /// queue: asked again when its time is over, when the answer cannot change any more.
    Refused,
    /// Its time was over, and the broker had not carried it out.
    Dropped,
}

/// Purchases, by request id.
pub trait Purchases {
    /// Keeps a purchase before it is sent.
    fn add_purchase(&self, buy: &Signed<BuyEcoins>, now_ms: u64) -> Stored<()>;
    /// Those that are in this state, oldest first.
    fn purchases(&self, state: PurchaseState) -> Stored<Vec<Signed<BuyEcoins>>>;
    /// How one stands.
    fn purchase_state(&self, request: RequestId) -> Stored<Option<PurchaseState>>;
    /// Says how one stands now. What is done stays done.
    fn mark_purchase(&self, request: RequestId, state: PurchaseState, why: &str) -> Stored<()>;
}

/// A payout of this peer's, as the wallet knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnPayout {
    /// Its name.
    pub request: RequestId,
    /// What was signed; nothing if only the broker's list told of it.
    pub order: Option<Signed<RequestPayout>>,
    /// When it was signed, or debited.
    pub at_ms: u64,
    /// Whether the broker answered it: `Done` says that it was debited, not that it was paid.
    pub state: PurchaseState,
    /// Why it was refused.
    pub why: String,
    /// The broker's last word on it.
    pub view: Option<PayoutView>,
}

/// Payouts, by request id.
pub trait Payouts {
    /// Keeps a payout before it is sent.
    fn add_payout(&self, payout: &Signed<RequestPayout>, now_ms: u64) -> Stored<()>;
    /// All, latest first.
    fn payouts(&self) -> Stored<Vec<OwnPayout>>;
    /// One.
    fn payout(&self, request: RequestId) -> Stored<Option<OwnPayout>>;
    /// Says how one stands now. What is done stays done.
    fn mark_payout(&self, request: RequestId, state: PurchaseState, why: &str) -> Stored<()>;
    /// Keeps the broker's word on one, whoever asked for it: it is done.
    fn put_payout_view(&self, view: &PayoutView) -> Stored<()>;
}

/// E-coins and grants of the wallet.
pub trait Coins {
    /// Keeps a new e-coin; answers false, and changes nothing, if it was ever known.
    fn add_ecoin(&self, ecoin: &Ecoin, bought_with: RequestId) -> Stored<bool>;
    /// One.
    fn ecoin(&self, ecoin: EcoinId) -> Stored<Option<Ecoin>>;
    /// All that still have words which the payee has not acknowledged or nobody was granted, oldest first.
    fn live_ecoins(&self) -> Stored<Vec<Ecoin>>;
    /// All.
    fn all_ecoins(&self) -> Stored<Vec<Ecoin>>;
    /// The grants of one, by rising `from`.
    fn grants(&self, ecoin: EcoinId) -> Stored<Vec<OwnGrant>>;
    /// Writes one grant, by e-coin and `from`.
    fn put_grant(&self, grant: &OwnGrant) -> Stored<()>;
    /// Takes a used up e-coin out of [`Coins::live_ecoins`].
    fn retire_ecoin(&self, ecoin: EcoinId) -> Stored<()>;
}

/// What a wallet does that cannot know any more what it granted.
pub trait Locking {
    /// Nothing is ever granted on this e-coin again.
    fn lock_ecoin(&self, ecoin: EcoinId) -> Stored<()>;
    /// Keeps an e-coin that only the broker knows, without its words; from then on it counts as known.
    fn keep_wordless(&self, touchstone: &Signed<Touchstone>) -> Stored<()>;
    /// Those.
    fn wordless_ecoins(&self) -> Stored<Vec<Signed<Touchstone>>>;
    /// Ends every order of the wallet.
    fn end_out_orders(&self) -> Stored<()>;
}

/// Orders of the wallet.
pub trait OutOrders {
    /// Writes one.
    fn put_out_order(&self, order: &OutOrder) -> Stored<()>;
    /// One, by the quote's digest.
    fn out_order(&self, order: Digest) -> Stored<Option<OutOrder>>;
    /// Those not done, of one payee, latest first.
    fn open_out_orders(&self, payee: PeerId) -> Stored<Vec<OutOrder>>;
    /// Those not done for one content on which words left, of all payees, latest first.
    fn begun_out_orders(&self, content: ContentId) -> Stored<Vec<OutOrder>>;
    /// Keeps a payee's receipt with its order, in place of an earlier one.
    fn put_receipt(&self, receipt: &Signed<Receipt>) -> Stored<()>;
    /// The receipt that is kept with an order.
    fn receipt(&self, order: Digest) -> Stored<Option<Signed<Receipt>>>;
}

/// An order of the till: a quote that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InOrder {
    /// The quote.
    pub quote: Signed<Quote>,
    /// Who asked for it: nobody else pays or is served on it.
    pub asker: PeerId,
    /// What was paid towards it.
    pub paid: Units,
}

/// Orders of the till.
pub trait InOrders {
    /// Keeps a quote before it is given.
    fn add_in_order(&self, order: &InOrder) -> Stored<()>;
    /// One, by the quote's digest.
    fn in_order(&self, order: Digest) -> Stored<Option<InOrder>>;
    /// Sets what was paid towards it.
    fn credit_in_order(&self, order: Digest, paid: Units) -> Stored<()>;
    /// The unpaid quotes of this asker, those last that expire last.
    fn unpaid_in_orders(&self, asker: PeerId) -> Stored<Vec<InOrder>>;
    /// Forgets unpaid quotes: those that expired before `now_ms`, and the oldest above `keep` (of this asker, in all).
    fn forget_unpaid(&self, asker: PeerId, now_ms: u64, keep: (u32, u32)) -> Stored<()>;
}

/// An e-coin that the till was paid with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TillEcoin {
    /// What the broker says of it.
    pub touchstone: Signed<Touchstone>,
    /// The highest word known, under any grant.
    pub high: PaywordIndex,
    /// That word; at first the root.
    pub high_word: Payword,
    /// Whether the broker called it unknown, so that its touchstone goes along.
    pub unknown: bool,
}

/// What the till may claim under one grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TillClaim {
    /// The e-coin.
    pub ecoin: EcoinId,
    /// Range, order and signature.
    pub grant: Grant,
    /// The highest word accepted.
    pub through: PaywordIndex,
    /// That word.
    pub word: Payword,
    /// The highest word that a statement settled; `from − 1` when none.
    pub settled: PaywordIndex,
    /// Of the settled words, those that were paid to somebody else: lost.
    pub conflicting: WordCount,
    /// A verdict that settles nothing and is final: the words are lost.
    pub lost: Option<Verdict>,
    /// When the oldest of its words that may not be settled yet came; too early rather than too late.
    pub since_ms: u64,
    /// Whether the settled words are asked for again: the broker was restored from a backup.
    pub again: bool,
}

/// E-coins and claims of the till. What was accepted of an e-coin is the union of its claims' runs.
pub trait Till {
    /// One e-coin.
    fn till_ecoin(&self, ecoin: EcoinId) -> Stored<Option<TillEcoin>>;
    /// Writes one.
    fn put_till_ecoin(&self, ecoin: &TillEcoin) -> Stored<()>;
    /// The claims on one e-coin, by rising `from`.
    fn claims(&self, ecoin: EcoinId) -> Stored<Vec<TillClaim>>;
    /// Writes one, by e-coin and `from`.
    fn put_claim(&self, claim: &TillClaim) -> Stored<()>;
    /// Worth of what is accepted and not settled: (of this payer, in all).
    fn exposure(&self, payer: PeerId) -> Stored<(Units, Units)>;
    /// Whether a statement found this payer spending twice.
    fn double_spent(&self, payer: PeerId) -> Stored<bool>;
    /// Claims after a cursor in the order they came, at most `limit`: with words to settle or to ask for again, or
    /// (`settled_too`) all.
    fn claims_after(&self, after: i64, settled_too: bool, limit: u32) -> Stored<Vec<(i64, TillClaim)>>;
}

/// Redemption batches.
pub trait Batches {
    /// The one that was not answered yet.
    fn open_batch(&self) -> Stored<Option<Signed<RedemptionBatch>>>;
    /// Keeps one before it is sent.
    fn add_batch(&self, batch: &Signed<RedemptionBatch>, now_ms: u64) -> Stored<()>;
    /// Ends one with its statement.
    fn settle_batch(&self, statement: &Signed<Statement>) -> Stored<()>;
    /// Ends one that the broker rejected as a whole.
    fn drop_batch(&self, request: RequestId) -> Stored<()>;
    /// A batch, however it stands.
    fn batch(&self, request: RequestId) -> Stored<Option<Signed<RedemptionBatch>>>;
    /// Statements, latest first.
    fn statements(&self, limit: u32) -> Stored<Vec<Signed<Statement>>>;
    /// A batch with its statement.
    fn statement(&self, request: RequestId) -> Stored<Option<(Signed<RedemptionBatch>, Signed<Statement>)>>;
}

/// Single values that are replaced as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// The broker's key list, as it came.
    KeyList,
    /// The revocation list, as it came.
    Revoked,
    /// The last ledger head seen in a statement.
    Head,
    /// The highest incarnation of the broker seen in a statement, as 8 bytes, big-endian: the one that `Head` is of.
    Incarnation,
    /// The broker answered a registration.
    Registered,
    /// The broker answered a money command, so that it has our keys in its ledger.
    KnownToLedger,
    /// Not empty: this home was made from a backup, and its e-coins are not locked yet.
    Restored,
    /// E-coins issued up to this time of the broker's are locked here, as 8 bytes, big-endian.
    LockedThrough,
    /// When this wallet was last held against what the broker paid, as 8 bytes, big-endian.
    CopyChecked,
    /// Not empty: words that are sealed now may still lie clear in unused parts of the file or its journal.
    ClearRemains,
    /// The newest certificate of a peer's key; one's own, to be given out.
    CertificateOf(PeerId),
}

/// Slots.
pub trait Slots {
    /// Reads one.
    fn slot(&self, slot: Slot) -> Stored<Option<Vec<u8>>>;
    /// Writes one.
    fn put_slot(&self, slot: Slot, value: &[u8]) -> Stored<()>;
}

/// A file on offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its BLAKE3 hash.
    pub content: ContentId,
    /// Where it is.
    pub path: std::path::PathBuf,
    /// What it is called.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// The price of the whole.
    pub price: Units,
    /// Words to be found by.
    pub tags: String,
    /// Its hash tree.
    pub tree: Vec<u8>,
}

/// Files on offer.
pub trait Shares {
    /// Adds or replaces one.
    fn put_share(&self, share: &Share) -> Stored<()>;
    /// One.
    fn share(&self, content: ContentId) -> Stored<Option<Share>>;
    /// All, by name.
    fn shares(&self) -> Stored<Vec<Share>>;
    /// Removes one; answers whether it was there.
    fn remove_share(&self, content: ContentId) -> Stored<bool>;
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side said what is wrong.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// No answer: whether it was carried out is not known.
    #[error("{0}")]
    Silence(String),
    /// An answer that is not one.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

/// The broker, as a peer reaches it.
#[allow(async_fn_in_trait)]
pub trait Broker {
    /// Sends a message and waits for the answer.
    async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError>;
}

/// A supplying peer, as its customer reaches it.
#[allow(async_fn_in_trait)]
pub trait Supplier {
    /// Sends a message and waits for the answer.
    async fn ask(&self, op: PeerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError>;
}
