//! Request ids (DESIGN §3.8), purchases, deposits, suspensions and debts.

mod world;

use netpay_ledger::event::Event;
use netpay_ledger::memory::Outcome;
use netpay_ledger::{Action, Rejection};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::Units;
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::DAY_MS;
use world::{REDEEM_UNTIL_MS, Terms, World, ecoin, key, peer, show};

fn suspend(name: &str) -> Order {
    Order::Suspend { peer: peer(name), reason: "test".into() }
}

fn reinstate(name: &str) -> Order {
    Order::Reinstate { peer: peer(name), reason: "test".into() }
}

#[test]
fn a_purchase_debits_once_however_often_it_arrives() {
    let mut world = World::new();
    world.credit("alice", 100);
    let command = world.purchase("alice", &["A", "B"], 30, Terms::default());
    assert!(matches!(world.execute(command.clone()), Ok(Outcome::Recorded(_))));
    world.now_ms += 30 * DAY_MS;
    assert_eq!(world.execute(command), Ok(Outcome::Repeated(2)), "also long after its time");
    assert_eq!(world.balance("alice"), 40);
}

#[test]
fn a_request_id_used_for_other_bytes_is_rejected_and_scoped_to_its_signer() {
    let mut world = World::new();
    world.credit("alice", 100);
    world.credit("bob", 100);
    let first = world.purchase("alice", &["A"], 10, Terms::default());
    let mut other = world.purchase("alice", &["B"], 20, Terms::default());
    other.request.as_mut().expect("a peer's").id = first.request.expect("a peer's").id;
    let mut bobs = world.purchase("bob", &["C"], 10, Terms::default());
    bobs.request.as_mut().expect("a peer's").id = first.request.expect("a peer's").id;
    world.execute(first).expect("bought");
    assert_eq!(world.execute(other), Err(Rejection::RequestIdReused));
    assert!(matches!(world.execute(bobs), Ok(Outcome::Recorded(_))));
}

#[test]
fn a_repeated_batch_has_its_first_outcome() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let claims = vec![world.claim("A", (1, 6, 5), "bob")];
    let batch = world.batch("bob", claims);
    let command = world.redemption("bob", &batch);
    assert!(matches!(world.execute(command.clone()), Ok(Outcome::Recorded(_))));
    let claims = vec![world.claim("A", (1, 9, 8), "bob")];
    world.redeem("bob", claims);
    assert_eq!(world.execute(command), Ok(Outcome::Repeated(3)));
    assert_eq!(world.balance("bob"), 8);
}

#[test]
fn a_rejected_request_leaves_nothing_and_may_come_again() {
    let mut world = World::new();
    world.credit("alice", 9);
    let command = world.purchase("alice", &["A"], 10, Terms::default());
    let rejected = Rejection::InsufficientFunds { cost: Units(10), balance: Units(9) };
    assert_eq!(world.execute(command.clone()), Err(rejected));
    world.credit("alice", 1);
    assert!(matches!(world.execute(command), Ok(Outcome::Recorded(_))));
}

#[test]
fn a_request_is_carried_out_at_its_last_moment_and_not_after() {
    let mut world = World::new();
    world.credit("alice", 100);
    let command = world.payout("alice", 10);
    let late = world.purchase("alice", &["B"], 10, Terms::default());
    world.now_ms += DAY_MS;
    assert!(matches!(world.execute(command), Ok(Outcome::Recorded(_))));
    world.now_ms += 1;
    assert!(matches!(world.execute(late), Err(Rejection::RequestExpired { .. })));
    let long = world.purchase("alice", &["C"], 10, Terms::default());
    world.now_ms -= 1;
    assert_eq!(world.execute(long), Err(Rejection::ValidityTooLong));
}

#[test]
fn a_purchase_is_rejected_for_the_first_reason_that_fits() {
    let mut world = World::new();
    let stranger = world.purchase("alice", &["A"], 10, Terms::default());
    let unopened = {
        let mut command = stranger.clone();
        let Action::BuyEcoins { opening, .. } = &mut command.action else { panic!() };
        *opening = None;
        command
    };
    assert_eq!(world.execute(unopened), Err(Rejection::AccountUnknown));
    assert!(matches!(world.execute(stranger), Err(Rejection::InsufficientFunds { .. })));
    world.bought("alice", "mine", 10);
    let order = suspend("alice");
    let command = world.operator(&order);
    world.execute(command).expect("suspended");
    let suspended = world.purchase("alice", &["B"], 10, Terms::default());
    assert_eq!(world.execute(suspended.clone()), Err(Rejection::Suspended));
    let mut with_other_key = suspended;
    let Action::BuyEcoins { signed_by, .. } = &mut with_other_key.action else { panic!() };
    *signed_by = key("mallory").public();
    assert_eq!(world.execute(with_other_key), Err(Rejection::NotTheAccountsKey));
}

