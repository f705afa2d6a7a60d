//! One day of three peers, at which any process may be killed once: Alice opens an account, buys two e-coins, pays Bob
//! for a file by the word and Carol for another at once; both redeem. Whoever dies is started again, and the person goes
//! on as a person would. However it went, it must end with the same cents in the same places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use netpay_tests::processes::{PATIENCE, Process, until, within};
use netpay_tests::town::Town;
use serde_json::{Value, json};

/// What the operator credits Alice with.
pub const CREDITED: u64 = 200;
/// What her e-coins cost: two of 40 words.
const BOUGHT: u64 = 80;
/// Bob's price: six chunks of four words, so that a grant of sixteen has to grow.
const BOBS: u64 = 24;
/// Carol's price.
const CAROLS: u64 = 5;
/// What stays in Alice's wallet.
pub const LEFT: u64 = BOUGHT - BOBS - CAROLS;

/// Where a process is to die: in which step, at which point, when it gets there for which time. A step without a name is
/// nobody's to die in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Case {
    /// `broker`, `serve`, or a command of the scene.
    pub step: String,
    /// The point's name.
    pub point: String,
    /// The time.
    pub time: u32,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}#{}", self.step, self.point, self.time)
    }
}

/// What is known of a peer's file on offer.
struct Offer {
    content: String,
    supplier: String,
    file: PathBuf,
}

/// A process that serves.
struct Server {
    name: String,
    step: &'static str,
    process: Process,
}

/// How a command ended.
struct Ended {
    /// Its exit code; none when it was killed.
    code: Option<i32>,
    said: String,
}

impl Ended {
    fn json(&self) -> Value {
        let mut lines = self.said.lines().rev();
        lines.find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object)).unwrap_or(Value::Null)
    }
}

/// A town whose broker and peers can be put back to where they began: keys are costly to make, directories are not.
pub struct Stage {
    /// The town.
    pub town: Town,
    ids: BTreeMap<String, String>,
}

impl Default for Stage {
    fn default() -> Self {
        let mut town = Town::new();
        let ids = ["alice", "bob", "carol"].map(|name| (name.to_owned(), town.join(&format!("fresh-{name}"))));
        assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
        copy(&town.world.path("broker"), &town.world.path("fresh-broker"));
        Self { town, ids: ids.into() }
    }
}

impl Stage {
    /// A ledger without a record, and peers without money.
    fn reset(&mut self, tag: &str) {
        let path = |name: &str| self.town.world.path(name);
        if let Some(broker) = self.town.broker.take() {
            broker.kill();
        }
        std::fs::remove_dir_all(path("broker")).expect("ours");
        copy(&path("fresh-broker"), &path("broker"));
        for name in self.ids.keys() {
            copy(&path(&format!("fresh-{name}")), &path(&format!("{tag}-{name}")));
        }
    }
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("ours");
        }
    }
}

/// One run of the scene.
pub struct Scene<'a> {
    stage: &'a mut Stage,
    tag: String,
    /// Her id.
    alice: String,
    case: Option<Case>,
    /// Whether the process of the case has died.
    crashed: bool,
    servers: Vec<Server>,
}

impl<'a> Scene<'a> {
    /// A scene whose peers have names that begin with `tag`; with a case, somebody dies in it.
    pub fn new(stage: &'a mut Stage, tag: &str, case: Option<Case>) -> Self {
        stage.reset(tag);
        let alice = stage.ids["alice"].clone();
        Self { stage, alice, tag: tag.to_owned(), case, crashed: false, servers: Vec::new() }
    }

