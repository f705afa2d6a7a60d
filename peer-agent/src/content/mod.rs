//! Content in chunks that are verified one by one against its BLAKE3 hash (DESIGN §6).
//!
//! Apart from payment and network, so that what a chunk is can be tested on bytes alone. [`tree`] proves and checks
//! chunks, [`partial`] keeps a download in progress, `naming` ends it under a name that [`filename`] found harmless. Decides nothing about price or peers, and never
//! answers bytes that it has not verified.

pub mod filename;
pub mod folder;
mod naming;
pub mod partial;
pub mod tree;

pub use naming::{Existing, is_there};

/// The size of a chunk, in bytes; only the last of a file is shorter. A chunk is one leaf of the stored hash tree, so
/// that a slice is the 64-byte hash pairs from the root down and then the chunk itself.
pub const CHUNK_BYTES: u32 = 131_072;

/// The largest content, in bytes (2^60). Above it the arithmetic of tree positions would overflow.
pub const MAX_CONTENT_BYTES: u64 = 1 << 60;

const _: () = {
    let limits = netpay_protocol::limits::CHUNK_BYTES;
    assert!(*limits.start() <= CHUNK_BYTES && CHUNK_BYTES <= *limits.end());
    assert!(CHUNK_BYTES.is_power_of_two());
};

/// How many chunks content of this size has; an empty file has none.
pub fn chunks(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(u64::from(CHUNK_BYTES))
}

/// Where chunk `index` (from 0) lies: its offset and length in bytes, or `None` past the end.
fn place(size_bytes: u64, index: u64) -> Option<(u64, usize)> {
    let offset = index.checked_mul(u64::from(CHUNK_BYTES))?;
    let left = size_bytes.checked_sub(offset).filter(|left| *left > 0)?;
    let length = usize::try_from(left.min(u64::from(CHUNK_BYTES))).ok()?;
    Some((offset, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_lies_in_exactly_one_chunk() {
        let chunk = u64::from(CHUNK_BYTES);
        for (size, lengths) in [
            (0, vec![]),
            (1, vec![1]),
            (chunk - 1, vec![131_071]),
            (chunk, vec![131_072]),
            (chunk + 1, vec![131_072, 1]),
        ] {
            let places: Vec<_> = (0..3).map_while(|i| place(size, i)).collect();
            let expected: Vec<_> = (0..).map(|i| i * chunk).zip(lengths).collect();
            assert_eq!(places, expected, "{size}");
            assert_eq!(chunks(size), u64::try_from(expected.len()).expect("few"), "{size}");
        }
        assert_eq!(place(u64::MAX, u64::MAX), None);
    }
}
