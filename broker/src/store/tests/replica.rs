//! What a cluster's log does to a node's ledger, and how a single node's ledger becomes one.

use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use tempfile::TempDir;

use super::{ALICE, FACTS, ecoin, events, given_a_log};
use crate::ports::State;
use crate::ports::state::scan;
use crate::store::{Applied, Entry, OpenError, Replica, Store};

/// Records that follow one another, from this head on.
pub(super) fn records(mut head: Head, events: impl IntoIterator<Item = Event>) -> Vec<Vec<u8>> {
    let one = |event| {
        let record = Record::following(head, &FACTS, None, vec![event]);
        head = record.head();
        record.to_bytes()
    };
    events.into_iter().map(one).collect()
}

pub(super) fn entry(records: &[Vec<u8>], progress: &str) -> Entry {
    Entry { records: records.to_vec(), progress: progress.as_bytes().to_vec() }
}

/// A node that has just joined.
pub(super) fn joined() -> (TempDir, Replica) {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = Replica::create(&dir.path().join("ledger")).expect("a new ledger");
    (dir, replica)
}

pub(super) fn digest(state: &dyn State) -> Digest {
    let findings = scan(state).expect("readable");
    assert_eq!(findings.broken, Vec::<String>::new());
    findings.digest
}

pub(super) fn progress(replica: &Replica) -> String {
    String::from_utf8(replica.progress().expect("readable").unwrap_or_default()).expect("what was written")
}

#[test]
fn entries_lead_to_the_ledger_of_a_single_node_however_they_are_grouped() {
    let log = records(Head::default(), events());
    let (_single, expected) = given_a_log();
    for groups in [vec![3], vec![1, 2], vec![2, 1], vec![1, 0, 1, 1, 0]] {
        for at_once in [true, false] {
            let (_dir, replica) = joined();
            let mut rest = log.as_slice();
            let mut entries = Vec::new();
            for (i, len) in groups.iter().enumerate() {
                let (group, after) = rest.split_at(*len);
                entries.push(entry(group, &format!("{i}")));
                rest = after;
            }
            let calls: Vec<&[Entry]> = if at_once { vec![&entries] } else { entries.chunks(1).collect() };
            let applied: Vec<_> = calls.iter().flat_map(|call| replica.apply(call).expect("applied")).collect();
            let expect = |len: &usize| if *len == 0 { Applied::Empty } else { Applied::Recorded };
            assert_eq!(applied, groups.iter().map(expect).collect::<Vec<_>>());
            assert_eq!(digest(&replica), expected, "{groups:?}");
            assert_eq!(progress(&replica), (groups.len() - 1).to_string());
        }
    }
}

#[test]
fn nothing_applied_moves_nothing_and_a_new_node_has_no_progress() {
    let (_dir, replica) = joined();
    assert_eq!(replica.progress().expect("readable"), None);
    assert_eq!(replica.apply(&[]).expect("nothing to do"), []);
    assert_eq!(replica.progress().expect("readable"), None);
}

/// Decided by a node that led before, or applied before: another position, or another predecessor.
#[test]
fn an_entry_that_does_not_follow_the_head_changes_nothing_but_the_progress() {
    let log = records(Head::default(), events());
    let (_dir, replica) = joined();
    replica.apply(&[entry(&log[..2], "a")]).expect("applied");
    let before = digest(&replica);
    let elsewhere = Head { position: 2, hash: Digest([9; 32]) };
    let other_hash = records(elsewhere, [Event::ClockDoubted {}]);
    let other_position = records(Head { position: 3, ..elsewhere }, [Event::ClockDoubted {}]);
    for (stale, name) in [(&log[..2], "again"), (&log[1..], "half"), (&other_hash, "hash"), (&other_position, "place")]
    {
        assert_eq!(replica.apply(&[entry(stale, name)]).expect("passed over"), [Applied::Stale], "{name}");
        assert_eq!((digest(&replica), progress(&replica)), (before, name.into()));
        assert!(replica.record(3).expect("readable").is_none());
    }
}

/// Two leaders proposed on the same head: the first wins, also within one call, and what was built on the second falls.
#[test]
fn of_two_entries_on_the_same_head_the_first_counts_and_what_follows_the_other_is_stale_too() {
    let log = records(Head::default(), events());
    let rival = records(Head::default(), [Event::ClockDoubted {}, Event::ClockDoubted {}]);
    let entries = [entry(&log[..1], "1"), entry(&rival[..1], "2"), entry(&rival[1..], "3"), entry(&log[1..], "4")];
    let expected = [Applied::Recorded, Applied::Stale, Applied::Stale, Applied::Recorded];
    let (_dir, at_once) = joined();
    assert_eq!(at_once.apply(&entries).expect("applied"), expected);
    let (_other_dir, one_by_one) = joined();
    let applied: Vec<_> = entries.chunks(1).flat_map(|one| one_by_one.apply(one).expect("applied")).collect();
    assert_eq!(applied, expected);
    assert_eq!(digest(&at_once), digest(&one_by_one));
    assert_eq!(digest(&at_once), given_a_log().1);
}

