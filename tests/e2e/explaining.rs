//! Why a number is what it is: a double spend at a real broker, exported, explained, shown as of then, and proven to
//! somebody who has nothing but the broker's id. All but the last while the broker serves.

use std::process::Command;

use netpay_protocol::suite::Suite;
use netpay_tests::processes::{Process, World, program};
use netpay_tests::raw_peer::RawPeer;
use serde_json::Value;

struct Scene {
    world: World,
    broker: Process,
    id: String,
    mallory: String,
    bob: String,
    carol: String,
    ecoin: String,
}

/// Mallory buys 50 words; Bob redeems W1..W5, then Carol brings W3..W7.
async fn scene() -> Scene {
    let world = World::new();
    let id = world.init_broker(&[]);
    let broker = world.serve_broker();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = RawPeer::connect(&world.nats_url(), id.parse().expect("an id")).await.expect("NATS is there");
        peer.join().await.expect("a good registration");
        peers.push(peer);
    }
    let [mallory, bob, carol] = peers.try_into().ok().expect("three peers");
    world.credit(&mallory.id().to_string(), 60, "bank 1");
    let coins = mallory.buy(&mallory.order(50, 1, Suite::Sha256)).await.expect("bought");
    for (payee, range, through) in [(&bob, (1, 6), 5), (&carol, (3, 8), 7)] {
        let grant = mallory.grant(&coins[0], range, payee.id());
        let batch = payee.batch(vec![RawPeer::claim(&coins[0], &grant, through)]);
        payee.redeem(&batch).await.expect("a statement");
    }
    let ecoin = coins[0].touchstone.content.ecoin.to_string();
    let (mallory, bob, carol) = (mallory.id().to_string(), bob.id().to_string(), carol.id().to_string());
    Scene { world, broker, id, mallory, bob, carol, ecoin }
}

