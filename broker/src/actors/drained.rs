//! Until when everything that was left for the broker is settled. A refund waits for it (DESIGN §3.7): who left a claim in time
//! has redeemed in time, however long the broker takes to come to it.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module. Without an inbox nothing is ever left: requests are answered while their senders wait.
#[derive(Debug)]
pub struct Drained(AtomicU64);

impl Default for Drained {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Drained {
    /// Everything stored before this time is settled. May go back: clocks of different machines are not quite the same.
    pub fn set(&self, to_ms: u64) {
        self.0.store(to_ms, Ordering::Release);
    }

    /// Before this time everything is settled, as far as is known at `now_ms`.
    pub fn to_ms(&self, now_ms: u64) -> u64 {
        self.0.load(Ordering::Acquire).min(now_ms)
    }
}
