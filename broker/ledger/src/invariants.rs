//! L1 to L5, held against events before they are recorded (DESIGN §4).
//!
//! `decide` is written so that these hold; this refuses its output if it is not so, because a metric that notices
//! afterwards is too late for money.

use std::collections::{BTreeMap, BTreeSet};

use netpay_planted::{self as planted, Fault};
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::touchstone::Touchstone;

use crate::event::{Account, Event, RedeemedClaim};
use crate::working_set::WorkingSet;

/// More than any e-coin is worth, and small enough to be summed.
const NO_SUCH_ECOIN: i128 = 1 << 100;

/// Names the invariant that the events of one command would break, if any.
pub fn broken_by(ws: &WorkingSet, events: &[Event]) -> Option<&'static str> {
    if planted::is(Fault::InvariantsUnchecked) {
        return None;
    }
    let mut postings: BTreeMap<Account, i128> = BTreeMap::new();
    for (account, amount) in events.iter().flat_map(Event::postings) {
        *postings.entry(account).or_default() += i128::from(amount);
    }
    if postings.values().sum::<i128>() != 0 {
        return Some("L1 (postings sum to zero)");
    }
    if postings.get(&Account::Escrow).copied().unwrap_or(0) != escrow_change(ws, events) {
        return Some("L2 (escrow is what the e-coins are worth)");
    }
    if !credited_words_are_free(ws, events) {
        return Some("L3 (no word is paid twice)");
    }
    if !debts_are_what_was_lost(events) {
        return Some("debts (a debt is what the payee lost)");
    }
    if !ecoins_are_new(ws, events) {
        return Some("e-coins (each is sold once)");
    }
    if !refunds_are_due(ws, events) {
        return Some("refunds (each e-coin gives back what is left of it, once)");
    }
    if !payouts_end_once(ws, events) {
        return Some("payouts (each ends once, and gives back what it took)");
    }
    let below_zero = postings.iter().any(|(account, change)| match account {
        Account::Peer(peer) => {
            let balance = ws.accounts.get(peer).map_or(Units::ZERO, |row| row.balance);
            i128::from(balance.0) + change < 0
        }
        Account::Escrow => i128::from(ws.totals.escrow.0) + change < 0,
        Account::Outside => false,
    });
    below_zero.then_some("L5 (no balance below zero)")
}

fn debts_are_what_was_lost(events: &[Event]) -> bool {
    events.iter().all(|event| match event {
        Event::DoubleSpendDetected(found) => found.debt == found.conflicting.worth(found.touchstone.content.unit_value),
        _ => true,
    })
}

fn ecoins_are_new(ws: &WorkingSet, events: &[Event]) -> bool {
    let mut new = BTreeSet::new();
    let mut is_new = |t: &Touchstone| ws.ecoins.get(&t.ecoin).is_none() && new.insert(t.ecoin);
    events.iter().all(|event| match event {
        Event::EcoinsIssued { touchstones, .. } => touchstones.iter().all(|t| is_new(&t.content)),
        Event::EcoinRestored { touchstone, .. } => is_new(&touchstone.content),
        _ => true,
    })
}

fn refunds_are_due(ws: &WorkingSet, events: &[Event]) -> bool {
    let mut refunded = BTreeSet::new();
    events.iter().all(|event| match event {
        Event::EcoinExpired { ecoin, payer, words, refund } => ws.ecoins.get(ecoin).is_some_and(|row| {
            let t = &row.touchstone.content;
            row.expired_at_ms.is_none()
                && t.payer == *payer
                && WordCount(t.n.0).minus(row.paid) == Some(*words)
                && words.worth(t.unit_value) == *refund
                && refunded.insert(*ecoin)
        }),
        _ => true,
    })
}

fn payouts_end_once(ws: &WorkingSet, events: &[Event]) -> bool {
    events.iter().all(|event| match event {
        Event::PayoutRequested { order } => ws.payouts.get(&order.content.key()).is_none(),
        Event::PayoutSettled { payout, .. } => ws.open_payout(payout).is_some(),
        Event::PayoutFailed { payout, amount, .. } => ws.open_payout(payout).is_some_and(|row| row.amount == *amount),
        _ => true,
    })
}

/// Σ of what the touched e-coins gain or lose in worth. An e-coin that is not there counts as impossibly much.
fn escrow_change(ws: &WorkingSet, events: &[Event]) -> i128 {
    let mut change = 0;
    for event in events {
        change += match event {
            Event::EcoinsIssued { touchstones, .. } => {
                touchstones.iter().map(|t| i128::from(t.content.worth().0)).sum::<i128>()
            }
            Event::EcoinRestored { touchstone, .. } => i128::from(touchstone.content.worth().0),
            Event::BatchRedeemed { claims, .. } => -claims
                .iter()
                .map(|claim| match claim {
                    RedeemedClaim::Refused(_) => 0,
                    RedeemedClaim::Settled(claim) => ws.ecoins.get(&claim.ecoin).map_or(NO_SUCH_ECOIN, |row| {
                        i128::from(runs::count(&claim.credited).worth(row.touchstone.content.unit_value).0)
                    }),
                })
                .sum::<i128>(),
            Event::EcoinExpired { ecoin, .. } => -ws.ecoins.get(ecoin).map_or(NO_SUCH_ECOIN, |row| {
                let left = WordCount(row.touchstone.content.n.0).minus(row.paid).unwrap_or_default();
                i128::from(left.worth(row.touchstone.content.unit_value).0)
            }),
            _ => 0,
        };
    }
    change
}

/// Credited runs lie on their chains, apart from each other and from all that was paid (L3, and with it L4).
fn credited_words_are_free(ws: &WorkingSet, events: &[Event]) -> bool {
    // By their first words. They are apart: only the last one that begins before a run ends can meet it.
    let mut new: BTreeMap<(EcoinId, PaywordIndex), Run> = BTreeMap::new();
    for event in events {
        let Event::BatchRedeemed { claims, .. } = event else {
            continue;
        };
        for claim in claims {
            let RedeemedClaim::Settled(claim) = claim else {
                continue;
            };
            for run in &claim.credited {
                let on_chain = ws.ecoins.get(&claim.ecoin).is_some_and(|row| {
                    row.expired_at_ms.is_none() && run.from.0 >= 1 && run.through <= row.touchstone.content.n
                });
                let below = new.range((claim.ecoin, PaywordIndex(0))..=(claim.ecoin, run.through)).next_back();
                let apart = below.is_none_or(|(_, taken)| taken.meet(run).is_none());
                if !on_chain || !apart || !ws.runs_meeting(claim.ecoin, *run).is_empty() {
                    return false;
                }
                new.insert((claim.ecoin, run.from), *run);
            }
        }
    }
    true
}
