//! Locking (DESIGN §3.5): what a wallet and a till give up that may have forgotten what they granted or accepted.
//!
//! A home made from a backup grants, buys and accepts nothing until the broker was asked for its time and this peer's
//! e-coins. Then, in one transaction, everything issued up to that time is locked here for ever: no grant on it leaves,
//! no payment with it is accepted, and an answer that is late brings none of it back. The broker refunds locked e-coins
//! after their `redeem_until`. Nothing here asks anybody, and redeeming is never touched.

use netpay_protocol::amounts::Units;
use netpay_protocol::query::OwnEcoin;
use netpay_protocol::touchstone::Touchstone;

use super::purse::Chain;
use crate::ports::{Coins, Entry, History, Locking, PurchaseState, Purchases, Slot, Slots, StoreError, Stored};

/// What a person is told that uses a home made from a backup before it is locked.
pub const RESTORE_FIRST: &str = "this home was made from a backup, or its wallet is gone, and it may have forgotten what it spent; run first: netpay wallet restore";

/// The broker's signed word on this peer's e-coins.
#[derive(Clone, Debug)]
pub struct Own {
    /// The broker's time in it.
    pub at_ms: u64,
    /// All that were not refunded.
    pub ecoins: Vec<OwnEcoin>,
}

/// What was locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Locked {
    /// Everything issued up to this time of the broker's.
    pub through_ms: u64,
    /// How many e-coins of this wallet.
    pub ecoins: usize,
    /// What the broker refunds of them at most.
    pub units: Units,
    /// How many e-coins that only the broker knows.
    pub wordless: usize,
}

/// Whether this home was made from a backup, and is not locked yet.
pub fn must_lock(store: &impl Slots) -> Stored<bool> {
    Ok(store.slot(Slot::Restored)?.is_some_and(|mark| !mark.is_empty()))
}

/// Marks a home that was just made from a backup.
pub fn mark_restored(store: &impl Slots) -> Stored<()> {
    store.put_slot(Slot::Restored, b"yes")
}

/// A time that is kept in a slot.
pub fn time(store: &impl Slots, slot: Slot) -> Stored<Option<u64>> {
    let read = |bytes: Vec<u8>| bytes.try_into().map(u64::from_be_bytes);
    store.slot(slot)?.map(read).transpose().map_err(|_| StoreError::damaged("a time that has not 8 bytes"))
}

/// Whether nothing is granted on, or accepted of, this e-coin: it is from before the last locking.
pub fn is_locked(store: &impl Slots, t: &Touchstone) -> Stored<bool> {
    Ok(must_lock(store)? || time(store, Slot::LockedThrough)?.is_some_and(|through| t.issued_at_ms <= through))
}

/// Locks everything: what this wallet knows, what the broker knows, purchases under way, orders under way.
pub fn lock(
    store: &(impl Coins + Purchases + Locking + Slots + History),
    own: &Own,
    why: &str,
    now_ms: u64,
) -> Stored<Locked> {
    let known = store.all_ecoins()?;
    // All that the wallet holds was issued by now, whatever the broker's clock did in between.
    let issued = known.iter().map(|ecoin| &ecoin.touchstone).chain(own.ecoins.iter().map(|own| &own.touchstone));
    let latest = issued.map(|t| t.content.issued_at_ms).max().unwrap_or(0);
    let before = time(store, Slot::LockedThrough)?.unwrap_or(0);
    let mut locked =
        Locked { through_ms: own.at_ms.max(latest).max(before), ecoins: 0, units: Units::ZERO, wordless: 0 };
    for ecoin in known {
        let t = &ecoin.touchstone.content;
        let grants = store.grants(t.ecoin)?;
        store.lock_ecoin(t.ecoin)?;
        let (id, unit) = (t.ecoin, t.unit_value);
        let unspent = Chain { ecoin, grants }.unspent().worth(unit);
        if unspent > Units::ZERO && own.ecoins.iter().any(|own| own.touchstone.content.ecoin == id) {
            locked.ecoins += 1;
            locked.units = locked.units.checked_add(unspent).unwrap_or(locked.units);
        }
    }
    for own in &own.ecoins {
        if store.ecoin(own.touchstone.content.ecoin)?.is_none() {
            store.keep_wordless(&own.touchstone)?;
            locked.wordless += 1;
        }
    }
    for state in [PurchaseState::Pending, PurchaseState::Refused] {
        for buy in store.purchases(state)? {
            store.mark_purchase(buy.content.request, PurchaseState::Dropped, why)?;
        }
    }
    store.end_out_orders()?;
    store.put_slot(Slot::LockedThrough, &locked.through_ms.to_be_bytes())?;
    store.put_slot(Slot::Restored, b"")?;
    store.note(Entry {
        at_ms: now_ms,
        what: "locked".into(),
        with: None,
        ecoin: None,
        units: locked.units,
        reference: None,
        note: format!("{why}: {} e-coins, {} more that only the broker knows", locked.ecoins, locked.wordless),
    })?;
    Ok(locked)
}