#[test]
fn a_purchase_dearer_than_its_buyer_allowed_is_rejected() {
    let mut world = World::new();
    world.credit("alice", 100);
    let mut command = world.purchase("alice", &["A"], 10, Terms::default());
    let Action::BuyEcoins { order, .. } = &mut command.action else { panic!() };
    let content = BuyEcoins { most_debited_units: Units(9), ..order.content.clone() };
    command.request.as_mut().expect("a peer's").digest = content.digest();
    **order = Signed::new(content, &key("alice"));
    assert_eq!(world.execute(command), Err(Rejection::PriceAboveLimit { cost: Units(10), most: Units(9) }));
}

/// Hole 6 and 3.3: an existing id is refused; so is a touchstone made for other terms than the order's.
#[test]
fn what_was_prepared_must_be_new_and_what_the_order_says() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    world.credit("alice", 100);
    let again = world.purchase("alice", &["A"], 10, Terms::default());
    assert_eq!(world.execute(again), Err(Rejection::StaleFacts));
    let twice = world.purchase("alice", &["B", "B"], 10, Terms::default());
    assert_eq!(world.execute(twice), Err(Rejection::StaleFacts));
    let mut fewer = world.purchase("alice", &["C", "D"], 10, Terms::default());
    let Action::BuyEcoins { touchstones, .. } = &mut fewer.action else { panic!() };
    touchstones.pop();
    assert_eq!(world.execute(fewer), Err(Rejection::StaleFacts));
    let mut dearer = world.purchase("alice", &["E"], 10, Terms::default());
    let other = world.purchase("alice", &["F"], 10, Terms { unit_value: 2, ..Terms::default() });
    let (Action::BuyEcoins { touchstones, .. }, Action::BuyEcoins { touchstones: others, .. }) =
        (&mut dearer.action, other.action)
    else {
        panic!()
    };
    *touchstones = others;
    assert_eq!(world.execute(dearer), Err(Rejection::StaleFacts));
}

#[test]
fn a_deposit_counts_once_by_its_reference_and_another_under_it_is_rejected() {
    let mut world = World::new();
    let credit =
        |name: &str, amount| Order::Credit { peer: peer(name), amount: Units(amount), reference: "bank 7".into() };
    for (order, result) in [
        (credit("alice", 50), Ok(())),
        (credit("alice", 50), Ok(())),
        (credit("alice", 51), Err(Rejection::ReferenceReused)),
        (credit("bob", 50), Err(Rejection::ReferenceReused)),
    ] {
        let command = world.operator(&order);
        assert_eq!(world.execute(command).map(|_| ()), result);
    }
    assert_eq!((world.balance("alice"), world.balance("bob")), (50, 0));
}

#[test]
fn a_ledger_holds_less_than_two_to_the_62_units() {
    let mut world = World::new();
    let credit = |amount, reference: &str| Order::Credit {
        peer: peer("alice"),
        amount: Units(amount),
        reference: reference.into(),
    };
    for (order, good) in [
        (credit(0, "none"), false),
        (credit(1 << 62, "all"), false),
        (credit((1 << 62) - 1, "most"), true),
        (credit(1, "one more"), false),
    ] {
        let command = world.operator(&order);
        assert_eq!(world.execute(command).is_ok(), good);
    }
}

/// An admin message that is replayed, even after its effect was taken back, changes nothing.
#[test]
fn a_replayed_suspension_does_not_suspend_again() {
    let mut world = World::new();
    world.credit("alice", 1);
    let suspension = world.operator(&suspend("alice"));
    world.execute(suspension.clone()).expect("suspended");
    let lift = world.operator(&reinstate("alice"));
    world.execute(lift).expect("reinstated");
    assert_eq!(world.execute(suspension), Ok(Outcome::Repeated(2)));
    let still_good = world.purchase("alice", &["A"], 1, Terms::default());
    assert!(matches!(world.execute(still_good), Ok(Outcome::Recorded(_))));
}

