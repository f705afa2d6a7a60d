//! `netpay wallet passphrase`: sets, changes or removes the passphrase of the keys.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::passphrase::{self, Source};
use super::session;
use crate::home::Home;
use crate::home::keyring;
use crate::home::sealed::Work;

/// Set, change or remove the passphrase of the keys. A crash at any point leaves the old one or the new one.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The new passphrase comes from --new-passphrase-file, NETPAY_NEW_PASSPHRASE, or the terminal.\nWith a passphrase the words of unspent e-coins are sealed too; without one, keys lie in clear (0600)."
)]
pub struct SetPassphrase {
    /// A file (0600) whose first line is the new passphrase.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Keep the keys in clear from now on.
    #[arg(long, conflicts_with = "new_passphrase_file")]
    remove: bool,
}

impl SetPassphrase {
    /// Runs it.
    pub fn run(&self, dir: &Path, source: &Source, json: bool) -> Result<(), Failure> {
        crate::home::read_config(dir)?;
        let given = source.given()?;
        let old = if keyring::is_sealed(dir) { Some(passphrase::or_ask(given)?) } else { None };
        let new = match passphrase::given(self.new_passphrase_file.as_deref(), "NETPAY_NEW_PASSPHRASE")? {
            _ if self.remove => None,
            Some(new) => Some(new),
            None => Some(passphrase::ask_twice()?),
        };
        let ask_old = || old.clone().ok_or(keyring::Error::Passphrase);
        keyring::change(dir, ask_old, new.as_ref(), Work::FULL)?;
        // Opening the store seals the words that still lie clear.
        let home = Home::open_with(dir, || new.clone().ok_or(keyring::Error::Passphrase))?;
        home.store()?;
        let text = if new.is_some() { "the keys are sealed with the new passphrase" } else { "the keys lie in clear" };
        session::print(json, &json!({ "peer": home.identity.peer().to_string(), "sealed": new.is_some() }), || {
            text.into()
        });
        Ok(())
    }
}
