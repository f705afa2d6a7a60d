//! Ed25519 keys (RFC 8032), verified by one rule everywhere: ZIP-215.
//!
//! Other rules disagree with their own batch checks on crafted signatures; a payer could then pay with a grant that one
//! party accepts and another calls forged.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::Signer as _;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::ids::id;

id!(
    /// An Ed25519 public key, in its 32 bytes. Nothing is known about it until something verifies.
    PublicKey, 32
);

/// An Ed25519 signature, in its 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({})", crate::ids::to_hex(&self.0))
    }
}

impl<C> minicbor::Encode<C> for Signature {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Signature {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map(Self)
            .map_err(|_| minicbor::decode::Error::message("expected a signature of 64 bytes"))
    }
}

/// A signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

/// A public key that may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signing key is not a canonical point of prime order")]
pub struct BadKey;

impl PublicKey {
    /// Verifies by ZIP-215.
    pub fn verify(&self, bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        ed25519_zebra::VerificationKey::try_from(self.0)
            .and_then(|key| key.verify(&ed25519_zebra::Signature::from(signature.0), bytes))
            .map_err(|_| BadSignature)
    }

    /// Whether a peer may register or rotate to this key: a canonical encoding of a torsion-free point that is not the
    /// identity. ZIP-215 itself would accept others, under which one signature can fit many messages.
    pub fn check_registrable(&self) -> Result<(), BadKey> {
        let point = CompressedEdwardsY(self.0).decompress().ok_or(BadKey)?;
        let sound = point.compress().0 == self.0 && point.is_torsion_free() && !point.is_small_order();
        if sound { Ok(()) } else { Err(BadKey) }
    }
}

/// An Ed25519 signing key; wiped from memory on drop.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(&seed)
    }

    /// The key with this 32-byte seed (RFC 8032's private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, to be kept in a key file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_for_its_message_and_key_only() {
        let (key, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let signature = key.sign(b"a");
        assert_eq!(key.public().verify(b"a", &signature), Ok(()));
        assert_eq!(key.public().verify(b"b", &signature), Err(BadSignature));
        assert_eq!(other.public().verify(b"a", &signature), Err(BadSignature));
    }

    #[test]
    fn identity_small_order_torsion_and_non_canonical_keys_cannot_be_registered() {
        let sound = SigningKey::from_seed(&[1; 32]).public();
        assert_eq!(sound.check_registrable(), Ok(()));
        let mut identity = [0; 32];
        identity[0] = 1;
        let order_four = [0; 32];
        let mut non_canonical = [0xff; 32];
        non_canonical[0] = 0xee; // p + 1, that is y = 1 written the long way
        non_canonical[31] = 0x7f;
        let with_torsion = {
            let point = CompressedEdwardsY(sound.0).decompress().expect("a point");
            (point + curve25519_dalek::constants::EIGHT_TORSION[1]).compress().0
        };
        for bytes in [identity, order_four, non_canonical, with_torsion] {
            assert_eq!(PublicKey(bytes).check_registrable(), Err(BadKey));
        }
    }
}
