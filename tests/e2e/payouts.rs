//! Payouts from request to end, and what a peer may ask of its own e-coins and payouts; with lost replies, kills and
//! strangers.

use std::collections::BTreeSet;

use netpay_protocol::admin::{Page, PaidRun};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{BrokerId, EcoinId, RequestId};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{Ask, Withdrawal};
use netpay_protocol::payout::{PayoutState, PayoutView, RequestPayout};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::{OwnEcoin, Question};
use netpay_protocol::runs::Run;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::processes::{Ended, Process, World, until};
use netpay_tests::raw_peer::RawPeer;
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

    fn balance(&self, peer: &RawPeer) -> u64 {
        let shown = self.world.broker(&["account", "show", &peer.id().to_string()]);
        shown["balance_units"].as_u64().expect("a number")
    }

    /// `payout settle` or `payout fail`, with its text.
    fn end(&self, verb: &str, payout: &PayoutView, option: &str, text: &str) -> Ended {
        let (peer, request) = (payout.peer.to_string(), payout.request.to_string());
        let arguments = ["--json", "payout", verb, &peer, &request, option, text, "--config", "broker"];
        self.world.run("netpay-broker", &arguments)
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let listed = self.world.broker(&[&["payout", "list"], arguments].concat());
        listed["payouts"].as_array().expect("a list").clone()
    }

    /// Ends the broker. Its directory holds what its log leads to, and is rebuilt to the same.
    fn check_the_books(mut self) {
        let running = self.world.broker(&["ledger", "audit"]);
        assert_eq!(running["ok"], true, "{running}");
        assert_eq!(self.broker.take().expect("it runs").terminate(), Some(0));
        let rebuilt = self.world.broker(&["ledger", "rebuild"]);
        assert_eq!((&rebuilt["same"], &rebuilt["digest"]), (&Value::Bool(true), &running["digest"]));
    }
}

fn kind<T: std::fmt::Debug>(result: anyhow::Result<T>) -> Kind {
    let error = result.expect_err("a problem was expected");
    error.downcast_ref::<Problem>().unwrap_or_else(|| panic!("{error:#}")).kind
}

async fn payouts(peer: &RawPeer) -> Vec<PayoutView> {
    let answer = peer.answer(Question::Payouts(RequestId::default())).await.expect("an answer");
    let page: Page<PayoutView> = wire::decode(&answer.body).expect("a page");
    assert!(!page.more);
    page.items
}

#[tokio::test]
async fn a_payout_is_requested_listed_and_settled_for_good() {
    let mut given = Given::broker();
    let (alice, bob) = (given.peer(100).await, given.peer(10).await);
    let view = alice.pay_out(&alice.withdrawal(30, "alice's bank")).await.expect("requested");
    assert_eq!((view.peer, view.amount, view.destination.as_str()), (alice.id(), Units(30), "alice's bank"));
    assert_eq!((&view.state, given.balance(&alice)), (&PayoutState::Requested, 70));
    let bobs = bob.pay_out(&bob.withdrawal(10, "\u{1b}[2J bob's bank")).await.expect("requested");
    assert_eq!(given.list(&["--open"]).len(), 2);

    let settled = given.end("settle", &view, "--reference", "bank transfer 4711");
    assert_eq!(settled.code, 0, "{settled:?}");
    assert_eq!((&settled.json["state"], &settled.json["amount_units"]), (&"settled".into(), &30.into()));
    for (verb, option) in [("settle", "--reference"), ("fail", "--reason")] {
        let again = given.end(verb, &view, option, "bank transfer 4711");
        assert_eq!(again.code, 1, "{again:?}");
        assert!(again.errors.contains("settled") && again.errors.contains("bank transfer 4711"), "{}", again.errors);
    }
    let PayoutView { state: PayoutState::Settled { reference, at_ms }, .. } = payouts(&alice).await.remove(0) else {
        panic!("not settled")
    };
    assert!(reference == "bank transfer 4711" && at_ms >= view.requested_at_ms);
    assert_eq!(given.balance(&alice), 70);

    let open = given.list(&["--open"]);
    assert_eq!((open.len(), &open[0]["request"]), (1, &bobs.request.to_string().into()));
    assert_eq!(given.list(&[]).len(), 2);
    // Also from the directory of a broker that is stopped.
    assert_eq!(given.broker.take().expect("it runs").terminate(), Some(0));
    assert_eq!(given.list(&["--open"]), open);
    given.broker = Some(given.world.serve_broker());
    given.check_the_books();
}

