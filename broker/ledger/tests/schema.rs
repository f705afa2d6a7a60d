//! The log's bytes are frozen: one golden file for every event, and one for a record (`schema/README.md`).
//!
//! `NETPAY_WRITE_SCHEMA=1` writes the files that are missing, and never one that is there.

mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;

use netpay_ledger::command::{DebtKey, Request};
use netpay_ledger::event::{Cause, DoubleSpend, Event, RedeemedClaim, SettledClaim};
use netpay_ledger::record::Record;
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{Digest, Kid, PeerId, RequestId, from_hex, to_hex};
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::redemption::{Head, Verdict};
use netpay_protocol::register::RotateKeys;
use netpay_protocol::runs::Run;
use netpay_protocol::wire;
use world::{BROKER, START_MS, Terms, World, ecoin, key, peer};

/// Its file. No `_` arm: a new event does not compile before it has one.
fn file(event: &Event) -> &'static str {
    match event {
        Event::AccountOpened { .. } => "01-account-opened",
        Event::FundsCredited { .. } => "02-funds-credited",
        Event::EcoinsIssued { .. } => "03-ecoins-issued",
        Event::BatchRedeemed { .. } => "04-batch-redeemed",
        Event::DoubleSpendDetected(_) => "05-double-spend-detected",
        Event::AccountSuspended { cause: Cause::DoubleSpend(_), .. } => "06-account-suspended",
        Event::AccountSuspended { cause: Cause::Operator(_), .. } => "06-account-suspended-by-an-operator",
        Event::AccountReinstated { .. } => "07-account-reinstated",
        Event::DebtSettled { .. } => "08-debt-settled",
        Event::EcoinExpired { .. } => "09-ecoin-expired",
        Event::PayoutRequested { .. } => "10-payout-requested",
        Event::PayoutSettled { .. } => "11-payout-settled",
        Event::PayoutFailed { .. } => "12-payout-failed",
        Event::EcoinRestored { .. } => "13-ecoin-restored",
        Event::PeerKeysRotated { .. } => "14-peer-keys-rotated",
        Event::BrokerKeysRotated { .. } => "15-broker-keys-rotated",
        Event::LedgerRestored { .. } => "16-ledger-restored",
        Event::LedgerReconciled { .. } => "17-ledger-reconciled",
        Event::ClockConfirmed { .. } => "18-clock-confirmed",
        Event::ClockDoubted {} => "19-clock-doubted",
    }
}

const FILES: usize = 20;

fn head() -> Head {
    Head { position: 7, hash: Digest([7; 32]) }
}

fn claims(world: &World) -> Vec<RedeemedClaim> {
    let claim = world.claim("A", (2, 9, 8), "bob");
    let settled = SettledClaim {
        ecoin: claim.ecoin(),
        grant: claim.grant(),
        through: claim.through,
        word: claim.word,
        credited: vec![
            Run { from: PaywordIndex(3), through: PaywordIndex(5) },
            Run { from: PaywordIndex(8), through: PaywordIndex(8) },
        ],
        credited_units: Units(4),
        already_paid: WordCount(2),
        conflicting: WordCount(1),
    };
    vec![RedeemedClaim::Settled(Box::new(settled)), RedeemedClaim::Refused(Verdict::Expired)]
}

fn double_spend(world: &World) -> DoubleSpend {
    DoubleSpend {
        touchstone: world.coin("A").touchstone.clone(),
        paid_to: peer("bob"),
        paid_grant: world.claim("A", (1, 5, 4), "bob").grant(),
        payee: peer("carol"),
        grant: world.claim("A", (1, 4, 3), "carol").grant(),
        conflicting: WordCount(3),
        debt: Units(3),
    }
}

fn key_list() -> SignedKeyList {
    let public = key("touchstones").public();
    let listed = ListedKey {
        kid: Kid::of(&public),
        key: public,
        purpose: Purpose::Touchstone,
        not_before_ms: START_MS,
        not_after_ms: START_MS + 1,
        revoked_at_ms: 0,
    };
    let (incarnation, seq) = (1, 2);
    let (issued_at_ms, next_at_ms) = (START_MS, START_MS + 1);
    let list = KeyList { broker: BROKER, incarnation, seq, issued_at_ms, next_at_ms, keys: vec![listed] };
    SignedKeyList { root: key("root").public(), list: Signed::new(list, &key("root")) }
}

fn operators(world: &mut World) -> Vec<Event> {
    let order = world.admin(&Order::Reconcile { reason: "why".into() });
    let payout = PayoutKey { peer: peer("alice"), request: RequestId([3; 16]) };
    let debt = DebtKey { debtor: peer("alice"), creditor: peer("carol"), ecoin: ecoin("A") };
    vec![
        Event::FundsCredited {
            peer: peer("alice"),
            amount: Units(500),
            reference: "4711".into(),
            order: order.clone(),
        },
        Event::AccountSuspended { peer: peer("alice"), cause: Cause::Operator(order.clone()) },
        Event::AccountReinstated { peer: peer("alice"), order: order.clone() },
        Event::DebtSettled { debt, amount: Units(3), order: order.clone() },
        Event::PayoutSettled { payout, reference: "bank".into(), order: order.clone() },
        Event::PayoutFailed { payout, amount: Units(9), reason: "no bank".into(), order: order.clone() },
        Event::LedgerReconciled { order: order.clone() },
        Event::ClockConfirmed { order },
    ]
}

