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
    /// Commits to this directory, if its rows stand where its log ends.
    pub fn new(store: Arc<Store>) -> Result<Self, StateError> {
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
        let mut head = self.head;
        for record in records {
            if record.position != head.position + 1 || record.prev_hash != head.hash {
                let (position, after) = (record.position, head.position);
                return Err(CommitError::Failed(format!(
                    "record {position} does not follow the log, which ends at {after}"
                )));
            }
            head = record.head();
        }
        if !records.is_empty() {
            self.store.write(records, &ws.changes()).map_err(|error| CommitError::Failed(error.to_string()))?;
        }
        self.head = head;
        Ok(())
    }
}
