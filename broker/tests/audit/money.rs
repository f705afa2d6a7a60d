//! The chain of records, and where money comes from and goes to: deposits, purchases, refunds, debts.

use netpay_broker::audit::Audit;
use netpay_ledger::event::Event;
use netpay_ledger::record::{Record, hash};
use netpay_protocol::amounts::{UnitValue, Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::Kid;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::touchstone::Touchstone;

use crate::world::*;

#[test]
fn an_honest_log_passes_and_is_read_to_its_end() {
    let world = story();
    let audited = audit(&world.log()).expect("an honest log");
    assert_eq!(audited.figures().head, world.head());
    assert_eq!(audited.figures().claims, 4);
    assert_eq!(audit(&[]).expect("an empty log").figures().head.position, 0);
}

#[test]
fn a_broken_chain_is_found() {
    let log = story().log();
    let mut without_one = log.clone();
    without_one.remove(4);
    assert!(difference(&without_one).1.contains("another position"));
    let scratch = tempfile::tempdir().expect("a directory");
    let mut with_a_gap = Audit::begin(trust(), scratch.path()).expect("a scratch file");
    with_a_gap.record(1, &log[0]).expect("the first");
    let said = with_a_gap.record(3, &log[2]).expect_err("the second is missing").to_string();
    assert_eq!(said, "position 3: the record before it is missing");
    // The bytes are another record's, of the same place.
    let mut swapped = log.clone();
    let mut other = read(&log, 5);
    other.prev_hash = hash(b"another");
    swapped[4] = other.to_bytes();
    assert_eq!(difference(&swapped), (5, "the record does not follow the one before it".into()));
    let mut flipped = log.clone();
    flipped[2] = lie(&log, 3, |record| record.recorded_at_ms += 1)[2].clone();
    assert_eq!(difference(&flipped).0, 4, "the next record does not follow a changed one");
    let mut longer = log.clone();
    longer[6].push(0);
    assert_eq!(difference(&longer), (7, "the record is not in its canonical encoding".into()));
    let mut torn = log;
    torn[6].pop();
    assert!(difference(&torn).1.contains("cannot be read"));
}

#[test]
fn time_and_lives_never_go_back() {
    found(at::PAYOUT, |record| record.recorded_at_ms = START_MS, "time is before");
    found(at::PAYOUT, |record| record.incarnation = 2, "another life");
    found(at::PAYOUT, |record| record.incarnation = 0, "another life");
}

fn sold(record: &mut Record) -> (&mut Signed<BuyEcoins>, &mut Vec<Signed<Touchstone>>) {
    let sale = record.events.iter_mut().find_map(|event| match event {
        Event::EcoinsIssued { order, touchstones, .. } => Some((&mut **order, touchstones)),
        _ => None,
    });
    sale.expect("a sale")
}

/// Changes the first touchstone, and signs it as the broker does.
fn touchstone(change: impl Fn(&mut Touchstone), said: &str) {
    let relabel = |record: &mut Record| {
        let mut content = sold(record).1[0].content.clone();
        change(&mut content);
        sold(record).1[0] = Signed::new(content, &key("touchstone"));
    };
    found(at::PURCHASE, relabel, said);
}

#[test]
fn a_touchstone_that_is_not_what_was_ordered_is_found() {
    let stranger = key("mallory").public();
    touchstone(|t| t.unit_value = UnitValue(4), "is not what was ordered");
    touchstone(|t| t.n = t.n.next(), "is not what was ordered");
    touchstone(|t| t.payer = peer("mallory"), "is not what was ordered");
    touchstone(|t| t.payer_key = stranger, "does not hold its payer's key");
    touchstone(|t| t.payer_opened_at_ms -= 1, "opened at another time");
    touchstone(|t| t.issued_at_ms += DAY_MS, "was issued after it was recorded");
    touchstone(|t| t.issued_at_ms = START_MS - 60_000 + 1, "more than a minute before");
    touchstone(|t| t.incarnation = 7, "is of another life");
}

#[test]
fn a_touchstone_under_no_key_of_the_broker_is_found() {
    let forged = |record: &mut Record| {
        let content = sold(record).1[1].content.clone();
        sold(record).1[1] = Signed::new(content, &key("mallory"));
    };
    found(at::PURCHASE, forged, "is not signed by the broker");
    // Unknown, of another purpose, and retired before it was issued.
    for name in ["mallory", "statement", "retired"] {
        touchstone(|t| t.kid = Kid::of(&key(name).public()), "which was not the broker's then");
    }
}

#[test]
fn a_key_revoked_later_is_good_for_what_was_recorded_before_and_not_after() {
    let log = story().log();
    let recorded_at_ms = read(&log, at::SECOND_PURCHASE).recorded_at_ms;
    for (revoked_at_ms, good) in [(recorded_at_ms, true), (recorded_at_ms - 1, false)] {
        let mut trust = trust();
        trust.keys = keys(revoked_at_ms);
        assert_eq!(audit_under(trust, &log, |_| {}).is_ok(), good, "revoked at {revoked_at_ms}");
    }
}

#[test]
fn a_purchase_that_its_payer_did_not_sign_is_found() {
    let forged = |record: &mut Record| {
        let order = sold(record).0;
        *order = Signed::new(order.content.clone(), &key("mallory"));
    };
    found(at::PURCHASE, forged, "a purchase is not signed with its payer's key");
}

#[test]
fn a_purchase_of_another_number_of_chains_is_found() {
    found(at::PURCHASE, |record| sold(record).1.truncate(1), "another number of touchstones");
}

#[test]
fn an_order_that_is_not_the_one_asked_for_is_found() {
    let other = |record: &mut Record| {
        let order = sold(record).0;
        let content = BuyEcoins { most_debited_units: Units(1_000), ..order.content.clone() };
        *order = Signed::new(content, &key("alice"));
    };
    found(at::PURCHASE, other, "is not the order that it holds");
    found(at::PURCHASE, |record| record.request = None, "is not the order that it holds");
}

/// Orders another purchase, signed as it should be.
fn purchase(position: usize, change: impl Fn(&mut BuyEcoins), said: &str) {
    let ordered = |record: &mut Record| {
        let mut content = sold(record).0.content.clone();
        change(&mut content);
        if let Some(request) = &mut record.request {
            request.digest = content.digest();
        }
        *sold(record).0 = Signed::new(content, &key("alice"));
    };
    found(position, ordered, said);
}

#[test]
fn a_purchase_beyond_what_its_payer_allowed_is_found() {
    purchase(at::PURCHASE, |order| order.most_debited_units = Units(59), "costs more than its payer allowed");
    purchase(at::PURCHASE, |order| order.valid_until_ms = START_MS, "after its time was over");
    purchase(at::PURCHASE, |order| order.broker.0[0] ^= 1, "for another broker");
    purchase(at::PURCHASE, |order| order.valid_until_ms += DAY_MS, "longer than 24 hours");
}

#[test]
fn an_ecoin_sold_twice_is_found() {
    let again = |record: &mut Record| {
        let content = Touchstone { ecoin: ecoin("A"), ..sold(record).1[0].content.clone() };
        sold(record).1[0] = Signed::new(content, &key("touchstone"));
    };
    found(at::SECOND_PURCHASE, again, "an e-coin's id is sold a second time");
}

#[test]
fn money_that_is_not_there_cannot_be_spent() {
    // Nobody signed the smaller deposit either: the books are kept in order, and the purchase is before the proofs.
    let mut world = World::new();
    world.credit("alice", 60);
    world.buy("alice", &["A"], 10, 6);
    let less = |record: &mut Record| {
        let order = world.admin_with_reference("alice", 59, "less");
        record.request = Some(request_of(&order));
        let Event::FundsCredited { amount, order: held, reference, .. } = &mut record.events[0] else { panic!() };
        (*amount, **held, *reference) = (Units(59), order, "less".into());
    };
    let log = world.log();
    let (at, what) = difference(&lie(&log, 1, less));
    assert_eq!((at, what.contains("-1 units, below zero")), (2, true), "{what}");
}

#[test]
fn a_deposit_counts_once_by_its_reference_and_its_request() {
    let log = story().log();
    let deposit = read(&log, at::DEPOSIT);
    let twice = |record: &mut Record| {
        let mut again = deposit.events.clone();
        record.events.append(&mut again);
    };
    found(at::DEPOSIT, twice, "no command leads to");
    let again = |record: &mut Record| (record.request, record.events) = (deposit.request, deposit.events.clone());
    found(at::SUSPENSION, again, "has an outcome already");
    // The operator does sign it again, under another request.
    let mut world = World::new();
    world.credit("alice", 5);
    world.credit("alice", 5);
    let same_name = |record: &mut Record| {
        let order = world.admin_with_reference("alice", 5, "deposit 0");
        record.request = Some(request_of(&order));
        let Event::FundsCredited { order: held, reference, .. } = &mut record.events[0] else { panic!() };
        (**held, *reference) = (order, "deposit 0".into());
    };
    let log = world.log();
    found_in(&log, 2, same_name, "reference was credited before");
}

fn refunded(record: &mut Record, nth: usize) -> (&mut WordCount, &mut Units) {
    match &mut record.events[nth] {
        Event::EcoinExpired { words, refund, .. } => (words, refund),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refund_is_what_is_left_given_once_and_not_too_early() {
    let more = |record: &mut Record| {
        let (words, refund) = refunded(record, 0);
        (*words, *refund) = (WordCount(words.0 + 1), Units(refund.0 + 3));
    };
    found(at::EXPIRY, more, "not what is left");
    found(at::EXPIRY, |record| refunded(record, 1).1.0 += 1, "not what is left");
    let twice = |record: &mut Record| {
        let first = record.events[0].clone();
        record.events.push(first);
    };
    found(at::EXPIRY, twice, "a second time");
    let to_another = |record: &mut Record| {
        let Event::EcoinExpired { payer, .. } = &mut record.events[0] else { panic!() };
        *payer = peer("bob");
    };
    found(at::EXPIRY, to_another, "somebody else than its payer");
    found(at::EXPIRY, |record| record.recorded_at_ms -= 1, "can still be redeemed");
    let of_nothing = |record: &mut Record| {
        let Event::EcoinExpired { ecoin: id, .. } = &mut record.events[0] else { panic!() };
        *id = ecoin("Z");
    };
    found(at::EXPIRY, of_nothing, "was never sold");
    let asked = |record: &mut Record| record.request = read(&story().log(), at::DEBT).request;
    found(at::EXPIRY, asked, "a refund is nobody's request");
    let too_many = |record: &mut Record| record.events = vec![record.events[0].clone(); 1_001];
    found(at::EXPIRY, too_many, "more than 1000 e-coins");
}

#[test]
fn a_debt_is_settled_late_enough_and_as_far_as_the_balance_goes() {
    let amount = |change: fn(&mut Units)| {
        move |record: &mut Record| {
            let Event::DebtSettled { amount, .. } = &mut record.events[0] else { panic!() };
            change(amount);
        }
    };
    found(at::DEBT, amount(|amount| amount.0 += 1), "another amount than is open");
    found(at::DEBT, amount(|amount| amount.0 -= 1), "another amount than is open");
    let to_another = |record: &mut Record| {
        let Event::DebtSettled { debt, .. } = &mut record.events[0] else { panic!() };
        debt.creditor = peer("mallory");
    };
    found(at::DEBT, to_another, "that the operator did not name");
    let mut early = story();
    early.now_ms = REDEEM_UNTIL_MS;
    let mut log = early.log();
    log.truncate(at::SECOND_PURCHASE);
    let debt = read(&early.log(), at::DEBT);
    let earlier = Record { position: 13, prev_hash: hash(&log[11]), recorded_at_ms: START_MS + DAY_MS, ..debt };
    log.push(earlier.to_bytes());
    // The order's life is what it would end at first: sign it anew for that day.
    let fresh = |record: &mut Record| {
        let Event::DebtSettled { order, .. } = &mut record.events[0] else { panic!() };
        order.content.valid_until_ms = START_MS + DAY_MS;
        **order = Signed::new(order.content.clone(), &key("operator"));
        record.request = Some(request_of(order));
    };
    found_in(&log, 13, fresh, "can still be redeemed");
}
