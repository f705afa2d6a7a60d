//! Payouts (DESIGN §3.7, §3.8): off the balance at once, settled or failed once and for good; nobody is paid twice.

mod world;

use netpay_ledger::event::Event;
use netpay_ledger::memory::Outcome;
use netpay_ledger::rows::{AccountRow, OwnedRow, PayoutRow, Row as _, Table};
use netpay_ledger::{Action, Command, Decision, Record, Rejection, Rows as _, apply, decide, invariants, load};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::RequestId;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payout::{PayoutKey, PayoutState, RequestPayout};
use world::{World, ecoin, key, peer};

fn given_alice_has(units: u64) -> World {
    let mut world = World::new();
    world.credit("alice", units);
    world
}

/// Requests a payout, and names it.
fn requested(world: &mut World, name: &str, amount: u64) -> PayoutKey {
    let command = world.payout(name, amount);
    let payout = content(&command).key();
    assert!(matches!(world.execute(command), Ok(Outcome::Recorded(_))));
    payout
}

fn content(command: &Command) -> &RequestPayout {
    let Action::RequestPayout { order, .. } = &command.action else { panic!("no payout") };
    &order.content
}

/// The same command with other content.
fn changed(world: &World, command: &Command, change: impl FnOnce(&mut RequestPayout)) -> Command {
    let mut order = content(command).clone();
    change(&mut order);
    world.payout_of("alice", order)
}

fn row(world: &World, payout: PayoutKey) -> PayoutRow {
    load::row(&world.ledger, &payout).expect("readable").expect("requested")
}

fn outside(world: &World) -> (i64, u64) {
    let totals = world.ledger.scan().totals;
    (totals.outside, totals.payouts_open().0)
}

#[test]
fn a_payout_is_off_the_balance_at_once_and_settled_for_good() {
    let mut world = given_alice_has(100);
    let payout = requested(&mut world, "alice", 30);
    assert_eq!(world.balance("alice"), 70);
    assert_eq!(outside(&world), (-70, 30));
    let first = row(&world, payout);
    assert_eq!((first.amount, first.destination.as_str()), (Units(30), "alice's bank"));
    assert_eq!((first.state, first.requested_at_ms, first.position), (PayoutState::Requested, world.now_ms, 2));
    world.now_ms += 5;
    let command = world.settle(payout, "bank 9");
    world.execute(command).expect("settled");
    let settled = PayoutState::Settled { reference: "bank 9".into(), at_ms: world.now_ms };
    assert_eq!((row(&world, payout).state, world.balance("alice")), (settled, 70));
    assert_eq!(outside(&world), (-70, 0));
}

#[test]
fn a_failed_payout_gives_its_money_back_once() {
    let mut world = given_alice_has(100);
    let payout = requested(&mut world, "alice", 30);
    let command = world.fail(payout, "no such bank");
    world.execute(command.clone()).expect("failed");
    let failed = PayoutState::Failed { reason: "no such bank".into(), at_ms: world.now_ms };
    assert_eq!((row(&world, payout).state, world.balance("alice")), (failed, 100));
    assert_eq!(outside(&world), (-100, 0));
    assert_eq!(world.execute(command), Ok(Outcome::Repeated(3)));
    assert_eq!(world.balance("alice"), 100);
}

/// What went out cannot come back too, and what came back cannot go out: whoever says so, and however.
#[test]
fn settled_and_failed_are_final() {
    let mut world = given_alice_has(100);
    let (paid, back) = (requested(&mut world, "alice", 10), requested(&mut world, "alice", 20));
    for command in [world.settle(paid, "bank 9"), world.fail(back, "closed")] {
        world.execute(command).expect("the first word on it");
    }
    let was_settled = Rejection::PayoutWasSettled { reference: "bank 9".into(), at_ms: world.now_ms };
    let has_failed = Rejection::PayoutHasFailed { reason: "closed".into(), at_ms: world.now_ms };
    world.now_ms += 1_000;
    for (command, rejection) in [
        (world.settle(paid, "bank 9"), was_settled.clone()),
        (world.settle(paid, "bank 10"), was_settled.clone()),
        (world.fail(paid, "closed"), was_settled),
        (world.fail(back, "closed"), has_failed.clone()),
        (world.settle(back, "bank 9"), has_failed),
    ] {
        assert_eq!(world.execute(command), Err(rejection));
    }
    assert_eq!((world.balance("alice"), outside(&world)), (90, (-90, 0)));
}

