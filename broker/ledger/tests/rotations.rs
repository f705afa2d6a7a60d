//! Other keys for a peer: signed with the old one, proven by the new one, and old signatures keep their outcome.

mod world;

use netpay_ledger::command::{Request, Rotation};
use netpay_ledger::memory::Outcome;
use netpay_ledger::{Action, Command, Rejection};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::register::{NotRotated, Refused, Register, RotateKeys};
use world::{BROKER, Terms, World, key, peer, show};

fn registration(world: &World, new: &SigningKey) -> Signed<Register> {
    let old = world.opening("alice").register().content.clone();
    Signed::new(Register { signing_key: new.public(), ..old }, new)
}

/// Alice's order to speak with `new`, signed with `with`.
fn rotation(world: &mut World, with: &SigningKey, new: &SigningKey) -> Command {
    let register = registration(world, new);
    let order = RotateKeys {
        broker: BROKER,
        peer: peer("alice"),
        request: world.fresh(),
        valid_until_ms: world.now_ms + DAY_MS,
        register: register.content.digest(),
    };
    let request = Request { signer: order.peer, id: order.request, digest: order.digest() };
    let rotation = Rotation::check(Signed::new(order, with), register, with.public()).expect("good keys");
    Command { request: Some(request), action: Action::RotatePeerKeys(Box::new(rotation)) }
}

fn given_alice_rotated() -> World {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let command = rotation(&mut world, &key("alice"), &key("alice 2"));
    assert!(matches!(world.execute(command), Ok(Outcome::Recorded(_))));
    world
}

/// Alice's purchase as the pool passes it on, verified with this key.
fn purchase(world: &mut World, with: &SigningKey) -> Command {
    let mut command = world.purchase("alice", &["B"], 1, Terms::default());
    let Action::BuyEcoins { order, signed_by, touchstones, .. } = &mut command.action else { panic!("a purchase") };
    **order = Signed::new(order.content.clone(), with);
    *signed_by = with.public();
    for touchstone in touchstones {
        let mut t = touchstone.content.clone();
        t.payer_key = with.public();
        *touchstone = Signed::new(t, &key("broker"));
    }
    command
}

#[test]
fn after_a_rotation_only_the_new_key_speaks_for_the_account() {
    let mut world = given_alice_rotated();
    world.credit("alice", 5);
    let old = purchase(&mut world, &key("alice"));
    assert_eq!(world.execute(old), Err(Rejection::NotTheAccountsKey));
    let new = purchase(&mut world, &key("alice 2"));
    world.execute(new).expect("signed with the new key");
    let again = rotation(&mut world, &key("alice"), &key("alice 3"));
    assert_eq!(world.execute(again), Err(Rejection::NotTheAccountsKey));
    let by_the_new = rotation(&mut world, &key("alice 2"), &key("alice 3"));
    world.execute(by_the_new).expect("signed with the new key");
}

#[test]
fn ecoins_sold_before_are_granted_with_the_key_in_their_touchstone() {
    let mut world = given_alice_rotated();
    let claim = world.claim("A", (1, 4, 3), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("credited", 3, 0, 0)]);
}

#[test]
fn what_was_signed_before_has_its_first_outcome_under_the_old_key() {
    let mut world = World::new();
    world.credit("alice", 1);
    let bought = purchase(&mut world, &key("alice"));
    world.execute(bought.clone()).expect("a good purchase");
    let command = rotation(&mut world, &key("alice"), &key("alice 2"));
    world.execute(command).expect("good keys");
    assert!(matches!(world.execute(bought), Ok(Outcome::Repeated(_))));
}

#[test]
fn a_key_that_was_given_up_is_not_taken_again() {
    let mut world = given_alice_rotated();
    let back = rotation(&mut world, &key("alice 2"), &key("alice"));
    assert_eq!(world.execute(back), Err(Rejection::KeyUsedBefore));
}

#[test]
fn an_account_rotates_its_key_sixteen_times() {
    let mut world = World::new();
    world.bought("alice", "A", 1);
    let mut now = key("alice");
    for number in 0..16 {
        let next = key(&format!("alice {number}"));
        let command = rotation(&mut world, &now, &next);
        world.execute(command).expect("one of sixteen");
        now = next;
    }
    let seventeenth = rotation(&mut world, &now, &key("one more"));
    assert_eq!(world.execute(seventeenth), Err(Rejection::TooManyRotations { most: 16 }));
    // The sealing key and the NATS key may still change.
    let same = rotation(&mut world, &now, &now);
    world.execute(same).expect("the signing key stays");
}

#[test]
fn an_account_that_was_never_opened_has_no_key_to_rotate() {
    let mut world = World::new();
    world.credit("alice", 1);
    let command = rotation(&mut world, &key("alice"), &key("alice 2"));
    assert_eq!(world.execute(command), Err(Rejection::AccountUnknown));
}

#[test]
fn a_rotation_needs_the_new_keys_own_signature_and_names_it() {
    let world = World::new();
    let (mine, stolen) = (key("alice 2"), key("bob"));
    let good = registration(&world, &mine);
    let order = RotateKeys {
        broker: BROKER,
        peer: peer("alice"),
        request: netpay_protocol::ids::RequestId([1; 16]),
        valid_until_ms: 1,
        register: good.content.digest(),
    };
    let order = Signed::new(order, &key("alice"));
    assert_eq!(order.check(&good), Ok(()));
    assert_eq!(order.check(&registration(&world, &stolen)), Err(NotRotated::OtherKeys));
    let not_proven = Signed { content: registration(&world, &stolen).content, signature: good.signature };
    assert_eq!(order.check(&not_proven), Err(NotRotated::Register(Refused::Signature)));
}
