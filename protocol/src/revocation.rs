//! The revocation list: the paper's "access terminated", made known to payees that are off-line with the broker.

use crate::ids::{BrokerId, Kid, PeerId};
use crate::key_list::{BrokerKeys, Purpose};
use crate::keys::BadSignature;
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::limits::MAX_REVOKED;

/// Which peers are suspended. Layout `revoked`, signed by a notice key; re-issued even when unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationList {
    /// The broker.
    pub broker: BrokerId,
    /// The broker's key that signs.
    pub kid: Kid,
    /// With `seq`: which list is newer. A receiver keeps the highest.
    pub incarnation: u64,
    /// See `incarnation`.
    pub seq: u64,
    /// When it was signed: its age is what a payee's policy bounds.
    pub issued_at_ms: u64,
    /// When the next one is due.
    pub next_at_ms: u64,
    /// The peers, in rising order, each with when it was suspended.
    pub peers: Vec<(PeerId, u64)>,
}

impl Layout for RevocationList {
    const WHAT: &'static str = "revoked";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.u64(self.incarnation);
        w.u64(self.seq);
        w.u64(self.issued_at_ms);
        w.u64(self.next_at_ms);
        w.count(self.peers.len());
        for (peer, since_ms) in &self.peers {
            w.fixed(&peer.0);
            w.u64(*since_ms);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let list = Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            incarnation: r.u64()?,
            seq: r.u64()?,
            issued_at_ms: r.u64()?,
            next_at_ms: r.u64()?,
            peers: r.list("peers in a revocation list", MAX_REVOKED, |r| Ok((PeerId(r.fixed()?), r.u64()?)))?,
        };
        if !list.peers.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Malformed::Value("order of revoked peers"));
        }
        Ok(list)
    }
}

impl RevocationList {
    /// Whether this peer is suspended.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.peers.binary_search_by_key(&peer, |(peer, _)| *peer).is_ok()
    }

    /// Which of two lists is newer.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.incarnation, self.seq) > (other.incarnation, other.seq)
    }
}

impl Signed<RevocationList> {
    /// Checks that it is the word of the broker with these keys.
    pub fn verify_by(&self, keys: &BrokerKeys) -> Result<&RevocationList, BadSignature> {
        let RevocationList { broker, kid, issued_at_ms, .. } = self.content;
        if broker != keys.list().broker {
            return Err(BadSignature);
        }
        let key = keys.find(kid, Purpose::Notice, issued_at_ms).ok_or(BadSignature)?;
        self.verify(&key)
    }
}
