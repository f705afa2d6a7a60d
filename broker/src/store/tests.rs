//! Pages that fit a message whatever they hold, reading while the writer goes on, and ledgers of the first version; below,
//! ledgers of a cluster.

mod crashes;
mod replica;
mod snapshots;

use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::rows::{EcoinRow, OwnedRow, PayoutRow, Row, RunRow, Table};
use netpay_ledger::working_set::Change;
use netpay_ledger::{Facts, apply, load};
use netpay_protocol::admin::{Admin, Page};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{DAY_MS, MAX_MESSAGE_BYTES, MAX_REASON_BYTES};
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::query::Answer;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use tempfile::TempDir;

use super::{OpenError, Store, families, options};
use crate::actors::views;
use crate::ports::State;
use crate::ports::state::{StateError, Visit, scan};

const BROKER: BrokerId = BrokerId([1; 16]);
const ALICE: PeerId = PeerId([2; 16]);
const BOB: PeerId = PeerId([3; 16]);
const NOW_MS: u64 = 1_000 * DAY_MS;
const FACTS: Facts = Facts { now_ms: NOW_MS, incarnation: 1, drained_to_ms: NOW_MS, clock_trusted: true };

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn ecoin(i: u16) -> EcoinId {
    let mut id = [9; 16];
    id[..2].copy_from_slice(&i.to_be_bytes());
    EcoinId(id)
}

fn touchstone(ecoin: EcoinId, payer: PeerId, n: u32) -> Signed<Touchstone> {
    let touchstone = Touchstone {
        broker: BROKER,
        kid: Kid::of(&key().public()),
        ecoin,
        suite: Suite::Sha256,
        root: Payword::unchecked([5; 32]),
        n: PaywordIndex(n),
        unit_value: UnitValue(1),
        payer,
        payer_key: key().public(),
        payer_opened_at_ms: NOW_MS,
        issued_at_ms: NOW_MS,
        spend_until_ms: NOW_MS + DAY_MS,
        redeem_until_ms: NOW_MS + 10 * DAY_MS,
        guarantee: Guarantee::Bound(BOB),
        incarnation: 1,
    };
    Signed::new(touchstone, &key())
}

fn put<R: Row>(key: &R::Key, row: &R) -> Change {
    Change { table: R::TABLE, key: R::key(key), value: Some(wire::encode(row)) }
}

/// An e-coin with so many words, of which the first `runs` are paid one by one.
fn coin_rows(ecoin: EcoinId, payer: PeerId, n: u32, runs: u32) -> Vec<Change> {
    let row = EcoinRow {
        touchstone: touchstone(ecoin, payer, n),
        epoch: 1,
        paid: WordCount(runs),
        expired_at_ms: None,
        position: 1,
    };
    let mut changes = vec![put(&ecoin, &row), put(&(payer, ecoin), &OwnedRow {})];
    changes.extend((1..=runs).map(|i| {
        let run = RunRow { through: PaywordIndex(i), payee: BOB, position: u64::MAX };
        put(&(ecoin, PaywordIndex(i)), &run)
    }));
    changes
}

fn given(changes: &[Change]) -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
    store.write(&[], changes).expect("written");
    (dir, store)
}

/// The bytes that answer a question with this body.
fn answer<T: minicbor::Encode<()>>(body: &T) -> Vec<u8> {
    let answer = Answer {
        broker: BROKER,
        kid: Kid::of(&key().public()),
        about: Digest::ZERO,
        issued_at_ms: NOW_MS,
        body: wire::encode(body),
    };
    wire::encode(&Signed::new(answer, &key()))
}

#[test]
fn a_page_of_own_ecoins_fits_a_message_however_often_they_were_paid_and_is_full() {
    let changes: Vec<_> = (0..14).flat_map(|i| coin_rows(ecoin(i), ALICE, 4_096, 4_096)).collect();
    let (_dir, store) = given(&changes);
    let (mut after, mut pages) = (EcoinId([0; 16]), Vec::new());
    loop {
        let page = views::own_ecoins(&store, ALICE, after).expect("readable");
        let bytes = answer(&page);
        assert!(bytes.len() <= MAX_MESSAGE_BYTES, "{} e-coins are {} bytes", page.items.len(), bytes.len());
        wire::decode::<Signed<Answer>>(&bytes).expect("a message");
        after = page.items.last().expect("at least one e-coin").touchstone.content.ecoin;
        let more = page.more;
        pages.push(page);
        if !more {
            break;
        }
    }
    let mut found = Vec::new();
    for pair in pages.windows(2) {
        let mut too_much = pair[0].clone();
        too_much.items.push(pair[1].items[0].clone());
        assert!(answer(&too_much).len() > MAX_MESSAGE_BYTES - 1_024, "the page had room for one more");
    }
    for own in pages.iter().flat_map(|page| &page.items) {
        assert_eq!(own.paid.len(), 4_096);
        found.push(own.touchstone.content.ecoin);
    }
    assert_eq!(found, (0..14).map(ecoin).collect::<Vec<_>>());
}

