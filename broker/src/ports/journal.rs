//! The commit point.

use netpay_ledger::WorkingSet;
use netpay_ledger::record::Record;

/// Where records become final.
///
/// *Committed* means: after `commit` returned, the records and every row they changed can be read, and are there after any
/// crash of the process or the machine, all or none of them.
pub trait Journal: Send {
    /// Waits until this node may decide: it is the one that writes, everything committed before can be read, and nothing
    /// that was proposed before, by whomever, can still be committed. (A request that is told to be too late leaves no
    /// record which an open proposal of it would run into.) Costs nothing while it goes on being so.
    fn lead(&mut self) -> Result<(), NotLeading>;
    /// Commits records (in order, following the head) together with the rows that the working set changed. Without
    /// records it confirms that nothing else was committed since the working set was loaded: who answers from it answers
    /// from the newest state.
    fn commit(&mut self, records: &[Record], ws: &WorkingSet) -> Result<(), CommitError>;
}

/// Another node writes, or none does at the moment.
#[derive(Debug, thiserror::Error)]
#[error("this node does not lead")]
pub struct NotLeading;

/// A commit that may or may not have happened. Whoever gets one forgets its running state and answers nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The storage failed: nothing that is in memory can be believed any more.
    #[error("{0}")]
    Failed(String),
    /// The records are there or not, or will be until somebody's `lead` returns; of a long group perhaps the first ones
    /// only, each of them whole. Not this node's fault.
    #[error("not known to be committed: {0}")]
    Unknown(String),
}
