//! What an operator keeps up: the clock, the broker's keys, and an eye on the stored rows.

use netpay_broker::store::Store;
use netpay_ledger::load;
use netpay_ledger::rows::{AccountRow, Row as _};
use netpay_ledger::working_set::Change;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::wire;
use netpay_tests::processes::{PATIENCE, Process, World, until, within};
use netpay_tests::town::Town;
use serde_json::Value;

fn balance(town: &Town, peer: &str) -> u64 {
    town.world.broker(&["account", "show", peer])["balance_units"].as_u64().expect("a number")
}

fn restart(town: &mut Town) {
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    town.broker = Some(town.world.serve_broker());
}

fn trusts_its_clock(town: &Town) -> bool {
    town.broker.as_ref().expect("it runs").metric("netpay_clock_trusted") == 1.0
}

/// Alice buys 256 words for 300 units, and bob is paid 100 of them for a file.
fn given_a_trade() -> (Town, String, String) {
    let town = Town::without_index();
    town.world.set_clock("+0");
    let alice = town.join_with_money("alice", 300);
    let bob = town.join("bob");
    let (content, _) = town.share("bob", "song.bin", 500_000, 100);
    town.peer("alice", &["buy"]);
    let serving = town.serve("bob");
    town.peer("alice", &["get", &content, "--from", &bob, "--max-price", "100", "-o", "got.bin"]);
    drop(serving);
    (town, alice, bob)
}

#[test]
fn what_was_not_redeemed_comes_back_after_months_once_the_clock_is_confirmed() {
    let (mut town, alice, bob) = given_a_trade();
    restart(&mut town);
    assert!(trusts_its_clock(&town));
    // 90 days to spend, 30 more to redeem, one of grace.
    town.world.set_clock("+119d");
    restart(&mut town);
    until("a look at the clock", || (!trusts_its_clock(&town)).then_some(()));
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 100, "in time");
    town.world.set_clock("+122d");
    // The batch was recorded a moment ago; that the clock is in doubt is not forgotten by a restart.
    restart(&mut town);
    until("a look at the clock", || (!trusts_its_clock(&town)).then_some(()));
    let looks = |town: &Town| town.broker.as_ref().expect("it runs").metric("netpay_clock_looks_total");
    let seen = looks(&town);
    // The look under way when these were counted, and a whole one.
    until("a look for what is due", || (looks(&town) >= seen + 2.0).then_some(()));
    assert_eq!(balance(&town, &alice), 44, "nothing is refunded while the clock is in doubt");
    let said = town.world.broker(&["ledger", "confirm-clock", "--reason", "NTP is in step"]);
    assert_eq!(said["clock_trusted"], true, "{said}");
    until("the refund", || (balance(&town, &alice) == 200).then_some(()));
    assert_eq!(balance(&town, &bob), 100);
    let audit = town.world.broker(&["ledger", "audit"]);
    assert_eq!((&audit["ok"], &audit["escrow_units"]), (&Value::Bool(true), &Value::from(0)), "{audit}");
    let late = town.world.run("netpay-broker", &["ledger", "confirm-clock", "--reason", "again", "--config", "broker"]);
    assert!(late.code != 0 && late.errors.contains("not in doubt"), "{late:?}");
}

#[test]
fn a_clock_that_jumps_while_the_broker_serves_is_in_doubt_until_it_is_confirmed() {
    let mut town = Town::without_index();
    town.world.set_clock("+0");
    restart(&mut town);
    assert!(trusts_its_clock(&town));
    town.world.set_clock("+3600s");
    until("a look at the clock", || (!trusts_its_clock(&town)).then_some(()));
    let alice = town.join("alice");
    town.world.credit(&alice, 5, "the record that makes the last one fresh");
    restart(&mut town);
    until("a look at the clock", || (!trusts_its_clock(&town)).then_some(()));
    town.world.broker(&["ledger", "confirm-clock", "--reason", "summer time is no reason, but this is a test"]);
    until("a look at the clock", || trusts_its_clock(&town).then_some(()));
    restart(&mut town);
    assert!(trusts_its_clock(&town));
}

fn rotate(town: &mut Town, arguments: &[&str]) -> Value {
    let serving = town.world.run("netpay-broker", &["key", "rotate", "touchstone", "--config", "broker"]);
    assert!(serving.code == 1 && serving.errors.contains("in use"), "{serving:?}");
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    let said = town.world.broker(&[&["key", "rotate"], arguments].concat());
    town.broker = Some(town.world.serve_broker());
    said
}

