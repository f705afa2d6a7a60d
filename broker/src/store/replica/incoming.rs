//! A whole ledger that another node sends, and that takes the place of the present one.
//!
//! It comes into a generation of its own beside the present ledger, chunk by chunk, each file synced when its hash was
//! found right. In the end all of it is read: it must be the ledger that its manifest says, with a log that follows from
//! its first record, and it must go on from ours: a node never gives its history up for another one. Only then the pointer
//! moves. Memory does not grow with the ledger.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use netpay_crash_point::replica::Point;
use netpay_ledger::load;
use netpay_ledger::record::hash;
use netpay_protocol::redemption::Head;

use super::manifest::Manifest;
use super::snapshot::{CHUNK_BYTES, Chunk, Place, Scratch};
use super::{Replica, pointer};
use crate::ports::State;
use crate::store::{Contents, OpenError, Store};

/// Why a ledger was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came is not what it should be: begin again. The present ledger stands.
    #[error("snapshot refused: {0}")]
    Refused(String),
    /// Not the history that this node has. Somebody has to look.
    #[error(
        "snapshot refused: it ends at position {theirs}, and does not hold record {ours} as this node does: two histories; \
         compare with `netpay-broker ledger audit` on both nodes"
    )]
    Forked {
        /// Where this node's log ends.
        ours: u64,
        /// Where the snapshot's does.
        theirs: u64,
    },
    /// The storage failed. The caller stops the process.
    #[error("snapshot cannot be received: {0}")]
    Failed(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused(why.into()))
}

/// A ledger on its way. Dropped, it leaves nothing.
pub struct Incoming {
    dir: Scratch,
    manifest: Manifest,
    /// The file that is being written.
    file: Option<(File, blake3::Hasher)>,
    at: Place,
    /// Once all that came was read.
    verified: bool,
}

impl Incoming {
    /// Where the next chunk must begin.
    pub fn expects(&self) -> Place {
        self.at
    }

    /// What is to come.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes the next chunk. One that is not the next is refused, and the next can still come; after a file that is not
    /// what the manifest says nothing more is taken.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let (Some(listed), Some((file, hash))) = (self.manifest.files.get(self.at.file), &mut self.file) else {
            return refused("nothing more is expected");
        };
        if chunk.place != self.at {
            let Place { file, offset } = self.at;
            return refused(format!("expected byte {offset} of file {file}, got {:?}", chunk.place));
        }
        if chunk.bytes.is_empty() || chunk.bytes.len() > CHUNK_BYTES {
            return refused(format!("a chunk has 1 to {CHUNK_BYTES} bytes, this one {}", chunk.bytes.len()));
        }
        let end = u64::try_from(chunk.bytes.len()).ok().and_then(|len| self.at.offset.checked_add(len));
        let Some(end) = end.filter(|end| *end <= listed.size_bytes) else {
            return refused(format!("{} has {} bytes, and more came", listed.name, listed.size_bytes));
        };
        file.write_all(&chunk.bytes)?;
        hash.update(&chunk.bytes);
        self.at.offset = end;
        if end < listed.size_bytes {
            return Ok(());
        }
        self.end_file()?;
        self.begin_file()
    }

    /// Begins the next file that has bytes; those that have none are done at once.
    fn begin_file(&mut self) -> Result<(), Error> {
        while let Some(listed) = self.manifest.files.get(self.at.file) {
            self.file = Some((File::create_new(self.dir.0.join(&listed.name))?, blake3::Hasher::new()));
            Point::FileBegun.reached();
            if listed.size_bytes > 0 {
                break;
            }
            self.end_file()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Error> {
        let (Some(listed), Some((file, hash))) = (self.manifest.files.get(self.at.file), self.file.take()) else {
            return Ok(());
        };
        if hash.finalize() != listed.hash.0 {
            return refused(format!("{} is not what the manifest says", listed.name));
        }
        file.sync_all()?;
        Point::FileDone.reached();
        self.at = Place { file: self.at.file + 1, offset: 0 };
        Ok(())
    }

    /// Reads all that came: whether it is the ledger that the manifest says. Minutes for a large one.
    pub fn verify(&mut self) -> Result<(), Error> {
        if self.verified {
            return Ok(());
        }
        let (Place { file, offset }, files) = (self.at, self.manifest.files.len());
        if file < files {
            return refused(format!("it ends at byte {offset} of file {file}, there are {files} files"));
        }
        File::open(&self.dir.0)?.sync_all()?;
        let store = match Store::open_member_read_only(&self.dir.0) {
            Err(error @ OpenError::DiskFull(_)) => return Err(Error::Failed(error.to_string())),
            Err(error) => return refused(error.to_string()),
            Ok(store) => store,
        };
        let found = match Contents::read(&store, &mut |_| {}) {
            Err(error) => return refused(format!("{error:#}")),
            Ok(found) => found,
        };
        let progress = store.progress().map_err(|error| Error::Refused(error.to_string()))?;
        let mut wrong = found.broken;
        for (what, same) in [
            ("head", found.head == self.manifest.head),
            ("digest", found.digest == self.manifest.digest),
            ("progress", progress == self.manifest.progress),
        ] {
            if !same {
                wrong.push(format!("the ledger has another {what} than the manifest says"));
            }
        }
        if !wrong.is_empty() {
            return refused(wrong.join("; "));
        }
        self.verified = true;
        Ok(())
    }
}

/// A node keeps its history: the ledger that came must hold its last record.
fn ensure_goes_on(came: &Store, ours: Head, theirs: Head) -> Result<(), Error> {
    let record = came.record(ours.position).map_err(|error| Error::Refused(error.to_string()))?;
    if ours.position == 0 || record.is_some_and(|bytes| hash(&bytes) == ours.hash) {
        return Ok(());
    }
    Err(Error::Forked { ours: ours.position, theirs: theirs.position })
}

impl Replica {
    /// Begins to receive the ledger that this manifest describes.
    pub fn receive(&self, manifest: &[u8]) -> Result<Incoming, Error> {
        let manifest = Manifest::read(manifest).map_err(Error::Refused)?;
        let dir = Scratch(pointer::begin(&self.ledger)?);
        Point::ReceiveBegun.reached();
        let mut incoming = Incoming { dir, manifest, file: None, at: Place::default(), verified: false };
        incoming.begin_file()?;
        Ok(incoming)
    }

    /// Puts a ledger that came whole in the place of the present one; one that nobody verified is verified first. Answers
    /// its head. Nothing is applied meanwhile, and whoever reads goes on. What is refused leaves the present ledger as it is.
    pub fn install(&self, mut incoming: Incoming) -> Result<Head, Error> {
        incoming.verify()?;
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let _alone = self.alone();
        let present = self.store();
        let state: &dyn State = &*present;
        let new = Store::open(&incoming.dir.0).map_err(|error| failed(&error))?;
        let ours = load::totals(&state).map_err(|error| failed(&error))?.head;
        ensure_goes_on(&new, ours, incoming.manifest.head)?;
        Point::Checked.reached();
        let Incoming { dir, manifest, .. } = incoming;
        pointer::mark_unneeded(&present.home.path)?;
        Point::OldMarked.reached();
        // From here on it may be the ledger that the pointer names: it is not removed whatever happens.
        pointer::switch(&self.ledger, &dir.keep())?;
        pointer::unmark(&new.home.path)?;
        let mut place = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, Arc::new(new));
        drop(place);
        old.home.unneeded.store(true, Ordering::Release);
        Ok(manifest.head)
    }
}
