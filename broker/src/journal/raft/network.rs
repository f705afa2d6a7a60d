//! What openraft says to the other nodes, and what they say to it.
//!
//! The link promises little, and little is needed: each message can be lost, late, or come twice. One that is longer than
//! the link carries travels in parts, and goes on where it was when it is sent again; the other side puts it together,
//! and takes it when its hash is right. A node speaks for itself only: what it says must bear its own vote.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use openraft::error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, Snapshot, Vote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::transfer::{self, Receiving};
use super::types::{Cluster, Member, Node, NodeId, decode, encode};
use crate::ports::link::{Kind, Link, LinkError, MAX_BYTES, Refused};

/// The most bytes of a message in one part, with room for what is said of the part.
const PART_BYTES: usize = MAX_BYTES - 1_000;
/// The longest message. One entry holds one record at least, and no record comes near it.
const MAX_MESSAGE_BYTES: u64 = 64_000_000;

/// A part of a message: the whole one, mostly.
#[derive(Serialize, Deserialize)]
struct Part {
    /// BLAKE3 of the whole.
    hash: ByteBuf,
    /// Bytes of the whole.
    total: u64,
    /// Bytes before these.
    offset: u64,
    bytes: ByteBuf,
}

/// What is said to a part.
#[derive(Serialize, Deserialize)]
enum Heard {
    /// So many bytes of it are here.
    Have(u64),
    /// All are; this is the answer to the whole.
    Answer(ByteBuf),
}

type Rpc<T> = Result<T, RPCError<NodeId, Member, RaftError<NodeId>>>;

/// Makes the ways to the other nodes.
pub struct Links(Arc<dyn Link>);

impl Links {
    /// Over this link.
    pub fn new(link: Arc<dyn Link>) -> Self {
        Self(link)
    }
}

impl RaftNetworkFactory<Cluster> for Links {
    type Network = Line;

    async fn new_client(&mut self, target: NodeId, _: &Member) -> Line {
        Line { link: Arc::clone(&self.0), target }
    }
}

/// The way to one node.
pub struct Line {
    link: Arc<dyn Link>,
    target: NodeId,
}

/// What stands for an answer that cannot be read, or was not given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAnswer(String);

fn unreadable(error: impl std::fmt::Display) -> NetworkError {
    NetworkError::new(&NoAnswer(format!("the answer cannot be read: {error}")))
}

impl Line {
    /// Sends a message, in parts if it is long, and reads the answer.
    async fn ask<T: DeserializeOwned>(&self, kind: Kind, message: Vec<u8>, within: Duration) -> Rpc<T> {
        let (hash, total) = (ByteBuf::from(blake3::hash(&message).as_bytes().to_vec()), message.len());
        let mut offset = 0;
        loop {
            let end = total.min(offset + PART_BYTES);
            let part = Part {
                hash: hash.clone(),
                total: length(total),
                offset: length(offset),
                bytes: ByteBuf::from(message.get(offset..end).unwrap_or_default()),
            };
            match self.send(kind, &part, within).await? {
                Heard::Answer(answer) => return Ok(decode(&answer).map_err(unreadable)?),
                Heard::Have(have) => match usize::try_from(have) {
                    Ok(have) if have < total => offset = have,
                    _ => return Err(unreadable("it has more than there is").into()),
                },
            }
        }
    }

    async fn send<T: DeserializeOwned>(&self, kind: Kind, what: &impl Serialize, within: Duration) -> Rpc<T> {
        match self.link.request(self.target, kind, encode(what), within).await {
            Ok(answer) => Ok(decode(&answer).map_err(unreadable)?),
            // Openraft waits a little before it sends to a node that is not there.
            Err(error @ LinkError::Unreachable(_)) => Err(Unreachable::new(&error).into()),
            Err(error) => Err(NetworkError::new(&error).into()),
        }
    }

