//! Tales of real ledgers: what they tell, that they end where the rows do, and that they say so when they do not.

use netpay_ledger::rows::{AccountRow, EcoinRow, Row};
use netpay_ledger::working_set::Change;
use netpay_ledger::{Action, Event};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::wire;
use serde_json::Value;

use super::super::told::tests::stored;
use super::super::told::tests::world::{World, ecoin, peer};
use super::*;

/// Mallory buys 10 words, spends W1..W5 with Bob and W4..W8 with Carol, who both redeem; Bob asks for a payout of 2.
fn double_spent() -> World {
    let mut world = World::new();
    world.bought("mallory", "coin", 10);
    let (to_bob, to_carol) = (world.claim("coin", (1, 6, 5), "bob"), world.claim("coin", (4, 9, 8), "carol"));
    world.redeem("bob", vec![to_bob]);
    world.redeem("carol", vec![to_carol]);
    let payout = world.payout("bob", 2);
    world.execute(payout).expect("bob has 5");
    world
}

fn tell(world: &World, what: &str) -> Said {
    let (_dir, store) = stored(world.ledger.records());
    explain(&store, what.parse().expect("a subject")).expect("told")
}

fn column<'a>(said: &'a Said, field: &str) -> Vec<&'a Value> {
    said.json["entries"].as_array().expect("entries").iter().map(|entry| &entry[field]).collect()
}

fn numbers(said: &Said, field: &str) -> Vec<i64> {
    column(said, field).iter().map(|value| value.as_i64().expect("a number")).collect()
}

#[test]
fn a_payers_tale_runs_from_its_deposit_to_its_debt_and_ends_with_the_rows() {
    let world = double_spent();
    let said = tell(&world, &peer("mallory").to_string());
    assert_eq!(said.code, 0, "{}", said.text);
    let events = ["funds_credited", "account_opened", "ecoins_issued", "batch_redeemed", "batch_redeemed"];
    let then = ["double_spend_detected", "account_suspended"];
    assert_eq!(column(&said, "event"), [events.as_slice(), &then].concat());
    assert_eq!(numbers(&said, "amount_units"), [10, 0, -10, 0, 0, 0, 0]);
    assert_eq!(numbers(&said, "balance_units"), [10, 10, 0, 0, 0, 0, 0]);
    assert_eq!(numbers(&said, "debt_units"), [0, 0, 0, 0, 0, 2, 2]);
    let (bob, carol) = (peer("bob").to_string(), peer("carol").to_string());
    assert_eq!(column(&said, "counterparties")[0][0], "outside");
    assert_eq!(column(&said, "counterparties")[2][0], "escrow");
    assert_eq!(column(&said, "counterparties")[3][0], *bob);
    assert_eq!(column(&said, "counterparties")[4][0], *carol);
    assert_eq!((&said.json["debt_units"], &said.json["suspended"]), (&2.into(), &true.into()));
    assert!(said.text.contains("balance 0 units, debt 2 units, suspended"), "{}", said.text);
}

#[test]
fn a_payees_tale_names_its_payers_and_its_open_payout() {
    let said = tell(&double_spent(), &format!("peer:{}", peer("bob")));
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(numbers(&said, "amount_units"), [0, 5, 0, -2]);
    assert_eq!(numbers(&said, "balance_units"), [0, 5, 5, 3]);
    assert_eq!(column(&said, "counterparties")[1][0], peer("mallory").to_string());
    assert_eq!(said.json["open_payouts"][0]["amount_units"], 2);
    assert!(said.text.contains("open payout"), "{}", said.text);
}

