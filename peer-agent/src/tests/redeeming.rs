//! Redeeming, told as scenes: what is asked for, lost, asked for again, settled and not settled.

use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::{Line, Statement, Verdict};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::{self, Redeemed};
use crate::home::identity::new_request;
use crate::ports::{Batches as _, Till as _, TillClaim};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait, why};
use crate::till::redeeming::{self, NotBelieved, Redeemer, Which};
use crate::wallet::purse::Mode::{PerPayment, Session};

fn scene() -> (TestBroker, Peer, Peer, EcoinId) {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    let ecoin = alice.buy(&broker, chain_of(200, Suite::Sha256))[0].ecoin;
    (broker, alice, bob, ecoin)
}

fn redeem(peer: &Peer, broker: &TestBroker, which: Which) -> Result<Vec<Redeemed>, errands::Error> {
    wait(async {
        let errands = peer.errands(broker);
        errands.refresh_lists().await?;
        errands.redeem(which).await
    })
}

fn credited(done: &[Redeemed]) -> u64 {
    let lines = done.iter().flat_map(|batch| &batch.lines);
    lines.map(|line| line.credited.0).sum()
}

fn sent(broker: &TestBroker) -> Vec<Redeem> {
    let heard = broker.heard.borrow();
    let redeems = heard.iter().filter(|(op, _)| *op == BrokerOp::Redeem);
    redeems.map(|(_, bytes)| wire::decode(bytes).expect("a Redeem")).collect()
}

fn claim(peer: &Peer, ecoin: EcoinId) -> TillClaim {
    peer.store.read(|tx| tx.claims(ecoin)).expect("read")[0].clone()
}

fn open(peer: &Peer, broker: &TestBroker) -> Signed<netpay_protocol::redemption::RedemptionBatch> {
    let who = Redeemer { me: &peer.me, broker: broker.id() };
    peer.store
        .write(|tx| redeeming::batch(tx, &who, new_request(), Which::Unsettled, 0, NOW))
        .expect("kept")
        .expect("something to redeem")
        .0
}

fn settle(
    peer: &Peer,
    broker: &TestBroker,
    batch: &Signed<netpay_protocol::redemption::RedemptionBatch>,
    statement: &Signed<Statement>,
) -> Result<usize, NotBelieved> {
    peer.store
        .write(|tx| redeeming::settle(tx, &broker.keys(), &batch.content, statement, NOW))
        .map(|lines| lines.len())
}

#[test]
fn a_lost_statement_is_answered_by_the_same_batch_again_and_credits_once() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    broker.lose.set(6);
    let lost = wait(bob.errands(&broker).redeem(Which::Unsettled));
    assert!(matches!(lost, Err(errands::Error::Call(_))));
    broker.lose.set(0);
    let done = redeem(&bob, &broker, Which::Unsettled).expect("the broker is back");
    assert_eq!(credited(&done), 5);
    assert_eq!(broker.balance(bob.id()), 5);
    let batches = sent(&broker);
    assert!(batches.len() >= 5);
    assert!(batches.iter().all(|b| b.batch == batches[0].batch), "the same bytes");
    assert!(redeem(&bob, &broker, Which::Unsettled).expect("nothing").is_empty());
}

#[test]
fn words_accepted_after_a_batch_was_sent_are_not_settled_by_its_statement() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let batch = open(&bob, &broker);
    // The same grant grows while the statement is on its way.
    alice.pay(&broker, &bob, 3, PerPayment);
    let statement = broker.redeem(&Redeem { batch: batch.clone(), touchstones: vec![], register: None });
    settle(&bob, &broker, &batch, &statement).expect("believed");
    let held = claim(&bob, ecoin);
    assert_eq!((held.settled.0, held.through.0), (5, 8));
    assert_eq!(credited(&redeem(&bob, &broker, Which::Unsettled).expect("redeemed")), 3);
    assert_eq!(broker.balance(bob.id()), 8);
}

