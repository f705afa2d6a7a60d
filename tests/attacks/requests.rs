//! Requests that come again: with other bytes, from others, after months; and what is another's to ask.

use std::collections::BTreeMap;

use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::messages::{Ask, Buy, Redeem, Sold, Withdrawal};
use netpay_protocol::payout::{PayoutView, RequestPayout};
use netpay_protocol::problem::Kind;
use netpay_protocol::query::{Answer, Question};
use netpay_protocol::redemption::{RedemptionBatch, Statement};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{RawPeer, problem};

use crate::scene::{Scene, lines};

#[tokio::test]
async fn an_id_once_used_is_the_same_bytes_or_refused_and_belongs_to_its_signer() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(100).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 20, Suite::Sha256).await;
    let claim = |range| scene.claim(&alice, &coin, range, bob.id());
    // A batch that credits nothing leaves nothing behind: not even its id.
    let nothing = bob.batch(vec![RawPeer::claim(&coin, &bob.grant(&coin, (1, 6), bob.id()), 5)]);
    assert_eq!(bob.redeem(&nothing).await.expect("a statement").lines[0].credited, WordCount(0));
    let id = nothing.batch.content.request;
    let named = |claims, peer: &RawPeer| {
        let plain = peer.batch(claims);
        Redeem { batch: peer.sign(RedemptionBatch { request: id, ..plain.batch.content }), ..plain }
    };
    let first = named(vec![claim((1, 6))], &bob);
    assert_eq!(bob.redeem(&first).await.expect("a statement").balance_units, Units(5));
    // From now on it is that batch's, for anything that bob may sign.
    let refused = problem(bob.redeem(&named(vec![claim((6, 11))], &bob)).await);
    assert_eq!(refused.kind, Kind::RequestIdReused);
    let plain = bob.order(1, 1, Suite::Sha256);
    let buy = Buy { buy: bob.sign(BuyEcoins { request: id, ..plain.buy.content }), ..plain };
    assert_eq!(problem(bob.buy(&buy).await).kind, Kind::RequestIdReused);
    let plain = bob.withdrawal(5, "bob's bank");
    let payout = Withdrawal { payout: bob.sign(RequestPayout { request: id, ..plain.payout.content }), ..plain };
    assert_eq!(problem(bob.pay_out(&payout).await).kind, Kind::RequestIdReused);
    assert_eq!(bob.redeem(&first).await.expect("the first outcome").lines[0].credited, WordCount(5));
    assert_eq!(scene.balance(&bob).await, 5);
    // Another peer's ids are its own.
    let carol = scene.honest(0).await;
    let hers = named(vec![scene.claim(&alice, &coin, (11, 21), carol.id())], &carol);
    assert_eq!(carol.redeem(&hers).await.expect("a statement").balance_units, Units(10));
    scene.ends_well().await;
}

#[tokio::test]
async fn what_was_signed_months_ago_has_its_first_outcome_or_none_at_all() {
    let mut scene = Scene::alone().await;
    let (alice, bob) = (scene.honest(100).await, scene.honest(0).await);
    let order = alice.order(20, 1, Suite::Sha256);
    let sold: Sold = wire::decode(&alice.ask(BrokerOp::Buy, wire::encode(&order)).await.expect("sold")).expect("sold");
    let coin = alice.open(&order, &sold).expect("the words fit").remove(0);
    scene.sold(&coin);
    let batch = bob.batch(vec![scene.claim(&alice, &coin, (1, 6), bob.id())]);
    let first = bob.redeem(&batch).await.expect("a statement");
    let payout = bob.withdrawal(3, "bob's bank");
    let requested = bob.pay_out(&payout).await.expect("requested");
    scene.left(3);
    // Signed on the same day, overheard, and kept back.
    let late_order = alice.order(20, 1, Suite::Sha256);
    let late_payout = bob.withdrawal(2, "mallory's bank");
    let late_batch = bob.batch(vec![scene.claim(&alice, &coin, (6, 11), bob.id())]);
    scene.is_later(100);

    let again: Sold = wire::decode(&alice.ask(BrokerOp::Buy, wire::encode(&order)).await.expect("sold")).expect("sold");
    assert_eq!(again.touchstones, sold.touchstones);
    assert_eq!(bob.redeem(&batch).await.expect("a statement").lines, first.lines);
    // The payout's answer is signed by a clock that is months ahead of this test's: only its words count here.
    let answer = bob.ask(BrokerOp::Payout, wire::encode(&payout)).await.expect("its outcome");
    let answer: Signed<Answer> = wire::decode(&answer).expect("an answer");
    assert_eq!(answer.content.about, payout.payout.content.digest());
    let view: PayoutView = wire::decode(&answer.content.body).expect("a payout");
    assert_eq!((view.request, view.position), (requested.request, requested.position));
    assert!(answer.content.issued_at_ms > first.issued_at_ms + 99 * DAY_MS, "the broker's clock is months ahead");

    assert_eq!(problem(alice.buy(&late_order).await).kind, Kind::RequestExpired);
    assert_eq!(problem(bob.pay_out(&late_payout).await).kind, Kind::RequestExpired);
    let reused = Buy { buy: alice.sign(BuyEcoins { count: 2, ..order.buy.content.clone() }), register: None };
    assert_eq!(problem(alice.buy(&reused).await).kind, Kind::RequestIdReused);
    // Not an order but a debt of the broker's: the e-coin may not be spent any more, and is redeemed all the same.
    assert_eq!(bob.redeem(&late_batch).await.expect("a statement").lines[0].credited, WordCount(5));

    scene.is_now();
    assert_eq!((scene.balance(&alice).await, scene.balance(&bob).await), (80, 7));
    scene.ends_well().await;
}

