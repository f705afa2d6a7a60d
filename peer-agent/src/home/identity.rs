//! Who this peer is: the signing key, the RSA key that words are sealed to, and a separate NATS nkey.
//!
//! The keys may change; who this is does not. Three keys, because a NATS server chooses what a client signs at login: a shared key would be a signing oracle. Reads
//! and writes no files; `home` does.

use netpay_protocol::buy::SealedPaywords;
use netpay_protocol::ids::{BrokerId, PeerId, RequestId};
use netpay_protocol::keys::{PublicKey, SigningKey};
use netpay_protocol::layout::Signed;
use netpay_protocol::register::Register;
use netpay_protocol::sealing::{DoesNotOpen, LastWord, Purchase, SealingKey};
use rand_core::{CryptoRng, Rng as _};

/// The size of the RSA key, in bits.
const SEALING_BITS: usize = 2_048;

/// The operating system's randomness.
pub fn os_rng() -> impl CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Sixteen random bytes: a request id or a nonce.
pub fn random_16() -> [u8; 16] {
    let mut bytes = [0; 16];
    os_rng().fill_bytes(&mut bytes);
    bytes
}

/// A random number, for spreading things over time.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    os_rng().fill_bytes(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// A new request id.
pub fn new_request() -> RequestId {
    RequestId(random_16())
}

/// Keys that were given up, or never came to speak for the account. E-coins may have been sold to the one, and words be sealed
/// to the other.
pub struct Former {
    /// Signs grants on e-coins whose touchstone names it, and nothing else.
    pub signing: SigningKey,
    /// Opens what was sealed before.
    pub sealing: SealingKey,
}

/// The keys of this peer.
pub struct Identity {
    /// Signs grants and requests (the paper's SAK).
    pub signing: SigningKey,
    /// What paywords are sealed to (the paper's PK).
    pub sealing: SealingKey,
    /// Logs in to NATS, and signs nothing else.
    pub nats: SigningKey,
    /// Who this is, whatever its keys are now.
    peer: PeerId,
    /// Keys from before, oldest first.
    former: Vec<Former>,
}

impl Identity {
    /// Draws new keys. Takes a moment: RSA.
    pub fn generate() -> Self {
        let rng = &mut os_rng();
        let sealing = SealingKey::generate(SEALING_BITS, rng).expect("the size is within the limits");
        Self::first(SigningKey::generate(rng), sealing, SigningKey::generate(rng))
    }

    /// A peer that speaks with its first keys.
    pub fn first(signing: SigningKey, sealing: SealingKey, nats: SigningKey) -> Self {
        let peer = PeerId::of(&signing.public());
        Self { signing, sealing, nats, peer, former: Vec::new() }
    }

    /// The same peer with other keys.
    pub fn with_keys_of(self, new: Self) -> Self {
        let Self { signing, sealing, peer, mut former, .. } = self;
        former.push(Former { signing, sealing });
        Self { peer, former, ..new }
    }

    /// A peer whose present keys are not its first.
    pub fn of(self, peer: PeerId, former: Vec<Former>) -> Self {
        Self { peer, former, ..self }
    }

    /// Who this is: the hash of its first signing key.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Keys from before, oldest first.
    pub fn former(&self) -> &[Former] {
        &self.former
    }

    /// Keeps keys that never came to speak for the account: nothing is ever thrown away.
    pub fn keep(&mut self, spare: Former) {
        self.former.push(spare);
    }

    /// The key with which grants on an e-coin are signed: the one in its touchstone. None if that was never ours, or is not
    /// yet known to this process.
    pub fn granting_key(&self, payer_key: &PublicKey) -> Option<&SigningKey> {
        let all = std::iter::once(&self.signing).chain(self.former.iter().map(|former| &former.signing));
        all.into_iter().find(|key| key.public() == *payer_key)
    }

    /// Opens sealed words with the present key, or one from before.
    pub fn open(&self, purchase: Purchase, sealed: &SealedPaywords) -> Result<Vec<LastWord>, DoesNotOpen> {
        let former = self.former.iter().rev().map(|former| &former.sealing);
        former.fold(self.sealing.open(purchase, sealed, &mut os_rng()), |opened, key| {
            opened.or_else(|_| key.open(purchase, sealed, &mut os_rng()))
        })
    }

    /// The registration with a broker; the same bytes every time.
    pub fn register(&self, broker: BrokerId) -> Signed<Register> {
        let register = Register {
            broker,
            signing_key: self.signing.public(),
            sealing_key: self.sealing.public_der(),
            nkey: self.nats.public(),
        };
        Signed::new(register, &self.signing)
    }

    /// The same keys once more, for another thread.
    pub fn copy(&self) -> Self {
        Self {
            signing: SigningKey::from_seed(&self.signing.seed()),
            sealing: SealingKey::from_der(&self.sealing.to_der()).expect("it was one"),
            nats: SigningKey::from_seed(&self.nats.seed()),
            peer: self.peer,
            former: self.former.iter().map(Former::copy).collect(),
        }
    }

    /// The nkey's seed in NATS's own text form.
    pub fn nats_seed(&self) -> String {
        nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, *self.nats.seed())
            .and_then(|pair| pair.seed())
            .expect("32 bytes are an nkey's seed")
    }
}

impl Former {
    fn copy(&self) -> Self {
        Self {
            signing: SigningKey::from_seed(&self.signing.seed()),
            sealing: SealingKey::from_der(&self.sealing.to_der()).expect("it was one"),
        }
    }
}

#[cfg(test)]
impl Identity {
    /// A test's identity: its own signing key, and an RSA key that all tests of a process share, for speed.
    pub fn of_seed(seed: u8) -> Self {
        static SEALING: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let der = SEALING.get_or_init(|| Self::generate().sealing.to_der().to_vec());
        Self::first(
            SigningKey::from_seed(&[seed; 32]),
            SealingKey::from_der(der).expect("just made"),
            SigningKey::from_seed(&[seed ^ 0x80; 32]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_identity_registers_and_its_nkey_is_not_its_signing_key() {
        let identity = Identity::generate();
        let broker = BrokerId([1; 16]);
        assert_eq!(identity.register(broker).check(broker), Ok(identity.peer()));
        assert_ne!(identity.nats.public(), identity.signing.public());
        let (_, seed) = nkeys::decode_seed(&identity.nats_seed()).expect("a seed");
        assert_eq!(seed, *identity.nats.seed());
    }
}
