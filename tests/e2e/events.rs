//! The event feed, as an operator's program reads it: everything that was recorded, in the shape of the export, whoever was
//! killed meanwhile.

use std::collections::BTreeMap;

use async_nats::jetstream;
use netpay_crash_point::inbox::Point;
use netpay_tests::processes::{World, until};
use netpay_tests::town::Town;
use serde_json::Value;

/// Has a feed.
const FEED: [(&str, &str); 1] = [("[events]\nenabled = false", "[events]\nenabled = true")];

/// Events by record and index, as they were published first; and how often in all.
type Published = (BTreeMap<(u64, u64), Value>, usize);

fn given() -> World {
    let world = World::with_jetstream();
    world.init_broker(&FEED);
    world
}

async fn published(world: &World) -> Published {
    let context = jetstream::new(async_nats::connect(world.nats_url()).await.expect("NATS"));
    let (mut events, mut count) = (BTreeMap::new(), 0);
    let Ok(stream) = context.get_stream("NETPAY_EVENTS").await else { return (events, count) };
    let state = &stream.cached_info().state;
    for number in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(number).await.expect("there");
        let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let kind = message.subject.strip_prefix("netpay.v1.events.").expect("an event's subject");
        assert_eq!(event["event"], kind);
        let header = |name: &str| message.headers.get(name).and_then(|value| value.as_str().parse().ok()).expect(name);
        let at: (u64, u64) = (header("Netpay-Position"), header("Netpay-Index"));
        assert_eq!((event["position"].as_u64(), event["index"].as_u64()), (Some(at.0), Some(at.1)));
        let before = events.insert(at, event.clone());
        assert!(before.is_none_or(|before| before == event), "{at:?} was told differently before");
        count += 1;
    }
    (events, count)
}

/// What the export says, without words.
fn exported(world: &World) -> BTreeMap<(u64, u64), Value> {
    let mut export = world.start("netpay-broker", &["ledger", "export", "--config", "broker"], "export.jsonl");
    assert_eq!(until("the end of an export", || export.ended()), Some(0));
    let lines = export.said();
    let mut events = BTreeMap::new();
    for line in lines.lines() {
        let mut event: Value = serde_json::from_str(line).expect("JSON");
        for claim in event.pointer_mut("/fields/claims").and_then(Value::as_array_mut).into_iter().flatten() {
            assert!(claim.as_object_mut().expect("an object").remove("word").is_some());
        }
        events.insert((event["position"].as_u64().expect("one"), event["index"].as_u64().expect("one")), event);
    }
    events
}

#[tokio::test]
async fn every_event_is_published_as_it_is_exported_but_for_words_and_only_where_it_is_wanted() {
    let town = Town::within(World::with_jetstream(), &FEED);
    let (bob, _) = (town.join("bob"), town.join_with_money("alice", 300));
    let (content, _) = town.share("bob", "song.bin", 300_000, 50);
    town.peer("alice", &["buy"]);
    let serving = town.serve("bob");
    town.peer("alice", &["get", &content, "--from", &bob, "--max-price", "50", "-o", "got.bin"]);
    drop(serving);
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 50);
    let broker = town.broker.as_ref().expect("it runs");
    until("the feed", || {
        (broker.metric("netpay_events_position") == broker.metric("netpay_ledger_position")).then_some(())
    });
    let (events, count) = published(&town.world).await;
    assert_eq!((events.len(), &events), (count, &exported(&town.world)));
    assert!(events.values().any(|event| event["event"] == "batch_redeemed"), "a word was there to be left out");

    let quiet = World::with_jetstream();
    quiet.init_broker(&[]);
    let _broker = quiet.serve_broker();
    quiet.credit(&"00".repeat(16), 5, "bank");
    assert_eq!(published(&quiet).await.1, 0, "nobody asked for a feed");
}

#[tokio::test]
async fn a_feed_whose_broker_is_killed_goes_on_without_a_gap() {
    let world = given();
    let peer = "01".repeat(16);
    let arguments = ["--json", "serve", "--config", "broker"];
    for (round, point) in [Some(1), Some(2), None, Some(1)].into_iter().enumerate() {
        let at = point.map(|time| ("NETPAY_CRASH_AT".to_owned(), format!("{}#{time}", Point::EventsPublished.name())));
        let variables: Vec<_> = at.into_iter().collect();
        let mut broker = world.start_with("netpay-broker", &arguments, &variables, "broker.log");
        until("a broker that is ready, or dead", || {
            broker.said().contains("\"ready\":true").then_some(()).or_else(|| broker.ended().map(|_| ()))
        });
        let credit = |number: usize| {
            let reference = format!("{round}-{number}");
            let credit = ["--json", "account", "credit", &peer, "1", "--reference", &reference, "--config", "broker"];
            world.run("netpay-broker", &credit);
        };
        let mut number = 0;
        // Nobody waits for the feed: it is behind, and then the broker dies.
        let killed = until("some records, or the end of a broker", || {
            if broker.ended().is_some() {
                return Some(true);
            }
            credit(number);
            number += 1;
            (point.is_none() && number == 5).then_some(false)
        });
        assert_eq!(killed, point.is_some());
        broker.kill();
    }
    let broker = world.serve_broker();
    until("the feed", || {
        (broker.metric("netpay_events_position") == broker.metric("netpay_ledger_position")).then_some(())
    });
    let (events, _) = published(&world).await;
    assert_eq!(events, exported(&world));
    // Its stream is taken away: nobody who serves minds, and what follows is published when there is one again.
    let context = jetstream::new(async_nats::connect(world.nats_url()).await.expect("NATS"));
    context.delete_stream("NETPAY_EVENTS").await.expect("removed");
    let before = broker.metric("netpay_ledger_position");
    for number in 0..5 {
        world.credit(&peer, 1, &format!("without-{number}"));
    }
    assert_eq!(broker.metric("netpay_events_position"), before);
    assert_eq!(broker.terminate(), Some(0));
    let broker = world.serve_broker();
    until("the feed", || (broker.metric("netpay_events_position") == before + 5.0).then_some(()));
    let (events, _) = published(&world).await;
    assert_eq!(events.len(), 5, "those that no stream had taken");
}

#[test]
fn a_feed_without_jetstream_and_one_of_another_log_are_refused() {
    let world = World::new();
    world.init_broker(&FEED);
    let refused = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert!(refused.code == 1 && refused.errors.contains("events: ") && refused.errors.contains("-js"), "{refused:?}");
    let world = given();
    let cursor = format!("{{\"position\":9,\"hash\":\"{}\",\"incarnation\":0}}", "07".repeat(32));
    std::fs::write(world.path("broker/events.cursor"), cursor).expect("ours");
    let refused = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert!(refused.code == 1 && refused.errors.contains("remove events.cursor"), "{refused:?}");
}
