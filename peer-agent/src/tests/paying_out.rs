//! Payouts, told as scenes: what is stored, sent, lost, sent again, refused, and listed.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::layout::Layout as _;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::messages::Withdrawal;
use netpay_protocol::payout::{PayoutState, PayoutView};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;

use crate::errands::payout::Withdrawn;
use crate::errands::{Errands, Error};
use crate::home::identity::new_request;
use crate::ports::{Broker, CallError, History as _, OwnPayout, Payouts as _, PurchaseState, Wanted};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, wait};
use crate::wallet::paying_out::{self, Wish};

fn scene() -> (TestBroker, Peer) {
    let (broker, bob) = (TestBroker::new(), Peer::new(2));
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    (broker, bob)
}

fn wish(amount: u64) -> Wish {
    Wish { amount: Units(amount), destination: "IBAN 12".into() }
}

fn pay_out(bob: &Peer, broker: &TestBroker, amount: u64) -> Result<Withdrawn, Error> {
    wait(bob.errands(broker).pay_out(&wish(amount), new_request()))
}

fn sent(broker: &TestBroker) -> Vec<Withdrawal> {
    let heard = broker.heard.borrow();
    let payouts = heard.iter().filter(|(op, _)| *op == BrokerOp::Payout);
    payouts.map(|(_, bytes)| wire::decode(bytes).expect("a Withdrawal")).collect()
}

fn known(bob: &Peer) -> Vec<OwnPayout> {
    bob.store.read(|tx| tx.payouts()).expect("read")
}

fn noted(bob: &Peer) -> Vec<String> {
    let entries = bob.store.read(|tx| tx.history(&Wanted { limit: 99, ..Wanted::default() })).expect("read");
    entries.into_iter().rev().map(|entry| entry.what).collect()
}

#[test]
fn a_payout_whose_answers_are_lost_is_finished_by_the_next_command_with_the_same_bytes_and_debited_once() {
    let (broker, bob) = scene();
    broker.lose.set(4);
    let lost = pay_out(&bob, &broker, 30);
    assert!(matches!(lost, Err(Error::Call(_))), "{lost:?}");
    let results = wait(bob.errands(&broker).resume_payouts()).expect("the broker is back");
    assert!(matches!(results.as_slice(), [Ok(view)] if view.amount == Units(30)), "{results:?}");
    assert_eq!(broker.paid_out(), 30);
    let sent = sent(&broker);
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|one| one.payout == sent[0].payout), "the same bytes");
    assert_eq!(known(&bob)[0].state, PurchaseState::Done);
    assert_eq!(noted(&bob), ["payout"]);
    assert!(wait(bob.errands(&broker).resume_payouts()).expect("there").is_empty());
}

#[test]
fn who_asks_again_after_a_lost_answer_gets_the_payout_that_is_open_and_no_second_one() {
    let (broker, bob) = scene();
    broker.lose.set(4);
    pay_out(&bob, &broker, 30).expect_err("lost");
    let again = pay_out(&bob, &broker, 30).expect("the broker is back");
    assert!(again.again);
    assert_eq!((broker.paid_out(), known(&bob).len()), (30, 1));
    // That one is finished: the next one is meant.
    let next = pay_out(&bob, &broker, 30).expect("paid");
    assert!(!next.again);
    assert_eq!((broker.paid_out(), known(&bob).len()), (60, 2));
    // While one is open, another amount is another payout.
    broker.lose.set(4);
    pay_out(&bob, &broker, 5).expect_err("lost");
    assert!(!pay_out(&bob, &broker, 6).expect("paid").again);
    assert_eq!(broker.paid_out(), 71);
}

#[test]
fn a_payout_is_on_disk_before_it_is_sent() {
    struct Dies<'a>(&'a Peer);
    impl Broker for Dies<'_> {
        async fn ask(&self, op: BrokerOp, _: Vec<u8>) -> Result<Vec<u8>, CallError> {
            assert_eq!((op, known(self.0).len()), (BrokerOp::Payout, 1), "stored before it leaves");
            Err(Problem::new(Kind::InsufficientFunds, "no money").into())
        }
    }
    let (broker, bob) = scene();
    let dies = Dies(&bob);
    let errands =
        Errands { store: &bob.store, me: &bob.me, broker: broker.id(), line: &dies, now_ms: &crate::tests::trade::now };
    assert!(matches!(wait(errands.pay_out(&wish(1), new_request())), Err(Error::Rejected(_))));
}

