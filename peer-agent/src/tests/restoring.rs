//! A wallet that came out of a backup, told as scenes: what it may still do, what is locked, what is refused; and how a
//! stale copy finds out that it is one.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, EcoinId};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Buy;
use netpay_protocol::query::Answer;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::{self, Error};
use crate::home::identity::new_request;
use crate::ports::{
    CallError, Coins as _, History as _, Locking as _, OutOrders as _, PurchaseState, Purchases as _, Wanted,
};
use crate::store::Tx;
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait, why};
use crate::till::redeeming::Which;
use crate::wallet::purse::Mode::PerPayment;
use crate::wallet::{buying, granting, locking, stale};

fn scene() -> (TestBroker, Peer, Peer) {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    for peer in [&alice, &bob] {
        wait(peer.errands(&broker).refresh_lists()).expect("lists");
    }
    (broker, alice, bob)
}

/// The peer of this seed from a backup that holds what `copy` writes into it.
fn restored(broker: &TestBroker, seed: u8, copy: impl FnOnce(&Tx<'_>)) -> Peer {
    let peer = Peer::new(seed);
    wait(peer.errands(broker).refresh_lists()).expect("lists");
    let made = peer.store.write(|tx| {
        copy(tx);
        locking::mark_restored(tx)
    });
    made.expect("marked");
    peer
}

/// The wallet's e-coins as they are now, as a backup takes them.
fn ecoins_of(peer: &Peer) -> Vec<crate::ports::Ecoin> {
    peer.store.read(|tx| tx.all_ecoins()).expect("read")
}

fn grant(peer: &Peer, order: Digest) -> Result<(), granting::Error> {
    peer.grant(order, 5, PerPayment).map(|_| ())
}

fn is_locked(peer: &Peer, id: EcoinId) -> bool {
    peer.store.read(|tx| tx.ecoin(id)).expect("read").expect("there").locked
}

#[test]
fn a_home_from_a_backup_grants_and_buys_nothing_before_it_is_locked() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let backup = ecoins_of(&alice);
    let alice = restored(&broker, 1, |tx| {
        backup.iter().for_each(|ecoin| assert!(tx.add_ecoin(ecoin, new_request()).expect("written")));
    });
    let order = bob.quote(&broker, &alice, 5);
    assert!(matches!(grant(&alice, order), Err(granting::Error::RestoreFirst)));
    let bought = wait(alice.errands(&broker).buy(chain_of(10, Suite::Sha256), new_request()));
    assert!(matches!(bought, Err(Error::RestoreFirst)), "{bought:?}");
    assert!(matches!(wait(alice.errands(&broker).retry_purchases()), Err(Error::RestoreFirst)));
    assert_eq!(broker.debited(), 50, "nothing was ordered");
}

#[test]
fn after_the_locking_nothing_old_is_granted_and_what_is_bought_then_is_free() {
    let (broker, alice, bob) = scene();
    let old = alice.buy(&broker, chain_of(50, Suite::Sha256)).remove(0);
    broker.clock.set(NOW + 1);
    let locked = wait(alice.errands(&broker).lock_wallet()).expect("the broker is there");
    assert_eq!((locked.through_ms, locked.ecoins, locked.units, locked.wordless), (NOW + 1, 1, Units(50), 0));
    assert!(is_locked(&alice, old.ecoin));
    let order = bob.quote(&broker, &alice, 5);
    assert!(matches!(grant(&alice, order), Err(granting::Error::NotEnough { .. })));
    broker.clock.set(NOW + 2);
    let new = alice.buy(&broker, chain_of(50, Suite::Sha256)).remove(0);
    assert!(!is_locked(&alice, new.ecoin));
    grant(&alice, order).expect("the new e-coin pays");
    assert!(alice.store.read(|tx| tx.grants(old.ecoin)).expect("read").is_empty());
}

#[test]
fn ecoins_up_to_the_brokers_time_are_locked_and_the_next_millisecond_is_not() {
    let (broker, alice, _) = scene();
    wait(alice.errands(&broker).lock_wallet()).expect("locked");
    let at = alice.buy(&broker, chain_of(5, Suite::Sha256)).remove(0);
    broker.clock.set(NOW + 1);
    let after = alice.buy(&broker, chain_of(5, Suite::Sha256)).remove(0);
    assert_eq!((is_locked(&alice, at.ecoin), is_locked(&alice, after.ecoin)), (true, false));
}

