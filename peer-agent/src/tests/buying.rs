//! Buying, told as scenes: what is stored, sent, lost, sent again, believed and not believed.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::messages::{Buy, Sold};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands;
use crate::home::identity::new_request;
use crate::ports::{Broker as _, Coins as _, Ecoin, PurchaseState, Purchases as _};
use crate::store::Tx;
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait};
use crate::wallet::buying;

fn purchases(broker: &TestBroker) -> Vec<Vec<u8>> {
    let heard = broker.heard.borrow();
    let buys = heard.iter().filter(|(op, _)| *op == BrokerOp::Buy);
    buys.map(|(_, bytes)| bytes.clone()).collect()
}

fn ecoins(peer: &Peer) -> usize {
    peer.store.read(|tx| tx.all_ecoins()).expect("read").len()
}

#[test]
fn a_purchase_whose_answers_are_lost_is_finished_by_the_next_command_with_the_same_bytes_and_debited_once() {
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    let request = new_request();
    wait(alice.errands(&broker).refresh_lists()).expect("lists");
    broker.lose.set(4);
    let lost = wait(alice.errands(&broker).buy(chain_of(20, Suite::Sha256), request));
    assert!(matches!(lost, Err(errands::Error::Call(_))), "{lost:?}");
    assert_eq!(ecoins(&alice), 0);

    let results = wait(alice.errands(&broker).resume_purchases()).expect("the broker is back");
    assert_eq!(results.len(), 1);
    assert_eq!(ecoins(&alice), 1);
    assert_eq!(broker.debited(), 20);
    let sent = purchases(&broker);
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|bytes| *bytes == sent[0]), "the same bytes");
    let state = alice.store.read(|tx| tx.purchase_state(request));
    assert_eq!(state.expect("read"), Some(PurchaseState::Done));
}

#[test]
fn an_order_is_on_disk_before_it_is_sent() {
    struct Dies<'a>(&'a Peer);
    impl crate::ports::Broker for Dies<'_> {
        async fn ask(&self, op: BrokerOp, _: Vec<u8>) -> Result<Vec<u8>, crate::ports::CallError> {
            if op == BrokerOp::Buy {
                let pending = self.0.store.read(|tx| tx.purchases(PurchaseState::Pending));
                assert_eq!(pending.expect("read").len(), 1, "stored before it leaves");
            }
            Err(Problem::new(Kind::InsufficientFunds, "no money").into())
        }
    }
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    wait(alice.errands(&broker).refresh_lists()).expect("lists");
    let errands = errands::Errands {
        store: &alice.store,
        me: &alice.me,
        broker: broker.id(),
        line: &Dies(&alice),
        now_ms: &crate::tests::trade::now,
    };
    let result = wait(errands.buy(chain_of(20, Suite::Sha256), new_request()));
    assert!(matches!(result, Err(errands::Error::Rejected(_))));
}

#[test]
fn busy_keeps_a_purchase_pending_and_any_other_no_is_told_but_not_final_before_its_time_is_over() {
    let over = NOW + 3 * HOUR_MS;
    for (kind, at, state) in [
        (Kind::Busy, NOW, PurchaseState::Pending),
        (Kind::Unavailable, NOW, PurchaseState::Pending),
        (Kind::RequestExpired, NOW, PurchaseState::Refused),
        (Kind::InsufficientFunds, NOW, PurchaseState::Refused),
        (Kind::Malformed, over, PurchaseState::Refused),
        (Kind::RequestExpired, over, PurchaseState::Dropped),
    ] {
        let (alice, broker) = (Peer::new(1), TestBroker::new());
        let order = alice
            .store
            .write(|tx| buying::order(tx, &alice.me, broker.id(), new_request(), chain_of(20, Suite::Sha256), NOW));
        let order = order.expect("stored");
        alice.store.write(|tx| buying::rejected(tx, &order, &Problem::new(kind, "no"), at)).expect("stored");
        let stands = alice.store.read(|tx| tx.purchase_state(order.content.request)).expect("read");
        assert_eq!(stands, Some(state), "{kind:?} at {at}");
    }
}

