//! The hash tree of one file: proves a chunk to somebody who knows the file's BLAKE3 hash, and checks such a proof.
//!
//! Apart, because it alone knows the `bao-tree` crate. A slice is the Bao encoding of one chunk: hash pairs from the
//! root down, then the chunk's bytes. Never serves bytes that do not fit the tree, and never allocates by a size it
//! was told.
//!
//! A slice proves the chunk's bytes and place. It does not by itself prove the file's size, because the way down to an
//! early chunk can look the same for several sizes; **the last chunk's slice does**, for no other size has a last chunk
//! there with that hash.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use bao_tree::io::outboard::PostOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated, outboard_post_order, truncate_ranges};
use bao_tree::io::{BaoContentItem, Leaf};
use bao_tree::iter::ResponseIterRef;
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, blake3};
use netpay_protocol::ids::ContentId;

use super::{CHUNK_BYTES, MAX_CONTENT_BYTES, place};

/// Bytes that are not the slice of that chunk of that content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes are not the asked chunk of the content")]
pub struct NotTheContent;

/// 2^7 BLAKE3 chunks of 1 KiB: one [`CHUNK_BYTES`].
const GROUP: BlockSize = BlockSize::from_chunk_log(7);
/// BLAKE3 chunks in one of ours.
const GROUP_CHUNKS: u64 = 128;
const _: () = assert!(CHUNK_BYTES == 128 * 1024);

/// A file's hash tree down to our chunks: 64 bytes for every chunk but one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree(PostOrderMemOutboard<Vec<u8>>);

impl Tree {
    /// Hashes a file, reading it once from start to end. Holds one chunk and the tree in memory. A file that grows or
    /// shrinks meanwhile is an error.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        // Asked before opening, because opening a pipe waits for its other end.
        if !fs::metadata(path)?.is_file() {
            return Err(invalid("expected a regular file"));
        }
        let mut file = File::open(path)?;
        let tree = geometry(file.metadata()?.len()).ok_or_else(|| invalid("file is too large"))?;
        let mut data = Vec::new();
        let root = outboard_post_order(&mut file, tree, &mut data)?;
        if file.read(&mut [0])? != 0 {
            return Err(invalid("file grew while it was read"));
        }
        Ok(Self(PostOrderMemOutboard { root, tree, data }))
    }

    /// The content's id: its plain BLAKE3 hash.
    pub fn content(&self) -> ContentId {
        ContentId(*self.0.root.as_bytes())
    }

    /// The content's size.
    pub fn size_bytes(&self) -> u64 {
        self.0.tree.size()
    }

    /// The tree without hash and size, for storing: hash pairs in post-order.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.data.clone()
    }

    /// The inverse of [`Tree::to_bytes`]. Checks the length only: [`Tree::slice`] checks every pair that it uses.
    pub fn from_bytes(content: ContentId, size_bytes: u64, bytes: &[u8]) -> io::Result<Self> {
        let tree = geometry(size_bytes)
            .filter(|tree| u64::try_from(bytes.len()) == Ok(tree.outboard_size()))
            .ok_or_else(|| invalid("stored hash tree does not fit the content's size"))?;
        Ok(Self(PostOrderMemOutboard { root: blake3::Hash::from_bytes(content.0), tree, data: bytes.to_vec() }))
    }

    /// The slice of chunk `chunk_index` (from 0), read from `file` and verified on the way: a file that changed since
    /// it was hashed, or a damaged tree, is an error and never a wrong chunk.
    pub fn slice(&self, file: &File, chunk_index: u64) -> io::Result<Vec<u8>> {
        let ranges = ranges(self.size_bytes(), chunk_index).ok_or_else(|| invalid("content has no such chunk"))?;
        let mut slice = Vec::new();
        encode_ranges_validated(file, &self.0, &ranges, &mut slice)?;
        Ok(slice)
    }
}

/// The bytes of chunk `chunk_index` (from 0), if `slice` is exactly the slice that [`Tree::slice`] makes of it. What
/// this says about `size_bytes` is in the module's notes. Allocates about as much as `slice` has, whatever the size.
pub fn open_slice(
    content: ContentId,
    size_bytes: u64,
    chunk_index: u64,
    slice: &[u8],
) -> Result<Vec<u8>, NotTheContent> {
    let tree = geometry(size_bytes).ok_or(NotTheContent)?;
    let ranges = ranges(size_bytes, chunk_index).ok_or(NotTheContent)?;
    let (_, length) = place(size_bytes, chunk_index).ok_or(NotTheContent)?;
    // The geometry alone says how long the slice is; any other length ends here, before anything is allocated.
    let expected: usize =
        ResponseIterRef::new(tree, truncate_ranges(&ranges, size_bytes)).map(|item| item.size()).sum();
    if slice.len() != expected {
        return Err(NotTheContent);
    }
    let root = blake3::Hash::from_bytes(content.0);
    let mut chunk = Vec::with_capacity(length);
    let buffer = bytes::BytesMut::with_capacity(length);
    for item in DecodeResponseIter::new_with_buffer(root, tree, slice, &ranges, buffer) {
        if let BaoContentItem::Leaf(Leaf { data, .. }) = item.map_err(|_| NotTheContent)? {
            chunk.extend_from_slice(&data);
        }
    }
    // So it is for every slice that gets here; but whatever the decoder does, no short chunk is answered.
    if chunk.len() == length { Ok(chunk) } else { Err(NotTheContent) }
}

fn geometry(size_bytes: u64) -> Option<BaoTree> {
    (size_bytes <= MAX_CONTENT_BYTES).then(|| BaoTree::new(size_bytes, GROUP))
}

/// The BLAKE3 chunks of one of our chunks, or `None` past the end.
fn ranges(size_bytes: u64, chunk_index: u64) -> Option<ChunkRanges> {
    place(size_bytes, chunk_index)?;
    let first = chunk_index.checked_mul(GROUP_CHUNKS)?;
    let end = first.checked_add(GROUP_CHUNKS)?;
    Some(ChunkRanges::from(ChunkNum(first)..ChunkNum(end)))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