#[tokio::test]
async fn a_failed_payout_is_back_on_the_account_and_its_peer_is_told_why() {
    let given = Given::broker();
    let alice = given.peer(100).await;
    let view = alice.pay_out(&alice.withdrawal(100, "nowhere")).await.expect("requested");
    assert_eq!(given.balance(&alice), 0);
    assert_eq!(kind(alice.pay_out(&alice.withdrawal(1, "alice's bank")).await), Kind::InsufficientFunds);
    assert_eq!(given.end("fail", &view, "--reason", "no such bank").code, 0);
    assert_eq!(given.balance(&alice), 100);
    let again = given.end("settle", &view, "--reference", "bank transfer 4711");
    assert!(again.code == 1 && again.errors.contains("no such bank"), "{again:?}");
    let PayoutState::Failed { reason, .. } = payouts(&alice).await.remove(0).state else { panic!("not failed") };
    assert_eq!((reason.as_str(), given.balance(&alice)), ("no such bank", 100));
    // The money may go out another way.
    alice.pay_out(&alice.withdrawal(100, "alice's bank")).await.expect("requested");
    assert_eq!(given.balance(&alice), 0);
    given.check_the_books();
}

#[tokio::test]
async fn a_payout_whose_reply_is_lost_is_debited_once_also_after_a_kill() {
    let mut given = Given::broker();
    let alice = given.peer(100).await;
    let order = alice.withdrawal(30, "alice's bank");
    let bytes = wire::encode(&order);
    for _ in 0..2 {
        let subject = subjects::request(alice.id(), BrokerOp::Payout);
        alice.client.publish(subject, bytes.clone().into()).await.expect("published");
    }
    alice.client.flush().await.expect("flushed");
    until("the payout", || (given.balance(&alice) == 70).then_some(()));
    given.broker.take().expect("it runs").kill();
    given.broker = Some(given.world.serve_broker());
    let view = alice.pay_out(&order).await.expect("requested before");
    assert_eq!((view.state.clone(), given.balance(&alice)), (PayoutState::Requested, 70));
    let other = RequestPayout { amount_units: Units(31), ..order.payout.content.clone() };
    let other = Withdrawal { payout: Signed::new(other, &alice.key), register: None };
    assert_eq!(kind(alice.pay_out(&other).await), Kind::RequestIdReused);
    assert_eq!(given.end("settle", &view, "--reference", "bank transfer 4711").code, 0);
    let view = alice.pay_out(&order).await.expect("requested before");
    assert!(matches!(view.state, PayoutState::Settled { .. }), "the same order shows how it stands now");
    assert_eq!((given.balance(&alice), payouts(&alice).await), (70, vec![view]));
    given.check_the_books();
}

#[tokio::test]
async fn the_suspended_and_the_indebted_are_paid_nothing_out() {
    let given = Given::broker();
    let (alice, bob, carol) = (given.peer(100).await, given.peer(0).await, given.peer(0).await);
    let id = alice.id().to_string();
    given.world.broker(&["account", "suspend", &id]);
    assert_eq!(kind(alice.pay_out(&alice.withdrawal(1, "alice's bank")).await), Kind::Suspended);
    given.world.broker(&["account", "reinstate", &id]);
    let coin = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought").remove(0);
    for payee in [&bob, &carol] {
        let grant = alice.grant(&coin, (1, 11), payee.id());
        payee.redeem(&payee.batch(vec![RawPeer::claim(&coin, &grant, 10)])).await.expect("a statement");
    }
    assert_eq!(kind(alice.pay_out(&alice.withdrawal(1, "alice's bank")).await), Kind::Suspended);
    let lift = given.world.run("netpay-broker", &["--json", "account", "reinstate", &id, "--config", "broker"]);
    assert_eq!(lift.code, 8, "a debtor stays suspended: {lift:?}");
    assert_eq!((given.balance(&alice), given.list(&[]).len()), (50, 0));
    bob.pay_out(&bob.withdrawal(10, "bob's bank")).await.expect("the honest are paid out");
    given.check_the_books();
}

#[tokio::test]
async fn texts_of_the_operator_are_taken_up_to_their_limits() {
    let given = Given::broker();
    let alice = given.peer(100).await;
    let (mut views, destination) = (Vec::new(), "d".repeat(256));
    for _ in 0..2 {
        views.push(alice.pay_out(&alice.withdrawal(1, &destination)).await.expect("requested"));
    }
    let too_long = Withdrawal { register: None, ..alice.withdrawal(1, &"d".repeat(257)) };
    assert_eq!(kind(alice.ask(BrokerOp::Payout, wire::encode(&too_long)).await), Kind::Malformed);
    assert_eq!(kind(alice.pay_out(&alice.withdrawal(1, "")).await), Kind::Malformed);
    assert_eq!(kind(alice.pay_out(&alice.withdrawal(0, "bank")).await), Kind::Malformed);
    for (verb, option, text, code) in [
        ("settle", "--reference", String::new(), 1),
        ("settle", "--reference", "r".repeat(129), 1),
        ("fail", "--reason", "r".repeat(513), 1),
        ("settle", "--reference", "r".repeat(128), 0),
    ] {
        assert_eq!(given.end(verb, &views[0], option, &text).code, code, "{verb} with {} bytes", text.len());
    }
    assert_eq!(given.end("fail", &views[1], "--reason", &"r".repeat(512)).code, 0);
    let unknown = PayoutView { request: RequestId([1; 16]), ..views[0].clone() };
    assert_eq!(given.end("settle", &unknown, "--reference", "r").code, 3);
    assert_eq!(given.balance(&alice), 99);
}

