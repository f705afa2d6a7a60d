//! Other keys: a peer's, certified by being in the log; the broker's, certified by its root key.

use netpay_protocol::key_list::SignedKeyList;

use super::{Decision, check_life};
use crate::command::{Facts, Rotation};
use crate::event::Event;
use crate::rejection::Rejection;
use crate::working_set::WorkingSet;

/// Rotations of one account, at most: its row keeps every key given up.
pub const MAX_ROTATIONS: usize = 16;

/// E-coins sold before keep the key in their touchstone; everything else is signed with the new one.
pub(super) fn peer(ws: &WorkingSet, facts: &Facts, rotation: &Rotation) -> Result<Decision, Rejection> {
    let order = &rotation.order().content;
    check_life(facts, order.valid_until_ms)?;
    let row = ws.accounts.get(&order.peer).ok_or(Rejection::AccountUnknown)?;
    let present = row.opened.as_ref().ok_or(Rejection::AccountUnknown)?.register.content.signing_key;
    if rotation.signed_by() != present {
        return Err(Rejection::NotTheAccountsKey);
    }
    let former = row.former_keys.as_deref().unwrap_or_default();
    let new = rotation.register().content.signing_key;
    if former.contains(&new) {
        return Err(Rejection::KeyUsedBefore);
    }
    if new != present && former.len() >= MAX_ROTATIONS {
        return Err(Rejection::TooManyRotations { most: MAX_ROTATIONS });
    }
    let (order, register) = (Box::new(rotation.order().clone()), Box::new(rotation.register().clone()));
    Ok(Decision::Record(vec![Event::PeerKeysRotated { order, register }]))
}

pub(super) fn broker(ws: &WorkingSet, list: Box<SignedKeyList>) -> Result<Decision, Rejection> {
    let new = (list.list.content.incarnation, list.list.content.seq);
    if ws.totals.keys.is_some_and(|known| new <= (known.incarnation, known.seq)) {
        return Err(Rejection::KeyListNotNewer);
    }
    Ok(Decision::Record(vec![Event::BrokerKeysRotated { list }]))
}
