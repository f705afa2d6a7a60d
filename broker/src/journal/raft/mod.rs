//! The commit point of a cluster: records are final when a majority of the nodes has them on disk.
//!
//! The node that leads decides on the state it has applied, and proposes records; every node applies them the same way.
//! A record is followed by hash, so one that was decided on another head changes nothing anywhere. What is proposed and
//! not answered in time may still come to be: before the node decides again, an empty entry of its own has to be applied,
//! and everything proposed before is settled by then.
//!
//! Nothing here decides who leads, or believes a clock: time only says how soon to give up.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use netpay_ledger::WorkingSet;
use netpay_ledger::record::Record;
use openraft::error::{Fatal, RaftError};
use openraft::{CommittedLeaderId, LogId};
use serde_bytes::ByteBuf;
use tokio::runtime::Handle;

use crate::ports::Journal;
use crate::ports::journal::{CommitError, NotLeading};

mod durable;
mod log;
mod machine;
mod network;
mod node;
#[cfg(test)]
pub(super) mod tests;
mod transfer;
mod types;

pub use log::{Log, OpenError};
pub use machine::Machine;
pub use node::{Limits, RaftNode, Settings, StartError, Times};
pub use types::{Member, NodeId};

use types::{Group, Node, Outcome};

/// Records proposed together, in bytes: an entry and its message stay small, so that a slow network still moves them
/// between two heartbeats. A single longer record goes alone.
const ENTRY_BYTES: usize = 500_000;

/// What is known of a proposal.
#[derive(Debug)]
enum Proposed {
    /// It was applied here.
    Applied(LogId<NodeId>, Outcome),
    /// It was refused or lost; the entry may still come to be applied.
    Unknown(String),
    /// This node's storage failed.
    Failed(String),
}

/// See the module.
pub struct RaftJournal {
    raft: Node,
    runtime: Handle,
    times: Times,
    /// The last entry that this node proposed and saw applied, if everything it proposed is settled.
    settled: Option<LogId<NodeId>>,
    /// The empty entry that settles what came before, on its way.
    settling: Option<Receiver<Proposed>>,
}

impl RaftJournal {
    /// Commits through this node.
    pub fn new(node: &RaftNode) -> Self {
        let RaftNode { raft, runtime, times, .. } = node;
        Self { raft: raft.clone(), runtime: runtime.clone(), times: *times, settled: None, settling: None }
    }

    /// Runs beside the caller, whose thread may be one that must not block on a future.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
        let (done, waiting) = mpsc::sync_channel(1);
        self.runtime.spawn(async move { done.send(work.await) });
        waiting
    }

    fn propose(&self, group: Group) -> Receiver<Proposed> {
        let raft = self.raft.clone();
        self.run(async move {
            match raft.client_write(group).await {
                Ok(written) => Proposed::Applied(written.log_id, written.data),
                Err(RaftError::Fatal(fatal)) => stopped(&fatal),
                Err(RaftError::APIError(error)) => Proposed::Unknown(error.to_string()),
            }
        })
    }

    /// Whether this node was the leader a moment ago, and the majority heard it. A leader that is cut off does not know
    /// that there may be another one.
    fn leads(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let seen = metrics.borrow();
        let heard =
            seen.millis_since_quorum_ack.is_some_and(|ago| Duration::from_millis(ago) < self.times.election_min);
        (seen.running_state.is_ok() && seen.state.is_leader() && heard).then_some(seen.current_term)
    }

    /// Confirms with a majority that nothing was committed after what is settled.
    fn confirm(&self) -> Result<(), String> {
        let settled = self.settled.ok_or("this node does not know where the log ends")?;
        let raft = self.raft.clone();
        let asked = self.run(async move { raft.ensure_linearizable().await.map_err(|error| error.to_string()) });
        let end = asked.recv_timeout(self.times.patience).map_err(|_| "no majority answered in time")??;
        if end == Some(settled) { Ok(()) } else { Err(format!("the log went on to {end:?}")) }
    }
}

/// Why there is no answer any more.
fn stopped(fatal: &Fatal<NodeId>) -> Proposed {
    match fatal {
        Fatal::Stopped => Proposed::Unknown("this node is stopping".into()),
        Fatal::StorageError(_) | Fatal::Panicked => Proposed::Failed(fatal.to_string()),
    }
}

/// Records in entries of a bounded length, in order.
fn entries(leader: CommittedLeaderId<NodeId>, records: &[Record]) -> Vec<Group> {
    let (mut entries, mut bytes) = (Vec::<Group>::new(), 0_usize);
    for record in records {
        let record = record.to_bytes();
        bytes = bytes.saturating_add(record.len());
        match entries.last_mut() {
            Some(entry) if bytes <= ENTRY_BYTES => entry.records.push(ByteBuf::from(record)),
            _ => {
                bytes = record.len();
                entries.push(Group { leader: Some(leader), records: vec![ByteBuf::from(record)] });
            }
        }
    }
    entries
}

impl Journal for RaftJournal {
    fn lead(&mut self) -> Result<(), NotLeading> {
        let Some(term) = self.leads() else {
            self.settled = None;
            return Err(NotLeading);
        };
        if self.settled.is_some_and(|settled| settled.leader_id.term == term) {
            return Ok(());
        }
        self.settled = None;
        let settling = self.settling.take().unwrap_or_else(|| self.propose(Group::default()));
        match settling.recv_timeout(self.times.patience) {
            Ok(Proposed::Applied(at, _)) if at.leader_id.term == term => {
                self.settled = Some(at);
                Ok(())
            }
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(NotLeading),
            Err(RecvTimeoutError::Timeout) => {
                // It may still be applied: another one beside it would only make the log longer.
                self.settling = Some(settling);
                Err(NotLeading)
            }
        }
    }

    fn commit(&mut self, records: &[Record], _: &WorkingSet) -> Result<(), CommitError> {
        if records.is_empty() {
            return self.confirm().map_err(|why| {
                self.settled = None;
                CommitError::Unknown(why)
            });
        }
        // Until the last one is known to be applied.
        let Some(settled) = self.settled.take() else {
            return Err(CommitError::Unknown("this node was not asked whether it leads".into()));
        };
        let mut last = None;
        for entry in entries(settled.leader_id, records) {
            match self.propose(entry).recv_timeout(self.times.patience) {
                Ok(Proposed::Applied(at, Outcome::Committed)) => last = Some(at),
                Ok(Proposed::Applied(at, outcome)) => {
                    return Err(CommitError::Unknown(format!("{outcome:?} at {at}: another node decided, too")));
                }
                Ok(Proposed::Failed(why)) => return Err(CommitError::Failed(why)),
                Ok(Proposed::Unknown(why)) => return Err(CommitError::Unknown(why)),
                Err(_) => return Err(CommitError::Unknown("no majority has it in time".into())),
            }
        }
        self.settled = last;
        Ok(())
    }
}
