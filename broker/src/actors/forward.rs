//! Orders on their way to the node that decides. Every node checks what peers send; the leader alone writes.
//!
//! What travels was verified by the node that sends it, and is believed: all nodes hold the same keys and run the same code, the
//! link proves that a node sent it, and a cluster is made for nodes that stop, not for nodes that lie. What may have changed
//! since (rows, the account's key) the leader's writer looks at again, as it does for its own pool.
//!
//! Never sends an order again whose outcome is not known: the peer does, under the same request id, and gets its one outcome.
//! Never answers an order before this node has applied what came of it: whoever asked reads here what it did.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use netpay_ledger::Command;
use netpay_protocol::problem::Problem;
use netpay_protocol::wire;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::ledger::{self, Order, Outcome, Settled};
use super::refusals::{busy, not_known, not_leading};
use super::runtime::Address;
use crate::ports::Link;
use crate::ports::link::{Kind, LinkError, MAX_BYTES, NodeId, Refused};

/// Orders on their way at once, at most. Each can have half a megabyte.
const MOST_ON_THEIR_WAY: usize = 128;
/// How long an order may take until it is known here what came of it. Peers wait twice as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The version of the answer's bytes.
const VERSION: u8 = 1;

/// What a node knows of its cluster, as it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Who decides now, if anybody does.
    pub leader: Option<NodeId>,
    /// The position up to which this node's rows can be read.
    pub applied: u64,
}

/// This node's place among the others, and its own writer.
#[derive(Clone)]
pub struct Place {
    /// This node.
    pub me: NodeId,
    /// What it knows.
    pub standing: watch::Receiver<Standing>,
    /// Its writer, which says so when it does not lead.
    pub writer: Address<Order>,
}

/// What the node answers that was thought to lead.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
enum Said {
    /// The order came to its end.
    #[n(1)]
    Settled(#[n(0)] Box<Settled>),
    /// Nothing was done: this node does not lead. Perhaps that one does.
    #[n(2)]
    NotLeading(#[n(0)] Option<NodeId>),
}

impl Said {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(wire::encode(self));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, said) = bytes.split_first()?;
        wire::decode(said).ok().filter(|_| *version == VERSION)
    }

    /// An outcome as it fits a message. The record of a batch can be longer (each claim split into many runs, or with the
    /// evidence of a double spend): then only its position travels, and the same request finds it when it comes again.
    fn settled(settled: Settled) -> Vec<u8> {
        let Settled { head, balance, .. } = settled;
        let position = match &settled.outcome {
            Ok(Outcome::Recorded(record)) => Some(record.position),
            _ => None,
        };
        let bytes = Self::Settled(Box::new(settled)).to_bytes();
        match position.filter(|_| bytes.len() > MAX_BYTES) {
            None => bytes,
            Some(position) => {
                let outcome = Ok(Outcome::Repeated(position));
                Self::Settled(Box::new(Settled { outcome, head, balance })).to_bytes()
            }
        }
    }
}

/// Takes other nodes' orders while this one leads.
pub fn serve(link: &dyn Link, place: Place) {
    let place = Arc::new(place);
    let handler = move |_, bytes: Vec<u8>| {
        let place = Arc::clone(&place);
        async move { place.decide(&bytes).await }.boxed()
    };
    link.serve(Kind::Command, Box::new(handler));
}

impl Place {
    fn leader(&self) -> Option<NodeId> {
        self.standing.borrow().leader
    }

    async fn decide(&self, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let command = Command::from_bytes(bytes).map_err(|error| Refused(error.to_string()))?;
        let leader = self.leader();
        if leader != Some(self.me) {
            return Ok(Said::NotLeading(leader).to_bytes());
        }
        let (tell, told) = oneshot::channel();
        // Whoever waited may be gone.
        let answer = Box::new(move |settled| drop(tell.send(settled)));
        ledger::send(&self.writer, Order { command, answer });
        let settled = told.await.unwrap_or_else(|_| Settled::problem(not_known()));
        if settled.outcome.as_ref().is_err_and(|problem| *problem == not_leading()) {
            // The writer says so before it does anything.
            return Ok(Said::NotLeading(self.leader().filter(|leader| *leader != self.me)).to_bytes());
        }
        Ok(Said::settled(settled))
    }

