//! A peer's keys as files: in clear, one file each, or all in one file sealed with a passphrase.
//!
//! Decided so: with a passphrase there is one file, `keys.sealed`, so that every change is one renaming and a crash leaves
//! the old keys or the new ones. Where it is, it alone counts, and clear files beside it are what a crash left. Setting a
//! passphrase writes `keys.sealed` and then removes the clear files; removing it writes the clear files and then removes
//! `keys.sealed`. A home without a passphrase whose keys were ever changed has them in one file as well, `keys.rotated`, which
//! counts before the separate ones for the same reason. The key of the wallet's last words lies among the others from the first passphrase on, and is never
//! thrown away, also not when the passphrase is. Who writes or removes anything here holds the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use netpay_crash_point::agent::Point;
use netpay_protocol::ids;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::sealing::SealingKey;
use zeroize::Zeroizing;

use crate::home::identity::{Identity, random_16};
use crate::home::rotation::{self, Pending};
use crate::home::sealed::{self, Passphrase, Work};
use crate::store::WordKey;

const KIND: &[u8; 16] = b"netpay-keys/1\0\0\0";

const SEALED: &str = "keys.sealed";
const SIGNING: &str = "signing.key";
const SEALING: &str = "sealing.key";
const NATS: &str = "nats.key";
const WORDS: &str = "words.key";
const ROTATED: &str = "keys.rotated";
/// Every file that holds keys in clear.
const CLEAR: [&str; 5] = [SIGNING, SEALING, NATS, WORDS, ROTATED];
const LOCK: &str = "keys.lock";

/// What is wrong with key files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others can read a key.
    #[error("{0} can be read by others; make it yours alone with: chmod 600 {0}")]
    Readable(PathBuf),
    /// A key file that holds no key.
    #[error("{0} does not hold a key")]
    NotAKey(PathBuf),
    /// A passphrase is needed.
    #[error(
        "the keys are sealed with a passphrase: give it with NETPAY_PASSPHRASE or --passphrase-file FILE, or call from a terminal"
    )]
    Passphrase,
    /// It does not open.
    #[error("{0}: {1}")]
    Sealed(PathBuf, sealed::Error),
    /// The file system failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// The keys of a home.
pub struct Keys {
    /// Who the peer is.
    pub identity: Identity,
    /// The key of the last words, from the first passphrase on.
    pub words: Option<WordKey>,
    /// Keys drawn for a rotation that is not over.
    pub pending: Option<Pending>,
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::Io(path.into(), error)
}

/// Whether the keys are sealed.
pub fn is_sealed(dir: &Path) -> bool {
    dir.join(SEALED).exists()
}

/// Reads the keys; asks for the passphrase only if they are sealed. Answers it too, if it was needed.
pub fn read(dir: &Path, ask: impl FnOnce() -> Result<Passphrase, Error>) -> Result<(Keys, Option<Passphrase>), Error> {
    if !is_sealed(dir) {
        return Ok((read_clear(dir)?, None));
    }
    let path = dir.join(SEALED);
    let bytes = read_file(&path)?;
    let passphrase = ask()?;
    let plain = sealed::open(KIND, &passphrase, &bytes).map_err(|error| Error::Sealed(path.clone(), error))?;
    let keys = from_bytes(&plain).ok_or(Error::NotAKey(path))?;
    // What a crash left; if somebody else is changing keys now, it is theirs.
    if is_any_clear(dir)
        && let Ok(lock) = lock_file(dir)
        && lock.try_lock().is_ok()
        && is_sealed(dir)
    {
        remove_clear(dir)?;
    }
    Ok((keys, Some(passphrase)))
}

/// Writes the keys of a new home, in clear.
pub fn write_clear(dir: &Path, keys: &Keys) -> Result<(), Error> {
    clear_files(keys).into_iter().try_for_each(|(name, bytes)| replace(dir, name, &bytes))
}

/// Writes the keys of a new home, sealed.
pub fn write_sealed(dir: &Path, keys: &Keys, passphrase: &Passphrase, work: Work) -> Result<(), Error> {
    replace(dir, SEALED, &sealed::seal(KIND, passphrase, work, &to_bytes(keys)))
}

