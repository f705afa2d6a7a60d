//! Who this peer is: the signing key, the RSA key that words are sealed to, and a separate NATS nkey.
//!
//! Three keys, because a NATS server chooses what a client signs at login: a shared key would be a signing oracle. Reads
//! and writes no files; `home` does.

use netpay_protocol::ids::{BrokerId, PeerId, RequestId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::register::Register;
use netpay_protocol::sealing::SealingKey;
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

/// The keys of this peer.
pub struct Identity {
    /// Signs grants and requests (the paper's SAK).
    pub signing: SigningKey,
    /// What paywords are sealed to (the paper's PK).
    pub sealing: SealingKey,
    /// Logs in to NATS, and signs nothing else.
    pub nats: SigningKey,
}

impl Identity {
    /// Draws new keys. Takes a moment: RSA.
    pub fn generate() -> Self {
        let rng = &mut os_rng();
        Self {
            signing: SigningKey::generate(rng),
            sealing: SealingKey::generate(SEALING_BITS, rng).expect("the size is within the limits"),
            nats: SigningKey::generate(rng),
        }
    }

    /// The id that follows from the signing key.
    pub fn peer(&self) -> PeerId {
        PeerId::of(&self.signing.public())
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
        }
    }

    /// The nkey's seed in NATS's own text form.
    pub fn nats_seed(&self) -> String {
        nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, *self.nats.seed())
            .and_then(|pair| pair.seed())
            .expect("32 bytes are an nkey's seed")
    }
}

#[cfg(test)]
impl Identity {
    /// A test's identity: its own signing key, and an RSA key that all tests of a process share, for speed.
    pub fn of_seed(seed: u8) -> Self {
        static SEALING: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let der = SEALING.get_or_init(|| Self::generate().sealing.to_der().to_vec());
        Self {
            signing: SigningKey::from_seed(&[seed; 32]),
            sealing: SealingKey::from_der(der).expect("just made"),
            nats: SigningKey::from_seed(&[seed ^ 0x80; 32]),
        }
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
