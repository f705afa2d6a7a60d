//! Backups of a home: keys, configuration and the wallet's database in one sealed file.
//!
//! Taken while the peer serves, looked through whole before it gets its name, and never a reason to trust a wallet: a
//! home made from one is marked, and `wallet::locking` lets it grant, buy and accept nothing until the broker was asked.
//! The seal's tag stands for every byte, so that there is no other checksum. Asks nobody, and moves no money.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use netpay_crash_point::agent::Point;
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{self, PeerId};
use netpay_protocol::wire;
use zeroize::{Zeroize as _, Zeroizing};

use crate::home::identity::random_16;
use crate::home::keyring::{self, Keys};
use crate::home::sealed::{self, Passphrase, Work};
use crate::home::{self, Home};
use crate::ports::{Coins as _, StoreError};
use crate::store::{Store, WordKey};
use crate::wallet::locking;

const KIND: &[u8; 16] = b"netpay-backup/1\0";

/// What is wrong with a backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a file of that name.
    #[error("{0} exists; replace it with --force, or choose another name")]
    Exists(PathBuf),
    /// It does not open.
    #[error("{0}: {1}")]
    Sealed(PathBuf, sealed::Error),
    /// It opens, and what is in it does not fit together.
    #[error("the backup is not whole: {0}")]
    NotWhole(String),
    /// The file system failed.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The home.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The wallet's database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a backup holds, as it is sealed.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    at_ms: u64,
    #[n(1)]
    peer: PeerId,
    #[n(2)]
    config: String,
    #[cbor(n(3), with = "minicbor::bytes")]
    keys: Vec<u8>,
    #[cbor(n(4), with = "minicbor::bytes")]
    wallet: Vec<u8>,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.wallet.zeroize();
    }
}

/// A backup that was opened and looked through: it is whole.
pub struct Backup {
    /// When it was made.
    pub at_ms: u64,
    /// Whose it is.
    pub peer: PeerId,
    /// Its `peer.toml`.
    pub config: String,
    /// Its wallet, in memory.
    pub store: Store,
    keys: Keys,
    wallet: Zeroizing<Vec<u8>>,
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::Io(path.into(), error)
}

/// Makes a backup of a home at `file`, and looks it through before it gets that name.
pub fn create(
    home: &Home,
    passphrase: &Passphrase,
    work: Work,
    file: &Path,
    force: bool,
    now_ms: u64,
) -> Result<Backup, Error> {
    if !force && file.exists() {
        return Err(Error::Exists(file.into()));
    }
    let content = Content {
        at_ms: now_ms,
        peer: home.identity.peer(),
        config: home::read_config(&home.dir)?,
        keys: keyring::to_bytes(&home.keys()).to_vec(),
        wallet: copy(home)?.to_vec(),
    };
    let sealed = sealed::seal(KIND, passphrase, work, &Zeroizing::new(wire::encode(&content)));
    let backup = read(file, passphrase, &sealed)?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}", ids::to_hex(&random_16())));
    let written = home::write_file(&beside, &sealed).map_err(Error::Home);
    Point::BackupKept.reached();
    let placed = written.and_then(|()| place(&beside, file, force));
    let _ = fs::remove_file(&beside);
    Point::BackupTidied.reached();
    placed?;
    Ok(backup)
}

/// The wallet's database as it stands at one moment, whoever writes meanwhile.
fn copy(home: &Home) -> Result<Zeroizing<Vec<u8>>, Error> {
    let path = home.dir.join(format!(".backup.{}", ids::to_hex(&random_16())));
    home::write_file(&path, b"")?;
    let copied = home.store()?.copy_to(&path).map_err(Error::Store);
    Point::BackupCopied.reached();
    let bytes = copied.and_then(|()| fs::read(&path).map(Zeroizing::new).map_err(at(&path)));
    fs::remove_file(&path).map_err(at(&path))?;
    bytes
}

