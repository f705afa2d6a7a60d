//! The redemption inbox from a person's side: `netpay redeem --publish`, and the statement that is fetched later.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt as _;
use netpay_crash_point::{agent, inbox};
use netpay_protocol::subjects;
use netpay_tests::lossy::LossyWire;
use netpay_tests::processes::{PATIENCE, Process, World, until};
use netpay_tests::town::Town;
use serde_json::Value;

/// Bob was paid 100 by alice, who bought 256 words for 300 units. Their clocks can be set.
struct Given {
    town: Town,
    alice: String,
    bob: String,
}

impl Given {
    fn trade(world: World) -> Self {
        let town = Town::within(world, &[]);
        let alice = town.join_with_money("alice", 300);
        let bob = town.join("bob");
        let (content, _) = town.share("bob", "song.bin", 500_000, 100);
        town.peer("alice", &["buy"]);
        let serving = town.serve("bob");
        town.peer("alice", &["get", &content, "--from", &bob, "--max-price", "100", "-o", "got.bin"]);
        drop(serving);
        Self { town, alice, bob }
    }

    fn stop_the_broker(&mut self) {
        assert_eq!(self.town.broker.take().expect("it runs").terminate(), Some(0));
    }

    fn start_the_broker(&mut self) {
        self.town.broker = Some(self.town.world.serve_broker());
    }

    /// Leaves bob's batch; answers its id.
    fn publish(&self) -> String {
        let left = self.town.peer("bob", &["redeem", "--publish"]);
        assert_eq!((&left["published"]["units"], &left["later_claims"]), (&100.into(), &0.into()), "{left}");
        left["published"]["request"].as_str().expect("an id").to_owned()
    }

    /// Asks for the statement until it is there. Until then it is said that it comes later.
    fn fetch(&self, batch: &str) -> Value {
        until("a statement", || {
            let asked = self.town.run("bob", &["statement", "--batch", batch]);
            assert!([0, 75].contains(&asked.code), "{asked:?}");
            (asked.code == 0).then_some(asked.json)
        })
    }

    fn waiting(&self) -> Value {
        self.town.world.broker(&["inbox", "list"])["waiting_count"].clone()
    }

    fn balance(&self, peer: &str) -> u64 {
        let shown = self.town.world.broker(&["account", "show", peer]);
        shown["balance_units"].as_u64().expect("a number")
    }

    /// Bob has his 100, once, in the broker's books and in his own.
    fn all_is_settled(&self) {
        assert_eq!(self.town.peer("bob", &["redeem"])["nothing_to_redeem"], true);
        assert_eq!(self.balance(&self.bob), 100);
        let history = self.town.peer("bob", &["history", "--what", "redeem"]);
        let entries = history["entries"].as_array().expect("a list");
        let units: i64 = entries.iter().map(|entry| entry["till_units"].as_i64().expect("a number")).sum();
        assert_eq!(units, -100, "{history}");
        assert_eq!(self.town.world.broker(&["doublespend", "list"])["double_spends"], serde_json::json!([]));
        assert_eq!(self.town.world.broker(&["ledger", "audit"])["ok"], true);
    }
}

#[test]
fn a_batch_is_left_while_the_broker_sleeps_and_its_statement_is_fetched_when_it_has_woken() {
    let mut given = Given::trade(World::with_jetstream());
    given.stop_the_broker();
    let batch = given.publish();
    assert_eq!(given.town.run("bob", &["statement", "--batch", &batch]).code, 6, "the broker is away");
    let statements = given.town.peer("bob", &["statement"]);
    assert_eq!(statements["published"]["request"], Value::from(batch.clone()), "{statements}");
    let again = given.town.peer("bob", &["redeem", "--publish"]);
    assert_eq!(again["published"]["request"], Value::from(batch.clone()), "the same batch");
    assert_eq!(again["published"]["lay_there_before"], true);
    assert_eq!(given.waiting(), 1);
    given.start_the_broker();
    let told = given.fetch(&batch);
    assert_eq!((&told["credited_words"], &told["source"]), (&100.into(), &"broker".into()), "{told}");
    assert_eq!(given.town.peer("bob", &["statement", "--batch", &batch])["source"], "wallet", "it is held now");
    assert_eq!(given.town.peer("bob", &["statement"])["published"], Value::Null);
    assert_eq!(given.town.peer("bob", &["redeem", "--publish"])["nothing_to_redeem"], true);
    given.all_is_settled();
}

#[test]
fn a_batch_that_was_left_and_is_then_sent_as_well_is_paid_once() {
    let mut given = Given::trade(World::with_jetstream());
    given.stop_the_broker();
    let batch = given.publish();
    given.start_the_broker();
    let sent = given.town.peer("bob", &["redeem"]);
    assert_eq!((&sent["credited_units"], &sent["batches"][0]["request"]), (&100.into(), &batch.into()), "{sent}");
    until("an empty inbox", || (given.waiting() == 0).then_some(()));
    given.all_is_settled();
}

#[test]
fn an_agent_killed_before_or_after_its_batch_is_stored_loses_no_claim_and_doubles_none() {
    let mut given = Given::trade(World::with_jetstream());
    given.stop_the_broker();
    for point in [
        format!("{}#1", agent::Point::CommitBegins.name()),
        format!("{}#1", agent::Point::CommitDone.name()),
        inbox::Point::Published.name().to_owned(),
        format!("{}#2", agent::Point::CommitBegins.name()),
        format!("{}#2", agent::Point::CommitDone.name()),
    ] {
        let variables = [("NETPAY_CRASH_AT".to_owned(), point.clone())];
        let arguments = ["--home", "bob", "--json", "redeem", "--publish"];
        let mut agent = given.town.world.start_with("netpay", &arguments, &variables, "agent.log");
        assert_eq!(until("the end of an agent", || agent.ended()), None, "{point}: {}", agent.said());
    }
    let batch = given.publish();
    assert_eq!(given.waiting(), 1, "one batch, under one id");
    given.start_the_broker();
    assert_eq!(given.fetch(&batch)["credited_words"], 100);
    given.all_is_settled();
}

