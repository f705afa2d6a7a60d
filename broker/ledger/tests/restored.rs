//! After a restored backup: e-coins come back by their touchstones, payees are whole, and the operator's loss is an event.

mod world;

use netpay_ledger::event::Event;
use netpay_ledger::memory::{Memory, Outcome};
use netpay_ledger::{Action, Command, Rejection};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::touchstone::Touchstone;
use world::{REDEEM_UNTIL_MS, START_MS, World, ecoin, peer, show};

const LATER_MS: u64 = START_MS + 3_600_000;

/// Alice had 10 units when the backup was made; an hour later she bought A with them, which the backup does not know.
fn given_a_purchase_was_lost() -> World {
    let mut world = World::new();
    world.credit("alice", 10);
    let backup = world.ledger.clone();
    world.now_ms = LATER_MS;
    let command = world.purchase("alice", &["A"], 10, world::Terms::default());
    world.execute(command).expect("a good purchase");
    restore(&mut world, backup);
    world
}

fn restore(world: &mut World, backup: Memory) {
    let totals = backup.scan().totals;
    world.ledger = backup;
    let (head, head_at_ms) = (totals.head, totals.recorded_at_ms);
    world.happen(Event::LedgerRestored { incarnation: totals.incarnation() + 1, head, head_at_ms });
}

fn bring(world: &mut World, touchstone: Signed<Touchstone>) -> Option<(u64, u64)> {
    let action = Action::RestoreEcoins { ecoins: vec![(touchstone, 1)] };
    match world.by_itself(action).expect("never rejected") {
        Outcome::Unchanged(_) => None,
        Outcome::Recorded(events) => match &events[..] {
            [Event::EcoinRestored { debited, lent, .. }] => Some((debited.0, lent.0)),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn a(world: &World) -> Signed<Touchstone> {
    world.coin("A").touchstone.clone()
}

#[test]
fn an_ecoin_sold_after_the_backup_comes_back_its_payer_pays_once_more_and_its_payees_are_whole() {
    let mut world = given_a_purchase_was_lost();
    let claim = world.claim("A", (1, 5, 4), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim.clone()])), [("unknown_ecoin", 0, 0, 0)]);
    let touchstone = a(&world);
    assert_eq!(bring(&mut world, touchstone.clone()), Some((10, 0)));
    assert_eq!(bring(&mut world, touchstone), None, "once");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("credited", 4, 0, 0)]);
    assert_eq!((world.balance("alice"), world.balance("bob")), (0, 4));
}

#[test]
fn what_its_payer_no_longer_has_the_operator_lends_and_gets_back_from_later_deposits() {
    let mut world = given_a_purchase_was_lost();
    let command = world.purchase("alice", &["B"], 7, world::Terms::default());
    world.execute(command).expect("a good purchase");
    let touchstone = a(&world);
    assert_eq!(bring(&mut world, touchstone), Some((3, 7)));
    let totals = world.ledger.scan().totals;
    assert_eq!((totals.outside, totals.debts), (-17, Units(7)), "the operator put 7 units in");
    let claim = world.claim("A", (1, 11, 10), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("credited", 10, 0, 0)]);
    world.credit("alice", 5);
    let buy = world.purchase("alice", &["C"], 1, world::Terms::default());
    assert_eq!(world.execute(buy), Err(Rejection::InDebt { debt: Units(7) }));

    let settle = Order::SettleDebt { debtor: peer("alice"), creditor: PeerId::OPERATOR, ecoin: ecoin("A") };
    let command = world.operator(&settle);
    assert_eq!(world.execute(command), Err(Rejection::NotReconciled));
    reconcile(&mut world).expect("restored");
    let command = world.operator(&settle);
    world.execute(command).expect("she is not suspended");
    let totals = world.ledger.scan().totals;
    assert_eq!((totals.outside, totals.debts, world.balance("alice")), (-17, Units(2), 0));
}

