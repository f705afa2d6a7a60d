//! Starting, stopping, and everything that can be wrong with it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use netpay_tests::processes::{World, until};

#[test]
fn without_a_nats_server_the_broker_says_how_to_start_one() {
    let world = World::without_nats();
    world.init_broker(&[]);
    let ended = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.errors.contains("no NATS server at") && ended.errors.contains("nats-server"), "{}", ended.errors);
}

/// The server is a stand-in that only greets: an old enough one is in no registry that tests can count on.
#[test]
fn a_nats_server_that_is_too_old_is_refused_with_its_version() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("just bound").port();
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the broker connects");
        let info = r#"INFO {"server_id":"x","server_name":"x","version":"2.9.10","go":"go1","host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"proto":1}"#;
        stream.write_all(format!("{info}\r\nPONG\r\n").as_bytes()).expect("written");
        // Until the broker hangs up.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let world = World::without_nats();
    world.init_broker(&[(&world.nats_url(), &format!("nats://127.0.0.1:{port}"))]);
    let ended = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.errors.contains("2.9.10") && ended.errors.contains("2.12"), "{}", ended.errors);
    greeter.join().expect("it ended");
}

#[test]
fn a_second_init_changes_nothing_and_a_directory_serves_one_broker() {
    let world = World::new();
    let id = world.init_broker(&[]);
    let key = std::fs::read(world.path("broker/keys/root.key")).expect("made by init");
    let again = world.run("netpay-broker", &["init", "--dir", "broker"]);
    assert_eq!(again.code, 1);
    assert!(again.errors.contains("nothing was changed"), "{}", again.errors);
    assert_eq!(std::fs::read(world.path("broker/keys/root.key")).expect("still there"), key);
    let first = world.serve_broker();
    let second = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert_eq!(second.code, 1);
    assert!(second.errors.contains("in use by another process"), "{}", second.errors);
    assert!(first.said().contains(&id));
    assert_eq!(first.terminate(), Some(0), "SIGTERM drains and ends well");
}

#[test]
fn metrics_health_readiness_and_version_are_served() {
    let world = World::new();
    world.init_broker(&[]);
    let broker = world.serve_broker();
    world.credit(&"07".repeat(16), 10, "r");
    assert_eq!(broker.http_get("/healthz").0, 200);
    assert!(broker.http_get("/version").1.contains("netpay-broker"));
    until("the first scan", || (broker.http_get("/readyz").0 == 200).then_some(()));
    let (status, text) = broker.http_get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "netpay_requests_total{op=\"admin\",result=\"ok\"} 1",
        "netpay_request_seconds_count{op=\"admin\"} 1",
        "netpay_ecoins_issued_total 0",
        "netpay_words_redeemed_total 0",
        "netpay_double_spends_total 0",
        "netpay_escrow_units 0",
        "netpay_balances_units 10",
        "netpay_ledger_imbalance_units 0",
        "netpay_ledger_position 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn the_broker_answers_the_nats_service_protocol() {
    let world = World::new();
    let id = world.init_broker(&[]).parse().expect("an id");
    let _broker = world.serve_broker();
    let anyone = netpay_tests::raw_peer::RawPeer::connect(&world.nats_url(), id).await.expect("NATS is there");
    for verb in ["PING", "INFO", "STATS"] {
        let answer = anyone.call(format!("$SRV.{verb}.netpay-broker"), vec![]).await.expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["name"], "netpay-broker");
    }
}

#[test]
fn one_process_can_be_broker_and_index() {
    let world = World::new();
    world.init_broker(&[(r#"roles = ["broker"]"#, r#"roles = ["broker", "index"]"#)]);
    let broker = world.serve_broker();
    assert!(broker.said().contains(r#""roles":["broker","index"]"#), "{}", broker.said());
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn a_key_file_that_others_can_read_stops_the_broker() {
    let world = World::new();
    world.init_broker(&[]);
    let path = world.path("broker/keys/chain-master-1.key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("our own file");
    let ended = world.run("netpay-broker", &["serve", "--config", "broker"]);
    assert_eq!(ended.code, 1);
    assert!(ended.errors.contains("chmod 600"), "{}", ended.errors);
}

#[test]
fn operator_commands_say_when_the_broker_is_not_running_and_read_its_directory_where_that_makes_sense() {
    let world = World::new();
    world.init_broker(&[]);
    let peer = "07".repeat(16);
    let credit = ["--json", "account", "credit", &peer, "10", "--reference", "r", "--config", "broker"];
    let ended = world.run("netpay-broker", &credit);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.errors.contains("the broker is not running"), "{}", ended.errors);
    let broker = world.serve_broker();
    world.ok("netpay-broker", &credit);
    assert_eq!(broker.terminate(), Some(0));
    let shown = world.run("netpay-broker", &["--json", "account", "show", &peer, "--config", "broker"]);
    assert_eq!((shown.code, shown.json["balance_units"].as_u64()), (0, Some(10)));
    assert!(shown.errors.contains("at position 1"), "{}", shown.errors);
    let missing = world.run("netpay-broker", &["--json", "account", "show", &"08".repeat(16), "--config", "broker"]);
    assert_eq!(missing.code, 3);
}

#[test]
fn a_rebuilt_ledger_has_the_same_digest_and_can_replace_the_old_one() {
    let world = World::new();
    world.init_broker(&[]);
    let broker = world.serve_broker();
    for i in 0..5 {
        world.credit(&format!("0{i}").repeat(16), 10, &format!("r{i}"));
    }
    assert_eq!(broker.terminate(), Some(0));
    let audit = world.broker(&["ledger", "audit"]);
    let rebuilt = world.broker(&["ledger", "rebuild", "--replace"]);
    assert_eq!((&audit["digest"], &audit["head"]), (&rebuilt["digest"], &rebuilt["head"]));
    assert_eq!((rebuilt["same"].as_bool(), rebuilt["position"].as_u64()), (Some(true), Some(5)));
    let broker = world.serve_broker();
    assert_eq!(world.broker(&["account", "list"])["accounts"].as_array().map(Vec::len), Some(5));
    drop(broker);
}