#[test]
fn a_page_of_own_ecoins_ends_after_500_and_holds_nobody_elses() {
    let mut changes: Vec<_> = (0..501).flat_map(|i| coin_rows(ecoin(i), ALICE, 1, 0)).collect();
    changes.extend(coin_rows(ecoin(600), BOB, 1, 0));
    let (_dir, store) = given(&changes);
    let page = |after| views::own_ecoins(&store, ALICE, after).expect("readable");
    let ids = |page: &Page<netpay_protocol::query::OwnEcoin>| {
        page.items.iter().map(|own| own.touchstone.content.ecoin).collect::<Vec<_>>()
    };
    let first = page(EcoinId([0; 16]));
    assert_eq!((ids(&first), first.more), ((0..500).map(ecoin).collect(), true));
    let second = page(ecoin(499));
    assert_eq!((ids(&second), second.more), (vec![ecoin(500)], false));
    let all_but_one = page(ecoin(0));
    assert_eq!((all_but_one.items.len(), all_but_one.more), (500, false));
    assert_eq!(ids(&views::own_ecoins(&store, BOB, EcoinId([0; 16])).expect("readable")), [ecoin(600)]);
}

#[test]
fn a_page_of_payouts_ends_after_500_fits_a_message_and_holds_nobody_elses() {
    let request = |i: u16| RequestId(ecoin(i).0);
    let payout = |peer, request| {
        let row = PayoutRow {
            amount: Units(u64::MAX),
            destination: "d".repeat(256),
            requested_at_ms: u64::MAX,
            state: PayoutState::Failed { reason: "r".repeat(MAX_REASON_BYTES), at_ms: u64::MAX },
            position: u64::MAX,
        };
        put(&PayoutKey { peer, request }, &row)
    };
    let mut changes: Vec<_> = (0..501).map(|i| payout(ALICE, request(i))).collect();
    // An id of zeros may be somebody's, too.
    changes.extend([payout(BOB, RequestId([0; 16])), payout(BOB, request(600))]);
    let (_dir, store) = given(&changes);
    let page = views::payouts_of(&store, ALICE, RequestId([0; 16])).expect("readable");
    assert_eq!((page.items.len(), page.more), (500, true));
    assert!(answer(&page).len() <= MAX_MESSAGE_BYTES);
    let rest = views::payouts_of(&store, ALICE, request(499)).expect("readable");
    assert_eq!((rest.items.len(), rest.items[0].request, rest.more), (1, request(500), false));
    let bobs = views::payouts_of(&store, BOB, RequestId([0; 16])).expect("readable");
    assert_eq!(bobs.items.iter().map(|view| view.request).collect::<Vec<_>>(), [RequestId([0; 16]), request(600)]);
    let all = views::payouts(&store, None).expect("readable");
    assert_eq!((all.items.len(), all.more), (500, true));
    let last = PayoutKey { peer: ALICE, request: request(499) };
    assert_eq!(views::payouts(&store, Some(last)).expect("readable").items.len(), 3);
}

/// A ledger whose writer pays a word of an e-coin whenever somebody reads the list of e-coins.
struct Busy<'a>(&'a Store);

impl State for Busy<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(table, key)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let rows = self.0.range(table, from, to, limit);
        self.0.write(&[], &coin_rows(ecoin(0), ALICE, 2, 1))?;
        rows
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        self.0.at_or_before(table, key)
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.0.record(position)
    }

    fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
        self.0.show_moment(&mut |moment| {
            self.0.write(&[], &coin_rows(ecoin(0), ALICE, 2, 1)).expect("written");
            look(moment);
        });
    }

    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.0.each_row(visit)
    }
}

#[test]
fn own_ecoins_and_what_was_paid_of_them_are_of_one_moment() {
    let (_dir, store) = given(&coin_rows(ecoin(0), ALICE, 2, 0));
    let page = views::own_ecoins(&Busy(&store), ALICE, EcoinId([0; 16])).expect("readable");
    assert_eq!(page.items[0].paid, [], "paid after the list was read");
    let page = views::own_ecoins(&store, ALICE, EcoinId([0; 16])).expect("readable");
    assert_eq!(page.items[0].paid.len(), 1);
}

/// Money, three e-coins, one of them refunded.
fn events() -> Vec<Event> {
    let admin = Admin {
        broker: BROKER,
        kid: Kid::of(&key().public()),
        request: RequestId([1; 16]),
        valid_until_ms: NOW_MS,
        order: vec![],
    };
    let buy = BuyEcoins {
        broker: BROKER,
        payer: ALICE,
        request: RequestId([2; 16]),
        valid_until_ms: NOW_MS,
        count: 3,
        n: PaywordIndex(4),
        suite: Suite::Sha256,
        unit_value: UnitValue(1),
        most_debited_units: Units(12),
        guarantee: Guarantee::Bound(BOB),
    };
    vec![
        Event::FundsCredited {
            peer: ALICE,
            amount: Units(12),
            reference: "r".into(),
            order: Box::new(Signed::new(admin, &key())),
        },
        Event::EcoinsIssued {
            order: Box::new(Signed::new(buy, &key())),
            touchstones: (0..3).map(|i| touchstone(ecoin(i), ALICE, 4)).collect(),
            epoch: 1,
        },
        Event::EcoinExpired { ecoin: ecoin(1), payer: ALICE, words: WordCount(4), refund: Units(4) },
    ]
}