#[test]
fn suspending_and_reinstating_go_from_one_state_to_the_other_only() {
    let mut world = World::new();
    world.credit("alice", 1);
    for (order, result) in [
        (reinstate("alice"), Err(Rejection::NotSuspended)),
        (suspend("alice"), Ok(())),
        (suspend("alice"), Err(Rejection::AlreadySuspended)),
        (reinstate("alice"), Ok(())),
        (suspend("nobody"), Err(Rejection::AccountUnknown)),
    ] {
        let command = world.operator(&order);
        assert_eq!(world.execute(command).map(|_| ()), result);
    }
}

fn given_alice_double_spent() -> World {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    for (claim, payee) in [((1, 6, 5), "bob"), ((1, 6, 5), "carol")] {
        let claim = world.claim("A", claim, payee);
        world.redeem(payee, vec![claim]);
    }
    world
}

#[test]
fn a_debtor_is_not_reinstated_and_what_it_gets_is_held() {
    let mut world = given_alice_double_spent();
    let lift = world.operator(&reinstate("alice"));
    assert_eq!(world.execute(lift), Err(Rejection::InDebt { debt: Units(5) }));
    world.credit("alice", 100);
    let command = world.purchase("alice", &["B"], 10, Terms::default());
    assert_eq!(world.execute(command), Err(Rejection::Suspended));
}

#[test]
fn words_accepted_before_a_suspension_are_honoured_and_the_suspended_may_redeem() {
    let mut world = given_alice_double_spent();
    let claim = world.claim("A", (6, 11, 10), "dave");
    assert_eq!(show(&world.redeem("dave", vec![claim])), [("credited", 5, 0, 0)]);
    world.bought("bob", "B", 10);
    let claim = world.claim("B", (1, 4, 3), "alice");
    assert_eq!(show(&world.redeem("alice", vec![claim])), [("credited", 3, 0, 0)]);
}

#[test]
fn a_debt_is_paid_by_the_operator_after_the_last_redemption_and_only_as_far_as_the_balance_goes() {
    let mut world = given_alice_double_spent();
    let settle = Order::SettleDebt { debtor: peer("alice"), creditor: peer("carol"), ecoin: ecoin("A") };
    let command = world.operator(&settle);
    assert_eq!(world.execute(command), Err(Rejection::SettlementTooEarly { after_ms: REDEEM_UNTIL_MS }));
    world.now_ms = REDEEM_UNTIL_MS + 1;
    let command = world.operator(&settle);
    let waiting = netpay_ledger::Facts { drained_to_ms: REDEEM_UNTIL_MS, ..world.facts() };
    let ws = netpay_ledger::load::for_commands(&world.ledger, [&command]).expect("readable");
    let early = Rejection::SettlementTooEarly { after_ms: REDEEM_UNTIL_MS };
    assert_eq!(
        netpay_ledger::decide(&ws, &waiting, command.clone()),
        Err(early),
        "a batch waits that was left in time"
    );
    assert_eq!(world.execute(command), Err(Rejection::NothingToPay));
    world.credit("alice", 3);
    let command = world.operator(&settle);
    world.execute(command).expect("paid in part");
    assert_eq!((world.balance("alice"), world.balance("carol"), world.ledger.scan().totals.debts.0), (0, 3, 2));
    world.credit("alice", 10);
    let command = world.operator(&settle);
    world.execute(command).expect("paid in full");
    assert_eq!((world.balance("alice"), world.balance("carol")), (8, 5));
    let command = world.operator(&settle);
    assert_eq!(world.execute(command), Err(Rejection::DebtUnknown));
    let lift = world.operator(&reinstate("alice"));
    world.execute(lift).expect("out of debt");
}

/// Hole 6: no event holds a seed or a word that is not spent. W(through) of a settled claim is spent by that very event.
#[test]
fn the_log_holds_no_word_that_could_still_be_spent() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let claim = world.claim("A", (1, 6, 3), "bob");
    world.redeem("bob", vec![claim]);
    let log: Vec<u8> = world.ledger.records().concat();
    for i in 4..=10 {
        let word = world.coin("A").chain.word(netpay_protocol::amounts::PaywordIndex(i)).expect("on the chain");
        assert!(!log.windows(32).any(|window| window == word.bytes()), "W{i} is in the log");
    }
    let spent = world.coin("A").chain.word(netpay_protocol::amounts::PaywordIndex(3)).expect("on the chain");
    assert!(log.windows(32).any(|window| window == spent.bytes()), "the proof of what was paid is");
}

#[test]
fn every_debit_of_a_peer_carries_its_signed_order() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    for event in world.events() {
        if let Event::EcoinsIssued { order, .. } = event {
            assert!(order.verify(&key("alice").public()).is_ok());
            return;
        }
    }
    panic!("nothing was issued");
}
