//! Tests of the index: `suppliers` who may cheat, and what `searches` find.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::messages::{Hit, Hits};

use super::*;

mod searches;
mod suppliers;

const BROKER: BrokerId = BrokerId([1; 16]);
const NOW: u64 = 1_800_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn peer(n: u8) -> PeerId {
    PeerId::of(&key(n).public())
}

/// What supplier `n` offers as content `content`, for an hour, from `NOW` on.
fn listing(n: u8, content: u8, name: &str) -> Listing {
    Listing {
        broker: BROKER,
        supplier: peer(n),
        content: ContentId([content; 32]),
        size_bytes: 1,
        price_units: Units(5),
        issued_at_ms: NOW,
        expires_ms: NOW + HOUR_MS,
        name: name.to_owned(),
        media_type: "video/mp4".to_owned(),
        tags: String::new(),
    }
}

fn issued(at_ms: u64, mut listing: Listing) -> Listing {
    listing.issued_at_ms = at_ms;
    listing
}

fn until(expires_ms: u64, mut listing: Listing) -> Listing {
    listing.expires_ms = expires_ms;
    listing
}

fn priced(units: u64, mut listing: Listing) -> Listing {
    listing.price_units = Units(units);
    listing
}

/// Supplier `n` takes content `content` back.
fn withdrawal(n: u8, content: u8, issued_at_ms: u64) -> Withdraw {
    Withdraw { broker: BROKER, supplier: peer(n), content: ContentId([content; 32]), issued_at_ms }
}

struct Scene(IndexStore);

impl Scene {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self(IndexStore::in_memory(BROKER, limits).expect("opened"))
    }

    /// Signed by supplier `n`, at `now`.
    fn announce(&mut self, n: u8, listing: &Listing, now: u64) -> Result<(), Refused> {
        let signed = Signed::new(listing.clone(), &key(n));
        reason(self.0.announce(&signed, &key(n).public(), now))
    }

    fn withdraw(&mut self, n: u8, content: u8, issued_at_ms: u64, now: u64) -> Result<(), Refused> {
        let signed = Signed::new(withdrawal(n, content, issued_at_ms), &key(n));
        reason(self.0.withdraw(&signed, &key(n).public(), now))
    }

    fn given(listings: impl IntoIterator<Item = (u8, Listing)>) -> Self {
        let mut scene = Self::new();
        for (n, listing) in listings {
            scene.announce(n, &listing, NOW).expect("taken");
        }
        scene
    }

    fn page(&self, text: &str, skip: u32, limit: u32, suspended: &[u8]) -> Hits {
        let is_suspended = |id| suspended.iter().any(|n| peer(*n) == id);
        let hits = self.0.search(text, skip, limit, NOW, &is_suspended);
        hits.expect("searched")
    }

    fn found_at(&self, text: &str, now: u64) -> Vec<Hit> {
        let hits = self.0.search(text, 0, 100, now, &|_| false);
        hits.expect("searched").hits
    }

    fn rows(&self, table: &str) -> u32 {
        let count = format!("SELECT COUNT(*) FROM {table}");
        let rows = self.0.db.query_row(&count, [], |row| row.get(0));
        rows.expect("counted")
    }

    fn found(&self, text: &str) -> Vec<String> {
        let hits = self.found_at(text, NOW).into_iter();
        hits.map(|hit| hit.listing.content.name).collect()
    }
}

fn reason(result: Result<(), Error>) -> Result<(), Refused> {
    result.map_err(|error| match error {
        Error::Refused(refused) => refused,
        Error::Store(error) => panic!("{error}"),
    })
}

fn contents(hits: &[Hit]) -> Vec<u8> {
    hits.iter().map(|hit| hit.listing.content.content.0[0]).collect()
}