/// A refusal is not signed, and an earlier copy of the request may still be in some queue.
#[test]
fn a_payout_that_was_refused_and_yet_carried_out_is_not_asked_for_anew() {
    let (broker, bob) = scene();
    *broker.problems.borrow_mut() = vec![Problem::new(Kind::InsufficientFunds, "no")];
    let refused = pay_out(&bob, &broker, 30);
    assert!(matches!(refused, Err(Error::Rejected(_))), "{refused:?}");
    assert_eq!(known(&bob)[0].state, PurchaseState::Refused);
    // The copy that was late is carried out, and nobody hears the answer.
    broker.pay_out(&sent(&broker)[0]).expect("debited");
    assert!(wait(bob.errands(&broker).resume_payouts()).expect("there").is_empty(), "not before its time is over");
    let again = pay_out(&bob, &broker, 30).expect("it is there");
    assert!(again.again);
    assert_eq!((broker.paid_out(), known(&bob).len()), (30, 1));
}

#[test]
fn a_refused_payout_is_dropped_only_when_its_time_is_over_and_nobody_knows_of_it() {
    let over = NOW + HOUR_MS + 5 * 60_000;
    for (kind, at, state) in [
        (Kind::Busy, NOW, PurchaseState::Pending),
        (Kind::InDebt, NOW, PurchaseState::Refused),
        (Kind::RequestExpired, over, PurchaseState::Refused),
        (Kind::Suspended, over + 1, PurchaseState::Refused),
        (Kind::RequestExpired, over + 1, PurchaseState::Dropped),
    ] {
        let (broker, bob) = scene();
        let (order, _) = bob
            .store
            .write(|tx| paying_out::order(tx, &bob.me, broker.id(), new_request(), &wish(3), NOW))
            .expect("stored");
        bob.store.write(|tx| paying_out::rejected(tx, &order.content, &Problem::new(kind, "no"), at)).expect("stored");
        assert_eq!(known(&bob)[0].state, state, "{kind:?} at {at}");
        // Only what was dropped makes room for another one.
        let second = bob
            .store
            .write(|tx| paying_out::order(tx, &bob.me, broker.id(), new_request(), &wish(3), at))
            .expect("stored");
        assert_eq!(second.1, state != PurchaseState::Dropped, "{kind:?} at {at}");
    }
}

#[test]
fn a_payout_whose_time_is_over_is_asked_about_once_more_before_a_new_one_is_made() {
    let (broker, bob) = scene();
    broker.problems.borrow_mut().push(Problem::new(Kind::InsufficientFunds, "no"));
    pay_out(&bob, &broker, 30).expect_err("refused");
    let over = || NOW + 2 * HOUR_MS;
    let later = Errands { now_ms: &over, ..bob.errands(&broker) };
    broker.problems.borrow_mut().push(Problem::new(Kind::RequestExpired, "too late"));
    let done = wait(later.pay_out(&wish(30), new_request())).expect("the new one");
    assert!(!done.again);
    assert_eq!(broker.paid_out(), 30);
    let names: Vec<_> = sent(&broker).iter().map(|one| one.payout.content.request).collect();
    assert_eq!(names.len(), 3);
    assert!(names[0] == names[1] && names[1] != names[2]);
    assert_eq!(noted(&bob), ["payout_refused", "payout_dropped", "payout"]);
}