#[test]
fn ecoins_that_only_the_broker_knows_are_shown_without_words_and_never_imported() {
    let (broker, alice, _) = scene();
    let request = new_request();
    let lost = broker_side_purchase(&broker, &alice, request);
    let alice = restored(&broker, 1, |_| ());
    let locked = wait(alice.errands(&broker).lock_wallet()).expect("the broker is there");
    assert_eq!((locked.ecoins, locked.wordless), (0, 3), "over two pages");
    let wordless = alice.store.read(|tx| tx.wordless_ecoins()).expect("read");
    assert_eq!(wordless.len(), 3);
    // The answer to the purchase arrives after all.
    let bought = alice.store.write(|tx| {
        tx.add_purchase(&lost.buy, NOW)?;
        buying::receive(tx, &alice.me, &broker.keys(), &lost.buy, &broker.sell(&lost), NOW)
    });
    assert!(bought.expect("believed").ecoins.is_empty(), "a known id is never imported again");
    assert!(ecoins_of(&alice).is_empty());
}

/// Three e-coins that are sold to this peer, and whose answer nobody hears.
fn broker_side_purchase(broker: &TestBroker, peer: &Peer, request: netpay_protocol::ids::RequestId) -> Buy {
    let wish = buying::Wish { count: 3, ..chain_of(5, Suite::Sha256) };
    let buy = peer.store.write(|tx| buying::order(tx, &peer.me, broker.id(), request, wish, NOW)).expect("kept");
    let buy = Buy { buy, register: Some(peer.me.register(broker.id())) };
    broker.sell(&buy);
    buy
}

#[test]
fn pending_purchases_are_dropped_and_what_a_late_answer_brings_is_locked() {
    let (broker, alice, _) = scene();
    let request = new_request();
    let wish = chain_of(5, Suite::Sha256);
    let buy = alice.store.write(|tx| buying::order(tx, &alice.me, broker.id(), request, wish, NOW)).expect("kept");
    broker.clock.set(NOW + 5);
    wait(alice.errands(&broker).lock_wallet()).expect("locked");
    let state = || alice.store.read(|tx| tx.purchase_state(request)).expect("read");
    assert_eq!(state(), Some(PurchaseState::Dropped));
    assert!(wait(alice.errands(&broker).resume_purchases()).expect("nothing to send").is_empty());
    // Another broker node had carried it out before, and its e-coin was on no page yet.
    broker.clock.set(NOW + 5);
    let late = Buy { buy: buy.clone(), register: Some(alice.me.register(broker.id())) };
    let sold = broker.sell(&late);
    let bought = alice.store.write(|tx| buying::receive(tx, &alice.me, &broker.keys(), &buy, &sold, NOW));
    let ecoin = bought.expect("believed").ecoins.remove(0).ecoin;
    assert!(is_locked(&alice, ecoin));
}

#[test]
fn orders_under_way_end_with_the_locking() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 9);
    grant(&alice, order).expect("granted");
    assert_eq!(alice.store.read(|tx| tx.open_out_orders(bob.id())).expect("read").len(), 1);
    wait(alice.errands(&broker).lock_wallet()).expect("locked");
    assert!(alice.store.read(|tx| tx.open_out_orders(bob.id())).expect("read").is_empty());
    let held = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
    assert!(held.done && held.pending.is_none(), "nothing is sent again");
    assert_eq!(held.sent, held.paid, "and nothing is waited for");
}

#[test]
fn a_till_from_a_backup_accepts_nothing_before_the_locking_and_only_younger_ecoins_after_it() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let known = alice.pay(&broker, &bob, 5, PerPayment).remove(0);
    bob.store.write(|tx| locking::mark_restored(tx)).expect("marked");
    let order = bob.quote(&broker, &alice, 4);
    let pay = alice.grant(order, 4, PerPayment).expect("enough").expect("due");
    assert!(why(bob.accept(&broker, alice.id(), &pay)).contains("takes no payments yet"));
    assert_eq!(bob.accept(&broker, alice.id(), &known).expect("a repeat").paid, Units(5), "the same answer");

    wait(bob.errands(&broker).lock_wallet()).expect("locked");
    assert!(why(bob.accept(&broker, alice.id(), &pay)).contains("younger"));
    assert_eq!(bob.accept(&broker, alice.id(), &known).expect("a repeat").paid, Units(5), "the same answer");
    assert_eq!(bob.store.read(|tx| crate::ports::Till::exposure(tx, alice.id())).expect("read").1, Units(5));

    broker.clock.set(NOW + 1);
    let carol = Peer::new(3);
    carol.buy(&broker, chain_of(5, Suite::Sha256));
    carol.pay(&broker, &bob, 5, PerPayment);
}

