//! A peer's directory: `peer.toml`, key files (0600, or the program refuses to start), `wallet.sqlite`.
//!
//! A new home is made beside its place and moved there whole, so that a crash leaves none or all of it; one that exists
//! is never written over.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use netpay_protocol::ids::{self, BrokerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::sealing::SealingKey;

use crate::config::{self, Config};
use crate::identity::Identity;
use crate::ports::StoreError;
use crate::store::Store;

const CONFIG: &str = "peer.toml";
const SIGNING: &str = "signing.key";
const SEALING: &str = "sealing.key";
const NATS: &str = "nats.key";
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
    /// Others can read a key.
    #[error("{0} can be read by others; make it yours alone with: chmod 600 {0}")]
    Readable(PathBuf),
    /// A key file that holds no key.
    #[error("{0} does not hold a key")]
    NotAKey(PathBuf),
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
    /// Makes a home with new keys.
    pub fn create(dir: &Path, broker: BrokerId, nats: &str) -> Result<Self, Error> {
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
            parent.join(format!(".{}.{}", name.to_string_lossy(), ids::to_hex(&crate::identity::random_16())));
        fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(at(&unfinished))?;
        let made = fill(&unfinished, broker, nats).and_then(|()| {
            // Moving onto a directory succeeds only if that is empty: whoever comes second changes nothing.
            fs::rename(&unfinished, dir)
                .map_err(|error| if in_use(dir) { Error::Exists(dir.into()) } else { Error::Io(dir.into(), error) })?;
            sync_dir(parent)
        });
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        Self::open(dir)
    }

    /// Opens a home.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(CONFIG);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing(dir.into()));
            }
            Err(error) => return Err(Error::Io(path, error)),
        };
        Ok(Self {
            dir: dir.into(),
            config: config::read(&text, |name| std::env::var(name).ok())?,
            identity: Identity {
                signing: read_seed(&dir.join(SIGNING))?,
                sealing: {
                    let path = dir.join(SEALING);
                    SealingKey::from_der(&read_key(&path)?).map_err(|_| Error::NotAKey(path))?
                },
                nats: read_seed(&dir.join(NATS))?,
            },
        })
    }

    /// A connection to the wallet's database.
    pub fn store(&self) -> Result<Store, Error> {
        Ok(Store::open(&self.wallet_path())?)
    }

    /// Where the wallet's database is.
    pub fn wallet_path(&self) -> PathBuf {
        self.dir.join(WALLET)
    }
}

fn fill(dir: &Path, broker: BrokerId, nats: &str) -> Result<(), Error> {
    let identity = Identity::generate();
    let hex = |key: &SigningKey| format!("{}\n", ids::to_hex(key.seed().as_slice())).into_bytes();
    write_key(&dir.join(SIGNING), &hex(&identity.signing))?;
    write_key(&dir.join(SEALING), &identity.sealing.to_der())?;
    write_key(&dir.join(NATS), &hex(&identity.nats))?;
    write_key(&dir.join(CONFIG), config::new_file(broker, nats).as_bytes())?;
    // The database is made with the rights of the directory's owner alone, before SQLite writes to it.
    write_key(&dir.join(WALLET), b"")?;
    Store::open(&dir.join(WALLET))?;
    sync_dir(dir)
}

fn write_key(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

fn read_key(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    let rights = fs::metadata(path).map_err(at(path))?.permissions().mode();
    if rights & 0o077 != 0 {
        return Err(Error::Readable(path.into()));
    }
    fs::read(path).map(Into::into).map_err(at(path))
}

fn read_seed(path: &Path) -> Result<SigningKey, Error> {
    let bytes = read_key(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::NotAKey(path.into()))?;
    ids::from_hex::<32>(text.trim()).map(|seed| SigningKey::from_seed(&seed)).map_err(|_| Error::NotAKey(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId([7; 16]);

    #[test]
    fn a_second_init_changes_nothing_and_a_home_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alice");
        let made = Home::create(&path, BROKER, "nats://x").expect("a new home");
        assert!(matches!(Home::create(&path, BrokerId([8; 16]), "nats://y"), Err(Error::Exists(_))));
        let read = Home::open(&path).expect("the same home");
        assert_eq!(read.identity.peer(), made.identity.peer());
        assert_eq!(read.identity.register(BROKER), made.identity.register(BROKER));
        assert_eq!(read.config.broker, BROKER);
        let left = fs::read_dir(dir.path()).expect("a directory").count();
        assert_eq!(left, 1, "nothing unfinished stays behind");
    }

    #[test]
    fn a_key_that_others_can_read_stops_the_program() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alice");
        Home::create(&path, BROKER, "nats://x").expect("a new home");
        for key in [SIGNING, SEALING, NATS] {
            let key = path.join(key);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("ours");
            assert!(matches!(Home::open(&path), Err(Error::Readable(_))), "{key:?}");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
        }
        Home::open(&path).expect("all mended");
    }
}
