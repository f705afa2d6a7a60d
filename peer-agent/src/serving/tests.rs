//! Serving, told as scenes: payments that come together, notices, a full queue.

use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Paid;
use netpay_protocol::problem::Kind;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use super::till_thread::{List, Server, TillDoor, start};
use crate::home::identity::Identity;
use crate::ports::{Slot, Slots as _, Till as _};
use crate::store::Store;
use crate::tests::broker::TestBroker;
use crate::tests::trade::{Peer, chain_of, now};
use crate::till::policy::Policy;
use crate::wallet::broker_lists;
use crate::wallet::purse::Mode::PerPayment;

struct Scene {
    broker: TestBroker,
    bob: Peer,
    alice: Peer,
    dir: tempfile::TempDir,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, mut bob) = (TestBroker::new(), Peer::new(2));
    bob.store = Store::open_beginning(&dir.path().join("wallet.sqlite"), |_| Ok(())).expect("opens");
    bob.store.write(|tx| broker_lists::take_keys(tx, broker.id(), &broker.key_list(|_| ()))).expect("taken");
    bob.store.write(|tx| broker_lists::take_revoked(tx, broker.id(), &broker.revoked(1), now())).expect("taken");
    Scene { broker, bob, alice: Peer::new(1), dir }
}

fn open(scene: &Scene) -> (TillDoor, std::thread::JoinHandle<()>) {
    start(Server {
        wallet: scene.dir.path().join("wallet.sqlite"),
        identity: Identity::of_seed(2),
        broker: scene.broker.id(),
        policy: Policy::default(),
        now_ms: now,
    })
    .expect("starts")
}

#[tokio::test]
async fn payments_that_come_together_are_each_answered_after_they_are_on_disk() {
    let scene = scene();
    let (door, thread) = open(&scene);
    let mut waiting = Vec::new();
    for price in 1..=20 {
        let t = scene.alice.buy(&scene.broker, chain_of(20, Suite::Sha256))[0].clone();
        let order = scene.bob.quote(&scene.broker, &scene.alice, price);
        let pay = scene.alice.grant(order, price, PerPayment).expect("enough").expect("due");
        let (door, from, path) = (door.clone(), scene.alice.id(), scene.dir.path().join("wallet.sqlite"));
        waiting.push(tokio::spawn(async move {
            let answer = door.ask(from, PeerOp::Pay, wire::encode(&pay)).await.expect("accepted");
            let paid: Paid = wire::decode(&answer).expect("a Paid");
            assert_eq!(paid.paid.0, price);
            let claims = Store::open(&path).expect("opens").read(|tx| tx.claims(pay.payment.grant().0));
            assert_eq!(claims.expect("read").len(), 1, "e-coin {}", t.ecoin);
        }));
    }
    for one in waiting {
        one.await.expect("good");
    }
    drop(door);
    thread.join().expect("ends when its last door is dropped");
}

#[tokio::test]
async fn a_payer_that_a_notice_names_is_refused_from_then_on() {
    let scene = scene();
    let (door, _) = open(&scene);
    scene.alice.buy(&scene.broker, chain_of(20, Suite::Sha256));
    let order = scene.bob.quote(&scene.broker, &scene.alice, 1);
    let pay = wire::encode(&scene.alice.grant(order, 1, PerPayment).expect("enough").expect("due"));
    // Names nobody, and would outrank every true list.
    let forged = netpay_protocol::layout::Signed::new(scene.broker.revoked(9).content, &scene.bob.me.signing);
    scene.broker.suspended.borrow_mut().push(scene.alice.id());
    // Not the broker's word: changes nothing. Then the broker's.
    door.bring(List::Revoked(wire::encode(&forged))).await;
    door.bring(List::Revoked(vec![1, 2, 3])).await;
    door.bring(List::Revoked(wire::encode(&scene.broker.revoked(2)))).await;
    // An older one does not bring the payer back.
    scene.broker.suspended.borrow_mut().clear();
    door.bring(List::Revoked(wire::encode(&scene.broker.revoked(1)))).await;
    let answer = door.ask(scene.alice.id(), PeerOp::Pay, pay).await;
    assert_eq!(answer.expect_err("refused").kind, Kind::Suspended);
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_answered_busy() {
    let (door, _jobs) = TillDoor::to_nobody(1);
    let waiting = tokio::spawn({
        let door = door.clone();
        async move { door.ask(PeerId::default(), PeerOp::Pay, vec![]).await }
    });
    while door.places() > 0 {
        tokio::task::yield_now().await;
    }
    let answer = door.ask(PeerId::default(), PeerOp::Pay, vec![]).await;
    assert_eq!(answer.expect_err("full").kind, Kind::Busy);
    waiting.abort();
}

#[tokio::test]
async fn without_the_brokers_lists_a_payment_is_put_off_and_one_that_was_accepted_is_answered() {
    let mut scene = scene();
    let path = scene.dir.path().join("other.sqlite");
    scene.bob.store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
    scene.alice.buy(&scene.broker, chain_of(20, Suite::Sha256));
    let order = scene.bob.quote(&scene.broker, &scene.alice, 1);
    let pay = scene.alice.grant(order, 1, PerPayment).expect("enough").expect("due");
    let (door, _) = start(Server {
        wallet: path,
        identity: Identity::of_seed(2),
        broker: scene.broker.id(),
        policy: Policy::default(),
        now_ms: now,
    })
    .expect("starts");
    let answer = door.ask(scene.alice.id(), PeerOp::Pay, wire::encode(&pay)).await;
    assert_eq!(answer.expect_err("not now").kind, Kind::Unavailable);
    scene.bob.accept(&scene.broker, scene.alice.id(), &pay).expect("accepted");
    door.ask(scene.alice.id(), PeerOp::Pay, wire::encode(&pay)).await.expect("the same answer");
}

#[test]
fn a_revocation_list_counts_only_while_its_key_does_and_not_before_its_time() {
    let scene = scene();
    let (broker, id, store) = (&scene.broker, scene.broker.id(), &scene.bob.store);
    let take = |list: Signed<RevocationList>| store.write(|tx| broker_lists::take_revoked(tx, id, &list, now()));
    let five_minutes = 5 * 60 * 1_000;
    let early = |ahead| broker.revoked_with(|list| (list.seq, list.issued_at_ms) = (9, now() + five_minutes + ahead));
    assert!(matches!(take(early(1)), Err(broker_lists::NotTaken::FromTheFuture)));
    assert!(take(early(0)).expect("within the clocks' difference"));
    let held = |keys: &_, at| store.read(|tx| broker_lists::revoked(tx, keys, at)).expect("read").is_some();
    assert!(held(&broker.keys(), now()));
    assert!(!held(&broker.keys(), now() - 1), "our clock was set back");
    let keys = broker.key_list(|list| list.keys[2].revoked_at_ms = now()).verify(id).expect("its own");
    assert!(!held(&keys, now()), "its key was revoked");
}

#[test]
fn a_list_under_a_revoked_key_is_in_no_true_lists_way() {
    let scene = scene();
    let (broker, id, store) = (&scene.broker, scene.broker.id(), &scene.bob.store);
    // As if a stolen key had signed it: no number is higher. It is held, and does not verify.
    let stolen = broker.revoked_with(|list| {
        (list.seq, list.kid) = (u64::MAX, netpay_protocol::ids::Kid([9; 8]));
    });
    store.write(|tx| tx.put_slot(Slot::Revoked, &wire::encode(&stolen))).expect("kept");
    assert!(store.write(|tx| broker_lists::take_revoked(tx, id, &broker.revoked(2), now())).expect("taken"));
}
