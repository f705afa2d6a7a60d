//! Registration: a peer's keys, signed over all of them and the broker.

use crate::ids::{BrokerId, PeerId};
use crate::keys::{BadKey, PublicKey};
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::limits::MAX_SEALING_KEY_BYTES;
use crate::sealing;

/// The keys of a new peer. Layout `register`, signed by `signing_key`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// The broker.
    pub broker: BrokerId,
    /// The Ed25519 key that signs grants and requests (the paper's SAK).
    pub signing_key: PublicKey,
    /// The RSA key that paywords are sealed to (the paper's PK): DER of a SubjectPublicKeyInfo (RFC 5280).
    pub sealing_key: Vec<u8>,
    /// The NATS nkey's Ed25519 key. A key of its own: a NATS server chooses what a client signs with it.
    pub nkey: PublicKey,
}

impl Layout for Register {
    const WHAT: &'static str = "register";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.signing_key.0);
        w.bytes(&self.sealing_key);
        w.fixed(&self.nkey.0);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            signing_key: PublicKey(r.fixed()?),
            sealing_key: r.bytes("sealing key", MAX_SEALING_KEY_BYTES)?.to_vec(),
            nkey: PublicKey(r.fixed()?),
        })
    }
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is for another broker.
    #[error("registration is for another broker")]
    Broker,
    /// The signature is not the signing key's.
    #[error("registration is not signed by its signing key")]
    Signature,
    /// The signing key may not be registered.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The sealing key may not be registered.
    #[error(transparent)]
    SealingKey(#[from] sealing::BadSealingKey),
    /// The NATS key is the signing key: a NATS server could then obtain signatures.
    #[error("the NATS key must not be the signing key")]
    SharedKey,
}

impl Signed<Register> {
    /// Everything that can be said of a registration without the ledger.
    pub fn check(&self, broker: BrokerId) -> Result<PeerId, Refused> {
        let Register { signing_key, sealing_key, nkey, .. } = &self.content;
        if self.content.broker != broker {
            return Err(Refused::Broker);
        }
        signing_key.check_registrable()?;
        self.verify(signing_key).map_err(|_| Refused::Signature)?;
        sealing::PublicSealingKey::from_der(sealing_key)?;
        if nkey == signing_key {
            return Err(Refused::SharedKey);
        }
        Ok(PeerId::of(signing_key))
    }
}
