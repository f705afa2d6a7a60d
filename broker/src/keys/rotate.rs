//! Other keys for a broker. The old one is retired (what it signed stays good) or, if it is in other hands, revoked.
//!
//! In steps of which each can be the last before a crash: the new key is drawn under a name of its own; the list that names
//! it goes into the ledger, then into its file; then the new key takes the old one's name. The list decides: a key that it
//! does not name yet waits, and one that it names is moved into place by the next start.

use std::fs;

use anyhow::{Context as _, ensure};
use netpay_protocol::ids::{BrokerId, Kid};
use netpay_protocol::key_list::{Purpose, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::limits::MAX_KEYS;

use super::{KeyFolder, PURPOSES, listed, reissued};

fn waiting(name: &str) -> String {
    format!("{name}.new")
}

impl KeyFolder {
    /// Draws the key that is to follow, and signs the list that says so. Nothing has changed before [`Self::take_over`].
    /// After a crash the same key is taken again.
    pub fn prepare_rotation(
        &self,
        broker: BrokerId,
        (name, purpose): (&str, Purpose),
        revoke: bool,
        now_ms: u64,
    ) -> anyhow::Result<SignedKeyList> {
        let root = self.signing_key("root").context("a key list is signed by the root key: bring root.key here")?;
        let old = self.read_list(broker)?;
        let next = waiting(name);
        let new = if self.path(&next).exists() { self.signing_key(&next)? } else { self.create(&next)? };
        fs::File::open(&self.0)?.sync_all()?;
        let present = Kid::of(&self.signing_key(name)?.public());
        let mut keys = old.list.content.keys.clone();
        for key in keys.iter_mut().filter(|key| key.kid == present && key.purpose == purpose) {
            if revoke {
                key.revoked_at_ms = now_ms;
            } else {
                key.not_after_ms = key.not_after_ms.min(now_ms);
            }
        }
        keys.push(listed(new.public(), purpose, now_ms));
        ensure!(u32::try_from(keys.len()).is_ok_and(|len| len <= MAX_KEYS), "a key list holds {MAX_KEYS} keys at most");
        Ok(reissued(&old.list.content, keys, &root, now_ms))
    }

    /// Writes a list that is in the ledger, unless the file is newer, and moves the keys that it names into place.
    pub fn take_over(&self, list: &SignedKeyList, broker: BrokerId) -> anyhow::Result<()> {
        let new = list.verify(broker).context("the ledger holds a key list of another broker")?;
        if new.is_newer_than(&self.read_list(broker)?.verify(broker)?) {
            self.write_list(list)?;
            fs::File::open(&self.0)?.sync_all()?;
        }
        self.finish_rotations(broker)
    }

    /// Moves every new key that the list names into the place of the old one.
    pub(super) fn finish_rotations(&self, broker: BrokerId) -> anyhow::Result<()> {
        let list = self.read_list(broker)?;
        for (name, purpose) in PURPOSES {
            let next = waiting(name);
            if !self.path(&next).exists() {
                continue;
            }
            let kid = Kid::of(&self.signing_key(&next)?.public());
            if list.list.content.keys.iter().any(|key| key.kid == kid && key.purpose == purpose) {
                fs::rename(self.path(&next), self.path(name))?;
                fs::File::open(&self.0)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Draws the chain master key of the next epoch. The earlier ones stay: lost replies and restored e-coins need them.
    pub fn rotate_master(&self) -> anyhow::Result<u32> {
        let next = self.epochs()?.last().context("there is no chain master key here")? + 1;
        self.create_master_of(next)?;
        fs::File::open(&self.0)?.sync_all()?;
        Ok(next)
    }

    /// Whether the private key of this name is the one with this kid.
    pub fn holds(&self, name: &str, kid: Kid) -> bool {
        self.signing_key(name).is_ok_and(|key: SigningKey| Kid::of(&key.public()) == kid)
    }
}

#[cfg(test)]
mod tests {
    use netpay_protocol::limits::DAY_MS;

    use super::*;

    const START_MS: u64 = 1_000 * DAY_MS;
    const LATER_MS: u64 = START_MS + DAY_MS;
    const TOUCHSTONE: (&str, Purpose) = ("touchstone", Purpose::Touchstone);

    struct Given {
        _dir: tempfile::TempDir,
        keys: KeyFolder,
        broker: BrokerId,
        old: Kid,
    }

    fn given() -> Given {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyFolder(dir.path().to_owned());
        let root = keys.create("root").expect("a key");
        for (name, _) in PURPOSES {
            keys.create(name).expect("a key");
        }
        keys.create_master().expect("a key");
        keys.write_list(&keys.issue_list(&root, START_MS).expect("a list")).expect("written");
        let old = Kid::of(&keys.signing_key("touchstone").expect("there").public());
        Given { _dir: dir, keys, broker: BrokerId::of(&root.public()), old }
    }

    impl Given {
        fn rotate(&self, revoke: bool) -> SignedKeyList {
            self.keys.prepare_rotation(self.broker, TOUCHSTONE, revoke, LATER_MS).expect("a list")
        }

        fn signs_with(&self) -> Kid {
            self.keys.load(self.broker, LATER_MS).expect("keys").touchstone_kid()
        }
    }

    #[test]
    fn a_retired_key_stays_good_for_what_it_signed_and_signs_nothing_more() {
        let given = given();
        let list = given.rotate(false);
        given.keys.take_over(&list, given.broker).expect("taken over");
        let new = given.signs_with();
        assert_ne!(new, given.old);
        let list = list.verify(given.broker).expect("ours");
        assert!(list.find(given.old, Purpose::Touchstone, LATER_MS).is_some());
        assert!(list.find(given.old, Purpose::Touchstone, LATER_MS + 1).is_none());
        assert!(list.find(new, Purpose::Touchstone, LATER_MS).is_some());
    }

    #[test]
    fn a_revoked_key_is_good_for_nothing_it_ever_signed() {
        let given = given();
        let list = given.rotate(true);
        given.keys.take_over(&list, given.broker).expect("taken over");
        assert_ne!(given.signs_with(), given.old);
        let list = list.verify(given.broker).expect("ours");
        assert!(list.find(given.old, Purpose::Touchstone, START_MS).is_none());
    }

    /// After each step that a crash may follow, the broker signs with a key that its list names.
    #[test]
    fn a_rotation_that_was_cut_off_leaves_the_old_key_or_the_new_one() {
        let given = given();
        let list = given.rotate(false);
        assert_eq!(given.signs_with(), given.old, "drawn, and not in the ledger");
        let again = given.rotate(false);
        let named = |list: &SignedKeyList| list.list.content.keys.last().map(|key| key.kid);
        assert_eq!(named(&list), named(&again), "the same key is taken again");
        given.keys.write_list(&again).expect("written");
        assert_eq!(Some(given.signs_with()), named(&again), "the list is written, the key was not moved");
    }

    #[test]
    fn a_list_of_the_ledger_that_is_older_than_the_file_changes_nothing() {
        let given = given();
        let first = given.rotate(false);
        given.keys.take_over(&first, given.broker).expect("taken over");
        let second = given.keys.prepare_rotation(given.broker, TOUCHSTONE, false, LATER_MS + 1).expect("a list");
        given.keys.take_over(&second, given.broker).expect("taken over");
        given.keys.take_over(&first, given.broker).expect("nothing to do");
        assert_eq!(given.keys.read_list(given.broker).expect("a list"), second);
    }

    #[test]
    fn a_new_epoch_makes_new_chains_and_the_old_one_is_kept() {
        let given = given();
        assert_eq!(given.keys.rotate_master().expect("drawn"), 2);
        let loaded = given.keys.load(given.broker, LATER_MS).expect("keys");
        assert_eq!(loaded.master().0, 2);
        assert!(loaded.master_of(1).is_some() && loaded.master_of(3).is_none());
    }
}