/// A problem is not signed, and an earlier copy of the order may still be in some queue.
#[test]
fn a_purchase_that_was_refused_and_yet_carried_out_is_found_when_its_time_is_over() {
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    wait(alice.errands(&broker).refresh_lists()).expect("lists");
    *broker.problems.borrow_mut() = vec![Problem::new(Kind::InsufficientFunds, "no")];
    let refused = wait(alice.errands(&broker).buy(chain_of(20, Suite::Sha256), new_request()));
    assert!(matches!(refused, Err(errands::Error::Rejected(_))), "{refused:?}");
    // The copy that was late is carried out, and nobody hears the answer.
    let sent = purchases(&broker);
    wait(broker.ask(BrokerOp::Buy, sent[0].clone())).expect("sold");
    assert_eq!((broker.debited(), ecoins(&alice)), (20, 0));
    assert_eq!(wait(alice.errands(&broker).resume_purchases()).expect("the broker is there").len(), 0, "not before");

    let over = || NOW + 3 * HOUR_MS;
    let later = errands::Errands { now_ms: &over, ..alice.errands(&broker) };
    let results = wait(later.resume_purchases()).expect("the broker is there");
    assert!(matches!(results.as_slice(), [Ok(_)]), "{results:?}");
    assert_eq!((broker.debited(), ecoins(&alice)), (20, 1));
}

#[test]
fn the_registration_goes_along_until_the_broker_answered_a_money_command() {
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    let buy = || wait(alice.errands(&broker).buy(chain_of(5, Suite::Sha256), new_request()));
    let registered = || {
        let sent = purchases(&broker);
        let last: Buy = wire::decode(sent.last().expect("sent")).expect("a Buy");
        last.register.is_some()
    };
    wait(alice.errands(&broker).refresh_lists()).expect("lists");
    *broker.problems.borrow_mut() = vec![Problem::new(Kind::InsufficientFunds, "no")];
    buy().expect_err("no money");
    assert!(registered());
    buy().expect("sold");
    assert!(registered(), "the rejection told nothing");
    // The test broker keeps no accounts: what is sent is what counts here.
    let again = broker.problems.replace(vec![Problem::new(Kind::Busy, "no"); 9]);
    assert!(again.is_empty());
    buy().expect_err("busy");
    assert!(!registered());
}

/// Everything that an answer may be wrong in; each is refused and leaves the order pending and the wallet empty.
#[test]
fn an_answer_that_is_not_exactly_what_was_ordered_is_not_believed() {
    type Change = fn(&TestBroker, &Peer, &mut Sold);
    fn t(sold: &mut Sold) -> &mut netpay_protocol::touchstone::Touchstone {
        &mut sold.touchstones[0].content
    }
    fn resign(broker: &TestBroker, sold: &mut Sold) {
        sold.touchstones[0] = broker.sign(sold.touchstones[0].content.clone());
    }
    let changes: [(&str, Change); 12] = [
        ("not signed by the pinned broker's", |_, alice, sold| {
            sold.sealed = Signed::new(sold.sealed.content.clone(), &alice.me.signing);
        }),
        ("another order", |broker, alice, sold| {
            let other = Buy {
                buy: alice
                    .store
                    .write(|tx| {
                        let wish = chain_of(20, Suite::Sha256);
                        buying::order(tx, &alice.me, broker.id(), new_request(), wish, NOW)
                    })
                    .expect("kept"),
                register: Some(alice.me.register(broker.id())),
            };
            *sold = broker.sell(&other);
        }),
        ("something else than what was ordered", |_, _, sold| {
            sold.touchstones.clear();
        }),
        ("another e-coin's", |broker, _, sold| {
            t(sold).ecoin = EcoinId([9; 16]);
            resign(broker, sold);
        }),
        ("not the broker's", |_, alice, sold| {
            sold.touchstones[0] = Signed::new(t(sold).clone(), &alice.me.signing);
        }),
        ("not what was ordered", |broker, _, sold| {
            t(sold).n = PaywordIndex(19);
            resign(broker, sold);
        }),
        ("not what was ordered", |broker, _, sold| {
            t(sold).unit_value = UnitValue(2);
            resign(broker, sold);
        }),
        ("not what was ordered", |broker, _, sold| {
            t(sold).suite = Suite::Md5;
            resign(broker, sold);
        }),
        ("not what was ordered", |broker, _, sold| {
            t(sold).guarantee = netpay_protocol::touchstone::Guarantee::Bound(STRANGER);
            resign(broker, sold);
        }),
        ("another payer's", |broker, _, sold| {
            t(sold).payer_key = SigningKey::from_seed(&[77; 32]).public();
            resign(broker, sold);
        }),
        ("another payer's", |broker, _, sold| {
            t(sold).payer = STRANGER;
            resign(broker, sold);
        }),
        ("do not lead to its root", |broker, _, sold| {
            t(sold).root = netpay_protocol::suite::Payword::unchecked([1; 32]);
            resign(broker, sold);
        }),
    ];
    const STRANGER: netpay_protocol::ids::PeerId = netpay_protocol::ids::PeerId([3; 16]);
    for (expected, change) in changes {
        let (alice, broker) = (Peer::new(1), TestBroker::new());
        let wish = chain_of(20, Suite::Sha256);
        let buy =
            alice.store.write(|tx| buying::order(tx, &alice.me, broker.id(), new_request(), wish, NOW)).expect("kept");
        let message = Buy { buy: buy.clone(), register: Some(alice.me.register(broker.id())) };
        let mut sold = broker.sell(&message);
        let receive =
            |sold: &Sold| alice.store.write(|tx| buying::receive(tx, &alice.me, &broker.keys(), &buy, sold, NOW));
        change(&broker, &alice, &mut sold);
        let error = receive(&sold).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(ecoins(&alice), 0);
        let state = alice.store.read(|tx| tx.purchase_state(buy.content.request));
        assert_eq!(state.expect("read"), Some(PurchaseState::Pending));
        receive(&broker.sell(&message)).expect("the true answer still counts");
        assert_eq!(ecoins(&alice), 1);
    }
}

