//! Operator → broker: signed commands, and the views that operators see.

use crate::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use crate::ids::{BrokerId, EcoinId, Kid, PeerId, RequestId};
use crate::index::Grant;
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::MAX_MESSAGE_BYTES;
use crate::payout::PayoutKey;
use crate::redemption::Head;
use crate::runs::Run;
use crate::suite::Suite;

/// An operator's order. Layout `admin`, signed by an operator key that the broker's configuration lists. With request
/// id and end of validity, so that a message overheard is worth nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// The broker.
    pub broker: BrokerId,
    /// The operator's key.
    pub kid: Kid,
    /// The request.
    pub request: RequestId,
    /// After this the message is dead.
    pub valid_until_ms: u64,
    /// An [`Order`] in CBOR.
    pub order: Vec<u8>,
}

impl Layout for Admin {
    const WHAT: &'static str = "admin";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.fixed(&self.request.0);
        w.u64(self.valid_until_ms);
        w.bytes(&self.order);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let limit = u32::try_from(MAX_MESSAGE_BYTES).map_err(|_| Malformed::TooLong("order"))?;
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            request: RequestId(r.fixed()?),
            valid_until_ms: r.u64()?,
            order: r.bytes("order", limit)?.to_vec(),
        })
    }
}

/// What an operator may order.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Order {
    /// Record a deposit. Answer: [`AccountView`].
    #[n(1)]
    Credit {
        /// Whose account.
        #[n(0)]
        peer: PeerId,
        /// How much.
        #[n(1)]
        amount: Units,
        /// The deposit's name outside (a bank's transaction): the same one is credited once.
        #[n(2)]
        reference: String,
    },
    /// Suspend an account. Answer: [`AccountView`].
    #[n(2)]
    Suspend {
        /// Whose account.
        #[n(0)]
        peer: PeerId,
        /// Why.
        #[n(1)]
        reason: String,
    },
    /// Lift a suspension. Answer: [`AccountView`].
    #[n(3)]
    Reinstate {
        /// Whose account.
        #[n(0)]
        peer: PeerId,
        /// Why.
        #[n(1)]
        reason: String,
    },
    /// Pay a debt from the debtor's balance. Answer: [`AccountView`] of the debtor.
    #[n(4)]
    SettleDebt {
        /// Who double spent.
        #[n(0)]
        debtor: PeerId,
        /// Who lost by it.
        #[n(1)]
        creditor: PeerId,
        /// On which e-coin.
        #[n(2)]
        ecoin: EcoinId,
    },
    /// Accounts in order of id. Answer: [`Page`] of [`AccountView`].
    #[n(5)]
    ListAccounts {
        /// Those after this one.
        #[n(0)]
        after: Option<PeerId>,
    },
    /// One account. Answer: [`AccountView`].
    #[n(6)]
    ShowAccount {
        /// Whose.
        #[n(0)]
        peer: PeerId,
    },
    /// One e-coin. Answer: [`EcoinView`].
    #[n(7)]
    ShowEcoin {
        /// Which.
        #[n(0)]
        ecoin: EcoinId,
    },
    /// Double spends in order of e-coin and payee. Answer: [`Page`] of [`DoubleSpendView`].
    #[n(8)]
    ListDoubleSpends {
        /// Those after this one.
        #[n(0)]
        after: Option<DoubleSpendKey>,
    },
    /// Payouts in order of peer and request. Answer: [`Page`] of [`PayoutView`](crate::payout::PayoutView).
    #[n(9)]
    ListPayouts {
        /// Those after this one.
        #[n(0)]
        after: Option<PayoutKey>,
    },
    /// A payout was paid outside. Final. Answer: [`PayoutView`](crate::payout::PayoutView).
    #[n(10)]
    SettlePayout {
        /// Which.
        #[n(0)]
        payout: PayoutKey,
        /// The payment's name outside.
        #[n(1)]
        reference: String,
    },
    /// A payout cannot be paid: the money goes back. Final. Answer: [`PayoutView`](crate::payout::PayoutView).
    #[n(11)]
    FailPayout {
        /// Which.
        #[n(0)]
        payout: PayoutKey,
        /// Why.
        #[n(1)]
        reason: String,
    },
    /// After a restored backup: what can be brought back was, and what was paid outside is recorded. Payouts, refunds and
    /// debts go on, and no e-coin is restored any more. Answer: [`LedgerView`].
    #[n(12)]
    Reconcile {
        /// How that was found out.
        #[n(0)]
        reason: String,
    },
    /// The broker's clock is right, though it jumped or stood still for long. Answer: [`LedgerView`].
    #[n(13)]
    ConfirmClock {
        /// How that was found out.
        #[n(0)]
        reason: String,
    },
    /// Put a copy of the ledger beside it, for a backup. Answer: [`LedgerView`] with a head that is in the copy.
    #[n(14)]
    Backup {},
}

