//! Attacks on redemption, against a real broker: whoever asks for whatever, a word is paid once, to whom it was granted,
//! and nobody honest is accused.
//!
//! Each test keeps books of its own of what was sold and granted. In the end what the broker paid is held against them,
//! beside the ledger's own audit ([`scene`]).

mod batches;
mod bytes;
mod curves;
mod debtors;
mod floods;
mod grants;
mod ranges;
mod refunds;
mod requests;
mod scene;

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