#[test]
fn the_operator_waits_like_anybody_for_what_a_double_spender_owes_it() {
    let mut world = given_a_purchase_was_lost();
    let command = world.purchase("alice", &["B"], 10, world::Terms::default());
    world.execute(command).expect("a good purchase");
    let touchstone = a(&world);
    assert_eq!(bring(&mut world, touchstone), Some((0, 10)));
    for payee in ["bob", "carol"] {
        let claim = world.claim("A", (1, 3, 2), payee);
        world.redeem(payee, vec![claim]);
    }
    world.credit("alice", 5);
    reconcile(&mut world).expect("restored");
    let settle = Order::SettleDebt { debtor: peer("alice"), creditor: PeerId::OPERATOR, ecoin: ecoin("A") };
    let command = world.operator(&settle);
    assert!(matches!(world.execute(command), Err(Rejection::SettlementTooEarly { .. })));
}

/// What is lent comes from outside like a deposit, of each e-coin of a batch.
#[test]
fn what_the_operator_lends_keeps_the_room_below_two_to_the_62() {
    for (room, back) in [(6, 0), (7, 1), (16, 1), (17, 2)] {
        let mut world = given_a_purchase_was_lost();
        let command = world.purchase("alice", &["C"], 10, world::Terms::default());
        world.execute(command).expect("all she has");
        let b = Touchstone { incarnation: 1, ..world.make("alice", "B", 6, world::Terms::default()).content };
        world.credit("bob", (1 << 62) - 10 - room);
        let ecoins = vec![(a(&world), 1), (Signed::new(b, &world::key("broker")), 1)];
        let outcome = world.by_itself(Action::RestoreEcoins { ecoins }).expect("not rejected");
        let events = if let Outcome::Recorded(events) = outcome { events } else { vec![] };
        assert_eq!(events.len(), back, "{room} units of room: {events:?}");
    }
}

/// The balance before a purchase of the same moment, and the record after it.
#[test]
fn one_payers_two_ecoins_of_one_batch_are_debited_from_what_is_left() {
    let mut world = given_a_purchase_was_lost();
    let b = world.make("alice", "B", 6, world::Terms::default());
    let mut b = b.content;
    b.incarnation = 1;
    let b = Signed::new(b, &world::key("broker"));
    let ecoins = vec![(a(&world), 1), (b, 1)];
    let outcome = world.by_itself(Action::RestoreEcoins { ecoins }).expect("not rejected");
    let Outcome::Recorded(events) = outcome else { panic!("{outcome:?}") };
    let sums = events.iter().map(|event| match event {
        Event::EcoinRestored { debited, lent, .. } => (debited.0, lent.0),
        other => panic!("{other:?}"),
    });
    let (debited, lent) = sums.fold((0, 0), |sum, (debited, lent)| (sum.0 + debited, sum.1 + lent));
    assert_eq!((debited, lent), (10, 6));
}

#[test]
fn nothing_comes_back_that_the_backup_would_know_that_is_of_this_life_or_whose_time_is_over() {
    let mut world = given_a_purchase_was_lost();
    let changed = |change: &dyn Fn(&mut Touchstone), world: &World| {
        let mut t = a(world).content;
        change(&mut t);
        Signed::new(t, &world::key("broker"))
    };
    // A purchase is prepared at most a minute before its record.
    let too_old = changed(&|t| t.issued_at_ms = START_MS - 60_001, &world);
    let this_life = changed(&|t| t.incarnation = 2, &world);
    assert_eq!(bring(&mut world, too_old), None);
    assert_eq!(bring(&mut world, this_life), None);
    let touchstone = a(&world);
    let end_ms = touchstone.content.redeem_until_ms;
    world.now_ms = end_ms;
    assert_eq!(bring(&mut world, touchstone.clone()), None);
    world.now_ms = end_ms - 1;
    assert_eq!(bring(&mut world, touchstone), Some((10, 0)));
}

#[test]
fn an_ecoin_prepared_just_before_the_backups_last_record_comes_back() {
    let mut world = given_a_purchase_was_lost();
    let mut t = a(&world).content;
    t.issued_at_ms = START_MS - 60_000;
    assert_eq!(bring(&mut world, Signed::new(t, &world::key("broker"))), Some((10, 0)));
}

