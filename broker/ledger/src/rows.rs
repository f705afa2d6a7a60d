//! The rows that state consists of, and the bytes of their keys.
//!
//! | table | key | row |
//! |---|---|---|
//! | `accounts` | PeerId | [`AccountRow`] |
//! | `ecoins` | IDe | [`EcoinRow`] |
//! | `runs` | IDe ‖ u32be(first) | [`RunRow`]; never merged across grants |
//! | `conflicts` | IDe ‖ payee | [`ConflictRow`] |
//! | `debts` | debtor ‖ creditor ‖ IDe | [`DebtRow`] |
//! | `requests` | signer ‖ request id | [`RequestRow`] |
//! | `references` | the reference's bytes | [`ReferenceRow`] |
//! | `suspended` | PeerId | [`SuspendedRow`] |
//! | `meta` | `totals` | [`Totals`] |
//! | `ecoins_by_payer` | payer ‖ IDe | [`OwnedRow`]; while the e-coin is not refunded |
//! | `payouts` | peer ‖ request id | [`PayoutRow`] |
//! | `expiry` | u64be(redeem_until) ‖ IDe | [`ExpiryRow`]; while the e-coin is not refunded |
//!
//! Key bytes never change meaning. Rows are CBOR.

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::redemption::Head;
use netpay_protocol::register::Register;
use netpay_protocol::touchstone::Touchstone;

use crate::command::DebtKey;

/// Where a row belongs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// See the module.
    Accounts,
    /// See the module.
    Ecoins,
    /// See the module.
    Runs,
    /// See the module.
    Conflicts,
    /// See the module.
    Debts,
    /// See the module.
    Requests,
    /// See the module.
    References,
    /// See the module.
    Suspended,
    /// See the module.
    Meta,
    /// See the module.
    EcoinsByPayer,
    /// See the module.
    Payouts,
    /// See the module.
    Expiry,
}

impl Table {
    /// Every table, in the order in which the state digest takes them.
    pub const ALL: [Self; 12] = [
        Self::Accounts,
        Self::Ecoins,
        Self::Runs,
        Self::Conflicts,
        Self::Debts,
        Self::Requests,
        Self::References,
        Self::Suspended,
        Self::Meta,
        Self::EcoinsByPayer,
        Self::Payouts,
        Self::Expiry,
    ];

    /// Its name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Ecoins => "ecoins",
            Self::Runs => "runs",
            Self::Conflicts => "conflicts",
            Self::Debts => "debts",
            Self::Requests => "requests",
            Self::References => "references",
            Self::Suspended => "suspended",
            Self::Meta => "meta",
            Self::EcoinsByPayer => "ecoins_by_payer",
            Self::Payouts => "payouts",
            Self::Expiry => "expiry",
        }
    }
}

/// A row: its table, its key, its bytes.
pub trait Row: Clone + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> {
    /// What names it.
    type Key: Clone + Ord;
    /// Where it belongs.
    const TABLE: Table;
    /// Its key's bytes.
    fn key(key: &Self::Key) -> Vec<u8>;
}

macro_rules! row {
    ($row:ty, $table:ident, $key:ty, |$k:ident| $bytes:expr) => {
        impl Row for $row {
            type Key = $key;
            const TABLE: Table = Table::$table;
            fn key($k: &Self::Key) -> Vec<u8> {
                $bytes
            }
        }
    };
}

row!(AccountRow, Accounts, PeerId, |peer| peer.0.to_vec());
row!(EcoinRow, Ecoins, EcoinId, |ecoin| ecoin.0.to_vec());
row!(RunRow, Runs, (EcoinId, PaywordIndex), |key| [key.0.0.as_slice(), &key.1.0.to_be_bytes()].concat());
row!(ConflictRow, Conflicts, (EcoinId, PeerId), |key| [key.0.0, key.1.0].concat());
row!(DebtRow, Debts, DebtKey, |key| [key.debtor.0, key.creditor.0, key.ecoin.0].concat());
row!(RequestRow, Requests, (PeerId, RequestId), |key| [key.0.0, key.1.0].concat());
row!(ReferenceRow, References, String, |reference| reference.as_bytes().to_vec());
row!(SuspendedRow, Suspended, PeerId, |peer| peer.0.to_vec());
row!(Totals, Meta, (), |_key| b"totals".to_vec());
row!(OwnedRow, EcoinsByPayer, (PeerId, EcoinId), |key| [key.0.0, key.1.0].concat());
row!(PayoutRow, Payouts, PayoutKey, |key| [key.peer.0, key.request.0].concat());
row!(ExpiryRow, Expiry, (u64, EcoinId), |key| [key.0.to_be_bytes().as_slice(), &key.1.0].concat());

/// One peer.
#[derive(Clone, PartialEq, Eq, Debug, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct AccountRow {
    /// What it has.
    #[n(0)]
    pub balance: Units,
    /// Its keys; nothing while it is only funded.
    #[n(1)]
    pub opened: Option<Opened>,
    /// Since when it is suspended.
    #[n(2)]
    pub suspended_at_ms: Option<u64>,
    /// When the last of its e-coins can no longer be redeemed.
    #[n(3)]
    pub last_redeem_until_ms: u64,
    /// What it owes for double spending, in all. Holds the balance; is not posted.
    #[n(4)]
    pub debt: Units,
    /// Keys that it gave up, oldest first; nothing before the first one, so that an older ledger's row stays as it is.
    #[n(5)]
    pub former_keys: Option<Vec<PublicKey>>,
}

