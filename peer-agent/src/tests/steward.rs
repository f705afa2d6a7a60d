//! What serve does unasked, told as scenes: redeeming on schedule with the broker there and away, and beside a command.

use std::cell::{Cell, RefCell};

use netpay_protocol::amounts::Units;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{DAY_MS, HOUR_MS};
use netpay_protocol::messages::Redeem;
use netpay_protocol::redemption::RedemptionBatch;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::Errands;
use crate::errands::steward::Steward;
use crate::ports::{Broker, CallError, History as _, Wanted};
use crate::store::Store;
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait};
use crate::till::policy::Policy;
use crate::till::redeeming::{self, Redeemer, Which};
use crate::till::rehearsal;
use crate::till::schedule::{DEADLINE_MARGIN_MS, Schedule};
use crate::wallet::broker_lists;
use crate::wallet::purse::Mode::PerPayment;

fn scene() -> (TestBroker, Peer, Peer) {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    alice.buy(&broker, chain_of(200, Suite::Sha256));
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    (broker, alice, bob)
}

fn steward(at: u64) -> Steward {
    let schedule = Schedule { at: Units(at), jitter_ms: 0, ..Schedule::default() };
    Steward::new(schedule, Policy { max_revocation_age_ms: u64::MAX, ..Policy::default() }, || 0)
}

fn look(steward: &mut Steward, bob: &Peer, broker: &TestBroker, at_ms: u64) -> Vec<String> {
    let clock = || at_ms;
    wait(steward.look(&Errands { now_ms: &clock, ..bob.errands(broker) }))
}

fn batches(broker: &TestBroker) -> Vec<Signed<RedemptionBatch>> {
    let heard = broker.heard.borrow();
    let redeems = heard.iter().filter(|(op, _)| *op == BrokerOp::Redeem);
    redeems.map(|(_, bytes)| wire::decode::<Redeem>(bytes).expect("a Redeem").batch).collect()
}

fn redemptions(bob: &Peer) -> usize {
    let wanted = Wanted { what: Some("redeem".into()), limit: 99, ..Wanted::default() };
    bob.store.read(|tx| tx.history(&wanted)).expect("read").len()
}

#[test]
fn it_redeems_when_it_is_due_and_not_before_and_says_so() {
    let (broker, alice, bob) = scene();
    let mut steward = steward(5);
    assert!(look(&mut steward, &bob, &broker, NOW).is_empty(), "nothing is held");
    alice.pay(&broker, &bob, 4, PerPayment);
    assert!(look(&mut steward, &bob, &broker, NOW).is_empty(), "too little");
    alice.pay(&broker, &bob, 1, PerPayment);
    let said = look(&mut steward, &bob, &broker, NOW);
    assert!(said.len() == 1 && said[0].contains("5 units credited"), "{said:?}");
    assert_eq!(broker.balance(bob.id()), 5);
    alice.pay(&broker, &bob, 1, PerPayment);
    assert!(look(&mut steward, &bob, &broker, NOW + DAY_MS - 1).is_empty());
    assert_eq!(look(&mut steward, &bob, &broker, NOW + DAY_MS).len(), 1, "by age, counted anew");
    assert_eq!(broker.balance(bob.id()), 6);
}

/// The test broker's e-coins are good for redeeming until 20 days from NOW.
#[test]
fn what_would_be_lost_is_redeemed_in_time_although_the_schedule_is_off() {
    let (broker, alice, bob) = scene();
    alice.pay(&broker, &bob, 4, PerPayment);
    let off = Schedule { on: false, jitter_ms: 0, ..Schedule::default() };
    let mut steward = Steward::new(off, Policy { max_revocation_age_ms: u64::MAX, ..Policy::default() }, || 0);
    let due = NOW + 20 * DAY_MS - DEADLINE_MARGIN_MS;
    assert!(look(&mut steward, &bob, &broker, due - 1).is_empty());
    assert_eq!(look(&mut steward, &bob, &broker, due).len(), 1);
    assert_eq!(broker.balance(bob.id()), 4);
}

#[test]
fn with_the_broker_away_the_same_batch_is_tried_again_later_each_time_and_said_once() {
    let (broker, alice, bob) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let mut steward = steward(5);
    broker.lose.set(1_000);
    let mut said = Vec::new();
    let mut tries = Vec::new();
    for second in 0..60 {
        let before = batches(&broker).len();
        said.extend(look(&mut steward, &bob, &broker, NOW + second * 1_000));
        if batches(&broker).len() > before {
            tries.push(second);
        }
    }
    assert_eq!(tries, [0, 2, 6, 14, 30]);
    assert!(said.len() == 1 && said[0].contains("tried again"), "{said:?}");
    // It was carried out the first time; what comes later is the same batch.
    broker.lose.set(0);
    alice.pay(&broker, &bob, 2, PerPayment);
    let said = look(&mut steward, &bob, &broker, NOW + HOUR_MS);
    assert!(said.len() == 1 && said[0].contains("7 units credited"), "{said:?}");
    let sent = batches(&broker);
    let (last, earlier) = sent.split_last().expect("sent");
    assert!(earlier.iter().all(|batch| *batch == earlier[0]), "the same bytes");
    assert_ne!(last, &earlier[0], "what came since goes in another one");
    assert_eq!(broker.balance(bob.id()), 7);
}

