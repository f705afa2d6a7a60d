//! The invariants, held against what is really stored. Its findings are the imbalance gauge, so that the gauge can be
//! wrong when the state is.

use std::sync::Arc;
use std::time::Instant;

use netpay_ledger::scan::{Findings, Scan};

use super::runtime::Handler;
use crate::ports::state::StateError;
use crate::ports::{Observe, State, fail_stop, now_ms};

/// Rows between two pauses.
const ROWS_AT_A_TIME: u32 = 4_096;

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

impl ScanActor {
    /// All rows of one snapshot, at a quarter of a core's pace: who pays must not wait for who checks.
    fn scan(&self) -> Result<Findings, StateError> {
        let mut scan = Scan::default();
        let (mut rows, mut since) = (0_u32, Instant::now());
        self.state.each_row(&mut |table, key, value| {
            scan.row(table, key, value);
            rows += 1;
            if rows.is_multiple_of(ROWS_AT_A_TIME) {
                std::thread::sleep(since.elapsed() * 3);
                since = Instant::now();
            }
        })?;
        Ok(scan.finish())
    }
}

impl Handler for ScanActor {
    type Message = ScanNow;

    fn handle(&mut self, _: ScanNow, _: usize) {
        let findings = self.scan().unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
        for broken in &findings.broken {
            tracing::error!("ledger invariant broken at position {}: {broken}", findings.totals.head.position);
        }
        self.observe.scanned(&findings, now_ms());
    }
}
