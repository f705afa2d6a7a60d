//! What openraft's types are for us, and their bytes on disk and between nodes.
//!
//! Openraft knows its own types as serde's, so both are CBOR by way of serde, with names for fields: a later version may
//! add some, and what is damaged or cut short is refused.

use openraft::{CommittedLeaderId, Entry, LogId, Raft, StoredMembership};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::machine::Copied;

/// A node's number. It is never given again: a node that lost its directory comes back under another one.
pub type NodeId = u64;

/// What the cluster knows of a node beside its number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// What people call it.
    pub name: String,
}

/// The records of one group of commands, encoded: what is proposed. Without any it settles what was proposed before.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// Who decided. A proposal can wait in its node's queue until that leads again: what was answered meanwhile, and left
    /// no record, has then been decided without it, and it counts for nothing.
    pub leader: Option<CommittedLeaderId<NodeId>>,
    /// In order; the first follows the head on which its leader decided.
    pub records: Vec<ByteBuf>,
}

/// What came of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Its records are in the ledger.
    Committed,
    /// It had none.
    Nothing,
    /// It was decided on another head or by another leader: nothing of it is in the ledger, here or anywhere.
    Stale,
}

openraft::declare_raft_types!(
    /// See the module.
    pub Cluster:
        D = Group,
        R = Outcome,
        NodeId = NodeId,
        Node = Member,
        SnapshotData = Copied,
);

/// How far the log was applied to a ledger. Lies in the ledger, and moves with it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The last entry applied.
    pub applied: Option<LogId<NodeId>>,
    /// The last membership applied.
    pub membership: StoredMembership<NodeId, Member>,
}

/// A node's part in the consensus.
pub type Node = Raft<Cluster>;
/// One entry of the log.
pub type LogEntry = Entry<Cluster>;
/// What its storage fails with.
pub type StorageError = openraft::StorageError<NodeId>;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// To bytes.
pub fn encode<T: Serialize>(what: &T) -> Vec<u8> {
    minicbor_serde::to_vec(what).expect("maps, lists and bytes in memory can be encoded")
}

/// From exactly these bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let mut from = minicbor_serde::Deserializer::new(bytes);
    let read = T::deserialize(&mut from).map_err(|error| Unreadable(error.to_string()))?;
    match from.decoder().position() {
        end if end == bytes.len() => Ok(read),
        end => Err(Unreadable(format!("{} bytes too many", bytes.len() - end))),
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload, Membership, Vote};

    use super::*;

    fn at(index: u64) -> LogId<NodeId> {
        LogId::new(CommittedLeaderId::new(3, 1), index)
    }

    /// What a node of this version writes, another one of this version reads, and later ones have to.
    #[test]
    fn bytes_are_read_as_they_were_written_and_nothing_else() {
        let records = vec![ByteBuf::from(vec![7; 300]), ByteBuf::new()];
        let nodes = std::collections::BTreeMap::from([(1, Member { name: "one".into() }), (2, Member::default())]);
        let membership = Membership::new(vec![[1].into(), [1, 2].into()], nodes);
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Group { leader: None, records }),
            EntryPayload::Membership(membership.clone()),
        ];
        for payload in payloads {
            let entry = LogEntry { log_id: at(9), payload };
            let bytes = encode(&entry);
            assert_eq!(decode::<LogEntry>(&bytes).expect("the same"), entry);
            assert!(decode::<LogEntry>(&bytes[..bytes.len() - 1]).is_err(), "cut short");
            assert!(decode::<LogEntry>(&[&bytes[..], &[0]].concat()).is_err(), "something behind it");
        }
        for vote in [Vote::new(3, 1), Vote::new_committed(3, 1)] {
            assert_eq!(decode::<Vote<NodeId>>(&encode(&vote)).expect("the same"), vote);
        }
        for applied in [None, Some(at(9))] {
            let progress = Progress { applied, membership: StoredMembership::new(Some(at(2)), membership.clone()) };
            assert_eq!(decode::<Progress>(&encode(&progress)).expect("the same"), progress);
        }
    }

    #[test]
    fn a_record_costs_its_own_bytes_and_few_more() {
        let group = Group { leader: None, records: vec![ByteBuf::from(vec![0xff; 100_000])] };
        assert!(encode(&group).len() < 100_100, "bytes are bytes, and not a list of numbers");
    }
}
