//! Refunds: what was not redeemed goes back, once, when nobody can still come for it.

mod world;

use netpay_ledger::command::MAX_EXPIRED;
use netpay_ledger::event::Event;
use netpay_ledger::memory::Outcome;
use netpay_ledger::{Action, Command, Rejection, decide, load};
use netpay_protocol::admin::Order;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::limits::DAY_MS;
use world::{REDEEM_UNTIL_MS, Terms, World, ecoin, show};

/// The first moment at which an e-coin of the world's start is refunded.
const DUE_MS: u64 = REDEEM_UNTIL_MS + DAY_MS;

fn expire(coin: &str) -> Action {
    Action::ExpireEcoins { ecoins: vec![ecoin(coin)] }
}

fn refunded(outcome: Result<Outcome, Rejection>) -> u64 {
    match outcome {
        Ok(Outcome::Recorded(events)) => events
            .iter()
            .map(|event| match event {
                Event::EcoinExpired { refund, .. } => refund.0,
                other => panic!("{other:?}"),
            })
            .sum(),
        Ok(Outcome::Unchanged(lines)) if lines.is_empty() => 0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_not_redeemed_goes_back_a_day_after_the_last_moment_to_redeem() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let claim = world.claim("A", (1, 4, 3), "bob");
    world.redeem("bob", vec![claim]);
    world.now_ms = DUE_MS - 1;
    assert_eq!(refunded(world.by_itself(expire("A"))), 0, "a moment too early");
    world.now_ms = DUE_MS;
    assert_eq!(refunded(world.by_itself(expire("A"))), 7);
    assert_eq!((world.balance("alice"), world.balance("bob")), (7, 3));
    assert_eq!(refunded(world.by_itself(expire("A"))), 0, "once");
    assert_eq!(world.balance("alice"), 7);
}

#[test]
fn words_redeemed_in_time_and_decided_late_are_credited_before_the_refund() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.now_ms = DUE_MS;
    let command = Command { request: None, action: expire("A") };
    let ws = load::for_commands(&world.ledger, [&command]).expect("readable");
    let waiting = netpay_ledger::Facts { drained_to_ms: DUE_MS - 1, ..world.facts() };
    assert_eq!(decide(&ws, &waiting, command), Ok(netpay_ledger::Decision::Unchanged(vec![])));
    let claim = world.claim("A", (1, 11, 10), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("credited", 10, 0, 0)]);
    assert_eq!(refunded(world.by_itself(expire("A"))), 0);
    assert_eq!((world.balance("alice"), world.balance("bob")), (0, 10));
}

/// Fully redeemed, it gives nothing back, but it is over: the lists of what lives are short.
#[test]
fn a_spent_ecoin_expires_with_nothing_to_give_back() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let claim = world.claim("A", (1, 11, 10), "bob");
    world.redeem("bob", vec![claim.clone()]);
    world.now_ms = DUE_MS;
    let outcome = world.by_itself(expire("A"));
    assert!(matches!(outcome, Ok(Outcome::Recorded(_))), "{outcome:?}");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("expired", 0, 0, 0)]);
    assert_eq!((world.balance("alice"), world.balance("bob")), (0, 10));
}

#[test]
fn a_refunded_ecoin_pays_nobody_and_accuses_nobody() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.now_ms = DUE_MS;
    world.by_itself(expire("A")).expect("due");
    let claims = [world.claim("A", (1, 11, 10), "bob"), world.claim("A", (1, 11, 10), "carol")];
    for (payee, claim) in ["bob", "carol"].iter().zip(claims) {
        assert_eq!(show(&world.redeem(payee, vec![claim])), [("expired", 0, 0, 0)]);
    }
    assert_eq!(world.balance("alice"), 10);
    assert_eq!(world.ledger.scan().totals.double_spends, 0);
}

#[test]
fn a_command_refunds_a_thousand_ecoins_and_leaves_the_rest() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let unknown = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        EcoinId(id)
    };
    let before_a = |count: usize| -> Action {
        let mut ecoins: Vec<_> = (0..u32::try_from(count).expect("few")).map(unknown).collect();
        ecoins.push(ecoin("A"));
        Action::ExpireEcoins { ecoins }
    };
    world.now_ms = DUE_MS;
    assert_eq!(refunded(world.by_itself(before_a(MAX_EXPIRED))), 0, "the 1,001st is left");
    assert_eq!(refunded(world.by_itself(before_a(MAX_EXPIRED - 1))), 10, "the 1,000th is not");
}

#[test]
fn several_ecoins_named_twice_are_each_refunded_once_with_their_unit_value() {
    let mut world = World::new();
    world.credit("alice", 60);
    let terms = Terms { unit_value: 3, ..Terms::default() };
    let command = world.purchase("alice", &["A", "B"], 10, terms);
    world.execute(command).expect("a good purchase");
    world.now_ms = DUE_MS;
    let ecoins = vec![ecoin("A"), ecoin("B"), ecoin("A")];
    assert_eq!(refunded(world.by_itself(Action::ExpireEcoins { ecoins })), 60);
    assert_eq!(world.balance("alice"), 60);
}

#[test]
fn while_the_clock_is_in_doubt_nothing_is_refunded_and_no_debt_is_settled_until_it_is_confirmed() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    for payee in ["bob", "carol"] {
        let claim = world.claim("A", (1, 3, 2), payee);
        world.redeem(payee, vec![claim]);
    }
    world.credit("alice", 5);
    world.now_ms = DUE_MS;
    world.clock_trusted = false;
    assert_eq!(world.by_itself(expire("A")), Err(Rejection::ClockInDoubt));
    world.by_itself(Action::DoubtClock).expect("never rejected");
    // The broker was started again, and has seen nothing of it.
    world.clock_trusted = true;
    assert_eq!(world.by_itself(expire("A")), Err(Rejection::ClockInDoubt));
    let order = Order::SettleDebt { debtor: world::peer("alice"), creditor: world::peer("carol"), ecoin: ecoin("A") };
    let settle = world.operator(&order);
    assert_eq!(world.execute(settle.clone()), Err(Rejection::ClockInDoubt));
    let confirm = world.operator(&Order::ConfirmClock { reason: "ntp".into() });
    assert!(matches!(world.execute(confirm), Ok(Outcome::Recorded(_))));
    assert_eq!(refunded(world.by_itself(expire("A"))), 8);
    world.execute(settle).expect("it is time");
    assert_eq!(world.balance("carol"), 2);
    let again = world.operator(&Order::ConfirmClock { reason: "ntp".into() });
    assert_eq!(world.execute(again), Err(Rejection::ClockNotInDoubt));
}

/// What is still in debt gets its refund, and the debt holds it.
#[test]
fn a_debtors_refund_is_held_by_the_debt() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    for payee in ["bob", "carol"] {
        let claim = world.claim("A", (1, 3, 2), payee);
        world.redeem(payee, vec![claim]);
    }
    world.now_ms = DUE_MS;
    assert_eq!(refunded(world.by_itself(expire("A"))), 8);
    let payout = world.payout("alice", 1);
    assert_eq!(world.execute(payout), Err(Rejection::Suspended));
}
