//! A download in progress: `<target>.part` holds the chunks, `<target>.part.state` says which.
//!
//! Apart from [`super::tree`], which knows nothing of disks that lose power. The state has one 32-byte seal for each
//! chunk, a hash over content id, size, chunk index and the chunk's bytes, or zeros. Opening reads the chunks back and
//! believes a seal only if the bytes on disk make it. That is why nothing depends on the order in which the system
//! writes the two files: a crash, a torn write, a stale state or bit rot loses a chunk, and none is claimed that is not
//! there. It costs one reading of what was downloaded, once per resumption. Never replaces a file unless told to.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bao_tree::io::sync::{ReadAt as _, WriteAt as _};
use netpay_crash_point::agent::Point;
use netpay_protocol::ids::ContentId;

use super::naming::{self, Existing};
use super::{CHUNK_BYTES, MAX_CONTENT_BYTES, chunks, place};

/// Why a download cannot go on or be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process is downloading to the same target.
    #[error("{0} is being downloaded by another process")]
    Busy(PathBuf),
    /// Larger than content can be.
    #[error("content of {0} bytes is too large")]
    TooLarge(u64),
    /// Not a chunk of this content by its length alone.
    #[error("chunk {index} cannot have {got} bytes")]
    NotAChunk {
        /// Which chunk was to be written.
        index: u64,
        /// How many bytes were given for it.
        got: usize,
    },
    /// Chunks are missing.
    #[error("{0} chunks are missing")]
    Incomplete(u64),
    /// All chunks are there, yet the whole is not the content. Open again: what still fits its seal is kept.
    #[error("downloaded file does not have the content's hash")]
    NotTheContent,
    /// Chunks that were verified show that the content is not so large, or larger.
    #[error("{0} bytes are claimed for the content, and verified chunks of it show that it has not that size")]
    NotTheSize(u64),
    /// Something else has the name of the unfinished download.
    #[error("{0} is there and is no unfinished download: move it away, or save elsewhere with -o")]
    NotOurs(PathBuf),
    /// The target is there and is another file.
    #[error("{0} exists and is another file")]
    TargetExists(PathBuf),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A download in progress, locked against other processes.
#[derive(Debug)]
pub struct Partial {
    target: PathBuf,
    content: ContentId,
    size_bytes: u64,
    data: File,
    state: File,
    held: BTreeSet<u64>,
}

