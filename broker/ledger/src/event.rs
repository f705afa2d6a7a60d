//! What happened. Facts in the past tense, numbered for good; state is nothing but these applied in order.
//!
//! Every debit of a peer carries the peer's or an operator's signed order, every credit of a word its grant and the word
//! (which is spent by then, and worth nothing): an auditor can prove each cent again.

use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::redemption::{Head, Line, Verdict};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::runs::{self, Run};
use netpay_protocol::suite::Payword;
use netpay_protocol::touchstone::Touchstone;

use crate::command::DebtKey;

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Event {
    /// A registered peer used its account for the first time.
    #[n(1)]
    AccountOpened {
        /// Whose.
        #[n(0)]
        peer: PeerId,
        /// Its keys.
        #[n(1)]
        register: Box<Signed<Register>>,
        /// When.
        #[n(2)]
        opened_at_ms: u64,
    },
    /// A deposit arrived.
    #[n(2)]
    FundsCredited {
        /// For whom.
        #[n(0)]
        peer: PeerId,
        /// How much.
        #[n(1)]
        amount: Units,
        /// Its name outside.
        #[n(2)]
        reference: String,
        /// On whose word.
        #[n(3)]
        order: Box<Signed<Admin>>,
    },
    /// Chains were sold.
    #[n(3)]
    EcoinsIssued {
        /// On whose word.
        #[n(0)]
        order: Box<Signed<BuyEcoins>>,
        /// The e-coins.
        #[n(1)]
        touchstones: Vec<Signed<Touchstone>>,
        /// The epoch of the chain master key.
        #[n(2)]
        epoch: u32,
    },
    /// A batch credited somebody, or showed a new double spend.
    #[n(4)]
    BatchRedeemed {
        /// Who.
        #[n(0)]
        payee: PeerId,
        /// The claims, in the batch's order.
        #[n(1)]
        claims: Vec<RedeemedClaim>,
    },
    /// Two payees hold grants on the same word.
    #[n(5)]
    DoubleSpendDetected(#[n(0)] Box<DoubleSpend>),
    /// An account may not buy any more.
    #[n(6)]
    AccountSuspended {
        /// Whose.
        #[n(0)]
        peer: PeerId,
        /// Why.
        #[n(1)]
        cause: Cause,
    },
    /// It may again.
    #[n(7)]
    AccountReinstated {
        /// Whose.
        #[n(0)]
        peer: PeerId,
        /// On whose word.
        #[n(1)]
        order: Box<Signed<Admin>>,
    },
    /// A double spender paid.
    #[n(8)]
    DebtSettled {
        /// Which debt.
        #[n(0)]
        debt: DebtKey,
        /// How much of it.
        #[n(1)]
        amount: Units,
        /// On whose word.
        #[n(2)]
        order: Box<Signed<Admin>>,
    },
    /// An e-coin's time was over: what was not redeemed went back to its payer.
    #[n(9)]
    EcoinExpired {
        /// Which.
        #[n(0)]
        ecoin: EcoinId,
        /// Its payer.
        #[n(1)]
        payer: PeerId,
        /// The words given back.
        #[n(2)]
        words: WordCount,
        /// What they are worth.
        #[n(3)]
        refund: Units,
    },
    /// Money left a balance, to be paid outside.
    #[n(10)]
    PayoutRequested {
        /// On whose word.
        #[n(0)]
        order: Box<Signed<RequestPayout>>,
    },
    /// It was paid outside. Final.
    #[n(11)]
    PayoutSettled {
        /// Which.
        #[n(0)]
        payout: PayoutKey,
        /// The payment's name outside.
        #[n(1)]
        reference: String,
        /// On whose word.
        #[n(2)]
        order: Box<Signed<Admin>>,
    },
    /// It could not be paid: the money went back. Final.
    #[n(12)]
    PayoutFailed {
        /// Which.
        #[n(0)]
        payout: PayoutKey,
        /// What it had taken off the balance.
        #[n(1)]
        amount: Units,
        /// Why.
        #[n(2)]
        reason: String,
        /// On whose word.
        #[n(3)]
        order: Box<Signed<Admin>>,
    },
    /// An e-coin that a restored backup did not know came back: a payee showed its touchstone.
    #[n(13)]
    EcoinRestored {
        /// What was sold.
        #[n(0)]
        touchstone: Box<Signed<Touchstone>>,
        /// The epoch of the chain master key.
        #[n(1)]
        epoch: u32,
        /// What its payer could pay for it once more.
        #[n(2)]
        debited: Units,
        /// What it could not: the operator's, until the payer's debt to it is settled.
        #[n(3)]
        lent: Units,
    },
    /// A peer speaks with other keys from now on.
    #[n(14)]
    PeerKeysRotated {
        /// On whose word: signed with the key until then.
        #[n(0)]
        order: Box<Signed<RotateKeys>>,
        /// The new keys.
        #[n(1)]
        register: Box<Signed<Register>>,
    },
    /// The broker signs with other keys from now on.
    #[n(15)]
    BrokerKeysRotated {
        /// All its keys, old and new.
        #[n(0)]
        list: Box<SignedKeyList>,
    },
    /// A backup was put in the place of a ledger that was lost: another life of the broker begins.
    #[n(16)]
    LedgerRestored {
        /// Which.
        #[n(0)]
        incarnation: u64,
        /// The backup's last record.
        #[n(1)]
        head: Head,
        /// Its time: what was sold later is not in the backup.
        #[n(2)]
        head_at_ms: u64,
    },
    /// What can be brought back was.
    #[n(17)]
    LedgerReconciled {
        /// On whose word.
        #[n(0)]
        order: Box<Signed<Admin>>,
    },
    /// The broker's clock is right after all, or again.
    #[n(18)]
    ClockConfirmed {
        /// On whose word.
        #[n(0)]
        order: Box<Signed<Admin>>,
    },
    /// The broker's clock jumped, or it stood still for more than a day. In the log, so that a restart does not forget it.
    #[n(19)]
    ClockDoubted {},
}

/// Why an account is suspended.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Cause {
    /// It double spent this e-coin.
    #[n(1)]
    DoubleSpend(#[n(0)] EcoinId),
    /// An operator said so.
    #[n(2)]
    Operator(#[n(0)] Box<Signed<Admin>>),
}

/// One claim of a recorded batch.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum RedeemedClaim {
    /// It settled nothing. What failed verification is not kept.
    #[n(1)]
    Refused(#[n(0)] Verdict),
    /// It settled its run.
    #[n(2)]
    Settled(#[n(0)] Box<SettledClaim>),
}

/// A claim that was proven and settled.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SettledClaim {
    /// The e-coin.
    #[n(0)]
    pub ecoin: EcoinId,
    /// The payer's grant to this payee.
    #[n(1)]
    pub grant: Grant,
    /// The last word claimed.
    #[n(2)]
    pub through: PaywordIndex,
    /// W(through).
    #[n(3)]
    pub word: Payword,
    /// The words credited now.
    #[n(4)]
    pub credited: Vec<Run>,
    /// What they are worth.
    #[n(5)]
    pub credited_units: Units,
    /// Words credited to this payee before.
    #[n(6)]
    pub already_paid: WordCount,
    /// Words paid to another.
    #[n(7)]
    pub conflicting: WordCount,
}

impl RedeemedClaim {
    /// Its line in the statement.
    pub fn line(&self) -> Line {
        match self {
            Self::Refused(verdict) => Line::refused(*verdict),
            Self::Settled(claim) => Line::settled(runs::count(&claim.credited), claim.already_paid, claim.conflicting),
        }
    }
}

/// A double spend, with the evidence: both grants and the touchstone whose key signed them.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DoubleSpend {
    /// What the broker said of the e-coin.
    #[n(0)]
    pub touchstone: Signed<Touchstone>,
    /// Who had been paid.
    #[n(1)]
    pub paid_to: PeerId,
    /// Under which grant.
    #[n(2)]
    pub paid_grant: Grant,
    /// Who came second.
    #[n(3)]
    pub payee: PeerId,
    /// With which grant.
    #[n(4)]
    pub grant: Grant,
    /// The words that the second lost.
    #[n(5)]
    pub conflicting: WordCount,
    /// What the payer owes for them.
    #[n(6)]
    pub debt: Units,
}

/// An account of the double entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
    /// A peer's.
    Peer(PeerId),
    /// Sold, not yet redeemed or refunded.
    Escrow,
    /// The world: deposits come from it, payouts go to it.
    Outside,
}

