//! Restored backups, rotated keys, and a clock in doubt.

use netpay_ledger::command::Request;
use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::{Digest, RequestId};
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::register::RotateKeys;
use netpay_protocol::touchstone::Touchstone;

use crate::world::*;

#[test]
fn an_honest_log_of_two_lives_passes_also_under_keys_that_only_the_log_lists() {
    let world = two_lives();
    assert_eq!(audit(&world.log()).expect("an honest log").figures().head, world.head());
}

fn lied(position: usize, change: impl FnOnce(&mut Record), said: &str) {
    found_in(&two_lives().log(), position, change, said);
}

#[test]
fn another_life_begins_by_a_backup_that_ends_right_before_it() {
    let restored = |change: fn(&mut u64, &mut Digest, &mut u64)| {
        move |record: &mut Record| {
            let Event::LedgerRestored { incarnation, head, head_at_ms } = &mut record.events[0] else { panic!() };
            change(incarnation, &mut head.hash, head_at_ms);
        }
    };
    lied(life::RESTORED, restored(|incarnation, _, _| *incarnation = 1), "does not begin a later life");
    lied(life::RESTORED, restored(|_, hash, _| hash.0[0] ^= 1), "ends at another record");
    lied(life::RESTORED, restored(|_, _, at| *at += 1), "ends at another record");
    lied(life::RESTORED, |record| record.incarnation = 3, "another life");
    let asked = |record: &mut Record| record.request = read(&two_lives().log(), life::DEPOSIT).request;
    lied(life::RESTORED, asked, "a restored backup is nobody's request");
    // Without the event the next record is of a life that never began.
    let silent = |record: &mut Record| (record.incarnation, record.events) = (1, vec![Event::ClockDoubted {}]);
    let (at, what) = difference(&lie(&two_lives().log(), life::RESTORED, silent));
    assert_eq!((at, what.contains("another life")), (3, true), "{what}");
}

/// Lost, restored, backed up before anybody came with it, lost and restored once more: A is older than the second backup.
#[test]
fn what_an_earlier_backup_lost_may_come_back_while_nothing_was_reconciled() {
    let mut world = World::new();
    world.credit("alice", 10);
    let backup = world.ledger.clone();
    world.buy("alice", &["A"], 10, 1);
    world.restore(backup);
    world.now_ms += HOUR_MS;
    world.credit("bob", 1);
    let backup = world.ledger.clone();
    world.restore(backup);
    world.bring("A");
    assert_eq!(audit(&world.log()).expect("an honest log").figures().head, world.head());
    let before_both = |record: &mut Record| {
        let Event::EcoinRestored { touchstone, .. } = &mut record.events[0] else { panic!() };
        touchstone.content.issued_at_ms = START_MS - 60_000;
        **touchstone = Signed::new(touchstone.content.clone(), &key("touchstone"));
    };
    found_in(&world.log(), 5, before_both, "the backup is younger");
}

/// Changes the e-coin that came back, and signs its touchstone as the broker does.
fn brought(change: impl Fn(&mut Touchstone, &mut Units, &mut Units), said: &str) {
    let changed = |record: &mut Record| {
        let Event::EcoinRestored { touchstone, debited, lent, .. } = &mut record.events[0] else { panic!() };
        change(&mut touchstone.content, debited, lent);
        **touchstone = Signed::new(touchstone.content.clone(), &key("touchstone"));
    };
    lied(life::BROUGHT, changed, said);
}

#[test]
fn what_comes_back_was_lost_and_is_paid_for() {
    brought(|t, _, _| t.broker.0[0] ^= 1, "is another broker's");
    brought(|t, _, _| t.incarnation = 2, "not of an earlier life");
    brought(|t, _, _| t.issued_at_ms = START_MS - 60_000, "the backup is younger");
    let late = |record: &mut Record| record.recorded_at_ms = REDEEM_UNTIL_MS;
    lied(life::BROUGHT, late, "can no longer be redeemed");
}

