//! Who serves from a home holds its keys in memory for days; who changes them must have the home to itself.
//!
//! A lock of the operating system's, gone with the process that holds it. Apart from the keys' own lock, which is held for
//! moments only.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::home::Error;

const LOCK: &str = "serving.lock";

/// Held for as long as it is kept.
pub struct Held(#[expect(dead_code, reason = "dropping it is what it is for")] File);

fn open(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|error| Error::Io(path, error))
}

fn held(dir: &Path, file: File, result: Result<(), TryLockError>, in_use: Error) -> Result<Held, Error> {
    match result {
        Ok(()) => Ok(Held(file)),
        Err(TryLockError::WouldBlock) => Err(in_use),
        Err(TryLockError::Error(error)) => Err(Error::Io(dir.join(LOCK), error)),
    }
}

/// Serves, beside others that do.
pub fn serve(dir: &Path) -> Result<Held, Error> {
    let file = open(dir)?;
    let result = file.try_lock_shared();
    held(dir, file, result, Error::KeysChanging)
}

/// Changes the keys, while nobody serves.
pub fn change_keys(dir: &Path) -> Result<Held, Error> {
    let file = open(dir)?;
    let result = file.try_lock();
    held(dir, file, result, Error::Serving)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_changed_while_nobody_serves_and_many_may_serve() {
        let dir = tempfile::tempdir().expect("a directory");
        let serving = [serve(dir.path()).expect("the first"), serve(dir.path()).expect("another")];
        assert!(matches!(change_keys(dir.path()), Err(Error::Serving)));
        drop(serving);
        let changing = change_keys(dir.path()).expect("nobody serves");
        assert!(matches!(serve(dir.path()), Err(Error::KeysChanging)));
        assert!(matches!(change_keys(dir.path()), Err(Error::Serving)), "nor does another change them");
        drop(changing);
        serve(dir.path()).expect("as before");
    }
}