#[test]
fn a_record_that_follows_the_head_and_cannot_be_believed_is_damage_and_nothing_of_its_call_is_applied() {
    let log = records(Head::default(), events());
    let (_dir, replica) = joined();
    replica.apply(&[entry(&log[..1], "before")]).expect("applied");
    let before = digest(&replica);
    let head = Head { position: 1, hash: netpay_ledger::record::hash(&log[0]) };
    let refund = Event::EcoinExpired { ecoin: ecoin(7), payer: ALICE, words: WordCount(4), refund: Units(4) };
    let mut trailing = log[1].clone();
    trailing.push(0);
    let damaged: [(&str, Vec<Vec<u8>>); 5] = [
        ("no record", vec![b"nothing".to_vec()]),
        ("not canonical", vec![trailing]),
        ("an e-coin that was never sold", records(head, [refund])),
        ("not after the one before in its entry", vec![log[1].clone(), log[1].clone()]),
        ("cut", vec![log[1][..log[1].len() - 1].to_vec()]),
    ];
    for (what, records) in damaged {
        let call = [entry(&log[1..2], "good"), entry(&[], "empty"), entry(&records, "bad")];
        assert!(replica.apply(&call[2..]).is_err(), "{what}");
        if what == "no record" || what == "cut" {
            assert!(replica.apply(&call).is_err(), "{what}, after what can be applied");
        }
        assert_eq!((digest(&replica), progress(&replica)), (before, "before".into()), "{what}");
        assert!(replica.record(2).expect("readable").is_none());
    }
    assert_eq!(replica.apply(&[entry(&log[1..], "good")]).expect("applied"), [Applied::Recorded]);
}

#[test]
fn progress_is_no_part_of_a_ledgers_digest_and_is_found_again() {
    let log = records(Head::default(), events());
    let digests: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| {
            let (dir, replica) = joined();
            replica.apply(&[entry(&log, name)]).expect("applied");
            replica.sync().expect("synced");
            drop(replica);
            let replica = Replica::open(&dir.path().join("ledger")).expect("there");
            assert_eq!(progress(&replica), *name);
            digest(&replica)
        })
        .collect();
    assert_eq!(digests, [given_a_log().1; 2]);
}

#[test]
fn a_single_nodes_ledger_becomes_a_clusters_with_all_that_is_in_it_and_the_tools_find_it() {
    let (dir, expected) = given_a_log();
    let ledger = dir.path().join("ledger");
    assert!(matches!(Replica::open(&ledger), Err(OpenError::Alone(_))));
    assert!(!Store::open(&ledger).expect("untouched").is_of_a_cluster());
    let replica = Replica::found(&ledger).expect("founded");
    assert_eq!((digest(&replica), replica.progress().expect("readable")), (expected, None));
    let head = scan(&replica).expect("readable").totals.head;
    replica.apply(&[entry(&records(head, [Event::ClockDoubted {}]), "1")]).expect("applied");
    let after = digest(&replica);
    assert!(ledger.is_symlink() && std::fs::read_link(&ledger).expect("a link") == std::path::Path::new("ledger.1"));
    assert_eq!(digest(&Store::open_read_only(&ledger).expect("readable while it is applied to")), after);
    drop(replica);
    assert_eq!(digest(&Store::open(&ledger).expect("there")), after);
    for again in [Replica::found, Replica::open] {
        assert_eq!(digest(&again(&ledger).expect("there")), after);
    }
    assert!(matches!(Replica::create(&ledger), Err(OpenError::Exists(_))));
}

#[test]
fn a_ledger_that_left_its_cluster_is_a_single_nodes_and_one_rebuilt_takes_its_progress_over() {
    let (dir, replica) = joined();
    replica.apply(&[entry(&records(Head::default(), events()), "here")]).expect("applied");
    drop(replica);
    let ledger = dir.path().join("ledger");
    let rebuilt = dir.path().join("ledger.rebuilt");
    let mut copy = Store::create(&rebuilt).expect("new");
    copy.take_place_of(&Store::open(&ledger).expect("there")).expect("taken");
    drop(copy);
    // As an operator's command does it.
    std::fs::rename(&ledger, dir.path().join("ledger.old-1")).expect("ours");
    std::fs::rename(&rebuilt, &ledger).expect("ours");
    let replica = Replica::open(&ledger).expect("adopted");
    assert_eq!(progress(&replica), "here");
    assert!(dir.path().join("ledger.old-1").join("CURRENT").exists(), "only a link was moved, and nothing went");
    drop(replica);
    Store::open(&ledger).expect("there").leave_cluster().expect("left");
    assert!(matches!(Replica::open(&ledger), Err(OpenError::Alone(_))));
    assert!(!Store::open(&ledger).expect("there").is_of_a_cluster());
}
