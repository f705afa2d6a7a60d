//! What every journal has to keep to, each test for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::{Facts, WorkingSet, apply, load};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, Kid, PeerId, RequestId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::Head;
use tempfile::TempDir;

use super::local::LocalJournal;
use super::raft::tests::Alone;
use crate::ports::state::scan;
use crate::ports::{Journal, State};
use crate::store::{Replica, Store};

pub(super) const FACTS: Facts =
    Facts { now_ms: 1_000_000, incarnation: 1, drained_to_ms: 1_000_000, clock_trusted: true };

/// A journal in a directory, and what is committed.
pub(super) struct Opened {
    pub(super) state: Arc<dyn State>,
    pub(super) journal: Box<dyn Journal>,
}

/// Something that has journals.
trait Adapter {
    /// Opens it, anew after it was closed; the first time it is empty.
    fn open(&mut self) -> Opened;
    /// Closes it: everything that it opened was dropped.
    fn close(&mut self);
}

struct Local(TempDir);

impl Adapter for Local {
    fn open(&mut self) -> Opened {
        let path = self.0.path().join("ledger");
        let store = if path.exists() { Store::open(&path) } else { Store::create(&path) };
        let store = Arc::new(store.expect("a ledger"));
        let journal = LocalJournal::new(Arc::clone(&store)).expect("in order");
        Opened { state: store, journal: Box::new(journal) }
    }

    fn close(&mut self) {}
}

impl Adapter for Alone {
    fn open(&mut self) -> Opened {
        self.start()
    }

    fn close(&mut self) {
        self.stop();
    }
}

fn each(test: impl Fn(&mut dyn Adapter)) {
    test(&mut Local(tempfile::tempdir().expect("a directory")));
    test(&mut Alone::default());
}

/// Waits for something that takes a moment, and no longer than a minute.
pub(super) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(met) = condition() {
            return met;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A deposit by which a record can be known.
pub(super) fn deposit(reference: &str) -> Event {
    let key = SigningKey::from_seed(&[7; 32]);
    let (broker, kid, request) = (BrokerId([1; 16]), Kid::of(&key.public()), RequestId([1; 16]));
    let order = Admin { broker, kid, request, valid_until_ms: FACTS.now_ms, order: vec![] };
    let order = Box::new(Signed::new(order, &key));
    Event::FundsCredited { peer: PeerId([7; 16]), amount: Units(1), reference: reference.into(), order }
}

/// Records decided on this state, one for each event.
pub(super) fn decided(state: &dyn State, references: &[&str]) -> (Vec<Record>, WorkingSet) {
    let mut head = load::totals(&state).expect("readable").head;
    let records: Vec<_> = references
        .iter()
        .map(|reference| {
            let record = Record::following(head, &FACTS, None, vec![deposit(reference)]);
            head = record.head();
            record
        })
        .collect();
    let mut ws = load::for_records(&state, &records).expect("readable");
    records.iter().for_each(|record| apply::record(&mut ws, record));
    (records, ws)
}

pub(super) fn head(state: &dyn State) -> Head {
    load::totals(&state).expect("readable").head
}

pub(super) fn led(journal: &mut dyn Journal) {
    until("it leads", || journal.lead().ok());
}

/// As a writer does it.
pub(super) fn commit(opened: &mut Opened, references: &[&str]) {
    led(&mut *opened.journal);
    let (records, ws) = decided(&*opened.state, references);
    opened.journal.commit(&records, &ws).expect("committed");
}

#[test]
fn what_is_committed_can_be_read_at_once() {
    each(|adapter| {
        let mut opened = adapter.open();
        for (upto, references) in [(1, &["a"][..]), (4, &["b", "c", "d"])] {
            led(&mut *opened.journal);
            let (records, ws) = decided(&*opened.state, references);
            opened.journal.commit(&records, &ws).expect("committed");
            assert_eq!(head(&*opened.state), records.last().expect("some").head());
            for record in records {
                let there = opened.state.record(record.position).expect("readable");
                assert_eq!(there, Some(record.to_bytes()));
            }
            let totals = load::totals(&&*opened.state).expect("readable");
            assert_eq!(totals.peers, Units(upto), "rows and records alike");
        }
        assert_eq!(scan(&*opened.state).expect("readable").broken, Vec::<String>::new());
        drop(opened);
        adapter.close();
    });
}

#[test]
fn what_is_committed_is_there_when_it_is_opened_again() {
    each(|adapter| {
        let mut opened = adapter.open();
        commit(&mut opened, &["a"]);
        commit(&mut opened, &["b", "c"]);
        let before = scan(&*opened.state).expect("readable");
        drop(opened);
        adapter.close();
        let mut opened = adapter.open();
        led(&mut *opened.journal);
        assert_eq!(scan(&*opened.state).expect("readable"), before);
        commit(&mut opened, &["d"]);
        assert_eq!(head(&*opened.state).position, 4);
        drop(opened);
        adapter.close();
    });
}

#[test]
fn a_commit_that_was_decided_on_another_head_is_never_there_not_even_in_part() {
    each(|adapter| {
        let mut opened = adapter.open();
        led(&mut *opened.journal);
        let (stale, stale_ws) = decided(&*opened.state, &["too late", "and this"]);
        commit(&mut opened, &["a"]);
        let before = scan(&*opened.state).expect("readable");
        opened.journal.commit(&stale, &stale_ws).expect_err("the head has moved on");
        opened.journal.commit(&stale[1..], &stale_ws).expect_err("it follows what is not there");
        assert_eq!(scan(&*opened.state).expect("readable"), before);
        commit(&mut opened, &["b"]);
        assert_eq!(head(&*opened.state).position, 2, "and it goes on from where it was");
        drop(opened);
        adapter.close();
        let mut opened = adapter.open();
        led(&mut *opened.journal);
        assert_eq!(head(&*opened.state).position, 2);
        drop(opened);
        adapter.close();
    });
}

#[test]
fn without_records_a_commit_confirms_and_writes_nothing() {
    each(|adapter| {
        let mut opened = adapter.open();
        for position in 0..3 {
            led(&mut *opened.journal);
            let (none, ws) = decided(&*opened.state, &[]);
            opened.journal.commit(&none, &ws).expect("nobody else committed");
            opened.journal.commit(&none, &ws).expect("and once more");
            assert_eq!(head(&*opened.state).position, position);
            commit(&mut opened, &["next"]);
        }
        drop(opened);
        adapter.close();
    });
}

/// Longer than what is proposed at once.
#[test]
fn a_group_of_any_length_is_committed_whole_and_in_order() {
    each(|adapter| {
        let mut opened = adapter.open();
        let long = "x".repeat(100_000);
        let references: Vec<_> = (0..20).map(|i| format!("{i}{long}")).collect();
        commit(&mut opened, &references.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(head(&*opened.state).position, 20);
        commit(&mut opened, &[&"y".repeat(1_500_000)]);
        assert_eq!(head(&*opened.state).position, 21);
        drop(opened);
        adapter.close();
    });
}

#[test]
fn a_single_node_does_not_write_the_ledger_of_a_cluster() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger");
    drop(Store::create(&path).expect("made"));
    assert!(LocalJournal::new(Arc::new(Store::open(&path).expect("a ledger"))).is_ok());
    drop(Replica::found(&path).expect("the first of a cluster"));
    let refused = LocalJournal::new(Arc::new(Store::open(&path).expect("a ledger"))).map(|_| ());
    let error = refused.expect_err("of a cluster").to_string();
    assert!(error.contains("one of a cluster's"), "{error}");
}
