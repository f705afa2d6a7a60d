//! What the Central Indexing Server needs of its storage.

use netpay_protocol::ids::PeerId;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::messages::{Announce, Hits, Search, TakeBack};
use netpay_protocol::problem::Problem;

/// Signed listings that can be found by words. Checks what it takes.
pub trait Listings: Send {
    /// Takes a listing.
    fn announce(&mut self, announce: &Announce, now_ms: u64) -> Result<(), Problem>;
    /// Takes one back.
    fn withdraw(&mut self, withdraw: &TakeBack, now_ms: u64) -> Result<(), Problem>;
    /// Takes a supplier's key by the broker's word, unless a newer one is known; `given_up` tells.
    fn certify(&mut self, supplier: PeerId, key: PublicKey, given_up: u32) -> Result<(), Problem>;
    /// Finds, leaving out suspended suppliers.
    fn search(&self, search: &Search, now_ms: u64, suspended: &dyn Fn(PeerId) -> bool) -> Result<Hits, Problem>;
    /// Forgets what has lapsed.
    fn sweep(&mut self, now_ms: u64);
}
