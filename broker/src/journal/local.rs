//! The journal of a single node: records and rows in one synced write of the ledger's own RocksDB.

use std::sync::Arc;

use netpay_ledger::WorkingSet;
use netpay_ledger::record::Record;

use crate::ports::Journal;
use crate::ports::journal::CommitError;
use crate::store::Store;

/// See the module.
pub struct LocalJournal {
    store: Arc<Store>,
}

impl LocalJournal {
    /// Commits to this directory.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl Journal for LocalJournal {
    fn commit(&mut self, records: &[Record], ws: &WorkingSet) -> Result<(), CommitError> {
        self.store.write(records, &ws.changes()).map_err(|error| CommitError(error.to_string()))
    }
}
