//! Buying e-coins (the paper's M1 and M2).

use crate::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use crate::ids::{BrokerId, Kid, PeerId, RequestId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::{MAX_CHAIN_LENGTH, MAX_CHAINS_PER_PURCHASE, MAX_WORDS_PER_PURCHASE};
use crate::suite::Suite;
use crate::touchstone::Guarantee;

/// An order for chains (M1). Layout `buy`, signed by the payer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuyEcoins {
    /// The broker.
    pub broker: BrokerId,
    /// Who buys.
    pub payer: PeerId,
    /// The request.
    pub request: RequestId,
    /// After this the request is dead, unless it was carried out before.
    pub valid_until_ms: u64,
    /// How many chains.
    pub count: u32,
    /// How many words each (the paper's n).
    pub n: PaywordIndex,
    /// The hash suite.
    pub suite: Suite,
    /// What one word is to be worth.
    pub unit_value: UnitValue,
    /// The most that may be debited.
    pub most_debited_units: Units,
    /// To whom the words may be paid.
    pub guarantee: Guarantee,
}

impl BuyEcoins {
    /// What the chains are worth together. Cannot overflow: at most 2^20 words of less than 2^32 units.
    pub fn worth(&self) -> Units {
        let words = self.count.checked_mul(self.n.0).expect("a purchase within its limits");
        WordCount(words).worth(self.unit_value)
    }
}

impl Layout for BuyEcoins {
    const WHAT: &'static str = "buy";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.payer.0);
        w.fixed(&self.request.0);
        w.u64(self.valid_until_ms);
        w.u32(self.count);
        w.u32(self.n.0);
        w.u8(self.suite.number());
        w.u32(self.unit_value.0);
        w.u64(self.most_debited_units.0);
        self.guarantee.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let buy = Self {
            broker: BrokerId(r.fixed()?),
            payer: PeerId(r.fixed()?),
            request: RequestId(r.fixed()?),
            valid_until_ms: r.u64()?,
            count: r.u32()?,
            n: PaywordIndex(r.u32()?),
            suite: Suite::from_number(r.u8()?)?,
            unit_value: UnitValue(r.u32()?),
            most_debited_units: Units(r.u64()?),
            guarantee: Guarantee::read(r)?,
        };
        if !(1..=MAX_CHAINS_PER_PURCHASE).contains(&buy.count) {
            return Err(Malformed::TooLong("number of chains (1 to 256)"));
        }
        if !(1..=MAX_CHAIN_LENGTH).contains(&buy.n.0) {
            return Err(Malformed::TooLong("chain length (1 to 4096)"));
        }
        if buy.count * buy.n.0 > MAX_WORDS_PER_PURCHASE {
            return Err(Malformed::TooLong("number of words in one purchase"));
        }
        if buy.unit_value.0 == 0 {
            return Err(Malformed::Value("unit value"));
        }
        Ok(buy)
    }
}

/// The words bought, sealed to the buyer and signed by the broker (M2). Layout `sealed-paywords`. See
/// [`crate::sealing`] for what is inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedPaywords {
    /// The broker.
    pub broker: BrokerId,
    /// The broker's key that signs (purpose *touchstone*).
    pub kid: Kid,
    /// The buyer.
    pub payer: PeerId,
    /// The purchase.
    pub request: RequestId,
    /// A fresh ChaCha20-Poly1305 key under RSA-OAEP-SHA-256.
    pub wrapped_key: Vec<u8>,
    /// {IDe, Wₙ} of each chain (48 bytes each) under that key, with its tag.
    pub ciphertext: Vec<u8>,
}

const MAX_WRAPPED_KEY_BYTES: u32 = 512;
const MAX_CIPHERTEXT_BYTES: u32 = MAX_CHAINS_PER_PURCHASE * 48 + 16;

impl Layout for SealedPaywords {
    const WHAT: &'static str = "sealed-paywords";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.fixed(&self.payer.0);
        w.fixed(&self.request.0);
        w.bytes(&self.wrapped_key);
        w.bytes(&self.ciphertext);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            payer: PeerId(r.fixed()?),
            request: RequestId(r.fixed()?),
            wrapped_key: r.bytes("wrapped key", MAX_WRAPPED_KEY_BYTES)?.to_vec(),
            ciphertext: r.bytes("sealed words", MAX_CIPHERTEXT_BYTES)?.to_vec(),
        })
    }
}
