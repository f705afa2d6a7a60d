//! Payouts: the balance at the broker leaves for the world outside.
//!
//! The signed request is stored before it is sent, and the same bytes are sent until an answer comes. While one is
//! unanswered, or was refused and its time is not over, asking for the same money to the same place is that one again:
//! nothing is ever debited twice because an answer was lost. Never decides whether money may go: the broker does.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, RequestId};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::payout::{PayoutState, PayoutView, RequestPayout};
use netpay_protocol::problem::Problem;

use super::refusals;
use crate::home::identity::Identity;
use crate::ports::{Entry, History, OwnPayout, Payouts, PurchaseState, Reference, StoreError, Stored};

/// How long the broker may carry a payout out. Within it the request is sent again after every silence.
const ORDER_LIFE_MS: u64 = HOUR_MS;

/// What is to be paid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// How much, at least 1.
    pub amount: Units,
    /// Where to: 1 to 256 bytes.
    pub destination: String,
}

impl Wish {
    fn is(&self, order: &RequestPayout) -> bool {
        (order.amount_units, &order.destination) == (self.amount, &self.destination)
    }
}

/// Why an answer is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker answered about something else.
    #[error("the broker's answer is about another payout than the one that was asked for")]
    AnotherPayout,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Step 1: the payout that is open for the same money to the same place, or else a new one, signed and kept. Commit,
/// then send. Answers whether it was asked for before.
pub fn order(
    store: &impl Payouts,
    me: &Identity,
    broker: BrokerId,
    request: RequestId,
    wish: &Wish,
    now_ms: u64,
) -> Stored<(Signed<RequestPayout>, bool)> {
    let is_open = |held: &OwnPayout| matches!(held.state, PurchaseState::Pending | PurchaseState::Refused);
    let mut open = store.payouts()?.into_iter().filter(is_open).filter_map(|held| held.order);
    if let Some(order) = open.find(|order| wish.is(&order.content)) {
        return Ok((order, true));
    }
    let order = RequestPayout {
        broker,
        peer: me.peer(),
        request,
        valid_until_ms: now_ms.saturating_add(ORDER_LIFE_MS),
        amount_units: wish.amount,
        destination: wish.destination.clone(),
    };
    let order = Signed::new(order, &me.signing);
    store.add_payout(&order, now_ms)?;
    Ok((order, false))
}

/// Step 2: takes the broker's answer, whose signature was verified. The payout is debited; it is paid when the operator
/// says so.
pub fn receive(
    store: &(impl Payouts + History),
    order: &RequestPayout,
    view: &PayoutView,
    now_ms: u64,
) -> Result<(), Error> {
    let same = (view.peer, view.request, view.amount) == (order.peer, order.request, order.amount_units)
        && view.destination == order.destination;
    if !same {
        return Err(Error::AnotherPayout);
    }
    Ok(take(store, view, now_ms)?)
}

/// Step 2, when somebody says no in the broker's name: see [`refusals`].
pub fn rejected(store: &(impl Payouts + History), order: &RequestPayout, problem: &Problem, now_ms: u64) -> Stored<()> {
    let Some(state) = refusals::state_after(problem, order.valid_until_ms, now_ms) else { return Ok(()) };
    let why = refusals::why(problem);
    store.mark_payout(order.request, state, &why)?;
    let what = if state == PurchaseState::Dropped { "payout_dropped" } else { "payout_refused" };
    note(store, what, order.request, order.amount_units, why, now_ms)
}

/// Keeps what the broker says of one of this peer's payouts, and notes what is new in it. What is settled or failed
/// stays so.
pub fn take(store: &(impl Payouts + History), view: &PayoutView, now_ms: u64) -> Stored<()> {
    let held = store.payout(view.request)?.and_then(|held| held.view);
    if held.as_ref().is_some_and(|held| held.state != PayoutState::Requested) {
        return Ok(());
    }
    if held.is_none() {
        note(store, "payout", view.request, view.amount, format!("to {}", view.destination), now_ms)?;
    }
    match &view.state {
        PayoutState::Requested => {}
        PayoutState::Settled { reference, .. } => {
            note(store, "payout_settled", view.request, view.amount, format!("paid as {reference}"), now_ms)?;
        }
        PayoutState::Failed { reason, .. } => {
            note(store, "payout_failed", view.request, view.amount, format!("given back: {reason}"), now_ms)?;
        }
    }
    store.put_payout_view(view)
}

/// The payouts to be sent (again) now: those without an answer, and those that were refused and whose time is over.
pub fn to_send(store: &impl Payouts, now_ms: u64) -> Stored<Vec<Signed<RequestPayout>>> {
    let due = |held: OwnPayout| {
        let order = held.order?;
        let over = refusals::is_over(order.content.valid_until_ms, now_ms);
        let due = held.state == PurchaseState::Pending || (held.state == PurchaseState::Refused && over);
        due.then_some(order)
    };
    Ok(store.payouts()?.into_iter().rev().filter_map(due).collect())
}

fn note(store: &impl History, what: &str, request: RequestId, units: Units, note: String, at_ms: u64) -> Stored<()> {
    let reference = Some(Reference::Request(request));
    store.note(Entry { at_ms, what: what.into(), with: None, ecoin: None, units, reference, note })
}
