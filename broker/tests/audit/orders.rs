//! Who ordered it: operators and peers, accounts and payouts.

use netpay_ledger::event::{Cause, Event};
use netpay_ledger::record::Record;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, Kid, RequestId};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::wire;

use crate::world::*;

fn admin_in(record: &mut Record) -> &mut Signed<Admin> {
    match &mut record.events[0] {
        Event::FundsCredited { order, .. }
        | Event::AccountSuspended { cause: Cause::Operator(order), .. }
        | Event::AccountReinstated { order, .. }
        | Event::DebtSettled { order, .. }
        | Event::PayoutSettled { order, .. }
        | Event::PayoutFailed { order, .. } => order,
        other => panic!("{other:?}"),
    }
}

/// Signs another order in the place of the one that is there, and records it as what was asked for.
fn ordered(change: impl Fn(&mut Admin)) -> impl Fn(&mut Record) {
    move |record| {
        let order = admin_in(record);
        change(&mut order.content);
        *order = Signed::new(order.content.clone(), &key("operator"));
        let request = request_of(order);
        record.request = Some(request);
    }
}

const BY_OPERATORS: [usize; 6] =
    [at::DEPOSIT, at::SUSPENSION, at::REINSTATEMENT, at::PAYOUT_SETTLED, at::PAYOUT_FAILED, at::DEBT];

#[test]
fn what_no_operator_signed_is_found() {
    for position in BY_OPERATORS {
        let forged = |record: &mut Record| {
            let order = admin_in(record);
            *order = Signed::new(order.content.clone(), &key("mallory"));
        };
        found(position, forged, "not signed by the operator it names");
        let unknown = |record: &mut Record| {
            let order = admin_in(record);
            order.content.kid = Kid::of(&key("mallory").public());
            *order = Signed::new(order.content.clone(), &key("mallory"));
        };
        found(position, unknown, "which the configuration does not list");
    }
}

#[test]
fn what_an_operator_ordered_otherwise_is_found() {
    for position in BY_OPERATORS {
        let something_else = Order::Suspend { peer: peer("dave"), reason: String::new() };
        let other = ordered(|admin| admin.order = wire::encode(&something_else));
        found(position, other, if position == at::DEPOSIT { "a deposit is not what" } else { "the operator" });
        found(position, ordered(|admin| admin.order = vec![0xff]), "cannot be read");
    }
    let more = |record: &mut Record| {
        let Event::FundsCredited { amount, .. } = &mut record.events[0] else { panic!() };
        amount.0 += 1;
    };
    found(at::DEPOSIT, more, "a deposit is not what the operator ordered");
}

#[test]
fn an_order_has_its_time_and_its_request() {
    for position in BY_OPERATORS {
        found(position, ordered(|admin| admin.valid_until_ms -= HOUR_MS + 1), "after its time was over");
        found(position, ordered(|admin| admin.valid_until_ms += 24 * HOUR_MS), "longer than 24 hours");
        found(position, |record| record.request = None, "is not the order that it holds");
        found(position, |record| admin_in(record).content.broker.0[0] ^= 1, "for another broker");
        let other = |record: &mut Record| {
            if let Some(request) = &mut record.request {
                request.digest = Digest::ZERO;
            }
        };
        found(position, other, "is not the order that it holds");
    }
}

/// The record of an operator's order that was not carried out, in the time of the story's first records.
fn carried_out<E: Fn(Box<Signed<Admin>>) -> Event>(order: &Order, event: E) -> impl Fn(&mut Record) + use<E> {
    let mut content = World::new().admin(order).content;
    content.request = RequestId([0xcd; 16]);
    let signed = Box::new(Signed::new(content, &key("operator")));
    move |record| (record.request, record.events) = (Some(request_of(&signed)), vec![event(signed.clone())])
}

#[test]
fn nobody_deposits_nothing_or_more_than_a_ledger_can_hold() {
    let deposit = |amount| {
        let order = Order::Credit { peer: peer("bob"), amount, reference: "another".into() };
        carried_out(&order, move |order| Event::FundsCredited {
            peer: peer("bob"),
            amount,
            reference: "another".into(),
            order,
        })
    };
    let most = (1 << 62) - 1;
    found(at::DEPOSIT, deposit(Units(0)), "a deposit of nothing");
    found(at::DEPOSIT, deposit(Units(most + 1)), "above what a ledger can hold");
    // What is being paid out may come back.
    let mut world = World::new();
    world.credit("alice", most);
    world.payout("alice", most);
    world.operator(&Order::Suspend { peer: peer("alice"), reason: String::new() });
    assert!(audit(&world.log()).is_ok());
    found_in(&world.log(), 3, deposit(Units(most)), "all deposits together");
}

#[test]
fn who_is_at_large_is_not_reinstated() {
    let order = Order::Reinstate { peer: peer("bob"), reason: String::new() };
    let again = carried_out(&order, |order| Event::AccountReinstated { peer: peer("bob"), order });
    found(at::PAYOUT, again, "that was not suspended");
}