fn peers(world: &mut World) -> Vec<Event> {
    let opening = world.opening("alice");
    let rotate = RotateKeys {
        broker: BROKER,
        peer: peer("alice"),
        request: RequestId([4; 16]),
        valid_until_ms: START_MS,
        register: opening.register().content.digest(),
    };
    let bought = world.purchase("alice", &["A"], 10, Terms::default());
    let payout = world.payout("alice", 9);
    let (
        netpay_ledger::Action::BuyEcoins { order, touchstones, epoch, .. },
        netpay_ledger::Action::RequestPayout { order: payout, .. },
    ) = (bought.action, payout.action)
    else {
        panic!("a purchase and a payout")
    };
    let register = Box::new(opening.register().clone());
    vec![
        Event::AccountOpened { peer: opening.peer(), register: register.clone(), opened_at_ms: START_MS },
        Event::EcoinsIssued { order, touchstones, epoch },
        Event::PayoutRequested { order: payout },
        Event::PeerKeysRotated { order: Box::new(Signed::new(rotate, &key("alice"))), register },
    ]
}

fn brokers(world: &World) -> Vec<Event> {
    let touchstone = Box::new(world.coin("A").touchstone.clone());
    vec![
        Event::BatchRedeemed { payee: peer("bob"), claims: claims(world) },
        Event::DoubleSpendDetected(Box::new(double_spend(world))),
        Event::AccountSuspended { peer: peer("alice"), cause: Cause::DoubleSpend(ecoin("A")) },
        Event::EcoinExpired { ecoin: ecoin("A"), payer: peer("alice"), words: WordCount(6), refund: Units(6) },
        Event::EcoinRestored { touchstone, epoch: 1, debited: Units(4), lent: Units(6) },
        Event::BrokerKeysRotated { list: Box::new(key_list()) },
        Event::ClockDoubted {},
        Event::LedgerRestored { incarnation: 2, head: head(), head_at_ms: START_MS },
    ]
}

fn every_event() -> Vec<Event> {
    let mut world = World::new();
    let mut events = peers(&mut world);
    events.extend(operators(&mut world));
    events.extend(brokers(&world));
    events
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/v1").join(format!("{name}.hex"))
}

/// The golden bytes; what is missing is written, if that is asked for.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = path(name);
    if !path.exists() && std::env::var_os("NETPAY_WRITE_SCHEMA").is_some() {
        let lines: Vec<_> =
            to_hex(bytes).as_bytes().chunks(120).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        std::fs::write(&path, lines.join("\n") + "\n").expect("written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: String = text.split_whitespace().collect();
    let bytes = digits.as_bytes().chunks(2).map(|pair| from_hex::<1>(&String::from_utf8_lossy(pair)).expect("hex")[0]);
    bytes.collect()
}

#[test]
fn every_event_has_the_bytes_that_version_1_froze() {
    let events = every_event();
    let names: BTreeSet<_> = events.iter().map(file).collect();
    assert_eq!((names.len(), events.len()), (FILES, FILES), "one example of each");
    for event in &events {
        let frozen = golden(file(event), &wire::encode(event));
        assert_eq!(to_hex(&frozen), to_hex(&wire::encode(event)), "{}", file(event));
        assert_eq!(minicbor::decode::<Event>(&frozen).as_ref().ok(), Some(event), "{}", file(event));
    }
}

#[test]
fn a_record_has_the_bytes_and_the_hash_that_version_1_froze() {
    let request = Some(Request { signer: PeerId([5; 16]), id: RequestId([6; 16]), digest: Digest([8; 32]) });
    let expired =
        Event::EcoinExpired { ecoin: ecoin("A"), payer: peer("alice"), words: WordCount(6), refund: Units(6) };
    for (name, request) in [("record", request), ("record-of-the-brokers-own", None)] {
        let facts = World::new().facts();
        let record = Record::following(head(), &facts, request, vec![expired.clone()]);
        let frozen = golden(name, &record.to_bytes());
        assert_eq!(to_hex(&frozen), to_hex(&record.to_bytes()), "{name}");
        let (again, after) = Record::read(&frozen, head()).expect("a record");
        assert_eq!((again, after), (record.clone(), record.head()));
        assert_eq!(after.hash, Digest(*blake3::hash(&frozen).as_bytes()));
    }
}

/// A file that no test reads would be frozen in name only.
#[test]
fn there_is_no_other_golden_file() {
    let mut known: BTreeSet<_> = every_event().iter().map(|event| format!("{}.hex", file(event))).collect();
    known.extend(["record.hex".to_owned(), "record-of-the-brokers-own.hex".to_owned()]);
    let dir = path("x").parent().expect("a folder").to_owned();
    let there: BTreeSet<_> = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(there, known);
}
