//! Links between nodes of one process, which a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::ports::link::{Handler, Kind, Link, LinkError, MAX_BYTES, NodeId, Refused};

/// The link of a node that is alone.
pub struct Nobody;

impl Link for Nobody {
    fn request(&self, to: NodeId, _: Kind, _: Vec<u8>, _: Duration) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        async move { Err(LinkError::Unreachable(to)) }.boxed()
    }

    fn serve(&self, _: Kind, _: Handler) {}
}

/// What connects the nodes.
#[derive(Default)]
pub struct Wires(Mutex<State>);

#[derive(Default)]
struct State {
    handlers: BTreeMap<(NodeId, Kind), Arc<Handler>>,
    /// Cut off from all others.
    cut: BTreeSet<NodeId>,
    /// Messages of this kind to this node are taken, and their answers lost.
    deaf: BTreeSet<NodeId>,
    /// How many of each kind arrived.
    arrived: BTreeMap<(NodeId, Kind), usize>,
}

impl Wires {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link of this node.
    pub fn of(self: &Arc<Self>, node: NodeId) -> Arc<dyn Link> {
        Arc::new(Wire { wires: Arc::clone(self), node })
    }

    /// Nothing goes to or from this node any more.
    pub fn cut(&self, node: NodeId) {
        self.state().cut.insert(node);
    }

    /// What this node is told arrives, and its answers do not.
    pub fn lose_answers_of(&self, node: NodeId) {
        self.state().deaf.insert(node);
    }

    /// All is well.
    pub fn heal(&self) {
        let mut state = self.state();
        state.cut.clear();
        state.deaf.clear();
    }

    /// The node is gone.
    pub fn forget(&self, node: NodeId) {
        self.state().handlers.retain(|(of, _), _| *of != node);
    }

    /// How many messages of this kind this node got.
    pub fn arrived(&self, node: NodeId, kind: Kind) -> usize {
        self.state().arrived.get(&(node, kind)).copied().unwrap_or(0)
    }

    fn way(&self, from: NodeId, to: NodeId, kind: Kind) -> Option<Arc<Handler>> {
        let mut state = self.state();
        if state.cut.contains(&from) || state.cut.contains(&to) {
            return None;
        }
        let handler = state.handlers.get(&(to, kind)).cloned()?;
        *state.arrived.entry((to, kind)).or_default() += 1;
        Some(handler)
    }

    fn answers(&self, from: NodeId, to: NodeId) -> bool {
        let state = self.state();
        !state.cut.contains(&from) && !state.cut.contains(&to) && !state.deaf.contains(&to)
    }
}

struct Wire {
    wires: Arc<Wires>,
    node: NodeId,
}

impl Link for Wire {
    fn request(
        &self,
        to: NodeId,
        kind: Kind,
        bytes: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        async move {
            if bytes.len() > MAX_BYTES {
                return Err(LinkError::Refused(to, Refused(format!("{} bytes are too many", bytes.len()))));
            }
            let handler = self.wires.way(self.node, to, kind).ok_or(LinkError::Unreachable(to))?;
            let answer = tokio::time::timeout(within, handler(self.node, bytes)).await;
            if !self.wires.answers(self.node, to) {
                return Err(LinkError::Late(to));
            }
            let answer = answer.map_err(|_| LinkError::Late(to))?;
            answer.map_err(|refused| LinkError::Refused(to, refused))
        }
        .boxed()
    }

    fn serve(&self, kind: Kind, handler: Handler) {
        self.wires.state().handlers.insert((self.node, kind), Arc::new(handler));
    }
}
