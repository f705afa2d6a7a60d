//! Peers that lie, against agents that do not: real processes, and a program without rules on the other side.
//!
//! Whoever meets a liar loses at most the window or the open grant, is told in words, and the ledger says the same as
//! what the liar itself wrote down.

mod bus;
mod coins;
mod index;
mod payers;
mod suppliers;

use std::sync::{Arc, Mutex, Weak};

use netpay_tests::town::Town;

/// The town of the tests that run now; the last of them ends it. Every test brings peers of its own.
fn town() -> Arc<Town> {
    static TOWN: Mutex<Weak<Town>> = Mutex::new(Weak::new());
    let mut held = TOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    held.upgrade().unwrap_or_else(|| {
        let town = Arc::new(Town::without_index());
        *held = Arc::downgrade(&town);
        town
    })
}