#[test]
fn the_same_order_of_an_operator_again_is_its_first_outcome() {
    let mut world = given_alice_has(100);
    let (paid, back) = (requested(&mut world, "alice", 10), requested(&mut world, "alice", 20));
    let orders = [world.settle(paid, "bank 9"), world.fail(back, "closed")];
    for order in orders.clone() {
        assert!(matches!(world.execute(order), Ok(Outcome::Recorded(_))));
    }
    world.now_ms += 30 * DAY_MS;
    for (order, position) in orders.into_iter().zip(4..) {
        assert_eq!(world.execute(order), Ok(Outcome::Repeated(position)));
    }
    assert_eq!(world.balance("alice"), 90);
}

#[test]
fn a_payout_that_nobody_requested_can_neither_be_settled_nor_fail() {
    let mut world = given_alice_has(100);
    let payout = requested(&mut world, "alice", 10);
    let others = [PayoutKey { peer: peer("bob"), ..payout }, PayoutKey { request: RequestId([9; 16]), ..payout }];
    for other in others {
        for command in [world.settle(other, "bank 9"), world.fail(other, "closed")] {
            assert_eq!(world.execute(command), Err(Rejection::PayoutUnknown));
        }
    }
    assert_eq!(row(&world, payout).state, PayoutState::Requested);
}

#[test]
fn a_late_word_of_the_operator_changes_nothing() {
    let mut world = given_alice_has(100);
    let payout = requested(&mut world, "alice", 10);
    let (settle, fail) = (world.settle(payout, "bank 9"), world.fail(payout, "closed"));
    world.now_ms += 60_001;
    for command in [settle, fail] {
        assert!(matches!(world.execute(command), Err(Rejection::RequestExpired { .. })));
    }
    assert_eq!(row(&world, payout).state, PayoutState::Requested);
}

/// The lost reply: whatever became of it since, the same bytes are the same payout.
#[test]
fn the_same_payout_again_is_the_same_one_for_ever() {
    let mut world = given_alice_has(100);
    let command = world.payout("alice", 30);
    let payout = content(&command).key();
    assert!(matches!(world.execute(command.clone()), Ok(Outcome::Recorded(_))));
    assert_eq!(world.execute(command.clone()), Ok(Outcome::Repeated(2)));
    let fail = world.fail(payout, "closed");
    world.execute(fail).expect("failed");
    let suspend = world.operator(&Order::Suspend { peer: peer("alice"), reason: "test".into() });
    world.execute(suspend).expect("suspended");
    world.now_ms += 80 * DAY_MS;
    assert_eq!(world.execute(command), Ok(Outcome::Repeated(2)));
    assert_eq!(world.balance("alice"), 100);
}

#[test]
fn other_bytes_under_a_payouts_id_are_rejected_and_ids_belong_to_their_signer() {
    let mut world = given_alice_has(100);
    world.credit("bob", 100);
    let first = world.payout("alice", 30);
    let more = changed(&world, &first, |order| order.amount_units = Units(31));
    let elsewhere = changed(&world, &first, |order| order.destination = "mallory's bank".into());
    let mut purchase = world.purchase("alice", &["A"], 10, world::Terms::default());
    purchase.request.as_mut().expect("a peer's").id = first.request.expect("a peer's").id;
    let mut bobs = content(&world.payout("bob", 30)).clone();
    bobs.request = first.request.expect("a peer's").id;
    let bobs = world.payout_of("bob", bobs);
    assert!(matches!(world.execute(first), Ok(Outcome::Recorded(_))));
    for other in [more, elsewhere, purchase] {
        assert_eq!(world.execute(other), Err(Rejection::RequestIdReused));
    }
    assert!(matches!(world.execute(bobs), Ok(Outcome::Recorded(_))));
    assert_eq!((world.balance("alice"), world.balance("bob")), (70, 70));
}

#[test]
fn a_payout_is_at_least_one_unit_and_at_most_the_balance() {
    let mut world = given_alice_has(10);
    for (amount, result) in [
        (0, Err(Rejection::AmountOutOfRange)),
        (11, Err(Rejection::PayoutAboveBalance { amount: Units(11), balance: Units(10) })),
        (u64::MAX, Err(Rejection::PayoutAboveBalance { amount: Units(u64::MAX), balance: Units(10) })),
        (1, Ok(())),
        (9, Ok(())),
        (1, Err(Rejection::PayoutAboveBalance { amount: Units(1), balance: Units(0) })),
    ] {
        let command = world.payout("alice", amount);
        assert_eq!(world.execute(command).map(|_| ()), result, "{amount}");
    }
    assert_eq!(outside(&world), (0, 10));
}