/// Gives the keys another passphrase, or none. A crash at any point leaves keys that open with the old or the new one.
pub fn change(
    dir: &Path,
    old: impl FnOnce() -> Result<Passphrase, Error>,
    new: Option<&Passphrase>,
    work: Work,
) -> Result<(), Error> {
    let lock = lock_file(dir)?;
    lock.lock().map_err(at(dir))?;
    // Read under the lock: somebody else may just have drawn a word key.
    let (mut keys, _) = read(dir, old)?;
    steps(dir, &mut keys, new, work).into_iter().try_for_each(|step| step())
}

/// Changes the keys themselves, in one renaming: a crash leaves them as they were or as they are to be. Answers what they are.
pub fn update(
    dir: &Path,
    passphrase: Option<&Passphrase>,
    work: Work,
    change: impl FnOnce(&mut Keys),
) -> Result<Keys, Error> {
    let lock = lock_file(dir)?;
    lock.lock().map_err(at(dir))?;
    // Under the lock: another process may have changed them meanwhile.
    let (mut keys, opened_with) = read(dir, || passphrase.cloned().ok_or(Error::Passphrase))?;
    change(&mut keys);
    match opened_with {
        Some(passphrase) => write_sealed(dir, &keys, &passphrase, work)?,
        None => {
            write_clear(dir, &keys)?;
            remove_outdated(dir)?;
        }
    }
    Ok(keys)
}

type Step<'a> = Box<dyn FnOnce() -> Result<(), Error> + 'a>;

/// The change, step by step; each is one renaming or removal.
fn steps<'a>(dir: &'a Path, keys: &'a mut Keys, new: Option<&'a Passphrase>, work: Work) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    if let Some(new) = new {
        keys.words.get_or_insert_with(WordKey::generate);
        let keys = &*keys;
        steps.push(Box::new(move || write_sealed(dir, keys, new, work)));
        for name in CLEAR {
            steps.push(Box::new(move || remove(dir, name)));
        }
    } else {
        for (name, bytes) in clear_files(keys) {
            steps.push(Box::new(move || replace(dir, name, &bytes)));
        }
        steps.push(Box::new(move || remove(dir, SEALED)));
    }
    steps
}

/// Where the number stands that says what follows.
const FORM_AT: usize = 64;
/// In that number: there is a word key.
const HAS_WORDS: u8 = 1;
/// In that number: keys were changed, or are to be; the sealing key's length comes before it, and the rest after it.
const IS_ROTATED: u8 = 2;

/// The keys as a backup carries them.
pub fn to_bytes(keys: &Keys) -> Zeroizing<Vec<u8>> {
    let Keys { identity, words, .. } = keys;
    let (words, rotated) = (words.as_ref(), rotation::to_bytes(keys));
    let none = [0; 32];
    let mut out = Zeroizing::new(Vec::with_capacity(4_096));
    out.extend(identity.signing.seed().as_slice());
    out.extend(identity.nats.seed().as_slice());
    let form = |is: bool, form: u8| if is { form } else { 0 };
    out.push(form(words.is_some(), HAS_WORDS) | form(rotated.is_some(), IS_ROTATED));
    out.extend(words.map_or(&none, WordKey::bytes));
    let sealing = identity.sealing.to_der();
    if let Some(rotated) = rotated {
        let length = u32::try_from(sealing.len()).expect("an RSA key has some thousand bytes at most");
        out.extend(length.to_be_bytes());
        out.extend(sealing.as_slice());
        out.extend(rotated.as_slice());
    } else {
        out.extend(sealing.as_slice());
    }
    out
}