#[test]
fn a_batch_whose_acknowledgement_is_lost_is_stored_once_and_the_person_hears_that_it_is() {
    let mut given = Given::trade(World::with_jetstream());
    given.stop_the_broker();
    let wire = LossyWire::to(&given.town.world.nats_url());
    let through = [("NETPAY_NATS".to_owned(), wire.url.clone())];
    let arguments = ["--home", "bob", "--json", "redeem", "--publish"];
    let mut agent = given.town.world.start_with("netpay", &arguments, &through, "agent.log");
    assert_eq!(until("the end of an agent", || agent.ended()), Some(0), "{}", agent.said());
    assert!(wire.has_lost(), "the first acknowledgement");
    assert!(agent.said().contains("\"lay_there_before\":true"), "{}", agent.said());
    assert_eq!(given.waiting(), 1);
    let batch = given.publish();
    given.start_the_broker();
    assert_eq!(given.fetch(&batch)["credited_words"], 100);
    given.all_is_settled();
}

#[test]
fn without_an_inbox_and_with_a_full_one_the_person_is_told_what_to_do_and_the_claims_are_kept() {
    let given = Given::trade(World::new());
    let none = given.town.run("bob", &["redeem", "--publish"]);
    assert!(
        none.code == 6 && none.errors.contains("has no inbox") && none.errors.contains("netpay redeem"),
        "{none:?}"
    );
    assert_eq!(given.town.peer("bob", &["redeem"])["credited_units"], 100);

    let mut given = Given::trade(World::with_jetstream());
    given.stop_the_broker();
    let subject = subjects::inbox(given.bob.parse().expect("an id"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let context = runtime
        .block_on(async { jetstream::new(async_nats::connect(given.town.world.nats_url()).await.expect("NATS")) });
    // A stream that takes the same messages and is nobody's inbox.
    let another = || async {
        context.delete_stream("NETPAY_REDEEM").await.expect("removed");
        let subjects = vec![subjects::any_inbox()];
        let config = jetstream::stream::Config { name: "ANOTHER".into(), subjects, ..Default::default() };
        context.create_stream(config).await.expect("made");
    };
    runtime.block_on(another());
    let none = given.town.run("bob", &["redeem", "--publish"]);
    assert!(none.code == 6 && none.errors.contains("has no inbox"), "{none:?}");
    runtime.block_on(async { context.delete_stream("ANOTHER").await.expect("removed") });
    given.start_the_broker();
    given.stop_the_broker();
    runtime.block_on(async {
        for _ in 0..4 {
            context.publish(subject.clone(), "junk".into()).await.expect("sent").await.expect("stored");
        }
    });
    let full = given.town.run("bob", &["redeem", "--publish"]);
    assert!(full.code == 75 && full.errors.contains("is full"), "{full:?}");
    given.start_the_broker();
    until("room", || (given.waiting() == 0).then_some(()));
    let batch = given.publish();
    assert_eq!(given.fetch(&batch)["credited_words"], 100);
    given.all_is_settled();
}

/// The last moment to redeem passes while a batch waits; it was left in time.
#[tokio::test(flavor = "multi_thread")]
async fn no_e_coin_is_refunded_while_a_batch_that_was_left_in_time_waits() {
    let world = World::with_jetstream();
    world.set_clock("+0");
    let mut given = Given::trade(world);
    given.stop_the_broker();
    let batch = given.publish();
    // Another node of the broker has it in its hands, and is slow.
    let context = jetstream::new(async_nats::connect(given.town.world.nats_url()).await.expect("NATS"));
    let stream = context.get_stream("NETPAY_REDEEM").await.expect("made");
    let consumer: PullConsumer = stream.get_consumer("netpay-broker").await.expect("made");
    let mut round = consumer.batch().max_messages(1).expires(PATIENCE).messages().await.expect("JetStream");
    let held = round.next().await.expect("it waits").expect("a message");
    let slow = held.clone();
    let at_work = tokio::spawn(async move {
        loop {
            slow.ack_with(AckKind::Progress).await.expect("sent");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    given.town.world.set_clock("+122d");
    given.start_the_broker();
    let broker = |given: &Given, name: &str| given.town.broker.as_ref().map(|broker: &Process| broker.metric(name));
    until("a look at the clock", || (broker(&given, "netpay_clock_trusted") == Some(0.0)).then_some(()));
    given.town.world.broker(&["ledger", "confirm-clock", "--reason", "NTP is in step"]);
    let looks = |given: &Given| broker(given, "netpay_clock_looks_total").expect("it runs");
    let seen = looks(&given);
    // The look under way when these were counted, and a whole one.
    until("a look for what is due", || (looks(&given) >= seen + 2.0).then_some(()));
    assert_eq!(given.balance(&given.alice), 44, "nothing is refunded yet");
    assert!(broker(&given, "netpay_inbox_oldest_age_seconds").expect("it runs") > 121.0 * 86_400.0);
    at_work.abort();
    held.ack_with(AckKind::Nak(None)).await.expect("sent");
    until("the refund of what nobody claimed", || (given.balance(&given.alice) == 44 + 156).then_some(()));
    assert_eq!(given.fetch(&batch)["credited_words"], 100);
    given.all_is_settled();
}