#[test]
fn a_payout_is_carried_out_at_its_last_moment_and_not_after() {
    let mut world = given_alice_has(100);
    let (last, late) = (world.payout("alice", 1), world.payout("alice", 1));
    let long = changed(&world, &late, |order| order.valid_until_ms += 1);
    assert_eq!(world.execute(long), Err(Rejection::ValidityTooLong));
    world.now_ms += DAY_MS;
    assert!(matches!(world.execute(last), Ok(Outcome::Recorded(_))));
    world.now_ms += 1;
    let valid_until_ms = world.now_ms - 1;
    let expired = Rejection::RequestExpired { valid_until_ms, now_ms: world.now_ms };
    assert_eq!(world.execute(late), Err(expired));
}

#[test]
fn a_payout_is_rejected_for_the_first_reason_that_fits() {
    let mut world = World::new();
    let command = world.payout("alice", 10);
    let mut stranger = command.clone();
    let Action::RequestPayout { opening, .. } = &mut stranger.action else { panic!() };
    *opening = None;
    assert_eq!(world.execute(stranger), Err(Rejection::AccountUnknown));
    let mut anothers = command.clone();
    let Action::RequestPayout { opening, .. } = &mut anothers.action else { panic!() };
    *opening = Some(world.opening("mallory"));
    assert_eq!(world.execute(anothers), Err(Rejection::AccountUnknown), "a registration opens its own account only");
    let above = Rejection::PayoutAboveBalance { amount: Units(10), balance: Units(0) };
    assert_eq!(world.execute(command.clone()), Err(above));
    world.credit("alice", 10);
    let suspend = world.operator(&Order::Suspend { peer: peer("alice"), reason: "test".into() });
    world.execute(suspend).expect("suspended");
    assert_eq!(world.execute(command.clone()), Err(Rejection::Suspended));
    let mut by_another = command.clone();
    let Action::RequestPayout { signed_by, .. } = &mut by_another.action else { panic!() };
    *signed_by = key("mallory").public();
    assert_eq!(world.execute(by_another), Err(Rejection::NotTheAccountsKey));
    let reinstate = world.operator(&Order::Reinstate { peer: peer("alice"), reason: "test".into() });
    world.execute(reinstate).expect("reinstated");
    assert!(matches!(world.execute(command), Ok(Outcome::Recorded(_))), "what was rejected may come again");
}

#[test]
fn a_payout_can_be_what_opens_an_account_that_was_only_funded() {
    let mut world = given_alice_has(10);
    let command = world.payout("alice", 10);
    let Ok(Outcome::Recorded(events)) = world.execute(command) else { panic!("not recorded") };
    assert!(matches!(events.as_slice(), [Event::AccountOpened { .. }, Event::PayoutRequested { .. }]), "{events:?}");
    let account: AccountRow = load::row(&world.ledger, &peer("alice")).expect("readable").expect("there");
    assert!(account.opened.is_some() && account.balance == Units::ZERO);
}

/// A cheat is suspended and in debt by its own double spend. Nothing leaves, not even money that comes later, and not
/// when something lifted the suspension alone.
#[test]
fn a_debtor_is_paid_nothing_out() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    for payee in ["bob", "carol"] {
        let claim = world.claim("A", (1, 6, 5), payee);
        world.redeem(payee, vec![claim]);
    }
    world.credit("alice", 100);
    let command = world.payout("alice", 100);
    assert_eq!(world.execute(command.clone()), Err(Rejection::Suspended));
    let order = world.admin(&Order::Reinstate { peer: peer("alice"), reason: "by a defect".into() });
    world.happen(Event::AccountReinstated { peer: peer("alice"), order });
    assert_eq!(world.execute(command), Err(Rejection::InDebt { debt: Units(5) }));
    assert_eq!(world.balance("alice"), 100);
}

/// Commands of one group see each other's changes before anything is on disk.
#[test]
fn two_payouts_of_one_group_do_not_pay_out_the_same_money() {
    let mut world = given_alice_has(100);
    let commands = [world.payout("alice", 60), world.payout("alice", 60)];
    let mut ws = load::for_commands(&world.ledger, &commands).expect("readable");
    let [first, second] = commands;
    let request = first.request;
    let Ok(Decision::Record(events)) = decide(&ws, &world.facts(), first) else { panic!("rejected") };
    let record = Record::following(ws.totals.head, &world.facts(), request, events);
    apply::record(&mut ws, &record);
    let above = Rejection::PayoutAboveBalance { amount: Units(60), balance: Units(40) };
    assert_eq!(decide(&ws, &world.facts(), second), Err(above));
}

