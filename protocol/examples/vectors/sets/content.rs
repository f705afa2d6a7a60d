//! Slices: the way from a file's hash down to one chunk. Made here from BLAKE3 alone, by the rule of the specification.
//!
//! The files are `byte j = j mod 251`. Chunks are not told, only the pairs above them.

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use super::json::{Json, hex, list, object};

const CHUNK: u64 = 131_072;

fn file(size: usize) -> Vec<u8> {
    (0..size).map(|j| u8::try_from(j % 251).expect("small")).collect()
}

/// The chaining value of a subtree that is not the root.
fn value(data: &[u8], offset: u64) -> ChainingValue {
    let length = u64::try_from(data.len()).expect("small");
    if length <= CHUNK {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        hasher.update(data);
        return hasher.finalize_non_root();
    }
    let (left, right) = halves(data, offset);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

fn left(data: &[u8]) -> u64 {
    left_subtree_len(u64::try_from(data.len()).expect("small"))
}

fn halves(data: &[u8], offset: u64) -> (ChainingValue, ChainingValue) {
    let split = left(data);
    let (first, second) = data.split_at(usize::try_from(split).expect("small"));
    (value(first, offset), value(second, offset + split))
}

/// The pairs above the chunk that begins at `begin`.
fn pairs(data: &[u8], offset: u64, begin: u64) -> Vec<[u8; 64]> {
    if u64::try_from(data.len()).expect("small") <= CHUNK {
        return vec![];
    }
    let (l, r) = halves(data, offset);
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&l);
    pair[32..].copy_from_slice(&r);
    let split = left(data);
    let (first, second) = data.split_at(usize::try_from(split).expect("small"));
    let below = if begin < offset + split { pairs(first, offset, begin) } else { pairs(second, offset + split, begin) };
    [vec![pair], below].concat()
}

pub fn vectors() -> Vec<Json> {
    let mut vectors = Vec::new();
    for size in [0_usize, 1, 1_024, 1_025, 131_071, 131_072, 131_073, 262_144, 300_000, 655_361] {
        let data = file(size);
        let chunks = size.div_ceil(131_072);
        let hash = blake3::hash(&data);
        if chunks > 1 {
            let (l, r) = halves(&data, 0);
            assert_eq!(merge_subtrees_root(&l, &r, Mode::Hash), hash);
        }
        let slices = (0..chunks).map(|i| {
            let begin = i * 131_072;
            let chunk = &data[begin..size.min(begin + 131_072)];
            let pairs = pairs(&data, 0, u64::try_from(begin).expect("small"));
            let slice = [pairs.concat().as_slice(), chunk].concat();
            object! {
                "index" => u64::try_from(i).expect("small"),
                "pairs" => list(pairs.iter().map(|pair| hex(pair))),
                "chunk_length" => u64::try_from(chunk.len()).expect("small"),
                "slice_length" => u64::try_from(slice.len()).expect("small"),
                "slice_blake3" => hex(blake3::hash(&slice).as_bytes()),
            }
        });
        vectors.push(object! {
            "name" => format!("{size} bytes"),
            "why" => "byte j is j mod 251; each slice is its pairs from the root down, then its chunk's bytes",
            "size_bytes" => u64::try_from(size).expect("small"),
            "content" => hex(hash.as_bytes()),
            "slices" => list(slices),
        });
    }
    vectors
}