/// A ledger with records of these.
fn given_a_log() -> (TempDir, Digest) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
    for event in events() {
        let state: &dyn State = &store;
        let head = load::totals(&state).expect("readable").head;
        let record = Record::following(head, &FACTS, None, vec![event]);
        let mut ws = load::for_records(&state, [&record]).expect("readable");
        apply::record(&mut ws, &record);
        store.write(&[record], &ws.changes()).expect("written");
    }
    let findings = scan(&store).expect("readable");
    assert_eq!(findings.broken, Vec::<String>::new());
    (dir, findings.digest)
}

fn without(dir: &TempDir, tables: &[Table]) {
    let names = tables.iter().map(|table| table.name()).chain([super::upgrade::MARK]);
    let path = dir.path().join("ledger");
    let mut db = rocksdb::DB::open_cf_with_opts(&options(), path, families()).expect("opened");
    names.for_each(|name| db.drop_cf(name).expect("dropped"));
}

fn assert_is_brought_up_to_date(dir: &TempDir, digest: Digest) {
    let path = dir.path().join("ledger");
    assert!(matches!(Store::open_read_only(&path), Err(OpenError::Older(_))), "a reader cannot bring it up to date");
    for _ in 0..2 {
        let store = Store::open(&path).expect("brought up to date");
        let findings = scan(&store).expect("readable");
        assert_eq!((findings.digest, findings.broken), (digest, vec![]));
        let page = views::own_ecoins(&store, ALICE, EcoinId([0; 16])).expect("readable");
        let found: Vec<_> = page.items.iter().map(|own| own.touchstone.content.ecoin).collect();
        assert_eq!(found, [ecoin(0), ecoin(2)]);
    }
    Store::open_read_only(&path).expect("it is now");
}

#[test]
fn a_ledger_of_the_first_version_is_what_its_log_leads_to_once_it_was_opened() {
    let (dir, digest) = given_a_log();
    without(&dir, &[Table::EcoinsByPayer, Table::Payouts, Table::Expiry]);
    assert_is_brought_up_to_date(&dir, digest);
}

#[test]
fn a_ledger_of_the_second_version_is_what_its_log_leads_to_once_it_was_opened() {
    let (dir, digest) = given_a_log();
    without(&dir, &[Table::Expiry]);
    assert_is_brought_up_to_date(&dir, digest);
}

#[test]
fn a_ledger_whose_update_was_cut_off_is_updated_again() {
    let (dir, digest) = given_a_log();
    without(&dir, &[]);
    let path = dir.path().join("ledger");
    let known = families().filter(|(name, _)| *name != super::upgrade::MARK);
    let db = rocksdb::DB::open_cf_with_opts(&options(), &path, known).expect("opened");
    let index = db.cf_handle(Table::EcoinsByPayer.name()).expect("there");
    db.delete_cf(index, OwnedRow::key(&(ALICE, ecoin(2)))).expect("deleted");
    let index = db.cf_handle(Table::Expiry.name()).expect("there");
    let due = db.iterator_cf(index, rocksdb::IteratorMode::Start).next().expect("one").expect("readable").0;
    db.delete_cf(index, due).expect("deleted");
    drop(db);
    assert_is_brought_up_to_date(&dir, digest);
}

#[test]
fn a_directory_that_lacks_anything_else_is_damaged_and_left_alone() {
    let (dir, _) = given_a_log();
    without(&dir, &[Table::Runs, Table::EcoinsByPayer, Table::Payouts, Table::Expiry]);
    assert!(matches!(Store::open(&dir.path().join("ledger")), Err(OpenError::Damaged { .. })));
    assert!(matches!(Store::open_read_only(&dir.path().join("ledger")), Err(OpenError::Damaged { .. })));
}

/// Its directory is moved away, so that it can make no new file; the open write-ahead log can still be written.
#[test]
fn after_a_file_could_not_be_written_beside_us_nothing_is_committed_any_more() {
    let (dir, store) = given(&coin_rows(ecoin(1), ALICE, 10, 0));
    let another = coin_rows(ecoin(2), ALICE, 10, 0);
    store.write(&[], &another).expect("all is well");
    std::fs::rename(dir.path().join("ledger"), dir.path().join("gone")).expect("moved");
    assert!(store.db.flush_cf(store.family(Table::Ecoins.name()).expect("a table")).is_err());
    assert!(store.write(&[], &another).is_err());
}