/// A purchase that is kept and was sold, with nothing taken from the answer yet.
fn sold(alice: &Peer, broker: &TestBroker) -> (Signed<BuyEcoins>, Sold) {
    let wish = chain_of(20, Suite::Sha256);
    let order = |tx: &Tx<'_>| buying::order(tx, &alice.me, broker.id(), new_request(), wish, NOW);
    let buy = alice.store.write(order).expect("kept");
    let sold = broker.sell(&Buy { buy: buy.clone(), register: Some(alice.me.register(broker.id())) });
    (buy, sold)
}

fn receive(alice: &Peer, broker: &TestBroker, buy: &Signed<BuyEcoins>, sold: &Sold) -> Units {
    let receive = |tx: &Tx<'_>| buying::receive(tx, &alice.me, &broker.keys(), buy, sold, NOW);
    alice.store.write(receive).expect("believed").debited
}

#[test]
fn the_same_answer_twice_brings_its_ecoins_once() {
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    let (buy, sold) = sold(&alice, &broker);
    assert_eq!(receive(&alice, &broker, &buy, &sold), Units(20));
    assert_eq!(receive(&alice, &broker, &buy, &sold), Units::ZERO);
    assert_eq!(ecoins(&alice), 1);
}

#[test]
fn an_ecoin_that_was_ever_known_is_not_imported_again() {
    let (alice, broker) = (Peer::new(1), TestBroker::new());
    let (buy, sold) = sold(&alice, &broker);
    // The wallet has it, used up and locked, and the purchase is pending all the same: as after a restore.
    let last = netpay_protocol::suite::Payword::unchecked([1; 32]);
    let known = Ecoin { touchstone: sold.touchstones[0].clone(), last, locked: true };
    let ecoin = known.touchstone.content.ecoin;
    alice.store.write(|tx| tx.add_ecoin(&known, new_request())).expect("kept");
    alice.store.write(|tx| tx.retire_ecoin(ecoin)).expect("used up");
    assert_eq!(receive(&alice, &broker, &buy, &sold), Units::ZERO);
    assert!(alice.store.read(|tx| tx.live_ecoins()).expect("read").is_empty());
    assert!(alice.store.read(|tx| tx.ecoin(ecoin)).expect("read").is_some_and(|held| held.locked));
}
