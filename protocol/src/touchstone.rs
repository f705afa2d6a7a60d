//! The touchstone T (the paper's M3): the broker's signed word on one e-coin.

use crate::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use crate::ids::{BrokerId, EcoinId, Kid, PeerId};
use crate::keys::PublicKey;
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::{MAX_CHAIN_LENGTH, MIN_REDEEM_WINDOW_MS};
use crate::suite::{Payword, Suite};

/// To whom an e-coin's words may be paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarantee {
    /// To anybody: double spending is found at redemption.
    Bearer,
    /// To one payee only, who therefore cannot be hurt by double spending.
    Bound(PeerId),
}

/// What the broker says about one e-coin. Layout `touchstone`, fields in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touchstone {
    /// The broker that sold it.
    pub broker: BrokerId,
    /// The broker's key that signs.
    pub kid: Kid,
    /// The e-coin.
    pub ecoin: EcoinId,
    /// The hash suite of its chain.
    pub suite: Suite,
    /// W₀.
    pub root: Payword,
    /// How many words it has (the paper's n).
    pub n: PaywordIndex,
    /// What one word is worth.
    pub unit_value: UnitValue,
    /// Who bought it.
    pub payer: PeerId,
    /// The key that signs its grants, for ever.
    pub payer_key: PublicKey,
    /// When the payer's account was opened.
    pub payer_opened_at_ms: u64,
    /// When it was sold.
    pub issued_at_ms: u64,
    /// Until when payees may accept it.
    pub spend_until_ms: u64,
    /// Until when payees may redeem it.
    pub redeem_until_ms: u64,
    /// To whom it may be paid.
    pub guarantee: Guarantee,
    /// Which life of the broker sold it (counts up when a broker is restored from a backup).
    pub incarnation: u64,
}

const VERSION: u8 = 1;

impl Touchstone {
    /// What the whole e-coin is worth.
    pub fn worth(&self) -> Units {
        WordCount(self.n.0).worth(self.unit_value)
    }
}

impl Layout for Touchstone {
    const WHAT: &'static str = "touchstone";

    fn write(&self, w: &mut Writer) {
        w.u8(VERSION);
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.fixed(&self.ecoin.0);
        w.u8(self.suite.number());
        w.fixed(self.root.bytes());
        w.u32(self.n.0);
        w.u32(self.unit_value.0);
        w.fixed(&self.payer.0);
        w.fixed(&self.payer_key.0);
        w.u64(self.payer_opened_at_ms);
        w.u64(self.issued_at_ms);
        w.u64(self.spend_until_ms);
        w.u64(self.redeem_until_ms);
        self.guarantee.write(w);
        w.u64(self.incarnation);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        if r.u8()? != VERSION {
            return Err(Malformed::Value("touchstone version"));
        }
        let (broker, kid, ecoin) = (BrokerId(r.fixed()?), Kid(r.fixed()?), EcoinId(r.fixed()?));
        let suite = Suite::from_number(r.u8()?)?;
        let touchstone = Self {
            broker,
            kid,
            ecoin,
            suite,
            root: suite.word(r.fixed()?)?,
            n: PaywordIndex(r.u32()?),
            unit_value: UnitValue(r.u32()?),
            payer: PeerId(r.fixed()?),
            payer_key: PublicKey(r.fixed()?),
            payer_opened_at_ms: r.u64()?,
            issued_at_ms: r.u64()?,
            spend_until_ms: r.u64()?,
            redeem_until_ms: r.u64()?,
            guarantee: Guarantee::read(r)?,
            incarnation: r.u64()?,
        };
        if !(1..=MAX_CHAIN_LENGTH).contains(&touchstone.n.0) {
            return Err(Malformed::Value("chain length"));
        }
        if touchstone.unit_value.0 == 0 {
            return Err(Malformed::Value("unit value"));
        }
        if touchstone.redeem_until_ms.saturating_sub(touchstone.spend_until_ms) < MIN_REDEEM_WINDOW_MS {
            return Err(Malformed::Value("time left to redeem"));
        }
        Ok(touchstone)
    }
}

impl Guarantee {
    /// A byte (bearer = 0, bound = 1) and the payee (zeros for bearer).
    pub(crate) fn write(self, w: &mut Writer) {
        let (kind, payee) = match self {
            Self::Bearer => (0, PeerId::default()),
            Self::Bound(payee) => (1, payee),
        };
        w.u8(kind);
        w.fixed(&payee.0);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        match (r.u8()?, PeerId(r.fixed()?)) {
            (0, payee) if payee == PeerId::default() => Ok(Self::Bearer),
            (1, payee) => Ok(Self::Bound(payee)),
            _ => Err(Malformed::Value("guarantee")),
        }
    }

    /// Whether words may be paid to this payee.
    pub fn allows(self, payee: PeerId) -> bool {
        match self {
            Self::Bearer => true,
            Self::Bound(to) => to == payee,
        }
    }
}