/// Money in a payout that may still fail counts as held: else its room is given away, and the ledger overflows when it
/// comes back.
#[test]
fn a_payout_that_may_come_back_keeps_its_room_below_two_to_the_62() {
    let most = (1 << 62) - 1;
    let credit = |world: &mut World, amount, reference: &str| {
        let order = Order::Credit { peer: peer("alice"), amount: Units(amount), reference: reference.into() };
        let command = world.operator(&order);
        world.execute(command).map(|_| ())
    };
    let mut world = given_alice_has(most);
    let (first, second) = (requested(&mut world, "alice", most - 5), requested(&mut world, "alice", 5));
    assert_eq!(credit(&mut world, 1, "one more"), Err(Rejection::AmountOutOfRange));
    let command = world.settle(second, "gone");
    world.execute(command).expect("settled");
    assert_eq!(credit(&mut world, 6, "six"), Err(Rejection::AmountOutOfRange));
    assert_eq!(credit(&mut world, 5, "five"), Ok(()));
    let command = world.fail(first, "back");
    world.execute(command).expect("failed");
    assert_eq!((world.balance("alice"), outside(&world).1), (most, 0));
    assert_eq!(credit(&mut world, 1, "still full"), Err(Rejection::AmountOutOfRange));
}

/// What `decide` is written to refuse is refused again before it is recorded.
#[test]
fn events_that_end_a_payout_twice_or_for_another_amount_would_break_an_invariant() {
    let mut world = given_alice_has(100);
    let payout = requested(&mut world, "alice", 30);
    let order = world.admin(&Order::FailPayout { payout, reason: "test".into() });
    let fail =
        |amount| Event::PayoutFailed { payout, amount: Units(amount), reason: "test".into(), order: order.clone() };
    let settle = Event::PayoutSettled { payout, reference: "bank 9".into(), order: order.clone() };
    let broken = |world: &mut World, event: &Event| {
        let command = world.fail(payout, "loads what is needed");
        let ws = load::for_commands(&world.ledger, [&command]).expect("readable");
        invariants::broken_by(&ws, std::slice::from_ref(event)).is_some()
    };
    assert!(!broken(&mut world, &fail(30)) && !broken(&mut world, &settle));
    assert!(broken(&mut world, &fail(31)) && broken(&mut world, &fail(29)));
    let again = world.events().pop().expect("the request");
    assert!(broken(&mut world, &again), "the same payout is not requested twice");
    let command = world.settle(payout, "bank 9");
    world.execute(command).expect("settled");
    assert!(broken(&mut world, &fail(30)) && broken(&mut world, &settle));
}

#[test]
fn every_payout_carries_its_peers_signed_order_and_every_end_the_operators() {
    let mut world = given_alice_has(100);
    let (paid, back) = (requested(&mut world, "alice", 10), requested(&mut world, "alice", 20));
    for command in [world.settle(paid, "bank 9"), world.fail(back, "closed")] {
        world.execute(command).expect("the first word on it");
    }
    let (mut requests, mut ends) = (0, 0);
    for event in world.events() {
        match event {
            Event::PayoutRequested { order } => {
                requests += 1;
                assert!(order.verify(&key("alice").public()).is_ok());
            }
            Event::PayoutSettled { order, .. } | Event::PayoutFailed { order, .. } => {
                ends += 1;
                assert!(order.verify(&key("operator").public()).is_ok());
            }
            _ => {}
        }
    }
    assert_eq!((requests, ends), (2, 2));
}

/// What a restored wallet asks for: its e-coins are found by their payer as long as there is money in them.
#[test]
fn an_ecoin_is_found_by_its_payer_until_it_is_refunded() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.bought("alice", "B", 10);
    world.bought("bob", "C", 10);
    let owned = |world: &World, name: &str| {
        let (from, to) = ([peer(name).0, [0; 16]].concat(), [peer(name).0, [0xff; 16]].concat());
        let rows = world.ledger.range(Table::EcoinsByPayer, &from, &to).expect("readable");
        rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let key_of = |name: &str, coin: &str| OwnedRow::key(&(peer(name), ecoin(coin)));
    let mut both = vec![key_of("alice", "A"), key_of("alice", "B")];
    both.sort();
    assert_eq!(owned(&world, "alice"), both);
    assert_eq!(owned(&world, "bob"), [key_of("bob", "C")]);
    world.expire("A");
    assert_eq!(owned(&world, "alice"), [key_of("alice", "B")]);
    assert_eq!(world.replayed().scan(), world.ledger.scan());
}