#[test]
fn a_payout_that_was_debited_is_not_given_up_because_somebody_says_that_its_time_is_over() {
    for by_another_command in [false, true] {
        let (broker, bob) = scene();
        broker.lose.set(4);
        pay_out(&bob, &broker, 30).expect_err("its answers were kept from it");
        assert_eq!(broker.paid_out(), 30);
        broker.problems.borrow_mut().push(Problem::new(Kind::RequestExpired, "says a bus that lies"));
        let later = || NOW + 2 * HOUR_MS;
        let errands = Errands { now_ms: &later, ..bob.errands(&broker) };
        if by_another_command {
            wait(errands.resume_payouts()).expect("the broker answers");
        } else {
            let done = wait(errands.pay_out(&wish(30), new_request())).expect("the broker's list has it");
            assert_eq!((done.again, done.view.amount), (true, Units(30)));
        }
        assert!(known(&bob).iter().all(|held| held.state == PurchaseState::Done && held.view.is_some()));
        assert_eq!((known(&bob).len(), broker.paid_out()), (1, 30), "debited once");
    }
}

#[test]
fn an_answer_about_another_payout_or_not_signed_by_the_broker_is_not_believed() {
    struct Says<'a>(&'a TestBroker, fn(&TestBroker, PayoutView, Digest) -> Vec<u8>);
    impl Broker for Says<'_> {
        async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
            if op != BrokerOp::Payout {
                return self.0.ask(op, message).await;
            }
            let withdrawal: Withdrawal = wire::decode(&message).expect("a Withdrawal");
            self.0.pay_out(&withdrawal)?;
            let order = &withdrawal.payout.content;
            Ok((self.1)(self.0, self.0.payouts.borrow()[&order.request].clone(), order.digest()))
        }
    }
    type Lie = fn(&TestBroker, PayoutView, Digest) -> Vec<u8>;
    let lies: [(&str, Lie); 6] = [
        ("amount", |b, v, d| b.signed(d, wire::encode(&PayoutView { amount: Units(1), ..v }))),
        ("destination", |b, v, d| b.signed(d, wire::encode(&PayoutView { destination: "mine".into(), ..v }))),
        ("request", |b, v, d| b.signed(d, wire::encode(&PayoutView { request: new_request(), ..v }))),
        ("peer", |b, v, d| b.signed(d, wire::encode(&PayoutView { peer: PeerId([9; 16]), ..v }))),
        ("another question", |b, v, _| b.signed(Digest([1; 32]), wire::encode(&v))),
        ("key", |b, v, d| {
            let mut answer = b.signed(d, wire::encode(&v));
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
            answer
        }),
    ];
    for (what, lie) in lies {
        let (broker, bob) = scene();
        let says = Says(&broker, lie);
        let errands = Errands {
            store: &bob.store,
            me: &bob.me,
            broker: broker.id(),
            line: &says,
            now_ms: &crate::tests::trade::now,
        };
        wait(errands.pay_out(&wish(30), new_request())).expect_err(what);
        assert_eq!(known(&bob)[0].state, PurchaseState::Pending, "{what}");
        assert!(noted(&bob).is_empty(), "{what}");
    }
}

#[test]
fn the_brokers_list_tells_what_became_of_payouts_and_each_change_is_noted_once() {
    let (broker, bob) = scene();
    for amount in 1..=5 {
        pay_out(&bob, &broker, amount).expect("debited");
    }
    let list = || wait(bob.errands(&broker).payouts()).expect("listed");
    assert_eq!(list().len(), 5, "all pages");
    for view in broker.payouts.borrow_mut().values_mut() {
        view.state = match view.amount.0 {
            1 => PayoutState::Settled { reference: "bank 1".into(), at_ms: NOW + 1 },
            2 => PayoutState::Failed { reason: "no such account".into(), at_ms: NOW + 1 },
            _ => PayoutState::Requested,
        };
    }
    list();
    list();
    // A final state stays, whatever is said later.
    for view in broker.payouts.borrow_mut().values_mut() {
        view.state = PayoutState::Failed { reason: "lost".into(), at_ms: NOW + 2 };
    }
    let listed = list();
    let settled = listed.iter().filter_map(|own| own.view.clone()).find(|view| view.amount == Units(1));
    assert!(matches!(settled.expect("there").state, PayoutState::Settled { .. }));
    let count = |what: &str| noted(&bob).iter().filter(|name| *name == what).count();
    assert_eq!((count("payout"), count("payout_settled"), count("payout_failed")), (5, 1, 4));
}
