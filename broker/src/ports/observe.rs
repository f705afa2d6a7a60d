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
}
