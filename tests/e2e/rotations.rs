//! Other keys for an account, before a real broker: what the old key still does, and what it does no more.

use netpay_protocol::ids::{BrokerId, PeerId, from_hex};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits;
use netpay_protocol::messages::{Rotate, Sold};
use netpay_protocol::problem::Kind;
use netpay_protocol::query::Question;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::processes::{Process, World, until};
use netpay_tests::raw_peer::{RawPeer, fresh_request, now_ms, problem};
use serde_json::Value;

struct Given {
    world: World,
    broker: Option<Process>,
    id: BrokerId,
}

impl Given {
    fn broker() -> Self {
        let world = World::new();
        let id = world.init_broker(&[]).parse().expect("an id");
        let broker = Some(world.serve_broker());
        Self { world, broker, id }
    }

    async fn peer(&self, units: u64) -> RawPeer {
        let peer = RawPeer::connect(&self.world.nats_url(), self.id).await.expect("NATS is there");
        peer.join().await.expect("a good registration");
        if units > 0 {
            self.world.credit(&peer.id().to_string(), units, &format!("for {}", peer.id()));
        }
        peer
    }

    /// Alice with an opened account, and the keys that she rotates to.
    async fn alice(&self, units: u64) -> (RawPeer, RawPeer) {
        let alice = self.peer(units).await;
        alice.buy(&alice.order(1, 1, Suite::Sha256)).await.expect("bought: the account is open");
        let again = alice.with_other_keys().expect("keys");
        (alice, again)
    }

    fn kill_and_restart(&mut self) {
        self.broker.take().expect("it runs").kill();
        self.broker = Some(self.world.serve_broker());
    }

    fn balance(&self, peer: &RawPeer) -> u64 {
        let shown = self.world.broker(&["account", "show", &peer.id().to_string()]);
        shown["balance_units"].as_u64().expect("a number")
    }

