//! Other keys for an agent's account: what was bought before is spent with the old ones, everything else goes on with the new.

use std::fs;

use netpay_tests::processes::until;
use netpay_tests::town::{Town, same};
use serde_json::Value;

fn rotate(town: &Town, name: &str) -> Value {
    town.peer(name, &["wallet", "rotate"])
}

/// Buys a file of this price from somebody who serves.
fn get(town: &Town, buyer: &str, from: &str, (content, file): &(String, std::path::PathBuf), price: u64) {
    let target = format!("{content}.got");
    let got = town.peer(buyer, &["get", content, "--from", from, "--max-price", &price.to_string(), "-o", &target]);
    assert_eq!(got["paid_units"], price, "{got}");
    same(file, &town.world.path(&target));
}

#[test]
fn a_payer_spends_old_ecoins_after_a_rotation_buys_new_ones_and_rotates_again() {
    let mut town = Town::without_index();
    let alice = town.join_with_money("alice", 200);
    let bob = town.join("bob");
    let files = [("one.bin", 20), ("two.bin", 30), ("three.bin", 25)]
        .map(|(file, price)| (town.share("bob", file, 300_000 + usize::try_from(price).expect("small"), price), price));
    let _bob = town.serve("bob");
    assert_eq!(town.run("alice", &["wallet", "rotate"]).code, 1, "the broker has no keys of hers yet");
    town.peer("alice", &["buy", "--n", "50"]);
    let rotated = rotate(&town, "alice");
    assert_eq!((&rotated["peer"], &rotated["keys_given_up"]), (&Value::from(alice.clone()), &1.into()), "{rotated}");
    assert!(!town.world.path("alice/signing.key").exists(), "one file has them all");
    // With the broker away: the e-coin from before, granted with the key in its touchstone.
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    let [(first, price), ..] = &files;
    get(&town, "alice", &bob, first, *price);
    town.broker = Some(town.world.serve_broker());
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 20);

    town.peer("alice", &["buy", "--n", "60"]);
    let [_, (second, price), (third, last)] = &files;
    get(&town, "alice", &bob, second, *price);
    let rotated = rotate(&town, "alice");
    assert_eq!((&rotated["peer"], &rotated["keys_given_up"]), (&Value::from(alice), &2.into()), "{rotated}");
    get(&town, "alice", &bob, third, *last);
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 55);
    let balance = |name| town.peer(name, &["balance"])["balance_units"].as_u64().expect("a number");
    assert_eq!((balance("alice"), balance("bob")), (200 - 110, 75));
    assert_eq!(town.peer("alice", &["wallet", "show"])["wallet_units"], 110 - 75);
    assert_eq!(town.world.broker(&["doublespend", "list"])["double_spends"], serde_json::json!([]));
    assert_eq!(town.world.broker(&["ledger", "audit"])["ok"], true);
}

#[test]
fn a_payee_rotates_and_payers_believe_its_new_key_by_the_brokers_word() {
    let town = Town::without_index();
    town.join_with_money("alice", 200);
    let bob = town.join_with_money("bob", 10);
    let files = [("one.bin", 300_000), ("two.bin", 300_001)].map(|(file, bytes)| town.share("bob", file, bytes, 20));
    town.peer("alice", &["buy", "--n", "100"]);
    town.peer("bob", &["buy", "--n", "5"]);
    let serving = town.serve("bob");
    let refused = town.run("bob", &["wallet", "rotate"]);
    assert!(
        refused.code == 1 && refused.errors.contains("serve"),
        "who serves has the old keys in memory: {refused:?}"
    );
    get(&town, "alice", &bob, &files[0], 20);
    assert_eq!(serving.terminate(), Some(0));
    rotate(&town, "bob");
    let _serving = town.serve("bob");
    get(&town, "alice", &bob, &files[1], 20);
    // What was accepted under the old key and under the new one is redeemed with the new one.
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 40);
    assert_eq!(town.peer("bob", &["balance"])["balance_units"], 10 - 5 + 40);
    let receipts = town.peer("alice", &["history", "--limit", "100"]);
    let receipts = receipts["entries"].as_array().expect("a list").iter().filter(|entry| entry["what"] == "receipt");
    assert_eq!(receipts.count(), 2, "of either key");
}

#[test]
fn a_supplier_with_other_keys_is_found_by_the_index_again() {
    let town = Town::new();
    town.join_with_money("alice", 100);
    let bob = town.join_with_money("bob", 10);
    let file = town.share("bob", "song.bin", 300_000, 20);
    town.peer("alice", &["buy", "--n", "50"]);
    town.peer("bob", &["buy", "--n", "5"]);
    for _ in 0..2 {
        rotate(&town, "bob");
    }
    let _serving = town.serve("bob");
    let found = until("the announcement", || {
        let found = town.peer("alice", &["search", "song"]);
        (!found["hits"].as_array().expect("a list").is_empty()).then_some(found)
    });
    assert_eq!((&found["hits"][0]["supplier"], &found["hits"][0]["content"]), (&bob.into(), &file.0.clone().into()));
    let got = town.peer("alice", &["get", &file.0, "--max-price", "20", "-o", "got.bin"]);
    assert_eq!(got["paid_units"], 20);
    same(&file.1, &town.world.path("got.bin"));
}

#[test]
fn a_rotation_interrupted_before_the_broker_heard_of_it_is_finished_by_the_same_command() {
    let mut town = Town::without_index();
    let alice = town.join_with_money("alice", 100);
    town.peer("alice", &["buy", "--n", "10"]);
    let home = ["--home", "alice", "--json"];
    let dies = [("NETPAY_CRASH_AT".to_owned(), "rotate.kept".to_owned())];
    let mut dying = town.world.start_with("netpay", &[&home[..], &["wallet", "rotate"]].concat(), &dies, "rotate.log");
    until("its death", || dying.ended());
    let buy = town.run("alice", &["buy", "--n", "10"]);
    assert!(buy.code == 75 && buy.errors.contains("netpay wallet rotate"), "{buy:?}");
    assert_eq!(town.run("alice", &["serve"]).code, 75);
    // A backup carries what is pending.
    fs::write(town.world.path("passphrase"), "words").expect("ours");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(town.world.path("passphrase"), fs::Permissions::from_mode(0o600)).expect("ours");
    let with = ["--passphrase-file", "passphrase"];
    town.peer("alice", &[&with[..], &["wallet", "backup", "create", "alice.backup"]].concat());
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    assert_eq!(town.run("alice", &["wallet", "rotate"]).code, 6, "the broker is away");
    town.broker = Some(town.world.serve_broker());
    let rotated = rotate(&town, "alice");
    assert_eq!((&rotated["peer"], &rotated["keys_given_up"]), (&Value::from(alice.clone()), &1.into()), "once");
    town.peer("alice", &["buy", "--n", "10"]);

    // A home made of that backup finishes the same rotation, before anything else.
    let in_again = |arguments: &[&str]| town.peer("again", &[&with[..], arguments].concat());
    assert_eq!(in_again(&["wallet", "backup", "restore", "alice.backup"])["locked"], false);
    let rotated = in_again(&["wallet", "rotate"]);
    assert_eq!((&rotated["peer"], &rotated["keys_given_up"]), (&Value::from(alice), &1.into()), "the same");
    assert_eq!(in_again(&["wallet", "restore"])["locked_units"], 10);
    assert_eq!(in_again(&["balance"])["balance_units"], 80);
}
