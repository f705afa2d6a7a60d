//! `netpay wallet backup`: makes a backup, looks one through, makes a home of one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::failure::Failure;
use super::passphrase::{self, Source};
use super::session::{self, Session, now_ms};
use super::{wallet, wallet_restore};
use crate::home::backup::{self, Backup};
use crate::home::sealed::{Passphrase, Work};
use crate::ports::{Coins as _, Till as _};

/// Back up keys, wallet, till, listings and configuration; sealed with the passphrase of the keys, or one given.
#[derive(clap::Subcommand, Debug)]
pub enum Backups {
    /// Make a backup, also while the peer serves.
    Create {
        /// Where to.
        file: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Open a backup, look it through, and say what is in it.
    Verify {
        /// Which.
        file: PathBuf,
    },
    /// Make a home of a backup, and lock what it may have spent since (as `netpay wallet restore` does).
    Restore {
        /// Which.
        file: PathBuf,
    },
}

impl Backups {
    /// Runs what needs no home.
    pub async fn run_without_home(&self, dir: &Path, source: &Source, json: bool) -> Option<Result<(), Failure>> {
        match self {
            Self::Create { .. } => None,
            Self::Verify { file } => Some(verify(file, source, json)),
            Self::Restore { file } => Some(restore(file, dir, source, json).await),
        }
    }

    /// Runs what needs one.
    pub fn run(&self, session: &Session, source: &Source) -> Result<(), Failure> {
        let Self::Create { file, force } = self else { return Ok(()) };
        let passphrase = match &session.home.passphrase {
            Some(passphrase) => passphrase.clone(),
            None => source.given()?.map_or_else(passphrase::ask_twice, Ok)?,
        };
        let made = backup::create(&session.home, &passphrase, Work::FULL, file, *force, now_ms())?;
        show(&made, file, session.json)
    }
}

fn open(file: &Path, source: &Source) -> Result<(Backup, Passphrase), Failure> {
    let passphrase = passphrase::or_ask(source.given()?)?;
    Ok((backup::open(file, &passphrase)?, passphrase))
}

fn verify(file: &Path, source: &Source, json: bool) -> Result<(), Failure> {
    show(&open(file, source)?.0, file, json)
}

fn summary(backup: &Backup, file: &Path) -> Result<Value, Failure> {
    let totals = wallet::totals_of(&backup.store)?;
    let ecoins = backup.store.read(|tx| tx.all_ecoins())?.len();
    let claims = backup.store.read(|tx| tx.claims_after(0, false, u32::MAX))?.len();
    Ok(json!({
        "file": file.display().to_string(),
        "peer": backup.peer.to_string(),
        "at_ms": backup.at_ms,
        "ecoins": ecoins,
        "wallet_units": totals.wallet.0,
        "claims_to_redeem": claims,
        "till_units": totals.till.0,
    }))
}

fn text(object: &Value) -> String {
    format!(
        "backup of peer {} at {} (ms since 1970): {} e-coins, {} units unspent; {} claims to redeem, {} units",
        object["peer"].as_str().unwrap_or_default(),
        object["at_ms"],
        object["ecoins"],
        object["wallet_units"],
        object["claims_to_redeem"],
        object["till_units"],
    )
}

fn show(backup: &Backup, file: &Path, json: bool) -> Result<(), Failure> {
    let object = summary(backup, file)?;
    session::print(json, &object, || text(&object));
    Ok(())
}

async fn restore(file: &Path, dir: &Path, source: &Source, json: bool) -> Result<(), Failure> {
    let (backup, passphrase) = open(file, source)?;
    let mut object = summary(&backup, file)?;
    let home = backup::restore(backup, dir, &passphrase, Work::FULL)?;
    object["home"] = dir.display().to_string().into();
    let store = home.store()?;
    let session = Session { home, store, json };
    let locked = wallet_restore::lock(&session).await;
    object["locked"] = locked.is_ok().into();
    let next = match &locked {
        Ok(locked) => wallet_restore::text(locked),
        Err(failure) => format!(
            "not locked yet, and so it grants, buys and accepts nothing ({}); when the broker is there, run: netpay wallet restore",
            failure.text
        ),
    };
    session::print(json, &object, || format!("{}\nhome {}\n{next}", text(&object), dir.display()));
    Ok(())
}
