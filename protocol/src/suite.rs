//! The two hash suites (DESIGN §3.4) and the payword itself.
//!
//! `md5` is the paper's: to reproduce it, value-capped by the broker, never under a signature. `sha256` is the default:
//! each step is bound to its e-coin and position, so that a word is worth nothing on any other chain.

use std::fmt;
use std::str::FromStr;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::amounts::PaywordIndex;
use crate::ids::{EcoinId, to_hex};
use crate::layout::Malformed;

/// A hash suite.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Suite {
    /// W(i−1) = MD5(W(i)), over 16 raw bytes.
    #[n(1)]
    Md5,
    /// W(i−1) = SHA-256(0x01 ‖ IDe ‖ u32be(i) ‖ W(i)), over 32-byte words.
    #[n(2)]
    Sha256,
}

/// One link of a payword chain. Always 32 bytes; an `md5` word is 16 bytes, padded with zeros on the right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payword([u8; 32]);

impl Suite {
    /// The suite's number in layouts: md5 = 1, sha256 = 2.
    pub fn number(self) -> u8 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    /// The suite with this number.
    pub fn from_number(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::Md5),
            2 => Ok(Self::Sha256),
            _ => Err(Malformed::Value("suite")),
        }
    }

    /// How many bytes of a word carry information.
    pub fn word_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }

    /// W(i−1) from W(i). `i` is at least 1.
    pub fn step(self, ecoin: &EcoinId, i: PaywordIndex, word: &Payword) -> Payword {
        match self {
            Self::Md5 => {
                let mut out = [0; 32];
                out[..16].copy_from_slice(&Md5::digest(&word.0[..16]));
                Payword(out)
            }
            Self::Sha256 => {
                // 53 bytes: one compression.
                let mut block = [0; 53];
                block[0] = 1;
                block[1..17].copy_from_slice(&ecoin.0);
                block[17..21].copy_from_slice(&i.0.to_be_bytes());
                block[21..].copy_from_slice(&word.0);
                Payword(Sha256::digest(block).into())
            }
        }
    }

    /// A word of this suite from its 32 bytes in a layout; refuses padding other than zeros.
    pub fn word(self, bytes: [u8; 32]) -> Result<Payword, Malformed> {
        if bytes[self.word_len()..].iter().any(|b| *b != 0) {
            return Err(Malformed::Value("payword padding"));
        }
        Ok(Payword(bytes))
    }

    /// A word in text: 32 hex digits for `md5` (the paper's form), 64 for `sha256`.
    pub fn show(self, word: &Payword) -> String {
        to_hex(&word.0[..self.word_len()])
    }
}

impl Payword {
    /// The 32 bytes that stand in a layout.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A word as it stands in a layout whose suite is not known yet. [`crate::chain::reaches_root`] refuses it if its
    /// padding does not fit the suite of the chain it is held against.
    pub fn unchecked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Payword {
    /// A word is money: its debug form shows that there is one, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payword(…)")
    }
}

impl<C> minicbor::Encode<C> for Payword {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Payword {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes =
            d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("expected a word of 32 bytes"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
        })
    }
}

impl FromStr for Suite {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "md5" => Ok(Self::Md5),
            "sha256" => Ok(Self::Sha256),
            _ => Err(format!("expected md5 or sha256, got {:?}", text.chars().take(16).collect::<String>())),
        }
    }
}