/// Everything of the asker that was not refunded, page by page.
async fn own_ecoins(peer: &RawPeer) -> Vec<Vec<OwnEcoin>> {
    let (mut after, mut pages) = (EcoinId::default(), Vec::new());
    loop {
        let answer = peer.answer(Question::Ecoins(after)).await.expect("an answer");
        let page: Page<OwnEcoin> = wire::decode(&answer.body).expect("a page");
        for own in &page.items {
            assert!(own.touchstone.content.issued_at_ms <= answer.issued_at_ms, "a restored wallet would not lock it");
        }
        let Some(last) = page.items.last() else { return pages };
        after = last.touchstone.content.ecoin;
        pages.push(page.items);
        if !page.more {
            return pages;
        }
    }
}

#[tokio::test]
async fn own_ecoins_are_shown_over_several_pages_with_what_was_paid_of_them() {
    let given = Given::broker();
    let (alice, bob, carol) = (given.peer(1_000).await, given.peer(0).await, given.peer(0).await);
    let mut bought = BTreeSet::new();
    for _ in 0..2 {
        let coins = alice.buy(&alice.order(1, 256, Suite::Sha256)).await.expect("bought");
        bought.extend(coins.iter().map(|coin| coin.touchstone.content.ecoin));
    }
    let coin = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought").remove(0);
    bought.insert(coin.touchstone.content.ecoin);
    for (payee, (from, to), through) in [(&bob, (1, 6), 5), (&carol, (6, 9), 7), (&bob, (9, 20), 19)] {
        let grant = alice.grant(&coin, (from, to), payee.id());
        payee.redeem(&payee.batch(vec![RawPeer::claim(&coin, &grant, through)])).await.expect("a statement");
    }
    let pages = own_ecoins(&alice).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [500, 13]);
    let found: Vec<_> = pages.iter().flatten().map(|own| own.touchstone.content.ecoin).collect();
    assert_eq!(found, bought.into_iter().collect::<Vec<_>>(), "each once, in order");
    for own in pages.iter().flatten() {
        if own.touchstone != coin.touchstone {
            assert_eq!(own.paid, []);
            continue;
        }
        let paid = [(1, 5, bob.id()), (6, 7, carol.id()), (9, 19, bob.id())].map(|(from, through, payee)| {
            (Run::new(PaywordIndex(from), PaywordIndex(through)).expect("not empty"), payee)
        });
        assert_eq!(own.paid.iter().map(|PaidRun { run, payee, .. }| (*run, *payee)).collect::<Vec<_>>(), paid);
    }
    assert_eq!(own_ecoins(&bob).await, Vec::<Vec<OwnEcoin>>::new(), "bob redeemed, and bought nothing");
    given.check_the_books();
}

#[tokio::test]
async fn somebody_elses_key_gets_nothing() {
    let given = Given::broker();
    let (alice, mallory) = (given.peer(100).await, given.peer(0).await);
    alice.buy(&alice.order(10, 1, Suite::Sha256)).await.expect("bought");
    alice.pay_out(&alice.withdrawal(10, "alice's bank")).await.expect("requested");
    let send = async |op: BrokerOp, as_who: &RawPeer, payload: Vec<u8>| {
        kind(mallory.call(subjects::request(as_who.id(), op), payload).await)
    };
    for question in [Question::Ecoins(EcoinId::default()), Question::Payouts(RequestId::default())] {
        let forged = wire::encode(&mallory.question(alice.id(), question));
        assert_eq!(send(question.op(), &alice, forged.clone()).await, Kind::BadSignature);
        assert_eq!(send(question.op(), &mallory, forged).await, Kind::NotForMe);
        let overheard: Ask = alice.question(alice.id(), question);
        assert_eq!(send(BrokerOp::Statement, &alice, wire::encode(&overheard)).await, Kind::NotForMe);
    }
    let theft = RequestPayout { destination: "mallory's bank".into(), ..alice.withdrawal(1, "x").payout.content };
    let theft = wire::encode(&Withdrawal { payout: Signed::new(theft, &mallory.key), register: None });
    assert_eq!(send(BrokerOp::Payout, &alice, theft.clone()).await, Kind::BadSignature);
    assert_eq!(send(BrokerOp::Payout, &mallory, theft).await, Kind::NotForMe);
    let mut elsewhere = alice.withdrawal(1, "alice's bank");
    let content = RequestPayout { broker: BrokerId([9; 16]), ..elsewhere.payout.content };
    elsewhere.payout = Signed::new(content, &alice.key);
    assert_eq!(kind(alice.ask(BrokerOp::Payout, wire::encode(&elsewhere)).await), Kind::NotForMe);
    assert_eq!((own_ecoins(&mallory).await.len(), payouts(&mallory).await.len()), (0, 0));
    assert_eq!((own_ecoins(&alice).await.len(), payouts(&alice).await.len(), given.balance(&alice)), (1, 1, 80));
}
