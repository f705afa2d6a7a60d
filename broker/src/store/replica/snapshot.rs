//! A whole ledger to be sent to another node: RocksDB's checkpoint beside the ledger, and what is in it.
//!
//! Making one reads it whole, to hash it: minutes for a large ledger, on a thread that may wait. What is applied meanwhile
//! goes on, and is not in it. It lasts as long as somebody holds it, and no longer than the process: the tables it shares
//! with the ledger keep their room on the disk until then.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netpay_protocol::ids::Digest;
use rocksdb::checkpoint::Checkpoint;

use super::manifest::{Listed, Manifest};
use super::{Replica, pointer, said};
use crate::ports::state::{StateError, scan};
use crate::store::Store;

/// The most bytes of a chunk.
pub const CHUNK_BYTES: usize = 512 << 10;

/// A directory that is removed when nobody holds it any more.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// Keeps it for good.
    pub(super) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// See the module.
pub struct Snapshot {
    dir: Scratch,
    manifest: Manifest,
}

/// A place in a snapshot: the file, by its place in the manifest, and the byte in it. In order of sending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    /// Which file.
    pub file: usize,
    /// Which byte.
    pub offset: u64,
}

/// A piece of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Where its first byte belongs.
    pub place: Place,
    /// At least one byte, at most [`CHUNK_BYTES`].
    pub bytes: Vec<u8>,
}

impl Replica {
    /// Makes a snapshot of what is applied. Everything that is in it is durable in the ledger itself, too, when this
    /// returns: the cluster's log is not needed any more up to the manifest's progress.
    pub fn checkpoint(&self) -> Result<Snapshot, StateError> {
        let dir = Scratch(pointer::snapshot(&self.ledger, self.snapshots.fetch_add(1, Ordering::AcqRel)));
        Checkpoint::new(&self.store().db).map_err(said)?.create_checkpoint(&dir.0).map_err(said)?;
        self.sync()?;
        let copy = Store::open_member_read_only(&dir.0).map_err(|error| StateError(error.to_string()))?;
        let found = scan(&copy)?;
        if !found.broken.is_empty() {
            return Err(StateError(format!("the ledger is not in order: {}", found.broken.join("; "))));
        }
        let files = list(&dir.0).map_err(|error| StateError(format!("the snapshot cannot be read: {error}")))?;
        let (head, digest) = (found.totals.head, found.digest);
        let manifest = Manifest { head, digest, progress: copy.progress()?, files };
        Ok(Snapshot { dir, manifest })
    }
}

/// Every file of a directory, with its hash.
fn list(dir: &Path) -> std::io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mut hash = blake3::Hasher::new();
        hash.update_reader(File::open(entry.path())?)?;
        files.push(Listed {
            name: entry.file_name().to_string_lossy().into_owned(),
            size_bytes: hash.count(),
            hash: Digest(*hash.finalize().as_bytes()),
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

impl Snapshot {
    /// What is in it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads it from this place on, which a chunk began with or the last one ended at.
    pub fn reader(self: &Arc<Self>, from: Place) -> Reader {
        Reader { snapshot: Arc::clone(self), at: from, open: None }
    }
}

/// Reads a snapshot chunk by chunk.
pub struct Reader {
    snapshot: Arc<Snapshot>,
    at: Place,
    open: Option<File>,
}

impl Reader {
    /// The next chunk; `None` after the last.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, StateError> {
        let snapshot = Arc::clone(&self.snapshot);
        while let Some(file) = snapshot.manifest.files.get(self.at.file) {
            let left = file.size_bytes.saturating_sub(self.at.offset);
            if left == 0 {
                (self.at, self.open) = (Place { file: self.at.file + 1, offset: 0 }, None);
                continue;
            }
            let failed = |error| StateError(format!("{} of a snapshot cannot be read: {error}", file.name));
            let bytes = self.read(&file.name, left).map_err(failed)?;
            let place = self.at;
            self.at.offset += u64::try_from(bytes.len()).unwrap_or(left);
            return Ok(Some(Chunk { place, bytes }));
        }
        Ok(None)
    }

    fn read(&mut self, name: &str, left: u64) -> std::io::Result<Vec<u8>> {
        if self.open.is_none() {
            let mut file = File::open(self.snapshot.dir.0.join(name))?;
            file.seek(SeekFrom::Start(self.at.offset))?;
            self.open = Some(file);
        }
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)];
        self.open.as_mut().expect("opened above").read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