#[test]
fn what_comes_back_is_debited_as_far_as_there_is_and_lent_for_the_rest() {
    brought(|_, debited, lent| (debited.0, lent.0) = (debited.0 - 1, lent.0 + 1), "for other amounts");
    brought(|_, debited, lent| (debited.0, lent.0) = (debited.0 + 1, lent.0 - 1), "for other amounts");
    brought(|_, _, lent| lent.0 += 1, "for other amounts");
    let forged = |record: &mut Record| {
        let Event::EcoinRestored { touchstone, .. } = &mut record.events[0] else { panic!() };
        **touchstone = Signed::new(touchstone.content.clone(), &key("mallory"));
    };
    lied(life::BROUGHT, forged, "not signed by the broker");
    let twice = |record: &mut Record| {
        let again = record.events[0].clone();
        record.events.push(again);
    };
    lied(life::BROUGHT, twice, "but is there");
    let asked = |record: &mut Record| {
        record.request = Some(Request { signer: peer("bob"), id: RequestId([1; 16]), digest: Digest::ZERO });
    };
    lied(life::BROUGHT, asked, "at somebody's request");
    let log = two_lives().log();
    let late = |record: &mut Record| (record.request, record.events) = (None, read(&log, life::BROUGHT).events);
    lied(life::DOUBTED, late, "no backup waits to be reconciled");
}

#[test]
fn who_owes_the_operator_does_not_buy() {
    let log = two_lives().log();
    let bought = |record: &mut Record| {
        let purchase = read(&log, log.len()).events;
        let Some(Event::EcoinsIssued { order, touchstones, epoch }) = purchase.into_iter().next() else { panic!() };
        let mut content = order.content;
        content.valid_until_ms -= HOUR_MS;
        record.request = Some(Request { signer: peer("alice"), id: content.request, digest: content.digest() });
        let order = Box::new(Signed::new(content, &key("alice")));
        record.events = vec![Event::EcoinsIssued { order, touchstones, epoch }];
    };
    lied(life::DEPOSIT, bought, "an account in debt bought");
}

#[test]
fn until_a_backup_is_reconciled_nothing_is_paid_out_or_given_back() {
    let said = "while a restored backup was not reconciled";
    let log = two_lives().log();
    let payout = |record: &mut Record| {
        let Event::PayoutRequested { order } = &read(&log, life::PAYOUT).events[0] else { panic!() };
        let content = RequestPayout { request: RequestId([7; 16]), ..order.content.clone() };
        let request = Request { signer: content.peer, id: content.request, digest: content.digest() };
        let order = Box::new(Signed::new(content, &key("alice")));
        (record.request, record.events) = (Some(request), vec![Event::PayoutRequested { order }]);
    };
    lied(life::DEPOSIT, payout, said);
    let refund = |record: &mut Record| {
        let (words, refund) = (WordCount(7), Units(7));
        let event = Event::EcoinExpired { ecoin: ecoin("B"), payer: peer("alice"), words, refund };
        (record.request, record.events) = (None, vec![event]);
    };
    lied(life::DEPOSIT, refund, said);
    // The operator's word is missing: what came after it is wrong.
    let silent = |record: &mut Record| (record.request, record.events) = (None, vec![Event::ClockDoubted {}]);
    let (at, what) = difference(&lie(&log, life::RECONCILED, silent));
    assert_eq!((at, what.contains("while the clock was in doubt")), (8, true), "{what}");
}

#[test]
fn a_clock_is_doubted_once_and_confirmed_once_and_a_ledger_reconciled_once() {
    let log = two_lives().log();
    let mut world = two_lives();
    for (order, said) in [
        (Order::Reconcile { reason: String::new() }, "that was not restored"),
        (Order::ConfirmClock { reason: String::new() }, "that was not in doubt"),
    ] {
        let signed = Box::new(world.admin(&order));
        let event = match order {
            Order::Reconcile { .. } => Event::LedgerReconciled { order: signed.clone() },
            _ => Event::ClockConfirmed { order: signed.clone() },
        };
        lied(life::DOUBTED, |record| (record.request, record.events) = (Some(request_of(&signed)), vec![event]), said);
    }
    let again = |record: &mut Record| (record.request, record.events) = (None, read(&log, life::DOUBTED).events);
    lied(life::CONFIRMED, again, "in doubt a second time");
    let asked = |record: &mut Record| record.request = read(&log, life::PAYOUT).request;
    lied(life::DOUBTED, asked, "is nobody's request");
    // One order in the place of the other.
    let confirm = Box::new(world.admin(&Order::ConfirmClock { reason: String::new() }));
    let reconcile = Box::new(world.admin(&Order::Reconcile { reason: String::new() }));
    for (position, order, event) in [
        (life::RECONCILED, &confirm, Event::LedgerReconciled { order: confirm.clone() }),
        (life::CONFIRMED, &reconcile, Event::ClockConfirmed { order: reconcile.clone() }),
    ] {
        let otherwise = |record: &mut Record| (record.request, record.events) = (Some(request_of(order)), vec![event]);
        lied(position, otherwise, "otherwise than the operator ordered");
    }
}