#[test]
fn an_ecoin_prepared_longer_ago_than_a_minute_is_not_sold() {
    let mut world = World::new();
    world.credit("alice", 10);
    let command = world.purchase("alice", &["A"], 10, world::Terms::default());
    world.now_ms += 60_001;
    assert_eq!(world.execute(command.clone()), Err(Rejection::StaleFacts));
    world.now_ms -= 1;
    world.execute(command).expect("just in time");
}

/// Lost, restored, backed up before its payee came, lost and restored again: it is older than the second backup.
#[test]
fn an_ecoin_lost_before_the_last_but_one_restore_comes_back_while_nothing_was_reconciled() {
    let mut world = given_a_purchase_was_lost();
    let touchstone = a(&world);
    world.now_ms = LATER_MS + 3_600_000;
    world.credit("bob", 1);
    let backup = world.ledger.clone();
    restore(&mut world, backup);
    assert_eq!(bring(&mut world, touchstone), Some((10, 0)));
}

#[test]
fn after_reconciling_an_ecoin_of_before_the_next_backup_stays_lost() {
    let mut world = given_a_purchase_was_lost();
    let touchstone = a(&world);
    reconcile(&mut world).expect("restored");
    world.now_ms = LATER_MS + 3_600_000;
    world.credit("bob", 1);
    let backup = world.ledger.clone();
    restore(&mut world, backup);
    assert_eq!(bring(&mut world, touchstone), None);
}

/// It was refunded before the backup: the backup knows it, and it stays refunded.
#[test]
fn a_refunded_ecoin_is_not_brought_back() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.expire("A");
    let backup = world.ledger.clone();
    restore(&mut world, backup);
    let mut t = a(&world).content;
    // Even one that claims a longer life.
    t.redeem_until_ms += 1_000 * DAY_MS;
    assert_eq!(bring(&mut world, Signed::new(t, &world::key("broker"))), None);
    assert_eq!(world.balance("alice"), 10);
}

#[test]
fn without_a_restored_backup_or_after_reconciling_nothing_comes_back() {
    let mut world = given_a_purchase_was_lost();
    reconcile(&mut world).expect("restored");
    let touchstone = a(&world);
    assert_eq!(bring(&mut world, touchstone), None);
    assert_eq!(reconcile(&mut world), Err(Rejection::NothingToReconcile));
    assert_eq!(reconcile(&mut World::new()), Err(Rejection::NothingToReconcile));
}

#[test]
fn payouts_and_refunds_wait_until_the_ledger_is_reconciled() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.credit("alice", 100);
    let open = world.payout("alice", 10);
    world.execute(open.clone()).expect("there is enough");
    let backup = world.ledger.clone();
    restore(&mut world, backup);
    let key = PayoutKey { peer: peer("alice"), request: open.request.expect("a peer's").id };
    let frozen: [Command; 3] = [world.payout("alice", 1), world.settle(key, "bank"), world.fail(key, "no bank")];
    for command in &frozen {
        assert_eq!(world.execute(command.clone()), Err(Rejection::NotReconciled));
    }
    world.now_ms = REDEEM_UNTIL_MS + DAY_MS;
    let expire = Action::ExpireEcoins { ecoins: vec![ecoin("A")] };
    assert_eq!(world.by_itself(expire.clone()), Err(Rejection::NotReconciled));
    world.now_ms = START_MS;
    reconcile(&mut world).expect("restored");
    let [request, settle, _] = frozen;
    world.execute(request).expect("enough is left");
    world.execute(settle).expect("it is open");
    world.now_ms = REDEEM_UNTIL_MS + DAY_MS;
    assert!(matches!(world.by_itself(expire), Ok(Outcome::Recorded(_))));
}

fn reconcile(world: &mut World) -> Result<Outcome, Rejection> {
    let command = world.operator(&Order::Reconcile { reason: "the bank's list was gone through".into() });
    world.execute(command)
}