/// An opened account's keys.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Opened {
    /// When.
    #[n(0)]
    pub at_ms: u64,
    /// The registration.
    #[n(1)]
    pub register: Signed<Register>,
}

/// One e-coin.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct EcoinRow {
    /// What was sold.
    #[n(0)]
    pub touchstone: Signed<Touchstone>,
    /// The epoch of the chain master key.
    #[n(1)]
    pub epoch: u32,
    /// Words paid, over all runs.
    #[n(2)]
    pub paid: WordCount,
    /// When it was refunded.
    #[n(3)]
    pub expired_at_ms: Option<u64>,
    /// The record that sold it.
    #[n(4)]
    pub position: u64,
}

/// One run paid under one grant. The record holds the grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct RunRow {
    /// The last word.
    #[n(0)]
    pub through: PaywordIndex,
    /// To whom.
    #[n(1)]
    pub payee: PeerId,
    /// By which record.
    #[n(2)]
    pub position: u64,
}

/// One double spend, by e-coin and the payee who came second. The record holds the evidence.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ConflictRow {
    /// By which record.
    #[n(0)]
    pub position: u64,
}

/// What is still owed.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DebtRow {
    /// How much; never zero.
    #[n(0)]
    pub open: Units,
}

/// The outcome of a request.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct RequestRow {
    /// The digest of its signed bytes.
    #[n(0)]
    pub digest: Digest,
    /// The record that holds the outcome.
    #[n(1)]
    pub position: u64,
}

/// A deposit's reference.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ReferenceRow {
    /// Credited to whom.
    #[n(0)]
    pub peer: PeerId,
    /// How much.
    #[n(1)]
    pub amount: Units,
    /// By which record.
    #[n(2)]
    pub position: u64,
}

/// A suspended peer, so that the revocation list needs no scan of all accounts.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SuspendedRow {
    /// Since when.
    #[n(0)]
    pub since_ms: u64,
}

/// An e-coin of this payer that was not refunded, so that it is found without a scan of all e-coins. Says nothing but:
/// there it is.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct OwnedRow {}

/// An e-coin that was not refunded, by the time when it can be. Says nothing but: there it is.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ExpiryRow {}

/// One payout.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct PayoutRow {
    /// How much.
    #[n(0)]
    pub amount: Units,
    /// Where to, as the peer wrote it.
    #[n(1)]
    pub destination: String,
    /// When it was debited.
    #[n(2)]
    pub requested_at_ms: u64,
    /// How it stands.
    #[n(3)]
    pub state: PayoutState,
    /// The record that debited it.
    #[n(4)]
    pub position: u64,
}

/// Sums over everything, and the log's head.
#[derive(Clone, PartialEq, Eq, Debug, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Totals {
    /// The last record.
    #[n(0)]
    pub head: Head,
    /// Its time.
    #[n(1)]
    pub recorded_at_ms: u64,
    /// Σ balances.
    #[n(2)]
    pub peers: Units,
    /// Sold, not yet redeemed or refunded.
    #[n(3)]
    pub escrow: Units,
    /// Deposits less payouts, as the world's account has it: negative.
    #[n(4)]
    pub outside: i64,
    /// Accounts.
    #[n(5)]
    pub accounts: u64,
    /// E-coins ever sold.
    #[n(6)]
    pub ecoins_issued: u64,
    /// Words ever credited.
    #[n(7)]
    pub words_redeemed: u64,
    /// Double spends ever recorded.
    #[n(8)]
    pub double_spends: u64,
    /// Open debts.
    #[n(9)]
    pub debts: Units,
    /// Σ payouts neither settled nor failed; nothing before the first one, so that an older ledger's row stays as it is.
    #[n(10)]
    pub payouts: Option<Units>,
    /// Which life of the broker; nothing in the first one.
    #[n(11)]
    pub incarnation: Option<u64>,
    /// The backup that this life began with, until that is reconciled.
    #[n(12)]
    pub restored: Option<RestoredFrom>,
    /// The newest list of the broker's keys in the log; nothing before the first rotation.
    #[n(13)]
    pub keys: Option<KeysAt>,
    /// When the broker's clock came in doubt, until it is confirmed.
    #[n(14)]
    pub clock_doubted_at_ms: Option<u64>,
}

/// The backup that a life of the broker began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct RestoredFrom {
    /// Its last record.
    #[n(0)]
    pub head: Head,
    /// The time of that.
    #[n(1)]
    pub head_at_ms: u64,
}

/// Where the newest list of the broker's keys is, and which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct KeysAt {
    /// The record.
    #[n(0)]
    pub position: u64,
    /// The list's incarnation.
    #[n(1)]
    pub incarnation: u64,
    /// The list's number.
    #[n(2)]
    pub seq: u64,
}

impl Totals {
    /// What was taken off balances and is not paid out yet. All of it may come back.
    pub fn payouts_open(&self) -> Units {
        self.payouts.unwrap_or(Units::ZERO)
    }

    /// Which life of the broker this is, from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation.unwrap_or(1)
    }
}
