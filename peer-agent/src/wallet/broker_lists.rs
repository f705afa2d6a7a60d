//! The broker's key list and revocation list, as this peer last saw them.
//!
//! Believed for their signatures alone, wherever they come from; the newest is kept. Nothing here asks for one.

use netpay_protocol::ids::BrokerId;
use netpay_protocol::key_list::{BrokerKeys, SignedKeyList};
use netpay_protocol::layout::Signed;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::wire;

use crate::ports::{Slot, Slots, StoreError, Stored};

/// How far the broker's clock may be ahead of ours.
const AHEAD_MS: u64 = 5 * 60 * 1_000;

/// Whether a list was signed at a time that is yet to come: it would stay young for too long.
fn is_from_the_future(list: &RevocationList, now_ms: u64) -> bool {
    list.issued_at_ms > now_ms.saturating_add(AHEAD_MS)
}

/// Why a list is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Not the pinned broker's word.
    #[error("{0} is not signed by the pinned broker")]
    NotTheBrokers(&'static str),
    /// There is no key list yet to check it with.
    #[error("there is no key list of the broker's yet")]
    NoKeys,
    /// Signed at a time that is yet to come, or our clock is wrong.
    #[error("the revocation list is from the future; is this machine's clock right?")]
    FromTheFuture,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The key list held, checked again against the pinned broker.
pub fn keys(store: &impl Slots, broker: BrokerId) -> Stored<Option<BrokerKeys>> {
    let Some(bytes) = store.slot(Slot::KeyList)? else {
        return Ok(None);
    };
    let list: SignedKeyList = wire::decode(&bytes).map_err(|error| StoreError(Box::new(error)))?;
    list.verify(broker).map(Some).map_err(|error| StoreError(Box::new(error)))
}

/// The revocation list held, checked again with these keys: one that does not verify any more, or is from the future,
/// is as good as none.
pub fn revoked(store: &impl Slots, keys: &BrokerKeys, now_ms: u64) -> Stored<Option<RevocationList>> {
    let Some(bytes) = store.slot(Slot::Revoked)? else {
        return Ok(None);
    };
    let list: Signed<RevocationList> = wire::decode(&bytes).map_err(|error| StoreError(Box::new(error)))?;
    Ok(list.verify_by(keys).ok().filter(|list| !is_from_the_future(list, now_ms)).cloned())
}

/// How old the lists held are.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Until when the key list is good; nothing without one.
    pub keys_next_at_ms: Option<u64>,
    /// How old the revocation list is; nothing without one that counts.
    pub revoked_age_ms: Option<u64>,
}

/// How old the lists held are.
pub fn ages(store: &impl Slots, broker: BrokerId, now_ms: u64) -> Stored<Ages> {
    let keys = keys(store, broker)?;
    let list = match &keys {
        Some(keys) => revoked(store, keys, now_ms)?,
        None => None,
    };
    Ok(Ages {
        keys_next_at_ms: keys.map(|keys| keys.list().next_at_ms),
        revoked_age_ms: list.map(|list| now_ms.saturating_sub(list.issued_at_ms)),
    })
}

/// The incarnation of the revocation list held, which was verified when it was taken; 0 when there is none.
pub fn revoked_incarnation(store: &impl Slots) -> Stored<u64> {
    let Some(bytes) = store.slot(Slot::Revoked)? else {
        return Ok(0);
    };
    let list: Signed<RevocationList> = wire::decode(&bytes).map_err(|error| StoreError(Box::new(error)))?;
    Ok(list.content.incarnation)
}

/// Takes a key list if it is the pinned broker's and newer; answers whether it was.
pub fn take_keys(store: &impl Slots, broker: BrokerId, list: &SignedKeyList) -> Result<bool, NotTaken> {
    let fresh = list.verify(broker).map_err(|_| NotTaken::NotTheBrokers("the key list"))?;
    if keys(store, broker)?.is_some_and(|held| !fresh.is_newer_than(&held)) {
        return Ok(false);
    }
    store.put_slot(Slot::KeyList, &wire::encode(list))?;
    Ok(true)
}

/// Takes a revocation list if it is the broker's and newer; answers whether it was.
pub fn take_revoked(
    store: &impl Slots,
    broker: BrokerId,
    list: &Signed<RevocationList>,
    now_ms: u64,
) -> Result<bool, NotTaken> {
    let keys = keys(store, broker)?.ok_or(NotTaken::NoKeys)?;
    let fresh = list.verify_by(&keys).map_err(|_| NotTaken::NotTheBrokers("the revocation list"))?;
    if is_from_the_future(fresh, now_ms) {
        return Err(NotTaken::FromTheFuture);
    }
    if revoked(store, &keys, now_ms)?.is_some_and(|held| !fresh.is_newer_than(&held)) {
        return Ok(false);
    }
    store.put_slot(Slot::Revoked, &wire::encode(list))?;
    Ok(true)
}