impl Partial {
    /// Begins or resumes the download of `content` to `target`. Leftovers of other content or size count as nothing.
    pub fn open(target: &Path, content: ContentId, size_bytes: u64) -> Result<Self, Error> {
        if size_bytes > MAX_CONTENT_BYTES {
            return Err(Error::TooLarge(size_bytes));
        }
        let (part, state) = (beside(target, ".part"), beside(target, ".part.state"));
        let found = [&part, &state].map(|path| std::fs::symlink_metadata(path).ok());
        // What a person put there is not ours to overwrite, and a link may lead anywhere.
        if let [Some(part_is), state_is] = &found
            && (!part_is.is_file() || (part_is.len() > 0 && state_is.is_none()))
        {
            return Err(Error::NotOurs(part));
        }
        if found[1].as_ref().is_some_and(|state| !state.is_file()) {
            return Err(Error::NotOurs(state));
        }
        let data = open_file(&part)?;
        data.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy(target.to_owned()),
            TryLockError::Error(error) => error.into(),
        })?;
        // The one who held it may have finished it meanwhile, or removed it: then this is no file of ours to write to.
        if std::fs::symlink_metadata(&part).map(|there| there.ino()).ok() != Some(data.metadata()?.ino()) {
            return Err(Error::Busy(target.to_owned()));
        }
        let state = open_file(&state)?;
        let mut partial = Self { target: target.to_owned(), content, size_bytes, data, state, held: BTreeSet::new() };
        partial.held = partial.sealed()?;
        Ok(partial)
    }

    /// The size that the content is taken to have.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes the content to have another size: what one supplier says of it, only the last chunk proves. Chunks that
    /// were verified stay; a size that they contradict is refused.
    pub fn resize(&mut self, size_bytes: u64) -> Result<(), Error> {
        if size_bytes == self.size_bytes {
            return Ok(());
        }
        let last = chunks(self.size_bytes).checked_sub(1);
        let is_proven = last.is_none_or(|last| self.has(last));
        let fits = |index: &u64| place(size_bytes, *index) == place(self.size_bytes, *index);
        if size_bytes > MAX_CONTENT_BYTES || is_proven || !self.held.iter().all(fits) {
            return Err(Error::NotTheSize(size_bytes));
        }
        self.size_bytes = size_bytes;
        for index in &self.held {
            let (offset, length) = place(size_bytes, *index).expect("it fits, see above");
            let mut bytes = vec![0; length];
            self.data.read_exact_at(offset, &mut bytes)?;
            self.state.write_all_at(seal_offset(*index), &self.seal(*index, &bytes))?;
        }
        Ok(())
    }

    /// Whether chunk `index` is on disk.
    pub fn has(&self, index: u64) -> bool {
        self.held.contains(&index)
    }

    /// How many chunks are on disk.
    pub fn held(&self) -> u64 {
        u64::try_from(self.held.len()).expect("a count fits 64 bits")
    }

    /// The chunks that are not, in ascending order, from `first` on.
    pub fn missing(&self, first: u64) -> impl Iterator<Item = u64> + '_ {
        (first..chunks(self.size_bytes)).filter(|index| !self.has(*index))
    }

    /// The first stretch of chunks that are not: where it begins, and how many they are.
    pub fn first_gap(&self) -> Option<(u64, u64)> {
        let first = self.missing(0).next()?;
        let end = self.held.range(first..).next().copied().unwrap_or(chunks(self.size_bytes));
        Some((first, end - first))
    }

    /// Keeps chunk `index`, which [`super::tree::open_slice`] has verified. A chunk held already is left alone.
    pub fn write(&mut self, index: u64, bytes: &[u8]) -> Result<(), Error> {
        let (offset, _) = place(self.size_bytes, index)
            .filter(|(_, length)| *length == bytes.len())
            .ok_or(Error::NotAChunk { index, got: bytes.len() })?;
        if self.has(index) {
            return Ok(());
        }
        let seal = self.seal(index, bytes);
        self.data.write_all_at(offset, bytes)?;
        Point::ChunkWritten.reached();
        self.state.write_all_at(seal_offset(index), &seal)?;
        Point::ChunkSealed.reached();
        self.held.insert(index);
        Ok(())
    }

    /// Makes what was written survive a loss of power (a killed process loses nothing anyway).
    pub fn sync(&self) -> io::Result<()> {
        self.data.sync_data()?;
        self.state.sync_data()
    }

    /// Leaves it for later. Nothing stays on disk of a download that never had anything.
    pub fn leave(self) -> io::Result<()> {
        if self.data.metadata()?.len() > 0 || self.state.metadata()?.len() > 0 {
            return self.sync();
        }
        naming::remove_if_there(&beside(&self.target, ".part.state"))?;
        naming::remove_if_there(&beside(&self.target, ".part"))
    }

    /// Verifies the whole, makes it durable and gives it its name. With [`Existing::Keep`] a target that is there
    /// already is success if it has the content (a crash may have come between name and tidying up). After an error
    /// open again.
    pub fn finish(mut self, existing: Existing) -> Result<(), Error> {
        let missing = chunks(self.size_bytes) - self.held();
        if missing > 0 {
            return Err(Error::Incomplete(missing));
        }
        self.data.set_len(self.size_bytes)?;
        if !naming::is_content(&self.data, self.content)? {
            // Nothing says which chunk is wrong if all fit their seals: then somebody wrote what was not verified.
            if self.sealed()? == self.held {
                self.state.set_len(0)?;
            }
            return Err(Error::NotTheContent);
        }
        self.data.sync_all()?;
        Point::FileSynced.reached();
        let part = beside(&self.target, ".part");
        naming::give(&part, &self.target, self.content, existing)?;
        naming::remove_if_there(&beside(&self.target, ".part.state"))?;
        Point::FileTidied.reached();
        Ok(())
    }

    /// The chunks whose bytes on disk make the seal in the state.
    fn sealed(&mut self) -> io::Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        io::Seek::rewind(&mut self.state)?;
        let mut seals = BufReader::new(&self.state);
        let mut buffer = vec![0; usize::try_from(CHUNK_BYTES).expect("u32 fits usize")];
        for index in 0..chunks(self.size_bytes) {
            let mut seal = [0; 32];
            match seals.read_exact(&mut seal) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                other => other?,
            }
            if seal == [0; 32] {
                continue;
            }
            let (offset, length) = place(self.size_bytes, index).expect("index is below the count");
            let bytes = &mut buffer[..length];
            match self.data.read_exact_at(offset, bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                other => other?,
            }
            if self.seal(index, bytes) == seal {
                found.insert(index);
            }
        }
        Ok(found)
    }

    fn seal(&self, index: u64, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("p2p-netpay/v1 chunk of a partial download");
        hasher.update(&self.content.0);
        hasher.update(&self.size_bytes.to_be_bytes());
        hasher.update(&index.to_be_bytes());
        hasher.update(bytes);
        hasher.finalize().into()
    }
}

fn seal_offset(index: u64) -> u64 {
    index.checked_mul(32).expect("chunk indexes are below 2^60 / 2^17")
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// `<target><ending>`, in the same folder, so that renaming is atomic.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
