//! What may be asked of the ledger. Everything in a command was verified and prepared outside, in parallel.

use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, PeerId, RequestId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::register::{Refused, Register};
use netpay_protocol::touchstone::Touchstone;

use crate::verify::CheckedClaim;

/// What the writer knows beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The time.
    pub now_ms: u64,
    /// Which life of the broker this is.
    pub incarnation: u64,
}

/// Who asked, under which id, with which bytes: what makes a command happen once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Request {
    /// The signer: a peer, or an operator's key (both are the first 16 bytes of a hash, and never meet).
    #[n(0)]
    pub signer: PeerId,
    /// The signer's id for it.
    #[n(1)]
    pub id: RequestId,
    /// The digest of the signed bytes.
    #[n(2)]
    pub digest: Digest,
}

/// A command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its identity.
    pub request: Request,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sell chains (M1).
    BuyEcoins {
        /// The payer's account, if this opens it.
        opening: Option<OpenAccount>,
        /// What the payer signed.
        order: Box<Signed<BuyEcoins>>,
        /// The key that it was verified with.
        signed_by: PublicKey,
        /// One per chain, made for this order: fresh ids, roots of chains that exist nowhere yet.
        touchstones: Vec<Signed<Touchstone>>,
        /// The epoch of the chain master key they were made with.
        epoch: u32,
    },
    /// Credit claims (M6).
    RedeemBatch {
        /// The payee's account, if this opens it.
        opening: Option<OpenAccount>,
        /// Who redeems.
        payee: PeerId,
        /// The key that the batch was verified with.
        signed_by: PublicKey,
        /// The claims, in the batch's order, each held against the facts fixed when its e-coin was sold.
        claims: Vec<CheckedClaim>,
    },
    /// Record a deposit.
    CreditFunds {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Whose account.
        peer: PeerId,
        /// How much.
        amount: Units,
        /// The deposit's name outside.
        reference: String,
    },
    /// Suspend an account.
    SuspendAccount {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Whose account.
        peer: PeerId,
    },
    /// Lift a suspension.
    ReinstateAccount {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Whose account.
        peer: PeerId,
    },
    /// Pay a debt.
    SettleDebt {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Which.
        debt: DebtKey,
    },
    /// Take money off a balance, for the operator to pay outside.
    RequestPayout {
        /// The peer's account, if this opens it.
        opening: Option<OpenAccount>,
        /// What the peer signed.
        order: Box<Signed<RequestPayout>>,
        /// The key that it was verified with.
        signed_by: PublicKey,
    },
    /// A payout was paid outside.
    SettlePayout {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Which.
        payout: PayoutKey,
        /// The payment's name outside.
        reference: String,
    },
    /// A payout cannot be paid: give the money back.
    FailPayout {
        /// The operator's order.
        order: Box<Signed<Admin>>,
        /// Which.
        payout: PayoutKey,
        /// Why.
        reason: String,
    },
}

/// Names one debt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DebtKey {
    /// Who double spent.
    #[n(0)]
    pub debtor: PeerId,
    /// Who lost by it.
    #[n(1)]
    pub creditor: PeerId,
    /// On which e-coin.
    #[n(2)]
    pub ecoin: EcoinId,
}

/// Opens an account with the first money command of a registered peer. Exists only for registrations that were checked.
#[derive(Clone, Debug)]
pub struct OpenAccount {
    peer: PeerId,
    register: Box<Signed<Register>>,
    opened_at_ms: u64,
}

impl OpenAccount {
    /// Checks a registration. `opened_at_ms` is what touchstones sold by the same command say.
    pub fn check(register: Signed<Register>, broker: BrokerId, opened_at_ms: u64) -> Result<Self, Refused> {
        let peer = register.check(broker)?;
        Ok(Self { peer, register: Box::new(register), opened_at_ms })
    }

    /// Whose account.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The keys.
    pub fn register(&self) -> &Signed<Register> {
        &self.register
    }

    /// When.
    pub fn opened_at_ms(&self) -> u64 {
        self.opened_at_ms
    }
}
