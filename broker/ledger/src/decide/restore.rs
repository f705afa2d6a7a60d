//! After a restored backup (DESIGN §3.7): e-coins that it does not know come back by their touchstones.
//!
//! They were prepaid, but the purchase is lost with what came after the backup: the payer is debited once more, and what it
//! no longer has the operator lends. Payees are whole, and the operator's loss is an event.

use std::collections::BTreeMap;

use netpay_planted::{self as planted, Fault};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::touchstone::Touchstone;

use super::Decision;
use super::buy::MAX_PREPARATION_MS;
use super::operator::room;
use crate::command::Facts;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::rows::RestoredFrom;
use crate::working_set::WorkingSet;

/// What may not come back is left out; its claims are answered `unknown_ecoin`.
pub(super) fn decide(
    ws: &WorkingSet,
    facts: &Facts,
    ecoins: Vec<(Signed<Touchstone>, u32)>,
) -> Result<Decision, Rejection> {
    let Some(restored) = ws.totals.restored else { return Ok(Decision::Unchanged(vec![])) };
    let ecoins: BTreeMap<_, _> =
        ecoins.into_iter().map(|(touchstone, epoch)| (touchstone.content.ecoin, (touchstone, epoch))).collect();
    let mut left: BTreeMap<PeerId, Units> = BTreeMap::new();
    let mut room = room(ws);
    let mut events = Vec::new();
    for (ecoin, (touchstone, epoch)) in ecoins {
        let t = &touchstone.content;
        if ws.ecoins.get(&ecoin).is_some() || !is_lost(t, facts, &restored) {
            continue;
        }
        let balance =
            left.entry(t.payer).or_insert_with(|| ws.accounts.get(&t.payer).map_or(Units::ZERO, |row| row.balance));
        let debited = if planted::is(Fault::RestoredForNothing) { Units::ZERO } else { t.worth().min(*balance) };
        let lent = t.worth().saturating_sub(debited);
        if lent.0 >= room {
            continue;
        }
        room -= lent.0;
        *balance = balance.saturating_sub(debited);
        events.push(Event::EcoinRestored { touchstone: Box::new(touchstone), epoch, debited, lent });
    }
    Ok(if events.is_empty() { Decision::Unchanged(vec![]) } else { Decision::Record(events) })
}

/// Sold in an earlier life, after the backup, and still to be redeemed.
pub fn is_lost(t: &Touchstone, facts: &Facts, restored: &RestoredFrom) -> bool {
    t.incarnation < facts.incarnation
        && t.issued_at_ms.saturating_add(MAX_PREPARATION_MS) >= restored.head_at_ms
        && facts.now_ms < t.redeem_until_ms
}

pub(super) fn reconcile(ws: &WorkingSet, order: Box<Signed<Admin>>) -> Result<Decision, Rejection> {
    if ws.totals.restored.is_none() {
        return Err(Rejection::NothingToReconcile);
    }
    Ok(Decision::Record(vec![Event::LedgerReconciled { order }]))
}
