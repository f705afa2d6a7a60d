//! The broker's key files, and signing with them.
//!
//! Every file is 0600, or the program refuses to start: these keys are the broker's word and its customers' money.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use netpay_protocol::chain::{ChainMaster, reaches_root};
use netpay_protocol::ids::{BrokerId, Digest, Kid, from_hex, to_hex};
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::{PublicKey, SigningKey};
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::{DAY_MS, MAX_KEY_LIST_LIFE_MS};
use netpay_protocol::query::Answer;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use zeroize::Zeroizing;

pub mod cluster;
pub mod rotate;

/// The epoch of a new broker's chain master key.
const FIRST_EPOCH: u32 = 1;

/// The keys that the key list names, by their files.
pub const PURPOSES: [(&str, Purpose); 3] =
    [("touchstone", Purpose::Touchstone), ("statement", Purpose::Statement), ("notice", Purpose::Notice)];

/// The operating system's randomness.
pub fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// The keys a serving broker holds. The root key is not among them: it only signs key lists.
pub struct BrokerKeys {
    /// Who we are.
    pub broker: BrokerId,
    /// The list that peers get.
    pub list: SignedKeyList,
    touchstone: SigningKey,
    statement: SigningKey,
    notice: SigningKey,
    /// Seeds of all chains are derived from these, one for each epoch.
    masters: BTreeMap<u32, ChainMaster>,
}

/// The folder of key files.
#[derive(Clone, Debug)]
pub struct KeyFolder(pub PathBuf);

