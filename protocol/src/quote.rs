//! The payee's signed quote: what the paper calls agreeing on the amount.

use crate::amounts::Units;
use crate::ids::{BrokerId, ContentId, PeerId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::CHUNK_BYTES;

/// An offer of one file for a price. Layout `quote`, fields in this order. Its digest is the *order*.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The broker whose e-coins pay.
    pub broker: BrokerId,
    /// The content's BLAKE3 hash.
    pub content: ContentId,
    /// The content's size.
    pub size_bytes: u64,
    /// The price of the whole.
    pub price_units: Units,
    /// The size of a chunk: a power of two within the limits.
    pub chunk_bytes: u32,
    /// Who is to be paid.
    pub payee: PeerId,
    /// Until when a first payment is taken.
    pub expires_ms: u64,
    /// Makes two quotes for the same thing different orders.
    pub nonce: [u8; 16],
}

impl Quote {
    /// How many chunks the content has; an empty file has none.
    pub fn chunks(&self) -> u64 {
        self.size_bytes.div_ceil(u64::from(self.chunk_bytes))
    }

    /// What must have been paid in all before chunk `i` (from 0) is served: ceil((i+1) × price ÷ chunks).
    pub fn due_for_chunk(&self, i: u64) -> Units {
        let chunks = u128::from(self.chunks().max(1));
        let due = (u128::from(i) + 1) * u128::from(self.price_units.0);
        Units(u64::try_from(due.div_ceil(chunks)).unwrap_or(u64::MAX).min(self.price_units.0))
    }
}

impl Layout for Quote {
    const WHAT: &'static str = "quote";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.content.0);
        w.u64(self.size_bytes);
        w.u64(self.price_units.0);
        w.u32(self.chunk_bytes);
        w.fixed(&self.payee.0);
        w.u64(self.expires_ms);
        w.fixed(&self.nonce);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let quote = Self {
            broker: BrokerId(r.fixed()?),
            content: ContentId(r.fixed()?),
            size_bytes: r.u64()?,
            price_units: Units(r.u64()?),
            chunk_bytes: r.u32()?,
            payee: PeerId(r.fixed()?),
            expires_ms: r.u64()?,
            nonce: r.fixed()?,
        };
        if !CHUNK_BYTES.contains(&quote.chunk_bytes) || !quote.chunk_bytes.is_power_of_two() {
            return Err(Malformed::Value("chunk size"));
        }
        Ok(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_due_the_whole_price_and_no_chunk_is_free() {
        for (size_bytes, price) in [(1, 3), (65_536 * 3, 2), (65_536 * 3 + 1, 100), (65_536 * 7, 1)] {
            let quote = Quote {
                broker: BrokerId::default(),
                content: ContentId::default(),
                size_bytes,
                price_units: Units(price),
                chunk_bytes: 65_536,
                payee: PeerId::default(),
                expires_ms: 0,
                nonce: [0; 16],
            };
            let due: Vec<_> = (0..quote.chunks()).map(|i| quote.due_for_chunk(i).0).collect();
            assert!(due.is_sorted() && due[0] >= 1, "{due:?}");
            assert_eq!(due.last(), Some(&price));
        }
    }
}
