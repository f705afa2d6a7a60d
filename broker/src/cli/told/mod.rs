//! The log, told: each event as JSON with stable fields (`fields`), and as a sentence (`words`).
//!
//! Apart from the commands, because all that read the log say the same of an event. Decides nothing and sums nothing.
//!
//! The names are those of `event.rs` in snake case. A new event does not compile until it is told here; `golden.jsonl` has
//! a line for each file of `ledger/schema`, and a line that is there never changes.

mod fields;
mod log;
#[cfg(test)]
pub(super) mod tests;
mod words;

pub(super) use fields::event as fields;
pub(super) use log::Log;
pub(super) use words::{creditor, event as words};

use netpay_ledger::{Event, Record};
use netpay_protocol::ids::{Digest, PeerId};
use serde_json::{Value, json};

/// The event's name.
pub(super) fn name(event: &Event) -> &'static str {
    match event {
        Event::AccountOpened { .. } => "account_opened",
        Event::FundsCredited { .. } => "funds_credited",
        Event::EcoinsIssued { .. } => "ecoins_issued",
        Event::BatchRedeemed { .. } => "batch_redeemed",
        Event::DoubleSpendDetected(_) => "double_spend_detected",
        Event::AccountSuspended { .. } => "account_suspended",
        Event::AccountReinstated { .. } => "account_reinstated",
        Event::DebtSettled { .. } => "debt_settled",
        Event::EcoinExpired { .. } => "ecoin_expired",
        Event::PayoutRequested { .. } => "payout_requested",
        Event::PayoutSettled { .. } => "payout_settled",
        Event::PayoutFailed { .. } => "payout_failed",
        Event::EcoinRestored { .. } => "ecoin_restored",
        Event::PeerKeysRotated { .. } => "peer_keys_rotated",
        Event::BrokerKeysRotated { .. } => "broker_keys_rotated",
        Event::LedgerRestored { .. } => "ledger_restored",
        Event::LedgerReconciled { .. } => "ledger_reconciled",
        Event::ClockConfirmed { .. } => "clock_confirmed",
        Event::ClockDoubted {} => "clock_doubted",
    }
}

/// One event of a record, with where it stands: a line of `ledger export`, and of the event feed.
pub(crate) fn line(record: &Record, hash: Digest, index: usize, event: &Event) -> Value {
    let request = record.request.map(|request| {
        json!({
            "signer": request.signer.to_string(),
            "id": request.id.to_string(),
            "digest": request.digest.to_string(),
        })
    });
    json!({
        "position": record.position,
        "recorded_at_ms": record.recorded_at_ms,
        "incarnation": record.incarnation,
        "hash": hash.to_string(),
        "prev_hash": record.prev_hash.to_string(),
        "request": request,
        "index": index,
        "event": name(event),
        "fields": fields(event),
    })
}

/// Who asked for a record, in words. An operator's signer is its key's hash and no account.
pub(super) fn asked_by(record: &Record) -> String {
    let Some(request) = record.request else { return "the broker by itself".into() };
    let by = |what: &str, who: PeerId| format!("{what} {who}, request {}", request.id);
    let operators = record.events.iter().any(|event| fields::operators_order(event).is_some());
    if operators { by("operator", request.signer) } else { by("peer", request.signer) }
}
