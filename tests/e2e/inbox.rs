//! The redemption inbox, as a stranger's client meets it: what is left there is settled once, however often it comes and
//! whoever is killed meanwhile, and what can never be settled is set aside.

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, AckKind};
use futures::StreamExt as _;
use netpay_crash_point::{broker, inbox};
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::messages::{Ask, Redeem};
use netpay_protocol::query::Question;
use netpay_protocol::redemption::Statement;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Guarantee;
use netpay_protocol::wire;
use netpay_tests::processes::{PATIENCE, Process, World, until};
use netpay_tests::raw_peer::{Coin, RawPeer};
use serde_json::Value;

/// How many batches one peer may have waiting, and how often each is tried.
const MOST_PER_PEER: u32 = 4;
const MOST_DELIVERIES: i64 = 32;

struct Given {
    world: World,
    broker: Option<Process>,
    alice: RawPeer,
    bob: RawPeer,
    coin: Coin,
}

impl Given {
    /// Alice holds an e-coin of 100 words; bob has nothing yet, not even an account.
    async fn new() -> Self {
        let world = World::with_jetstream();
        let id: BrokerId = world.init_broker(&[]).parse().expect("an id");
        let broker = Some(world.serve_broker());
        let alice = RawPeer::connect(&world.nats_url(), id).await.expect("NATS is there");
        let bob = RawPeer::connect(&world.nats_url(), id).await.expect("NATS is there");
        world.credit(&alice.id().to_string(), 1_000, "bank 1");
        let coin = alice.buy_one(100, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
        Self { world, broker, alice, bob, coin }
    }

    fn stop(&mut self) {
        assert_eq!(self.broker.take().expect("it runs").terminate(), Some(0));
    }

    fn start(&mut self) {
        self.broker = Some(self.world.serve_broker());
    }

    /// Starts a broker that dies when it reaches a point, and waits until it did.
    fn start_and_die_at(&self, point: &str) {
        let variables = [("NETPAY_CRASH_AT".to_owned(), point.to_owned())];
        let arguments = ["--json", "serve", "--config", "broker"];
        let mut broker = self.world.start_with("netpay-broker", &arguments, &variables, "dying.log");
        assert_eq!(until("the end of a broker", || broker.ended()), None, "{point}:\n{}", broker.said());
    }

    /// A batch of this payee, of alice's words up to this one.
    fn batch(&self, payee: &RawPeer, through: u32) -> Redeem {
        payee.batch(vec![RawPeer::claim(
            &self.coin,
            &self.alice.grant(&self.coin, (1, through + 1), payee.id()),
            through,
        )])
    }

    fn listed(&self) -> Value {
        self.world.broker(&["inbox", "list"])
    }

    fn until_empty(&self) {
        until("an inbox where nothing waits", || (self.listed()["waiting_count"] == 0).then_some(()));
    }

    fn reasons(&self) -> Vec<String> {
        let listed = self.listed();
        let aside = listed["set_aside"].as_array().expect("a list").iter();
        aside.map(|kept| kept["reason"].as_str().expect("a reason").to_owned()).collect()
    }

    fn balance(&self, peer: &RawPeer) -> u64 {
        let shown = self
            .world
            .run("netpay-broker", &["--json", "account", "show", &peer.id().to_string(), "--config", "broker"]);
        shown.json["balance_units"].as_u64().unwrap_or(0)
    }

    fn audit(&self) {
        let audit = self.world.broker(&["ledger", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
    }

    fn metric(&self, line: &str) -> f64 {
        let (_, text) = self.broker.as_ref().expect("it runs").http_get("/metrics");
        let found = text.lines().find_map(|said| said.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {text}"))
    }
}

/// Leaves a message under an id of its own.
async fn leave(peer: &RawPeer, subject: String, payload: Vec<u8>, id: &str) -> Result<PublishAck, PublishError> {
    let message = PublishMessage::build().payload(payload.into()).message_id(id);
    jetstream::new(peer.client.clone()).send_publish(subject, message).await?.await
}

async fn leave_batch(peer: &RawPeer, batch: &Redeem, id: &str) -> PublishAck {
    leave(peer, subjects::inbox(peer.id()), wire::encode(batch), id).await.expect("stored")
}

/// The statement of a batch that nobody waited for.
async fn statement(peer: &RawPeer, batch: &Redeem) -> anyhow::Result<Statement> {
    let ask: Ask = peer.question(peer.id(), Question::Statement(batch.batch.content.request));
    let answer = peer.ask(BrokerOp::Statement, wire::encode(&ask)).await?;
    let statement: Signed<Statement> = wire::decode(&answer)?;
    statement.content.answers(&batch.batch.content)?;
    Ok(statement.content)
}

#[tokio::test]
async fn a_batch_left_while_the_broker_is_away_is_settled_when_it_comes_and_sent_again_has_that_one_outcome() {
    let mut given = Given::new().await;
    given.stop();
    let batch = given.batch(&given.bob, 7);
    leave_batch(&given.bob, &batch, "one").await;
    let listed = given.listed();
    assert_eq!((&listed["waiting_count"], &listed["waiting"][0]["claims"]), (&1.into(), &1.into()), "{listed}");
    let shown = given.world.broker(&["inbox", "show", "1"]);
    assert_eq!(shown["batch"]["payee"], Value::from(given.bob.id().to_string()), "{shown}");
    assert_eq!(shown["batch"]["claims"][0]["through"], 7, "{shown}");
    given.start();
    given.until_empty();
    let told = statement(&given.bob, &batch).await.expect("it waits in the ledger");
    assert_eq!((told.lines[0].credited.0, told.balance_units.0), (7, 7));
    let again = given.bob.redeem(&batch).await.expect("the same bytes");
    assert_eq!((again.lines, again.head), (told.lines, told.head));
    assert_eq!(given.balance(&given.bob), 7);
    assert_eq!(given.metric("netpay_inbox_handled_total{outcome=\"settled\",reason=\"\"}"), 1.0);
    until("the gauge", || (given.metric("netpay_inbox_waiting") == 0.0).then_some(()));
    given.audit();
}

#[tokio::test]
async fn a_batch_that_is_left_twice_is_paid_once_and_both_are_acknowledged() {
    let mut given = Given::new().await;
    given.stop();
    let batch = given.batch(&given.bob, 7);
    assert!(!leave_batch(&given.bob, &batch, "one").await.duplicate);
    assert!(leave_batch(&given.bob, &batch, "one").await.duplicate, "within the window it is stored once");
    assert!(!leave_batch(&given.bob, &batch, "two").await.duplicate, "as after the window");
    given.start();
    given.until_empty();
    assert_eq!(given.balance(&given.bob), 7);
    assert_eq!(given.reasons(), Vec::<String>::new());
    given.audit();
}

#[tokio::test]
async fn a_broker_killed_on_either_side_of_the_commit_finds_the_batch_again_and_pays_it_once() {
    let mut given = Given::new().await;
    given.stop();
    let points = [
        broker::Point::RedeemChecked.name(),
        broker::Point::JournalCommitting.name(),
        broker::Point::JournalCommitted.name(),
        broker::Point::RedeemAnswering.name(),
        inbox::Point::Settled.name(),
    ];
    for (number, point) in points.into_iter().enumerate() {
        let before = given.balance(&given.bob);
        let through = u32::try_from(number + 1).expect("small");
        let batch = given.batch(&given.bob, through);
        leave_batch(&given.bob, &batch, point).await;
        given.start_and_die_at(point);
        assert_eq!(given.listed()["waiting_count"], 1, "{point}: not acknowledged");
        given.start();
        given.until_empty();
        assert_eq!(given.balance(&given.bob), before + 1, "{point}: each batch asks for one word more");
        assert_eq!(statement(&given.bob, &batch).await.expect("recorded").lines[0].credited.0, 1, "{point}");
        given.stop();
    }
    given.start();
    given.audit();
}

#[tokio::test]
async fn each_kind_of_poison_is_set_aside_with_its_reason_and_keeps_nobody_else_waiting() {
    let mut given = Given::new().await;
    given.stop();
    let carol = RawPeer::connect(&given.world.nats_url(), given.bob.broker).await.expect("NATS is there");
    let (bob, batch) = (&given.bob, given.batch(&given.bob, 7));
    let mut forged = given.batch(bob, 6);
    forged.batch.signature = carol.batch(vec![]).batch.signature;
    let mut stranger = given.batch(&carol, 5);
    stranger.register = None;
    let mut elsewhere = batch.batch.content.clone();
    elsewhere.broker = BrokerId([9; 16]);
    let elsewhere = Redeem { batch: Signed::new(elsewhere, &bob.key), ..batch.clone() };
    let nobodys = subjects::inbox(bob.id()).replace(&bob.id().to_string(), "bob");
    let large = vec![0; MAX_MESSAGE_BYTES + 1];
    for (name, subject, payload) in [
        ("malformed", subjects::inbox(bob.id()), b"no batch".to_vec()),
        ("too_large", subjects::inbox(PeerId([7; 16])), large),
        ("not_for_me", subjects::inbox(carol.id()), wire::encode(&batch)),
        ("not_for_me", nobodys, wire::encode(&batch)),
        ("not_for_me", subjects::inbox(bob.id()), wire::encode(&elsewhere)),
        ("bad_signature", subjects::inbox(bob.id()), wire::encode(&forged)),
        ("not_found", subjects::inbox(carol.id()), wire::encode(&stranger)),
    ] {
        leave(bob, subject, payload, &format!("{name} {}", rand_id())).await.expect("stored");
    }
    leave_batch(bob, &batch, "good").await;
    given.start();
    given.until_empty();
    let mut reasons = given.reasons();
    reasons.sort();
    let expected = ["bad_signature", "malformed", "not_for_me", "not_for_me", "not_for_me", "not_found", "too_large"];
    assert_eq!(reasons, expected);
    assert_eq!(given.balance(&given.bob), 7, "the good one beside them is paid");
    assert_eq!(given.metric("netpay_inbox_handled_total{outcome=\"set_aside\",reason=\"malformed\"}"), 1.0);
    until("the gauge", || (given.metric("netpay_inbox_set_aside") == 7.0).then_some(()));

    let aside = given.listed()["set_aside"].as_array().expect("a list").clone();
    let malformed = aside.iter().find(|kept| kept["reason"] == "malformed").expect("there");
    let number = malformed["number"].to_string();
    assert_eq!(malformed["peer"], Value::from(given.bob.id().to_string()));
    assert_eq!(malformed["size_bytes"], 8);
    let shown = given.world.broker(&["inbox", "show", &number, "--aside"]);
    assert_eq!((&shown["reason"], &shown["batch"]), (&"malformed".into(), &Value::Null), "{shown}");
    let dropped = given.world.broker(&["inbox", "drop", &number]);
    assert_eq!(dropped["dropped"]["reason"], "malformed", "{dropped}");
    let gone = given.world.run("netpay-broker", &["inbox", "drop", &number, "--config", "broker"]);
    assert_eq!(gone.code, 3, "{gone:?}");
    assert_eq!(given.listed()["set_aside_count"], 6);
    given.audit();
}

fn rand_id() -> String {
    netpay_tests::raw_peer::fresh_request().to_string()
}

#[tokio::test]
async fn poison_whose_broker_is_killed_before_it_acknowledges_is_kept_aside_once() {
    let mut given = Given::new().await;
    given.stop();
    leave(&given.bob, subjects::inbox(given.bob.id()), b"no batch".to_vec(), "poison").await.expect("stored");
    given.start_and_die_at(inbox::Point::SetAside.name());
    let listed = given.listed();
    assert_eq!((&listed["waiting_count"], &listed["set_aside_count"]), (&1.into(), &1.into()), "{listed}");
    given.start();
    given.until_empty();
    assert_eq!(given.reasons(), ["malformed"]);
}

#[tokio::test]
async fn a_peer_whose_inbox_is_full_is_refused_and_nobody_else_is() {
    let mut given = Given::new().await;
    given.stop();
    let carol = RawPeer::connect(&given.world.nats_url(), given.bob.broker).await.expect("NATS is there");
    let batches: Vec<_> = (1..=MOST_PER_PEER + 1).map(|through| given.batch(&given.bob, through)).collect();
    let (last, fit) = batches.split_last().expect("some");
    for batch in fit {
        leave_batch(&given.bob, batch, &rand_id()).await;
    }
    let subject = subjects::inbox(given.bob.id());
    let full = leave(&given.bob, subject.clone(), wire::encode(last), "last").await.expect_err("one too many");
    assert!(format!("{:?}", std::error::Error::source(&full)).contains("10077"), "{full:?}");
    leave_batch(&carol, &given.batch(&carol, 10), "carol's").await;
    assert_eq!(given.listed()["waiting_count"], MOST_PER_PEER + 1);
    given.start();
    given.until_empty();
    assert_eq!(given.balance(&given.bob) + given.balance(&carol), 10, "every word of the longest claim, once");
    assert!(!leave(&given.bob, subject, wire::encode(last), "last").await.expect("room again").duplicate);
    given.until_empty();
    assert_eq!(given.reasons(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_was_tried_too_often_is_set_aside_and_one_try_before_it_is_settled() {
    let mut given = Given::new().await;
    given.stop();
    for (tries, reasons) in [(MOST_DELIVERIES - 1, vec![]), (MOST_DELIVERIES, vec!["delivered_too_often".to_owned()])] {
        let batch = given.batch(&given.bob, if tries < MOST_DELIVERIES { 3 } else { 5 });
        leave_batch(&given.bob, &batch, &rand_id()).await;
        let stream = jetstream::new(given.bob.client.clone()).get_stream("NETPAY_REDEEM").await.expect("made");
        let consumer: PullConsumer = stream.get_consumer("netpay-broker").await.expect("made");
        for _ in 0..tries {
            let mut round = consumer.batch().max_messages(1).expires(PATIENCE).messages().await.expect("JetStream");
            let message = round.next().await.expect("one waits").expect("a message");
            message.ack_with(AckKind::Nak(None)).await.expect("sent");
        }
        given.bob.client.flush().await.expect("sent");
        given.start();
        given.until_empty();
        assert_eq!(given.reasons(), reasons);
        assert_eq!(given.balance(&given.bob), 3, "what is set aside is not paid");
        given.stop();
    }
}

#[tokio::test]
async fn a_stream_that_is_not_as_the_inbox_needs_it_is_refused_by_the_name_of_its_field() {
    let world = World::with_jetstream();
    world.init_broker(&[]);
    let broker = world.serve_broker();
    assert_eq!(broker.terminate(), Some(0));
    let context = jetstream::new(async_nats::connect(world.nats_url()).await.expect("NATS"));
    let info = async |name: &str| context.get_stream(name).await.expect("made").get_info().await.expect("info");
    let good = info("NETPAY_REDEEM").await.config;
    let aside = info("NETPAY_REDEEM_ASIDE").await.config;
    let other = |change: &dyn Fn(&mut stream::Config)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    let evicting = |config: &mut stream::Config| {
        (config.discard, config.discard_new_per_subject) = (DiscardPolicy::Old, false);
    };
    for (field, config) in [
        ("discard", other(&evicting)),
        ("discard_new_per_subject", other(&|config| config.discard_new_per_subject = false)),
        ("max_msgs_per_subject", other(&|config| config.max_messages_per_subject += 1)),
        ("max_bytes", other(&|config| config.max_bytes -= 1)),
        ("max_msg_size", other(&|config| config.max_message_size -= 1)),
        ("max_age", other(&|config| config.max_age = std::time::Duration::from_secs(3_600))),
        ("retention", other(&|config| config.retention = RetentionPolicy::Limits)),
        ("storage", other(&|config| config.storage = StorageType::Memory)),
        ("duplicate_window", other(&|config| config.duplicate_window *= 2)),
        ("max_msgs_per_subject", stream::Config { max_messages_per_subject: 1, ..aside.clone() }),
    ] {
        context.delete_stream(&config.name).await.expect("removed");
        context.create_stream(&config).await.expect("made");
        let refused = world.run("netpay-broker", &["serve", "--config", "broker"]);
        assert_eq!(refused.code, 1, "{field}: {refused:?}");
        assert!(refused.errors.contains(&format!("{} has {field} = ", config.name)), "{field}: {}", refused.errors);
        context.delete_stream(&config.name).await.expect("removed");
        let as_it_was = if config.name == aside.name { &aside } else { &good };
        context.create_stream(as_it_was).await.expect("made");
    }
    let stream = context.get_stream("NETPAY_REDEEM").await.expect("made");
    let forgetful = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("netpay-broker".into()),
        max_deliver: 3,
        ..Default::default()
    };
    stream.create_consumer(forgetful).await.expect("made");
    let refused = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert!(refused.code == 1 && refused.errors.contains("consumer netpay-broker has "), "{refused:?}");
    stream.delete_consumer("netpay-broker").await.expect("removed");
    world.serve_broker();
}

#[test]
fn without_jetstream_a_broker_serves_and_says_so_once_and_one_that_must_have_an_inbox_refuses() {
    let world = World::new();
    world.init_broker(&[]);
    let broker = world.serve_broker();
    assert_eq!(broker.said().matches("no inbox").count(), 1, "{}", broker.said());
    assert_eq!(broker.terminate(), Some(0));
    let set = |enabled: &str| {
        let path = world.path("broker/broker.toml");
        let text = std::fs::read_to_string(&path).expect("ours");
        let lines: String =
            text.lines().filter(|line| !line.starts_with("enabled = ")).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, lines.replace("[inbox]", &format!("[inbox]\nenabled = {enabled}"))).expect("ours");
    };
    set("true");
    let refused = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert!(refused.code == 1 && refused.errors.contains("no JetStream"), "{refused:?}");
    set("false");
    let broker = world.serve_broker();
    assert_eq!(broker.said().matches("no inbox").count(), 0, "{}", broker.said());
    let listed = world.run("netpay-broker", &["inbox", "list", "--config", "broker"]);
    assert!(listed.code == 6 && listed.errors.contains("nats-server -js"), "{listed:?}");
}
