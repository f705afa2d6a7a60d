//! A payment (the paper's M4): words, and what gives the payee a right to them.
//!
//! Three forms, by what the payee already has: at first contact the touchstone and a grant; when the grant grows, the
//! new grant; otherwise words alone. The last is what makes a payment cost one hash.

use crate::amounts::PaywordIndex;
use crate::ids::{Digest, EcoinId};
use crate::index::SignedIndex;
use crate::layout::Signed;
use crate::suite::Payword;
use crate::touchstone::Touchstone;

/// The words revealed: the last of them is W(through). One is enough, since the lower ones follow by hashing; the
/// paper's list W₁ … Wm is the same with all of them written out, in rising order.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Revealed {
    /// The position of the last word.
    #[n(0)]
    pub through: PaywordIndex,
    /// Consecutive words ending with W(through).
    #[n(1)]
    pub words: Vec<Payword>,
}

impl Revealed {
    /// One word.
    pub fn one(through: PaywordIndex, word: Payword) -> Self {
        Self { through, words: vec![word] }
    }
}

/// One payment.
#[allow(clippy::large_enum_variant)] // one at a time, and gone after it was looked at
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Payment {
    /// First contact over an e-coin.
    #[n(1)]
    First {
        /// What the broker says of the e-coin.
        #[n(0)]
        touchstone: Signed<Touchstone>,
        /// The grant.
        #[n(1)]
        index: Signed<SignedIndex>,
        /// The words.
        #[n(2)]
        revealed: Revealed,
    },
    /// A further grant on an e-coin that the payee knows.
    #[n(2)]
    Grown {
        /// The grant.
        #[n(0)]
        index: Signed<SignedIndex>,
        /// The words.
        #[n(1)]
        revealed: Revealed,
    },
    /// Words under a grant that the payee has.
    #[n(3)]
    Words {
        /// The e-coin.
        #[n(0)]
        ecoin: EcoinId,
        /// Which of its grants: the one that begins here.
        #[n(1)]
        from: PaywordIndex,
        /// The words.
        #[n(2)]
        revealed: Revealed,
    },
}

impl Payment {
    /// The words revealed, in whatever form the payment has.
    pub fn revealed(&self) -> &Revealed {
        match self {
            Self::First { revealed, .. } | Self::Grown { revealed, .. } | Self::Words { revealed, .. } => revealed,
        }
    }

    /// Which e-coin, and which of its grants (by its first word).
    pub fn grant(&self) -> (EcoinId, PaywordIndex) {
        match self {
            Self::First { index, .. } | Self::Grown { index, .. } => (index.content.ecoin, index.content.from),
            Self::Words { ecoin, from, .. } => (*ecoin, *from),
        }
    }
}

/// A payment towards an order: peer → peer, `pay`. The order is not signed: the words are what counts, and the payee
/// counts each of them once.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Pay {
    /// The digest of the quote that this pays for.
    #[n(0)]
    pub order: Digest,
    /// The payment.
    #[n(1)]
    pub payment: Payment,
}
