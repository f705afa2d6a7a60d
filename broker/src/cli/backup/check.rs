//! Reading all of a backup: what is in it, and whether that is what its manifest says. Changes nothing.

use std::path::Path;

use anyhow::{Context as _, ensure};
use netpay_ledger::load;
use netpay_ledger::record::hash;
use netpay_protocol::redemption::Head;
use serde_json::{Value, json};

use super::files::{self, Progress};
use super::manifest::{LEDGER, Manifest};
use super::{NotGood, Said};
use crate::cli::NotFound;
use crate::ports::State;
use crate::store::{Contents, Store};

/// What a copied ledger holds.
pub(super) fn contents(ledger: &Path) -> anyhow::Result<Contents> {
    let mut progress = Progress::start();
    Contents::read(&Store::open_read_only(ledger)?, &mut |position| {
        progress.say(|| format!("checked {position} records"));
    })
}

pub(super) fn ensure_whole(contents: &Contents) -> anyhow::Result<()> {
    let broken = &contents.broken;
    ensure!(broken.is_empty(), NotGood(format!("the ledger is not in order: {}", broken.join("; "))));
    Ok(())
}

/// Whether the log holds this head.
pub(super) fn has(ledger: &Path, head: Head) -> anyhow::Result<bool> {
    let record = Store::open_read_only(ledger)?.record(head.position)?;
    Ok(head.position == 0 || record.is_some_and(|bytes| hash(&bytes) == head.hash))
}

/// Everything that is wrong with a backup, with its manifest if that can be read.
pub(super) fn check(dir: &Path) -> anyhow::Result<(Option<Manifest>, Vec<String>)> {
    if !dir.is_dir() {
        return Err(NotFound(format!("there is no backup in {}", dir.display())).into());
    }
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => manifest,
        Err(error) => return Ok((None, vec![format!("{error:#}")])),
    };
    let ledger = dir.join(LEDGER);
    let mut broken = match files::compare(&ledger, &manifest.files) {
        Ok(broken) => broken,
        Err(error) => vec![format!("{error:#}")],
    };
    // What RocksDB makes of damaged files says nothing more.
    if broken.is_empty() {
        match contents(&ledger) {
            Ok(contents) => {
                broken.extend(manifest.differs_from(&contents));
                broken.extend(contents.broken);
            }
            Err(error) => broken.push(format!("{error:#}")),
        }
    }
    Ok((Some(manifest), broken))
}

pub(super) fn verify(dir: &Path) -> anyhow::Result<Said> {
    let (manifest, broken) = check(dir)?;
    let ok = broken.is_empty();
    let mut json = manifest.as_ref().map_or_else(|| json!({ "dir": dir }), |manifest| super::said(manifest, dir));
    if let Some(object) = json.as_object_mut() {
        object.insert("ok".into(), ok.into());
        object.insert("broken".into(), Value::from(broken.clone()));
    }
    let text = match &manifest {
        Some(manifest) if ok => format!(
            "backup: whole\nbroker {}, {} records, head {}\nstate digest {}",
            manifest.broker, manifest.position, manifest.head, manifest.digest
        ),
        _ => format!("backup: NOT WHOLE\n  {}", broken.join("\n  ")),
    };
    Ok(Said { json, text, code: if ok { 0 } else { 7 } })
}

/// The manifest of a backup that is whole.
pub(super) fn whole(dir: &Path) -> anyhow::Result<Manifest> {
    let (manifest, broken) = check(dir)?;
    ensure!(broken.is_empty(), NotGood(format!("the backup in {} is not whole: {}", dir.display(), broken.join("; "))));
    manifest.context("a whole backup has a manifest")
}

/// The totals as they stand in an open ledger.
pub(super) fn totals(store: &Store) -> anyhow::Result<netpay_ledger::rows::Totals> {
    let state: &dyn State = store;
    Ok(load::totals(&state)?)
}
