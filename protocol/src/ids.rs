//! Identifiers: opaque byte strings of fixed length, each a type of its own, written as lower-case hex.

use sha2::{Digest as _, Sha256};

use crate::keys::PublicKey;

/// Text that is not the hex form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits, got {got:?}")]
pub struct BadId {
    /// How many digits the identifier has.
    pub expected: usize,
    /// What was given.
    pub got: String,
}

/// Writes bytes as lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Reads exactly `N` bytes from `2 N` hex digits of either case.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], BadId> {
    let bad = || BadId { expected: 2 * N, got: text.chars().take(80).collect() };
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::ids::to_hex(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::BadId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::ids::from_hex(text).map(Self)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.bytes()?
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message(concat!("expected ", $len, " bytes")))
            }
        }
    };
}
pub(crate) use id;

id!(
    /// A broker: SHA-256("p2p-netpay/v1/broker" ‖ root key), first 16 bytes. Peers pin it.
    BrokerId, 16
);
id!(
    /// A peer: SHA-256("p2p-netpay/v1/peer" ‖ first signing key), first 16 bytes (the paper's pseudonymous IDa).
    PeerId, 16
);
id!(
    /// An e-coin (the paper's IDe): 16 bytes of the operating system's randomness.
    EcoinId, 16
);
id!(
    /// A client-made request id, scoped to the signer; for a redemption batch it is the batch id.
    RequestId, 16
);
id!(
    /// A key's short name: SHA-256(key), first 8 bytes.
    Kid, 8
);
id!(
    /// A 32-byte digest: of signed bytes, of a ledger record, of a batch.
    Digest, 32
);
id!(
    /// A piece of content: its BLAKE3 hash.
    ContentId, 32
);

fn short_hash<const N: usize>(tag: &str, key: &PublicKey) -> [u8; N] {
    let hash: [u8; 32] = Sha256::new().chain_update(tag).chain_update(key.0).finalize().into();
    hash.first_chunk::<N>().copied().expect("N is at most 32")
}

impl BrokerId {
    /// The broker whose root key this is.
    pub fn of(root: &PublicKey) -> Self {
        Self(short_hash("p2p-netpay/v1/broker", root))
    }
}

impl PeerId {
    /// Who a debt to the operator itself is owed to. No hash that anybody will find.
    pub const OPERATOR: Self = Self([0; 16]);

    /// The peer whose first signing key this is.
    pub fn of(first_key: &PublicKey) -> Self {
        Self(short_hash("p2p-netpay/v1/peer", first_key))
    }
}

impl Kid {
    /// The short name of this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(short_hash("", key))
    }
}

impl Digest {
    /// Not a digest of anything: "none" in a layout.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of the bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_from_their_text() {
        let id = EcoinId(std::array::from_fn(|i| u8::try_from(i * 16).expect("small")));
        assert_eq!(id.to_string(), "00102030405060708090a0b0c0d0e0f0");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_refused() {
        for text in ["", "00", "0010203040506070809 a0b0c0d0e0f0", "00102030405060708090a0b0c0d0e0f000", "é"] {
            assert!(text.parse::<EcoinId>().is_err(), "{text}");
        }
    }
}