/// Everything that can happen to an account, one after the other, with the rows agreeing after each.
#[test]
fn tales_agree_with_the_rows_through_refunds_settled_debts_and_ended_payouts() {
    let mut world = double_spent();
    let agree = |world: &World, who: &str| {
        let said = tell(world, &peer(who).to_string());
        assert_eq!((said.code, &said.json["agree"]), (0, &true.into()), "{}", said.text);
        said
    };
    let payout = world.payout("bob", 1);
    let key = match &payout.action {
        Action::RequestPayout { order, .. } => order.content.key(),
        other => panic!("{other:?}"),
    };
    world.execute(payout).expect("bob has 3");
    agree(&world, "bob");
    let failed = world.fail(key, "no such bank");
    world.execute(failed).expect("it is open");
    assert_eq!(agree(&world, "bob").json["balance_units"], 3);
    world.expire("coin");
    assert_eq!(agree(&world, "mallory").json["balance_units"], 2);
    world.now_ms = super::super::told::tests::world::REDEEM_UNTIL_MS + 1;
    let debt = (peer("mallory"), peer("carol"), ecoin("coin"));
    let settle = world.operator(&Order::SettleDebt { debtor: debt.0, creditor: debt.1, ecoin: debt.2 });
    world.execute(settle).expect("the time to redeem is over");
    let said = agree(&world, "mallory");
    assert_eq!(numbers(&said, "debt_units").last(), Some(&0));
    assert_eq!(said.json["balance_units"], 0);
    assert_eq!(agree(&world, "carol").json["balance_units"], 5);
    let reinstate = world.operator(&Order::Reinstate { peer: debt.0, reason: "paid".into() });
    world.execute(reinstate).expect("nothing is owed");
    assert_eq!(agree(&world, "mallory").json["suspended"], false);
}

/// Alice bought A after the backup and B after the restore; A comes back, and she has only 3 of its 10 units left.
#[test]
fn tales_agree_with_the_rows_after_a_restored_backup_and_tell_what_the_operator_lent() {
    let mut world = World::new();
    world.credit("alice", 10);
    let backup = world.ledger.clone();
    world.now_ms += 3_600_000;
    let lost = world.purchase("alice", &["A"], 10, Default::default());
    world.execute(lost).expect("a good purchase");
    let totals = backup.scan().totals;
    world.ledger = backup;
    let (head, head_at_ms) = (totals.head, totals.recorded_at_ms);
    world.happen(Event::LedgerRestored { incarnation: 2, head, head_at_ms });
    let command = world.purchase("alice", &["B"], 7, Default::default());
    world.execute(command).expect("a good purchase");
    let ecoins = vec![(world.coin("A").touchstone.clone(), 1)];
    world.by_itself(Action::RestoreEcoins { ecoins }).expect("restored");
    let said = tell(&world, &peer("alice").to_string());
    assert_eq!((said.code, numbers(&said, "debt_units").last()), (0, Some(&7)), "{}", said.text);
    assert_eq!(numbers(&said, "amount_units"), [10, 0, -7, -3]);
    assert!(said.text.contains("7 units lent by the operator"), "{}", said.text);
    let coin = tell(&world, &ecoin("A").to_string());
    assert_eq!((coin.code, column(&coin, "event")), (0, vec![&"ecoin_restored".into()]), "{}", coin.text);

    world.credit("alice", 9);
    let reconcile = world.operator(&Order::Reconcile { reason: "all is there".into() });
    world.execute(reconcile).expect("restored");
    let settle = Order::SettleDebt { debtor: peer("alice"), creditor: PeerId::OPERATOR, ecoin: ecoin("A") };
    let settle = world.operator(&settle);
    world.execute(settle).expect("she is not suspended");
    let said = tell(&world, &peer("alice").to_string());
    assert_eq!((said.code, &said.json["balance_units"], &said.json["debt_units"]), (0, &2.into(), &0.into()));
    assert!(said.text.contains("to the operator"), "{}", said.text);
}

#[test]
fn an_ecoins_tale_says_who_was_paid_under_which_grant_and_what_is_left() {
    let mut world = double_spent();
    let said = tell(&world, &ecoin("coin").to_string());
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(column(&said, "event"), ["ecoins_issued", "batch_redeemed", "batch_redeemed", "double_spend_detected"]);
    assert_eq!(numbers(&said, "left_words"), [10, 5, 2, 2]);
    let runs: Vec<_> = column(&said, "runs").into_iter().flat_map(|runs| runs.as_array().expect("a list")).collect();
    let told = |run: &Value| (run["from"].as_u64(), run["through"].as_u64(), run["grant"]["to"].as_u64());
    assert_eq!(told(runs[0]), (Some(1), Some(5), Some(6)));
    assert_eq!(told(runs[1]), (Some(6), Some(8), Some(9)));
    assert_eq!((&said.json["left_words"], &said.json["paid_words"]), (&2.into(), &8.into()));
    world.expire("coin");
    let said = tell(&world, &ecoin("coin").to_string());
    assert_eq!((said.code, numbers(&said, "words").last()), (0, Some(&-2)));
    assert_eq!(said.json["left_words"], 0);
}

