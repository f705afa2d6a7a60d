//! A node's part in the cluster: starts it, keeps its log short, ends the process when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ClientWriteError, Fatal, InitializeError, RaftError};
use openraft::storage::RaftLogStorage as _;
use openraft::{ChangeMembers, Config, RaftMetrics, SnapshotPolicy};
use tokio::runtime::Handle;

use super::log::Log;
use super::machine::Machine;
use super::network::{Links, serve};
use super::types::{Member, Node, NodeId};
use crate::ports::fail_stop;
use crate::ports::link::Link;

type Seen = RaftMetrics<NodeId, Member>;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between two signs of the leader's life. Also how long a follower may take for one message.
    pub heartbeat: Duration,
    /// The least time without one after which a node stands for election. So long a leader believes to be one.
    pub election_min: Duration,
    /// The most. A node that heard the leader within it votes for no other.
    pub election_max: Duration,
    /// How long a proposal may take before it counts as unknown.
    pub patience: Duration,
}

impl Default for Times {
    /// For machines with two busy cores and disks that take their time: a pause of a second is no failure.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1_000),
            election_max: Duration::from_millis(2_000),
            patience: Duration::from_millis(5_000),
        }
    }
}

/// How much log is kept, in bytes: a node that was away for a while gets entries and not the whole ledger.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries since the last snapshot, before another one is made.
    pub snapshot_bytes: u64,
    /// Entries kept that are in the snapshot.
    pub keep_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { snapshot_bytes: 1 << 30, keep_bytes: 1 << 29 }
    }
}

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number.
    pub node: NodeId,
    /// Its cluster's name, in logs.
    pub cluster: String,
    /// See there.
    pub times: Times,
    /// See there.
    pub limits: Limits,
}

/// Why a node must not, or cannot, take part.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger was in a cluster, its log is new.
    #[error(
        "the ledger was applied up to {0} of a cluster's log, and this node's log is new: it was lost; \
         remove the node from the cluster and join it again under another number"
    )]
    LogLost(String),
    /// The ledger ends before the log begins.
    #[error(
        "the log of this node begins after {log} and its ledger ends at {ledger}: it is older than the log, or another \
         one; remove the node from the cluster and join it again under another number"
    )]
    LedgerBehind {
        /// The last entry that the log has no more.
        log: String,
        /// The last entry applied.
        ledger: String,
    },
    /// The number was given to another one before, or to the same one before it lost its directory.
    #[error("node {0} is in the cluster already; a node that lost its directory joins under another number")]
    Known(NodeId),
    /// Openraft refuses.
    #[error("{0}")]
    Raft(String),
}

/// A running node. Clones are the same one.
#[derive(Clone)]
pub struct RaftNode {
    pub(super) raft: Node,
    pub(super) runtime: Handle,
    pub(super) times: Times,
}

fn config(settings: &Settings) -> Result<Config, StartError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: settings.cluster.clone(),
        heartbeat_interval: millis(settings.times.heartbeat),
        election_timeout_min: millis(settings.times.election_min),
        election_timeout_max: millis(settings.times.election_max),
        // Of snapshots and purging openraft counts entries; we count bytes.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Raft(error.to_string()))
}

