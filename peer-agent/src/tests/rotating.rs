//! Other keys: whatever is lost, forged or interrupted, this peer ends with the keys that its account has.

use std::path::Path;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::messages::{Buy, Rotate};
use netpay_protocol::payment::Payment;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::rotating::Rotated;
use crate::errands::{Errands, Error};
use crate::home::identity::{Identity, new_request};
use crate::home::keyring::{self, Keys};
use crate::home::rotation::Pending;
use crate::home::sealed::{Passphrase, Work};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, now, wait};
use crate::wallet::purse::Mode;
use crate::wallet::{buying, granting};

const UNTIL_MS: u64 = NOW + 1_000;

fn drawn(seed: u8) -> Pending {
    Pending { keys: Identity::of_seed(seed), request: new_request(), valid_until_ms: UNTIL_MS }
}

fn key(seed: u8) -> PublicKey {
    Identity::of_seed(seed).signing.public()
}

/// Alice with an opened account.
fn scene() -> (TestBroker, Peer) {
    let (broker, alice) = (TestBroker::new(), Peer::new(1));
    broker.open(alice.id(), alice.me.signing.public());
    (broker, alice)
}

fn rotate(alice: &Peer, broker: &TestBroker, pending: &Pending) -> Result<Rotated, Error> {
    wait(alice.errands(broker).rotate(pending))
}

fn is_taken(result: Result<Rotated, Error>) -> bool {
    matches!(result, Ok(Rotated::Taken(certificate)) if certificate.content.signing_key == key(31))
}

#[test]
fn an_order_whose_answers_are_lost_is_sent_again_in_the_same_bytes_and_carried_out_once() {
    let (broker, alice) = scene();
    let pending = drawn(31);
    broker.lose.set(9);
    assert!(matches!(rotate(&alice, &broker, &pending), Err(Error::Call(_))), "nobody knows");
    broker.lose.set(0);
    assert!(is_taken(rotate(&alice, &broker, &pending)));
    let heard = broker.heard.borrow();
    let orders: Vec<_> = heard.iter().filter(|(op, _)| *op == BrokerOp::Rotate).map(|(_, bytes)| bytes).collect();
    assert!(orders.len() > 2 && orders.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(broker.accounts.borrow()[&alice.id()].given_up, 1);
    let order: Rotate = wire::decode(orders[0]).expect("a Rotate");
    assert_eq!(order.order.content.peer, alice.id());
}

#[test]
fn a_forged_no_to_an_order_that_was_carried_out_changes_nothing() {
    for kind in [Kind::RequestExpired, Kind::BadSignature, Kind::NotFound, Kind::Policy] {
        let (broker, alice) = scene();
        let pending = drawn(31);
        broker.lose.set(9);
        rotate(&alice, &broker, &pending).expect_err("its answers are lost");
        broker.lose.set(0);
        broker.clock.set(UNTIL_MS + 1);
        broker.problems.borrow_mut().push(Problem::new(kind, "said somebody on the way"));
        assert!(is_taken(rotate(&alice, &broker, &pending)), "the broker's signed word counts: {kind:?}");
    }
}

#[test]
fn keys_are_given_up_only_when_their_order_is_over_and_the_account_has_the_old_ones() {
    let (broker, alice) = scene();
    let pending = drawn(31);
    let late = |broker: &TestBroker, now_ms: fn() -> u64| {
        wait(Errands { now_ms: &now_ms, ..alice.errands(broker) }.rotate(&pending))
    };
    let five_minutes_on = || UNTIL_MS + 5 * 60_000;
    let a_ms_later = || UNTIL_MS + 5 * 60_000 + 1;
    broker.problems.borrow_mut().push(Problem::new(Kind::Policy, "no"));
    assert!(matches!(rotate(&alice, &broker, &pending), Err(Error::Rejected(_))), "it may still be carried out");
    broker.clock.set(UNTIL_MS);
    for _ in 0..2 {
        broker.problems.borrow_mut().push(Problem::new(Kind::RequestExpired, "no"));
        assert!(matches!(late(&broker, a_ms_later), Err(Error::Rejected(_))), "not over by the broker's clock");
    }
    broker.clock.set(UNTIL_MS + 1);
    assert!(matches!(late(&broker, five_minutes_on), Err(Error::Rejected(_))), "not over by ours");
    assert!(matches!(late(&broker, a_ms_later), Ok(Rotated::Lapsed)));
    // Another copy of the home was quicker.
    let elsewhere = drawn(32);
    broker.clock.set(NOW);
    wait(alice.errands(&broker).rotate(&elsewhere)).expect("taken");
    assert!(matches!(rotate(&alice, &broker, &pending), Err(Error::Rejected(_) | Error::NotBelieved(_))));
}

/// What is read of the keys in a directory.
fn held(dir: &Path, passphrase: Option<&Passphrase>) -> Keys {
    keyring::read(dir, || passphrase.cloned().ok_or(keyring::Error::Passphrase)).expect("keys that open").0
}

fn update(dir: &Path, passphrase: Option<&Passphrase>, change: impl FnOnce(&mut Keys)) -> Keys {
    keyring::update(dir, passphrase, Work::LITTLE, change).expect("the disk is fine")
}

#[test]
fn drawn_keys_are_durable_before_they_count_and_old_ones_stay_for_good() {
    let passphrase = Passphrase::new("x".to_owned().into()).expect("not empty");
    for sealed in [None, Some(&passphrase)] {
        let dir = tempfile::tempdir().expect("a directory");
        let (dir, first) = (dir.path(), Keys { identity: Identity::of_seed(1), words: None, pending: None });
        match sealed {
            None => keyring::write_clear(dir, &first).expect("written"),
            Some(passphrase) => keyring::write_sealed(dir, &first, passphrase, Work::LITTLE).expect("written"),
        }
        let pending = drawn(31);
        let (request, me) = (pending.request, PeerId::of(&key(1)));
        update(dir, sealed, |keys| keys.prepare(|| pending));
        update(dir, sealed, |keys| keys.prepare(|| panic!("there are some already")));
        let read = held(dir, sealed);
        assert_eq!((read.identity.peer(), read.identity.signing.public()), (me, key(1)), "the old ones count");
        let kept = read.pending.as_ref().expect("pending");
        assert_eq!((kept.keys.signing.public(), kept.request, kept.valid_until_ms), (key(31), request, UNTIL_MS));

        update(dir, sealed, |keys| keys.switch(new_request()));
        assert!(held(dir, sealed).pending.is_some(), "another order's");
        update(dir, sealed, |keys| keys.switch(request));
        update(dir, sealed, |keys| keys.switch(request));
        let read = held(dir, sealed);
        assert_eq!((read.identity.peer(), read.identity.signing.public()), (me, key(31)), "the id stays");
        assert_eq!(read.identity.nats.public(), Identity::of_seed(31).nats.public());
        assert!(read.pending.is_none() && read.identity.former().len() == 1);

        let lapsed = drawn(32);
        let request = lapsed.request;
        update(dir, sealed, |keys| keys.prepare(|| lapsed));
        update(dir, sealed, |keys| keys.give_up(request));
        let read = held(dir, sealed);
        assert_eq!(read.identity.signing.public(), key(31));
        for seed in [1, 31, 32] {
            let granting = read.identity.granting_key(&key(seed)).expect("nothing is thrown away");
            assert_eq!(granting.public(), key(seed));
        }
        assert!(read.identity.granting_key(&key(33)).is_none());
        // Through a backup's bytes, and through a passphrase set and removed.
        let carried = keyring::from_bytes(&keyring::to_bytes(&read)).expect("its own");
        assert_eq!((carried.identity.peer(), carried.identity.former().len()), (me, 2));
        let other = Passphrase::new("y".to_owned().into()).expect("not empty");
        let ask = || sealed.cloned().ok_or(keyring::Error::Passphrase);
        keyring::change(dir, ask, Some(&other), Work::LITTLE).expect("sealed");
        assert_eq!(held(dir, Some(&other)).identity.former().len(), 2);
        keyring::change(dir, || Ok(other.clone()), None, Work::LITTLE).expect("in clear");
        let read = held(dir, None);
        assert_eq!((read.identity.peer(), read.identity.signing.public()), (me, key(31)));
    }
}

#[test]
fn separate_files_that_a_crash_left_beside_changed_keys_count_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = || Keys { identity: Identity::of_seed(1), words: None, pending: None };
    keyring::write_clear(dir.path(), &first()).expect("written");
    let pending = drawn(31);
    let request = pending.request;
    update(dir.path(), None, |keys| keys.prepare(|| pending));
    assert!(!dir.path().join("signing.key").exists(), "one file for all");
    keyring::write_clear(dir.path(), &first()).expect("as a crash leaves them");
    assert!(held(dir.path(), None).pending.is_some());
    update(dir.path(), None, |keys| keys.switch(request));
    keyring::write_clear(dir.path(), &first()).expect("as a crash leaves them");
    assert_eq!(held(dir.path(), None).identity.signing.public(), key(31));
}

