//! The cluster's commit point, from its parts to three nodes.

mod cluster;
mod links;
mod log;
mod starts;

use std::sync::Arc;
use std::time::Duration;

use netpay_protocol::redemption::Head;
use openraft::CommittedLeaderId;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::super::tests::{Opened, decided, head, led};
use super::{Limits, Log, Machine, NodeId, RaftJournal, RaftNode, Settings, StartError, Times};
use crate::ports::Journal as _;
use crate::ports::journal::CommitError;
use crate::ports::link::Link;
use crate::store::Replica;
use links::Nobody;

/// As they are, but that a test need not wait long for what cannot be known.
fn times() -> Times {
    Times { patience: Duration::from_secs(2), ..Times::default() }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A node's directory, and the node while it runs.
pub(in super::super) struct Machinery {
    dir: TempDir,
    node: NodeId,
    limits: Limits,
    running: Option<(Runtime, RaftNode)>,
}

impl Machinery {
    fn new(node: NodeId) -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), node, limits: Limits::default(), running: None }
    }

    /// Starts it; the first time it is made.
    fn start(&mut self, link: Arc<dyn Link>) -> Result<Opened, StartError> {
        let (ledger, raft) = (self.dir.path().join("ledger"), self.dir.path().join("raft"));
        let new = !ledger.exists();
        let replica = Arc::new(if new { Replica::create(&ledger) } else { Replica::open(&ledger) }.expect("a ledger"));
        let machine = Machine::new(Arc::clone(&replica));
        let log = if raft.exists() { Log::open } else { Log::create };
        let log = log(&raft, self.node, machine.durable()).expect("a log");
        let settings = Settings { node: self.node, cluster: "tests".into(), times: times(), limits: self.limits };
        let runtime = runtime();
        let node = runtime.block_on(RaftNode::start(settings, log, machine, link))?;
        let journal = Box::new(RaftJournal::new(&node));
        self.running = Some((runtime, node));
        Ok(Opened { state: replica, journal })
    }

    fn found(&self) {
        let (runtime, node) = self.running.as_ref().expect("it runs");
        runtime.block_on(node.found("one")).expect("founded");
    }

    fn admit(&self, node: NodeId) {
        let (runtime, leader) = self.running.as_ref().expect("it runs");
        runtime.block_on(leader.admit(node, "another")).expect("admitted");
    }

    /// The last entry applied.
    fn applied(&self) -> Option<u64> {
        let (_, node) = self.running.as_ref().expect("it runs");
        node.raft.metrics().borrow().last_applied.map(|at| at.index)
    }

    /// The last entry purged.
    fn purged(&self) -> Option<u64> {
        let (_, node) = self.running.as_ref().expect("it runs");
        node.raft.metrics().borrow().purged.map(|at| at.index)
    }

    /// Stops it, and waits until its files are closed.
    fn stop(&mut self) {
        let Some((runtime, node)) = self.running.take() else { return };
        runtime.block_on(node.stop());
        drop(node);
        // What still runs on it holds the log.
        drop(runtime);
    }
}

/// A cluster of one.
pub(in super::super) struct Alone(Machinery);

impl Default for Alone {
    fn default() -> Self {
        Self(Machinery::new(1))
    }
}

impl Alone {
    pub(in super::super) fn start(&mut self) -> Opened {
        let new = !self.0.dir.path().join("raft").exists();
        let opened = self.0.start(Arc::new(Nobody)).expect("it starts");
        if new {
            self.0.found();
        }
        opened
    }

    pub(in super::super) fn stop(&mut self) {
        self.0.stop();
    }
}

/// It waited in a queue while another node led and told somebody that it will not be carried out: of that there is no
/// record which it would run into.
#[test]
fn what_another_leadership_decided_counts_for_nothing_though_it_follows_the_head() {
    let mut alone = Alone::default();
    let opened = alone.start();
    let (_, node) = alone.0.running.as_ref().expect("it runs");
    let mut journal = RaftJournal::new(node);
    led(&mut journal);
    let (records, ws) = decided(&*opened.state, &["a"]);
    let now = journal.settled.as_mut().expect("it leads");
    now.leader_id = CommittedLeaderId::new(now.leader_id.term - 1, 1);
    let error = journal.commit(&records, &ws).expect_err("decided by nobody who leads");
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    assert_eq!(head(&*opened.state), Head::default());
    led(&mut journal);
    journal.commit(&records, &ws).expect("decided now");
    assert_eq!(head(&*opened.state).position, 1);
    drop((journal, opened));
    alone.stop();
}
