//! What a person does with the agent every day, and what it does by itself: redeeming on schedule, looking back, the doctor.

use netpay_tests::processes::{Process, World};
use serde_json::Value;

fn join(world: &World, broker: &str, name: &str) -> String {
    let made = world.ok("netpay", &["--home", name, "--json", "init", "--broker", broker, "--nats", &world.nats_url()]);
    made["peer"].as_str().expect("an id").to_owned()
}

fn peer(world: &World, name: &str, arguments: &[&str]) -> Value {
    world.ok("netpay", &[&["--home", name, "--json"], arguments].concat())
}

fn serve(world: &World, name: &str) -> Process {
    let mut process = world.start("netpay", &["--home", name, "--json", "serve"], &format!("{name}.log"));
    process.wait_for("\"ready\":true");
    process
}

/// Bob redeems from 5 units on, and sells one file for 6 to alice, who has bought words.
fn trade(world: &World, broker: &str) -> (String, String, String) {
    let (alice, bob) = (join(world, broker, "alice"), join(world, broker, "bob"));
    world.credit(&alice, 50, "alice");
    peer(world, "alice", &["buy", "--n", "20"]);
    let config = world.path("bob/peer.toml");
    let text = std::fs::read_to_string(&config).expect("just made");
    std::fs::write(&config, text.replace("[redeem]", "[redeem]\nredeem_at_units = 5")).expect("our own file");
    std::fs::write(world.path("song.bin"), vec![7; 300_000]).expect("our own file");
    let shared = peer(world, "bob", &["share", "add", "song.bin", "--price", "6"]);
    (alice, bob, shared["content"].as_str().expect("an id").to_owned())
}

#[test]
fn serve_redeems_by_itself_as_soon_as_the_broker_is_back_and_everything_can_be_looked_up_later() {
    let world = World::new();
    let id = world.init_broker(&[]);
    let broker = world.serve_broker();
    let (alice, bob, content) = trade(&world, &id);
    let mut supplier = serve(&world, "bob");
    assert_eq!(broker.terminate(), Some(0));
    peer(&world, "alice", &["get", &content, "--from", &bob, "--max-price", "6", "-o", "got.bin"]);
    // Nothing is sent by asking what would be, and it needs no broker.
    let planned = peer(&world, "bob", &["redeem", "--dry-run"]);
    assert_eq!((&planned["units"], &planned["claims"]), (&Value::from(6), &Value::from(1)), "{planned}");
    supplier.wait_for("redeeming failed and is tried again");
    let away = world.run("netpay", &["--home", "bob", "--json", "balance"]);
    assert_eq!(away.code, 6);
    assert!(away.errors.contains("without the broker these still work"), "{}", away.errors);

    let _broker = world.serve_broker();
    supplier.wait_for("6 units credited");
    assert_eq!(supplier.said().matches("redeeming failed").count(), 1, "said once");
    assert_eq!(peer(&world, "bob", &["balance"])["balance_units"], 6);
    assert_eq!(peer(&world, "bob", &["redeem"])["nothing_to_redeem"], true);

    let history = peer(&world, "bob", &["history", "--what", "redeem"]);
    let entry = &history["entries"][0];
    assert_eq!((&entry["till_units"], &entry["balance_units"]), (&Value::from(-6), &Value::from(6)), "{entry}");
    assert_eq!(entry["counterparty"], Value::from(alice.clone()));
    let batch = entry["reference"].as_str().expect("the batch's id");
    let statement = peer(&world, "bob", &["statement", "--batch", batch]);
    let line = &statement["lines"][0];
    assert_eq!((&line["payer"], &line["credited_units"]), (&Value::from(alice.clone()), &Value::from(6)), "{line}");
    assert_eq!(statement["source"], "wallet");
    let none = world.run("netpay", &["--home", "bob", "--json", "history", "--with", &bob]);
    assert_eq!(none.json["entries"], serde_json::json!([]));
    // Another machine with the same keys, which holds no statement, asks the broker for it.
    copy_keys(&world, "bob", "copy");
    let asked = peer(&world, "copy", &["statement", "--batch", batch]);
    assert_eq!((&asked["source"], &asked["balance_units"]), (&Value::from("broker"), &Value::from(6)));
    let unknown = world.run("netpay", &["--home", "bob", "--json", "statement", "--batch", &"00".repeat(16)]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert_eq!(supplier.terminate(), Some(0));
}

/// A home with another's keys and an empty wallet.
fn copy_keys(world: &World, from: &str, to: &str) {
    std::fs::create_dir(world.path(to)).expect("new");
    for entry in std::fs::read_dir(world.path(from)).expect("there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("wallet.sqlite") && path.is_file() {
            std::fs::copy(&path, world.path(to).join(name)).expect("copied with its rights");
        }
    }
}

#[test]
fn the_policy_in_force_is_shown_with_where_each_value_comes_from() {
    let world = World::new();
    let id = world.init_broker(&[]);
    let _broker = world.serve_broker();
    join(&world, &id, "bob");
    let shown = peer(&world, "bob", &["serve", "--show-policy"]);
    let settings = shown["settings"].as_array().expect("a list");
    let find = |name: &str| settings.iter().find(|setting| setting["name"] == name).expect("known").clone();
    let after = find("redeem_after_ms");
    assert_eq!(
        (&after["value"], &after["unit"], &after["source"]),
        (&86_400_000.into(), &"ms".into(), &"default".into())
    );
    assert!(settings.iter().all(|setting| setting["means"].as_str().is_some_and(|means| !means.is_empty())));
}

#[test]
fn the_doctor_finds_nothing_where_nothing_is_wrong_and_says_what_to_do_where_something_is() {
    let world = World::new();
    let id = world.init_broker(&[]);
    let broker = world.serve_broker();
    let url = world.nats_url();
    let index = ["--json", "init", "--dir", "index", "--role", "index", "--broker", &id, "--nats", &url];
    world.ok("netpay-broker", &[&index[..], &["--http", "127.0.0.1:0"]].concat());
    let mut index = world.start("netpay-broker", &["--json", "serve", "--config", "index"], "index.log");
    index.wait_for("\"ready\":true");
    let alice = join(&world, &id, "alice");
    world.credit(&alice, 50, "alice");
    peer(&world, "alice", &["buy", "--n", "20"]);
    let doctor = || world.run("netpay", &["--home", "alice", "--json", "doctor"]);
    let wrong = |ended: &netpay_tests::processes::Ended| -> Vec<String> {
        let findings = ended.json["findings"].as_array().expect("a list").iter();
        let wrong = findings.filter(|finding| finding["ok"] == false);
        wrong
            .map(|finding| {
                assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{finding}");
                finding["check"].as_str().expect("a name").to_owned()
            })
            .collect()
    };
    let well = doctor();
    assert_eq!((well.code, wrong(&well)), (0, vec![]), "{well:?}");

    world.broker(&["account", "suspend", &alice]);
    let suspended = doctor();
    assert_eq!((suspended.code, wrong(&suspended)), (8, vec!["account".to_owned()]), "{suspended:?}");
    assert_eq!(broker.terminate(), Some(0));
    drop(index);
    let away = doctor();
    assert_eq!((away.code, wrong(&away)), (6, vec!["broker".to_owned(), "index".to_owned()]), "{away:?}");
    let nobody = world.run("netpay", &["--home", "nobody", "--json", "doctor"]);
    assert_eq!((nobody.code, wrong(&nobody)), (1, vec!["rights".to_owned(), "disk".to_owned(), "home".to_owned()]));
}
