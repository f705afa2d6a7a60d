//! Sealed keys and backups in real life: a trade with nobody at a terminal, and a home that is lost and made again.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use netpay_tests::processes::{Ended, Process, World};
use serde_json::Value;

struct Scene {
    world: World,
    id: String,
    _broker: Process,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let id = world.init_broker(&[]);
        let broker = world.serve_broker();
        Self { world, id, _broker: broker }
    }

    fn arguments<'a>(name: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["--home", name, "--json", "--passphrase-file", "passphrase"], arguments].concat()
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        self.world.run("netpay", &Self::arguments(name, arguments))
    }

    fn peer(&self, name: &str, arguments: &[&str]) -> Value {
        self.world.ok("netpay", &Self::arguments(name, arguments))
    }

    fn passphrase(&self, file: &str, text: &str) {
        let path = self.world.path(file);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        std::io::Write::write_all(&mut file.expect("our own file"), text.as_bytes()).expect("our own file");
    }

    fn join(&self, name: &str) -> String {
        let url = self.world.nats_url();
        let made = self.peer(name, &["init", "--broker", &self.id, "--nats", &url]);
        made["peer"].as_str().expect("an id").to_owned()
    }

    fn serve(&self, name: &str) -> Process {
        let mut process = self.world.start("netpay", &Self::arguments(name, &["serve"]), &format!("{name}.log"));
        process.wait_for("\"ready\":true");
        process
    }

    fn share(&self, name: &str, file: &str, price: &str) -> String {
        fs::write(self.world.path(file), vec![7; 300_000]).expect("our own file");
        self.peer(name, &["share", "add", file, "--price", price])["content"].as_str().expect("an id").to_owned()
    }

    fn get(&self, name: &str, content: &str, from: &str, most: &str, output: &str) -> Ended {
        self.run(name, &["get", content, "--from", from, "--max-price", most, "-o", output])
    }
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("a home").map(|file| file.expect("there").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn peers_with_sealed_keys_trade_unattended_and_nobody_else_opens_them() {
    let scene = Scene::new();
    scene.passphrase("passphrase", "correct horse battery staple\n");
    scene.passphrase("wrong", "incorrect horse\n");
    let (alice, bob) = (scene.join("alice"), scene.join("bob"));
    assert!(!files(&scene.world.path("alice")).iter().any(|name| name.ends_with(".key")), "no key in clear");
    scene.world.credit(&alice, 100, "a");
    let content = scene.share("bob", "song.bin", "30");
    let _bob = scene.serve("bob");
    scene.peer("alice", &["buy", "--n", "60"]);
    let got = scene.get("alice", &content, &bob, "30", "got.bin");
    assert_eq!((got.code, got.json["paid_units"].as_u64()), (0, Some(30)), "{got:?}");
    assert_eq!(scene.peer("bob", &["redeem"])["credited_units"], 30);

    let show = ["--home", "alice", "--json", "wallet", "show"];
    let unasked = scene.world.run("netpay", &show);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.errors.contains("NETPAY_PASSPHRASE"), "{}", unasked.errors);
    let wrong = scene.world.run("netpay", &[&["--passphrase-file", "wrong"], &show[..]].concat());
    assert_eq!(wrong.code, 7, "{wrong:?}");

    let removed = scene.peer("alice", &["wallet", "passphrase", "--remove"]);
    assert_eq!(removed["sealed"], false);
    assert_eq!(scene.world.ok("netpay", &show)["wallet_units"], 30, "the words open still");
    scene.peer("alice", &["wallet", "passphrase", "--new-passphrase-file", "wrong"]);
    let other = scene.world.run("netpay", &[&["--passphrase-file", "wrong"], &show[..]].concat());
    assert_eq!(other.json["wallet_units"], 30, "{other:?}");
    assert_eq!(scene.run("alice", &["wallet", "show"]).code, 7, "the old passphrase");
}

