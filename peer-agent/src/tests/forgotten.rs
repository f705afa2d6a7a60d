//! A broker restored from a backup, as a payee meets it: what it forgot is asked for again, once, and nothing is lost.

use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::Verdict;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::Redeemed;
use crate::errands::steward::Steward;
use crate::home::identity::new_request;
use crate::ports::{Batches as _, Coins as _, History as _, Till as _, Wanted};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait};
use crate::till::policy::Policy;
use crate::till::redeeming::{self, Which};
use crate::till::schedule::Schedule;
use crate::wallet::purse::Mode::PerPayment;

/// Bob redeemed 5 words of one e-coin before the backup; 3 more, and 4 of an e-coin bought later, after it.
fn given_a_restored_broker() -> (TestBroker, Peer, Peer) {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    alice.buy(&broker, chain_of(8, Suite::Sha256));
    alice.pay(&broker, &bob, 5, PerPayment);
    redeem(&bob, &broker);
    let backup = broker.backup();
    alice.pay(&broker, &bob, 3, PerPayment);
    alice.buy(&broker, chain_of(20, Suite::Sha256));
    alice.pay(&broker, &bob, 4, PerPayment);
    redeem(&bob, &broker);
    assert_eq!(broker.balance(bob.id()), 12);
    broker.restore(backup);
    assert_eq!(broker.balance(bob.id()), 5);
    broker.heard.borrow_mut().clear();
    (broker, alice, bob)
}

fn redeem(peer: &Peer, broker: &TestBroker) -> Vec<Redeemed> {
    wait(async {
        let errands = peer.errands(broker);
        errands.refresh_lists().await.expect("lists");
        errands.redeem(Which::Unsettled).await.expect("redeemed")
    })
}

fn batches(broker: &TestBroker) -> usize {
    broker.heard.borrow().iter().filter(|(op, _)| *op == BrokerOp::Redeem).count()
}

/// Units of all entries of this name.
fn noted(peer: &Peer, what: &str) -> u64 {
    let wanted = Wanted { what: Some(what.into()), limit: 99, ..Wanted::default() };
    peer.store.read(|tx| tx.history(&wanted)).expect("read").iter().map(|entry| entry.units.0).sum()
}

/// The history's word on the balance.
fn balance_by_history(peer: &Peer) -> u64 {
    noted(peer, "redeem") - noted(peer, "forgotten")
}

#[test]
fn everything_that_a_restored_broker_forgot_is_asked_for_again_by_the_next_redemption() {
    let (broker, _, bob) = given_a_restored_broker();
    let statements = bob.store.read(|tx| tx.statements(9)).expect("read");
    let done = redeem(&bob, &broker);
    assert_eq!(broker.balance(bob.id()), 12);
    let verdicts: Vec<_> = done.iter().flat_map(|batch| &batch.lines).map(|line| line.line.verdict).collect();
    assert_eq!(verdicts, [Verdict::Credited, Verdict::UnknownEcoin, Verdict::Credited]);
    assert_eq!((balance_by_history(&bob), noted(&bob, "forgotten")), (12, 7));
    let kept = bob.store.read(|tx| tx.statements(9)).expect("read");
    assert!(statements.iter().all(|earlier| kept.contains(earlier)), "what the earlier life said is kept");
    assert!(redeem(&bob, &broker).is_empty(), "once");
    assert!(!bob.store.read(|tx| redeeming::asks_again(tx)).expect("read"));
}

#[test]
fn serve_asks_again_as_soon_as_it_hears_a_list_of_another_life_and_only_once() {
    let (broker, _, bob) = given_a_restored_broker();
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    let off = Schedule { on: false, ..Schedule::default() };
    let mut steward = Steward::new(off, Policy { max_revocation_age_ms: u64::MAX, ..Policy::default() }, || 0);
    let said = wait(steward.look(&bob.errands(&broker)));
    assert!(said.iter().any(|news| news.contains("restored from a backup")), "{said:?}");
    assert_eq!(broker.balance(bob.id()), 12);
    let sent = batches(&broker);
    assert!(wait(steward.look(&bob.errands(&broker))).is_empty());
    assert_eq!(batches(&broker), sent);
}

#[test]
fn an_open_batch_that_forks_is_given_up_and_its_claims_go_with_all_the_others_at_once() {
    let (broker, alice, bob) = given_a_restored_broker();
    alice.pay(&broker, &bob, 1, PerPayment);
    // Its revocation list did not come through: the fork is the first that bob hears.
    broker.problems.borrow_mut().push(Problem::new(Kind::Fork, "another ledger"));
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");
    assert_eq!(broker.balance(bob.id()), 13);
    assert!(done[0].restored);
    let heard = broker.heard.borrow();
    let redeems = heard.iter().filter(|(op, _)| *op == BrokerOp::Redeem);
    let seen = redeems.map(|(_, bytes)| wire::decode::<Redeem>(bytes).expect("ours").batch.content.seen.position);
    assert_eq!(seen.collect::<Vec<_>>(), [7, 0, 7], "and the touchstone goes with the last one");
}

#[test]
fn what_can_no_longer_be_redeemed_is_not_asked_for_again() {
    let (_, _, bob) = given_a_restored_broker();
    let opened = |now_ms| {
        bob.store
            .rehearse(|tx| {
                redeeming::ask_again(tx, now_ms)?;
                redeeming::asks_again(tx)
            })
            .expect("read")
    };
    let until_ms = NOW + 20 * DAY_MS;
    assert!(opened(until_ms + DAY_MS - 1));
    assert!(!opened(until_ms + DAY_MS));
}

#[test]
fn words_that_another_was_paid_meanwhile_are_lost_and_the_history_says_so() {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    let ecoin = alice.buy(&broker, chain_of(200, Suite::Sha256))[0].ecoin;
    let (copy, carol) = (Peer::new(1), Peer::new(3));
    let held = alice.store.read(|tx| tx.ecoin(ecoin)).expect("read").expect("bought");
    copy.store.write(|tx| tx.add_ecoin(&held, new_request())).expect("kept");
    let backup = broker.backup();
    alice.pay(&broker, &bob, 5, PerPayment);
    copy.pay(&broker, &carol, 5, PerPayment);
    redeem(&bob, &broker);
    redeem(&carol, &broker);
    assert_eq!((noted(&carol, "double_spend"), balance_by_history(&bob)), (5, 5));
    broker.restore(backup);
    // This time carol comes first.
    redeem(&carol, &broker);
    redeem(&bob, &broker);
    assert_eq!((broker.balance(carol.id()), broker.balance(bob.id())), (5, 0));
    assert_eq!((balance_by_history(&carol), balance_by_history(&bob)), (5, 0));
    assert_eq!((noted(&carol, "regained"), noted(&bob, "double_spend")), (5, 5));
    let claims = bob.store.read(|tx| tx.claims(ecoin)).expect("read");
    assert_eq!((claims[0].conflicting, claims[0].again), (WordCount(5), false));
}

/// The payer's purchase is forgotten: its e-coin stays, and pays on.
#[test]
fn a_payer_keeps_what_the_broker_forgot_that_it_sold() {
    let (broker, alice, bob) = given_a_restored_broker();
    alice.pay(&broker, &bob, 16, PerPayment);
    redeem(&bob, &broker);
    assert_eq!(broker.balance(bob.id()), 28);
    assert_eq!(Units(noted(&bob, "accept")), Units(28));
}
