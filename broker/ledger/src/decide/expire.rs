//! Refunds: what was not redeemed of an e-coin goes back to its payer, once nobody can still come for it.

use std::collections::BTreeSet;

use netpay_planted::{self as planted, Fault};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::WordCount;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;

use super::{Decision, check_clock, check_reconciled};
use crate::command::{Facts, MAX_EXPIRED};
use crate::event::Event;
use crate::rejection::Rejection;
use crate::rows::EcoinRow;
use crate::working_set::WorkingSet;

/// How long after the last moment to redeem an e-coin is refunded: payees' clocks may be slow.
pub const GRACE_MS: u64 = DAY_MS;

/// What is not due, not known or refunded already is left alone: the list was made beside the writer.
pub(super) fn decide(ws: &WorkingSet, facts: &Facts, ecoins: &[EcoinId]) -> Result<Decision, Rejection> {
    check_clock(ws, facts)?;
    check_reconciled(ws)?;
    let ecoins: BTreeSet<_> = ecoins.iter().take(MAX_EXPIRED).collect();
    let due = ecoins.into_iter().filter_map(|ecoin| ws.ecoins.get(ecoin).filter(|row| is_due(row, facts)));
    let refunds: Vec<_> = due.filter_map(refund).collect();
    Ok(if refunds.is_empty() { Decision::Unchanged(vec![]) } else { Decision::Record(refunds) })
}

fn is_due(row: &EcoinRow, facts: &Facts) -> bool {
    let from_ms = row.touchstone.content.redeem_until_ms.saturating_add(GRACE_MS);
    (row.expired_at_ms.is_none() || planted::is(Fault::RefundTwice)) && facts.drained_to_ms.min(facts.now_ms) >= from_ms
}

/// `None` if more words are paid than it has: the invariants see to that.
fn refund(row: &EcoinRow) -> Option<Event> {
    let t = &row.touchstone.content;
    let words = if planted::is(Fault::RefundOfAll) { WordCount(t.n.0) } else { WordCount(t.n.0).minus(row.paid)? };
    Some(Event::EcoinExpired { ecoin: t.ecoin, payer: t.payer, words, refund: words.worth(t.unit_value) })
}

/// Once is enough: until it is confirmed.
pub(super) fn doubt_clock(ws: &WorkingSet) -> Decision {
    match ws.totals.clock_doubted_at_ms {
        None => Decision::Record(vec![Event::ClockDoubted {}]),
        Some(_) => Decision::Unchanged(vec![]),
    }
}

pub(super) fn confirm_clock(ws: &WorkingSet, order: Box<Signed<Admin>>) -> Result<Decision, Rejection> {
    if ws.totals.clock_doubted_at_ms.is_none() {
        return Err(Rejection::ClockNotInDoubt);
    }
    Ok(Decision::Record(vec![Event::ClockConfirmed { order }]))
}