/// Gives a synced file its name, durably; without `force` by a link, which never takes a name that is in use.
fn place(beside: &Path, file: &Path, force: bool) -> Result<(), Error> {
    let named = if force { fs::rename(beside, file) } else { fs::hard_link(beside, file) };
    named.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(file.into()),
        _ => Error::Io(file.into(), error),
    })?;
    Point::BackupNamed.reached();
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Opens a backup and looks it through: the seal, the tables, every chain down to its root, the keys of that peer.
pub fn open(file: &Path, passphrase: &Passphrase) -> Result<Backup, Error> {
    read(file, passphrase, &fs::read(file).map_err(at(file))?)
}

fn read(file: &Path, passphrase: &Passphrase, bytes: &[u8]) -> Result<Backup, Error> {
    let not_whole = |what: &str| Error::NotWhole(what.into());
    let plain = sealed::open(KIND, passphrase, bytes).map_err(|error| Error::Sealed(file.into(), error))?;
    let mut content: Content = wire::decode(&plain).map_err(|error| Error::NotWhole(error.to_string()))?;
    let keys = keyring::from_bytes(&content.keys).ok_or_else(|| not_whole("it does not hold a peer's keys"))?;
    if keys.identity.peer() != content.peer {
        return Err(not_whole("its keys are another peer's"));
    }
    crate::home::config::read(&content.config, |_| None).map_err(|error| Error::NotWhole(error.to_string()))?;
    let wallet = Zeroizing::new(std::mem::take(&mut content.wallet));
    let mut store = Store::from_bytes(&wallet)?;
    if let Some(words) = &keys.words {
        store = store.with_word_key(words.clone())?;
    }
    for ecoin in store.read(|tx| tx.all_ecoins())? {
        let t = &ecoin.touchstone.content;
        if PaywordChain::below(t.suite, &t.ecoin, t.n, ecoin.last).root() != t.root {
            return Err(not_whole("the words of an e-coin do not lead to its root"));
        }
    }
    let config = std::mem::take(&mut content.config);
    Ok(Backup { at_ms: content.at_ms, peer: content.peer, config, store, keys, wallet })
}

/// Makes a home of a backup: sealed with the same passphrase, and marked as one that must be locked first. A crash leaves
/// no home, or all of it with its mark.
pub fn restore(backup: Backup, dir: &Path, passphrase: &Passphrase, work: Work) -> Result<Home, Error> {
    let Backup { mut keys, config, wallet, .. } = backup;
    let words = keys.words.get_or_insert_with(WordKey::generate).clone();
    Ok(Home::make(dir, &keys, Some((passphrase, work)), &config, |path| {
        home::write_file(path, &wallet)?;
        let store = Store::open(path)?.with_word_key(words)?;
        store.write(|tx| locking::mark_restored(tx))?;
        Point::HomeMarked.reached();
        Ok(())
    })?)
}

#[cfg(test)]
mod tests {
    use netpay_protocol::ids::BrokerId;
    use netpay_protocol::suite::Suite;