#[test]
fn a_statement_for_another_batch_or_payee_or_not_signed_by_the_broker_settles_nothing() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let batch = open(&bob, &broker);
    let five = Line::settled(WordCount(5), WordCount(0), WordCount(0));
    let good = broker.statement(&batch.content, vec![five], Units(5));
    let mut other_batch = batch.content.clone();
    other_batch.request = new_request();
    let mut other_claims = batch.content.clone();
    other_claims.claims[0].through = netpay_protocol::amounts::PaywordIndex(4);
    let mut other_payee = batch.content.clone();
    other_payee.payee = PeerId([9; 16]);
    for asked in [other_batch, other_claims, other_payee] {
        let statement = broker.statement(&asked, vec![five], Units(5));
        assert!(settle(&bob, &broker, &batch, &statement).is_err());
    }
    let forged = Signed::new(good.content.clone(), &alice.me.signing);
    assert!(matches!(settle(&bob, &broker, &batch, &forged), Err(NotBelieved::Signature)));
    let missing = broker.statement(&batch.content, vec![], Units(5));
    assert!(settle(&bob, &broker, &batch, &missing).is_err());
    assert_eq!(claim(&bob, ecoin).settled.0, 0);
    let still_open = bob.store.read(|tx| tx.open_batch()).expect("read");
    assert_eq!(still_open, Some(batch.clone()));
    settle(&bob, &broker, &batch, &good).expect("believed");
    assert_eq!(claim(&bob, ecoin).settled.0, 5);
}

#[test]
fn a_second_redeem_of_the_same_claims_credits_nothing_and_accuses_nobody() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    let again = redeem(&bob, &broker, Which::All).expect("redeemed");
    assert_eq!(credited(&again), 0);
    assert_eq!(again[0].lines[0].line.verdict, Verdict::AlreadyPaid);
    assert_eq!(claim(&bob, ecoin).conflicting, WordCount(0));
    assert_eq!(broker.balance(bob.id()), 5);
}

#[test]
fn words_the_payer_spent_twice_are_lost_and_nothing_more_is_taken_from_that_payer() {
    let (broker, alice, bob, ecoin) = scene();
    // A copy of alice's wallet spends the same words with carol, who redeems first.
    let (copy, carol) = (Peer::new(1), Peer::new(3));
    let held = alice.store.read(|tx| crate::ports::Coins::ecoin(tx, ecoin)).expect("read").expect("bought");
    copy.store.write(|tx| crate::ports::Coins::add_ecoin(tx, &held, new_request())).expect("kept");
    alice.pay(&broker, &bob, 5, PerPayment);
    copy.pay(&broker, &carol, 3, PerPayment);
    redeem(&carol, &broker, Which::Unsettled).expect("redeemed");
    let done = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    assert_eq!(credited(&done), 2);
    assert_eq!(done[0].lines[0].line.verdict, Verdict::Conflicting);
    assert_eq!(done[0].lines[0].payer, Some(alice.id()));
    let lost = claim(&bob, ecoin);
    assert_eq!((lost.settled.0, lost.conflicting), (5, WordCount(3)));
    let order = bob.quote(&broker, &alice, 2);
    let pay = alice.grant(order, 2, PerPayment).expect("enough").expect("due");
    assert!(why(bob.accept(&broker, alice.id(), &pay)).contains("twice"));
}

#[test]
fn an_unknown_ecoin_is_kept_and_sent_once_more_with_its_touchstone() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    broker.forgetful.set(true);
    let done = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    let verdicts: Vec<_> = done.iter().map(|b| b.lines[0].line.verdict).collect();
    assert_eq!(verdicts, [Verdict::UnknownEcoin, Verdict::Credited]);
    let batches = sent(&broker);
    assert!(batches[0].touchstones.is_empty());
    assert_eq!(batches[1].touchstones[0].content.ecoin, ecoin);
}

#[test]
fn an_ecoin_that_a_restored_broker_forgot_after_it_paid_is_sent_with_its_touchstone_by_the_same_command() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    broker.forgetful.set(true);
    let done = redeem(&bob, &broker, Which::All).expect("redeemed");
    let verdicts: Vec<_> = done.iter().map(|b| b.lines[0].line.verdict).collect();
    assert_eq!(verdicts, [Verdict::UnknownEcoin, Verdict::AlreadyPaid]);
    assert_eq!(sent(&broker)[2].touchstones[0].content.ecoin, ecoin);
}

