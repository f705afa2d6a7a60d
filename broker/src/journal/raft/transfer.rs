//! A whole ledger on its way to a node that has fallen behind the log, or joins.
//!
//! Chunk by chunk, each one acknowledged before the next; what was begun goes on where it was when the way breaks. The
//! other side reads all of it before it takes it, which can last: the sender asks until it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::error::{Fatal, NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use openraft::{Snapshot, SnapshotMeta, Vote};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::machine::Copied;
use super::network::{Line, own};
use super::types::{Cluster, Member, Node, NodeId};
use crate::ports::fail_stop;
use crate::ports::link::Refused;
use crate::store::{Chunk, Incoming, Place, ReceiveError, Replica};

/// How long one message may take: a chunk can end a file, which is synced.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions whether it is in place.
const PAUSE: Duration = Duration::from_millis(200);

/// What the sender says.
#[derive(Serialize, Deserialize)]
pub(super) enum Said {
    /// This one is to come, or to go on.
    Begin { vote: Vote<NodeId>, meta: SnapshotMeta<NodeId, Member>, manifest: ByteBuf },
    /// A piece of the one begun.
    Chunk { id: String, file: u64, offset: u64, bytes: ByteBuf },
    /// That was all: is it in place?
    End { vote: Vote<NodeId>, id: String },
}

/// What is said to it.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    /// The next chunk begins here.
    Next { file: u64, offset: u64 },
    /// It is being read and put in place.
    Busy,
    /// It is in place; or there is a newer vote, and this sender leads no more.
    Done(Vote<NodeId>),
}

type Sent<T> = Result<T, StreamingError<Cluster, Fatal<NodeId>>>;

fn strange(what: &str) -> StreamingError<Cluster, Fatal<NodeId>> {
    NetworkError::new(&Refused(what.into())).into()
}