/// Reads what [`to_bytes`] made.
pub fn from_bytes(bytes: &[u8]) -> Option<Keys> {
    let seed =
        |at: usize| -> Option<Zeroizing<[u8; 32]>> { Some(Zeroizing::new(bytes.get(at..at + 32)?.try_into().ok()?)) };
    let form = *bytes.get(FORM_AT)?;
    if form & !(HAS_WORDS | IS_ROTATED) != 0 {
        return None;
    }
    let words = if form & HAS_WORDS == 0 { None } else { Some(WordKey::new(seed(65)?)) };
    let rest = bytes.get(97..)?;
    let (sealing, rotated) = if form & IS_ROTATED == 0 {
        (rest, None)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (sealing, rotated) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        (sealing, Some(rotated))
    };
    let sealing = SealingKey::from_der(sealing).ok()?;
    let identity = Identity::first(SigningKey::from_seed(&*seed(0)?), sealing, SigningKey::from_seed(&*seed(32)?));
    let keys = Keys { identity, words, pending: None };
    match rotated {
        None => Some(keys),
        Some(rotated) => rotation::from_bytes(keys, rotated),
    }
}

fn clear_files(keys: &Keys) -> Vec<(&'static str, Zeroizing<Vec<u8>>)> {
    if rotation::to_bytes(keys).is_some() {
        return vec![(ROTATED, to_bytes(keys))];
    }
    let hex = |seed: &[u8]| Zeroizing::new(format!("{}\n", ids::to_hex(seed)).into_bytes());
    let identity = &keys.identity;
    let mut files = vec![
        (SIGNING, hex(identity.signing.seed().as_slice())),
        (SEALING, identity.sealing.to_der()),
        (NATS, hex(identity.nats.seed().as_slice())),
    ];
    files.extend(keys.words.as_ref().map(|words| (WORDS, hex(words.bytes()))));
    files
}

fn read_clear(dir: &Path) -> Result<Keys, Error> {
    let rotated = dir.join(ROTATED);
    if rotated.exists() {
        return from_bytes(&read_file(&rotated)?).ok_or(Error::NotAKey(rotated));
    }
    let (words, sealing) = (dir.join(WORDS), dir.join(SEALING));
    let identity = Identity::first(
        SigningKey::from_seed(&*read_seed(&dir.join(SIGNING))?),
        SealingKey::from_der(&read_file(&sealing)?).map_err(|_| Error::NotAKey(sealing))?,
        SigningKey::from_seed(&*read_seed(&dir.join(NATS))?),
    );
    let words = if words.exists() { Some(WordKey::new(read_seed(&words)?)) } else { None };
    Ok(Keys { identity, words, pending: None })
}

/// A file of the owner's alone, or the program refuses.
pub fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let rights = fs::metadata(path).map_err(at(path))?.permissions().mode();
    if rights & 0o077 != 0 {
        return Err(Error::Readable(path.into()));
    }
    fs::read(path).map(Into::into).map_err(at(path))
}

fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, Error> {
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::NotAKey(path.into()))?;
    ids::from_hex::<32>(text.trim()).map(Zeroizing::new).map_err(|_| Error::NotAKey(path.into()))
}

fn is_any_clear(dir: &Path) -> bool {
    CLEAR.iter().any(|name| dir.join(name).exists())
}

fn remove_clear(dir: &Path) -> Result<(), Error> {
    CLEAR.iter().try_for_each(|name| remove(dir, name))
}

/// The separate files go, once there is one for all.
fn remove_outdated(dir: &Path) -> Result<(), Error> {
    let separate = CLEAR.into_iter().filter(|name| *name != ROTATED);
    if dir.join(ROTATED).exists() { separate.into_iter().try_for_each(|name| remove(dir, name)) } else { Ok(()) }
}

fn remove(dir: &Path, name: &str) -> Result<(), Error> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Io(path, error)),
        Ok(()) => {
            Point::KeysRemoved.reached();
            sync_dir(dir)
        }
    }
}