#[test]
fn a_till_from_a_backup_may_redeem_what_it_holds_before_and_after_the_locking() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    alice.pay(&broker, &bob, 5, PerPayment);
    bob.store.write(|tx| locking::mark_restored(tx)).expect("marked");
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");
    assert_eq!(done.len(), 1);
    wait(bob.errands(&broker).lock_wallet()).expect("locked");
    wait(bob.errands(&broker).redeem(Which::All)).expect("asked again");
    assert_eq!(broker.balance(bob.id()), 5);
}

type Twist = fn(&mut Answer);

/// A way to the broker on which answers about own e-coins are changed: before they are signed, or after.
struct Twists<'a> {
    broker: &'a TestBroker,
    before: Twist,
    after: Twist,
}

impl crate::ports::Broker for Twists<'_> {
    async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let bytes = self.broker.ask(op, message).await?;
        if op != BrokerOp::Restore {
            return Ok(bytes);
        }
        let mut answer: Answer = wire::decode::<Signed<Answer>>(&bytes).expect("an answer").content;
        (self.before)(&mut answer);
        let mut signed = self.broker.answer(answer.about, answer.body);
        (self.after)(&mut signed.content);
        Ok(wire::encode(&signed))
    }
}

#[test]
fn an_answer_that_was_changed_or_is_to_another_question_locks_nothing() {
    let (broker, alice, _) = scene();
    let t = alice.buy(&broker, chain_of(50, Suite::Sha256)).remove(0);
    let nothing: Twist = |_| ();
    let another: Twist = |answer| answer.about = Digest([3; 32]);
    let later: Twist = |answer| answer.issued_at_ms += 1;
    for (before, after, believed) in [(another, nothing, false), (nothing, later, false), (nothing, nothing, true)] {
        let line = Twists { broker: &broker, before, after };
        let (store, me, now_ms) = (&alice.store, &alice.me, &crate::tests::trade::now);
        let errands = errands::Errands { store, me, broker: broker.id(), line: &line, now_ms };
        let result = wait(errands.lock_wallet());
        assert_eq!(result.is_ok(), believed, "{result:?}");
        assert!(believed || matches!(result, Err(Error::NotBelieved(_))), "{result:?}");
        assert_eq!(is_locked(&alice, t.ecoin), believed);
    }
}

#[test]
fn a_wallet_whose_words_were_redeemed_that_it_never_paid_out_locks_itself_and_says_so() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    // The copy knows the e-coin, and not what it paid since.
    let (copy, backup) = (Peer::new(1), ecoins_of(&alice));
    wait(copy.errands(&broker).refresh_lists()).expect("lists");
    copy.store.write(|tx| tx.add_ecoin(&backup[0], new_request())).expect("copied");
    wait(copy.errands(&broker).check_copy()).expect("nothing was redeemed yet");
    alice.pay(&broker, &bob, 5, PerPayment);
    wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");

    wait(alice.errands(&broker).check_copy()).expect("the wallet that paid is no stale copy");
    let stale = wait(copy.errands(&broker).check_copy());
    assert!(matches!(stale, Err(Error::StaleCopy(5))), "{stale:?}");
    assert!(is_locked(&copy, backup[0].touchstone.content.ecoin));
    let noted = copy.store.read(|tx| tx.history(&Wanted { limit: 9, ..Wanted::default() })).expect("read");
    assert!(noted.iter().any(|entry| entry.what == "stale_copy"), "{noted:?}");
    let order = bob.quote(&broker, &copy, 5);
    assert!(matches!(grant(&copy, order), Err(granting::Error::NotEnough { .. })));
    wait(copy.errands(&broker).check_copy()).expect("it is said once: everything is locked now");
    let own = wait(copy.errands(&broker).own_ecoins()).expect("listed").ecoins;
    assert_eq!(copy.store.read(|tx| stale::foreign_words(tx, &own)).expect("read"), [], "nor to who only looks");
}

#[test]
fn the_check_in_passing_is_made_once_an_hour_and_a_broker_that_is_away_does_not_matter() {
    let (broker, alice, _) = scene();
    broker.lose.set(99);
    wait(alice.errands(&broker).check_copy_in_passing()).expect("it is only away");
    broker.lose.set(0);
    let asked = || broker.heard.borrow().iter().filter(|(op, _)| *op == BrokerOp::Restore).count();
    let before = asked();
    wait(alice.errands(&broker).check_copy_in_passing()).expect("fine");
    wait(alice.errands(&broker).check_copy_in_passing()).expect("fine");
    assert_eq!(asked(), before + 1);
    let later = || NOW + netpay_protocol::limits::HOUR_MS;
    let errands = errands::Errands { now_ms: &later, ..alice.errands(&broker) };
    wait(errands.check_copy_in_passing()).expect("fine");
    assert_eq!(asked(), before + 2);
}
