//! What operators may see of the work, as it happens.

use std::time::Duration;

use netpay_ledger::rows::Totals;
use netpay_ledger::scan::Findings;

/// Receives figures. Must be quick, and must not fail.
pub trait Observe: Send + Sync {
    /// A request was answered; `result` is `ok` or a problem's name.
    fn answered(&self, op: &'static str, result: &'static str, took: Duration);
    /// A group of commands was committed.
    fn committed(&self, totals: &Totals, commands: usize, took: Duration);
    /// The rows were scanned.
    fn scanned(&self, findings: &Findings, at_ms: u64);
    /// How many messages wait in a queue.
    fn queued(&self, queue: &'static str, waiting: usize);
    /// Whether the clock can be believed.
    fn clock(&self, trusted: bool);
    /// What lies in the inbox, and since when its oldest message waits; what was set aside.
    fn inbox(&self, waiting: u64, oldest: Duration, set_aside: u64);
    /// Every event through this record was published.
    fn published(&self, position: u64);
    /// What became of a message of the inbox: `settled`, `rejected`, `later` or `set_aside`, and why.
    fn inbox_handled(&self, outcome: &'static str, reason: &'static str);
}