    /// Sends a message of a snapshot's.
    pub(super) async fn transfer<T: DeserializeOwned>(
        &self,
        what: &impl Serialize,
        within: Duration,
    ) -> Result<T, StreamingError<Cluster, Fatal<NodeId>>> {
        self.send(Kind::Snapshot, what, within).await.map_err(|error| match error {
            RPCError::Unreachable(error) => error.into(),
            other => StreamingError::Network(NetworkError::new(&NoAnswer(other.to_string()))),
        })
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl RaftNetwork<Cluster> for Line {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Cluster>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<NodeId>> {
        self.ask(Kind::Append, encode(&rpc), option.hard_ttl()).await
    }

    async fn vote(&mut self, rpc: VoteRequest<NodeId>, option: RPCOption) -> Rpc<VoteResponse<NodeId>> {
        self.ask(Kind::Vote, encode(&rpc), option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<NodeId>,
        snapshot: Snapshot<Cluster>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Cluster, Fatal<NodeId>>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = transfer::send(self, vote, snapshot) => sent,
        }
    }
}

/// Messages that come in parts, one per node and kind.
#[derive(Default)]
struct Parts(Mutex<BTreeMap<NodeId, Partial>>);

#[derive(Default)]
struct Partial {
    hash: Vec<u8>,
    bytes: Vec<u8>,
}

impl Parts {
    /// Takes a part. The whole message, or how much of it is here.
    fn take(&self, from: NodeId, part: Part) -> Result<Result<Vec<u8>, u64>, Refused> {
        let Part { hash, total, offset, bytes } = part;
        if total > MAX_MESSAGE_BYTES || length(bytes.len()) > total {
            return Err(Refused(format!("a message has at most {MAX_MESSAGE_BYTES} bytes, this one {total}")));
        }
        if length(bytes.len()) == total {
            return whole(&hash, bytes.into_vec()).map(Ok);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.entry(from).or_default();
        if here.hash != *hash {
            *here = Partial { hash: hash.into_vec(), bytes: Vec::new() };
        }
        if offset == length(here.bytes.len()) && offset.saturating_add(length(bytes.len())) <= total {
            here.bytes.extend_from_slice(&bytes);
        }
        if length(here.bytes.len()) < total {
            return Ok(Err(length(here.bytes.len())));
        }
        let Partial { hash, bytes } = std::mem::take(here);
        whole(&hash, bytes).map(Ok)
    }
}

fn whole(hash: &[u8], bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
    let right = blake3::hash(&bytes).as_bytes() == hash;
    if right { Ok(bytes) } else { Err(Refused("the message is not what its hash says".into())) }
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    decode(bytes).map_err(|error| Refused(format!("the message cannot be read: {error}")))
}

pub(super) fn own(from: NodeId, vote: &Vote<NodeId>) -> Result<(), Refused> {
    let speaker = vote.leader_id().voted_for();
    if speaker == Some(from) { Ok(()) } else { Err(Refused(format!("node {from} speaks for node {speaker:?}"))) }
}

fn fatal(error: RaftError<NodeId>) -> Refused {
    Refused(error.to_string())
}

/// Answers the other nodes.
pub fn serve(link: &dyn Link, raft: &Node, receiving: Arc<Receiving>) {
    let (parts, append) = (Arc::<Parts>::default(), raft.clone());
    link.serve(
        Kind::Append,
        Box::new(move |from, bytes| {
            let (raft, parts) = (append.clone(), Arc::clone(&parts));
            async move {
                match parts.take(from, read(&bytes)?)? {
                    Err(have) => Ok(encode(&Heard::Have(have))),
                    Ok(whole) => {
                        let rpc: AppendEntriesRequest<Cluster> = read(&whole)?;
                        own(from, &rpc.vote)?;
                        let answer = raft.append_entries(rpc).await.map_err(fatal)?;
                        Ok(encode(&Heard::Answer(ByteBuf::from(encode(&answer)))))
                    }
                }
            }
            .boxed()
        }),
    );
    let (parts, vote) = (Arc::<Parts>::default(), raft.clone());
    link.serve(
        Kind::Vote,
        Box::new(move |from, bytes| {
            let (raft, parts) = (vote.clone(), Arc::clone(&parts));
            async move {
                let Ok(whole) = parts.take(from, read(&bytes)?)? else {
                    return Err(Refused("a vote is no long message".into()));
                };
                let rpc: VoteRequest<NodeId> = read(&whole)?;
                own(from, &rpc.vote)?;
                let answer = raft.vote(rpc).await.map_err(fatal)?;
                Ok(encode(&Heard::Answer(ByteBuf::from(encode(&answer)))))
            }
            .boxed()
        }),
    );
    let raft = raft.clone();
    link.serve(
        Kind::Snapshot,
        Box::new(move |from, bytes| {
            let (raft, receiving) = (raft.clone(), Arc::clone(&receiving));
            async move { Ok(encode(&receiving.take(raft, from, read(&bytes)?).await?)) }.boxed()
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(message: &[u8], size: usize) -> Vec<Part> {
        let hash = blake3::hash(message).as_bytes().to_vec();
        let part = |(number, bytes): (usize, &[u8])| Part {
            hash: ByteBuf::from(hash.clone()),
            total: length(message.len()),
            offset: length(number * size),
            bytes: ByteBuf::from(bytes),
        };
        message.chunks(size).enumerate().map(part).collect()
    }

    #[test]
    fn a_message_in_parts_arrives_once_whole_whatever_is_lost_or_comes_twice() {
        let (parts, message) = (Parts::default(), [1, 2, 3, 4, 5]);
        let mut sent = parts_of(&message, 2).into_iter();
        let (one, two, three) =
            (sent.next().expect("a part"), sent.next().expect("a part"), sent.next().expect("a part"));
        let again = |part: &Part| Part { hash: part.hash.clone(), bytes: part.bytes.clone(), ..*part };
        assert_eq!(parts.take(1, again(&two)), Ok(Err(0)), "the first one was lost");
        assert_eq!(parts.take(1, again(&one)), Ok(Err(2)));
        assert_eq!(parts.take(1, again(&one)), Ok(Err(2)), "once is enough");
        assert_eq!(parts.take(2, again(&two)), Ok(Err(0)), "another node's is another message");
        assert_eq!(parts.take(1, again(&two)), Ok(Err(4)));
        assert_eq!(parts.take(1, three), Ok(Ok(message.to_vec())));
        assert_eq!(parts.take(1, two), Ok(Err(0)), "and it begins anew");
    }

    #[test]
    fn what_its_hash_does_not_say_is_refused_and_so_is_too_much() {
        let parts = Parts::default();
        let part = |bytes: &[u8], total| Part {
            hash: ByteBuf::from(blake3::hash(b"right").as_bytes().to_vec()),
            total,
            offset: 0,
            bytes: ByteBuf::from(bytes),
        };
        assert_eq!(parts.take(1, part(b"right", 5)), Ok(Ok(b"right".to_vec())));
        assert!(parts.take(1, part(b"wrong", 5)).is_err());
        assert_eq!(parts.take(1, part(b"r", MAX_MESSAGE_BYTES)), Ok(Err(1)), "at the limit");
        assert!(parts.take(1, part(b"r", MAX_MESSAGE_BYTES + 1)).is_err(), "and beyond it");
        assert!(parts.take(1, part(b"right", 4)).is_err(), "more than all");
    }

    #[test]
    fn a_node_speaks_for_itself_only() {
        assert!(own(1, &Vote::new(5, 1)).is_ok());
        assert!(own(2, &Vote::new(5, 1)).is_err());
    }
}
