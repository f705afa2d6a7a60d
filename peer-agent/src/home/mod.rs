//! A peer's directory: `peer.toml`, key files (`keyring`; 0600, or the program refuses to start), `wallet.sqlite`.
//!
//! A new home is made beside its place and moved there whole, so that a crash leaves none or all of it; one that exists
//! is never written over.

pub mod backup;
pub mod config;
pub mod identity;
pub mod keyring;
pub mod rotation;
pub mod sealed;
pub mod serving;
pub mod settings;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use netpay_crash_point::agent::Point;
use netpay_protocol::ids::{self, BrokerId};

use self::config::Config;
use self::keyring::{Keys, sync_dir};
use crate::home::identity::Identity;
use crate::home::rotation::Pending;
use crate::home::sealed::{Passphrase, Work};
use crate::ports::StoreError;
use crate::store::{Store, WordKey};
use crate::wallet::locking;

const CONFIG: &str = "peer.toml";
const WALLET: &str = "wallet.sqlite";

/// What is wrong with a home.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("{0} is already a peer's home; nothing was changed")]
    Exists(PathBuf),
    /// There is none.
    #[error("there is no peer at {0}; make one with: netpay init --broker BROKERID")]
    Missing(PathBuf),
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] keyring::Error),
    /// Somebody holds the keys in memory.
    #[error(
        "netpay serve runs from this home, or its keys are being changed already; stop it, change the keys, start it again"
    )]
    Serving,
    /// The keys are about to be others.
    #[error("the keys of this home are being changed (netpay wallet rotate); try again when that is over")]
    KeysChanging,
    /// No directory to keep it in.
    #[error("no home directory is known; say where with --home DIR")]
    Nowhere,
    /// The file system failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A configuration that cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A peer's directory, opened.
pub struct Home {
    /// Where it is.
    pub dir: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub identity: Identity,
    /// The key of the wallet's last words, if they are sealed.
    pub words: Option<WordKey>,
    /// Keys drawn for a rotation that is not over.
    pub pending: Option<Pending>,
    /// What its keys were opened with, if they are sealed.
    pub passphrase: Option<Passphrase>,
}

/// Where the home is when nobody says.
pub fn default_dir() -> Result<PathBuf, Error> {
    let dirs = etcetera::choose_base_strategy().map_err(|_| Error::Nowhere)?;
    Ok(dirs.data_dir().join("p2p-netpay"))
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::Io(path.into(), error)
}

impl Home {
    /// Makes a home with new keys, sealed if there is a passphrase.
    pub fn create(dir: &Path, broker: BrokerId, nats: &str, seal: Option<(&Passphrase, Work)>) -> Result<Self, Error> {
        let words = seal.map(|_| WordKey::generate());
        let keys = Keys { identity: Identity::generate(), words, pending: None };
        Self::make(dir, &keys, seal, &config::new_file(broker, nats), |wallet| {
            // The database is made with the rights of the directory's owner alone, before SQLite writes to it.
            write_file(wallet, b"")?;
            Store::open(wallet).map(drop).map_err(Error::Store)
        })
    }

    /// Makes a home of these parts; `fill` makes the wallet.
    pub(crate) fn make(
        dir: &Path,
        keys: &Keys,
        seal: Option<(&Passphrase, Work)>,
        config: &str,
        fill: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let in_use = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some());
        if in_use(dir) {
            return Err(Error::Exists(dir.into()));
        }
        let parent = match dir.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(at(parent))?;
        let name = dir.file_name().unwrap_or(dir.as_os_str());
        let unfinished =
            parent.join(format!(".{}.{}", name.to_string_lossy(), ids::to_hex(&crate::home::identity::random_16())));
        fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(at(&unfinished))?;
        let parts = || {
            match seal {
                Some((passphrase, work)) => keyring::write_sealed(&unfinished, keys, passphrase, work)?,
                None => keyring::write_clear(&unfinished, keys)?,
            }
            Point::HomeFilling.reached();
            write_file(&unfinished.join(CONFIG), config.as_bytes())?;
            fill(&unfinished.join(WALLET))?;
            Ok(sync_dir(&unfinished)?)
        };
        let made = parts().and_then(|()| {
            Point::HomeMade.reached();
            // Moving onto a directory succeeds only if that is empty: whoever comes second changes nothing.
            fs::rename(&unfinished, dir)
                .map_err(|error| if in_use(dir) { Error::Exists(dir.into()) } else { Error::Io(dir.into(), error) })?;
            Point::HomeMoved.reached();
            Ok(sync_dir(parent)?)
        });
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        Self::open_with(dir, || seal.map(|(passphrase, _)| passphrase.clone()).ok_or(keyring::Error::Passphrase))
    }

    /// Opens a home whose keys are not sealed.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_with(dir, || Err(keyring::Error::Passphrase))
    }

    /// Opens a home; asks for the passphrase if its keys are sealed.
    pub fn open_with(dir: &Path, ask: impl FnOnce() -> Result<Passphrase, keyring::Error>) -> Result<Self, Error> {
        let text = read_config(dir)?;
        let config = config::read(&text, |name| std::env::var(name).ok())?;
        let (Keys { identity, words, pending }, passphrase) = keyring::read(dir, ask)?;
        Ok(Self { dir: dir.into(), config, identity, words, pending, passphrase })
    }

    /// Its keys, all of them.
    fn keys(&self) -> Keys {
        let pending = self.pending.as_ref().map(Pending::copy);
        Keys { identity: self.identity.copy(), words: self.words.clone(), pending }
    }

    /// A connection to the wallet's database. One that is gone has an empty one in its place, which has forgotten what was
    /// granted and accepted: it is marked like one from a backup.
    pub fn store(&self) -> Result<Store, Error> {
        let store = Store::open_beginning(&self.wallet_path(), |tx| locking::mark_restored(tx))?;
        Ok(match &self.words {
            Some(key) => store.with_word_key(key.clone())?,
            None => store,
        })
    }

    /// The same, to read it and nothing else.
    pub fn store_to_read(&self) -> Result<Store, StoreError> {
        Store::open_to_read(&self.wallet_path(), self.words.clone())
    }

    /// Where the wallet's database is.
    pub fn wallet_path(&self) -> PathBuf {
        self.dir.join(WALLET)
    }
}