#[tokio::test]
async fn a_statement_is_its_payee_s_own_whoever_knows_the_batch_s_id() {
    let scene = Scene::shared().await;
    let (alice, bob, mallory) = (scene.honest(20).await, scene.honest(0).await, scene.cheat(10).await);
    let coin = scene.coin(&alice, 20, Suite::Sha256).await;
    let batch = bob.batch(vec![scene.claim(&alice, &coin, (1, 6), bob.id())]);
    let statement = bob.redeem(&batch).await.expect("a statement");
    let question = Question::Statement(batch.batch.content.request);
    let ask = |sender: RawPeer, ask: Ask| async move { sender.ask(BrokerOp::Statement, wire::encode(&ask)).await };
    let connection = || mallory.puppet();
    let as_itself = mallory.ask(BrokerOp::Statement, wire::encode(&mallory.question(mallory.id(), question))).await;
    assert_eq!(problem(as_itself).kind, Kind::NotFound);
    // In bob's name: with mallory's signature, on either subject, with either registration.
    let mut forged = mallory.question(bob.id(), question);
    for register in [None, Some(mallory.register()), Some(bob.register())] {
        forged.register = register;
        let on_bobs = bob.ask(BrokerOp::Statement, wire::encode(&forged)).await;
        assert_eq!(problem(on_bobs).kind, Kind::BadSignature);
        assert_eq!(problem(ask(connection(), forged.clone()).await).kind, Kind::NotForMe);
    }
    // Bob's own question, overheard, under another's subject; and the question of another subject.
    let genuine = bob.question(bob.id(), question);
    assert_eq!(problem(ask(connection(), genuine.clone()).await).kind, Kind::NotForMe);
    assert_eq!(problem(bob.ask(BrokerOp::Balance, wire::encode(&genuine)).await).kind, Kind::NotForMe);
    let kept = bob.ask(BrokerOp::Statement, wire::encode(&genuine)).await.expect("bob's own");
    let kept: Signed<Statement> = wire::decode(&kept).expect("a statement");
    assert_eq!((kept.content.lines, kept.content.batch), (statement.lines, statement.batch));
    // A payout's id, or a purchase's, names no statement.
    let order = alice.order(1, 1, Suite::Sha256);
    assert_eq!(problem(alice.buy(&order).await).kind, Kind::InsufficientFunds);
    let payout = bob.withdrawal(5, "bob's bank");
    bob.pay_out(&payout).await.expect("requested");
    scene.left(5);
    let none = bob.question(bob.id(), Question::Statement(payout.payout.content.request));
    assert_eq!(problem(bob.ask(BrokerOp::Statement, wire::encode(&none)).await).kind, Kind::NotFound);
    scene.ends_well().await;
}

#[tokio::test]
async fn another_s_registration_opens_no_account_and_changes_no_key() {
    let scene = Scene::shared().await;
    let (alice, bob, mallory) = (scene.honest(40).await, scene.honest(0).await, scene.cheat(0).await);
    let coin = scene.coin(&alice, 40, Suite::Sha256).await;
    let theirs: BTreeMap<&str, _> = [("bob's", bob.register()), ("alice's", alice.register())].into();
    // To be redeemed by a peer without an account, with a registration that is not its own.
    let claim = scene.claim(&alice, &coin, (1, 6), mallory.id());
    for (whose, register) in &theirs {
        let batch = Redeem { register: Some(register.clone()), ..mallory.batch(vec![claim.clone()]) };
        assert_eq!(problem(mallory.redeem(&batch).await).kind, Kind::NotFound, "{whose}");
    }
    let mut altered = mallory.register();
    altered.content.nkey = bob.register().content.nkey;
    let batch = Redeem { register: Some(altered), ..mallory.batch(vec![claim.clone()]) };
    assert_eq!(problem(mallory.redeem(&batch).await).kind, Kind::BadSignature);
    let unregistered = Redeem { register: None, ..mallory.batch(vec![claim.clone()]) };
    assert_eq!(problem(mallory.redeem(&unregistered).await).kind, Kind::NotFound);
    // In the name of a peer without an account, signed with the key of the registration that is attached.
    let in_bobs_name = RedemptionBatch { payee: bob.id(), ..mallory.batch(vec![claim.clone()]).batch.content };
    let batch = Redeem { batch: mallory.sign(in_bobs_name), touchstones: vec![], register: Some(mallory.register()) };
    assert_eq!(problem(bob.ask(BrokerOp::Redeem, wire::encode(&batch)).await).kind, Kind::NotFound);
    for peer in [&bob, &mallory] {
        assert_eq!(scene.account(peer.id()).await, None, "an account was opened by what failed");
    }
    assert_eq!(lines(&mallory, vec![claim]).await[0].credited, WordCount(5));
    // An account that is open keeps its keys, whatever is attached; and what is attached opens nothing.
    let next = scene.claim(&alice, &coin, (6, 11), mallory.id());
    let batch = Redeem { register: Some(bob.register()), ..mallory.batch(vec![next]) };
    assert_eq!(mallory.redeem(&batch).await.expect("a statement").balance_units, Units(10));
    assert_eq!(scene.account(bob.id()).await, None);
    let stolen = RedemptionBatch { payee: alice.id(), ..batch.batch.content };
    let stolen = Redeem { batch: mallory.sign(stolen), touchstones: vec![], register: Some(mallory.register()) };
    assert_eq!(problem(alice.ask(BrokerOp::Redeem, wire::encode(&stolen)).await).kind, Kind::BadSignature);
    scene.ends_well().await;
}
