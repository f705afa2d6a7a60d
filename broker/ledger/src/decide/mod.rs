//! Which events a command leads to. Reads the working set, changes nothing.

mod buy;
mod expire;
mod operator;
mod payout;
pub(crate) mod redeem;
mod restore;
mod rotate;

pub use expire::GRACE_MS;
pub use restore::is_lost;

use netpay_planted::{self as planted, Fault};
use netpay_protocol::ids::PeerId;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::limits::MAX_REQUEST_LIFE_MS;
use netpay_protocol::redemption::Line;

use crate::command::{Action, Command, Facts, OpenAccount, Request};
use crate::event::Event;
use crate::invariants;
use crate::rejection::Rejection;
use crate::rows::AccountRow;
use crate::working_set::WorkingSet;

/// What comes of a command that is not rejected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// These events are to be recorded, as one record.
    Record(Vec<Event>),
    /// It happened before: the outcome is in this record.
    Repeated {
        /// Its position.
        position: u64,
    },
    /// A batch that credits nothing and shows nothing new: nothing is recorded, these are its lines.
    Unchanged(Vec<Line>),
}

/// Decides. Nothing that would break an invariant comes out.
pub fn decide(ws: &WorkingSet, facts: &Facts, command: Command) -> Result<Decision, Rejection> {
    if let Some(request) = &command.request
        && let Some(repeated) = outcome_so_far(ws, request)?
    {
        return Ok(repeated);
    }
    let decision = match command.action {
        Action::BuyEcoins { opening, order, signed_by, touchstones, epoch } => {
            buy::decide(ws, facts, buy::Purchase { opening, order, signed_by, touchstones, epoch })
        }
        Action::RedeemBatch { opening, payee, signed_by, claims } => {
            redeem::decide(ws, opening.as_ref(), payee, signed_by, &claims)
        }
        Action::CreditFunds { order, peer, amount, reference } => {
            check_life(facts, order.content.valid_until_ms)?;
            operator::credit(ws, order, peer, amount, reference)
        }
        Action::SuspendAccount { order, peer } => {
            check_life(facts, order.content.valid_until_ms)?;
            operator::suspend(ws, order, peer)
        }
        Action::ReinstateAccount { order, peer } => {
            check_life(facts, order.content.valid_until_ms)?;
            operator::reinstate(ws, order, peer)
        }
        Action::SettleDebt { order, debt } => {
            check_life(facts, order.content.valid_until_ms)?;
            operator::settle_debt(ws, facts, order, debt)
        }
        Action::RequestPayout { opening, order, signed_by } => {
            payout::request(ws, facts, opening.as_ref(), order, signed_by)
        }
        Action::SettlePayout { order, payout, reference } => {
            check_life(facts, order.content.valid_until_ms)?;
            payout::settle(ws, order, payout, reference)
        }
        Action::FailPayout { order, payout, reason } => {
            check_life(facts, order.content.valid_until_ms)?;
            payout::fail(ws, order, payout, reason)
        }
        Action::ExpireEcoins { ecoins } => expire::decide(ws, facts, &ecoins),
        Action::RestoreEcoins { ecoins } => restore::decide(ws, facts, ecoins),
        Action::RotatePeerKeys(rotation) => rotate::peer(ws, facts, &rotation),
        Action::RotateBrokerKeys { list } => rotate::broker(ws, list),
        Action::Reconcile { order } => {
            check_life(facts, order.content.valid_until_ms)?;
            restore::reconcile(ws, order)
        }
        Action::ConfirmClock { order } => {
            check_life(facts, order.content.valid_until_ms)?;
            expire::confirm_clock(ws, order)
        }
        Action::DoubtClock => Ok(expire::doubt_clock(ws)),
    }?;
    match &decision {
        Decision::Record(events) => match invariants::broken_by(ws, events) {
            Some(invariant) => Err(Rejection::InvariantWouldBreak(invariant)),
            None => Ok(decision),
        },
        _ => Ok(decision),
    }
}

/// The same signed bytes have the same outcome for ever, whatever else has changed since.
fn outcome_so_far(ws: &WorkingSet, request: &Request) -> Result<Option<Decision>, Rejection> {
    match ws.requests.get(&(request.signer, request.id)) {
        None => Ok(None),
        Some(_) if planted::is(Fault::IdempotencySkipped) => Ok(None),
        Some(row) if row.digest == request.digest => Ok(Some(Decision::Repeated { position: row.position })),
        Some(_) => Err(Rejection::RequestIdReused),
    }
}

fn check_life(facts: &Facts, valid_until_ms: u64) -> Result<(), Rejection> {
    if facts.now_ms > valid_until_ms {
        return Err(Rejection::RequestExpired { valid_until_ms, now_ms: facts.now_ms });
    }
    if valid_until_ms - facts.now_ms > MAX_REQUEST_LIFE_MS {
        return Err(Rejection::ValidityTooLong);
    }
    Ok(())
}

/// What a restored backup does not know may have ended differently: nothing leaves, and nothing is given back.
fn check_reconciled(ws: &WorkingSet) -> Result<(), Rejection> {
    if ws.totals.restored.is_some() { Err(Rejection::NotReconciled) } else { Ok(()) }
}

/// What waits for a time waits on while the time is in doubt.
fn check_clock(ws: &WorkingSet, facts: &Facts) -> Result<(), Rejection> {
    let trusted = (facts.clock_trusted && ws.totals.clock_doubted_at_ms.is_none()) || planted::is(Fault::ClockBelieved);
    if trusted { Ok(()) } else { Err(Rejection::ClockInDoubt) }
}

/// The peer's account as this command finds it, and the event that opens it if it is not open yet.
fn opened(
    ws: &WorkingSet,
    peer: PeerId,
    opening: Option<&OpenAccount>,
    signed_by: PublicKey,
) -> Result<(AccountRow, Option<Event>), Rejection> {
    let row = ws.accounts.get(&peer).cloned().unwrap_or_default();
    let (key, event) = match (&row.opened, opening) {
        (Some(opened), _) => (opened.register.content.signing_key, None),
        (None, Some(opening)) if opening.peer() == peer => {
            let event = Event::AccountOpened {
                peer,
                register: Box::new(opening.register().clone()),
                opened_at_ms: opening.opened_at_ms(),
            };
            (opening.register().content.signing_key, Some(event))
        }
        (None, _) => return Err(Rejection::AccountUnknown),
    };
    if key == signed_by || planted::is(Fault::KeyNotChecked) {
        Ok((row, event))
    } else {
        Err(Rejection::NotTheAccountsKey)
    }
}
