//! Signed byte layouts (DESIGN §3.4): the one place that builds and reads what is signed.
//!
//! A layout is a domain tag (`p2p-netpay/v1/<what>` ‖ 0), then its fields in order: integers big-endian, fixed byte
//! strings as they are, lists as a u32 count followed by fixed-size items. The bytes signed are the bytes that travel.
//! Every layout is canonical: one value has one encoding, and what is read is written back the same.

use crate::ids::Digest;
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};

/// Bytes that are not a layout of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another domain tag than expected.
    #[error("expected a {0} layout of version 1")]
    Tag(&'static str),
    /// Fewer bytes than the fields need.
    #[error("layout is truncated")]
    Truncated,
    /// More bytes than the fields need.
    #[error("layout has trailing bytes")]
    Trailing,
    /// A list or text longer than its limit.
    #[error("{0} is above its limit")]
    TooLong(&'static str),
    /// A field with a value that version 1 does not have.
    #[error("{0} has a value that version 1 does not know")]
    Value(&'static str),
}

/// Something with a signed byte layout.
pub trait Layout: Sized {
    /// The `<what>` of the domain tag.
    const WHAT: &'static str;

    /// Appends the fields.
    fn write(&self, w: &mut Writer);

    /// Reads the fields.
    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Tag and fields: what is signed, and what travels.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer(tag(Self::WHAT));
        self.write(&mut w);
        w.0
    }

    /// The inverse of [`Layout::to_bytes`]. Trailing bytes are an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let rest = bytes.strip_prefix(tag(Self::WHAT).as_slice()).ok_or(Malformed::Tag(Self::WHAT))?;
        let mut r = Reader(rest);
        let value = Self::read(&mut r)?;
        if r.0.is_empty() { Ok(value) } else { Err(Malformed::Trailing) }
    }

    /// SHA-256 over tag and layout, never over the signature.
    fn digest(&self) -> Digest {
        Digest::sha256(&self.to_bytes())
    }
}

fn tag(what: &str) -> Vec<u8> {
    let mut bytes = b"p2p-netpay/v1/".to_vec();
    bytes.extend(what.as_bytes());
    bytes.push(0);
    bytes
}

/// Appends fields to a layout.
pub struct Writer(Vec<u8>);

impl Writer {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    /// A byte string of fixed length.
    pub fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.0.extend(bytes);
    }

    /// A list's count; the items follow.
    pub fn count(&mut self, items: usize) {
        self.u32(u32::try_from(items).expect("lists are bounded by the limits"));
    }

    /// A list of bytes: u32 count, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }
}

/// Takes fields off a layout.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// A byte string of fixed length.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// A list of bytes of at most `limit`.
    pub fn bytes(&mut self, what: &'static str, limit: u32) -> Result<&'a [u8], Malformed> {
        let count = self.u32()?;
        if count > limit {
            return Err(Malformed::TooLong(what));
        }
        self.take(usize::try_from(count).map_err(|_| Malformed::TooLong(what))?)
    }

    /// Text of at most `limit` bytes.
    pub fn text(&mut self, what: &'static str, limit: u32) -> Result<String, Malformed> {
        let bytes = self.bytes(what, limit)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Value(what))
    }

    /// A list of at most `limit` items. Nothing is allocated for items that are not there.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        limit: u32,
        item: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()?;
        if count > limit {
            return Err(Malformed::TooLong(what));
        }
        (0..count).map(|_| item(self)).collect()
    }
}

/// A layout with a signature that nobody has checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<L> {
    /// What is (said to be) signed.
    pub content: L,
    /// Ed25519 over [`Layout::to_bytes`].
    pub signature: Signature,
}

impl<L: Layout> Signed<L> {
    /// Signs.
    pub fn new(content: L, key: &SigningKey) -> Self {
        let signature = key.sign(&content.to_bytes());
        Self { content, signature }
    }

    /// Checks the signature by the one rule (ZIP-215).
    pub fn verify(&self, key: &PublicKey) -> Result<&L, BadSignature> {
        key.verify(&self.content.to_bytes(), &self.signature)?;
        Ok(&self.content)
    }
}

impl<L: Layout, C> minicbor::Encode<C> for Signed<L> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(2)?.u8(0)?.bytes(&self.content.to_bytes())?.u8(1)?.bytes(&self.signature.0)?.ok()
    }
}

impl<'b, L: Layout, C> minicbor::Decode<'b, C> for Signed<L> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = minicbor::decode::Error::message;
        if d.map()? != Some(2) || d.u8()? != 0 {
            return Err(wrong("expected {0: layout, 1: signature}"));
        }
        let content = L::from_bytes(d.bytes()?).map_err(minicbor::decode::Error::custom)?;
        if d.u8()? != 1 {
            return Err(wrong("expected {0: layout, 1: signature}"));
        }
        let signature = d.bytes()?.try_into().map_err(|_| wrong("expected a signature of 64 bytes"))?;
        Ok(Self { content, signature: Signature(signature) })
    }
}