#[test]
fn a_rotation_is_signed_with_the_old_key_and_proven_by_the_new() {
    let order_of = |record: &mut Record, change: fn(&mut Signed<RotateKeys>)| {
        let Event::PeerKeysRotated { order, .. } = &mut record.events[0] else { panic!() };
        change(order);
    };
    let forged = |order: &mut Signed<RotateKeys>| *order = Signed::new(order.content.clone(), &key("mallory"));
    lied(life::ROTATED, |record| order_of(record, forged), "not signed with the key that it had until then");
    let stolen = |record: &mut Record| {
        let Event::PeerKeysRotated { register, .. } = &mut record.events[0] else { panic!() };
        **register = Signed::new(register.content.clone(), &key("mallory"));
    };
    lied(life::ROTATED, stolen, "not signed by its signing key");
    let another = |record: &mut Record| {
        let Event::PeerKeysRotated { register, .. } = &mut record.events[0] else { panic!() };
        **register = registration("mallory");
    };
    lied(life::ROTATED, another, "not about this registration");
    lied(life::ROTATED, |record| record.request = None, "is not the order that it holds");
    let elsewhere = |order: &mut Signed<RotateKeys>| order.content.broker.0[0] ^= 1;
    lied(life::ROTATED, |record| order_of(record, elsewhere), "for another broker");
    // Back to the key that was given up.
    let mut world = two_lives();
    let (order, register) = world.rotation("alice", "alice");
    let back = |record: &mut Record| {
        let digest = order.content.digest();
        record.request = Some(Request { signer: peer("alice"), id: order.content.request, digest });
        record.events = vec![Event::PeerKeysRotated { order: Box::new(order), register: Box::new(register) }];
    };
    lied(life::PAYOUT, back, "that it gave up before");
    // The old key does not speak any more.
    let old = |record: &mut Record| {
        let Event::PayoutRequested { order } = &mut record.events[0] else { panic!() };
        **order = Signed::new(order.content.clone(), &key("alice"));
    };
    lied(life::PAYOUT, old, "not signed with the key that it had then");
}

#[test]
fn an_account_rotates_its_key_so_often_and_not_once_more() {
    let mut world = World::new();
    world.credit("alice", 9);
    world.buy("alice", &["A"], 9, 1);
    (0..16).for_each(|nth| world.rotate("alice", &format!("alice {nth}")));
    world.credit("alice", 1);
    assert!(audit(&world.log()).is_ok());
    let (order, register) = world.rotation("alice", "one more");
    let once_more = |record: &mut Record| {
        let digest = order.content.digest();
        record.request = Some(Request { signer: peer("alice"), id: order.content.request, digest });
        record.events = vec![Event::PeerKeysRotated { order: Box::new(order), register: Box::new(register) }];
    };
    found_in(&world.log(), 19, once_more, "more often than it may");
}

#[test]
fn the_brokers_keys_are_the_roots_word_and_only_get_newer() {
    let forged = |record: &mut Record| {
        let Event::BrokerKeysRotated { list } = &mut record.events[0] else { panic!() };
        list.list = Signed::new(list.list.content.clone(), &key("mallory"));
    };
    lied(life::KEYS, forged, "not signed by the root key");
    let of_another = |record: &mut Record| {
        let Event::BrokerKeysRotated { list } = &mut record.events[0] else { panic!() };
        let signed = Signed::new(list.list.content.clone(), &key("mallory"));
        **list = SignedKeyList { root: key("mallory").public(), list: signed };
    };
    lied(life::KEYS, of_another, "not signed by the root key");
    let log = two_lives().log();
    let again = |record: &mut Record| (record.request, record.events) = (None, read(&log, life::KEYS).events);
    lied(life::PAYOUT, again, "not newer than the one recorded before");
    // Without the list its key is nobody's.
    let silent = |record: &mut Record| record.events = vec![Event::ClockDoubted {}];
    let (at, what) = difference(&lie(&log, life::KEYS, silent));
    assert_eq!((at, what.contains("which was not the broker's then")), (14, true), "{what}");
}
