//! Bytes sealed with a passphrase: the key file of a home, and backups.
//!
//! Argon2id makes a key of passphrase and salt, ChaCha20-Poly1305 carries the bytes. Decided so, and not the `age` format:
//! the cipher is here already and Argon2 adds six small crates, where the `age` crate calls itself a beta and brings a
//! localisation framework with it; nobody needs to read these files with another program. The layout is fixed:
//!
//! ```text
//! kind (16) ‖ memory in KiB (u32be) ‖ passes (u32be) ‖ salt (16) ‖ ciphertext and tag
//! ```
//!
//! All before the ciphertext is authenticated. The nonce is zero: the salt, and so the key, is fresh each time. A wrong
//! passphrase and a damaged file are one error after the same work. Writes no files and asks nobody.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use crate::home::identity::random_16;

const SALT_AT: usize = 24;
const HEADER: usize = 40;

/// The most work a file may ask for: what comes from elsewhere must not stop the machine.
const MOST: Work = Work { memory_kib: 1 << 18, passes: 16 };

/// A passphrase; wiped from memory on drop. Never empty.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase, if it has at least one character.
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }

    /// Whether another is the same.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// How much work it is to try one passphrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    memory_kib: u32,
    passes: u32,
}

impl Work {
    /// 64 MiB, three times over: a fraction of a second.
    pub const FULL: Self = Self { memory_kib: 1 << 16, passes: 3 };
    /// Next to none.
    #[cfg(test)]
    pub const LITTLE: Self = Self { memory_kib: 8, passes: 1 };
}

/// Why sealed bytes do not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Something else.
    #[error("this is not what it should be: no sealed file of this kind and version")]
    AnotherKind,
    /// The one or the other; nobody can tell.
    #[error("wrong passphrase, or the file is damaged")]
    DoesNotOpen,
}

/// Whether bytes say that they are sealed, of this kind.
pub fn is_sealed(kind: &[u8; 16], bytes: &[u8]) -> bool {
    bytes.starts_with(kind)
}

/// Seals.
pub fn seal(kind: &[u8; 16], passphrase: &Passphrase, work: Work, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + plain.len() + 16);
    out.extend(kind);
    out.extend(work.memory_kib.to_be_bytes());
    out.extend(work.passes.to_be_bytes());
    out.extend(random_16());
    let cipher = cipher(passphrase, work, &out[SALT_AT..]).expect("our own parameters are good");
    let sealed = cipher.encrypt(&Nonce::default(), Payload { msg: plain, aad: &out });
    out.extend(sealed.expect("far below the cipher's limit of 256 GiB"));
    out
}

/// Opens.
pub fn open(kind: &[u8; 16], passphrase: &Passphrase, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (header, sealed) = bytes.split_at_checked(HEADER).ok_or(Error::AnotherKind)?;
    let number = |at: usize| header[at..at + 4].try_into().map(u32::from_be_bytes).map_err(|_| Error::AnotherKind);
    let work = Work { memory_kib: number(16)?, passes: number(20)? };
    if !is_sealed(kind, header) || work.memory_kib > MOST.memory_kib || work.passes > MOST.passes {
        return Err(Error::AnotherKind);
    }
    let cipher = cipher(passphrase, work, &header[SALT_AT..]).ok_or(Error::AnotherKind)?;
    let plain = cipher.decrypt(&Nonce::default(), Payload { msg: sealed, aad: header });
    plain.map(Zeroizing::new).map_err(|_| Error::DoesNotOpen)
}

fn cipher(passphrase: &Passphrase, work: Work, salt: &[u8]) -> Option<ChaCha20Poly1305> {
    let params = Params::new(work.memory_kib, work.passes, 1, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut_slice()).ok()?;
    Some(ChaCha20Poly1305::new(&Key::from(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &[u8; 16] = b"netpay-test/1\0\0\0";

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned().into()).expect("not empty")
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_and_any_changed_byte_or_other_passphrase_does_not() {
        let right = passphrase("correct horse");
        let sealed = seal(KIND, &right, Work::LITTLE, b"three keys");
        assert_eq!(open(KIND, &right, &sealed).expect("opens").as_slice(), b"three keys");
        assert_eq!(open(KIND, &passphrase("correct horsf"), &sealed), Err(Error::DoesNotOpen));
        assert_eq!(open(b"netpay-else/1\0\0\0", &right, &sealed), Err(Error::AnotherKind));
        for at in 0..sealed.len() {
            // A changed work factor may ask for a lot of memory; both its ends are tested below.
            if (16..SALT_AT).contains(&at) {
                continue;
            }
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(KIND, &right, &changed).is_err(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(open(KIND, &right, &sealed[..length]).is_err(), "{length} bytes");
        }
        assert!(Passphrase::new(String::new().into()).is_none());
    }

    #[test]
    fn a_file_that_asks_for_too_much_work_is_refused_before_any_is_done() {
        let right = passphrase("x");
        let sealed = seal(KIND, &right, Work::LITTLE, b"");
        let asking = |memory_kib: u32, passes: u32| {
            let mut asking = sealed.clone();
            asking[16..20].copy_from_slice(&memory_kib.to_be_bytes());
            asking[20..24].copy_from_slice(&passes.to_be_bytes());
            open(KIND, &right, &asking).map(|_| ())
        };
        assert_eq!(asking(8, MOST.passes), Err(Error::DoesNotOpen));
        assert_eq!(asking(8, MOST.passes + 1), Err(Error::AnotherKind));
        assert_eq!(asking(MOST.memory_kib, 1), Err(Error::DoesNotOpen));
        assert_eq!(asking(MOST.memory_kib + 1, 1), Err(Error::AnotherKind));
        assert_eq!(asking(0, 0), Err(Error::AnotherKind));
    }

    #[test]
    fn the_full_work_takes_a_second_at_most_and_not_next_to_nothing() {
        let start = std::time::Instant::now();
        let sealed = seal(KIND, &passphrase("x"), Work::FULL, b"");
        let took = start.elapsed();
        assert!(took.as_millis() >= 20, "{took:?}: a passphrase could be guessed");
        assert_eq!(sealed[16..24], [0, 1, 0, 0, 0, 0, 0, 3]);
    }
}
