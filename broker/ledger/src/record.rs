//! One record of the log: the events of one command, chained to all before by its hash.

use netpay_planted::{self as planted, Fault};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use netpay_protocol::wire;

use crate::command::{Facts, Request};
use crate::event::Event;

/// A record. Its hash is BLAKE3 over its bytes, which name the hash of the one before.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Record {
    /// Its place, from 1 without gaps.
    #[n(0)]
    pub position: u64,
    /// The writer's time.
    #[n(1)]
    pub recorded_at_ms: u64,
    /// Which life of the broker wrote it.
    #[n(2)]
    pub incarnation: u64,
    /// The hash of the record before; zero for the first.
    #[n(3)]
    pub prev_hash: Digest,
    /// Who asked for it. `None` for what the broker does by itself.
    #[n(4)]
    pub request: Option<Request>,
    /// What happened.
    #[n(5)]
    pub events: Vec<Event>,
}

/// Bytes in the log that are not the record they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLog {
    /// Not a record.
    #[error("record {position} cannot be read: {reason}")]
    Unreadable {
        /// Where.
        position: u64,
        /// Why.
        reason: String,
    },
    /// A record that does not follow its predecessor.
    #[error("record {position} does not follow the one before it")]
    NotChained {
        /// Where.
        position: u64,
    },
}

impl Record {
    /// The record that follows this head.
    pub fn following(head: Head, facts: &Facts, request: Option<Request>, events: Vec<Event>) -> Self {
        Self {
            position: head.position + 1,
            recorded_at_ms: facts.now_ms,
            incarnation: facts.incarnation,
            prev_hash: if planted::is(Fault::NotChained) { Digest([0; 32]) } else { head.hash },
            request,
            events,
        }
    }

    /// Its bytes in the log. Not bounded by the size of a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the record at `position`, which must follow `before`. Returns it with the new head.
    pub fn read(bytes: &[u8], before: Head) -> Result<(Self, Head), BrokenLog> {
        let position = before.position + 1;
        let record: Self =
            minicbor::decode(bytes).map_err(|error| BrokenLog::Unreadable { position, reason: error.to_string() })?;
        if record.position != position || record.prev_hash != before.hash {
            return Err(BrokenLog::NotChained { position });
        }
        if record.to_bytes() != bytes {
            return Err(BrokenLog::Unreadable { position, reason: "not in its canonical encoding".into() });
        }
        Ok((record, Head { position, hash: hash(bytes) }))
    }

    /// The head after this record.
    pub fn head(&self) -> Head {
        Head { position: self.position, hash: hash(&self.to_bytes()) }
    }
}

/// The hash of a record's bytes.
pub fn hash(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
