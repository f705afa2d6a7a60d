//! What operators see, as JSON (amounts as integers, units in the names) and as text.

use netpay_protocol::admin::{AccountView, DoubleSpendView, EcoinView, LedgerView};
use netpay_protocol::index::Grant;
use netpay_protocol::payout::{PayoutState, PayoutView};
use serde_json::{Value, json};

/// A sum that may be below zero. Sums of a ledger fit 64 bits; one that does not is the nearest that does.
pub(super) fn signed(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn account(view: &AccountView) -> Value {
    json!({
        "peer": view.peer.to_string(),
        "balance_units": view.balance.0,
        "debt_units": view.debt.0,
        "opened_at_ms": view.opened_at_ms,
        "suspended": view.suspended_at_ms.is_some(),
        "suspended_at_ms": view.suspended_at_ms,
        "last_redeem_until_ms": view.last_redeem_until_ms,
        "position": view.head.position,
    })
}

pub(super) fn account_text(view: &AccountView) -> String {
    let state = match (view.suspended_at_ms, view.opened_at_ms) {
        (Some(_), _) => "suspended",
        (None, Some(_)) => "open",
        (None, None) => "funded, not used yet",
    };
    let debt = if view.debt.0 > 0 { format!(", owes {} units", view.debt) } else { String::new() };
    format!("{}  {:>12} units  {state}{debt}", view.peer, view.balance)
}

pub(super) fn payout(view: &PayoutView) -> Value {
    let (state, reference, reason, decided_at_ms) = match &view.state {
        PayoutState::Requested => ("requested", None, None, None),
        PayoutState::Settled { reference, at_ms } => ("settled", Some(reference), None, Some(at_ms)),
        PayoutState::Failed { reason, at_ms } => ("failed", None, Some(reason), Some(at_ms)),
    };
    json!({
        "peer": view.peer.to_string(),
        "request": view.request.to_string(),
        "amount_units": view.amount.0,
        "destination": view.destination,
        "requested_at_ms": view.requested_at_ms,
        "state": state,
        "reference": reference,
        "reason": reason,
        "decided_at_ms": decided_at_ms,
        "position": view.position,
    })
}

/// Texts in quotes and escaped: the destination is a stranger's, and could draw anything on the operator's terminal.
pub(super) fn payout_text(view: &PayoutView) -> String {
    let state = match &view.state {
        PayoutState::Requested => "to be paid".into(),
        PayoutState::Settled { reference, .. } => format!("settled with {reference:?}"),
        PayoutState::Failed { reason, .. } => format!("failed: {reason:?}"),
    };
    format!("{} {}  {:>12} units to {:?}  {state}", view.peer, view.request, view.amount, view.destination)
}

pub(super) fn ecoin(view: &EcoinView) -> Value {
    let runs: Vec<_> = view
        .runs
        .iter()
        .map(|paid| {
            json!({
                "from": paid.run.from.0,
                "through": paid.run.through.0,
                "payee": paid.payee.to_string(),
                "position": paid.position,
            })
        })
        .collect();
    json!({
        "ecoin": view.ecoin.to_string(),
        "payer": view.payer.to_string(),
        "suite": view.suite.to_string(),
        "n": view.n.0,
        "unit_value_units": view.unit_value.0,
        "paid_words": view.paid.0,
        "issued_at_ms": view.issued_at_ms,
        "spend_until_ms": view.spend_until_ms,
        "redeem_until_ms": view.redeem_until_ms,
        "expired_at_ms": view.expired_at_ms,
        "position": view.position,
        "runs": runs,
    })
}

pub(super) fn ecoin_text(view: &EcoinView) -> String {
    let mut text = format!(
        "e-coin {} of {}\n{} words of {} units, {}, {} paid, sold by record {}\n",
        view.ecoin, view.payer, view.n, view.unit_value, view.suite, view.paid, view.position
    );
    for paid in &view.runs {
        let (from, through) = (paid.run.from, paid.run.through);
        text += &format!("  W{from}..W{through} to {} by record {}\n", paid.payee, paid.position);
    }
    text
}

/// A grant as the log keeps it.
pub(super) fn grant(grant: &Grant) -> Value {
    json!({
        "from": grant.from.0,
        "to": grant.to.0,
        "order": grant.order.to_string(),
        "signature": netpay_protocol::ids::to_hex(&grant.signature.0),
    })
}

pub(super) fn double_spend(view: &DoubleSpendView) -> Value {
    json!({
        "ecoin": view.key.ecoin.to_string(),
        "payer": view.payer.to_string(),
        "paid_to": view.paid_to.to_string(),
        "paid_grant": grant(&view.paid_grant),
        "payee": view.key.payee.to_string(),
        "grant": grant(&view.grant),
        "conflicting_words": view.conflicting.0,
        "debt_units": view.debt.0,
        "open_debt_units": view.open_debt.0,
        "position": view.position,
    })
}

pub(super) fn double_spend_text(view: &DoubleSpendView) -> String {
    format!(
        "e-coin {}: payer {} granted W{}..W{} to {} (paid) and W{}..W{} to {}: {} words in conflict, {} of {} units owed, record {}",
        view.key.ecoin,
        view.payer,
        view.paid_grant.from,
        view.paid_grant.to.0.saturating_sub(1),
        view.paid_to,
        view.grant.from,
        view.grant.to.0.saturating_sub(1),
        view.key.payee,
        view.conflicting,
        view.open_debt,
        view.debt,
        view.position
    )
}

pub(super) fn ledger(view: &LedgerView) -> Value {
    json!({
        "incarnation": view.incarnation,
        "restored_from_position": view.restored_from.map(|head| head.position),
        "reconciled": view.restored_from.is_none(),
        "clock_trusted": view.clock_trusted,
        "position": view.head.position,
        "head": view.head.hash.to_string(),
    })
}

pub(super) fn ledger_text(view: &LedgerView) -> String {
    let restored = view.restored_from.map_or_else(
        || "reconciled".to_owned(),
        |head| format!("restored from a backup that ends at position {}, not reconciled", head.position),
    );
    let clock = if view.clock_trusted { "trusted" } else { "in doubt" };
    format!("incarnation {}, {restored}; clock {clock}; position {}", view.incarnation, view.head.position)
}