#[test]
fn what_the_broker_does_not_settle_is_not_asked_for_in_a_loop() {
    let (broker, alice, bob) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    // It knows no e-coin, whatever comes along.
    struct Forgets<'a>(&'a TestBroker);
    impl Broker for Forgets<'_> {
        async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
            if op != BrokerOp::Redeem {
                return self.0.ask(op, message).await;
            }
            let redeem: Redeem = wire::decode(&message).expect("a Redeem");
            self.0.heard.borrow_mut().push((op, message));
            let unknown =
                netpay_protocol::redemption::Line::refused(netpay_protocol::redemption::Verdict::UnknownEcoin);
            Ok(wire::encode(&self.0.statement(&redeem.batch.content, vec![unknown], Units(0))))
        }
    }
    let mut steward = steward(5);
    let mut looks = 0;
    for second in 0..60 {
        let clock = || NOW + second * 1_000;
        let forgets = Forgets(&broker);
        let before = batches(&broker).len();
        let errands = Errands { store: &bob.store, me: &bob.me, broker: broker.id(), line: &forgets, now_ms: &clock };
        wait(steward.look(&errands));
        looks += usize::from(batches(&broker).len() > before);
    }
    assert_eq!(looks, 5, "at 0, 2, 6, 14 and 30 seconds");
}

/// While serve's batch is on its way, a `netpay redeem` in another process begins and ends.
#[test]
fn serve_and_a_redeem_at_the_same_time_send_the_same_batch_and_settle_it_once() {
    struct Meanwhile<'a> {
        broker: &'a TestBroker,
        other: &'a Peer,
        done: Cell<bool>,
        credited: RefCell<u64>,
    }
    impl Broker for Meanwhile<'_> {
        async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
            if op == BrokerOp::Redeem && !self.done.replace(true) {
                let done = self.other.errands(self.broker).redeem(Which::Unsettled).await.expect("redeemed");
                let lines = done.iter().flat_map(|batch| &batch.lines);
                *self.credited.borrow_mut() = lines.map(|line| line.credited.0).sum();
            }
            self.broker.ask(op, message).await
        }
    }
    let (broker, alice, mut bob) = scene();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("wallet.sqlite");
    bob.store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    alice.pay(&broker, &bob, 5, PerPayment);
    let mut other = Peer::new(2);
    other.store = Store::open(&path).expect("opens");
    let line = Meanwhile { broker: &broker, other: &other, done: Cell::new(false), credited: RefCell::new(0) };
    let errands =
        Errands { store: &bob.store, me: &bob.me, broker: broker.id(), line: &line, now_ms: &crate::tests::trade::now };
    let said = wait(steward(5).look(&errands));
    assert!(said.len() == 1 && said[0].contains("5 units credited"), "{said:?}");
    assert_eq!(*line.credited.borrow(), 5, "both hear the same statement");
    let sent = batches(&broker);
    assert!(sent.len() == 2 && sent[0] == sent[1], "the same bytes");
    assert_eq!((broker.balance(bob.id()), redemptions(&bob)), (5, 1));
}

#[test]
fn a_rehearsal_shows_the_open_batch_and_what_came_since_and_changes_nothing() {
    let (broker, alice, bob) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let who = Redeemer { me: &bob.me, broker: broker.id() };
    let open = bob
        .store
        .write(|tx| redeeming::batch(tx, &who, crate::home::identity::new_request(), Which::Unsettled, 0, NOW));
    let (open, _) = open.expect("kept").expect("something");
    // The same grant grows, and another one begins.
    alice.pay(&broker, &bob, 3, PerPayment);
    alice.buy(&broker, chain_of(10, Suite::Md5));
    let rehearse = || {
        let planned = bob.store.rehearse(|tx| rehearsal::rehearse(tx, &who, Which::Unsettled, NOW)).expect("planned");
        planned.iter().map(|p| (p.open, p.claims.iter().map(|c| c.worth.0).sum::<u64>())).collect::<Vec<_>>()
    };
    assert_eq!(rehearse(), [(true, 5), (false, 3)]);
    assert_eq!(rehearse(), [(true, 5), (false, 3)], "nothing was changed");
    let still = bob.store.read(|tx| crate::ports::Batches::open_batch(tx)).expect("read");
    assert_eq!(still, Some(open));
    assert!(batches(&broker).is_empty(), "nothing was sent");
    // What is then sent is what was shown.
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");
    let credited: Vec<u64> = done.iter().map(|b| b.lines.iter().map(|line| line.credited.0).sum()).collect();
    assert_eq!(credited, [5, 3]);
    assert!(rehearse().is_empty());
}

#[test]
fn that_payments_stop_and_start_again_is_said_when_it_changes() {
    let (broker, _, bob) = scene();
    let policy = Policy { max_revocation_age_ms: DAY_MS, ..Policy::default() };
    let mut steward = Steward::new(Schedule::default(), policy, || 0);
    let mut at = |ms: u64| look(&mut steward, &bob, &broker, ms);
    assert!(at(NOW + DAY_MS).is_empty(), "the list is as old as it may be");
    let said = at(NOW + DAY_MS + 1);
    assert!(said.len() == 1 && said[0].contains("revocation list is older than 24 h"), "{said:?}");
    assert!(at(NOW + 2 * DAY_MS).is_empty(), "said before");
    let take = |at_ms| {
        let list = broker.revoked_with(|list| (list.seq, list.issued_at_ms) = (at_ms, at_ms));
        assert!(bob.store.write(|tx| broker_lists::take_revoked(tx, broker.id(), &list, at_ms)).expect("taken"));
    };
    take(NOW + 2 * DAY_MS);
    assert_eq!(at(NOW + 2 * DAY_MS), ["payments are taken again"]);
    // The key list is good for 30 days.
    take(NOW + 30 * DAY_MS);
    assert!(at(NOW + 30 * DAY_MS).is_empty());
    let said = at(NOW + 30 * DAY_MS + 1);
    assert!(said.len() == 1 && said[0].contains("key list is out of date"), "{said:?}");
}