impl Event {
    /// The money it moves; always sums to zero.
    pub fn postings(&self) -> Vec<(Account, i64)> {
        let moved = |from: Account, to: Account, amount: Units| {
            // Above 2^63 it cannot be, and `invariants` refuses it.
            let amount = i64::try_from(amount.0).unwrap_or(i64::MAX);
            vec![(from, -amount), (to, amount)]
        };
        match self {
            Self::AccountOpened { .. }
            | Self::DoubleSpendDetected(_)
            | Self::AccountSuspended { .. }
            | Self::AccountReinstated { .. }
            | Self::PayoutSettled { .. }
            | Self::PeerKeysRotated { .. }
            | Self::BrokerKeysRotated { .. }
            | Self::LedgerRestored { .. }
            | Self::LedgerReconciled { .. }
            | Self::ClockConfirmed { .. }
            | Self::ClockDoubted {} => vec![],
            Self::FundsCredited { peer, amount, .. } => moved(Account::Outside, Account::Peer(*peer), *amount),
            Self::EcoinsIssued { order, .. } => {
                moved(Account::Peer(order.content.payer), Account::Escrow, order.content.worth())
            }
            Self::BatchRedeemed { payee, claims } => {
                let credited = claims.iter().map(|claim| claim.credited_units().0).fold(0, u64::saturating_add);
                moved(Account::Escrow, Account::Peer(*payee), Units(credited))
            }
            Self::DebtSettled { debt, amount, .. } => {
                let creditor = match debt.creditor {
                    PeerId::OPERATOR => Account::Outside,
                    peer => Account::Peer(peer),
                };
                moved(Account::Peer(debt.debtor), creditor, *amount)
            }
            Self::EcoinExpired { payer, refund, .. } => moved(Account::Escrow, Account::Peer(*payer), *refund),
            Self::PayoutRequested { order } => {
                moved(Account::Peer(order.content.peer), Account::Outside, order.content.amount_units)
            }
            Self::PayoutFailed { payout, amount, .. } => moved(Account::Outside, Account::Peer(payout.peer), *amount),
            Self::EcoinRestored { touchstone, debited, lent, .. } => {
                let mut postings = moved(Account::Peer(touchstone.content.payer), Account::Escrow, *debited);
                postings.extend(moved(Account::Outside, Account::Escrow, *lent));
                postings
            }
        }
    }
}

impl RedeemedClaim {
    /// What it credits.
    pub fn credited_units(&self) -> Units {
        match self {
            Self::Refused(_) => Units::ZERO,
            Self::Settled(claim) => claim.credited_units,
        }
    }
}
