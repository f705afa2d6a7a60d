//! Backups made, damaged in every way, and restored, on a disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use netpay_ledger::event::Event;
use netpay_ledger::rows::Totals;
use netpay_protocol::ids::BrokerId;
use netpay_protocol::redemption::Head;
use tempfile::TempDir;

use super::{NotGood, check, create, restore};
use crate::cli::{NotFound, Said};
use crate::config::{Config, FILE, Role};
use crate::ports::{Copies as _, now_ms};
use crate::store::{Contents, Entry, Hold, OpenError, Replica, Store};

/// A stopped broker with a few records.
struct Given {
    dir: TempDir,
    config: Config,
}

fn given() -> Given {
    let dir = tempfile::tempdir().expect("a directory");
    let config = broker(&dir.path().join("broker"), BrokerId([1; 16]));
    let store = Store::create(&config.ledger()).expect("a new ledger");
    restore::append(&store, 1, now_ms(), Event::ClockDoubted {}).expect("written");
    for incarnation in [2, 3] {
        let event = lived(incarnation, &store);
        restore::append(&store, incarnation, now_ms(), event).expect("written");
    }
    drop(store);
    Given { dir, config }
}

/// Something to record.
fn lived(incarnation: u64, store: &Store) -> Event {
    let Totals { head, recorded_at_ms, .. } = check::totals(store).expect("readable");
    Event::LedgerRestored { incarnation, head, head_at_ms: recorded_at_ms }
}

fn broker(dir: &Path, id: BrokerId) -> Config {
    std::fs::create_dir(dir).expect("our own directory");
    let text = Config::new_file(id, Role::Broker, "nats://127.0.0.1:1", "127.0.0.1:0", &[]);
    std::fs::write(dir.join(FILE), text).expect("our own file");
    Config::load(dir).expect("just written")
}

impl Given {
    fn backup(&self) -> PathBuf {
        let dir = self.dir.path().join("backup");
        make(&dir, &self.config).expect("made");
        dir
    }

    /// The backup, with the directory that holds it.
    fn backup_kept(self) -> (Self, PathBuf) {
        let backup = self.backup();
        (self, backup)
    }

    fn lose_the_ledger(&self) {
        std::fs::rename(self.config.ledger(), self.dir.path().join(format!("lost-{}", now_ms()))).expect("ours");
    }

    fn totals(&self) -> Totals {
        check::totals(&Store::open_read_only(&self.config.ledger()).expect("there")).expect("readable")
    }
}

fn make(dir: &Path, config: &Config) -> anyhow::Result<Said> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(create(dir, config))
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}

fn broken(backup: &Path) -> Option<String> {
    let Said { json, code, .. } = check::verify(backup).expect("a backup");
    assert_eq!(json["ok"], code == 0);
    (code == 7).then(|| json["broken"].to_string())
}

#[test]
fn verifying_a_whole_backup_finds_nothing_and_changes_no_byte_and_no_name() {
    let (_given, backup) = given().backup_kept();
    let before = files(&backup);
    assert_eq!(broken(&backup), None);
    assert_eq!(files(&backup), before);
}

#[test]
fn one_flipped_bit_in_any_file_a_missing_one_and_one_too_many_are_found() {
    let (_given, backup) = given().backup_kept();
    let whole = files(&backup);
    assert!(whole.len() > 4, "{:?}", whole.keys());
    for (path, bytes) in &whole {
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            let mut flipped = bytes.clone();
            let Some(byte) = flipped.get_mut(at) else { continue };
            *byte ^= 1 << (at % 8);
            std::fs::write(path, flipped).expect("our own file");
            assert!(broken(&backup).is_some(), "bit {at} of {}", path.display());
        }
        std::fs::remove_file(path).expect("our own file");
        let said = broken(&backup).expect("one is gone");
        assert!(said.contains("is missing") || said.contains("cannot be read"), "{said}");
        std::fs::write(path, bytes).expect("our own file");
    }
    let manifest = backup.join("manifest.json");
    for (at, bit) in (0..whole[&manifest].len()).map(|at| (at, at % 8)) {
        let mut flipped = whole[&manifest].clone();
        flipped[at] ^= 1 << bit;
        std::fs::write(&manifest, flipped).expect("our own file");
        assert!(super::Manifest::read(&backup).is_err(), "bit {bit} of byte {at} of the manifest");
    }
    // Its checksum does not tell how it is set out.
    std::fs::write(&manifest, [&whole[&manifest][..], b"\n"].concat()).expect("our own file");
    assert!(broken(&backup).expect("found").contains("was changed"));
    std::fs::write(&manifest, &whole[&manifest]).expect("our own file");
    let folder = backup.join("ledger").join("lost");
    std::fs::create_dir(&folder).expect("our own folder");
    assert!(broken(&backup).expect("found").contains("is not a file"));
    std::fs::remove_dir(&folder).expect("our own folder");
    let more = backup.join("ledger").join("000099.log");
    std::fs::write(&more, b"").expect("our own file");
    assert!(broken(&backup).expect("found").contains("000099.log"));
    std::fs::remove_file(&more).expect("our own file");
    assert_eq!(broken(&backup), None);
}