    /// Plays it; answers where every cent is in the end.
    pub fn play(&mut self) -> Value {
        self.open_the_broker();
        self.join();
        self.credit();
        let bobs = self.offer("bob", "serve", 6 * 131_072 - 5_000, BOBS);
        let carols = self.offer("carol", "", 2 * 131_072, CAROLS);
        self.buy();
        let bobs_price = BOBS.to_string();
        let from_bob = ["get", &bobs.content, "--from", &bobs.supplier, "--max-price", &bobs_price, "-o"];
        // Whoever was interrupted may turn to another supplier first: words that left must not leave again to her.
        let whole = self.get("get", &bobs, &from_bob, false);
        let carols_price = CAROLS.to_string();
        let from_carol = ["get", &carols.content, "--from", &carols.supplier, "--max-price", &carols_price];
        self.get("get-paper", &carols, &[&from_carol[..], &["--pay", "per-payment", "-o"]].concat(), true);
        if !whole {
            self.get("", &bobs, &from_bob, true);
        }
        self.person("redeem", "bob", &["redeem"]);
        self.person("", "carol", &["redeem"]);
        if let Some(case) = &self.case {
            assert!(self.crashed, "{case} was never reached");
        }
        self.outcome()
    }

    /// Kills every process that serves, and starts all again.
    pub fn restart(&mut self) {
        let servers = std::mem::take(&mut self.servers);
        let names: Vec<_> = servers.iter().map(|server| (server.name.clone(), server.step)).collect();
        servers.into_iter().for_each(|server| server.process.kill());
        self.stage.town.broker.take().expect("it runs").kill();
        self.stage.town.broker = Some(self.stage.town.world.serve_broker());
        for (name, step) in names {
            self.serve(&name, step);
        }
    }

