//! The invariants, held against what is really stored. Its findings are the imbalance gauge, so that the gauge can be
//! wrong when the state is.

use std::sync::Arc;

use super::runtime::Handler;
use crate::ports::{Observe, State, fail_stop, now_ms, state};

/// Scans a snapshot of all rows whenever it is told to.
pub struct ScanActor {
    state: Arc<dyn State>,
    observe: Arc<dyn Observe>,
}

/// Scan now.
pub struct ScanNow;

impl ScanActor {
    /// Scans this state.
    pub fn new(state: Arc<dyn State>, observe: Arc<dyn Observe>) -> Self {
        Self { state, observe }
    }
}

impl Handler for ScanActor {
    type Message = ScanNow;

    fn handle(&mut self, _: ScanNow, _: usize) {
        let findings = state::scan(&*self.state).unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
        for broken in &findings.broken {
            tracing::error!("ledger invariant broken at position {}: {broken}", findings.totals.head.position);
        }
        self.observe.scanned(&findings, now_ms());
    }
}
