//! Sealing paywords to a peer's RSA key (the paper's M2). The only module that knows RSA.
//!
//! RSA-OAEP-SHA-256 (empty label, MGF1 with SHA-256) wraps a fresh key; ChaCha20-Poly1305 with nonce zero carries the
//! words, with tag ‖ BrokerId ‖ PeerId ‖ request id as additional data. Opening is blinded, happens only after the
//! broker's signature was verified, and has one error: RUSTSEC-2023-0071 (timing of the RSA crate) stays open, and none
//! but the pinned broker can make a peer decrypt.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand_core::CryptoRng;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Oaep, RsaPrivateKey, RsaPublicKey};
use sha2_rsa::Sha256;
use zeroize::Zeroizing;

use crate::buy::SealedPaywords;
use crate::ids::{BrokerId, EcoinId, Kid, PeerId, RequestId};
use crate::limits::{MAX_SEALING_KEY_BYTES, RSA_BITS};
use crate::suite::Payword;

/// An RSA key that may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealing key is not an RSA key of 2048 to 4096 bits with e = 65537 in canonical DER")]
pub struct BadSealingKey;

/// Sealed words that do not open. One error, whatever was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed paywords do not open with this key for this purchase")]
pub struct DoesNotOpen;

/// What is sealed of one chain: enough to make all of it.
pub type LastWord = (EcoinId, Payword);

/// A peer's public RSA key.
pub struct PublicSealingKey(RsaPublicKey);

/// A peer's private RSA key.
pub struct SealingKey(RsaPrivateKey);

/// The purchase that words are sealed for.
#[derive(Clone, Copy, Debug)]
pub struct Purchase {
    /// The broker.
    pub broker: BrokerId,
    /// The buyer.
    pub payer: PeerId,
    /// The request.
    pub request: RequestId,
}

impl Purchase {
    fn additional_data(&self) -> Vec<u8> {
        [b"p2p-netpay/v1/sealed-paywords\0".as_slice(), &self.broker.0, &self.payer.0, &self.request.0].concat()
    }
}

/// rsa 0.9 wants the previous generation's random source.
struct OldRng<'a, R>(&'a mut R);

impl<R: CryptoRng> rand_core_rsa::RngCore for OldRng<'_, R> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_rsa::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core_rsa::CryptoRng for OldRng<'_, R> {}

impl PublicSealingKey {
    /// Reads and checks a SubjectPublicKeyInfo.
    pub fn from_der(der: &[u8]) -> Result<Self, BadSealingKey> {
        if u32::try_from(der.len()).is_ok_and(|len| len > MAX_SEALING_KEY_BYTES) {
            return Err(BadSealingKey);
        }
        let key = RsaPublicKey::from_public_key_der(der).map_err(|_| BadSealingKey)?;
        let canonical = key.to_public_key_der().is_ok_and(|again| again.as_bytes() == der);
        let sound = canonical && RSA_BITS.contains(&key.n().bits()) && *key.e() == BigUint::from(65_537_u32);
        if sound { Ok(Self(key)) } else { Err(BadSealingKey) }
    }

    /// Seals the words of a purchase.
    pub fn seal(&self, kid: Kid, purchase: Purchase, words: &[LastWord], rng: &mut impl CryptoRng) -> SealedPaywords {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let mut plain = Zeroizing::new(Vec::with_capacity(words.len() * 48));
        for (ecoin, word) in words {
            plain.extend(ecoin.0);
            plain.extend(word.bytes());
        }
        let cipher = ChaCha20Poly1305::new(&Key::from(*key));
        let aad = purchase.additional_data();
        let ciphertext = cipher
            .encrypt(&Nonce::default(), Payload { msg: &plain, aad: &aad })
            .expect("a purchase's words are far below the cipher's limit");
        let wrapped_key = self
            .0
            .encrypt(&mut OldRng(rng), Oaep::new::<Sha256>(), key.as_slice())
            .expect("32 bytes fit an OAEP block of 2048 bits or more");
        let Purchase { broker, payer, request } = purchase;
        SealedPaywords { broker, kid, payer, request, wrapped_key, ciphertext }
    }
}

impl SealingKey {
    /// Draws a new key.
    pub fn generate(bits: usize, rng: &mut impl CryptoRng) -> Result<Self, BadSealingKey> {
        if !RSA_BITS.contains(&bits) {
            return Err(BadSealingKey);
        }
        RsaPrivateKey::new(&mut OldRng(rng), bits).map(Self).map_err(|_| BadSealingKey)
    }

    /// The private key in PKCS#8 DER, to be kept in a key file.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        let der = self.0.to_pkcs8_der().expect("an RSA key has a PKCS#8 form");
        Zeroizing::new(der.as_bytes().to_vec())
    }

    /// Reads a PKCS#8 private key that [`Self::to_der`] wrote. The RSA library computes the exponents and the coefficient
    /// of the remainder theorem anew, whatever the file says of them: another file of the same key is damaged.
    pub fn from_der(der: &[u8]) -> Result<Self, BadSealingKey> {
        let key = RsaPrivateKey::from_pkcs8_der(der).map(Self).map_err(|_| BadSealingKey)?;
        if key.to_der().as_slice() == der { Ok(key) } else { Err(BadSealingKey) }
    }

    /// The public key, as it is registered.
    pub fn public_der(&self) -> Vec<u8> {
        let der = self.0.to_public_key().to_public_key_der().expect("an RSA key has a SubjectPublicKeyInfo");
        der.as_bytes().to_vec()
    }

    /// Opens sealed words. Call it only on what the broker's signature was verified for.
    pub fn open(
        &self,
        purchase: Purchase,
        sealed: &SealedPaywords,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<LastWord>, DoesNotOpen> {
        let key = self
            .0
            .decrypt_blinded(&mut OldRng(rng), Oaep::new::<Sha256>(), &sealed.wrapped_key)
            .map(Zeroizing::new)
            .map_err(|_| DoesNotOpen)?;
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(key.as_slice().try_into().map_err(|_| DoesNotOpen)?);
        let aad = purchase.additional_data();
        let plain = ChaCha20Poly1305::new(&Key::from(*key))
            .decrypt(&Nonce::default(), Payload { msg: &sealed.ciphertext, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| DoesNotOpen)?;
        let (words, []) = plain.as_chunks::<48>() else {
            return Err(DoesNotOpen);
        };
        words
            .iter()
            .map(|item| {
                let (ecoin, word) = item.split_first_chunk::<16>().ok_or(DoesNotOpen)?;
                let word = word.try_into().map_err(|_| DoesNotOpen)?;
                Ok((EcoinId(*ecoin), Payword::unchecked(word)))
            })
            .collect()
    }
}
