//! The peer agent in real life: trade with the broker away, kills on either side, and what it says when it cannot.

use netpay_tests::processes::{World, until};
use netpay_tests::town::{Town, same};
use serde_json::Value;

#[test]
fn a_file_is_bought_with_the_broker_away_and_redeemed_when_it_is_back() {
    let mut town = Town::new();
    town.join_with_money("alice", 600);
    let bob = town.join("bob");
    let (content, file) = town.share("bob", "song.bin", 3_000_000, 300);
    let _bob = town.serve("bob");
    town.peer("alice", &["buy", "--count", "2"]);
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    let found = until("the announcement", || {
        let found = town.peer("alice", &["search", "song"]);
        (!found["hits"].as_array().expect("a list").is_empty()).then_some(found)
    });
    assert_eq!(
        (&found["hits"][0]["content"], &found["hits"][0]["online"]),
        (&Value::from(content.clone()), &Value::from(true))
    );
    let got = town.peer("alice", &["get", &content, "--max-price", "300", "-o", "got.bin"]);
    assert_eq!((got["paid_units"].as_u64(), got["supplier"].as_str()), (Some(300), Some(bob.as_str())));
    same(&file, &town.world.path("got.bin"));
    assert_eq!(town.run("bob", &["redeem"]).code, 6, "the broker is away, and the person is told");
    town.broker = Some(town.world.serve_broker());
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 300);
    assert_eq!(town.peer("bob", &["redeem"])["nothing_to_redeem"], true);
    assert_eq!(town.peer("bob", &["balance"])["balance_units"], 300);
}

#[test]
fn a_buyer_killed_in_the_middle_goes_on_where_it_was_and_pays_nothing_twice() {
    let town = Town::new();
    town.join_with_money("alice", 600);
    let bob = town.join("bob");
    let (content, file) = town.share("bob", "big.bin", 30_000_000, 500);
    let _bob = town.serve("bob");
    town.peer("alice", &["buy", "--count", "2"]);
    let mut kills = 0;
    for _ in 0..4 {
        let before = town.till_units("bob");
        let buyer = town.start("alice", &["get", &content, "--from", &bob, "-o", "got.bin"], "get.log");
        until("some more words, or the end", || {
            (town.till_units("bob") > before || town.world.path("got.bin").exists()).then_some(())
        });
        buyer.kill();
        kills += 1;
        if town.world.path("got.bin").exists() {
            break;
        }
    }
    assert!(kills > 1, "the first run was over before it could be killed");
    let got = town.run("alice", &["get", &content, "--from", &bob, "-o", "got.bin", "--force"]);
    assert_eq!(got.code, 0, "{got:?}");
    same(&file, &town.world.path("got.bin"));
    assert_eq!(town.till_units("bob"), 500, "the price, once");
    let redeemed = town.peer("bob", &["redeem"]);
    assert_eq!(redeemed["credited_units"], 500);
    assert_eq!(town.world.broker(&["doublespend", "list"])["double_spends"], serde_json::json!([]));
}

#[test]
fn a_supplier_killed_in_the_middle_forgets_no_word_and_serves_the_rest() {
    let town = Town::new();
    town.join_with_money("alice", 600);
    let bob = town.join("bob");
    let (content, file) = town.share("bob", "big.bin", 30_000_000, 500);
    let supplier = town.serve("bob");
    town.peer("alice", &["buy", "--count", "2"]);
    let buyer = town.start("alice", &["get", &content, "--from", &bob, "-o", "got.bin"], "get.log");
    until("some words", || (town.till_units("bob") > 0).then_some(()));
    supplier.kill();
    let held = town.till_units("bob");
    assert!(held > 0 && held < 500, "{held}");
    drop(buyer);
    let _bob = town.serve("bob");
    let got = town.run("alice", &["get", &content, "--from", &bob, "-o", "got.bin"]);
    assert_eq!(got.code, 0, "{got:?}");
    same(&file, &town.world.path("got.bin"));
    assert_eq!(town.till_units("bob"), 500, "the price, once");
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 500);
}

#[test]
fn what_cannot_be_done_is_said_with_its_exit_code_and_costs_nothing() {
    let town = Town::new();
    let alice = town.join_with_money("alice", 100);
    let bob = town.join("bob");
    let (content, _) = town.share("bob", "dear.bin", 100_000, 50);
    let supplier = town.serve("bob");
    let init = town.run("alice", &["init", "--broker", &town.id, "--nats", &town.world.nats_url()]);
    assert_eq!(init.code, 1, "a second init never overwrites: {init:?}");
    assert_eq!(town.peer("alice", &["balance"])["peer"], Value::from(alice.clone()), "the same keys");
    assert_eq!(town.run("alice", &["buy", "--n", "101"]).code, 5, "too little money");
    let poor = town.run("alice", &["get", &content, "--from", &bob, "-o", "x"]);
    assert_eq!(poor.code, 5, "an empty wallet: {poor:?}");
    town.peer("alice", &["buy", "--n", "60"]);
    let dear = town.run("alice", &["get", &content, "--from", &bob, "--max-price", "49", "-o", "x"]);
    assert_eq!(dear.code, 4, "{dear:?}");
    assert_eq!(town.till_units("bob"), 0, "nothing was paid");
    assert_eq!(town.run("alice", &["get", &"00".repeat(32), "-o", "x"]).code, 3, "nobody has it");
    town.world.broker(&["account", "suspend", &alice]);
    assert_eq!(town.run("alice", &["buy", "--n", "10"]).code, 8, "suspended");
    assert_eq!(supplier.terminate(), Some(0));
    assert_eq!(town.run("alice", &["get", &content, "--from", &bob, "-o", "x"]).code, 6, "the supplier is away");
}

#[test]
fn an_agent_without_nats_says_how_to_start_one_and_its_wallet_can_still_be_read() {
    let world = World::without_nats();
    let id = "00".repeat(16);
    let init =
        world.run("netpay", &["--home", "alice", "--json", "init", "--broker", &id, "--nats", &world.nats_url()]);
    assert_eq!(init.code, 6, "{init:?}");
    assert!(init.errors.contains("nats-server"), "{}", init.errors);
    let shown = world.run("netpay", &["--home", "alice", "--json", "wallet", "show"]);
    assert_eq!(shown.code, 0, "the home is there: {shown:?}");
}

#[test]
fn a_supplier_ends_well_on_sigterm_also_when_nats_is_gone() {
    let mut town = Town::new();
    town.join("bob");
    let supplier = town.serve("bob");
    town.world.stop_nats();
    assert_eq!(supplier.terminate(), Some(0));
}
