//! One line of `ledger export` for each kind of event, as it stays; and ledgers in real directories for the tests of all
//! that read the log.

use std::path::Path;

use netpay_ledger::command::Request;
use netpay_ledger::event::Event;
use netpay_ledger::record::{Record, hash};
use netpay_ledger::{apply, load};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId, from_hex};
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::redemption::Head;
use serde_json::json;
use tempfile::TempDir;

use crate::ports::State;
use crate::store::Store;

#[path = "../../../ledger/tests/world/mod.rs"]
pub(in crate::cli) mod world;

/// The records of a world, in a real ledger directory.
pub(in crate::cli) fn stored(records: &[Vec<u8>]) -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
    let mut head = Head::default();
    for bytes in records {
        let (record, next) = Record::read(bytes, head).expect("a chained log");
        let state: &dyn State = &store;
        let mut ws = load::for_records(&state, [&record]).expect("readable");
        apply::record(&mut ws, &record);
        store.write(&[record], &ws.changes()).expect("written");
        head = next;
    }
    (dir, store)
}

/// Every event of `ledger/schema`, by the number and name of its file.
fn every_event() -> Vec<(String, Event)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger/schema/v1");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let hex: String = std::fs::read_to_string(&path).expect("text").split_whitespace().collect();
        let byte = |pair: &[u8]| from_hex::<1>(std::str::from_utf8(pair).expect("ASCII")).expect("hex")[0];
        let bytes: Vec<_> = hex.as_bytes().chunks(2).map(byte).collect();
        (name, bytes)
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the schema").map(read).collect();
    files.retain(|(name, _)| name.starts_with(|first: char| first.is_ascii_digit()));
    files.sort();
    files.into_iter().map(|(name, bytes)| (name, minicbor::decode(&bytes).expect("an event"))).collect()
}

/// The event alone in a record that somebody asked for.
fn line(event: &Event) -> String {
    let request = Request { signer: PeerId([3; 16]), id: RequestId([2; 16]), digest: Digest([0xd; 32]) };
    let record = Record {
        position: 7,
        recorded_at_ms: 1_767_225_600_000,
        incarnation: 1,
        prev_hash: Digest([0xab; 32]),
        request: Some(request),
        events: vec![event.clone()],
    };
    super::line(&record, hash(&record.to_bytes()), 0, event).to_string()
}

#[test]
fn each_kind_of_event_has_the_line_that_it_always_had() {
    let golden: Vec<_> = include_str!("golden.jsonl").lines().collect();
    let lines: Vec<_> = every_event().iter().map(|(_, event)| line(event)).collect();
    for (line, golden) in lines.iter().zip(&golden) {
        assert_eq!(line, golden, "the fields of an exported event never change");
    }
    assert_eq!(lines.len(), golden.len(), "the schema's events are told as:\n{}", lines.join("\n"));
}

/// The schema's operators order nothing but a reconciliation: here is every order that changes something.
#[test]
fn an_operators_order_is_told_with_its_op_and_what_it_says() {
    let (peer, other, ecoin) = (PeerId([1; 16]), PeerId([2; 16]), EcoinId([3; 16]));
    let payout = PayoutKey { peer, request: RequestId([8; 16]) };
    let payout_told = json!({ "peer": peer.to_string(), "request": payout.request.to_string() });
    let reason = || String::from("why");
    let because = |op: &str| json!({ "op": op, "reason": "why" });
    let of = |op: &str| json!({ "op": op, "peer": peer.to_string(), "reason": "why" });
    for (order, expected) in [
        (
            Order::Credit { peer, amount: Units(5), reference: reason() },
            json!({ "op": "credit", "peer": peer.to_string(), "amount_units": 5, "reference": "why" }),
        ),
        (Order::Suspend { peer, reason: reason() }, of("suspend")),
        (Order::Reinstate { peer, reason: reason() }, of("reinstate")),
        (
            Order::SettleDebt { debtor: peer, creditor: other, ecoin },
            json!({
                "op": "settle-debt", "debtor": peer.to_string(), "creditor": other.to_string(), "ecoin": ecoin.to_string(),
            }),
        ),
        (
            Order::SettlePayout { payout, reference: reason() },
            json!({ "op": "settle-payout", "payout": payout_told, "reference": "why" }),
        ),
        (
            Order::FailPayout { payout, reason: reason() },
            json!({ "op": "fail-payout", "payout": payout_told, "reason": "why" }),
        ),
        (Order::Reconcile { reason: reason() }, because("reconcile")),
        (Order::ConfirmClock { reason: reason() }, because("confirm-clock")),
    ] {
        let order = world::World::new().admin(&order);
        let told = super::fields(&Event::LedgerReconciled { order });
        assert_eq!(told["order"]["content"]["order"], expected);
    }
}

/// `06-account-suspended-by-an-operator` is an `account_suspended`.
#[test]
fn events_have_the_names_that_the_schema_gives_them() {
    for (file, event) in every_event() {
        let name = file[3..].replace('-', "_");
        assert!(name.starts_with(super::name(&event)), "{file} is told as {}", super::name(&event));
        assert!(!super::words(&event, &|_| true).is_empty());
    }
}

#[test]
fn what_strangers_wrote_cannot_draw_on_a_terminal() {
    let escape = "\u{1b}[2J\nbalance 0";
    let (_, failed) = every_event().into_iter().find(|(file, _)| file.starts_with("12-")).expect("a failed payout");
    let Event::PayoutFailed { order, amount, .. } = failed else { panic!("{failed:?}") };
    let payout = PayoutKey { peer: PeerId([1; 16]), request: RequestId([8; 16]) };
    let reason = Event::PayoutFailed { payout, amount, reason: escape.into(), order };
    let told = [super::words(&reason, &|_| true), line(&reason)];
    assert!(told.iter().all(|text| !text.contains(['\u{1b}', '\n'])), "{told:?}");
}
