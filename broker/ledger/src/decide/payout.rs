//! Payouts: money that leaves the ledger.
//!
//! It is off the balance from the request on, so that it cannot be spent while the operator pays it outside. Then it is
//! settled (gone) or failed (back on the balance), once and for good: a payout that could still fail after it was paid
//! would be paid twice.

use netpay_planted::{self as planted, Fault};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, PayoutState, RequestPayout};

use super::{Decision, check_life, check_reconciled, opened};
use crate::command::{Facts, OpenAccount};
use crate::event::Event;
use crate::rejection::Rejection;
use crate::working_set::WorkingSet;

pub(super) fn request(
    ws: &WorkingSet,
    facts: &Facts,
    opening: Option<&OpenAccount>,
    order: Box<Signed<RequestPayout>>,
    signed_by: PublicKey,
) -> Result<Decision, Rejection> {
    let payout = &order.content;
    check_life(facts, payout.valid_until_ms)?;
    check_reconciled(ws)?;
    let (account, opening_event) = opened(ws, payout.peer, opening, signed_by)?;
    if account.suspended_at_ms.is_some() {
        return Err(Rejection::Suspended);
    }
    // Who is in debt is suspended, too; but a debtor must not get away whatever lifts the suspension one day.
    if account.debt > Units::ZERO {
        return Err(Rejection::InDebt { debt: account.debt });
    }
    let amount = payout.amount_units;
    if amount == Units::ZERO {
        return Err(Rejection::AmountOutOfRange);
    }
    if amount > account.balance {
        return Err(Rejection::PayoutAboveBalance { amount, balance: account.balance });
    }
    Ok(Decision::Record(opening_event.into_iter().chain([Event::PayoutRequested { order }]).collect()))
}

pub(super) fn settle(
    ws: &WorkingSet,
    order: Box<Signed<Admin>>,
    payout: PayoutKey,
    reference: String,
) -> Result<Decision, Rejection> {
    open_amount(ws, &payout)?;
    Ok(Decision::Record(vec![Event::PayoutSettled { payout, reference, order }]))
}

pub(super) fn fail(
    ws: &WorkingSet,
    order: Box<Signed<Admin>>,
    payout: PayoutKey,
    reason: String,
) -> Result<Decision, Rejection> {
    let amount = open_amount(ws, &payout)?;
    Ok(Decision::Record(vec![Event::PayoutFailed { payout, amount, reason, order }]))
}

/// What a payout that is neither settled nor failed has taken off its peer's balance.
fn open_amount(ws: &WorkingSet, payout: &PayoutKey) -> Result<Units, Rejection> {
    check_reconciled(ws)?;
    let row = ws.payouts.get(payout).ok_or(Rejection::PayoutUnknown)?;
    match &row.state {
        PayoutState::Requested => Ok(row.amount),
        PayoutState::Failed { .. } if planted::is(Fault::GivenBackTwice) => Ok(row.amount),
        PayoutState::Settled { reference, at_ms } => {
            Err(Rejection::PayoutWasSettled { reference: reference.clone(), at_ms: *at_ms })
        }
        PayoutState::Failed { reason, at_ms } => {
            Err(Rejection::PayoutHasFailed { reason: reason.clone(), at_ms: *at_ms })
        }
    }
}