#[test]
fn ecoins_are_granted_with_the_key_that_they_were_sold_to() {
    let (broker, mut alice) = scene();
    let bob = Peer::new(2);
    let old = alice.buy(&broker, chain_of(5, Suite::Sha256)).remove(0);
    // Ordered with the old key, and answered only after the rotation.
    let order = alice
        .store
        .write(|tx| buying::order(tx, &alice.me, broker.id(), new_request(), chain_of(7, Suite::Sha256), NOW))
        .expect("kept");
    let sold = broker.sell(&Buy { buy: order.clone(), register: Some(alice.me.register(broker.id())) });
    alice.me = std::mem::replace(&mut alice.me, Identity::of_seed(9)).with_keys_of(Identity::of_seed(31));
    let bought = alice.store.write(|tx| buying::receive(tx, &alice.me, &broker.keys(), &order, &sold, NOW));
    assert_eq!(bought.expect("believed").ecoins[0].payer_key, key(1));
    assert_eq!((alice.id(), old.payer_key), (PeerId::of(&key(1)), key(1)));

    for pay in alice.pay(&broker, &bob, 12, Mode::PerPayment) {
        let (Payment::First { index, .. } | Payment::Grown { index, .. }) = &pay.payment else { continue };
        index.verify(&key(1)).expect("the key in the touchstone");
    }
    // A wallet in which another process has put what this one has no key for.
    let order = bob.quote(&broker, &alice, 1);
    let other = Peer { me: Identity::of_seed(41), store: crate::store::Store::in_memory().expect("memory") };
    let stranger = other.buy(&broker, chain_of(5, Suite::Sha256)).remove(0);
    let ecoin = other.store.read(|tx| crate::ports::Coins::ecoin(tx, stranger.ecoin)).expect("read").expect("there");
    alice.store.write(|tx| crate::ports::Coins::add_ecoin(tx, &ecoin, new_request())).expect("kept");
    let grant =
        alice.store.write(|tx| granting::pay(tx, &alice.me, order, Units(1), Units(1), Mode::PerPayment, now()));
    assert!(matches!(grant, Err(granting::Error::NotEnough { .. })), "no grant that its payee would refuse");
}
