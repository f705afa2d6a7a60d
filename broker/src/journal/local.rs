//! The journal of a single node: records and rows in one synced write of the ledger's own RocksDB.

use std::sync::Arc;

use netpay_ledger::WorkingSet;
use netpay_ledger::load;
use netpay_ledger::record::{Record, hash};
use netpay_protocol::redemption::Head;

use crate::ports::journal::{CommitError, NotLeading};
use crate::ports::state::StateError;
use crate::ports::{Journal, State};
use crate::store::Store;

/// See the module.
pub struct LocalJournal {
    store: Arc<Store>,
    head: Head,
}

impl LocalJournal {
    /// Commits to this directory, if its rows stand where its log ends, and no cluster decides what they are.
    pub fn new(store: Arc<Store>) -> Result<Self, StateError> {
        if store.is_of_a_cluster() {
            return Err(StateError("the ledger is one of a cluster's, which a single node must not write".into()));
        }
        let state: &dyn State = &*store;
        let rows = load::totals(&state)?.head;
        let log = store.last_record()?.map(|(position, bytes)| Head { position, hash: hash(&bytes) });
        if log.unwrap_or_default() == rows {
            return Ok(Self { store, head: rows });
        }
        let end = log.map_or(0, |head| head.position);
        Err(StateError(format!(
            "the ledger's rows stand at position {}, its log ends at {end}, or with another record; \
             look with `netpay-broker ledger audit`",
            rows.position
        )))
    }
}

impl Journal for LocalJournal {
    /// Nobody else does: RocksDB lets one process open its directory.
    fn lead(&mut self) -> Result<(), NotLeading> {
        Ok(())
    }

    fn commit(&mut self, records: &[Record], ws: &WorkingSet) -> Result<(), CommitError> {
        let Some(first) = records.first() else { return Ok(()) };
        if first.position != self.head.position + 1 || first.prev_hash != self.head.hash {
            let (position, after) = (first.position, self.head.position);
            return Err(CommitError::Failed(format!(
                "record {position} does not follow the log, which ends at {after}"
            )));
        }
        self.store.write(records, &ws.changes()).map_err(|error| CommitError::Failed(error.to_string()))?;
        self.head = ws.totals.head;
        Ok(())
    }
}
