//! Positions, counts and money: three things that are all integers and must never be mixed.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, minicbor::Encode, minicbor::Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A position in a payword chain; 0 is the root.
    PaywordIndex, u32
);
number!(
    /// How many paywords.
    WordCount, u32
);
number!(
    /// What one payword is worth, in units. Below 2^32, so that no purchase can overflow [`Units`].
    UnitValue, u32
);
number!(
    /// Money, in the broker's smallest unit.
    Units, u64
);

impl PaywordIndex {
    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("positions are at most the chain length"))
    }

    /// The position before this one; the root has none.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl WordCount {
    /// The sum; chains are short, so that it always fits.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("word counts are bounded by the limits"))
    }

    /// The difference, if it is not below zero.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// What so many words are worth: words × unit_value. Cannot overflow: both are below 2^32.
    pub fn worth(self, unit_value: UnitValue) -> Units {
        Units(u64::from(self.0).checked_mul(u64::from(unit_value.0)).expect("u32 times u32 fits u64"))
    }
}

impl UnitValue {
    /// The words due for a price: ceil(price ÷ unit_value). `None` when it is no number of words (a unit value of
    /// zero, or more than 2^32 words).
    pub fn words_due(self, price: Units) -> Option<WordCount> {
        if self.0 == 0 {
            return None;
        }
        u32::try_from(price.0.div_ceil(u64::from(self.0))).ok().map(WordCount)
    }
}

impl Units {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, unless it overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it would be below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or nothing when it would be below zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_due_round_up() {
        for (price, unit, words) in [(0, 5, 0), (1, 5, 1), (5, 5, 1), (6, 5, 2), (10, 1, 10)] {
            assert_eq!(UnitValue(unit).words_due(Units(price)), Some(WordCount(words)));
        }
        assert_eq!(UnitValue(0).words_due(Units(1)), None);
        assert_eq!(UnitValue(1).words_due(Units(u64::MAX)), None);
    }
}
