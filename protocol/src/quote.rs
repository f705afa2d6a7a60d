//! The payee's signed quote (what the paper calls agreeing on the amount), and its receipt.

use crate::amounts::Units;
use crate::ids::{BrokerId, ContentId, Digest, PeerId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::CHUNK_BYTES;

/// An offer of a file, or of a stretch of its chunks, for a price. Layout `quote`, fields in this order. Its digest is
/// the *order*. Whoever has some chunks already is quoted, and pays for, the rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The broker whose e-coins pay.
    pub broker: BrokerId,
    /// The content's BLAKE3 hash.
    pub content: ContentId,
    /// The content's size.
    pub size_bytes: u64,
    /// The size of a chunk: a power of two within the limits.
    pub chunk_bytes: u32,
    /// The first chunk offered, from 0.
    pub first_chunk: u64,
    /// How many chunks are offered: at least one, unless the content is empty.
    pub chunk_count: u64,
    /// The price of these chunks together.
    pub price_units: Units,
    /// Who is to be paid.
    pub payee: PeerId,
    /// Until when a first payment is taken.
    pub expires_ms: u64,
    /// Makes two quotes for the same thing different orders.
    pub nonce: [u8; 16],
}

/// How many chunks content of this size has; empty content has none.
pub fn chunks(size_bytes: u64, chunk_bytes: u32) -> u64 {
    size_bytes.div_ceil(u64::from(chunk_bytes))
}

/// What a stretch of chunks costs when the whole costs `price`: its part, rounded up.
pub fn price_of_part(price: Units, chunk_count: u64, chunks: u64) -> Units {
    share(price, chunk_count, chunks.max(1))
}

/// ceil(price × part ÷ whole), never above the price.
fn share(price: Units, part: u64, whole: u64) -> Units {
    let due = u128::from(part) * u128::from(price.0);
    Units(u64::try_from(due.div_ceil(u128::from(whole))).unwrap_or(u64::MAX).min(price.0))
}

impl Quote {
    /// How many chunks the content has; an empty file has none.
    pub fn chunks(&self) -> u64 {
        chunks(self.size_bytes, self.chunk_bytes)
    }

    /// Whether chunk `i` (from 0) is one of those offered.
    pub fn offers(&self, i: u64) -> bool {
        i.checked_sub(self.first_chunk).is_some_and(|nth| nth < self.chunk_count)
    }

    /// What must have been paid in all before chunk `i` (from 0) is served: ceil((i+1−first) × price ÷ count). Nothing
    /// is due for a chunk before the first, and the whole price for one after the last: neither is served.
    pub fn due_for_chunk(&self, i: u64) -> Units {
        share(self.price_units, i.saturating_add(1).saturating_sub(self.first_chunk), self.chunk_count.max(1))
    }
}

impl Layout for Quote {
    const WHAT: &'static str = "quote";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.content.0);
        w.u64(self.size_bytes);
        w.u32(self.chunk_bytes);
        w.u64(self.first_chunk);
        w.u64(self.chunk_count);
        w.u64(self.price_units.0);
        w.fixed(&self.payee.0);
        w.u64(self.expires_ms);
        w.fixed(&self.nonce);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let quote = Self {
            broker: BrokerId(r.fixed()?),
            content: ContentId(r.fixed()?),
            size_bytes: r.u64()?,
            chunk_bytes: r.u32()?,
            first_chunk: r.u64()?,
            chunk_count: r.u64()?,
            price_units: Units(r.u64()?),
            payee: PeerId(r.fixed()?),
            expires_ms: r.u64()?,
            nonce: r.fixed()?,
        };
        if !CHUNK_BYTES.contains(&quote.chunk_bytes) || !quote.chunk_bytes.is_power_of_two() {
            return Err(Malformed::Value("chunk size"));
        }
        let end = quote.first_chunk.checked_add(quote.chunk_count);
        let fits = end.is_some_and(|end| end <= quote.chunks());
        if !fits || (quote.chunk_count == 0) != (quote.size_bytes == 0) {
            return Err(Malformed::Value("chunks offered"));
        }
        Ok(quote)
    }
}

/// The payee's signed word on what was paid towards an order. Layout `receipt`. It frees nothing: grants stay as they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The broker whose e-coins paid.
    pub broker: BrokerId,
    /// Who was paid, and signs.
    pub payee: PeerId,
    /// Who paid.
    pub payer: PeerId,
    /// The digest of the quote that was paid for.
    pub order: Digest,
    /// What was paid towards it in all.
    pub paid_units: Units,
    /// When this was signed.
    pub issued_at_ms: u64,
}

impl Layout for Receipt {
    const WHAT: &'static str = "receipt";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.payee.0);
        w.fixed(&self.payer.0);
        w.fixed(&self.order.0);
        w.u64(self.paid_units.0);
        w.u64(self.issued_at_ms);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            payee: PeerId(r.fixed()?),
            payer: PeerId(r.fixed()?),
            order: Digest(r.fixed()?),
            paid_units: Units(r.u64()?),
            issued_at_ms: r.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(size_bytes: u64, (first_chunk, chunk_count): (u64, u64), price: u64) -> Quote {
        Quote {
            broker: BrokerId::default(),
            content: ContentId::default(),
            size_bytes,
            chunk_bytes: 65_536,
            first_chunk,
            chunk_count,
            price_units: Units(price),
            payee: PeerId::default(),
            expires_ms: 0,
            nonce: [0; 16],
        }
    }

    #[test]
    fn the_last_chunk_is_due_the_whole_price_and_no_chunk_is_free() {
        for (chunks, first, price) in [(1, 0, 3), (3, 0, 2), (4, 0, 100), (7, 0, 1), (7, 5, 9), (7, 6, 1)] {
            let quote = quote(65_536 * chunks, (first, chunks - first), price);
            let due: Vec<_> = (first..chunks).map(|i| quote.due_for_chunk(i).0).collect();
            assert!(due.is_sorted() && due[0] >= 1, "{due:?}");
            assert_eq!(due.last(), Some(&price));
        }
    }

    #[test]
    fn the_parts_of_a_whole_cost_the_whole_and_at_most_a_unit_more_each() {
        for (price, chunks) in [(10, 3), (1, 7), (0, 5), (u64::MAX, 9)] {
            let parts = (0..chunks).map(|_| u128::from(price_of_part(Units(price), 1, chunks).0)).sum::<u128>();
            assert!(parts >= u128::from(price) && parts <= u128::from(price) + u128::from(chunks), "{price}: {parts}");
            assert_eq!(price_of_part(Units(price), chunks, chunks), Units(price));
        }
    }

    #[test]
    fn a_quote_offers_chunks_that_the_content_has_and_at_least_one() {
        for (chunks, part, good) in [
            (4, (0, 4), true),
            (4, (3, 1), true),
            (4, (3, 2), false),
            (4, (4, 0), false),
            (4, (0, 0), false),
            (4, (u64::MAX, 2), false),
            (0, (0, 0), true),
            (0, (0, 1), false),
        ] {
            let bytes = quote(65_536 * chunks, part, 1).to_bytes();
            assert_eq!(Quote::from_bytes(&bytes).is_ok(), good, "{part:?} of {chunks}");
        }
        let quote = quote(65_536 * 9, (2, 3), 1);
        let offered: Vec<_> = (0..9).filter(|i| quote.offers(*i)).collect();
        assert_eq!(offered, [2, 3, 4]);
    }
}