#[test]
fn a_claim_that_is_refused_for_good_is_marked_lost_and_not_sent_in_a_loop() {
    for verdict in [Verdict::Invalid, Verdict::Unauthorised, Verdict::Expired] {
        let (broker, alice, bob, ecoin) = scene();
        alice.pay(&broker, &bob, 5, PerPayment);
        let batch = open(&bob, &broker);
        let statement = broker.statement(&batch.content, vec![Line::refused(verdict)], Units(0));
        settle(&bob, &broker, &batch, &statement).expect("believed");
        assert_eq!(claim(&bob, ecoin).lost, Some(verdict));
        let done = redeem(&bob, &broker, Which::Unsettled).expect("nothing");
        assert!(done.is_empty(), "{verdict:?}");
        // Words on top of lost ones would be lost, too.
        let order = bob.quote(&broker, &alice, 2);
        let pay = alice.grant(order, 2, PerPayment).expect("enough").expect("due");
        assert!(why(bob.accept(&broker, alice.id(), &pay)).contains("refused this e-coin"));
    }
}

#[test]
fn busy_keeps_the_batch_open_and_a_rejection_frees_its_claims_for_another() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    for (kind, still_open) in [(Kind::Busy, true), (Kind::RequestIdReused, false)] {
        *broker.problems.borrow_mut() = vec![Problem::new(kind, "no"); 4];
        wait(bob.errands(&broker).redeem(Which::Unsettled)).expect_err("no");
        broker.problems.borrow_mut().clear();
        let open = bob.store.read(|tx| tx.open_batch()).expect("read");
        assert_eq!(open.is_some(), still_open, "{kind:?}");
    }
    let done = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    assert_eq!(credited(&done), 5);
}

#[test]
fn more_claims_or_steps_than_a_batch_may_have_go_in_several() {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    let wish = crate::wallet::buying::Wish { count: 256, ..chain_of(4_096, Suite::Md5) };
    let ecoins = alice.buy(&broker, wish);
    assert_eq!(ecoins.len(), 256);
    // 256 claims through word 4,096 are exactly 2^20 steps; one more e-coin is one batch more.
    alice.buy(&broker, chain_of(7, Suite::Md5));
    let order = bob.quote(&broker, &alice, 256 * 4_096 + 7);
    let due = 256 * 4_096 + 7;
    while let Some(pay) = alice.grant(order, due, PerPayment).expect("enough") {
        let paid = bob
            .accept_with(&broker, alice.id(), &pay, |with| {
                with.policy.max_exposure_per_payer = Units(u64::MAX);
            })
            .expect("accepted")
            .paid;
        alice.acknowledged(order, &pay, paid.0).expect("as sent");
    }
    let done = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    let sizes: Vec<_> = done.iter().map(|batch| batch.lines.len()).collect();
    assert_eq!(sizes, [256, 1]);
    assert_eq!(credited(&done), due);
}

#[test]
fn an_interrupted_session_redeems_what_was_revealed_and_no_more() {
    let (broker, alice, bob, ecoin) = scene();
    let order = bob.quote(&broker, &alice, 100);
    for due in [1, 3] {
        let pay = alice.grant(order, due, Session).expect("enough").expect("due");
        let paid = bob.accept(&broker, alice.id(), &pay).expect("accepted").paid;
        alice.acknowledged(order, &pay, paid.0).expect("as sent");
    }
    let done = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    assert_eq!(credited(&done), 3, "granted through 17, revealed through 3");
    assert_eq!(claim(&bob, ecoin).grant.to.0, 18);
}

#[test]
fn a_broker_that_forgot_us_is_sent_our_keys_once_more() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    alice.pay(&broker, &bob, 2, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    broker.problems.borrow_mut().push(Problem::new(Kind::NotFound, "no such account"));
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");
    assert_eq!(credited(&done), 2);
    let registered: Vec<bool> = sent(&broker).iter().map(|redeem| redeem.register.is_some()).collect();
    assert_eq!(registered, [true, false, true]);
}

#[test]
fn a_statement_of_a_restored_broker_is_noticed_and_no_position_is_asked_of_another_life() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let first = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    assert!(!first[0].restored, "nothing was seen before");
    let asked = || bob.store.read(|tx| redeeming::position_seen(tx, broker.id())).expect("read");
    assert_eq!(asked(), 7);
    let list = broker.revoked_with(|list| list.incarnation = 2);
    let taken = bob.store.write(|tx| crate::wallet::broker_lists::take_revoked(tx, broker.id(), &list, NOW));
    assert!(taken.expect("taken"));
    assert_eq!(asked(), 0, "the restored ledger may be shorter");
    broker.incarnation.set(2);
    alice.pay(&broker, &bob, 2, PerPayment);
    let second = redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    assert!(second[0].restored);
    assert_eq!(asked(), 7);
    let third = redeem(&bob, &broker, Which::All).expect("redeemed");
    assert!(!third[0].restored, "said once");
}

