//! Events by their names, for counting what a log came to hold.

use netpay_ledger::event::Event;

/// The name of what happened.
pub fn name(event: &Event) -> &'static str {
    match event {
        Event::AccountOpened { .. } => "AccountOpened",
        Event::FundsCredited { .. } => "FundsCredited",
        Event::EcoinsIssued { .. } => "EcoinsIssued",
        Event::BatchRedeemed { .. } => "BatchRedeemed",
        Event::DoubleSpendDetected(_) => "DoubleSpendDetected",
        Event::AccountSuspended { .. } => "AccountSuspended",
        Event::AccountReinstated { .. } => "AccountReinstated",
        Event::DebtSettled { .. } => "DebtSettled",
        Event::EcoinExpired { .. } => "EcoinExpired",
        Event::PayoutRequested { .. } => "PayoutRequested",
        Event::PayoutSettled { .. } => "PayoutSettled",
        Event::PayoutFailed { .. } => "PayoutFailed",
        Event::EcoinRestored { .. } => "EcoinRestored",
        Event::PeerKeysRotated { .. } => "PeerKeysRotated",
        Event::BrokerKeysRotated { .. } => "BrokerKeysRotated",
        Event::LedgerRestored { .. } => "LedgerRestored",
        Event::LedgerReconciled { .. } => "LedgerReconciled",
        Event::ClockConfirmed { .. } => "ClockConfirmed",
        Event::ClockDoubted { .. } => "ClockDoubted",
    }
}
