//! One day of three peers, at which any process may be killed once: Alice opens an account, buys two e-coins, pays Bob
//! for a file by the word and Carol for another at once; both redeem, Bob has some paid out, and Alice changes her keys. Whoever dies is started
//! again, and the person goes on as a person would. However it went, it must end with the same cents in the same places.
//! What happens to keys and to a lost home are two more plays, in [`crate::homes`], with the same people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use netpay_tests::processes::{PATIENCE, Process, until, within};
use serde_json::{Value, json};

use crate::stage::{CREDITED, CREDITED_TO_BOB, Stage};

/// What her e-coins cost: two of 40 words.
const BOUGHT: u64 = 80;
/// Bob's price: six chunks of four words, so that a grant of sixteen has to grow.
const BOBS: u64 = 24;
/// Carol's price.
const CAROLS: u64 = 5;
/// What stays in Alice's wallet.
const LEFT: u64 = BOUGHT - BOBS - CAROLS;
/// What Bob has paid out.
const PAID_OUT: u64 = 10;

/// Out of the broker's reach.
pub const NOWHERE: [&str; 2] = ["NETPAY_NATS", "nats://127.0.0.1:1"];

/// What is played.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Play {
    /// A day of trade.
    Trade,
    /// A passphrase is set, changed and removed, and a backup made.
    Keys,
    /// A home is lost, and made again from a backup.
    Loss,
}

/// Where a process is to die: in which step, at which point, when it gets there for which time. A step without a name is
/// nobody's to die in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Case {
    /// In which play.
    pub play: Play,
    /// `broker`, `serve`, or a command of the scene.
    pub step: String,
    /// The point's name.
    pub point: String,
    /// The time.
    pub time: u32,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}: {}#{}", self.play, self.step, self.point, self.time)
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
pub struct Ended {
    /// Its exit code; none when it was killed.
    pub code: Option<i32>,
    /// What it wrote.
    pub said: String,
}

impl Ended {
    /// Its last line that is an object.
    pub fn json(&self) -> Value {
        let mut lines = self.said.lines().rev();
        lines.find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object)).unwrap_or(Value::Null)
    }
}

/// One run of the scene.
pub struct Scene<'a> {
    /// Where.
    pub stage: &'a mut Stage,
    /// What all its names begin with.
    pub tag: String,
    play: Play,
    /// Her id.
    alice: String,
    /// Who dies, if anybody does.
    pub case: Option<Case>,
    /// Whether the process of the case has died.
    pub crashed: bool,
    servers: Vec<Server>,
    /// What every command of the peers has in its environment.
    pub variables: Vec<(String, String)>,
}

impl<'a> Scene<'a> {
    /// A scene whose peers have names that begin with `tag`; with a case, somebody dies in it.
    pub fn new(stage: &'a mut Stage, tag: &str, play: Play, case: Option<Case>) -> Self {
        let alice = stage.ids["alice"].clone();
        let (tag, servers, variables) = (tag.to_owned(), Vec::new(), Vec::new());
        Self { stage, tag, play, alice, case, crashed: false, servers, variables }
    }

    /// Plays it; answers where every cent is in the end.
    pub fn play(&mut self) -> Value {
        let outcome = match self.play {
            Play::Trade => self.trade(),
            Play::Keys => self.change_keys(),
            Play::Loss => self.lose_a_home(),
        };
        if let Some(case) = &self.case {
            assert!(self.crashed, "{case} was never reached");
        }
        outcome
    }

    /// What must have come of it, whoever died.
    pub fn expected(&self) -> Value {
        match self.play {
            Play::Trade => Self::traded(),
            Play::Keys => self.keys_changed(),
            Play::Loss => Self::home_restored(),
        }
    }

