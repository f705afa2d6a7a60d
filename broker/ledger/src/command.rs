//! What may be asked of the ledger. Everything in a command was verified and prepared outside, in parallel.
//!
//! A command can travel to another node of the same broker, as CBOR: internal bytes, of one version, never stored. Reading
//! them makes what otherwise only a check makes (a proven claim, an opening, a rotation): whoever reads has to know that a
//! node wrote them.

use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, PeerId, RequestId};
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::register::{NotRotated, Refused, Register, RotateKeys};
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire::{self, NotAMessage};

use crate::verify::CheckedClaim;

/// What the writer knows beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The time.
    pub now_ms: u64,
    /// Which life of the broker this is.
    pub incarnation: u64,
    /// Every claim that was left with the broker before this time has been decided.
    pub drained_to_ms: u64,
    /// Whether the time can be believed. Money that is waiting for a time waits on if it cannot.
    pub clock_trusted: bool,
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
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Command {
    /// Its identity; none for what the broker does by itself.
    #[n(0)]
    pub request: Option<Request>,
    /// What is to be done.
    #[n(1)]
    pub action: Action,
}

/// The version of a command's bytes: nodes of another refuse it.
const VERSION: u8 = 1;

impl Command {
    /// Its bytes on the way to another node.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(wire::encode(self));
        bytes
    }

    /// The inverse of [`Command::to_bytes`]. Only for what a node of this broker is known to have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAMessage> {
        match bytes.split_first() {
            Some((&VERSION, command)) => wire::decode(command),
            _ => Err(NotAMessage::Shape(format!("expected a command of version {VERSION}"))),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Action {
    /// Sell chains (M1).
    #[n(1)]
    BuyEcoins {
        /// The payer's account, if this opens it.
        #[n(0)]
        opening: Option<OpenAccount>,
        /// What the payer signed.
        #[n(1)]
        order: Box<Signed<BuyEcoins>>,
        /// The key that it was verified with.
        #[n(2)]
        signed_by: PublicKey,
        /// One per chain, made for this order: fresh ids, roots of chains that exist nowhere yet.
        #[n(3)]
        touchstones: Vec<Signed<Touchstone>>,
        /// The epoch of the chain master key they were made with.
        #[n(4)]
        epoch: u32,
    },
    /// Credit claims (M6).
    #[n(2)]
    RedeemBatch {
        /// The payee's account, if this opens it.
        #[n(0)]
        opening: Option<OpenAccount>,
        /// Who redeems.
        #[n(1)]
        payee: PeerId,
        /// The key that the batch was verified with.
        #[n(2)]
        signed_by: PublicKey,
        /// The claims, in the batch's order, each held against the facts fixed when its e-coin was sold.
        #[n(3)]
        claims: Vec<CheckedClaim>,
    },
    /// Record a deposit.
    #[n(3)]
    CreditFunds {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Whose account.
        #[n(1)]
        peer: PeerId,
        /// How much.
        #[n(2)]
        amount: Units,
        /// The deposit's name outside.
        #[n(3)]
        reference: String,
    },
    /// Suspend an account.
    #[n(4)]
    SuspendAccount {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Whose account.
        #[n(1)]
        peer: PeerId,
    },
    /// Lift a suspension.
    #[n(5)]
    ReinstateAccount {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Whose account.
        #[n(1)]
        peer: PeerId,
    },
    /// Pay a debt.
    #[n(6)]
    SettleDebt {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Which.
        #[n(1)]
        debt: DebtKey,
    },
    /// Take money off a balance, for the operator to pay outside.
    #[n(7)]
    RequestPayout {
        /// The peer's account, if this opens it.
        #[n(0)]
        opening: Option<OpenAccount>,
        /// What the peer signed.
        #[n(1)]
        order: Box<Signed<RequestPayout>>,
        /// The key that it was verified with.
        #[n(2)]
        signed_by: PublicKey,
    },
    /// A payout was paid outside.
    #[n(8)]
    SettlePayout {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Which.
        #[n(1)]
        payout: PayoutKey,
        /// The payment's name outside.
        #[n(2)]
        reference: String,
    },
    /// A payout cannot be paid: give the money back.
    #[n(9)]
    FailPayout {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
        /// Which.
        #[n(1)]
        payout: PayoutKey,
        /// Why.
        #[n(2)]
        reason: String,
    },
    /// Give back what was not redeemed of e-coins whose time is over.
    #[n(10)]
    ExpireEcoins {
        /// Which; at most [`MAX_EXPIRED`], the rest is left. What is not due is left, too.
        #[n(0)]
        ecoins: Vec<EcoinId>,
    },
    /// After a restored backup: take in e-coins that the backup did not know.
    #[n(11)]
    RestoreEcoins {
        /// Each signed by a key of the broker that is not revoked, its root derived again from the master key of that epoch.
        #[n(0)]
        ecoins: Vec<(Signed<Touchstone>, u32)>,
    },
    /// Other keys for a peer.
    #[n(12)]
    RotatePeerKeys(#[n(0)] Box<Rotation>),
    /// Other keys for the broker.
    #[n(13)]
    RotateBrokerKeys {
        /// Signed by the root key.
        #[n(0)]
        list: Box<SignedKeyList>,
    },
    /// The operator is through with a restored ledger.
    #[n(14)]
    Reconcile {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
    },
    /// The clock cannot be believed.
    #[n(15)]
    DoubtClock,
    /// The operator says that the clock is right.
    #[n(16)]
    ConfirmClock {
        /// The operator's order.
        #[n(0)]
        order: Box<Signed<Admin>>,
    },
}

/// E-coins refunded by one command, at most.
pub const MAX_EXPIRED: usize = 1_000;

/// Names one debt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct DebtKey {
    /// Who double spent.
    #[n(0)]
    pub debtor: PeerId,
    /// Who lost by it; [`PeerId::OPERATOR`] for what the operator lent to a restored e-coin.
    #[n(1)]
    pub creditor: PeerId,
    /// On which e-coin.
    #[n(2)]
    pub ecoin: EcoinId,
}

/// Opens an account with the first money command of a registered peer. Exists only for registrations that were checked.
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct OpenAccount {
    #[n(0)]
    peer: PeerId,
    #[n(1)]
    register: Box<Signed<Register>>,
    #[n(2)]
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

/// Other keys for a registered peer. Exists only for rotations whose new keys were checked.
#[derive(Clone, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Rotation {
    #[n(0)]
    order: Signed<RotateKeys>,
    #[n(1)]
    register: Signed<Register>,
    #[n(2)]
    signed_by: PublicKey,
}

impl Rotation {
    /// Checks the new keys. `signed_by` is the key that the order was verified with.
    pub fn check(
        order: Signed<RotateKeys>,
        register: Signed<Register>,
        signed_by: PublicKey,
    ) -> Result<Self, NotRotated> {
        order.check(&register)?;
        Ok(Self { order, register, signed_by })
    }

    /// The order.
    pub fn order(&self) -> &Signed<RotateKeys> {
        &self.order
    }

    /// The new keys.
    pub fn register(&self) -> &Signed<Register> {
        &self.register
    }

    /// The key that signed the order.
    pub fn signed_by(&self) -> PublicKey {
        self.signed_by
    }
}
