//! The broker as a stranger's client meets it: the lost reply of every money operation, kills, damaged messages, floods.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::BrokerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{Buy, Sold};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::{Statement, Verdict};
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::processes::{World, until};
use netpay_tests::raw_peer::{Coin, RawPeer};

/// A world with a serving broker.
struct Given {
    world: World,
    broker: Option<netpay_tests::processes::Process>,
    id: BrokerId,
}

impl Given {
    fn broker() -> Self {
        Self::broker_with(&[])
    }

    fn broker_with(settings: &[(&str, &str)]) -> Self {
        let world = World::new();
        let id = world.init_broker(settings).parse().expect("an id");
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

    fn kill_and_restart(&mut self) {
        self.broker.take().expect("it runs").kill();
        self.broker = Some(self.world.serve_broker());
    }

    fn balance(&self, peer: &RawPeer) -> u64 {
        let shown = self.world.broker(&["account", "show", &peer.id().to_string()]);
        shown["balance_units"].as_u64().expect("a number")
    }

    fn audit(&self) {
        assert_eq!(self.world.broker(&["ledger", "audit"])["ok"], true);
    }
}

fn problem<T: std::fmt::Debug>(result: anyhow::Result<T>) -> Kind {
    let error = result.expect_err("a problem was expected");
    error.downcast_ref::<Problem>().unwrap_or_else(|| panic!("{error:#}")).kind
}

#[tokio::test]
async fn a_purchase_whose_reply_is_lost_is_sold_once_and_read_later_also_after_a_kill() {
    let mut given = Given::broker();
    let alice = given.peer(100).await;
    let order = alice.order(30, 2, Suite::Sha256);
    let bytes = wire::encode(&order);
    // Published without a way back: whatever is answered is lost. Twice, as a network may.
    for _ in 0..2 {
        let subject = subjects::request(alice.id(), BrokerOp::Buy);
        alice.client.publish(subject, bytes.clone().into()).await.expect("published");
    }
    alice.client.flush().await.expect("flushed");
    until("the purchase", || (given.balance(&alice) == 40).then_some(()));
    given.kill_and_restart();
    let sold: Sold = wire::decode(&alice.ask(BrokerOp::Buy, bytes.clone()).await.expect("sold before")).expect("sold");
    let coins = alice.open(&order, &sold).expect("the words fit");
    assert_eq!(coins.len(), 2);
    let again: Sold = wire::decode(&alice.ask(BrokerOp::Buy, bytes).await.expect("sold before")).expect("sold");
    assert_eq!(again.touchstones, sold.touchstones);
    assert_eq!(given.balance(&alice), 40);
    given.audit();
}

#[tokio::test]
async fn a_batch_whose_statement_is_lost_is_credited_once_and_answered_the_same_later() {
    let mut given = Given::broker();
    let (alice, bob) = (given.peer(50).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(50, 1, Suite::Md5)).await.expect("bought");
    let grant = alice.grant(&coins[0], (1, 6), bob.id());
    let batch = bob.batch(vec![RawPeer::claim(&coins[0], &grant, 5)]);
    let bytes = wire::encode(&batch);
    bob.client.publish(subjects::request(bob.id(), BrokerOp::Redeem), bytes.clone().into()).await.expect("published");
    bob.client.flush().await.expect("flushed");
    until("the batch", || {
        let ended = given
            .world
            .run("netpay-broker", &["--json", "account", "show", &bob.id().to_string(), "--config", "broker"]);
        (ended.json["balance_units"] == 5).then_some(())
    });
    given.kill_and_restart();
    let statement = bob.redeem(&batch).await.expect("a statement");
    assert_eq!((statement.lines[0].verdict, statement.lines[0].credited.0), (Verdict::Credited, 5));
    assert_eq!(statement.balance_units.0, 5);
    let fresh = bob.batch(batch.batch.content.claims.clone());
    let statement = bob.redeem(&fresh).await.expect("a statement");
    assert_eq!((statement.lines[0].verdict, statement.lines[0].already_paid.0), (Verdict::AlreadyPaid, 5));
    assert_eq!(given.balance(&bob), 5);
    given.audit();
}

/// Hole 6: the seed is derived, and no backup of the broker's ledger is bearer money.
#[tokio::test]
async fn no_file_of_the_ledger_holds_a_word_that_can_still_be_spent() {
    let mut given = Given::broker();
    let (alice, bob) = (given.peer(50).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought");
    let grant = alice.grant(&coins[0], (1, 11), bob.id());
    bob.redeem(&bob.batch(vec![RawPeer::claim(&coins[0], &grant, 5)])).await.expect("a statement");
    given.broker.take().expect("it runs").kill();
    let files = std::fs::read_dir(given.world.path("broker/ledger")).expect("a directory");
    let bytes: Vec<u8> =
        files.flat_map(|file| std::fs::read(file.expect("readable").path()).expect("a file")).collect();
    let holds = |i| {
        let word = coins[0].chain.word(PaywordIndex(i)).expect("on the chain");
        bytes.windows(32).any(|window| window == word.bytes())
    };
    assert!(holds(5), "the proof of what was paid");
    assert_eq!((6..=50).find(|i| holds(*i)), None);
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed_under_load() {
    let mut given = Given::broker();
    let (alice, bob) = (given.peer(2_000).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(200, 10, Suite::Sha256)).await.expect("bought");
    let mut acknowledged = 0;
    for round in 0..3_u32 {
        let mut waiting = Vec::new();
        for coin in &coins {
            let first = 1 + round * 10;
            let grant = alice.grant(coin, (first, first + 10), bob.id());
            waiting.push(bob.batch(vec![RawPeer::claim(coin, &grant, first + 9)]));
        }
        // Half of the answers are awaited, then the broker dies while the rest is on its way.
        let (heard, unheard) = waiting.split_at(5);
        for batch in heard {
            acknowledged += bob.redeem(batch).await.expect("a statement").lines[0].credited.0;
        }
        for batch in unheard {
            let subject = subjects::request(bob.id(), BrokerOp::Redeem);
            bob.client.publish(subject, wire::encode(batch).into()).await.expect("published");
        }
        bob.client.flush().await.expect("flushed");
        given.kill_and_restart();
        assert!(given.balance(&bob) >= u64::from(acknowledged), "an acknowledged credit was lost");
        for batch in unheard {
            let line = bob.redeem(batch).await.expect("a statement").lines[0];
            assert_eq!(line.credited.0 + line.already_paid.0, 10);
            acknowledged += 10;
        }
        assert_eq!(given.balance(&bob), u64::from(acknowledged), "what the client wrote down");
    }
    given.audit();
}

#[tokio::test]
async fn damaged_oversized_and_misdirected_messages_are_refused_in_words_and_change_nothing() {
    let given = Given::broker();
    let (alice, bob) = (given.peer(100).await, given.peer(0).await);
    let order = wire::encode(&alice.order(10, 1, Suite::Sha256));
    assert_eq!(problem(alice.ask(BrokerOp::Buy, order[..order.len() - 1].to_vec()).await), Kind::Malformed);
    assert_eq!(problem(alice.ask(BrokerOp::Buy, [order.as_slice(), &[0]].concat()).await), Kind::Malformed);
    assert_eq!(problem(alice.ask(BrokerOp::Buy, vec![0; 1_000_001]).await), Kind::TooLarge);
    assert_eq!(problem(bob.ask(BrokerOp::Buy, order.clone()).await), Kind::NotForMe, "under another's subject");
    let mut altered = order.clone();
    let at = altered.len() - 10;
    altered[at] ^= 1;
    assert!(matches!(problem(alice.ask(BrokerOp::Buy, altered).await), Kind::BadSignature | Kind::Malformed));
    let stranger = RawPeer::connect(&given.world.nats_url(), BrokerId([9; 16])).await.expect("NATS is there");
    let elsewhere = wire::encode(&stranger.order(10, 1, Suite::Sha256));
    assert_eq!(problem(stranger.ask(BrokerOp::Buy, elsewhere).await), Kind::NotForMe, "for another broker");
    assert_eq!(problem(stranger.join().await), Kind::NotForMe, "a registration for another broker");
    let beside = Buy { register: Some(stranger.register()), ..bob.order(10, 1, Suite::Sha256) };
    assert_eq!(problem(bob.ask(BrokerOp::Buy, wire::encode(&beside)).await), Kind::NotForMe, "and beside an order");
    assert_eq!(given.balance(&alice), 100);
    alice.ask(BrokerOp::Buy, order).await.expect("the undamaged one is still good");
}

#[tokio::test]
async fn what_a_peer_did_not_sign_is_refused_whoever_sends_it_under_its_subject() {
    let given = Given::broker();
    let (alice, bob, mallory) = (given.peer(100).await, given.peer(0).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(10, 1, Suite::Sha256)).await.expect("bought");
    let forged = alice.order(10, 1, Suite::Sha256);
    for register in [None, Some(mallory.register()), Some(alice.register())] {
        let buy = Signed::new(forged.buy.content.clone(), &mallory.key);
        let message = wire::encode(&netpay_protocol::messages::Buy { buy, register });
        assert_eq!(problem(alice.ask(BrokerOp::Buy, message).await), Kind::BadSignature);
    }
    let grant = alice.grant(&coins[0], (1, 6), bob.id());
    let batch = bob.batch(vec![RawPeer::claim(&coins[0], &grant, 5)]);
    let stolen =
        netpay_protocol::messages::Redeem { batch: Signed::new(batch.batch.content.clone(), &mallory.key), ..batch };
    assert_eq!(problem(bob.ask(BrokerOp::Redeem, wire::encode(&stolen)).await), Kind::BadSignature);
    assert_eq!(given.balance(&alice), 90);
}

#[tokio::test]
async fn a_batch_brings_as_many_touchstones_and_steps_as_the_limits_say_and_not_one_more() {
    let given = Given::broker();
    let (alice, bob) = (given.peer(50).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought");
    let grant = alice.grant(&coins[0], (1, 6), bob.id());
    for (touchstones, good) in [(256, true), (257, false)] {
        let mut batch = bob.batch(vec![RawPeer::claim(&coins[0], &grant, 5)]);
        batch.touchstones = vec![coins[0].touchstone.clone(); touchstones];
        let answer = bob.ask(BrokerOp::Redeem, wire::encode(&batch)).await;
        assert!(if good { answer.is_ok() } else { problem(answer) == Kind::TooLarge }, "{touchstones} touchstones");
    }
    // 256 claims through word 4,096 are 2^20 steps; they are on no chain, and that costs the asker its budget, not its name.
    for (last, good) in [(4_096, true), (4_097, false)] {
        let claim = |through| {
            let index = alice.grant(&coins[0], (1, through + 1), bob.id());
            netpay_protocol::redemption::Claim {
                index,
                through: PaywordIndex(through),
                word: RawPeer::claim(&coins[0], &grant, 5).word,
            }
        };
        let mut claims = vec![claim(4_096); 255];
        claims.push(claim(last));
        let answer = bob.ask(BrokerOp::Redeem, wire::encode(&bob.batch(claims))).await;
        assert!(if good { answer.is_ok() } else { problem(answer) == Kind::TooLarge }, "255 × 4,096 + {last} steps");
    }
}

#[tokio::test]
async fn a_batch_from_before_a_restore_is_told_of_the_fork() {
    let given = Given::broker();
    let (alice, bob) = (given.peer(50).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(50, 1, Suite::Sha256)).await.expect("bought");
    let grant = alice.grant(&coins[0], (1, 6), bob.id());
    let claims = vec![RawPeer::claim(&coins[0], &grant, 5)];
    let seen = |position, hash| {
        let plain = bob.batch(claims.clone());
        let head = netpay_protocol::redemption::Head { position, hash: netpay_protocol::ids::Digest([hash; 32]) };
        let content = netpay_protocol::redemption::RedemptionBatch { seen: head, ..plain.batch.content };
        netpay_protocol::messages::Redeem { batch: Signed::new(content, &bob.key), ..plain }
    };
    for (position, hash) in [(1, 9), (1_000, 9)] {
        assert_eq!(problem(bob.ask(BrokerOp::Redeem, wire::encode(&seen(position, hash))).await), Kind::Fork);
    }
    let statement = bob.redeem(&bob.batch(claims.clone())).await.expect("without a claim of having seen anything");
    let content = netpay_protocol::redemption::RedemptionBatch {
        seen: statement.head,
        ..bob.batch(claims.clone()).batch.content
    };
    let message = netpay_protocol::messages::Redeem { batch: Signed::new(content, &bob.key), ..bob.batch(claims) };
    bob.redeem(&message).await.expect("its head is in the log");
}

#[tokio::test]
async fn too_little_money_a_suspended_account_and_an_md5_ecoin_worth_too_much_are_refused() {
    let given = Given::broker();
    let alice = given.peer(20_000).await;
    let buy = |n, count, suite| wire::encode(&alice.order(n, count, suite));
    assert_eq!(problem(alice.ask(BrokerOp::Buy, buy(4_096, 5, Suite::Sha256)).await), Kind::InsufficientFunds);
    let mut dear = alice.order(4_096, 1, Suite::Md5);
    dear.buy.content.unit_value = netpay_protocol::amounts::UnitValue(3);
    dear.buy.content.most_debited_units = netpay_protocol::amounts::Units(20_000);
    dear.buy = Signed::new(dear.buy.content, &alice.key);
    assert_eq!(problem(alice.ask(BrokerOp::Buy, wire::encode(&dear)).await), Kind::Policy);
    given.world.broker(&["account", "suspend", &alice.id().to_string()]);
    assert_eq!(problem(alice.ask(BrokerOp::Buy, buy(10, 1, Suite::Sha256)).await), Kind::Suspended);
    assert_eq!(given.balance(&alice), 20_000);
}

#[tokio::test]
async fn a_full_queue_answers_busy_and_the_same_request_is_good_later() {
    let given = Given::broker_with(&[("gateway = 256", "gateway = 2"), ("verify = 256", "verify = 2")]);
    let alice = given.peer(4_000).await;
    let orders: Vec<_> = (0..40).map(|_| wire::encode(&alice.order(100, 1, Suite::Sha256))).collect();
    let ask = |bytes: &Vec<u8>| alice.ask(BrokerOp::Buy, bytes.clone());
    // All at once.
    let tasks: Vec<_> = orders.iter().map(ask).collect();
    let mut busy = 0;
    for (result, order) in join_all(tasks).await.into_iter().zip(&orders) {
        if result.is_err() {
            let kind = problem(result);
            assert!(kind.is_passing(), "{kind:?}");
            busy += u32::from(kind == Kind::Busy);
            while let Err(error) = ask(order).await {
                assert!(error.downcast_ref::<Problem>().is_some_and(|p| p.kind.is_passing()), "{error:#}");
            }
        }
    }
    assert!(busy > 0, "the queue was never full");
    assert_eq!(given.balance(&alice), 0, "each was sold exactly once");
    given.audit();
}

async fn join_all<F: Future>(tasks: Vec<F>) -> Vec<F::Output> {
    let mut tasks: Vec<_> = tasks.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = tasks.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (task, done) in tasks.iter_mut().zip(&mut done) {
            if done.is_none() {
                match task.as_mut().poll(context) {
                    std::task::Poll::Ready(output) => *done = Some(output),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done.into_iter().map(|output| output.expect("all are done")).collect()
}

#[tokio::test]
async fn a_word_of_another_chain_and_an_unknown_ecoin_credit_nothing_and_accuse_nobody() {
    let given = Given::broker();
    let (alice, bob) = (given.peer(100).await, given.peer(0).await);
    let coins = alice.buy(&alice.order(50, 2, Suite::Sha256)).await.expect("bought");
    let grant = alice.grant(&coins[0], (1, 6), bob.id());
    let mut wrong_chain = RawPeer::claim(&coins[1], &grant, 5);
    wrong_chain.through = PaywordIndex(5);
    let unknown = Coin { chain: coins[0].chain.clone(), touchstone: coins[0].touchstone.clone() };
    let mut nowhere = alice.grant(&unknown, (1, 6), bob.id());
    nowhere.content.ecoin.0[0] ^= 1;
    let nowhere = RawPeer::claim(&coins[0], &Signed::new(nowhere.content, &alice.key), 5);
    let batch = bob.batch(vec![wrong_chain, nowhere]);
    let statement: Signed<Statement> =
        wire::decode(&bob.ask(BrokerOp::Redeem, wire::encode(&batch)).await.expect("a statement"))
            .expect("a statement");
    let verdicts: Vec<_> = statement.content.lines.iter().map(|line| line.verdict).collect();
    assert_eq!(verdicts, [Verdict::Invalid, Verdict::UnknownEcoin]);
    assert_eq!(given.world.broker(&["doublespend", "list"])["double_spends"], serde_json::json!([]));
}

#[tokio::test]
async fn a_double_spend_is_recorded_once_with_both_grants_and_the_payer_is_suspended_and_in_debt() {
    let given = Given::broker();
    let (mallory, bob, carol) = (given.peer(50).await, given.peer(0).await, given.peer(0).await);
    let coins = mallory.buy(&mallory.order(50, 1, Suite::Sha256)).await.expect("bought");
    let mut verdicts = Vec::new();
    for payee in [&bob, &carol, &carol] {
        let grant = mallory.grant(&coins[0], (1, 6), payee.id());
        let batch = payee.batch(vec![RawPeer::claim(&coins[0], &grant, 5)]);
        verdicts.push(payee.redeem(&batch).await.expect("a statement").lines[0].verdict);
    }
    assert_eq!(verdicts, [Verdict::Credited, Verdict::Conflicting, Verdict::Conflicting]);
    let found = given.world.broker(&["doublespend", "list"]);
    let [found] = found["double_spends"].as_array().expect("a list").as_slice() else { panic!("{found}") };
    assert_eq!(found["paid_to"], bob.id().to_string());
    assert_eq!(found["payee"], carol.id().to_string());
    assert_eq!((found["debt_units"].as_u64(), found["conflicting_words"].as_u64()), (Some(5), Some(5)));
    assert!(found["paid_grant"]["signature"].is_string() && found["grant"]["signature"].is_string());
    let ecoin = given.world.broker(&["ecoin", "show", found["ecoin"].as_str().expect("an id")]);
    assert_eq!((ecoin["paid_words"].as_u64(), ecoin["n"].as_u64()), (Some(5), Some(50)));
    assert_eq!(ecoin["runs"][0]["payee"], bob.id().to_string());
    let account = given.world.broker(&["account", "show", &mallory.id().to_string()]);
    assert_eq!((account["suspended"].as_bool(), account["debt_units"].as_u64()), (Some(true), Some(5)));
    given.audit();
}