/// Writes beside, syncs, renames: the file is the old one or the new one, and durably so.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = dir.join(name);
    let beside = dir.join(format!(".{name}.{}", ids::to_hex(&random_16())));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Point::KeysBeside.reached();
        fs::rename(&beside, &path)
    };
    let written = write().map_err(at(&path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    Point::KeysPlaced.reached();
    sync_dir(dir)
}

fn lock_file(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(at(&path))
}

/// Makes what was done in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned().into()).expect("not empty")
    }

    fn never() -> Result<Passphrase, Error> {
        Err(Error::Passphrase)
    }

    fn keys() -> Keys {
        Keys { identity: Identity::of_seed(1), words: None, pending: None }
    }

    /// What opens the keys now: which of the passphrases, or none; and their word key.
    fn opens(dir: &Path, known: &[&str]) -> (Option<String>, Option<[u8; 32]>) {
        let words = |keys: &Keys| {
            assert_eq!(keys.identity.peer(), Identity::of_seed(1).peer());
            assert_eq!(keys.identity.nats.public(), Identity::of_seed(1).nats.public());
            keys.words.as_ref().map(|key| *key.bytes())
        };
        if let Ok((keys, _)) = read(dir, never) {
            return (None, words(&keys));
        }
        for text in known {
            if let Ok((keys, _)) = read(dir, || Ok(passphrase(text))) {
                return (Some((*text).to_owned()), words(&keys));
            }
        }
        panic!("nothing opens the keys: they are lost");
    }

    #[test]
    fn a_crash_between_any_two_steps_of_a_change_leaves_keys_that_open_with_the_old_or_the_new_passphrase() {
        for (old, new) in [(None, Some("new")), (Some("old"), Some("new")), (Some("old"), None)] {
            let mut seen = Vec::new();
            for done in 0.. {
                let dir = tempfile::tempdir().expect("a directory");
                write_clear(dir.path(), &keys()).expect("made");
                if let Some(old) = old {
                    change(dir.path(), never, Some(&passphrase(old)), Work::LITTLE).expect("sealed");
                }
                let before = opens(dir.path(), &["old"]);
                let (mut held, _) = read(dir.path(), || Ok(passphrase("old"))).expect("opens");
                let new_one = new.map(passphrase);
                let mut steps = steps(dir.path(), &mut held, new_one.as_ref(), Work::LITTLE);
                let all = steps.len();
                steps.truncate(done);
                steps.into_iter().try_for_each(|step| step()).expect("the disk is fine");
                let (by, words) = opens(dir.path(), &["old", "new"]);
                assert!(by.as_deref() == old || by.as_deref() == new, "{done}: {by:?}");
                assert!(before.1.is_none() || words == before.1, "{done}: the word key stays");
                seen.push(by);
                if done == all {
                    break;
                }
            }
            assert_eq!(seen.first().expect("some").as_deref(), old);
            assert_eq!(seen.last().expect("some").as_deref(), new);
        }
    }

    #[test]
    fn with_a_passphrase_no_key_lies_in_clear_and_what_a_crash_left_goes_with_the_next_opening() {
        let dir = tempfile::tempdir().expect("a directory");
        write_clear(dir.path(), &keys()).expect("made");
        change(dir.path(), never, Some(&passphrase("x")), Work::LITTLE).expect("sealed");
        assert!(!is_any_clear(dir.path()));
        write_clear(dir.path(), &keys()).expect("as a crash leaves them");
        assert!(read(dir.path(), || Ok(passphrase("y"))).is_err());
        assert!(is_any_clear(dir.path()), "a wrong passphrase removes nothing");
        read(dir.path(), || Ok(passphrase("x"))).expect("opens");
        assert!(!is_any_clear(dir.path()));
    }

    #[test]
    fn a_wrong_passphrase_opens_nothing_and_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        write_sealed(dir.path(), &keys(), &passphrase("right"), Work::LITTLE).expect("sealed");
        let wrong = change(dir.path(), || Ok(passphrase("wrong")), Some(&passphrase("new")), Work::LITTLE);
        assert!(matches!(wrong, Err(Error::Sealed(_, sealed::Error::DoesNotOpen))), "{wrong:?}");
        read(dir.path(), || Ok(passphrase("right"))).expect("as before");
    }

    #[test]
    fn an_opening_while_keys_are_being_changed_removes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        write_sealed(dir.path(), &keys(), &passphrase("x"), Work::LITTLE).expect("sealed");
        let changing = lock_file(dir.path()).expect("a lock");
        changing.lock().expect("ours");
        write_clear(dir.path(), &keys()).expect("about to remove the passphrase");
        read(dir.path(), || Ok(passphrase("x"))).expect("opens");
        assert!(is_any_clear(dir.path()), "they are the changer's");
    }
}
