//! The files of a copied ledger: copied and synced, and their hashes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use netpay_protocol::ids::to_hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copied {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

/// Says how far it is, every other second.
pub(super) struct Progress(Instant);

impl Progress {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.0.elapsed().as_secs() >= 2 {
            self.0 = Instant::now();
            eprintln!("{}", text());
        }
    }
}

/// The names in a folder, in order.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(entry.file_type()?.is_file(), "{name} is not a file");
        names.push(name);
    }
    names.sort();
    Ok(names)
}

/// Copies every file of a folder into another, synced.
pub(super) fn copy_all(from: &Path, to: &Path) -> anyhow::Result<Vec<Copied>> {
    let mut progress = Progress::start();
    let (mut copied, names) = (Vec::new(), names(from)?);
    for name in &names {
        let mut file = File::create_new(to.join(name)).with_context(|| format!("cannot write {name}"))?;
        copied.push(pass(from, name, &mut file).with_context(|| format!("cannot copy {name}"))?);
        file.sync_all()?;
        progress.say(|| format!("copied {} of {} files", copied.len(), names.len()));
    }
    Ok(copied)
}

/// What is wrong with the files of a folder.
pub(super) fn compare(folder: &Path, listed: &[Copied]) -> anyhow::Result<Vec<String>> {
    let mut progress = Progress::start();
    let mut broken = Vec::new();
    let there = names(folder)?;
    for name in there.iter().filter(|name| !listed.iter().any(|file| file.name == **name)) {
        broken.push(format!("{name} is not in the manifest"));
    }
    for (checked, file) in listed.iter().enumerate() {
        if !there.contains(&file.name) {
            broken.push(format!("{} is missing", file.name));
        } else if pass(folder, &file.name, &mut std::io::sink())? != *file {
            broken.push(format!("{} is not as it was copied", file.name));
        }
        progress.say(|| format!("checked {} of {} files", checked + 1, listed.len()));
    }
    Ok(broken)
}

/// Reads a file to its end, hashes it, and passes it on.
fn pass(folder: &Path, name: &str, to: &mut impl Write) -> anyhow::Result<Copied> {
    let (mut file, mut hash, mut size_bytes) = (File::open(folder.join(name))?, Sha256::new(), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        to.write_all(bytes)?;
        size_bytes += u64::try_from(read)?;
    }
    Ok(Copied { name: name.into(), size_bytes, sha256: to_hex(hash.finalize().as_slice()) })
}