    fn audit(&self) {
        let audit = self.world.broker(&["ledger", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
    }
}

/// What came back, as a kind and its words.
fn refused<T>(result: anyhow::Result<T>) -> (Kind, String) {
    let problem = problem(result.map(|_| ()));
    (problem.kind, problem.text)
}

/// Whether this is the answer to a key that the account gave up, and not to a forgery.
fn is_given_up((kind, text): (Kind, String)) -> bool {
    kind == Kind::BadSignature && text.contains("gave up")
}

#[tokio::test]
async fn after_a_rotation_the_new_key_speaks_for_the_account_and_the_old_one_for_nothing_new() {
    let given = Given::broker();
    let (alice, again) = given.alice(100).await;
    let bob = given.peer(0).await;
    let before = alice.key_of(alice.id()).await.expect("a certificate of the first key");
    assert_eq!((before.signing_key, before.given_up), (alice.key.public(), 0));

    let certificate = alice.rotate(&alice.rotation(again.register())).await.expect("rotated");
    assert_eq!((certificate.peer, certificate.signing_key, certificate.given_up), (alice.id(), again.key.public(), 1));
    assert_ne!(PeerId::of(&again.key.public()), alice.id());

    assert!(is_given_up(refused(alice.buy(&alice.order(10, 1, Suite::Sha256)).await)));
    assert!(is_given_up(refused(alice.pay_out(&alice.withdrawal(10, "alice's bank")).await)));
    assert!(is_given_up(refused(alice.answer(Question::Balance).await)));
    assert!(is_given_up(refused(alice.rotate(&alice.rotation(alice.register())).await)));
    let coin = again.buy(&again.order(10, 1, Suite::Sha256)).await.expect("the new key buys").remove(0);
    assert_eq!(coin.touchstone.content.payer_key, again.key.public());
    again.pay_out(&again.withdrawal(10, "alice's bank")).await.expect("the new key is paid out");
    let claim = RawPeer::claim(&coin, &again.grant(&coin, (1, 6), bob.id()), 5);
    let statement = bob.redeem(&bob.batch(vec![claim])).await.expect("a statement");
    assert_eq!(statement.lines[0].credited.0, 5);
    assert_eq!(given.balance(&alice), 100 - 1 - 10 - 10);

    // Anybody with an account is told whose key it is; nobody is told of an account that is not there.
    assert_eq!(bob.key_of(alice.id()).await.expect("asked by another").signing_key, again.key.public());
    assert_eq!(refused(bob.key_of(PeerId([7; 16])).await).0, Kind::NotFound);
    given.audit();
}

#[tokio::test]
async fn ecoins_sold_before_a_rotation_are_granted_with_the_old_key_and_still_redeem() {
    let given = Given::broker();
    let (alice, again) = given.alice(100).await;
    let bob = given.peer(0).await;
    let coin = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought").remove(0);
    alice.rotate(&alice.rotation(again.register())).await.expect("rotated");
    let old = RawPeer::claim(&coin, &alice.grant(&coin, (1, 6), bob.id()), 5);
    let new = RawPeer::claim(&coin, &again.grant(&coin, (6, 11), bob.id()), 10);
    let statement = bob.redeem(&bob.batch(vec![old, new])).await.expect("a statement");
    let lines: Vec<_> = statement.lines.iter().map(|line| (line.verdict.name(), line.credited.0)).collect();
    assert_eq!(lines, [("credited", 5), ("unauthorised", 0)], "the key in the touchstone, and no other");
    // The payee's keys matter as little: what it holds is redeemed under its own new ones.
    let bob_again = bob.with_other_keys().expect("keys");
    bob.rotate(&bob.rotation(bob_again.register())).await.expect("rotated");
    let later = RawPeer::claim(&coin, &alice.grant(&coin, (6, 11), bob.id()), 10);
    let statement = bob_again.redeem(&bob_again.batch(vec![later])).await.expect("a statement");
    assert_eq!((statement.lines[0].credited.0, given.balance(&bob)), (5, 10));
    given.audit();
}

#[tokio::test]
async fn a_rotation_whose_reply_is_lost_happens_once_and_is_answered_the_same_also_after_a_kill() {
    let mut given = Given::broker();
    let (alice, again) = given.alice(10).await;
    let rotation = alice.rotation(again.register());
    for _ in 0..2 {
        let subject = subjects::request(alice.id(), BrokerOp::Rotate);
        alice.client.publish(subject, wire::encode(&rotation).into()).await.expect("published");
    }
    alice.client.flush().await.expect("flushed");
    let mut certificate = None;
    for _ in 0..200 {
        certificate = again.key_of(alice.id()).await.ok();
        if certificate.is_some() {
            break;
        }
    }
    assert_eq!(certificate.expect("rotated").given_up, 1);
    given.kill_and_restart();
    let certificate = alice.rotate(&rotation).await.expect("carried out before");
    assert_eq!((certificate.signing_key, certificate.given_up), (again.key.public(), 1), "once");

    // After one more rotation the same bytes still are no new business, and the answer tells the key of now.
    let third = again.with_other_keys().expect("keys");
    again.rotate(&again.rotation(third.register())).await.expect("rotated again");
    let certificate = alice.rotate(&rotation).await.expect("carried out before");
    assert_eq!((certificate.signing_key, certificate.given_up), (third.key.public(), 2));
    // Other bytes under the same id are refused, whoever signed.
    let other =
        RotateKeys { valid_until_ms: rotation.order.content.valid_until_ms + 1, ..rotation.order.content.clone() };
    let other = Rotate { order: third.sign(other), register: again.register() };
    assert_eq!(refused(third.rotate(&other).await).0, Kind::RequestIdReused);
    given.audit();
}

#[tokio::test]
async fn what_the_old_key_signed_has_its_first_outcome_and_words_are_sealed_to_the_present_key() {
    let mut given = Given::broker();
    let (alice, again) = given.alice(100).await;
    let bob = given.peer(0).await;
    let order = alice.order(30, 2, Suite::Sha256);
    let subject = subjects::request(alice.id(), BrokerOp::Buy);
    alice.client.publish(subject, wire::encode(&order).into()).await.expect("published");
    alice.client.flush().await.expect("flushed");
    until("the purchase", || (given.balance(&alice) == 39).then_some(()));
    let payout = alice.withdrawal(9, "alice's bank");
    let paid_out = alice.pay_out(&payout).await.expect("requested");
    alice.rotate(&alice.rotation(again.register())).await.expect("rotated");
    given.kill_and_restart();

    let answer = alice.ask(BrokerOp::Buy, wire::encode(&order)).await.expect("sold before");
    let sold: Sold = wire::decode(&answer).expect("sold");
    assert!(alice.open(&order, &sold).is_err(), "sealed to a key that may be lost");
    let coins = again.open(&order, &sold).expect("sealed to the present key");
    assert_eq!(coins[0].touchstone.content.payer_key, alice.key.public(), "sold to the old one");
    assert_eq!(alice.pay_out(&payout).await.expect("requested before"), paid_out);

    // A batch, too: signed by bob, who rotates before its statement came.
    let claim = RawPeer::claim(&coins[0], &alice.grant(&coins[0], (1, 31), bob.id()), 30);
    let batch = bob.batch(vec![claim.clone()]);
    assert_eq!(bob.redeem(&batch).await.expect("a statement").lines[0].credited.0, 30);
    let bob_again = bob.with_other_keys().expect("keys");
    bob.rotate(&bob.rotation(bob_again.register())).await.expect("rotated");
    assert_eq!(bob.redeem(&batch).await.expect("the first outcome").lines[0].credited.0, 30);
    assert!(is_given_up(refused(bob.redeem(&bob.batch(vec![claim])).await)), "another batch is new business");
    assert_eq!((given.balance(&alice), given.balance(&bob)), (30, 30));
    given.audit();
}

#[tokio::test]
async fn nobody_else_rotates_an_account_and_no_account_takes_a_key_that_is_not_sound() {
    let given = Given::broker();
    let (alice, again) = given.alice(10).await;
    let mallory = given.peer(0).await;
    let send = async |rotation: &Rotate| {
        refused(mallory.call(subjects::request(alice.id(), BrokerOp::Rotate), wire::encode(rotation)).await)
    };
    let order = |register: &Signed<Register>| RotateKeys {
        broker: given.id,
        peer: alice.id(),
        request: fresh_request(),
        valid_until_ms: now_ms() + limits::HOUR_MS,
        register: register.content.digest(),
    };

    let stolen = Rotate { order: mallory.sign(order(&mallory.register())), register: mallory.register() };
    let (kind, text) = send(&stolen).await;
    assert!(kind == Kind::BadSignature && !text.contains("gave up"), "a forgery: {text}");
    let under_another_subject = subjects::request(mallory.id(), BrokerOp::Rotate);
    assert_eq!(refused(mallory.call(under_another_subject, wire::encode(&stolen)).await).0, Kind::NotForMe);
    let elsewhere = RotateKeys { broker: BrokerId([9; 16]), ..order(&again.register()) };
    let elsewhere = Rotate { order: alice.sign(elsewhere), register: again.register() };
    assert_eq!(send(&elsewhere).await.0, Kind::NotForMe);

    // A key of somebody else's, which did not sign for itself; and one that alice's order does not name.
    let not_proven =
        Signed { content: again.register().content, signature: alice.sign(again.register().content).signature };
    assert_eq!(send(&alice.rotation(not_proven)).await.0, Kind::BadSignature);
    let other_keys = Rotate { register: mallory.register(), ..alice.rotation(again.register()) };
    assert_eq!(send(&other_keys).await.0, Kind::BadSignature);
    // Under a key of small order one signature fits many messages; no key with torsion is taken either.
    let unsound = unsound_keys();
    assert!(unsound.len() > 10, "{}", unsound.len());
    for bytes in unsound {
        let register = Register { signing_key: PublicKey(bytes), ..again.register().content };
        let register = again.sign(register);
        let (kind, text) = send(&alice.rotation(register)).await;
        assert!(kind == Kind::BadSignature && text.contains("prime order"), "{text}");
    }
    let shared = again.sign(Register { nkey: again.key.public(), ..again.register().content });
    assert_eq!(send(&alice.rotation(shared)).await.0, Kind::BadSignature);

    let late = RotateKeys { valid_until_ms: now_ms() - 1, ..order(&again.register()) };
    let late = Rotate { order: alice.sign(late), register: again.register() };
    assert_eq!(send(&late).await.0, Kind::RequestExpired);
    let early = RotateKeys { valid_until_ms: now_ms() + 25 * limits::HOUR_MS, ..order(&again.register()) };
    let early = Rotate { order: alice.sign(early), register: again.register() };
    assert_eq!(send(&early).await.0, Kind::Policy);
    let unknown = mallory.rotation(again.register());
    assert_eq!(refused(mallory.rotate(&unknown).await).0, Kind::NotFound, "an account that was never opened");
    assert_eq!(alice.key_of(alice.id()).await.expect("still hers").signing_key, alice.key.public());
    alice.rotate(&alice.rotation(again.register())).await.expect("her own key does");
    given.audit();
}

#[tokio::test]
async fn an_account_gives_up_sixteen_keys_and_no_more() {
    let given = Given::broker();
    let (mut now, mut next) = given.alice(10).await;
    let mut former = vec![now.key.public()];
    for given_up in 1..=16 {
        let certificate = now.rotate(&now.rotation(next.register())).await.expect("one of sixteen");
        assert_eq!(certificate.given_up, given_up);
        former.push(next.key.public());
        let after = next.with_other_keys().expect("keys");
        (now, next) = (next, after);
    }
    let (kind, text) = refused(now.rotate(&now.rotation(next.register())).await);
    assert!(kind == Kind::Policy && text.contains("16"), "{text}");
    let register = now.sign(Register { sealing_key: next.register().content.sealing_key, ..now.register().content });
    let certificate = now.rotate(&now.rotation(register)).await.expect("the signing key stays");
    assert_eq!((certificate.signing_key, certificate.given_up), (now.key.public(), 16));
    given.audit();
}

/// The keys that may not be registered: of small order, with torsion, not canonical, no point at all.
fn unsound_keys() -> Vec<[u8; 32]> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/test-data/vectors/zip215.json");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("there")).expect("vectors");
    let vectors = told["vectors"].as_array().expect("a list").iter();
    let unsound = vectors.filter(|v| v["check"] == "registrable" && v["good"] == false);
    unsound.map(|v| from_hex(v["key"].as_str().expect("hex")).expect("32 bytes")).collect()
}
