//! What holds for every decoder and any bytes. The tests here and the fuzz targets in `fuzz/` run this very code.
//!
//! No panic, no memory beyond a small multiple of the input, one encoding per value, and no bytes that are two kinds of
//! signed layout: a signature on one would be a signature on the other.

use netpay_protocol::layout::Layout;

/// A decoder, and valid bytes to start from.
pub struct Decoder {
    /// Which.
    pub name: &'static str,
    /// Reads, and writes again what was read; `None` if it was refused.
    pub rewrite: fn(&[u8]) -> Option<Vec<u8>>,
    /// Bytes that it reads.
    pub samples: Vec<Vec<u8>>,
    /// Whether it reads signed layouts.
    pub signed_layout: bool,
    /// What it may allocate for any input. RSA's arithmetic needs more than reading does.
    pub memory_bytes: usize,
    /// How many times as long as the others it takes: it is tried so much less often.
    pub cost: u32,
}

/// What a decoder may have allocated at one time, for each byte of its input. The most that was seen is 6.4, for a page
/// of the smallest payouts: while a list grows, its old copy counts, too.
pub const MEMORY_FACTOR: usize = 8;
/// What it may allocate for any input, as for the text of an error. The most that was seen is 200.
pub const MEMORY_BYTES: usize = 512;

/// Runs one decoder on these bytes and checks what must hold. Returns whether they were read.
pub fn check(decoder: &Decoder, bytes: &[u8]) -> bool {
    let mut rewritten = None;
    let used = allocation_counter::measure(|| rewritten = (decoder.rewrite)(bytes)).bytes_max;
    let most = decoder.memory_bytes + MEMORY_FACTOR * bytes.len();
    let name = decoder.name;
    assert!(
        usize::try_from(used).is_ok_and(|used| used <= most),
        "{name} allocated {used} bytes for {} bytes of input, {most} are allowed",
        bytes.len()
    );
    if let Some(again) = &rewritten {
        assert!(again == bytes, "{name} read bytes that it writes otherwise");
    }
    rewritten.is_some()
}

/// At most one kind of signed layout is read from any bytes.
pub fn check_one_kind(decoders: &[Decoder], bytes: &[u8]) {
    let readers = decoders.iter().filter(|decoder| decoder.signed_layout);
    let kinds: Vec<_> = readers.filter(|decoder| (decoder.rewrite)(bytes).is_some()).map(|each| each.name).collect();
    assert!(kinds.len() <= 1, "the same bytes are {kinds:?}");
}

/// A signed layout.
pub fn layout<L: Layout>(name: &'static str, samples: &[L]) -> Decoder {
    Decoder {
        name,
        rewrite: |bytes| L::from_bytes(bytes).ok().map(|value| value.to_bytes()),
        samples: samples.iter().map(Layout::to_bytes).collect(),
        signed_layout: true,
        memory_bytes: MEMORY_BYTES,
        cost: 1,
    }
}

/// A message in CBOR.
pub fn message<T>(name: &'static str, samples: &[T]) -> Decoder
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    Decoder {
        name,
        rewrite: |bytes| {
            netpay_protocol::wire::decode::<T>(bytes).ok().map(|value| netpay_protocol::wire::encode(&value))
        },
        samples: samples.iter().map(netpay_protocol::wire::encode).collect(),
        signed_layout: false,
        memory_bytes: MEMORY_BYTES,
        cost: 1,
    }
}

/// Something with a form in text. Hex is read in either case; what is written is lower case.
pub fn text<T: std::str::FromStr + std::fmt::Display>(name: &'static str, samples: &[T]) -> Decoder {
    Decoder {
        name,
        rewrite: |bytes| {
            let text = str::from_utf8(bytes).ok()?;
            let value: T = text.parse().ok()?;
            assert_eq!(value.to_string(), text.to_ascii_lowercase());
            Some(bytes.to_vec())
        },
        samples: samples.iter().map(|value| value.to_string().into_bytes()).collect(),
        signed_layout: false,
        memory_bytes: MEMORY_BYTES,
        cost: 1,
    }
}

/// Anything else, by a function of its own.
pub fn other(name: &'static str, rewrite: fn(&[u8]) -> Option<Vec<u8>>, samples: Vec<Vec<u8>>) -> Decoder {
    Decoder { name, rewrite, samples, signed_layout: false, memory_bytes: MEMORY_BYTES, cost: 1 }
}
