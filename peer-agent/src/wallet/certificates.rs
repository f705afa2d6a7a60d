//! Whose key is whose, once keys were changed: the broker's certificates, the newest of each peer.
//!
//! A peer's first key is known by its hash, which is the PeerId. Of a peer that rotated only the broker's word tells the
//! present key. What was believed once is kept, and nothing older is believed again: also not the first key, which may be
//! in other hands by now. Of no use for grants, which are checked with the key in their touchstone.

use netpay_protocol::certificate::{Certificate, NotCertified};
use netpay_protocol::ids::PeerId;
use netpay_protocol::key_list::BrokerKeys;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::wire;

use crate::ports::{Slot, Slots, StoreError, Stored};

/// Why a certificate is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is not the broker's word on this peer.
    #[error(transparent)]
    NotCertified(#[from] NotCertified),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The newest certificate of this peer's that was ever believed.
pub fn held(store: &impl Slots, peer: PeerId) -> Stored<Option<Signed<Certificate>>> {
    let bytes = store.slot(Slot::CertificateOf(peer))?;
    let decode = |bytes: Vec<u8>| wire::decode(&bytes).map_err(|_| StoreError::damaged("a certificate"));
    bytes.map(decode).transpose()
}

/// Keeps a certificate if it is the broker's word on this peer, and newer than the one held.
pub fn take(
    store: &impl Slots,
    keys: &BrokerKeys,
    peer: PeerId,
    certificate: &Signed<Certificate>,
) -> Result<(), NotKept> {
    certificate.key_of(peer, keys)?;
    let age = |certificate: &Signed<Certificate>| (certificate.content.given_up, certificate.content.issued_at_ms);
    if held(store, peer)?.is_none_or(|held| age(&held) < age(certificate)) {
        store.put_slot(Slot::CertificateOf(peer), &wire::encode(certificate))?;
    }
    Ok(())
}

/// Whether this key speaks for this peer, as far as is known here.
pub fn speaks_for(store: &impl Slots, peer: PeerId, key: &PublicKey) -> Stored<bool> {
    let held = held(store, peer)?;
    Ok(held.map_or_else(|| PeerId::of(key) == peer, |certificate| certificate.content.signing_key == *key))
}

#[cfg(test)]
mod tests {
    use netpay_protocol::keys::SigningKey;

    use super::*;
    use crate::tests::broker::TestBroker;
    use crate::tests::trade::Peer;

    #[test]
    fn the_newest_certificate_counts_and_no_key_that_was_given_up_is_believed_again() {
        let (broker, alice) = (TestBroker::new(), Peer::new(1));
        let bob = SigningKey::from_seed(&[2; 32]).public();
        let (peer, second, third) = (PeerId::of(&bob), PublicKey([2; 32]), PublicKey([3; 32]));
        let speaks = |key: &PublicKey| alice.store.read(|tx| speaks_for(tx, peer, key)).expect("read");
        assert!(speaks(&bob) && !speaks(&second), "by its hash, as long as no certificate is known");
        let keys = broker.keys();
        let show = |key, given_up| {
            let certificate = broker.certificate(peer, key, given_up);
            alice.store.write(|tx| take(tx, &keys, peer, &certificate))
        };
        for (key, given_up, speaking) in [(second, 1, second), (third, 2, third), (second, 1, third), (bob, 0, third)] {
            show(key, given_up).expect("the broker's word");
            for known in [bob, second, third] {
                assert_eq!(speaks(&known), known == speaking, "after {given_up}");
            }
        }
        let of_another = broker.certificate(PeerId([9; 16]), second, 9);
        let refused = alice.store.write(|tx| take(tx, &keys, peer, &of_another));
        assert!(matches!(refused, Err(NotKept::NotCertified(NotCertified::Peer))));
        let mut forged = broker.certificate(peer, second, 9);
        forged.content.given_up = 10;
        let refused = alice.store.write(|tx| take(tx, &keys, peer, &forged));
        assert!(matches!(refused, Err(NotKept::NotCertified(NotCertified::Signature))));
        assert!(speaks(&third));
    }
}