impl KeyFolder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// Draws a key and writes it. Never overwrites.
    pub fn create(&self, name: &str) -> anyhow::Result<SigningKey> {
        let key = SigningKey::generate(&mut rng());
        self.write(name, &key.seed())?;
        Ok(key)
    }

    /// Draws the chain master key and writes it. Never overwrites.
    pub fn create_master(&self) -> anyhow::Result<()> {
        self.create_master_of(FIRST_EPOCH)
    }

    fn create_master_of(&self, epoch: u32) -> anyhow::Result<()> {
        self.write(&master_name(epoch), &SigningKey::generate(&mut rng()).seed())
    }

    /// The epochs whose chain master keys are here.
    pub fn epochs(&self) -> anyhow::Result<Vec<u32>> {
        let files = fs::read_dir(&self.0).with_context(|| format!("cannot read {}", self.0.display()))?;
        let mut epochs = Vec::new();
        for file in files {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("chain-master-")?.strip_suffix(".key"));
            epochs.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn write(&self, name: &str, seed: &Zeroizing<[u8; 32]>) -> anyhow::Result<()> {
        let path = self.path(name);
        let text = Zeroizing::new(to_hex(seed.as_slice()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot create key file {}", path.display()))?;
        writeln!(file, "{}", text.as_str())?;
        file.sync_all()?;
        Ok(())
    }

    fn read(&self, name: &str) -> anyhow::Result<Zeroizing<[u8; 32]>> {
        let path = self.path(name);
        let found = fs::metadata(&path).with_context(|| format!("cannot read key file {}", path.display()))?;
        let mode = found.permissions().mode() & 0o777;
        ensure!(
            mode & 0o077 == 0,
            "key file {} is readable by others (mode {mode:o}); make it private: chmod 600 {}",
            path.display(),
            path.display()
        );
        let text = Zeroizing::new(fs::read_to_string(&path)?);
        match from_hex::<32>(text.trim()) {
            Ok(seed) => Ok(Zeroizing::new(seed)),
            Err(_) => bail!("key file {} does not hold 64 hex digits", path.display()),
        }
    }

    /// Reads a signing key.
    pub fn signing_key(&self, name: &str) -> anyhow::Result<SigningKey> {
        Ok(SigningKey::from_seed(&*self.read(name)?))
    }

    /// Makes the key list of a new broker. The root key file can be moved off-line afterwards.
    pub fn issue_list(&self, root: &SigningKey, now_ms: u64) -> anyhow::Result<SignedKeyList> {
        let of = |name: &str, purpose| -> anyhow::Result<ListedKey> {
            Ok(listed(self.signing_key(name)?.public(), purpose, now_ms))
        };
        let list = KeyList {
            broker: BrokerId::of(&root.public()),
            incarnation: 1,
            seq: now_ms,
            issued_at_ms: now_ms,
            next_at_ms: now_ms + MAX_KEY_LIST_LIFE_MS,
            keys: PURPOSES.into_iter().map(|(name, purpose)| of(name, purpose)).collect::<anyhow::Result<_>>()?,
        };
        Ok(SignedKeyList { root: root.public(), list: Signed::new(list, root) })
    }

    /// Reads all keys that a serving broker needs. The key list is renewed when half its life is over, if the root key is
    /// at hand.
    pub fn load(&self, broker: BrokerId, now_ms: u64) -> anyhow::Result<BrokerKeys> {
        self.finish_rotations(broker)?;
        let mut list = self.read_list(broker)?;
        let content = &list.list.content;
        let half_over = now_ms > content.issued_at_ms + (content.next_at_ms - content.issued_at_ms) / 2;
        if half_over && self.path("root").exists() {
            list = renewed(&list, &self.signing_key("root")?, now_ms);
            self.write_list(&list)?;
        } else if half_over {
            tracing::warn!(
                "half of the key list's life is over and the root key is not here: bring it, and start again"
            );
        }
        for (name, purpose) in PURPOSES {
            let kid = Kid::of(&self.signing_key(name)?.public());
            let speaks = list.verify(broker)?.find(kid, purpose, now_ms).is_some();
            ensure!(
                speaks,
                "the {name} key is not in the key list, or retired or revoked there: peers would not believe what it signs; \
                 make another: netpay-broker key rotate {name}"
            );
        }
        let master = |epoch: u32| Ok((epoch, ChainMaster::new(*self.read(&master_name(epoch))?)));
        let masters: BTreeMap<_, _> = self.epochs()?.into_iter().map(master).collect::<anyhow::Result<_>>()?;
        ensure!(!masters.is_empty(), "there is no chain master key in {}: bring it back", self.0.display());
        Ok(BrokerKeys {
            broker,
            list,
            touchstone: self.signing_key("touchstone")?,
            statement: self.signing_key("statement")?,
            notice: self.signing_key("notice")?,
            masters,
        })
    }

    fn list_path(&self) -> PathBuf {
        self.0.join("key-list.cbor")
    }

    /// Writes the key list, whole or not at all.
    pub fn write_list(&self, list: &SignedKeyList) -> anyhow::Result<()> {
        write_whole(&self.list_path(), &wire::encode(list))
    }

    /// Reads the key list, and checks that it is the pinned broker's.
    pub fn read_list(&self, broker: BrokerId) -> anyhow::Result<SignedKeyList> {
        let path = self.list_path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read key list {}", path.display()))?;
        let list: SignedKeyList = wire::decode(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        list.verify(broker).with_context(|| format!("{} is not this broker's", path.display()))?;
        Ok(list)
    }
}

fn listed(key: PublicKey, purpose: Purpose, now_ms: u64) -> ListedKey {
    let not_after_ms = now_ms + 3_650 * DAY_MS;
    // An hour of leeway for peers whose clocks are behind.
    let not_before_ms = now_ms.saturating_sub(3_600_000);
    ListedKey { kid: Kid::of(&key), key, purpose, not_before_ms, not_after_ms, revoked_at_ms: 0 }
}

/// The same keys for another while. What they may sign, and since when, stays: it was signed with them before.
fn renewed(old: &SignedKeyList, root: &SigningKey, now_ms: u64) -> SignedKeyList {
    reissued(&old.list.content, old.list.content.keys.clone(), root, now_ms)
}

/// The next list after this one.
fn reissued(old: &KeyList, keys: Vec<ListedKey>, root: &SigningKey, now_ms: u64) -> SignedKeyList {
    let list = KeyList {
        broker: old.broker,
        incarnation: old.incarnation,
        seq: now_ms.max(old.seq + 1),
        issued_at_ms: now_ms,
        next_at_ms: now_ms + MAX_KEY_LIST_LIFE_MS,
        keys,
    };
    SignedKeyList { root: root.public(), list: Signed::new(list, root) }
}

fn master_name(epoch: u32) -> String {
    format!("chain-master-{epoch}")
}

/// Writes a file beside its place, syncs it, and moves it there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(())
}

impl BrokerKeys {
    /// The chain master key that new chains are made with, and its epoch.
    pub fn master(&self) -> (u32, &ChainMaster) {
        self.masters.last_key_value().map(|(epoch, master)| (*epoch, master)).expect("loaded with at least one")
    }

    /// The chain master key of an epoch, if it is here.
    pub fn master_of(&self, epoch: u32) -> Option<&ChainMaster> {
        self.masters.get(&epoch)
    }

    /// The kid that touchstones and sealed paywords carry.
    pub fn touchstone_kid(&self) -> Kid {
        Kid::of(&self.touchstone.public())
    }

    /// The kid that statements and answers carry.
    pub fn statement_kid(&self) -> Kid {
        Kid::of(&self.statement.public())
    }

    /// The kid that notices carry.
    pub fn notice_kid(&self) -> Kid {
        Kid::of(&self.notice.public())
    }

    /// The epoch whose master key made this e-coin's chain; none that we hold: it is no e-coin of ours, whatever signed it.
    pub fn epoch_of(&self, t: &Touchstone) -> Option<u32> {
        let made = |master: &ChainMaster| {
            reaches_root(t.suite, &t.ecoin, &t.root, t.n, &master.last_word(t.suite, &t.ecoin, t.n))
        };
        self.masters.iter().rev().find(|(_, master)| made(master)).map(|(epoch, _)| *epoch)
    }

    /// Signs a touchstone or sealed paywords.
    pub fn sign_sale<L: Layout>(&self, content: L) -> Signed<L> {
        Signed::new(content, &self.touchstone)
    }

    /// Signs a statement.
    pub fn sign_statement<L: Layout>(&self, content: L) -> Signed<L> {
        Signed::new(content, &self.statement)
    }

    /// Signs a notice.
    pub fn sign_notice<L: Layout>(&self, content: L) -> Signed<L> {
        Signed::new(content, &self.notice)
    }

    /// Signs the answer to the question with this digest.
    pub fn answer<T: minicbor::Encode<()>>(&self, about: Digest, now_ms: u64, body: &T) -> Signed<Answer> {
        let body = wire::encode(body);
        self.sign_statement(Answer {
            broker: self.broker,
            kid: self.statement_kid(),
            about,
            issued_at_ms: now_ms,
            body,
        })
    }
}

/// The ledger's name for an operator: it shares its table of request ids with peers, and never meets one.
pub fn operator_id(key: &PublicKey) -> netpay_protocol::ids::PeerId {
    let digest = Digest::sha256(&[b"p2p-netpay/v1/operator".as_slice(), &key.0].concat());
    netpay_protocol::ids::PeerId(*digest.0.first_chunk().expect("32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_key_list_still_covers_what_was_signed_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyFolder(dir.path().to_owned());
        let root = keys.create("root").expect("a key");
        for (name, _) in PURPOSES {
            keys.create(name).expect("a key");
        }
        keys.create_master().expect("a key");
        let (broker, start) = (BrokerId::of(&root.public()), 1_000 * DAY_MS);
        keys.write_list(&keys.issue_list(&root, start).expect("a list")).expect("written");
        let later = start + 60 * DAY_MS;
        let loaded = keys.load(broker, later).expect("keys");
        let list = loaded.list.verify(broker).expect("ours");
        assert_eq!(list.list().next_at_ms, later + MAX_KEY_LIST_LIFE_MS, "renewed");
        for at in [start, later] {
            assert!(list.find(loaded.touchstone_kid(), Purpose::Touchstone, at).is_some(), "signed at {at}");
        }
    }
}