    use super::*;
    use crate::ports::{Slot, Slots as _};
    use crate::tests::broker::{NOW, TestBroker};
    use crate::tests::trade::{Peer, chain_of};

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned().into()).expect("not empty")
    }

    struct Scene {
        dir: tempfile::TempDir,
        home: Home,
        ecoin: ids::EcoinId,
    }

    /// A home with one e-coin.
    fn scene(seal: Option<&Passphrase>) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let seal = seal.map(|passphrase| (passphrase, Work::LITTLE));
        let home = Home::create(&dir.path().join("alice"), BrokerId([7; 16]), "nats://x", seal).expect("a home");
        let mut alice = Peer::new(1);
        alice.store = home.store().expect("opens");
        let ecoin = alice.buy(&TestBroker::new(), chain_of(50, Suite::Sha256)).remove(0).ecoin;
        Scene { dir, home, ecoin }
    }

    #[test]
    fn a_home_made_from_a_backup_has_everything_is_sealed_and_must_be_locked_first() {
        let right = passphrase("right");
        for seal in [None, Some(&right)] {
            let Scene { dir, home, ecoin } = scene(seal);
            let file = dir.path().join("alice.backup");
            create(&home, &right, Work::LITTLE, &file, false, NOW).expect("made");
            let backup = open(&file, &right).expect("whole");
            assert_eq!((backup.at_ms, backup.peer), (NOW, home.identity.peer()));
            let again = dir.path().join("again");
            let restored = restore(backup, &again, &right, Work::LITTLE).expect("a home");
            assert_eq!(restored.identity.register(home.config.broker), home.identity.register(home.config.broker));
            assert_eq!(restored.config, home.config);
            assert!(keyring::is_sealed(&again));
            let store = restored.store().expect("opens");
            assert!(store.read(|tx| locking::must_lock(tx)).expect("read"));
            let last = |store: &Store| store.read(|tx| tx.ecoin(ecoin)).expect("read").expect("there").last;
            assert_eq!(last(&store), last(&home.store().expect("opens")));
            assert!(home.store().expect("opens").read(|tx| tx.slot(Slot::Restored)).expect("read").is_none());
            let backup = open(&file, &right).expect("whole");
            assert!(matches!(restore(backup, &again, &right, Work::LITTLE), Err(Error::Home(home::Error::Exists(_)))));
        }
    }

    #[test]
    fn a_backup_is_its_owners_alone_and_never_written_over_without_force() {
        use std::os::unix::fs::PermissionsExt as _;
        let right = passphrase("right");
        let Scene { dir, home, .. } = scene(Some(&right));
        let file = dir.path().join("alice.backup");
        create(&home, &right, Work::LITTLE, &file, false, NOW).expect("made");
        let held = fs::read(&file).expect("there");
        let second = create(&home, &right, Work::LITTLE, &file, false, NOW);
        assert!(matches!(second, Err(Error::Exists(_))));
        let raced = dir.path().join("beside");
        fs::write(&raced, b"new").expect("written");
        assert!(matches!(place(&raced, &file, false), Err(Error::Exists(_))), "also when it came in between");
        assert_eq!(fs::read(&file).expect("there"), held);
        create(&home, &right, Work::LITTLE, &file, true, NOW).expect("replaced");
        assert_ne!(fs::read(&file).expect("there"), held);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        fs::remove_file(&raced).expect("ours");
        let left: Vec<_> = fs::read_dir(dir.path()).expect("there").collect();
        assert_eq!(left.len(), 2, "the home and the backup, nothing beside: {left:?}");
        let in_home = fs::read_dir(&home.dir)
            .expect("there")
            .filter_map(|file| file.expect("there").file_name().into_string().ok());
        assert!(in_home.into_iter().all(|name| !name.starts_with(".backup")));
    }

    #[test]
    fn a_backup_with_a_changed_byte_or_another_passphrase_does_not_open() {
        let right = passphrase("right");
        let Scene { dir, home, .. } = scene(Some(&right));
        let file = dir.path().join("alice.backup");
        create(&home, &right, Work::LITTLE, &file, false, NOW).expect("made");
        assert!(matches!(open(&file, &passphrase("wrong")), Err(Error::Sealed(..))));
        let bytes = fs::read(&file).expect("there");
        for place in [0, 30, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(read(&file, &right, &changed).is_err(), "byte {place}");
        }
        assert!(read(&file, &right, &bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_backup_whose_words_its_keys_do_not_open_is_not_made() {
        let right = passphrase("right");
        let Scene { dir, mut home, .. } = scene(Some(&right));
        home.store().expect("sealed");
        home.words = None;
        let file = dir.path().join("alice.backup");
        assert!(create(&home, &right, Work::LITTLE, &file, false, NOW).is_err());
        assert!(!file.exists());
    }
}
