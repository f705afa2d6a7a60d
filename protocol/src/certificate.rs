//! The broker's word on which key speaks for a peer.
//!
//! A PeerId is the hash of the peer's *first* signing key. Once that was given up, nobody can tell the present key from the
//! id: the broker certifies it. A certificate is no permission and moves no money; grants are checked with the key in their
//! touchstone, never with one of these.

use crate::ids::{BrokerId, Kid, PeerId};
use crate::key_list::{BrokerKeys, Purpose};
use crate::keys::PublicKey;
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};

/// That this key speaks for this peer. Layout `certificate`, signed by a key of purpose *statement*.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The broker.
    pub broker: BrokerId,
    /// The key that signs.
    pub kid: Kid,
    /// Whose key it is.
    pub peer: PeerId,
    /// The key that signs for the peer from now on.
    pub signing_key: PublicKey,
    /// How many keys the peer gave up before this one: of two certificates the one with more is newer, whatever the clocks
    /// said.
    pub given_up: u32,
    /// When it was signed.
    pub issued_at_ms: u64,
}

impl Layout for Certificate {
    const WHAT: &'static str = "certificate";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.fixed(&self.peer.0);
        w.fixed(&self.signing_key.0);
        w.u32(self.given_up);
        w.u64(self.issued_at_ms);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            peer: PeerId(r.fixed()?),
            signing_key: PublicKey(r.fixed()?),
            given_up: r.u32()?,
            issued_at_ms: r.u64()?,
        })
    }
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCertified {
    /// It names another broker.
    #[error("the certificate is another broker's")]
    Broker,
    /// It is about somebody else.
    #[error("the certificate is another peer's")]
    Peer,
    /// No key of the broker's that could sign it has signed it.
    #[error("the certificate is not signed by a key of the broker's")]
    Signature,
}

impl Signed<Certificate> {
    /// The key that speaks for this peer, if the broker with these keys says so.
    pub fn key_of(&self, peer: PeerId, keys: &BrokerKeys) -> Result<PublicKey, NotCertified> {
        let Certificate { broker, kid, issued_at_ms, .. } = self.content;
        if broker != keys.list().broker {
            return Err(NotCertified::Broker);
        }
        if self.content.peer != peer {
            return Err(NotCertified::Peer);
        }
        let key = keys.find(kid, Purpose::Statement, issued_at_ms).ok_or(NotCertified::Signature)?;
        self.verify(&key).map_err(|_| NotCertified::Signature)?;
        Ok(self.content.signing_key)
    }
}
