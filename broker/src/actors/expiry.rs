//! Refunds by themselves: finds the e-coins whose time is over, and has the writer give back what is left of them.

use std::sync::Arc;

use netpay_ledger::command::{Action, Command, MAX_EXPIRED};
use netpay_ledger::decide::GRACE_MS;
use netpay_ledger::load;
use netpay_ledger::rows::{ExpiryRow, Row as _, Table};
use netpay_protocol::ids::EcoinId;

use super::clock::Clock;
use super::ledger::{self, Order};
use super::runtime::{Address, Handler};
use crate::ports::state::StateError;
use crate::ports::{Observe, State, fail_stop, now_ms};

/// Looks for what is due whenever it is told to.
pub struct ExpiryActor {
    state: Arc<dyn State>,
    writer: Address<Order>,
    clock: Arc<Clock>,
    observe: Arc<dyn Observe>,
}

/// Look now.
pub struct ExpireNow;

impl ExpiryActor {
    /// Refunds what this state holds, by this writer.
    pub fn new(state: Arc<dyn State>, writer: Address<Order>, clock: Arc<Clock>, observe: Arc<dyn Observe>) -> Self {
        Self { state, writer, clock, observe }
    }
}

impl Handler for ExpiryActor {
    type Message = ExpireNow;

    /// One command's worth: the writer decides others in between. What is left comes with the next look.
    fn handle(&mut self, _: ExpireNow, _: usize) {
        let trusted = self.clock.is_trusted();
        self.observe.clock(trusted);
        if !trusted {
            return;
        }
        let ecoins = due(&*self.state, now_ms()).unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
        if !ecoins.is_empty() {
            let command = Command { request: None, action: Action::ExpireEcoins { ecoins } };
            let answer = Box::new(|settled: ledger::Settled| {
                if let Err(problem) = settled.outcome {
                    tracing::info!("e-coins are due and were not refunded: {}", problem.text);
                }
            });
            ledger::send(&self.writer, Order { command, answer });
        }
    }
}

/// The e-coins that can be refunded at this time, the oldest first; none while a restored ledger waits.
fn due(state: &dyn State, now_ms: u64) -> Result<Vec<EcoinId>, StateError> {
    let waits = load::totals(&state)?.restored.is_some();
    let Some(until_ms) = now_ms.checked_sub(GRACE_MS).filter(|_| !waits) else { return Ok(vec![]) };
    let (from, to) = (ExpiryRow::key(&(0, EcoinId([0; 16]))), ExpiryRow::key(&(until_ms, EcoinId([0xff; 16]))));
    let rows = state.range(Table::Expiry, &from, &to, MAX_EXPIRED)?;
    let id = |key: &[u8]| key.last_chunk::<16>().map(|id| EcoinId(*id));
    rows.iter()
        .map(|(key, _)| id(key).ok_or_else(|| StateError("the ledger directory is damaged: expiry".into())))
        .collect()
}
