//! `netpay-broker backup …`: the ledger, kept elsewhere and brought back.
//!
//! A backup is a directory with a copy of the ledger and a manifest that says what is in it. Nothing in it can be spent. The
//! keys are not in it: they are few, do not change with every payment, and must not lie where many backups lie.

mod check;
mod files;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use netpay_protocol::admin::{LedgerView, Order};
use netpay_protocol::redemption::Head;
use serde_json::json;

use self::manifest::{FORMAT, LEDGER, Manifest};
use super::ledger::Scratch;
use super::{Said, Where};
use crate::bus::admin::Operator;
use crate::config::Config;
use crate::ports::{Copies as _, now_ms};
use crate::store::{Hold, OpenError, Store, copy_of};

#[derive(Subcommand, Debug)]
pub(super) enum Backup {
    /// Copy the ledger into a new directory, also while the broker serves.
    #[command(after_help = "\
The keys are not in a backup. Keep keys/ and broker.toml once, apart from the backups and encrypted: without the chain master
key nobody can tell a lost e-coin from a forged one.

Example:
  netpay-broker backup create /backup/2026-11-24 --config broker")]
    Create(Create),
    /// Read all of a backup: files, hash chain, invariants, and what the manifest says. Changes nothing.
    Verify {
        /// The backup's directory.
        dir: PathBuf,
    },
    /// Put a backup in the place of a lost ledger, as another life of the broker.
    #[command(after_help = "\
Never writes over a ledger: move the old one away first, and keep it. What happened after the backup comes back as peers send
their claims again; payouts, refunds and debts wait until you say that you are through: netpay-broker ledger reconcile.

Example:
  mv broker/ledger broker/ledger.lost
  netpay-broker backup restore /backup/2026-11-24 --config broker")]
    Restore(Create),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// The backup's directory.
    dir: PathBuf,
    #[command(flatten)]
    at: Where,
}

/// A backup that is not whole, or not this broker's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotGood(String);

impl Backup {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        match self {
            Self::Create(Create { dir, at }) => create(&dir, &at.load()?).await,
            Self::Verify { dir } => check::verify(&dir),
            Self::Restore(Create { dir, at }) => restore::restore(&dir, &at.load()?),
        }
    }
}

async fn create(dir: &Path, config: &Config) -> anyhow::Result<Said> {
    ensure!(
        !dir.exists(),
        "there is something in {} already; nothing was changed, name a new directory",
        dir.display()
    );
    let _turn = Turn::take(&config.dir)?;
    let copy = Scratch(copy_of(&config.ledger()));
    // Of a command that was killed: nobody else makes one now.
    let _ = std::fs::remove_dir_all(&copy.0);
    let seen = copy_ledger(config).await?;
    keep(copy, dir, config, seen)
}

/// Makes the copy of a ledger a backup, if all of it is there that must be.
fn keep(copy: Scratch, dir: &Path, config: &Config, seen: Option<Head>) -> anyhow::Result<Said> {
    let name = dir.file_name().context("the backup's directory needs a name")?.to_string_lossy();
    // Built beside its place and moved there whole: a crash leaves either nothing or all of it.
    let beside = Scratch(dir.with_file_name(format!(".{name}.new-{}", std::process::id())));
    let ledger = beside.0.join(LEDGER);
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(&ledger);
    folder.with_context(|| format!("cannot make {}", ledger.display()))?;
    let files = files::copy_all(&copy.0, &ledger)?;
    drop(copy);
    let contents = check::contents(&ledger)?;
    check::ensure_whole(&contents)?;
    if let Some(head) = seen {
        ensure!(check::has(&ledger, head)?, NotGood("the copy lacks what the broker had committed".into()));
    }
    let manifest = Manifest::new(config.broker, &contents, files, now_ms());
    manifest.write(&beside.0)?;
    for folder in [&ledger, &beside.0] {
        File::open(folder)?.sync_all()?;
    }
    std::fs::rename(&beside.0, dir).with_context(|| format!("cannot put the backup in {}", dir.display()))?;
    sync_parent(dir)?;
    let text = format!(
        "backup of {} records in {}\nthe keys are not in it: keep {} and broker.toml elsewhere, encrypted\n\
         check it with: netpay-broker backup verify {}",
        manifest.position,
        dir.display(),
        config.keys().0.display(),
        dir.display()
    );
    Ok(Said::new(said(&manifest, dir), text))
}

/// What programs are told of a backup.
fn said(manifest: &Manifest, dir: &Path) -> serde_json::Value {
    json!({
        "dir": dir,
        "format": FORMAT,
        "broker": manifest.broker,
        "incarnation": manifest.incarnation,
        "position": manifest.position,
        "head": manifest.head,
        "digest": manifest.digest,
        "recorded_at_ms": manifest.recorded_at_ms,
        "created_at_ms": manifest.created_at_ms,
        "files": manifest.files.len(),
        "size_bytes": manifest.size_bytes(),
    })
}

/// The process that has the ledger makes the copy: the broker, if it serves. Answers a head that must be in it.
async fn copy_ledger(config: &Config) -> anyhow::Result<Option<Head>> {
    match Hold::take(&config.dir) {
        Ok(_hold) => {
            Store::open(&config.ledger())?.copy_beside()?;
            Ok(None)
        }
        Err(OpenError::InUse(_)) => {
            let view: LedgerView = Operator::connect(config).await?.patient().order(&Order::Backup {}).await?;
            Ok(Some(view.head))
        }
        Err(error) => Err(error.into()),
    }
}

/// One backup at a time: they share the place of the copy.
struct Turn(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Turn {
    fn take(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("backup.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_err() {
            bail!("another backup of {} is being made; wait for it", dir.display());
        }
        Ok(Self(file))
    }
}

fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or(".".as_ref()))?.sync_all()?)
}