#[test]
fn a_positions_tale_says_what_happened_and_who_asked() {
    let world = double_spent();
    let first = tell(&world, "1");
    assert_eq!(column(&first, "event"), ["funds_credited"]);
    assert!(first.json["asked_by"].as_str().expect("text").starts_with("operator "), "{}", first.text);
    let second = tell(&world, "2");
    assert!(second.json["asked_by"].as_str().expect("text").starts_with(&format!("peer {}", peer("mallory"))));
    assert!(second.text.contains("bought 1 e-coins of 10 words"), "{}", second.text);
}

fn code(world: &World, what: &str) -> u8 {
    let (_dir, store) = stored(world.ledger.records());
    explain(&store, what.parse().expect("a subject"))
        .map_or_else(|error| crate::cli::exit_code(&error), |said| said.code)
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = double_spent();
    let last = world.ledger.records().len();
    assert_eq!((code(&world, &last.to_string()), code(&world, &(last + 1).to_string())), (0, 3));
    assert_eq!((code(&world, "0"), code(&world, &"0".repeat(32))), (3, 3));
    let (mallory, coin) = (peer("mallory"), ecoin("coin"));
    assert_eq!((code(&world, &format!("ecoin:{mallory}")), code(&world, &format!("peer:{coin}"))), (3, 3));
    assert_eq!((code(&World::new(), "1"), code(&World::new(), &mallory.to_string())), (3, 3));
}

fn altered<R: Row>(key: &R::Key, change: impl FnOnce(&mut R)) -> impl FnOnce(&Store) {
    let key = key.clone();
    move |store: &Store| {
        let state: &dyn State = store;
        let mut row: R = load::row(&state, &key).expect("readable").expect("it is there");
        change(&mut row);
        let change = Change { table: R::TABLE, key: R::key(&key), value: Some(wire::encode(&row)) };
        store.write(&[], &[change]).expect("written");
    }
}

fn disagreement(alter: impl FnOnce(&Store), what: &str) -> String {
    let (_dir, store) = stored(double_spent().ledger.records());
    alter(&store);
    let said = explain(&store, what.parse().expect("a subject")).expect("told");
    assert_eq!((said.code, &said.json["agree"]), (7, &false.into()), "{}", said.text);
    assert!(said.text.contains("THE ROWS DISAGREE") && said.text.contains("ledger audit"), "{}", said.text);
    said.json["disagreements"][0].as_str().expect("text").to_owned()
}

#[test]
fn rows_that_the_events_do_not_lead_to_are_told_with_exit_code_7() {
    let (mallory, coin) = (peer("mallory"), ecoin("coin"));
    let who = mallory.to_string();
    let wrong = disagreement(altered(&mallory, |row: &mut AccountRow| row.balance = Units(7)), &who);
    assert_eq!(wrong, "balance: the events lead to 0, the row says 7");
    let wrong = disagreement(altered(&mallory, |row: &mut AccountRow| row.debt = Units(0)), &who);
    assert!(wrong.starts_with("debt: "), "{wrong}");
    let wrong = disagreement(altered(&mallory, |row: &mut AccountRow| row.suspended_at_ms = None), &who);
    assert!(wrong.starts_with("suspension: "), "{wrong}");
    let key: EcoinId = coin;
    let wrong = disagreement(altered(&key, |row: &mut EcoinRow| row.paid = WordCount(1)), &format!("ecoin:{coin}"));
    assert_eq!(wrong, "the events leave 2 words, the row 9");
    let gone = |store: &Store| {
        let key = AccountRow::key(&peer("carol"));
        store.write(&[], &[Change { table: AccountRow::TABLE, key, value: None }]).expect("written");
    };
    let wrong = disagreement(gone, &format!("peer:{}", peer("carol")));
    assert_eq!(wrong, "balance: the events lead to 3, the row says 0");
}

#[test]
fn subjects_are_read_as_they_are_written() {
    let id = "0123456789abcdef0123456789abcdef";
    for (text, subject) in [
        ("42".to_owned(), Subject::Position(42)),
        (id.to_owned(), Subject::Either(id.parse::<EcoinId>().expect("an id").0)),
        ("1".repeat(32), Subject::Either([0x11; 16])),
        (format!("peer:{id}"), Subject::Peer(id.parse().expect("an id"))),
        (format!("ecoin:{id}"), Subject::Ecoin(id.parse().expect("an id"))),
    ] {
        assert_eq!(text.parse(), Ok(subject));
    }
    for wrong in ["", "-1", "peer:42", "alice", "18446744073709551616"] {
        assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
    }
}
