//! Tests of [`super`]: honest slices open, and nothing else does.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::content::chunks;

const CHUNK: usize = 131_072;
const PAIR: usize = 64;

/// Bytes without a period that a tree could fall for.
fn bytes_of(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

fn tree_of(bytes: &[u8]) -> (Tree, tempfile::NamedTempFile) {
    let file = file_of(bytes);
    (Tree::of_file(file.path()).expect("hashed"), file)
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("small")
}

const SIZES: [usize; 11] =
    [0, 1, 1_023, 1_024, 1_025, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5, 5 * CHUNK, 2 * 1024 * 1024 + 777];

#[test]
fn the_content_id_is_the_plain_blake3_hash_of_the_file() {
    for bytes in SIZES.map(bytes_of) {
        let (tree, _file) = tree_of(&bytes);
        assert_eq!(tree.content(), ContentId(blake3::hash(&bytes).into()), "{}", bytes.len());
        assert_eq!(tree.size_bytes(), size(&bytes));
    }
}

#[test]
fn every_chunk_opens_to_its_bytes_also_from_a_stored_tree() {
    for bytes in SIZES.map(bytes_of) {
        let (tree, file) = tree_of(&bytes);
        let stored = Tree::from_bytes(tree.content(), tree.size_bytes(), &tree.to_bytes());
        let stored = stored.expect("what was stored is read back");
        assert_eq!(stored, tree);
        for (i, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
            let slice = stored.slice(file.as_file(), i).expect("served");
            let opened = open_slice(tree.content(), size(&bytes), i, &slice);
            assert_eq!(opened.as_deref(), Ok(chunk), "{} {i}", bytes.len());
        }
        let past = chunks(size(&bytes));
        assert!(stored.slice(file.as_file(), past).is_err());
        for slice in [&[][..], &[0; 64]] {
            let opened = open_slice(tree.content(), size(&bytes), past, slice);
            assert_eq!(opened, Err(NotTheContent), "{}", bytes.len());
        }
    }
}

/// Says the format a second time, without the crate that makes it: pairs from the root down, then the chunk.
#[test]
fn a_slice_is_the_hash_pairs_from_the_root_down_and_then_the_chunk() {
    use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
    let bytes = bytes_of(2 * CHUNK + 5);
    let leaf = |i: usize| {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(u64::try_from(i * CHUNK).expect("small"));
        hasher.update(bytes.chunks(CHUNK).nth(i).expect("a chunk"));
        hasher.finalize_non_root()
    };
    let [a, b, c] = [0, 1, 2].map(leaf);
    let ab = merge_subtrees_non_root(&a, &b, Mode::Hash);
    assert_eq!(merge_subtrees_root(&ab, &c, Mode::Hash), blake3::hash(&bytes));
    let (tree, file) = tree_of(&bytes);
    assert_eq!(
        tree.slice(file.as_file(), 1).expect("served"),
        [&ab[..], &c, &a, &b, &bytes[CHUNK..2 * CHUNK]].concat()
    );
    assert_eq!(tree.slice(file.as_file(), 2).expect("served"), [&ab[..], &c, &bytes[2 * CHUNK..]].concat());
}

#[test]
fn a_file_that_changed_or_shrank_gives_an_error_for_the_chunks_concerned_only() {
    let bytes = bytes_of(3 * CHUNK);
    let (tree, mut file) = tree_of(&bytes);
    let mut changed = bytes.clone();
    changed[CHUNK + 7] ^= 1;
    std::fs::write(file.path(), &changed).expect("written");
    let file = file.as_file_mut();
    assert!(tree.slice(file, 0).is_ok());
    assert!(tree.slice(file, 1).is_err());
    file.set_len(size(&bytes) - 1).expect("shrunk");
    assert!(tree.slice(file, 2).is_err());
}

#[test]
fn a_damaged_stored_tree_gives_an_error_and_one_of_another_length_is_not_read() {
    let (tree, file) = tree_of(&bytes_of(3 * CHUNK));
    let mut stored = tree.to_bytes();
    for other in [&stored[1..], &[&stored[..], &[0]].concat()] {
        assert!(Tree::from_bytes(tree.content(), tree.size_bytes(), other).is_err());
    }
    assert!(Tree::from_bytes(tree.content(), u64::MAX, &stored).is_err());
    stored[0] ^= 1;
    let damaged = Tree::from_bytes(tree.content(), tree.size_bytes(), &stored).expect("right length");
    assert!(damaged.slice(file.as_file(), 0).is_err());
}

#[test]
fn a_lying_size_is_refused_without_allocating_for_it() {
    let bytes = bytes_of(CHUNK);
    let (tree, file) = tree_of(&bytes);
    let slice = tree.slice(file.as_file(), 0).expect("served");
    for lie in [MAX_CONTENT_BYTES, MAX_CONTENT_BYTES - 1, u64::MAX, 1 << 63, 1 << 61] {
        for chunk_index in [0, 1, chunks(lie) - 1, chunks(lie), u64::MAX] {
            for slice in [&slice[..], &[]] {
                assert_eq!(open_slice(tree.content(), lie, chunk_index, slice), Err(NotTheContent));
            }
        }
    }
}

#[test]
fn the_last_chunk_opens_under_the_true_size_only() {
    let bytes = bytes_of(3 * CHUNK);
    let (tree, file) = tree_of(&bytes);
    let honest: Vec<_> = (0..3).map(|i| tree.slice(file.as_file(), i).expect("served")).collect();
    let lies = (1..=8).flat_map(|n: usize| [n * CHUNK - 1, n * CHUNK, n * CHUNK + 1]).filter(|lie| *lie != bytes.len());
    for lie in lies.map(|lie| u64::try_from(lie).expect("small")) {
        for slice in &honest {
            for last in [2, chunks(lie) - 1] {
                assert_eq!(open_slice(tree.content(), lie, last, slice), Err(NotTheContent), "{lie}");
            }
        }
    }
}

#[test]
fn a_directory_a_device_or_a_file_that_is_not_there_has_no_tree() {
    assert!(Tree::of_file(Path::new("/dev/null")).is_err());
    let folder = tempfile::tempdir().expect("a folder");
    assert!(Tree::of_file(folder.path()).is_err());
    assert!(Tree::of_file(&folder.path().join("none")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_slice_with_any_byte_changed_missing_or_added_is_refused(
        whole in 0usize..5, rest in 0usize..3_000, pick: prop::sample::Index, at: prop::sample::Index, flip in 1u8..,
    ) {
        let bytes = bytes_of(whole * CHUNK + rest + 1);
        let (tree, file) = tree_of(&bytes);
        let i = u64::try_from(pick.index(whole + 1)).expect("small");
        let slice = tree.slice(file.as_file(), i).expect("served");
        let open = |slice: &[u8]| open_slice(tree.content(), size(&bytes), i, slice);
        prop_assert!(open(&slice).is_ok());
        // Somewhere, in the hash pairs at the front, and in the last byte.
        for at in [at.index(slice.len()), at.index(PAIR.min(slice.len())), slice.len() - 1] {
            let mut changed = slice.clone();
            changed[at] ^= flip;
            prop_assert_eq!(open(&changed), Err(NotTheContent));
            let mut missing = slice.clone();
            missing.remove(at);
            prop_assert_eq!(open(&missing), Err(NotTheContent));
            let mut added = slice.clone();
            added.insert(at, flip);
            prop_assert_eq!(open(&added), Err(NotTheContent));
        }
        prop_assert_eq!(open(&[&slice[..], &[flip]].concat()), Err(NotTheContent));
    }

    #[test]
    fn the_slice_of_another_chunk_or_of_another_content_is_refused(
        chunks in 2usize..6, a: prop::sample::Index, step in 1usize..5,
    ) {
        let bytes = bytes_of(chunks * CHUNK);
        let (tree, file) = tree_of(&bytes);
        let a = a.index(chunks);
        let b = (a + step.min(chunks - 1)) % chunks;
        let [a, b] = [a, b].map(|i| u64::try_from(i).expect("small"));
        let slice = tree.slice(file.as_file(), a).expect("served");
        prop_assert!(open_slice(tree.content(), size(&bytes), a, &slice).is_ok());
        prop_assert_eq!(open_slice(tree.content(), size(&bytes), b, &slice), Err(NotTheContent));
        let mut other = tree.content();
        other.0[31] ^= 1;
        prop_assert_eq!(open_slice(other, size(&bytes), a, &slice), Err(NotTheContent));
    }
}

/// The vectors are made from BLAKE3 alone, by the rule in the protocol's specification.
#[test]
fn slices_are_those_that_the_protocols_vectors_promise() {
    let text = include_str!("../../../protocol/test-data/vectors/content.json");
    let file: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert!(vectors.len() > 5);
    for v in vectors {
        let size = usize::try_from(v["size_bytes"].as_u64().expect("a size")).expect("small");
        let bytes: Vec<u8> = (0..size).map(|j| u8::try_from(j % 251).expect("small")).collect();
        let (tree, file) = tree_of(&bytes);
        assert_eq!(tree.content().to_string(), v["content"].as_str().expect("a hash"));
        for slice in v["slices"].as_array().expect("a list") {
            let index = slice["index"].as_u64().expect("an index");
            let made = tree.slice(file.as_file(), index).expect("sliced");
            assert_eq!(u64::try_from(made.len()).ok(), slice["slice_length"].as_u64(), "chunk {index} of {size}");
            let hash = blake3::hash(&made).to_hex();
            assert_eq!(hash.as_str(), slice["slice_blake3"].as_str().expect("a hash"), "chunk {index} of {size}");
        }
    }
}