#[test]
fn a_home_without_a_terminal_and_a_passphrase_is_not_made_before_it_is_said_which_is_wanted() {
    let world = World::without_nats();
    let broker = "00".repeat(16);
    let mut command = std::process::Command::new(netpay_tests::processes::program("netpay"));
    command.current_dir(world.dir.path()).env_remove("NETPAY_NO_PASSPHRASE").env_remove("NETPAY_PASSPHRASE");
    command.env_remove("NETPAY_PASSPHRASE_FILE").stdin(std::process::Stdio::null());
    let ended = command.args(["--home", "alice", "init", "--broker", &broker]).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("--no-passphrase") && said.contains("NETPAY_PASSPHRASE"), "{said}");
    assert!(!world.path("alice").exists());
}

#[test]
fn a_lost_home_is_made_again_from_a_backup_and_nobody_loses_a_cent() {
    let scene = Scene::new();
    scene.passphrase("passphrase", "correct horse battery staple\n");
    let (alice, bob) = (scene.join("alice"), scene.join("bob"));
    for peer in [&alice, &bob] {
        scene.world.credit(peer, 200, peer);
    }
    let content = scene.share("bob", "song.bin", "30");
    let wanted = scene.share("alice", "poem.bin", "5");
    let of_bob = scene.serve("bob");
    let of_alice = scene.serve("alice");
    scene.peer("alice", &["buy", "--n", "100"]);
    scene.peer("bob", &["buy", "--n", "50"]);
    // Bob pays alice before the backup: hers to redeem, whatever happens to her home.
    assert_eq!(scene.get("bob", &wanted, &alice, "5", "poem").code, 0);
    let backup = scene.peer("alice", &["wallet", "backup", "create", "alice.backup"]);
    assert_eq!((&backup["ecoins"], &backup["till_units"]), (&1.into(), &5.into()), "taken while she serves");
    assert_eq!(scene.run("alice", &["wallet", "backup", "create", "alice.backup"]).code, 1, "never written over");
    assert_eq!(scene.peer("alice", &["wallet", "backup", "verify", "alice.backup"])["peer"], alice);
    // Alice trades on, and loses her home.
    assert_eq!(scene.get("alice", &content, &bob, "30", "song").code, 0);
    scene.peer("alice", &["buy", "--n", "20"]);
    assert_eq!(of_alice.terminate(), Some(0));
    fs::rename(scene.world.path("alice"), scene.world.path("lost")).expect("gone");

    let restored = scene.peer("alice", &["wallet", "backup", "restore", "alice.backup"]);
    assert_eq!(restored["locked"], true, "{restored}");
    let shown = scene.peer("alice", &["wallet", "show"]);
    assert_eq!((&shown["wallet"][0]["locked"], &shown["wallet_units"]), (&true.into(), &0.into()), "{shown}");
    assert!(shown["wallet"][0]["refund_after_ms"].is_u64(), "{shown}");
    assert_eq!(shown["wordless"].as_array().map(Vec::len), Some(1), "{shown}");
    let second = scene.share("bob", "second.bin", "10");
    assert_eq!(scene.get("alice", &second, &bob, "10", "second").code, 5, "nothing old is granted");
    // Her till takes nothing on bob's old e-coin, and redeems what it held.
    let _alice = scene.serve("alice");
    let next = scene.share("alice", "next.bin", "5");
    assert_ne!(scene.get("bob", &next, &alice, "5", "next").code, 0, "an e-coin from before the restore");
    assert_eq!(scene.peer("alice", &["redeem"])["credited_units"], 5);
    assert_eq!(scene.peer("bob", &["redeem"])["credited_units"], 30);
    // With new e-coins everything goes on.
    scene.peer("alice", &["buy", "--n", "10"]);
    assert_eq!(scene.get("alice", &second, &bob, "10", "second").code, 0);
    assert_eq!(scene.peer("bob", &["redeem"])["credited_units"], 10);
    assert_eq!(scene.world.broker(&["doublespend", "list"])["double_spends"], serde_json::json!([]));
    assert_eq!(scene.run("alice", &["wallet", "restore"]).code, 2, "once is enough; again needs --yes");
    // The lost home turns up: what was bought since is unknown to it, and what was paid of it tells.
    let stale = scene.run("lost", &["wallet", "restore"]);
    assert_eq!(stale.code, 8, "{stale:?}");
    assert_eq!(scene.peer("lost", &["wallet", "show"])["wallet_units"], 0);
    drop(of_bob);
}