impl Order {
    /// The last token of the subject it travels on.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Credit { .. } => "credit",
            Self::Suspend { .. } => "suspend",
            Self::Reinstate { .. } => "reinstate",
            Self::SettleDebt { .. } => "settle-debt",
            Self::ListAccounts { .. } => "list-accounts",
            Self::ShowAccount { .. } => "show-account",
            Self::ShowEcoin { .. } => "show-ecoin",
            Self::ListDoubleSpends { .. } => "list-double-spends",
            Self::ListPayouts { .. } => "list-payouts",
            Self::SettlePayout { .. } => "settle-payout",
            Self::FailPayout { .. } => "fail-payout",
            Self::Reconcile { .. } => "reconcile",
            Self::ConfirmClock { .. } => "confirm-clock",
            Self::Backup {} => "backup",
        }
    }
}

/// Part of a list.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Page<T> {
    /// The items.
    #[n(0)]
    pub items: Vec<T>,
    /// Whether more follow the last item.
    #[n(1)]
    pub more: bool,
}

/// An account, as its holder and the operator see it.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct AccountView {
    /// Whose.
    #[n(0)]
    pub peer: PeerId,
    /// What it has.
    #[n(1)]
    pub balance: Units,
    /// What is owed to others for double spending; it holds the balance.
    #[n(2)]
    pub debt: Units,
    /// When it was opened; nothing while only funded.
    #[n(3)]
    pub opened_at_ms: Option<u64>,
    /// Since when it is suspended.
    #[n(4)]
    pub suspended_at_ms: Option<u64>,
    /// When its last e-coin can no longer be redeemed.
    #[n(5)]
    pub last_redeem_until_ms: u64,
    /// The ledger's head when this was read.
    #[n(6)]
    pub head: Head,
}

/// A run paid.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct PaidRun {
    /// The words.
    #[n(0)]
    pub run: Run,
    /// To whom.
    #[n(1)]
    pub payee: PeerId,
    /// By which record.
    #[n(2)]
    pub position: u64,
}

/// An e-coin.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct EcoinView {
    /// Which.
    #[n(0)]
    pub ecoin: EcoinId,
    /// Its payer.
    #[n(1)]
    pub payer: PeerId,
    /// Its suite.
    #[n(2)]
    pub suite: Suite,
    /// Its length.
    #[n(3)]
    pub n: PaywordIndex,
    /// The worth of a word.
    #[n(4)]
    pub unit_value: UnitValue,
    /// When it was sold.
    #[n(5)]
    pub issued_at_ms: u64,
    /// Until when payees accept it.
    #[n(6)]
    pub spend_until_ms: u64,
    /// Until when it can be redeemed.
    #[n(7)]
    pub redeem_until_ms: u64,
    /// Words paid.
    #[n(8)]
    pub paid: WordCount,
    /// When it was refunded.
    #[n(9)]
    pub expired_at_ms: Option<u64>,
    /// The record that sold it.
    #[n(10)]
    pub position: u64,
    /// What was paid to whom, in order of the words.
    #[n(11)]
    pub runs: Vec<PaidRun>,
}

/// How the ledger as a whole stands.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct LedgerView {
    /// Which life of the broker.
    #[n(0)]
    pub incarnation: u64,
    /// The head of the backup that this life began with, while that is not reconciled.
    #[n(1)]
    pub restored_from: Option<Head>,
    /// Whether what depends on time goes on.
    #[n(2)]
    pub clock_trusted: bool,
    /// The ledger's head when this was read.
    #[n(3)]
    pub head: Head,
}

/// Names one double spend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DoubleSpendKey {
    /// The e-coin.
    #[n(0)]
    pub ecoin: EcoinId,
    /// The payee who came second.
    #[n(1)]
    pub payee: PeerId,
}

/// A recorded double spend, with both grants.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DoubleSpendView {
    /// Which.
    #[n(0)]
    pub key: DoubleSpendKey,
    /// Who signed both grants.
    #[n(1)]
    pub payer: PeerId,
    /// Who had been paid.
    #[n(2)]
    pub paid_to: PeerId,
    /// The grant under which.
    #[n(3)]
    pub paid_grant: Grant,
    /// The grant of the payee who came second.
    #[n(4)]
    pub grant: Grant,
    /// The words in conflict.
    #[n(5)]
    pub conflicting: WordCount,
    /// What is owed for them.
    #[n(6)]
    pub debt: Units,
    /// What of it is still owed.
    #[n(7)]
    pub open_debt: Units,
    /// The record that found it.
    #[n(8)]
    pub position: u64,
}
