//! Registration: a peer's keys, signed over all of them and the broker.

use crate::ids::{BrokerId, Digest, PeerId, RequestId};
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

/// An order to speak with other keys from now on. Layout `rotate`, signed with the account's present key. The new keys come
/// beside it, in a registration that the new signing key signs, so that nobody takes over a key that is not its own. The
/// peer's id stays; so does the key of its e-coins sold before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotateKeys {
    /// The broker.
    pub broker: BrokerId,
    /// Whose.
    pub peer: PeerId,
    /// The request.
    pub request: RequestId,
    /// After this the request is dead, unless it was carried out before.
    pub valid_until_ms: u64,
    /// The digest of the registration with the new keys.
    pub register: Digest,
}

impl Layout for RotateKeys {
    const WHAT: &'static str = "rotate";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.peer.0);
        w.fixed(&self.request.0);
        w.u64(self.valid_until_ms);
        w.fixed(&self.register.0);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            peer: PeerId(r.fixed()?),
            request: RequestId(r.fixed()?),
            valid_until_ms: r.u64()?,
            register: Digest(r.fixed()?),
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

/// Why a rotation is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRotated {
    /// The new keys may not be registered.
    #[error(transparent)]
    Register(#[from] Refused),
    /// It names other keys.
    #[error("the rotation is not about this registration")]
    OtherKeys,
}

impl Signed<RotateKeys> {
    /// Everything that can be said of a rotation without the ledger; its signature is the account's business.
    pub fn check(&self, register: &Signed<Register>) -> Result<(), NotRotated> {
        register.check(self.content.broker)?;
        if self.content.register == register.content.digest() { Ok(()) } else { Err(NotRotated::OtherKeys) }
    }
}
