//! What the scenes begin with, made once and put back for every case: keys are costly to make, directories are not.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use netpay_tests::town::Town;
use serde_json::Value;

/// What the operator credits Alice with.
pub const CREDITED: u64 = 200;
/// What he credits Bob with in the town that has aged.
pub const CREDITED_TO_BOB: u64 = 100;

/// A town whose broker and peers can be put back to where they began.
pub struct Stage {
    /// The town.
    pub town: Town,
    /// The peers' ids.
    pub ids: BTreeMap<String, String>,
    aged: Option<Aged>,
}

/// What is known of the town that has aged.
#[derive(Clone)]
pub struct Aged {
    /// What Bob sells for 10.
    pub bobs: String,
    /// What Alice sold before her backup for 5, and sells again.
    pub alices: String,
}

impl Default for Stage {
    fn default() -> Self {
        let mut town = Town::new();
        let ids = ["alice", "bob", "carol"].map(|name| (name.to_owned(), town.join(&format!("fresh-{name}"))));
        assert_eq!(town.broker.take().expect("it runs").terminate(), Some(0));
        copy(&town.world.path("broker"), &town.world.path("fresh-broker"));
        for passphrase in ["one", "two"] {
            let mut options = std::fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(town.world.path(passphrase));
            std::io::Write::write_all(&mut file.expect("new"), passphrase.as_bytes()).expect("our own file");
        }
        Self { town, ids: ids.into(), aged: None }
    }
}

impl Stage {
    /// A ledger without a record, and peers without money.
    pub fn reset(&mut self, tag: &str) {
        self.put_back("fresh", tag, &["alice", "bob", "carol"]);
    }

    /// The town in which Alice has a home, and a backup of it that has forgotten her last payment and purchase.
    pub fn reset_aged(&mut self, tag: &str, homes: &[&str]) -> Aged {
        let aged = self.aged.clone().unwrap_or_else(|| self.age());
        self.aged = Some(aged.clone());
        self.put_back("aged", tag, homes);
        aged
    }

    fn put_back(&mut self, from: &str, tag: &str, homes: &[&str]) {
        let path = |name: &str| self.town.world.path(name);
        if let Some(broker) = self.town.broker.take() {
            broker.kill();
        }
        std::fs::remove_dir_all(path("broker")).expect("ours");
        copy(&path(&format!("{from}-broker")), &path("broker"));
        for name in homes {
            copy(&path(&format!("{from}-{name}")), &path(&format!("{tag}-{name}")));
        }
    }

    /// Alice sells to Bob for 5, makes a backup, and then buys from Bob for 10 and another e-coin from the broker.
    fn age(&mut self) -> Aged {
        self.reset("aged");
        self.town.broker = Some(self.town.world.serve_broker());
        let (town, ids) = (&self.town, &self.ids);
        let (alice, bob) = ("aged-alice", "aged-bob");
        town.world.credit(&ids["alice"], CREDITED, "alice");
        town.world.credit(&ids["bob"], CREDITED_TO_BOB, "bob");
        town.peer(alice, &["buy", "--n", "40"]);
        town.peer(bob, &["buy", "--n", "20"]);
        let sell = |seller: &str, buyer: &str, file: &str, price: u64| {
            let (content, _) = town.share(seller, file, 100_000, price);
            let supplier = town.serve(seller);
            let (from, most) = (&ids[&seller["aged-".len()..]], price.to_string());
            town.peer(buyer, &["get", &content, "--from", from, "--max-price", &most, "-o", &format!("{file}.got")]);
            assert_eq!(supplier.terminate(), Some(0));
            content
        };
        let alices = sell(alice, bob, "poem.bin", 5);
        let backup = ["--passphrase-file", "one", "wallet", "backup", "create", "aged.backup"];
        let made: Value = town.peer(alice, &backup);
        assert_eq!((&made["ecoins"], &made["till_units"]), (&1.into(), &5.into()), "{made}");
        let bobs = sell(bob, alice, "song.bin", 10);
        town.peer(alice, &["buy", "--n", "20"]);
        assert_eq!(self.town.broker.take().expect("it runs").terminate(), Some(0));
        copy(&self.town.world.path("broker"), &self.town.world.path("aged-broker"));
        Aged { bobs, alices }
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