/// Who changes a manifest and its checksum, too, is found out by what the ledger holds.
#[test]
fn a_manifest_that_says_something_else_than_the_ledger_holds_is_found() {
    let (_given, backup) = given().backup_kept();
    let good = super::Manifest::read(&backup).expect("whole");
    let contents = check::contents(&backup.join("ledger")).expect("whole");
    type Change = fn(&mut Contents);
    let changes: [(&str, Change); 5] = [
        ("position", |c| c.head.position += 1),
        ("head", |c| c.head.hash.0[0] ^= 1),
        ("digest", |c| c.digest.0[0] ^= 1),
        ("incarnation", |c| c.incarnation += 1),
        ("recorded_at_ms", |c| c.recorded_at_ms += 1),
    ];
    for (what, change) in changes {
        let mut other = check::contents(&backup.join("ledger")).expect("whole");
        change(&mut other);
        let manifest = super::Manifest::new(BrokerId([1; 16]), &other, good.files.clone(), good.created_at_ms);
        manifest.write(&backup).expect("written");
        assert!(broken(&backup).expect("found").contains(&format!("another {what}")), "{what}");
    }
    let manifest = super::Manifest::new(BrokerId([1; 16]), &contents, good.files, good.created_at_ms);
    manifest.write(&backup).expect("written");
    assert_eq!(broken(&backup), None);
}

#[test]
fn a_backup_is_never_written_over_anything_and_a_killed_ones_copy_is_in_nobodys_way() {
    let given = given();
    std::fs::create_dir(crate::store::copy_of(&given.config.ledger())).expect("left by a killed command");
    let backup = given.backup();
    let before = files(&backup);
    make(&backup, &given.config).map(|said| said.text).expect_err("it is there");
    assert_eq!(files(&backup), before);
    assert!(!crate::store::copy_of(&given.config.ledger()).exists());
    let missing = check::verify(&given.dir.path().join("nothing")).map(|said| said.text).expect_err("nothing there");
    assert!(missing.is::<NotFound>());
}

#[test]
fn a_restored_ledger_is_the_backup_and_one_record_of_a_later_life() {
    let (given, backup) = given().backup_kept();
    let before = given.totals();
    given.lose_the_ledger();
    std::fs::create_dir(given.config.dir.join("ledger.restoring")).expect("left by a killed command");
    let start_ms = now_ms();
    restore::restore(&backup, &given.config).expect("restored");
    let first = given.totals();
    assert_eq!(first.head.position, before.head.position + 1);
    assert!(first.incarnation() >= start_ms, "a time, far above any that was counted");
    let restored = first.restored.expect("not reconciled");
    assert_eq!(restored.head, before.head);
    // From the same backup once more.
    given.lose_the_ledger();
    restore::restore(&backup, &given.config).expect("restored");
    assert!(given.totals().incarnation() > first.incarnation());
    assert_eq!(broken(&backup), None, "the backup is as it was");
}

#[test]
fn what_came_after_the_backups_last_record_may_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = broker(&dir.path().join("broker"), BrokerId([1; 16]));
    let store = Store::create(&config.ledger()).expect("a new ledger");
    restore::append(&store, 1, now_ms() - 3_600_000, Event::ClockDoubted {}).expect("written");
    let before = check::totals(&store).expect("readable");
    drop(store);
    let restored = restore::begin_life(&config.ledger(), now_ms()).expect("begun").restored.expect("not reconciled");
    assert_eq!((restored.head, restored.head_at_ms), (before.head, before.recorded_at_ms));
}

#[test]
fn a_life_is_later_than_the_last_one_whatever_the_clock_says() {
    let given = given();
    let store = Store::open(&given.config.ledger()).expect("there");
    let ahead = now_ms() + 1_000_000;
    let event = lived(ahead, &store);
    restore::append(&store, ahead, now_ms(), event).expect("written");
    drop(store);
    let totals = restore::begin_life(&given.config.ledger(), now_ms()).expect("begun");
    assert_eq!(totals.incarnation(), ahead + 1);
}

#[test]
fn nothing_is_restored_over_a_ledger_of_another_broker_or_from_a_backup_that_is_not_whole() {
    let (given, backup) = given().backup_kept();
    let before = files(&given.config.ledger());
    let refused = restore::restore(&backup, &given.config).map(|said| said.text).expect_err("a ledger is there");
    assert!(matches!(refused.downcast_ref(), Some(OpenError::Exists(_))), "{refused:#}");
    assert_eq!(files(&given.config.ledger()), before);
    given.lose_the_ledger();

    let other = broker(&given.dir.path().join("other"), BrokerId([2; 16]));
    let refused = restore::restore(&backup, &other).map(|said| said.text).expect_err("another broker's");
    assert!(refused.is::<NotGood>() && !other.ledger().exists(), "{refused:#}");

    let hold = Hold::take(&given.config.dir).expect("nobody has it");
    assert!(restore::restore(&backup, &given.config).is_err(), "a broker is there");
    drop(hold);

    let table = files(&backup).into_keys().find(|path| path.extension().is_some_and(|e| e == "sst")).expect("a table");
    let mut bytes = std::fs::read(&table).expect("a file");
    bytes[0] ^= 1;
    std::fs::write(&table, bytes).expect("our own file");
    let refused = restore::restore(&backup, &given.config).map(|said| said.text).expect_err("damaged");
    assert!(refused.is::<NotGood>() && !given.config.ledger().exists(), "{refused:#}");
}

