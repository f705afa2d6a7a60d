//! The audit as an operator runs it: beside a serving broker, with a peer's statement, and against a ledger that is older.

use std::fs;
use std::path::Path;

use netpay_tests::processes::Ended;
use netpay_tests::town::Town;

/// Alice bought from bob; his claims are not redeemed yet.
fn traded() -> Town {
    let town = Town::without_index();
    town.join_with_money("alice", 50);
    let bob = town.join("bob");
    town.peer("alice", &["buy", "--n", "20"]);
    fs::write(town.world.path("song.bin"), vec![7; 300_000]).expect("our own file");
    let shared = town.peer("bob", &["share", "add", "song.bin", "--price", "6"]);
    let content = shared["content"].as_str().expect("an id").to_owned();
    let serving = town.serve("bob");
    town.peer("alice", &["get", &content, "--from", &bob, "--max-price", "6", "-o", "got.bin"]);
    assert_eq!(serving.terminate(), Some(0));
    town
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("new");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied with its rights");
        }
    }
}

fn audit(town: &Town, config: &str, more: &[&str]) -> Ended {
    town.world.run("netpay-broker", &[&["--json", "ledger", "audit", "--config", config], more].concat())
}

#[test]
fn a_statement_that_a_peer_saved_is_held_against_the_log() {
    let mut town = traded();
    assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
    copy(&town.world.path("broker"), &town.world.path("older"));
    town.broker = Some(town.world.serve_broker());
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 6);
    let statements = town.peer("bob", &["statement"]);
    let batch = statements["statements"][0]["request"].as_str().expect("an id").to_owned();
    town.peer("bob", &["statement", "--batch", &batch, "--save", "bobs.statement"]);
    let again = town.run("bob", &["statement", "--batch", &batch, "--save", "bobs.statement"]);
    assert_eq!(again.code, 1, "a statement never takes another's place: {again:?}");

    // Beside the serving broker, with the scratch file elsewhere.
    let passed = audit(&town, "broker", &["--statement", "bobs.statement", "--scratch", "scratch"]);
    assert_eq!((passed.code, &passed.json["ok"]), (0, &true.into()), "{passed:?}");
    assert_eq!(passed.json["statement"]["ok"], true, "{passed:?}");
    assert_eq!(passed.json["claims_proven"], 1);
    assert_eq!(fs::read_dir(town.world.path("scratch")).expect("made").count(), 0, "the scratch file is gone");

    let older = audit(&town, "older", &["--statement", "bobs.statement"]);
    assert_eq!((older.code, &older.json["statement"]["ok"]), (7, &false.into()), "{older:?}");
    assert!(older.json["statement"]["what"].as_str().is_some_and(|what| what.contains("the log ends at")), "{older:?}");
    assert_eq!(audit(&town, "older", &[]).code, 0, "what is there of it is honest");

    let mut bytes = fs::read(town.world.path("bobs.statement")).expect("just saved");
    *bytes.last_mut().expect("a signature") ^= 1;
    fs::write(town.world.path("forged.statement"), bytes).expect("our own file");
    let forged = audit(&town, "broker", &["--statement", "forged.statement"]);
    assert_eq!((forged.code, &forged.json["statement"]["ok"]), (7, &false.into()), "{forged:?}");
    let none = audit(&town, "broker", &["--statement", "song.bin"]);
    assert_eq!(none.code, 1);
    assert!(none.errors.contains("is no statement"), "{}", none.errors);
}

#[test]
fn the_first_difference_is_said_with_its_position() {
    let town = traded();
    let config = town.world.path("broker/broker.toml");
    let text = fs::read_to_string(&config).expect("made by init");
    let operators = text.lines().position(|line| line.starts_with("operators")).expect("a list of operators");
    let end = text.lines().skip(operators).position(|line| line.ends_with(']')).expect("its end") + operators;
    let without: Vec<_> =
        text.lines().enumerate().filter(|(at, _)| !(operators..=end).contains(at)).map(|(_, line)| line).collect();
    fs::write(&config, without.join("\n")).expect("our own file");
    let failed = audit(&town, "broker", &[]);
    assert_eq!((failed.code, &failed.json["ok"]), (7, &false.into()), "{failed:?}");
    let first = &failed.json["first_difference"];
    assert_eq!(first["position"], 1, "{failed:?}");
    assert!(first["what"].as_str().is_some_and(|what| what.contains("which the configuration does not list")));
}