impl RaftNode {
    /// Starts a node on the present runtime, which must have more than one thread: writing blocks one.
    pub async fn start(
        settings: Settings,
        mut log: Log,
        machine: Machine,
        link: Arc<dyn Link>,
    ) -> Result<Self, StartError> {
        let state = log.get_log_state().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let shown =
            |at: Option<_>| at.map_or_else(|| "nothing".to_owned(), |at: openraft::LogId<NodeId>| at.to_string());
        if log.is_new() && machine.applied().is_some() {
            return Err(StartError::LogLost(shown(machine.applied())));
        }
        if machine.applied() < state.last_purged_log_id {
            let (log, ledger) = (shown(state.last_purged_log_id), shown(machine.applied()));
            return Err(StartError::LedgerBehind { log, ledger });
        }
        let (config, links) = (Arc::new(config(&settings)?), Links::new(Arc::clone(&link)));
        let receiving = machine.receiving();
        let raft = Node::new(settings.node, config, links, log.clone(), machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;
        serve(&*link, &raft, receiving);
        tokio::spawn(keep_house(raft.clone(), log, settings.limits));
        Ok(Self { raft, runtime: Handle::current(), times: settings.times })
    }

    /// Makes this node, which has no log yet, a cluster of one. What the ledger held before is in no log: so the log is
    /// purged up to a snapshot, and whoever joins begins with one. Repeated after a crash, it goes on.
    pub async fn found(&self, name: &str) -> Result<(), StartError> {
        let id = self.raft.metrics().borrow().id;
        let members = BTreeMap::from([(id, Member { name: name.into() })]);
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(StartError::Raft(error.to_string())),
        }
        self.wait("it leads itself", |seen| seen.state.is_leader() && seen.last_applied.is_some()).await?;
        let fatal = |error: Fatal<NodeId>| StartError::Raft(error.to_string());
        self.raft.trigger().snapshot().await.map_err(fatal)?;
        let seen = self.wait("a snapshot is made", |seen| seen.snapshot.is_some()).await?;
        self.raft.trigger().purge_log(seen.snapshot.map_or(0, |at| at.index)).await.map_err(fatal)?;
        self.wait("the log is purged", |seen| seen.purged.is_some()).await.map(|_| ())
    }

    /// Takes another node in, on the one that leads: first as a learner, and when it has the ledger with a vote.
    pub async fn admit(&self, node: NodeId, name: &str) -> Result<(), StartError> {
        let seen = self.raft.metrics().borrow().clone();
        if seen.purged.is_none() {
            return Err(StartError::Raft("this cluster was not founded to its end; found it again".into()));
        }
        // It may have come back with an empty directory, and have forgotten for whom it voted.
        if seen.membership_config.membership().voter_ids().any(|voter| voter == node) {
            return Err(StartError::Known(node));
        }
        let failed = |error: RaftError<NodeId, ClientWriteError<NodeId, Member>>| StartError::Raft(error.to_string());
        self.raft.add_learner(node, Member { name: name.into() }, true).await.map_err(failed)?;
        let voter = ChangeMembers::AddVoterIds([node].into());
        self.raft.change_membership(voter, true).await.map_err(failed)?;
        Ok(())
    }

    async fn wait(&self, what: &str, met: impl Fn(&Seen) -> bool + Send + Sync) -> Result<Seen, StartError> {
        self.raft.wait(None).metrics(met, what).await.map_err(|error| StartError::Raft(error.to_string()))
    }

    /// Ends its part in the cluster. What is on its way is unknown then.
    pub async fn stop(&self) {
        // The task that failed has ended the process.
        let _ = self.raft.shutdown().await;
    }
}

/// Makes snapshots when the log has grown, forgets what is in them and more than enough, and ends the process when the
/// consensus stopped by itself: nothing that is asked of it would ever be answered.
async fn keep_house(raft: Node, log: Log, limits: Limits) {
    let mut metrics = raft.metrics();
    let mut asked = None;
    while metrics.changed().await.is_ok() {
        let seen = metrics.borrow_and_update().clone();
        match seen.running_state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return,
            Err(fatal) => fail_stop("this node's part in the cluster failed", &fatal),
        }
        let (Some(applied), snapshot) = (seen.last_applied, seen.snapshot) else { continue };
        let grown = log.bytes_after(snapshot.map_or(0, |at| at.index)) >= limits.snapshot_bytes;
        let done = if grown && applied.index > asked.unwrap_or(0) && snapshot.map(|at| at.index) >= asked {
            asked = Some(applied.index);
            raft.trigger().snapshot().await
        } else if let Some(upto) = snapshot.and_then(|at| log.purgeable(at.index, limits.keep_bytes)) {
            raft.trigger().purge_log(upto).await
        } else {
            Ok(())
        };
        if done.is_err() {
            return;
        }
    }
}