#[test]
fn an_account_opened_with_anothers_keys_or_twice_is_found() {
    let stolen = |record: &mut Record| {
        let Event::AccountOpened { register, .. } = &mut record.events[0] else { panic!() };
        **register = registration("mallory");
    };
    // The purchase is not signed with those keys either; the account comes first.
    let (at, what) = difference(&lie(&story().log(), at::BOBS_BATCH, stolen));
    assert_eq!((at, what.contains("not opened with the key that its id is made of")), (3, true), "{what}");
    let unsigned = |record: &mut Record| {
        let Event::AccountOpened { register, .. } = &mut record.events[0] else { panic!() };
        **register = Signed::new(register.content.clone(), &key("mallory"));
    };
    found(at::BOBS_BATCH, unsigned, "not signed by its signing key");
    let again = |record: &mut Record| {
        let opened =
            Event::AccountOpened { peer: peer("bob"), register: Box::new(registration("bob")), opened_at_ms: START_MS };
        record.events.insert(0, opened);
    };
    found(at::PAYOUT, again, "opened a second time");
    let by_another = |record: &mut Record| {
        let Event::AccountOpened { peer: who, register, .. } = &mut record.events[0] else { panic!() };
        (*who, **register) = (peer("mallory"), registration("mallory"));
    };
    found(at::BOBS_BATCH, by_another, "by somebody else's command");
    found(at::BOBS_BATCH, |record| drop(record.events.remove(0)), "was never opened");
}

fn payout_in(record: &mut Record) -> &mut Signed<RequestPayout> {
    match &mut record.events[0] {
        Event::PayoutRequested { order } => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payout_that_its_peer_did_not_sign_is_found() {
    let forged = |record: &mut Record| {
        let order = payout_in(record);
        *order = Signed::new(order.content.clone(), &key("mallory"));
    };
    found(at::PAYOUT, forged, "not signed with the key that it had then");
    let more = |record: &mut Record| payout_in(record).content.amount_units = Units(6);
    found(at::PAYOUT, more, "is not the order that it holds");
    found(at::PAYOUT, |record| payout_in(record).content.broker.0[0] ^= 1, "for another broker");
}

#[test]
fn a_payout_ends_once_and_gives_back_what_it_took() {
    let more = |record: &mut Record| {
        let Event::PayoutFailed { amount, .. } = &mut record.events[0] else { panic!() };
        amount.0 += 1;
    };
    found(at::PAYOUT_FAILED, more, "another amount than it took");
    // The operator did name it: the one that is settled already.
    let mut world = World::new();
    world.credit("alice", 10);
    let payout = world.payout("alice", 4);
    world.operator(&Order::SettlePayout { payout, reference: "once".into() });
    let order = Box::new(world.admin(&Order::SettlePayout { payout, reference: "twice".into() }));
    let request = request_of(&order);
    world.credit("alice", 1);
    let twice = |record: &mut Record| {
        record.request = Some(request);
        record.events = vec![Event::PayoutSettled { payout, reference: "twice".into(), order: order.clone() }];
    };
    found_in(&world.log(), 4, twice, "a payout ends that is not open");
    let order = Box::new(world.admin(&Order::FailPayout { payout, reason: "late".into() }));
    let request = request_of(&order);
    world.credit("alice", 1);
    let after_all = |record: &mut Record| {
        record.request = Some(request);
        record.events =
            vec![Event::PayoutFailed { payout, amount: Units(4), reason: "late".into(), order: order.clone() }];
    };
    found_in(&world.log(), 5, after_all, "a payout ends that is not open");
}

#[test]
fn the_suspended_neither_buy_nor_are_paid_out_and_are_suspended_once() {
    // The suspension stays away from the ledger that decides, and comes into the log before the purchase.
    for (bought, said) in [(true, "a suspended account bought"), (false, "a suspended account bought, or was paid out")]
    {
        let mut world = World::new();
        world.credit("alice", 10);
        world.credit("carol", 10);
        match bought {
            true => world.buy("alice", &["A"], 5, 1),
            false => drop(world.payout("alice", 5)),
        }
        let order = Box::new(world.admin(&Order::Suspend { peer: peer("alice"), reason: String::new() }));
        let suspend = |record: &mut Record| {
            record.request = Some(request_of(&order));
            record.events =
                vec![Event::AccountSuspended { peer: peer("alice"), cause: Cause::Operator(order.clone()) }];
        };
        let (at, what) = difference(&lie(&world.log(), 2, suspend));
        assert_eq!((at, what.contains(said)), (3, true), "{what}");
    }
    let again = |record: &mut Record| {
        let reinstated = ordered(|admin| {
            admin.order = wire::encode(&Order::Suspend { peer: peer("bob"), reason: String::new() });
        });
        reinstated(record);
        let order = Box::new(admin_in(record).clone());
        record.events = vec![Event::AccountSuspended { peer: peer("bob"), cause: Cause::Operator(order) }];
    };
    found(at::REINSTATEMENT, again, "suspended a second time");
}
