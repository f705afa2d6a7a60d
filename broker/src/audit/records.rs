//! Which events may stand together in one record, and at whose request (L6).
//!
//! A record is the outcome of one command. Events that no command leads to together are as wrong as a false signature:
//! a debit beside a deposit could hide behind the deposit's order.

use netpay_ledger::command::Request;
use netpay_ledger::event::{Cause, Event};
use netpay_protocol::ids::{Digest, PeerId, RequestId};

use super::{Checked, Entry, holds, wrong};

/// E-coins that one command refunds, at most.
const MOST_REFUNDS: usize = 1_000;

/// Posts a record's events, and the outcome of its request.
pub(super) fn post(mut entry: Entry<'_>, events: &[Event]) -> Checked<()> {
    if let Some(request) = entry.at.request {
        let once = entry.books.answer(&request, entry.at.position)?;
        holds(once, "L6: the request of this record has an outcome already")?;
    }
    let events = match events {
        [Event::AccountOpened { peer, register, opened_at_ms }, rest @ ..] => {
            holds(acting(rest) == Some(*peer), "an account is opened by somebody else's command")?;
            entry.open(*peer, register, *opened_at_ms)?;
            rest
        }
        all => all,
    };
    match events {
        [Event::EcoinsIssued { order, touchstones, epoch }] => entry.sell(order, touchstones, *epoch),
        [Event::PayoutRequested { order }] => entry.request_payout(order),
        [Event::BatchRedeemed { payee, claims }, found @ ..] => entry.redeem(*payee, claims, found),
        [Event::FundsCredited { peer, amount, reference, order }] => entry.deposit(*peer, *amount, reference, order),
        [Event::AccountSuspended { peer, cause: Cause::Operator(order) }] => entry.suspend(*peer, order),
        [Event::AccountReinstated { peer, order }] => entry.reinstate(*peer, order),
        [Event::DebtSettled { debt, amount, order }] => entry.settle_debt(debt, *amount, order),
        [Event::PayoutSettled { payout, reference, order }] => entry.settle_payout(*payout, reference, order),
        [Event::PayoutFailed { payout, amount, reason, order }] => entry.fail_payout(*payout, *amount, reason, order),
        [Event::EcoinExpired { .. }, ..] => refund(entry, events),
        [Event::EcoinRestored { .. }, ..] => restore(entry, events),
        [Event::PeerKeysRotated { order, register }] => entry.rotate_peer(order, register),
        [Event::BrokerKeysRotated { list }] => entry.rotate_broker(list),
        [Event::LedgerRestored { incarnation, head, head_at_ms }] => entry.begin_life(*incarnation, *head, *head_at_ms),
        [Event::LedgerReconciled { order }] => entry.reconcile(order),
        [Event::ClockConfirmed { order }] => entry.confirm_clock(order),
        [Event::ClockDoubted {}] => entry.doubt_clock(),
        _ => Err(wrong("no command leads to the events of this record together")),
    }
}

/// Whose command leads to these events, if a peer's.
fn acting(events: &[Event]) -> Option<PeerId> {
    match events.first()? {
        Event::EcoinsIssued { order, .. } => Some(order.content.payer),
        Event::PayoutRequested { order } => Some(order.content.peer),
        Event::BatchRedeemed { payee, .. } => Some(*payee),
        _ => None,
    }
}

fn refund(mut entry: Entry<'_>, events: &[Event]) -> Checked<()> {
    holds(entry.at.request.is_none(), "a refund is nobody's request")?;
    holds(events.len() <= MOST_REFUNDS, "one record refunds more than 1000 e-coins")?;
    events.iter().try_for_each(|event| match event {
        Event::EcoinExpired { ecoin, payer, words, refund } => entry.expire(*ecoin, *payer, *words, *refund),
        _ => Err(wrong("no command leads to the events of this record together")),
    })
}

fn restore(mut entry: Entry<'_>, events: &[Event]) -> Checked<()> {
    events.iter().try_for_each(|event| match event {
        Event::EcoinRestored { touchstone, epoch, debited, lent } => {
            let restored = entry.restore(touchstone, *epoch, *debited, *lent);
            restored.map_err(|wrong| wrong.about(&format!("e-coin {}", touchstone.content.ecoin)))
        }
        _ => Err(wrong("no command leads to the events of this record together")),
    })
}

impl Entry<'_> {
    /// That this record is the outcome of that very order.
    pub(super) fn asked_by(&self, signer: PeerId, id: RequestId, digest: Digest) -> Checked<()> {
        let asked = self.at.request == Some(Request { signer, id, digest });
        holds(asked, "the request of this record is not the order that it holds")
    }

    /// That an order was alive when it was carried out.
    pub(super) fn alive(&self, valid_until_ms: u64) -> Checked<()> {
        let now_ms = self.at.recorded_at_ms;
        holds(now_ms <= valid_until_ms, "an order was carried out after its time was over")?;
        let most = netpay_protocol::limits::MAX_REQUEST_LIFE_MS;
        holds(valid_until_ms - now_ms <= most, "an order that lives longer than 24 hours was carried out")
    }
}