/// What a command writes to stdout, as bytes.
fn output(world: &World, arguments: &[&str]) -> Vec<u8> {
    let ended = Command::new(program("netpay-broker")).current_dir(world.dir.path()).args(arguments).output();
    let ended = ended.expect("it starts");
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

fn lines(world: &World, arguments: &[&str]) -> Vec<Value> {
    let text = String::from_utf8(output(world, &[arguments, &["--config", "broker"]].concat())).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON on each line")).collect()
}

#[tokio::test]
async fn the_log_is_exported_and_explained_while_the_broker_serves() {
    let scene = scene().await;
    let world = &scene.world;
    let all = lines(world, &["ledger", "export"]);
    let events: Vec<_> = all.iter().map(|line| line["event"].as_str().expect("a name")).collect();
    let expected = [
        "funds_credited",
        "account_opened",
        "ecoins_issued",
        "account_opened",
        "batch_redeemed",
        "account_opened",
        "batch_redeemed",
        "double_spend_detected",
        "account_suspended",
    ];
    assert_eq!(events, expected);
    assert_eq!(lines(world, &["--json", "ledger", "export", "--from", "3", "--to", "3"]), all[3..5]);
    assert_eq!(lines(world, &["ledger", "export", "--from", "5"]), Vec::<Value>::new());
    for (arguments, code) in [(["--from", "6"].as_slice(), 3), (&["--to", "5"], 3), (&["--from", "3", "--to", "2"], 2)]
    {
        let ended = world.run("netpay-broker", &[&["ledger", "export", "--config", "broker"], arguments].concat());
        assert_eq!(ended.code, code, "{ended:?}");
    }

    let tale = world.broker(&["ledger", "explain", &scene.mallory]);
    assert_eq!((&tale["balance_units"], &tale["debt_units"], &tale["agree"]), (&10.into(), &3.into(), &true.into()));
    let tale = world.broker(&["ledger", "explain", &scene.ecoin]);
    assert_eq!((&tale["left_words"], &tale["agree"]), (&43.into(), &true.into()));
    assert_eq!(tale["entries"][2]["runs"][0]["payee"], *scene.carol);
    let text = String::from_utf8(output(world, &["ledger", "explain", "4", "--config", "broker"])).expect("text");
    assert!(text.contains("double spend") && text.contains(&format!("asked for by peer {}", scene.carol)), "{text}");
    let missing = world.run("netpay-broker", &["--json", "ledger", "explain", &"07".repeat(16), "--config", "broker"]);
    assert_eq!(missing.code, 3, "{missing:?}");

    let now = world.broker(&["ledger", "show"]);
    assert_eq!((&now["position"], &now["escrow_units"], &now["debts_units"]), (&4.into(), &43.into(), &3.into()));
    assert_eq!(now["head"], all[8]["hash"]);
    let sold = world.broker(&["ledger", "show", "--at", "2"]);
    assert_eq!(
        (&sold["escrow_units"], &sold["balances_units"], &sold["accounts"]),
        (&50.into(), &10.into(), &1.into())
    );
    let at_ms = format!("{}ms", now["recorded_at_ms"]);
    assert_eq!(world.broker(&["ledger", "show", "--at", &at_ms]), now);
    assert_eq!(world.broker(&["ledger", "show", "--at", "1970-01-01T00:00:01Z"])["position"], 0);
    let left_behind = std::fs::read_dir(world.path("broker")).expect("its directory");
    let left_behind = left_behind
        .filter(|entry| entry.as_ref().expect("readable").file_name().to_string_lossy().starts_with("ledger."));
    assert_eq!(left_behind.count(), 0, "a scratch ledger was left behind");
    assert_eq!(scene.broker.terminate(), Some(0), "it served all the while");
}

#[tokio::test]
async fn a_double_spend_is_proven_to_a_stranger_without_the_broker() {
    let scene = scene().await;
    let world = &scene.world;
    let export = ["doublespend", "export", &scene.ecoin, &scene.carol, "--config", "broker"];
    let out = world.broker(&["doublespend", "export", &scene.ecoin, &scene.carol, "--out", "mallory.evidence"]);
    assert_eq!((&out["ok"], &out["payer"]), (&true.into(), &scene.mallory.clone().into()));
    let evidence = std::fs::read(world.path("mallory.evidence")).expect("written");
    assert_eq!(output(world, &export), evidence, "stdout has the same bytes");
    let again = world.run("netpay-broker", &[export.as_slice(), &["--out", "mallory.evidence"]].concat());
    assert!(again.code == 1 && again.errors.contains("nothing was changed"), "{again:?}");
    let nobody = ["doublespend", "export", &scene.ecoin, &scene.bob, "--config", "broker"];
    assert_eq!(world.run("netpay-broker", &nobody).code, 3, "Bob came first");

    // The stranger has the file and the id: no broker, no directory.
    assert_eq!(scene.broker.terminate(), Some(0));
    std::fs::remove_dir_all(world.path("broker")).expect("our own directory");
    let verify = |file: &str, broker: &str| {
        world.run("netpay-broker", &["--json", "doublespend", "verify", file, "--broker", broker])
    };
    let proven = verify("mallory.evidence", &scene.id);
    assert_eq!(proven.code, 0, "{proven:?}");
    assert_eq!((&proven.json["payer"], &proven.json["first_payee"]), (&scene.mallory.into(), &scene.bob.into()));
    assert_eq!(proven.json["second_payee"], *scene.carol);
    assert_eq!((&proven.json["from"], &proven.json["through"]), (&3.into(), &5.into()));
    let other = verify("mallory.evidence", &"07".repeat(16));
    assert_eq!((other.code, &other.json["reason"]), (7, &"key_list".into()));
    for at in [40, evidence.len() / 2, evidence.len() - 1] {
        let mut altered = evidence.clone();
        altered[at] ^= 1;
        std::fs::write(world.path("altered"), altered).expect("our own file");
        let refused = verify("altered", &scene.id);
        assert_eq!((refused.code, &refused.json["ok"]), (7, &false.into()), "byte {at}");
    }
    assert_eq!(verify("nothing", &scene.id).code, 3);
}