    /// Every cent, as the ledger has it.
    pub fn audit(&self) {
        let (credited, escrow, paid_out) = match self.play {
            Play::Trade => (CREDITED, LEFT, PAID_OUT),
            Play::Keys => return,
            Play::Loss => (CREDITED + CREDITED_TO_BOB, crate::homes::ESCROW, 0),
        };
        let audit = self.stage.town.world.broker(&["ledger", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
        let held = |field: &str| audit[field].as_u64().expect("a number");
        assert_eq!(held("escrow_units"), escrow, "sold, and not redeemed: {audit}");
        assert_eq!(held("payouts_open_units"), paid_out, "{audit}");
        assert_eq!(held("balances_units") + escrow + paid_out, credited, "{audit}");
    }

    fn trade(&mut self) -> Value {
        self.stage.reset(&self.tag);
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
        self.pay_out();
        // Once more if it was interrupted: it goes on with the same keys, or changes them again.
        self.person("rotate", "alice", &["wallet", "rotate"]);
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
    pub fn home(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// What a process of this step is told: to die, or (when nobody is to die) to record the points it reaches.
    fn variables(&self, step: &str) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        match &self.case {
            None if step.is_empty() => {}
            None => variables.push(("NETPAY_CRASH_LOG".into(), format!("{}.{step}.points", self.tag))),
            Some(case) if case.step == step && !self.crashed => {
                variables.push(("NETPAY_CRASH_AT".into(), format!("{}#{}", case.point, case.time)));
            }
            Some(_) => {}
        }
        variables
    }

    /// Somebody died by a signal: that must be the one of the case, once.
    fn died(&mut self, step: &str, code: Option<i32>, said: &str) {
        let meant = self.case.as_ref().is_some_and(|case| case.step == step) && !self.crashed && code.is_none();
        assert!(meant, "{step} ended with {code:?} and nobody asked for it:\n{said}");
        self.crashed = true;
    }

    /// Starts the broker.
    pub fn open_the_broker(&mut self) {
        let variables = self.variables("broker");
        let arguments = ["--json", "serve", "--config", "broker"];
        let mut broker = self.stage.town.world.start_with("netpay-broker", &arguments, &variables, "broker.log");
        broker.wait_for("\"ready\":true");
        self.stage.town.broker = Some(broker);
    }

    /// Starts a peer that serves.
    pub fn serve(&mut self, name: &str, step: &'static str) {
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
    pub fn revive(&mut self) {
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
        if let Some(broker) = &mut self.stage.town.broker
            && let Some(code) = broker.ended()
        {
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

    /// Runs a peer's command once.
    pub fn command(&mut self, step: &str, name: &str, arguments: &[&str]) -> Ended {
        let home = self.home(name);
        self.once(step, "netpay", &[&["--home", &home, "--json"], arguments].concat())
    }

    /// Runs a command; once more if it failed and somebody died, as a person would.
    pub fn person(&mut self, step: &str, name: &str, arguments: &[&str]) -> Value {
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

    /// Has some paid out. After a crash the person looks at what the wallet knows by itself, and asks again, in the same
    /// words, for what was not answered.
    fn pay_out(&mut self) {
        let units = PAID_OUT.to_string();
        let payout = ["payout", &units, "--to", "the bank"];
        if self.command("payout", "bob", &payout).code == Some(0) {
            return;
        }
        assert!(self.crashed, "a payout failed by itself");
        self.variables.push(NOWHERE.map(str::to_owned).into());
        let listed = self.person("", "bob", &["payout", "--list"]);
        self.variables.pop();
        if listed["payouts"][0]["state"] != "requested" {
            self.person("", "bob", &payout);
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
            if ended.code == Some(0) {
                return true;
            }
            assert!(self.crashed, "{step} failed with {:?}:\n{}", ended.code, ended.said);
            assert!(!(insist && died_before), "{step} failed after the crash:\n{}", ended.said);
            // One that is named is whole: then the same command has nothing left to pay, says so, and succeeds.
            if !insist && there.is_none() {
                return false;
            }
        }
        panic!("{step} failed twice");
    }

    /// Where every cent is, as each of the four sees it.
    pub fn outcome(&self) -> Value {
        let listed = self.peer("bob", &["payout", "--list"]);
        let payouts: Vec<Value> = (listed["payouts"].as_array().expect("a list").iter())
            .map(|payout| json!([payout["state"], payout["amount_units"]]))
            .collect();
        json!({
            "alice": self.account("alice"),
            "bob": self.account("bob"),
            "carol": self.account("carol"),
            "payouts": payouts,
            "double_spends": self.double_spends(),
        })
    }

    /// What the broker found.
    pub fn double_spends(&self) -> Value {
        self.stage.town.world.broker(&["doublespend", "list"])["double_spends"].clone()
    }

    /// Runs a peer's command that nobody dies in, and that must succeed.
    pub fn peer(&self, name: &str, arguments: &[&str]) -> Value {
        let home = self.home(name);
        self.stage.town.peer(&home, &[&["--passphrase-file", "one"], arguments].concat())
    }

    /// What one peer has where.
    pub fn account(&self, name: &str) -> Value {
        let peer = |arguments: &[&str]| self.peer(name, arguments);
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
            for shown in
                [&["wallet", "show", "--words"][..], &["history"], &["statement"], &["balance"], &["payout", "--list"]]
            {
                all[format!("{name} {}", shown[0])] = self.peer(name, shown);
            }
            // As old as the moment in which it was asked for.
            all[format!("{name} balance")]["revocation_list_age_ms"] = Value::Null;
        }
        all
    }

    fn traded() -> Value {
        let supplier = |units: u64| {
            json!({
                "balance_units": units, "wallet_units": 0, "till_units": 0, "ecoins": 0, "accepted_units": units,
                "settled_words": units, "credited_words": units, "already_paid_words": 0, "conflicting_words": 0,
                "history_units": { "accept": units, "redeem": units },
            })
        };
        let mut bob = supplier(BOBS);
        bob["balance_units"] = (BOBS - PAID_OUT).into();
        bob["history_units"]["payout"] = PAID_OUT.into();
        json!({
            "alice": {
                "balance_units": CREDITED - BOUGHT, "wallet_units": LEFT, "till_units": 0, "ecoins": 2,
                "accepted_units": 0, "settled_words": 0, "credited_words": 0, "already_paid_words": 0,
                "conflicting_words": 0, "history_units": { "buy": BOUGHT, "grant": BOBS + CAROLS },
            },
            "bob": bob,
            "carol": supplier(CAROLS),
            "payouts": [["requested", PAID_OUT]],
            "double_spends": [],
        })
    }
}