#[test]
fn with_a_retired_touchstone_key_old_and_new_ecoins_are_spent_and_with_a_revoked_one_only_redeemed() {
    let mut town = Town::without_index();
    town.join_with_money("alice", 600);
    let bob = town.join("bob");
    let (content, _) = town.share("bob", "song.bin", 500_000, 300);
    let (other, _) = town.share("bob", "other.bin", 400_000, 10);
    town.peer("alice", &["buy"]);
    rotate(&mut town, &["touchstone"]);
    rotate(&mut town, &["statement"]);
    rotate(&mut town, &["notice"]);
    rotate(&mut town, &["chain-master"]);
    town.peer("alice", &["buy"]);
    let serving = town.serve("bob");
    // 300 units take words of both e-coins.
    town.peer("alice", &["get", &content, "--from", &bob, "--max-price", "300", "-o", "got.bin"]);
    let said = rotate(&mut town, &["touchstone", "--revoke"]);
    assert_eq!(said["revoked"], true, "{said}");
    let shown = town.world.broker(&["key", "show"]);
    let keys = shown["keys"].as_array().expect("a list");
    let touchstones: Vec<_> = keys.iter().filter(|key| key["purpose"] == "touchstone").collect();
    assert_eq!(touchstones.len(), 3);
    assert_eq!(touchstones.iter().filter(|key| key["signs"] == true).count(), 1);
    assert_eq!(touchstones.iter().filter(|key| !key["revoked_at_ms"].is_null()).count(), 1);
    assert_eq!(shown["epochs"], serde_json::json!([1, 2]));

    // Both have the new list; words of the revoked key's e-coin buy nothing more.
    drop(serving);
    let _serving = town.serve("bob");
    let refused = town.run("alice", &["get", &other, "--from", &bob, "--max-price", "10", "-o", "got-other.bin"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let redeemed = town.peer("bob", &["redeem"]);
    assert_eq!(redeemed["credited_units"], 300, "the broker redeems what it sold: {redeemed}");
    let audit = town.world.broker(&["ledger", "audit"]);
    assert_eq!(audit["ok"], true, "what the key signed before it was lost stands in the log for good: {audit}");
}

/// A Prometheus that reads this broker's metrics with the rules that are deployed.
fn prometheus(world: &World, broker: &Process) -> (Process, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let said = broker.said();
    let ready = said.lines().find(|line| line.contains("\"ready\":true")).expect("it is ready");
    let ready: Value = serde_json::from_str(ready).expect("an object");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/ledger.rules.yml");
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\nscrape_configs:\n  - job_name: \
         broker\n    static_configs: [{{ targets: [{}] }}]\n",
        ready["http"]
    );
    std::fs::write(world.path("prometheus.yml"), config).expect("our own file");
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", &listen];
    let mut process = world.start_found("prometheus", &arguments, "prometheus.log");
    process.wait_for("Server is ready to receive web requests");
    (process, port)
}

fn firing(port: u16) -> Vec<String> {
    let (_, answer) = netpay_tests::processes::http_get(&format!("127.0.0.1:{port}"), "/api/v1/alerts");
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let alerts = body["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_row_with_one_unit_too_much_is_seen_by_the_gauge_the_alert_and_readiness() {
    let mut town = Town::without_index();
    let alice: PeerId = town.join_with_money("alice", 600).parse().expect("an id");
    let broker = town.broker.take().expect("it runs");
    until("the first scan", || (broker.http_get("/readyz").0 == 200).then_some(()));
    let (watching, port) = prometheus(&town.world, &broker);
    within(2 * PATIENCE, "a scrape", || {
        let (_, up) = netpay_tests::processes::http_get(
            &format!("127.0.0.1:{port}"),
            "/api/v1/query?query=netpay_ledger_position",
        );
        up.contains("\"value\"").then_some(())
    });
    assert_eq!(firing(port), Vec::<String>::new());
    drop(watching);
    assert_eq!(broker.terminate(), Some(0));

    let store = Store::open(&town.world.path("broker/ledger")).expect("a ledger");
    let state: &dyn netpay_broker::ports::State = &store;
    let row: AccountRow = load::row(&state, &alice).expect("readable").expect("credited");
    let richer = AccountRow { balance: Units(row.balance.0 + 1), ..row };
    let change = Change { table: AccountRow::TABLE, key: AccountRow::key(&alice), value: Some(wire::encode(&richer)) };
    store.write(&[], &[change]).expect("written");
    drop(store);

    let broker = town.world.serve_broker();
    until("the scan's verdict", || (broker.metric("netpay_ledger_imbalance_units") == 1.0).then_some(()));
    let (status, why) = broker.http_get("/readyz");
    assert!(status == 503 && why.contains("invariant"), "{status} {why}");
    let (_watching, port) = prometheus(&town.world, &broker);
    within(2 * PATIENCE, "the alert", || firing(port).contains(&"NetpayLedgerImbalance".to_owned()).then_some(()));
    let audit = town.world.run("netpay-broker", &["--json", "ledger", "audit", "--config", "broker"]);
    assert_eq!(audit.code, 7, "{audit:?}");
}
