//! The broker's ports over the model: a journal that proposes to it, and a node's applied state.
//!
//! Whenever the writer comes to its journal, the world may move on under it: others are elected, decide, and commit.

use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use netpay_broker::ports::journal::{CommitError, NotLeading};
use netpay_broker::ports::state::{StateError, Visit};
use netpay_broker::ports::{Journal, Observe, State};
use netpay_ledger::WorkingSet;
use netpay_ledger::load::Rows as _;
use netpay_ledger::memory::{Corrupt, Memory};
use netpay_ledger::record::Record;
use netpay_ledger::rows::{Table, Totals};
use netpay_ledger::scan::Findings;

use crate::cluster::Cluster;
use crate::raft::lock;

/// One node's way to the log.
pub struct ModelJournal {
    pub node: usize,
    pub cluster: Weak<Cluster>,
}

impl Journal for ModelJournal {
    fn lead(&mut self) -> Result<(), NotLeading> {
        let cluster = self.cluster.upgrade().ok_or(NotLeading)?;
        cluster.moves_on();
        if cluster.sim().lead(self.node) { Ok(()) } else { Err(NotLeading) }
    }

    fn commit(&mut self, records: &[Record], ws: &WorkingSet) -> Result<(), CommitError> {
        let gone = || CommitError::Unknown("the model is over".into());
        let cluster = self.cluster.upgrade().ok_or_else(gone)?;
        cluster.moves_on();
        let unknown = |why: &str| CommitError::Unknown(why.into());
        let mut sim = cluster.sim();
        if records.is_empty() { sim.confirm(self.node, ws) } else { sim.propose(self.node, records, ws) }
            .map_err(unknown)
    }
}

/// What a node has applied.
pub struct Applied(pub std::sync::Arc<Mutex<Memory>>);

fn readable<T>(read: Result<T, Corrupt>) -> Result<T, StateError> {
    read.map_err(|error| StateError(error.to_string()))
}

impl State for Applied {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        readable(lock(&self.0).get(table, key))
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let mut rows = readable(lock(&self.0).range(table, from, to))?;
        rows.truncate(limit);
        Ok(rows)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        readable(lock(&self.0).at_or_before(table, key))
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        readable(lock(&self.0).record(position))
    }

    fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
        let now = lock(&self.0).clone();
        look(&Self(std::sync::Arc::new(Mutex::new(now))));
    }

    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for table in Table::ALL {
            for (key, row) in readable(state.range(table, &[], &[0xff; 64]))? {
                visit(table, &key, &row);
            }
        }
        Ok(())
    }
}

/// Watches nothing: the model sees the answers themselves.
pub struct Nobody;

impl Observe for Nobody {
    fn answered(&self, _: &'static str, _: &'static str, _: Duration) {}
    fn committed(&self, _: &Totals, _: usize, _: Duration) {}
    fn scanned(&self, _: &Findings, _: u64) {}
    fn queued(&self, _: &'static str, _: usize) {}
    fn clock(&self, _: bool) {}
    fn inbox(&self, _: u64, _: Duration, _: u64) {}
    fn published(&self, _: u64) {}
    fn inbox_handled(&self, _: &'static str, _: &'static str) {}
}
