//! Nodes that must not start, and how long an entry is.

use std::fs;

use netpay_ledger::record::Record;
use netpay_protocol::redemption::Head;

use super::super::super::tests::{FACTS, commit, deposit};
use super::super::{ENTRY_BYTES, StartError, entries};
use super::Alone;
use super::links::Nobody;

fn ran() -> Alone {
    let mut alone = Alone::default();
    let mut opened = alone.start();
    commit(&mut opened, &["a"]);
    drop(opened);
    alone.stop();
    alone
}

#[test]
fn a_node_whose_log_was_lost_does_not_start() {
    let mut alone = ran();
    fs::remove_dir_all(alone.0.dir.path().join("raft")).expect("removed");
    let started = alone.0.start(std::sync::Arc::new(Nobody)).map(|_| ());
    assert!(matches!(started, Err(StartError::LogLost(_))), "{started:?}");
}

/// All that is in the log would seem stale to it.
#[test]
fn a_node_whose_ledger_ends_before_its_log_begins_does_not_start() {
    let mut alone = ran();
    for entry in fs::read_dir(alone.0.dir.path()).expect("a directory") {
        let path = entry.expect("readable").path();
        let is_ledger = path.file_stem().is_some_and(|stem| stem == "ledger");
        match path.is_symlink() {
            _ if !is_ledger => {}
            true => fs::remove_file(path).expect("removed"),
            false => fs::remove_dir_all(path).expect("removed"),
        }
    }
    let started = alone.0.start(std::sync::Arc::new(Nobody)).map(|_| ());
    assert!(matches!(started, Err(StartError::LedgerBehind { .. })), "{started:?}");
}

/// A record of so many bytes.
fn record(bytes: usize) -> Record {
    let of = |length| Record::following(Head::default(), &FACTS, None, vec![deposit(&"x".repeat(length))]);
    let rest = of(100_000).to_bytes().len() - 100_000;
    let record = of(bytes - rest);
    assert_eq!(record.to_bytes().len(), bytes);
    record
}

#[test]
fn an_entry_takes_records_up_to_its_bound_and_a_longer_one_alone() {
    let lengths = |bytes: &[usize]| {
        let records: Vec<_> = bytes.iter().map(|bytes| record(*bytes)).collect();
        entries(openraft::CommittedLeaderId::new(1, 1), &records)
            .iter()
            .map(|entry| entry.records.len())
            .collect::<Vec<_>>()
    };
    let half = ENTRY_BYTES / 2;
    assert_eq!(lengths(&[half, half]), [2], "at the bound");
    assert_eq!(lengths(&[half, half + 1]), [1, 1], "one byte beyond it");
    assert_eq!(lengths(&[half, ENTRY_BYTES + 1, half, half]), [1, 1, 2]);
}
