//! `manifest.json`: what a backup says of itself.
//!
//! It ends with a checksum of its own, and is good only byte for byte as this program writes it. That finds damage; whoever
//! can write a backup can write a manifest for it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use netpay_protocol::ids::{BrokerId, Digest};
use serde::{Deserialize, Serialize};

use super::files::Copied;
use crate::keys::write_whole;
use crate::store::Contents;

/// The form of backup that this program makes.
pub(super) const FORMAT: u32 = 1;
/// The folder of the ledger's files.
pub(super) const LEDGER: &str = "ledger";
const FILE: &str = "manifest.json";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Whose ledger.
    pub(super) broker: String,
    /// Of which life.
    pub(super) incarnation: u64,
    /// How many records.
    pub(super) position: u64,
    /// The hash of the last one.
    pub(super) head: String,
    /// Its time.
    pub(super) recorded_at_ms: u64,
    /// The digest of all rows.
    pub(super) digest: String,
    /// When the backup was made.
    pub(super) created_at_ms: u64,
    /// Every file of the ledger, by name.
    pub(super) files: Vec<Copied>,
    /// SHA-256 of this file with nothing between the quotes here.
    checksum: String,
}

impl Manifest {
    pub(super) fn new(broker: BrokerId, contents: &Contents, files: Vec<Copied>, created_at_ms: u64) -> Self {
        let mut manifest = Self {
            format: FORMAT,
            broker: broker.to_string(),
            incarnation: contents.incarnation,
            position: contents.head.position,
            head: contents.head.hash.to_string(),
            recorded_at_ms: contents.recorded_at_ms,
            digest: contents.digest.to_string(),
            created_at_ms,
            files,
            checksum: String::new(),
        };
        manifest.checksum = Digest::sha256(manifest.text().as_bytes()).to_string();
        manifest
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain fields have a JSON form") + "\n"
    }

    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        write_whole(&dir.join(FILE), self.text().as_bytes())
    }

    /// Reads the manifest of a backup, if it is whole.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{FILE} cannot be read"))?;
        let manifest: Self = serde_json::from_str(&text).with_context(|| format!("{FILE} is no manifest"))?;
        ensure!(manifest.format == FORMAT, "the backup has form {}, this program knows {FORMAT}", manifest.format);
        let unsigned = Self { checksum: String::new(), ..manifest.clone() };
        let checksum = Digest::sha256(unsigned.text().as_bytes()).to_string();
        ensure!(manifest.checksum == checksum && manifest.text() == text, "{FILE} was changed since it was written");
        Ok(manifest)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add)
    }

    /// Where it and a ledger's contents differ.
    pub(super) fn differs_from(&self, contents: &Contents) -> Vec<String> {
        let there = Self::new(BrokerId::default(), contents, vec![], 0);
        [
            ("incarnation", there.incarnation == self.incarnation),
            ("position", there.position == self.position),
            ("head", there.head == self.head),
            ("recorded_at_ms", there.recorded_at_ms == self.recorded_at_ms),
            ("digest", there.digest == self.digest),
        ]
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| format!("the ledger has another {what} than the manifest says"))
        .collect()
    }
}