#[test]
fn after_a_fork_the_next_batch_shows_no_head_that_the_broker_lost() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    alice.pay(&broker, &bob, 2, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    broker.problems.borrow_mut().push(Problem::new(Kind::Fork, "another ledger"));
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("goes on without that head");
    assert_eq!(credited(&done), 2);
    let heads: Vec<u64> = sent(&broker).iter().map(|redeem| redeem.batch.content.seen.position).collect();
    assert_eq!(heads, [0, 7, 0]);
    assert_eq!(broker.balance(bob.id()), 7);
}

#[test]
fn a_statement_that_was_lost_is_asked_of_the_broker_and_settles_the_open_batch_once() {
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    broker.lose.set(4);
    wait(bob.errands(&broker).redeem(Which::Unsettled)).expect_err("lost");
    let batch = bob.store.read(|tx| tx.open_batch()).expect("read").expect("open");
    let asked = || wait(bob.errands(&broker).statement(batch.content.request)).expect("the broker kept it");
    let (held, statement) = asked();
    assert_eq!((held, statement.content.balance_units), (Some(batch.content.clone()), Units(5)));
    assert_eq!(claim(&bob, ecoin).settled.0, 5);
    assert!(bob.store.read(|tx| tx.open_batch()).expect("read").is_none());
    // Asked again, it is shown and settles nothing more.
    asked();
    let wanted = crate::ports::Wanted { what: Some("redeem".into()), limit: 9, ..Default::default() };
    let noted = bob.store.read(|tx| crate::ports::History::history(tx, &wanted)).expect("read");
    assert_eq!(noted.len(), 1);
    assert!(redeem(&bob, &broker, Which::Unsettled).expect("nothing").is_empty());
}

/// The broker's word on another's batch, or somebody else's on ours.
#[test]
fn a_statement_that_is_asked_for_is_believed_only_about_that_batch_and_from_the_broker() {
    struct Says(Vec<u8>);
    impl crate::ports::Broker for Says {
        async fn ask(&self, _: BrokerOp, _: Vec<u8>) -> Result<Vec<u8>, crate::ports::CallError> {
            Ok(self.0.clone())
        }
    }
    let (broker, alice, bob, ecoin) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    let batch = open(&bob, &broker);
    let five = Line::settled(WordCount(5), WordCount(0), WordCount(0));
    let good = broker.statement(&batch.content, vec![five], Units(5));
    let mut other = batch.content.clone();
    other.request = new_request();
    let about_another = broker.statement(&other, vec![five], Units(5));
    let forged = Signed::new(good.content.clone(), &alice.me.signing);
    let ask = |statement: &Signed<Statement>, request| {
        let says = Says(wire::encode(statement));
        let errands = errands::Errands {
            store: &bob.store,
            me: &bob.me,
            broker: broker.id(),
            line: &says,
            now_ms: &crate::tests::trade::now,
        };
        wait(errands.statement(request)).is_ok()
    };
    let request = batch.content.request;
    assert!(!ask(&about_another, request) && !ask(&forged, request));
    assert!(!ask(&good, other.request), "not the batch that was asked about");
    assert_eq!(claim(&bob, ecoin).settled.0, 0);
    assert!(ask(&about_another, other.request), "known nowhere here, and the broker's word to this peer");
    assert!(ask(&good, request));
    assert_eq!(claim(&bob, ecoin).settled.0, 5);
}

#[test]
fn what_an_earlier_batch_credited_unheard_leaves_the_till_without_moving_the_balance_again() {
    let (broker, alice, bob, _) = scene();
    alice.pay(&broker, &bob, 5, PerPayment);
    let batch = open(&bob, &broker);
    broker.redeem(&Redeem { batch: batch.clone(), touchstones: vec![], register: None });
    bob.store.write(|tx| tx.drop_batch(batch.content.request)).expect("dropped");
    alice.pay(&broker, &bob, 2, PerPayment);
    redeem(&bob, &broker, Which::Unsettled).expect("redeemed");
    let wanted = crate::ports::Wanted { limit: 9, ..Default::default() };
    let noted = bob.store.read(|tx| crate::ports::History::history(tx, &wanted)).expect("read");
    let of = |what: &str| noted.iter().filter(|entry| entry.what == what).map(|entry| entry.units.0).sum::<u64>();
    assert_eq!((of("accept"), of("redeem"), of("paid_before")), (7, 2, 5));
}
