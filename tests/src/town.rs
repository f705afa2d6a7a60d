//! A town: a broker, an index, and peers in homes of their own, all real processes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::processes::{Ended, Process, World};

/// A world with a broker, an index, and peers in homes of their own.
pub struct Town {
    /// Its directory, its NATS server, its programs.
    pub world: World,
    /// The broker's id.
    pub id: String,
    /// The broker; none while it is away.
    pub broker: Option<Process>,
    _index: Option<Process>,
}

impl Default for Town {
    fn default() -> Self {
        Self::new()
    }
}

impl Town {
    /// A town whose broker and index serve.
    pub fn new() -> Self {
        let mut town = Self::without_index();
        let (world, id, url) = (&town.world, &town.id, town.world.nats_url());
        let index = ["--json", "init", "--dir", "index", "--role", "index", "--broker", id, "--nats", &url];
        world.ok("netpay-broker", &[&index[..], &["--http", "127.0.0.1:0"]].concat());
        let mut index = world.start("netpay-broker", &["--json", "serve", "--config", "index"], "index.log");
        index.wait_for("\"ready\":true");
        town._index = Some(index);
        town
    }

    /// A town where only the broker serves.
    pub fn without_index() -> Self {
        Self::within(World::new(), &[])
    }

    /// The same in a world that is there, with a broker of these settings.
    pub fn within(world: World, settings: &[(&str, &str)]) -> Self {
        let id = world.init_broker(settings);
        let broker = Some(world.serve_broker());
        Self { world, id, broker, _index: None }
    }

    /// A new peer without money; answers its id.
    pub fn join(&self, name: &str) -> String {
        let made = self.peer(name, &["init", "--broker", &self.id, "--nats", &self.world.nats_url()]);
        made["peer"].as_str().expect("an id").to_owned()
    }

    /// A new peer that the operator credited.
    pub fn join_with_money(&self, name: &str, units: u64) -> String {
        let id = self.join(name);
        self.world.credit(&id, units, name);
        id
    }

    /// Runs a peer's command to its end.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        self.world.run("netpay", &[&["--home", name, "--json"], arguments].concat())
    }

    /// Runs a peer's command, which must succeed, and returns its JSON.
    pub fn peer(&self, name: &str, arguments: &[&str]) -> Value {
        self.world.ok("netpay", &[&["--home", name, "--json"], arguments].concat())
    }

    /// Starts a peer's command.
    pub fn start(&self, name: &str, arguments: &[&str], log: &str) -> Process {
        self.world.start("netpay", &[&["--home", name, "--json"], arguments].concat(), log)
    }

    /// Starts serving; returns when it is ready.
    pub fn serve(&self, name: &str) -> Process {
        let mut process = self.start(name, &["serve"], &format!("{name}.log"));
        process.wait_for("\"ready\":true");
        process
    }

    /// A file of so many bytes that are not all the same, on offer.
    pub fn share(&self, name: &str, file: &str, bytes: usize, price: u64) -> (String, PathBuf) {
        let path = self.world.path(file);
        let content: Vec<u8> = (0..bytes).map(|i| u8::try_from((i / 7 + i / 131_072) % 251).expect("small")).collect();
        std::fs::write(&path, content).expect("our own file");
        let shared = self.peer(name, &["share", "add", file, "--price", &price.to_string(), "--tags", "test"]);
        (shared["content"].as_str().expect("an id").to_owned(), path)
    }

    /// What the till took in, in all.
    pub fn till_units(&self, name: &str) -> u64 {
        let shown = self.peer(name, &["wallet", "show"]);
        let claims = shown["till"].as_array().expect("a list").iter();
        claims.map(|claim| claim["price_units"].as_u64().expect("a number")).sum()
    }
}

/// Two files have the same bytes.
pub fn same(a: &Path, b: &Path) {
    assert!(std::fs::read(a).expect("there") == std::fs::read(b).expect("there"), "{a:?} and {b:?} differ");
}