    /// Whether this node has applied everything up to a position, or does in time.
    async fn has_applied(&self, position: u64, until: Instant) -> bool {
        let mut standing = self.standing.clone();
        let applied = standing.wait_for(|standing| standing.applied >= position);
        matches!(timeout_at(until, applied).await, Ok(Ok(_)))
    }
}

/// Passes orders to whoever decides.
#[derive(Clone)]
pub struct Forward(Arc<Shared>);

struct Shared {
    place: Place,
    link: Arc<dyn Link>,
    runtime: Handle,
    slots: Arc<Semaphore>,
}

impl Forward {
    /// From this place, over this link. Call it inside a runtime: orders travel on it.
    pub fn new(place: Place, link: Arc<dyn Link>) -> Self {
        let slots = Arc::new(Semaphore::new(MOST_ON_THEIR_WAY));
        Self(Arc::new(Shared { place, link, runtime: Handle::current(), slots }))
    }

    /// Passes an order to the leader: to this node's writer, or to another node. Nobody leading is an outcome, too.
    pub fn send(&self, order: Order) {
        let Shared { place, runtime, slots, .. } = &*self.0;
        match place.leader() {
            None => (order.answer)(Settled::problem(not_leading())),
            Some(leader) if leader == place.me => ledger::send(&place.writer, order),
            Some(leader) => match Arc::clone(slots).try_acquire_owned() {
                Err(_) => (order.answer)(Settled::problem(busy())),
                Ok(slot) => {
                    let shared = Arc::clone(&self.0);
                    runtime.spawn(async move {
                        shared.carry(leader, order).await;
                        drop(slot);
                    });
                }
            },
        }
    }
}

impl Shared {
    async fn carry(&self, leader: NodeId, order: Order) {
        let bytes = order.command.to_bytes();
        let until = Instant::now() + PATIENCE;
        let mut said = self.ask(leader, &bytes, until).await;
        // Nothing was done by who does not lead: once more to whom it names, as long as nobody else is asked for it.
        if let Ok(Said::NotLeading(next)) = said {
            match next.or_else(|| self.place.leader()).filter(|next| *next != leader) {
                Some(next) if next == self.place.me => return ledger::send(&self.place.writer, order),
                Some(next) => said = self.ask(next, &bytes, until).await,
                None => {}
            }
        }
        let settled = match said {
            Ok(Said::Settled(settled)) => *settled,
            Ok(Said::NotLeading(_)) => Settled::problem(not_leading()),
            Err(problem) => Settled::problem(problem),
        };
        if settled.outcome.is_ok() && !self.place.has_applied(settled.head.position, until).await {
            return (order.answer)(Settled::problem(not_known()));
        }
        (order.answer)(settled);
    }

    async fn ask(&self, leader: NodeId, bytes: &[u8], until: Instant) -> Result<Said, Problem> {
        let within = until.saturating_duration_since(Instant::now());
        match self.link.request(leader, Kind::Command, bytes.to_vec(), within).await {
            Ok(answer) => Said::from_bytes(&answer).ok_or_else(|| {
                tracing::error!("node {leader} answers a command with what is no answer; does it run another version?");
                not_known()
            }),
            Err(LinkError::Unreachable(_)) => Err(not_leading()),
            Err(LinkError::Late(_)) => Err(not_known()),
            Err(error @ LinkError::Refused(..)) => {
                tracing::warn!("a command was not taken: {error}");
                Err(busy())
            }
        }
    }
}

#[cfg(test)]
mod tests;
