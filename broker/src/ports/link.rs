//! Messages between the nodes of one broker.
//!
//! Apart from the bus that peers use: what a node says to another is internal, and never waits behind a peer. Promises
//! little: a message arrives once or never, in no order, and its answer the same. Whoever needs more asks again.

use std::time::Duration;

use futures::future::BoxFuture;

/// A node's number in its cluster. A node whose directory was lost comes back under another.
pub type NodeId = u64;

/// The longest message or answer, in bytes. Longer content travels in pieces.
pub const MAX_BYTES: usize = 1_000_000;

/// What a message is about. Each kind has one handler, and a bound of its own on what is worked on at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Raft: entries to append, or none (a heartbeat).
    Append,
    /// Raft: a vote is asked for.
    Vote,
    /// Raft: a piece of a snapshot.
    Snapshot,
    /// A verified command, for the leader to decide.
    Command,
    /// How a node is.
    Status,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Append, Self::Vote, Self::Snapshot, Self::Command, Self::Status];
}

/// Answers one message of the node that is named. Runs beside others; the asker may have given up before it ends.
pub type Handler = Box<dyn Fn(NodeId, Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Refused>> + Send + Sync>;

/// The message was understood to be a node's, and nothing was done with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// No answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The message did not go out, or nobody is there to take it: nothing was done with it.
    #[error("node {0} cannot be reached")]
    Unreachable(NodeId),
    /// No answer in time. The message was taken or not, or will be.
    #[error("node {0} has not answered in time")]
    Late(NodeId),
    /// The other node, or this side for it, would not take the message: nothing was done with it.
    #[error("node {0} refuses: {1}")]
    Refused(NodeId, Refused),
}

/// The way to the other nodes, and theirs to this one.
pub trait Link: Send + Sync {
    /// Sends a message and waits for its answer, `within` this time and no longer.
    fn request(
        &self,
        to: NodeId,
        kind: Kind,
        bytes: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, LinkError>>;
    /// From now on this handler answers messages of this kind, in place of any before. Until there is one they are refused.
    fn serve(&self, kind: Kind, handler: Handler);
}
