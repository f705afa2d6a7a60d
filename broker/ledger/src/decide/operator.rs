//! What operators order: deposits, suspensions, debts.

use netpay_planted::{self as planted, Fault};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;

use super::{Decision, check_clock, check_reconciled};
use crate::command::{DebtKey, Facts};
use crate::event::{Cause, Event};
use crate::rejection::Rejection;
use crate::rows::{AccountRow, ReferenceRow};
use crate::working_set::WorkingSet;

/// All money of a ledger stays below this, so that no sum overflows.
const MOST_UNITS: u64 = 1 << 62;

type Order = Box<Signed<Admin>>;

/// A deposit is named by its reference outside: the same one again is the same deposit, under whatever request id.
pub(super) fn credit(
    ws: &WorkingSet,
    order: Order,
    peer: PeerId,
    amount: Units,
    reference: String,
) -> Result<Decision, Rejection> {
    match ws.references.get(&reference).filter(|_| !planted::is(Fault::ReferenceForgotten)) {
        Some(ReferenceRow { peer: known, amount: paid, position }) if (*known, *paid) == (peer, amount) => {
            return Ok(Decision::Repeated { position: *position });
        }
        Some(_) => return Err(Rejection::ReferenceReused),
        None => {}
    }
    let room = room(ws);
    if amount == Units::ZERO || amount.0 >= room {
        return Err(Rejection::AmountOutOfRange);
    }
    Ok(Decision::Record(vec![Event::FundsCredited { peer, amount, reference, order }]))
}

pub(super) fn suspend(ws: &WorkingSet, order: Order, peer: PeerId) -> Result<Decision, Rejection> {
    if known(ws, peer)?.suspended_at_ms.is_some() {
        return Err(Rejection::AlreadySuspended);
    }
    Ok(Decision::Record(vec![Event::AccountSuspended { peer, cause: Cause::Operator(order) }]))
}

pub(super) fn reinstate(ws: &WorkingSet, order: Order, peer: PeerId) -> Result<Decision, Rejection> {
    let account = known(ws, peer)?;
    if account.suspended_at_ms.is_none() {
        return Err(Rejection::NotSuspended);
    }
    if account.debt > Units::ZERO {
        return Err(Rejection::InDebt { debt: account.debt });
    }
    Ok(Decision::Record(vec![Event::AccountReinstated { peer, order }]))
}

/// Pays a debt as far as the balance goes. Not before the debtor's last e-coin is past redeeming: until then a cheat
/// could have its puppets paid before the honest, of whom some may have left their claims in time and not been heard yet.
/// What the operator lent to a restored e-coin it may take back at once,
/// unless the debtor is suspended: an honest one is only short of a deposit that the backup had not seen either.
pub(super) fn settle_debt(ws: &WorkingSet, facts: &Facts, order: Order, debt: DebtKey) -> Result<Decision, Rejection> {
    check_clock(ws, facts)?;
    check_reconciled(ws)?;
    let debtor = known(ws, debt.debtor)?;
    let open = ws.debt(&debt).ok_or(Rejection::DebtUnknown)?.open;
    let at_once = debt.creditor == PeerId::OPERATOR && debtor.suspended_at_ms.is_none();
    let heard_ms = facts.drained_to_ms.min(facts.now_ms);
    if !at_once && heard_ms <= debtor.last_redeem_until_ms && !planted::is(Fault::SettledEarly) {
        return Err(Rejection::SettlementTooEarly { after_ms: debtor.last_redeem_until_ms });
    }
    let amount = open.min(debtor.balance);
    if amount == Units::ZERO {
        return Err(Rejection::NothingToPay);
    }
    Ok(Decision::Record(vec![Event::DebtSettled { debt, amount, order }]))
}

/// What may still come in. What is being paid out may come back, after other money has taken its room.
pub(super) fn room(ws: &WorkingSet) -> u64 {
    let held = ws.totals.outside.unsigned_abs().saturating_add(ws.totals.payouts_open().0);
    MOST_UNITS.saturating_sub(held)
}

fn known(ws: &WorkingSet, peer: PeerId) -> Result<&AccountRow, Rejection> {
    ws.accounts.get(&peer).ok_or(Rejection::AccountUnknown)
}
