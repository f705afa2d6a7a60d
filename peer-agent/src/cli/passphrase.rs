//! Where a passphrase comes from: a file, the environment, or a person at a terminal. Never echoed, never an argument.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::failure::Failure;
use crate::home::keyring;
use crate::home::sealed::Passphrase;

/// The passphrase of the keys.
#[derive(clap::Args, Debug)]
pub struct Source {
    /// A file (0600) whose first line is the passphrase of the keys. Or NETPAY_PASSPHRASE holds it, or a terminal asks.
    #[arg(long, global = true, env = "NETPAY_PASSPHRASE_FILE", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Source {
    /// What was given, if anything was: the file before the environment.
    pub fn given(&self) -> Result<Option<Passphrase>, Failure> {
        given(self.passphrase_file.as_deref(), "NETPAY_PASSPHRASE")
    }
}

/// A passphrase from a file or a variable.
pub fn given(file: Option<&Path>, variable: &str) -> Result<Option<Passphrase>, Failure> {
    let text = match (file, std::env::var(variable)) {
        (Some(file), _) => {
            let bytes = keyring::read_file(file)?;
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
        }
        (None, Ok(text)) => Zeroizing::new(text),
        (None, Err(_)) => return Ok(None),
    };
    let empty = || Failure::new(2, "the passphrase is empty; give one with at least one character");
    Passphrase::new(text).map(Some).ok_or_else(empty)
}

/// Whether there is a person to ask.
fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

fn prompt(text: &str) -> Result<Passphrase, keyring::Error> {
    if !is_terminal() {
        return Err(keyring::Error::Passphrase);
    }
    let typed = rpassword::prompt_password(text).map_err(|error| keyring::Error::Io("the terminal".into(), error))?;
    Passphrase::new(typed.into()).ok_or(keyring::Error::Passphrase)
}

/// What was given, or what a person types.
pub fn or_ask(given: Option<Passphrase>) -> Result<Passphrase, keyring::Error> {
    given.map_or_else(|| prompt("passphrase of this peer's keys: "), Ok)
}

/// A new passphrase, typed twice.
pub fn ask_twice() -> Result<Passphrase, Failure> {
    let first = prompt("new passphrase: ")?;
    if prompt("the same again: ")?.is(&first) {
        Ok(first)
    } else {
        Err(Failure::new(2, "the two are not the same; nothing was changed"))
    }
}

/// The passphrase for new keys, or none if that is what the caller wants. NETPAY_NO_PASSPHRASE=true says so for programs
/// that make many peers, and gives way to a passphrase.
pub fn for_new_keys(given: Option<Passphrase>, none: bool) -> Result<Option<Passphrase>, Failure> {
    let none_by_default = || std::env::var("NETPAY_NO_PASSPHRASE").is_ok_and(|value| value == "true");
    match (given, none) {
        (Some(_), true) => {
            Err(Failure::new(2, "a passphrase is given, and --no-passphrase too; leave one of them out"))
        }
        (Some(given), false) => Ok(Some(given)),
        (None, true) => Ok(None),
        (None, false) if none_by_default() => Ok(None),
        (None, false) if is_terminal() => ask_twice().map(Some),
        (None, false) => Err(Failure::new(
            2,
            "the keys need a passphrase: give it with NETPAY_PASSPHRASE or --passphrase-file FILE, or call from a terminal; or keep them in clear with --no-passphrase",
        )),
    }
}
