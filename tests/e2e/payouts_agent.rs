//! Payouts from end to end: a peer asks, the operator settles or gives back, and the peer sees what became of it.

use netpay_tests::processes::World;
use serde_json::Value;

fn peer(world: &World, arguments: &[&str]) -> Value {
    world.ok("netpay", &[&["--home", "bob", "--json"], arguments].concat())
}

#[test]
fn a_payout_is_debited_at_once_and_the_peer_sees_what_the_operator_made_of_it() {
    let world = World::new();
    let id = world.init_broker(&[]);
    let broker = world.serve_broker();
    let made = peer(&world, &["init", "--broker", &id, "--nats", &world.nats_url()]);
    let bob = made["peer"].as_str().expect("an id").to_owned();
    world.credit(&bob, 100, "bob");

    let first = peer(&world, &["payout", "30", "--to", "IBAN 1"]);
    assert_eq!((&first["state"], &first["amount_units"]), (&"requested".into(), &30.into()), "{first}");
    let second = peer(&world, &["payout", "20", "--to", "IBAN 2"]);
    assert_eq!(peer(&world, &["balance"])["balance_units"], 50);
    let much = world.run("netpay", &["--home", "bob", "--json", "payout", "51", "--to", "IBAN 3"]);
    assert_eq!(much.code, 5, "{much:?}");

    let name = |payout: &Value| payout["request"].as_str().expect("an id").to_owned();
    world.broker(&["payout", "settle", &bob, &name(&first), "--reference", "bank 4711"]);
    world.broker(&["payout", "fail", &bob, &name(&second), "--reason", "no such account"]);
    let listed = peer(&world, &["payout", "--list"]);
    assert_eq!(listed["from_broker"], true);
    let payouts = listed["payouts"].as_array().expect("a list").clone();
    let state = |request: &str| {
        let found = payouts.iter().find(|payout| payout["request"] == request).expect("listed");
        (found["state"].as_str().expect("a state").to_owned(), found["note"].as_str().unwrap_or("").to_owned())
    };
    assert_eq!(state(&name(&first)), ("settled".into(), "bank 4711".into()));
    assert_eq!(state(&name(&second)), ("failed".into(), "no such account".into()));
    assert_eq!(peer(&world, &["balance"])["balance_units"], 70, "what failed is back");

    // Without the broker the wallet still knows, and says that it is no more than that.
    assert_eq!(broker.terminate(), Some(0));
    let known = peer(&world, &["payout", "--list"]);
    assert_eq!((&known["from_broker"], known["payouts"].as_array().map(Vec::len)), (&false.into(), Some(3)));
    let history = peer(&world, &["history"]);
    let moved: i64 =
        history["entries"].as_array().expect("a list").iter().filter_map(|e| e["balance_units"].as_i64()).sum();
    assert_eq!(moved, -30, "{history}");
}