    /// The directory of a peer.
    fn home(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// What a process of this step is told: to die, or (when nobody is to die) to record the points it reaches.
    fn variables(&self, step: &str) -> Vec<(String, String)> {
        match &self.case {
            None if step.is_empty() => vec![],
            None => vec![("NETPAY_CRASH_LOG".into(), format!("{}.{step}.points", self.tag))],
            Some(case) if case.step == step && !self.crashed => {
                vec![("NETPAY_CRASH_AT".into(), format!("{}#{}", case.point, case.time))]
            }
            Some(_) => vec![],
        }
    }

    /// Somebody died by a signal: that must be the one of the case, once.
    fn died(&mut self, step: &str, code: Option<i32>, said: &str) {
        let meant = self.case.as_ref().is_some_and(|case| case.step == step) && !self.crashed && code.is_none();
        assert!(meant, "{step} ended with {code:?} and nobody asked for it:\n{said}");
        self.crashed = true;
    }

    fn open_the_broker(&mut self) {
        let variables = self.variables("broker");
        let arguments = ["--json", "serve", "--config", "broker"];
        let mut broker = self.stage.town.world.start_with("netpay-broker", &arguments, &variables, "broker.log");
        broker.wait_for("\"ready\":true");
        self.stage.town.broker = Some(broker);
    }

    fn serve(&mut self, name: &str, step: &'static str) {
        let home = self.home(name);
        loop {
            let arguments = ["--home", &home, "--json", "serve"];
            let log = format!("{home}.log");
            let mut process = self.stage.town.world.start_with("netpay", &arguments, &self.variables(step), &log);
            let ended = until("a supplier that is ready, or dead", || match process.ended() {
                Some(code) => Some(Some(code)),
                None => process.said().contains("\"ready\":true").then_some(None),
            });
            match ended {
                Some(code) => self.died(step, code, &process.said()),
                None => return self.servers.push(Server { name: name.to_owned(), step, process }),
            }
        }
    }

    /// Starts again what has died.
    fn revive(&mut self) {
        let mut dead = Vec::new();
        for i in (0..self.servers.len()).rev() {
            if let Some(code) = self.servers[i].process.ended() {
                dead.push((self.servers.swap_remove(i), code));
            }
        }
        for (server, code) in dead {
            self.died(server.step, code, &server.process.said());
            self.serve(&server.name, server.step);
        }
        let broker = self.stage.town.broker.as_mut().expect("it runs");
        if let Some(code) = broker.ended() {
            let said = broker.said();
            self.died("broker", code, &said);
            self.stage.town.broker = Some(self.stage.town.world.serve_broker());
        }
    }

    /// Runs a command once, and starts again meanwhile what it kills. When a server dies with a request in its hands, the
    /// client waits for the answer that never comes, or (from the third time on) the person loses patience.
    fn once(&mut self, step: &str, program: &str, arguments: &[&str]) -> Ended {
        let variables = self.variables(step);
        let mut process =
            self.stage.town.world.start_with(program, arguments, &variables, &format!("{}.out", self.tag));
        let died_before = self.crashed;
        let impatient = self.case.as_ref().is_some_and(|case| case.time > 2);
        // An answer that never comes takes ten seconds, and then it is asked for again.
        let code = within(3 * PATIENCE, &format!("the end of {arguments:?}"), || {
            self.revive();
            if impatient && self.crashed && !died_before {
                return process.ended().or(Some(None));
            }
            process.ended()
        });
        let said = process.said();
        if code.is_none() && !self.crashed {
            self.died(step, code, &said);
        }
        Ended { code, said }
    }

    fn command(&mut self, step: &str, name: &str, arguments: &[&str]) -> Ended {
        let home = self.home(name);
        self.once(step, "netpay", &[&["--home", &home, "--json"], arguments].concat())
    }

    /// Runs a command; once more if it failed and somebody died, as a person would.
    fn person(&mut self, step: &str, name: &str, arguments: &[&str]) -> Value {
        for _ in 0..2 {
            let died_before = self.crashed;
            let ended = self.command(step, name, arguments);
            if ended.code == Some(0) {
                return ended.json();
            }
            assert!(self.crashed && !died_before, "{step} failed with {:?}:\n{}", ended.code, ended.said);
        }
        panic!("{step} failed twice, and died once");
    }

    /// Opens Alice's account, where that is what the scene is about. An `init` that died left no home, or all of it: then
    /// the next command registers.
    fn join(&mut self) {
        if self.case.as_ref().is_some_and(|case| case.step != "init") {
            return;
        }
        let (id, url) = (self.stage.town.id.clone(), self.stage.town.world.nats_url());
        let home = self.stage.town.world.path(&self.home("alice"));
        std::fs::remove_dir_all(&home).expect("ours");
        let init = ["init", "--broker", &id, "--nats", &url];
        if self.command("init", "alice", &init).code != Some(0) && !home.exists() {
            assert!(self.crashed, "init failed by itself");
            self.person("init", "alice", &init);
        }
        self.alice = self.person("", "alice", &["balance"])["peer"].as_str().expect("an id").to_owned();
    }

    fn credit(&mut self) {
        let (alice, units, tag) = (self.alice.clone(), CREDITED.to_string(), self.tag.clone());
        let credit = ["account", "credit", &alice, &units, "--reference", &tag, "--config", "broker", "--json"];
        for _ in 0..2 {
            if self.once("credit", "netpay-broker", &credit).code == Some(0) {
                return;
            }
            assert!(self.crashed, "a deposit failed by itself");
        }
        panic!("a deposit failed twice");
    }

    fn offer(&mut self, name: &str, step: &'static str, bytes: usize, price: u64) -> Offer {
        let supplier = self.stage.ids[name].clone();
        let file = format!("{}-{name}.bin", self.tag);
        let (content, file) = self.stage.town.share(&self.home(name), &file, bytes, price);
        self.serve(name, step);
        Offer { content, supplier, file }
    }

    /// Buys. After a crash any command finishes what was kept; only if nothing was, the person buys again.
    fn buy(&mut self) {
        let buy = ["buy", "--n", "40", "--count", "2"];
        if self.command("buy", "alice", &buy).code == Some(0) {
            return;
        }
        assert!(self.crashed, "buying failed by itself");
        self.person("", "alice", &["balance"]);
        let held = self.stage.town.peer(&self.home("alice"), &["wallet", "show"]);
        if held["wallet"].as_array().is_some_and(Vec::is_empty) {
            self.person("", "alice", &buy);
        }
    }

    /// Downloads; answers whether the file is there. It must be if `insist`, with one more try after a death.
    fn get(&mut self, step: &str, offer: &Offer, get: &[&str], insist: bool) -> bool {
        let target = format!("{}.got", offer.file.display());
        for _ in 0..2 {
            let died_before = self.crashed;
            let ended = self.command(step, "alice", &[get, &[&target]].concat());
            let there = std::fs::read(&target).ok();
            if let Some(there) = &there {
                assert!(*there == std::fs::read(&offer.file).expect("there"), "{target} is another file");
            }
            // One that is named is whole: then the same command has nothing left to do, and says so.
            if ended.code == Some(0) || (there.is_some() && self.crashed) {
                return true;
            }
            assert!(self.crashed, "{step} failed with {:?}:\n{}", ended.code, ended.said);
            assert!(!(insist && died_before), "{step} failed after the crash:\n{}", ended.said);
            if !insist {
                return false;
            }
        }
        panic!("{step} failed twice");
    }

    /// Where every cent is, as each of the four sees it.
    pub fn outcome(&self) -> Value {
        let double_spends = self.stage.town.world.broker(&["doublespend", "list"]);
        json!({
            "alice": self.account("alice"),
            "bob": self.account("bob"),
            "carol": self.account("carol"),
            "double_spends": double_spends["double_spends"],
        })
    }

    fn account(&self, name: &str) -> Value {
        let peer = |arguments: &[&str]| self.stage.town.peer(&self.home(name), arguments);
        let (balance, wallet) = (peer(&["balance"]), peer(&["wallet", "show"]));
        let sum = |list: &Value, field: &str| -> u64 {
            list.as_array().expect("a list").iter().map(|item| item[field].as_u64().expect("a number")).sum()
        };
        let mut history: BTreeMap<String, u64> = BTreeMap::new();
        for entry in peer(&["history", "--limit", "1000"])["entries"].as_array().expect("a list") {
            *history.entry(entry["what"].as_str().expect("text").to_owned()).or_default() +=
                entry["units"].as_u64().expect("a number");
        }
        // Entries that move nothing are no cents.
        history.retain(|_, units| *units > 0);
        let statements = &peer(&["statement", "--limit", "1000"])["statements"];
        json!({
            "balance_units": balance["balance_units"],
            "wallet_units": wallet["wallet_units"],
            "till_units": wallet["till_units"],
            "ecoins": wallet["wallet"].as_array().map(Vec::len),
            "accepted_units": sum(&wallet["till"], "price_units"),
            "settled_words": sum(&wallet["till"], "settled_words"),
            "credited_words": sum(statements, "credited_words"),
            "already_paid_words": sum(statements, "already_paid_words"),
            "conflicting_words": sum(statements, "conflicting_words"),
            "history_units": history,
        })
    }

    /// All that wallets, tills and ledger show, word for word.
    pub fn everything(&self) -> Value {
        let mut all = json!({
            "audit": self.stage.town.world.broker(&["ledger", "audit"]),
            "accounts": self.stage.town.world.broker(&["account", "list"]),
        });
        for name in ["alice", "bob", "carol"] {
            for shown in [&["wallet", "show", "--words"][..], &["history"], &["statement"], &["balance"]] {
                all[format!("{name} {}", shown[0])] = self.stage.town.peer(&self.home(name), shown);
            }
        }
        all
    }

    /// What must have come of it, whoever died.
    pub fn expected() -> Value {
        let supplier = |units: u64| {
            json!({
                "balance_units": units, "wallet_units": 0, "till_units": 0, "ecoins": 0, "accepted_units": units,
                "settled_words": units, "credited_words": units, "already_paid_words": 0, "conflicting_words": 0,
                "history_units": { "accept": units, "redeem": units },
            })
        };
        json!({
            "alice": {
                "balance_units": CREDITED - BOUGHT, "wallet_units": LEFT, "till_units": 0, "ecoins": 2,
                "accepted_units": 0, "settled_words": 0, "credited_words": 0, "already_paid_words": 0,
                "conflicting_words": 0, "history_units": { "buy": BOUGHT, "grant": BOBS + CAROLS },
            },
            "bob": supplier(BOBS),
            "carol": supplier(CAROLS),
            "double_spends": [],
        })
    }
}
