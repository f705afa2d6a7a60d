//! What a supplier tells the Central Indexing Server, signed by the supplier: a CIS can hide a listing, never change one.

use crate::amounts::Units;
use crate::ids::{BrokerId, ContentId, PeerId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::{MAX_LISTING_LIFE_MS, MAX_MEDIA_TYPE_BYTES, MAX_NAME_BYTES, MAX_TAGS_BYTES};

/// One piece of content on offer. Layout `listing`, signed by the supplier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The broker whose e-coins pay.
    pub broker: BrokerId,
    /// The supplier.
    pub supplier: PeerId,
    /// The content's BLAKE3 hash.
    pub content: ContentId,
    /// The content's size.
    pub size_bytes: u64,
    /// The price; the quote is what binds.
    pub price_units: Units,
    /// When it was signed. Of two for the same content of the same supplier the later counts.
    pub issued_at_ms: u64,
    /// When it lapses, at most a day later.
    pub expires_ms: u64,
    /// File name, without any path.
    pub name: String,
    /// Media type (RFC 6838).
    pub media_type: String,
    /// Words to be found by, separated by spaces.
    pub tags: String,
}

impl Layout for Listing {
    const WHAT: &'static str = "listing";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.supplier.0);
        w.fixed(&self.content.0);
        w.u64(self.size_bytes);
        w.u64(self.price_units.0);
        w.u64(self.issued_at_ms);
        w.u64(self.expires_ms);
        w.bytes(self.name.as_bytes());
        w.bytes(self.media_type.as_bytes());
        w.bytes(self.tags.as_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let listing = Self {
            broker: BrokerId(r.fixed()?),
            supplier: PeerId(r.fixed()?),
            content: ContentId(r.fixed()?),
            size_bytes: r.u64()?,
            price_units: Units(r.u64()?),
            issued_at_ms: r.u64()?,
            expires_ms: r.u64()?,
            name: r.text("name", MAX_NAME_BYTES)?,
            media_type: r.text("media type", MAX_MEDIA_TYPE_BYTES)?,
            tags: r.text("tags", MAX_TAGS_BYTES)?,
        };
        if !is_file_name(&listing.name) {
            return Err(Malformed::Value("name (a file name without a path)"));
        }
        if listing.expires_ms.saturating_sub(listing.issued_at_ms) > MAX_LISTING_LIFE_MS {
            return Err(Malformed::Value("time to live"));
        }
        Ok(listing)
    }
}

/// Whether a name is one that can be saved under as it is: not empty, no path, no control characters.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.chars().any(|c| matches!(c, '/' | '\\') || c.is_control())
}

/// A supplier takes a listing back. Layout `withdraw`, signed by the supplier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdraw {
    /// The broker.
    pub broker: BrokerId,
    /// The supplier.
    pub supplier: PeerId,
    /// The content.
    pub content: ContentId,
    /// Listings issued up to then are withdrawn.
    pub issued_at_ms: u64,
}

impl Layout for Withdraw {
    const WHAT: &'static str = "withdraw";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.supplier.0);
        w.fixed(&self.content.0);
        w.u64(self.issued_at_ms);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            supplier: PeerId(r.fixed()?),
            content: ContentId(r.fixed()?),
            issued_at_ms: r.u64()?,
        })
    }
}