/// Sends a snapshot, and waits until it is in place.
pub(super) async fn send(
    line: &Line,
    vote: Vote<NodeId>,
    snapshot: Snapshot<Cluster>,
) -> Sent<SnapshotResponse<NodeId>> {
    let Snapshot { meta, snapshot } = snapshot;
    let Copied::Made(made) = *snapshot else { return Err(strange("only a snapshot made here can be sent")) };
    let id = meta.snapshot_id.clone();
    let manifest = made.manifest().to_bytes().map_err(|why| strange(&why))?;
    let mut told = line.transfer(&Said::Begin { vote, meta, manifest: ByteBuf::from(manifest) }, PATIENCE).await?;
    if let Told::Next { file, offset } = told {
        let file = usize::try_from(file).map_err(|_| strange("no such file"))?;
        let mut reader = made.reader(Place { file, offset });
        while let Some(chunk) = reader.next_chunk().unwrap_or_else(|error| fail_stop("a snapshot", &error)) {
            let Place { file, offset } = chunk.place;
            let file = u64::try_from(file).unwrap_or(u64::MAX);
            let said = Said::Chunk { id: id.clone(), file, offset, bytes: ByteBuf::from(chunk.bytes) };
            // Whatever is expected instead: the next attempt begins there.
            if !matches!(line.transfer(&said, PATIENCE).await?, Told::Next { .. }) {
                return Err(strange("the other node has begun with another snapshot"));
            }
        }
        told = Told::Busy;
    }
    loop {
        match told {
            Told::Done(vote) => return Ok(SnapshotResponse::new(vote)),
            Told::Next { .. } => return Err(strange("the other node lacks a part of the snapshot")),
            Told::Busy => {}
        }
        told = line.transfer(&Said::End { vote, id: id.clone() }, PATIENCE).await?;
        if matches!(told, Told::Busy) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The one snapshot that this node receives.
pub struct Receiving {
    replica: Arc<Replica>,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Nothing,
    Coming {
        from: NodeId,
        meta: SnapshotMeta<NodeId, Member>,
        incoming: Box<Incoming>,
    },
    /// It is with openraft.
    Installing(String),
    Installed(String, Vote<NodeId>),
}

fn next(incoming: &Incoming) -> Told {
    let Place { file, offset } = incoming.expects();
    Told::Next { file: u64::try_from(file).unwrap_or(u64::MAX), offset }
}

/// Storage that fails ends the process; the rest is the sender's affair.
fn received<T>(result: Result<T, ReceiveError>) -> Result<T, Refused> {
    result.map_err(|error| match error {
        ReceiveError::Failed(_) => fail_stop("a snapshot", &error),
        ReceiveError::Refused(_) | ReceiveError::Forked { .. } => Refused(error.to_string()),
    })
}

impl Receiving {
    /// Receives for this ledger.
    pub fn new(replica: Arc<Replica>) -> Self {
        Self { replica, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message of a sender.
    pub(super) async fn take(self: &Arc<Self>, raft: Node, from: NodeId, said: Said) -> Result<Told, Refused> {
        match said {
            Said::Begin { vote, meta, manifest } => {
                own(from, &vote)?;
                let mine = raft.with_raft_state(|state| *state.vote_ref()).await;
                let mine = mine.map_err(|error| Refused(error.to_string()))?;
                if vote < mine { Ok(Told::Done(mine)) } else { self.begin(from, meta, &manifest) }
            }
            Said::Chunk { id, file, offset, bytes } => {
                let file = usize::try_from(file).map_err(|_| Refused("no such file".into()))?;
                let chunk = Chunk { place: Place { file, offset }, bytes: bytes.into_vec() };
                let this = Arc::clone(self);
                let taken = tokio::task::spawn_blocking(move || this.chunk(from, &id, &chunk)).await;
                taken.map_err(|error| Refused(error.to_string()))?
            }
            Said::End { vote, id } => {
                own(from, &vote)?;
                self.end(raft, from, vote, id)
            }
        }
    }

    fn begin(&self, from: NodeId, meta: SnapshotMeta<NodeId, Member>, manifest: &[u8]) -> Result<Told, Refused> {
        let mut state = self.state();
        match &*state {
            State::Coming { from: same, meta: begun, incoming } if *same == from && *begun == meta => {
                return Ok(next(incoming));
            }
            State::Installing(_) => return Ok(Told::Busy),
            State::Installed(id, vote) if *id == meta.snapshot_id => return Ok(Told::Done(*vote)),
            _ => {}
        }
        let incoming = Box::new(received(self.replica.receive(manifest))?);
        let told = next(&incoming);
        *state = State::Coming { from, meta, incoming };
        Ok(told)
    }

    fn chunk(&self, from: NodeId, id: &str, chunk: &Chunk) -> Result<Told, Refused> {
        let mut state = self.state();
        match &mut *state {
            State::Coming { from: same, meta, incoming } if *same == from && meta.snapshot_id == id => {
                // One that came twice.
                if chunk.place < incoming.expects() {
                    return Ok(next(incoming));
                }
                let taken = received(incoming.take(chunk));
                if taken.is_err() {
                    *state = State::Nothing;
                    return taken.map(|()| Told::Busy);
                }
                Ok(next(incoming))
            }
            _ => Err(Refused("this snapshot was not begun".into())),
        }
    }

    /// Hands what came to openraft, once, and says how far that is.
    fn end(self: &Arc<Self>, raft: Node, from: NodeId, vote: Vote<NodeId>, id: String) -> Result<Told, Refused> {
        let mut state = self.state();
        match std::mem::take(&mut *state) {
            State::Coming { from: same, meta, incoming } if same == from && meta.snapshot_id == id => {
                *state = State::Installing(id.clone());
                let (this, snapshot) = (Arc::clone(self), Box::new(Copied::Came(incoming)));
                tokio::spawn(async move {
                    let done = raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
                    *this.state() = match done {
                        Ok(answer) => State::Installed(id, answer.vote),
                        // Openraft has ended: so will the process.
                        Err(_) => State::Nothing,
                    };
                });
                Ok(Told::Busy)
            }
            State::Installed(installed, vote) if installed == id => {
                *state = State::Installed(installed, vote);
                Ok(Told::Done(vote))
            }
            other => {
                let busy = matches!(&other, State::Installing(installing) if *installing == id);
                *state = other;
                if busy { Ok(Told::Busy) } else { Err(Refused("this snapshot was not begun".into())) }
            }
        }
    }
}