/// A broker that serves says what it had committed when it made the copy.
#[test]
fn a_copy_without_what_the_broker_had_committed_becomes_no_backup() {
    let given = given();
    let (backup, committed) = (given.dir.path().join("backup"), given.totals().head);
    let mut other = committed;
    other.hash.0[0] ^= 1;
    let keep = |seen| {
        Store::open(&given.config.ledger()).expect("there").copy_beside().expect("copied");
        super::keep(super::Scratch(crate::store::copy_of(&given.config.ledger())), &backup, &given.config, Some(seen))
    };
    for lacking in [Head { position: committed.position + 1, ..committed }, other] {
        let refused = keep(lacking).map(|said| said.text).expect_err("it is not in it");
        assert!(refused.is::<NotGood>() && !backup.exists(), "{refused:#}");
    }
    keep(committed).expect("it is in it");
    assert_eq!(broken(&backup), None);
}

#[test]
fn a_backup_that_changes_while_it_is_restored_is_not_restored() {
    let (given, backup) = given().backup_kept();
    let manifest = check::whole(&backup).expect("whole");
    std::fs::write(backup.join("ledger").join("CURRENT"), b"another").expect("our own file");
    let to = given.dir.path().join("restoring");
    std::fs::create_dir(&to).expect("our own folder");
    let refused = restore::copy(&backup, &manifest, &to).expect_err("it changed");
    assert!(refused.is::<NotGood>(), "{refused:#}");
}

/// The record of the new life is young, and would hide it.
#[test]
fn a_broker_that_stood_still_for_more_than_a_day_is_restored_with_its_clock_in_doubt() {
    for (ago_ms, in_doubt) in [(23 * 3_600_000, false), (25 * 3_600_000, true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let config = broker(&dir.path().join("broker"), BrokerId([1; 16]));
        let store = Store::create(&config.ledger()).expect("a new ledger");
        let event = lived(2, &store);
        restore::append(&store, 1, now_ms() - ago_ms, event).expect("written");
        drop(store);
        let totals = restore::begin_life(&config.ledger(), now_ms()).expect("begun");
        assert_eq!(totals.clock_doubted_at_ms.is_some(), in_doubt, "{ago_ms} ms");
    }
}

/// Its ledger is a link, and moving that away moves nothing else.
#[test]
fn a_backup_of_a_clusters_node_comes_back_as_a_single_nodes_ledger_and_what_was_there_is_kept() {
    let given = given();
    let node = Replica::found(&given.config.ledger()).expect("founded");
    let entry = Entry { records: vec![], progress: b"far".to_vec() };
    node.apply(&[entry]).expect("applied");
    drop(node);
    let before = given.totals();
    let (given, backup) = given.backup_kept();
    assert_eq!(broken(&backup), None);
    let refused = restore::restore(&backup, &given.config).map(|said| said.text).expect_err("a ledger is there");
    assert!(matches!(refused.downcast_ref(), Some(OpenError::Exists(_))), "{refused:#}");
    given.lose_the_ledger();
    restore::restore(&backup, &given.config).expect("restored");
    let ledger = given.config.ledger();
    assert!(!Store::open(&ledger).expect("there").is_of_a_cluster());
    assert_eq!(given.totals().restored.expect("not reconciled").head, before.head);

    let node = Replica::found(&ledger).expect("another cluster");
    assert_eq!(node.progress().expect("readable"), None);
    drop(node);
    let lost = Store::open_read_only(&given.config.dir.join("ledger.1")).expect("kept");
    assert_eq!(check::totals(&lost).expect("readable"), before);
}

/// A crash came after the directory had been moved and before the link was made.
#[test]
fn nothing_is_restored_over_a_ledger_on_its_way_into_a_cluster() {
    let (given, backup) = given().backup_kept();
    let (ledger, before) = (given.config.ledger(), given.totals());
    std::os::unix::fs::symlink("ledger.1", given.config.dir.join("ledger.next")).expect("ours");
    std::fs::rename(&ledger, given.config.dir.join("ledger.1")).expect("ours");
    assert_eq!(given.totals(), before, "a tool finds it");
    let refused = restore::restore(&backup, &given.config).map(|said| said.text).expect_err("a ledger is there");
    assert!(matches!(refused.downcast_ref(), Some(OpenError::Exists(_))), "{refused:#}");
    assert_eq!(given.totals(), before);
}
