//! The broker's key list and revocation list, as this peer last saw them.
//!
//! Believed for their signatures alone, wherever they come from; the newest is kept. Nothing here asks for one.

use netpay_protocol::ids::BrokerId;
use netpay_protocol::key_list::{BrokerKeys, SignedKeyList};
use netpay_protocol::layout::Signed;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::wire;

use crate::ports::{Slot, Slots, StoreError, Stored};

/// Why a list is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Not the pinned broker's word.
    #[error("{0} is not signed by the pinned broker")]
    NotTheBrokers(&'static str),
    /// There is no key list yet to check it with.
    #[error("there is no key list of the broker's yet")]
    NoKeys,
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

/// The revocation list held.
pub fn revoked(store: &impl Slots) -> Stored<Option<RevocationList>> {
    let Some(bytes) = store.slot(Slot::Revoked)? else {
        return Ok(None);
    };
    let list: Signed<RevocationList> = wire::decode(&bytes).map_err(|error| StoreError(Box::new(error)))?;
    Ok(Some(list.content))
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
pub fn take_revoked(store: &impl Slots, broker: BrokerId, list: &Signed<RevocationList>) -> Result<bool, NotTaken> {
    let keys = keys(store, broker)?.ok_or(NotTaken::NoKeys)?;
    let fresh = list.verify_by(&keys).map_err(|_| NotTaken::NotTheBrokers("the revocation list"))?;
    if revoked(store)?.is_some_and(|held| !fresh.is_newer_than(&held)) {
        return Ok(false);
    }
    store.put_slot(Slot::Revoked, &wire::encode(list))?;
    Ok(true)
}