/// The text of a home's `peer.toml`.
pub(crate) fn read_config(dir: &Path) -> Result<String, Error> {
    let path = dir.join(CONFIG);
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing(dir.into()),
        _ => Error::Io(path, error),
    })
}

/// A new file of the owner's alone, durably.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        Point::FileFilled.reached();
        file.sync_all()
    };
    write().map_err(at(path))?;
    Point::FileKept.reached();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const BROKER: BrokerId = BrokerId([7; 16]);

    #[test]
    fn a_second_init_changes_nothing_and_a_home_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alice");
        let made = Home::create(&path, BROKER, "nats://x", None).expect("a new home");
        assert!(matches!(Home::create(&path, BrokerId([8; 16]), "nats://y", None), Err(Error::Exists(_))));
        let read = Home::open(&path).expect("the same home");
        assert_eq!(read.identity.peer(), made.identity.peer());
        assert_eq!(read.identity.register(BROKER), made.identity.register(BROKER));
        assert_eq!(read.config.broker, BROKER);
        let left = fs::read_dir(dir.path()).expect("a directory").count();
        assert_eq!(left, 1, "nothing unfinished stays behind");
    }

    #[test]
    fn a_home_whose_wallet_is_gone_or_empty_must_be_locked_before_it_pays_or_is_paid() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::create(&dir.path().join("alice"), BROKER, "nats://x", None).expect("a new home");
        let must_lock = || home.store().expect("opens").read(|tx| locking::must_lock(tx)).expect("read");
        assert!(!must_lock(), "a new home has nothing to forget");
        fs::remove_file(home.wallet_path()).expect("ours");
        assert!(Store::open(&home.wallet_path()).is_err(), "whoever serves makes none in its place");
        assert!(must_lock());
        fs::remove_file(home.wallet_path()).expect("ours");
        write_file(&home.wallet_path(), b"").expect("as a crash leaves it");
        assert!(must_lock());
    }

    #[test]
    fn a_key_that_others_can_read_stops_the_program() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alice");
        Home::create(&path, BROKER, "nats://x", None).expect("a new home");
        for key in ["signing.key", "sealing.key", "nats.key"] {
            let key = path.join(key);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("ours");
            assert!(matches!(Home::open(&path), Err(Error::Keys(keyring::Error::Readable(_)))), "{key:?}");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
        }
        Home::open(&path).expect("all mended");
    }

    #[test]
    fn a_sealed_home_opens_with_its_passphrase_only_and_its_words_are_sealed() {
        let passphrase = |text: &str| Passphrase::new(text.to_owned().into()).expect("not empty");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alice");
        let made = Home::create(&path, BROKER, "nats://x", Some((&passphrase("right"), Work::LITTLE))).expect("made");
        assert!(made.words.is_some());
        assert!(matches!(Home::open(&path), Err(Error::Keys(keyring::Error::Passphrase))));
        assert!(Home::open_with(&path, || Ok(passphrase("wrong"))).is_err());
        let opened = Home::open_with(&path, || Ok(passphrase("right"))).expect("opens");
        assert_eq!(opened.identity.peer(), made.identity.peer());
        opened.store().expect("opens");
    }
}
