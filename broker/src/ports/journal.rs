//! The commit point.

use netpay_ledger::WorkingSet;
use netpay_ledger::record::Record;

/// Where records become final.
///
/// *Committed* means: after `commit` returned, the records and every row they changed are there after any crash of the
/// process or the machine, all or none of them. An error is ambiguous: the records may be there or not. Whoever gets one
/// forgets its running state, and answers nothing.
pub trait Journal: Send {
    /// Commits records (in order, following the head) together with the rows that the working set changed.
    fn commit(&mut self, records: &[Record], ws: &WorkingSet) -> Result<(), CommitError>;
}

/// A commit that may or may not have happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommitError(pub String);
