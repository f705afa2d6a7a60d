//! The signed Index (the paper's {IDe, i}SAK-RP1), also called a grant: words `from..to` of an e-coin for one payee.
//!
//! The paper's Index names neither a payee nor a lower end; both are signed here, or whoever overhears a payment could
//! redeem it, and every payee could claim the words of the one before.

use crate::amounts::{PaywordIndex, WordCount};
use crate::ids::{BrokerId, Digest, EcoinId, PeerId};
use crate::keys::{BadSignature, Signature};
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::touchstone::Touchstone;

/// A grant. Layout `index`, fields in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedIndex {
    /// The broker whose e-coin it is.
    pub broker: BrokerId,
    /// The e-coin.
    pub ecoin: EcoinId,
    /// The first word granted.
    pub from: PaywordIndex,
    /// The next unspent position: one past the last word granted (the paper's index: 4 after W₁W₂W₃).
    pub to: PaywordIndex,
    /// Who may claim.
    pub payee: PeerId,
    /// The digest of the payee's quote, or zero.
    pub order: Digest,
}

impl Layout for SignedIndex {
    const WHAT: &'static str = "index";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        self.write_fields(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let broker = BrokerId(r.fixed()?);
        Self::read_fields(r, broker)
    }
}

impl SignedIndex {
    /// The fields but the broker: 72 bytes. A batch names the broker once for all its claims.
    pub(crate) fn write_fields(&self, w: &mut Writer) {
        w.fixed(&self.ecoin.0);
        w.u32(self.from.0);
        w.u32(self.to.0);
        w.fixed(&self.payee.0);
        w.fixed(&self.order.0);
    }

    pub(crate) fn read_fields(r: &mut Reader<'_>, broker: BrokerId) -> Result<Self, Malformed> {
        Ok(Self {
            broker,
            ecoin: EcoinId(r.fixed()?),
            from: PaywordIndex(r.u32()?),
            to: PaywordIndex(r.u32()?),
            payee: PeerId(r.fixed()?),
            order: Digest(r.fixed()?),
        })
    }

    /// Whether `through` is a word of this grant on a chain of n words: 1 ≤ from ≤ through < to ≤ n+1.
    pub fn covers(&self, through: PaywordIndex, n: PaywordIndex) -> bool {
        1 <= self.from.0 && self.from <= through && through < self.to && self.to <= n.next()
    }

    /// How many words it grants; nothing for a grant that ends before it begins.
    pub fn words(&self) -> WordCount {
        WordCount(self.to.0.saturating_sub(self.from.0))
    }
}

impl Signed<SignedIndex> {
    /// Checks the grant against the e-coin it names: same broker, same e-coin, signed by the touchstone's key (never by
    /// the account's present one).
    pub fn verify_under(&self, touchstone: &Touchstone) -> Result<(), BadSignature> {
        if self.content.broker != touchstone.broker || self.content.ecoin != touchstone.ecoin {
            return Err(BadSignature);
        }
        self.verify(&touchstone.payer_key).map(|_| ())
    }
}

/// The fields of a grant and its signature, as ledgers and tills keep it.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Grant {
    /// The first word granted.
    #[n(0)]
    pub from: PaywordIndex,
    /// One past the last word granted.
    #[n(1)]
    pub to: PaywordIndex,
    /// The quote's digest, or zero.
    #[n(2)]
    pub order: Digest,
    /// The payer's signature.
    #[n(3)]
    pub signature: Signature,
}

impl Grant {
    /// The grant as its payer signed it.
    pub fn signed(&self, broker: BrokerId, ecoin: EcoinId, payee: PeerId) -> Signed<SignedIndex> {
        let content = SignedIndex { broker, ecoin, from: self.from, to: self.to, payee, order: self.order };
        Signed { content, signature: self.signature }
    }
}

impl From<&Signed<SignedIndex>> for Grant {
    fn from(index: &Signed<SignedIndex>) -> Self {
        let SignedIndex { from, to, order, .. } = index.content;
        Self { from, to, order, signature: index.signature }
    }
}
