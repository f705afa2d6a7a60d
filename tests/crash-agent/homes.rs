//! Two more plays: Alice's keys get a passphrase, another, and none, and she makes a backup; and Alice loses her home, makes
//! it again from a backup that has forgotten what she spent since, and goes on.
//!
//! Killed anywhere, her home opens with the old or the new passphrase and has the same words; nothing half made has a
//! final name; and no word that she had at her backup is ever granted again.

use netpay_tests::processes::until;
use serde_json::{Value, json};

use crate::scene::{Ended, NOWHERE, Scene};
use crate::stage::Aged;

/// What is sold and not redeemed when a home was lost: Alice's two old e-coins but for what she spent of one, and Bob's.
pub const ESCROW: u64 = (40 - 10) + 20 + (20 - 5);
/// The keys' files.
const KEYS: [&str; 5] = ["keys.sealed", "nats.key", "sealing.key", "signing.key", "words.key"];

impl Scene<'_> {
    /// Sets, changes and removes a passphrase, and makes a backup. Needs nobody.
    pub fn change_keys(&mut self) -> Value {
        self.stage.reset_aged(&self.tag, &["alice"]);
        let words = self.words(None).expect("its keys lie in clear");
        let mut held = None;
        let mut files = Vec::new();
        for (step, to) in [("seal", Some("one")), ("change", Some("two")), ("unseal", None)] {
            let peer = self.change(step, held, to, &words);
            assert_eq!(peer, self.stage.ids["alice"], "{step}");
            assert_eq!(self.words(to).as_ref(), Some(&words), "{step}: the words");
            assert!(held.is_none() || to.is_none() || self.words(held).is_none(), "{step}: the old one opens");
            held = to;
            let home = self.stage.town.world.path(&self.home("alice"));
            files.push(KEYS.into_iter().filter(|name| home.join(name).exists()).collect::<Vec<_>>());
        }
        json!({ "files": files, "backup": self.back_up() })
    }

    /// Changes the passphrase; answers whose home it is. Whoever dies leaves one that opens with the old one or the new.
    fn change(&mut self, step: &str, old: Option<&str>, new: Option<&str>, words: &Value) -> Value {
        let mut now = old;
        for _ in 0..2 {
            self.variables = passphrase(now);
            let change = match new {
                Some(new) => ["wallet", "passphrase", "--new-passphrase-file", new].to_vec(),
                None => ["wallet", "passphrase", "--remove"].to_vec(),
            };
            let ended = self.command(step, "alice", &change);
            if ended.code == Some(0) {
                return ended.json()["peer"].clone();
            }
            assert!(self.crashed, "{step} failed:\n{}", ended.said);
            now = [new, old]
                .into_iter()
                .find(|passphrase| self.words(*passphrase).as_ref() == Some(words))
                .unwrap_or_else(|| {
                    panic!("{step} left a home that opens neither with {old:?} nor with {new:?}, or with other words")
                });
        }
        panic!("{step} failed twice, and died once");
    }

    /// The words that the wallet shows when it is opened with this.
    fn words(&mut self, opened_with: Option<&str>) -> Option<Value> {
        let before = std::mem::replace(&mut self.variables, passphrase(opened_with));
        let shown = self.command("", "alice", &["wallet", "show", "--words"]);
        self.variables = before;
        (shown.code == Some(0)).then(|| shown.json()["wallet"].clone())
    }

    /// Makes a backup. One that has its name is whole.
    fn back_up(&mut self) -> Value {
        self.variables = passphrase(Some("one"));
        let file = format!("{}.backup", self.tag);
        if self.command("backup", "alice", &["wallet", "backup", "create", &file]).code != Some(0) {
            assert!(self.crashed, "a backup failed by itself");
            if !self.stage.town.world.path(&file).exists() {
                self.person("", "alice", &["wallet", "backup", "create", &file]);
            }
        }
        let mut made = self.person("", "alice", &["wallet", "backup", "verify", &file]);
        for varies in ["file", "at_ms"] {
            made[varies] = Value::Null;
        }
        made
    }

    /// What must have come of the keys.
    pub fn keys_changed(&self) -> Value {
        json!({
            "files": [["keys.sealed"], ["keys.sealed"], ["nats.key", "sealing.key", "signing.key", "words.key"]],
            "backup": {
                "file": null, "at_ms": null, "peer": self.stage.ids["alice"], "ecoins": 2, "wallet_units": 50,
                "claims_to_redeem": 1, "till_units": 5,
            },
        })
    }

    /// Makes Alice's lost home again, out of the broker's reach; locks it; redeems; and goes on with new e-coins.
    pub fn lose_a_home(&mut self) -> Value {
        let aged = self.stage.reset_aged(&self.tag, &["bob"]);
        self.variables = passphrase(Some("one"));
        self.open_the_broker();
        self.serve("bob", "");
        self.restore();
        self.try_the_old_words(&aged);
        self.lock(&aged);
        self.try_the_old_words(&aged);
        self.keep_a_till(&aged);
        self.person("", "alice", &["buy", "--n", "10"]);
        assert_eq!(self.download("alice", &aged.bobs, "bob", "10").code, Some(0), "new words");
        self.person("", "bob", &["redeem"]);
        json!({
            "alice": self.account("alice"),
            "bob": self.account("bob"),
            "wordless": self.peer("alice", &["wallet", "show"])["wordless"].as_array().map(Vec::len),
            "double_spends": self.double_spends(),
        })
    }

    /// A crash leaves no home, or all of it.
    fn restore(&mut self) {
        let home = self.stage.town.world.path(&self.home("alice"));
        for _ in 0..2 {
            self.variables.push(NOWHERE.map(str::to_owned).into());
            let ended = self.command("restore", "alice", &["wallet", "backup", "restore", "aged.backup"]);
            self.variables.pop();
            if home.exists() {
                assert!(ended.code == Some(0) && ended.json()["locked"] == false || self.crashed, "{}", ended.said);
                return;
            }
            assert!(self.crashed, "restoring failed by itself:\n{}", ended.said);
        }
        panic!("restoring failed twice, and died once");
    }

    fn lock(&mut self, aged: &Aged) {
        for _ in 0..2 {
            let ended = self.command("lock", "alice", &["wallet", "restore"]);
            // What is locked already is not locked again unasked.
            if ended.code == Some(0) || (ended.code == Some(2) && self.crashed) {
                return;
            }
            assert!(self.crashed, "locking failed by itself:\n{}", ended.said);
            self.try_the_old_words(aged);
        }
        panic!("locking failed twice, and died once");
    }

    /// Nothing that the backup held is granted, and before the locking nothing is bought.
    fn try_the_old_words(&mut self, aged: &Aged) {
        let got = self.download("alice", &aged.bobs, "bob", "10");
        assert!(got.code.is_some_and(|code| code != 0), "an old word was granted:\n{}", got.said);
        let old = self.peer("alice", &["wallet", "show"])["wallet"][0].clone();
        assert_eq!(old["grants"], json!([]), "an old word was granted");
        if old["locked"] == false {
            let bought = self.command("", "alice", &["buy", "--n", "10"]);
            assert!(bought.said.contains("run first: netpay wallet restore"), "{:?}:\n{}", bought.code, bought.said);
        }
    }

    /// Alice's till redeems by itself what it held, once, and takes nothing with e-coins from before. In passing, where
    /// that is what the case is about, a folder goes on offer.
    fn keep_a_till(&mut self, aged: &Aged) {
        let case = self.case.clone();
        let is_about = |step: &str| case.as_ref().is_none_or(|case| case.step == step);
        let with_folder = is_about("keep") && case.as_ref().is_none_or(|case| case.point.starts_with("folder."));
        if with_folder {
            let folder = format!("{}-verses", self.tag);
            let path = self.stage.town.world.path(&folder);
            std::fs::create_dir(&path).expect("new");
            std::fs::write(path.join("verse.txt"), "one verse").expect("our own file");
            self.peer("alice", &["share", "add", &folder, "--price", "1"]);
        }
        self.variables.push(("NETPAY_REDEEM_AT_UNITS".into(), "1".into()));
        self.serve("alice", "keep");
        until("what the till holds to be redeemed", || {
            self.revive();
            let is_over = case.as_ref().is_none_or(|case| case.step != "keep") || self.crashed;
            let redeemed = is_over && self.peer("alice", &["wallet", "show"])["till_units"] == 0;
            (redeemed && (!with_folder || self.shares() == 2)).then_some(())
        });
        let got = self.download("bob", &aged.alices, "alice", "5");
        assert!(got.code.is_some_and(|code| code != 0), "a till took an old e-coin:\n{}", got.said);
    }

    fn shares(&self) -> usize {
        self.peer("alice", &["share", "list"])["shares"].as_array().map_or(0, Vec::len)
    }

    fn download(&mut self, buyer: &str, content: &str, supplier: &str, most: &str) -> Ended {
        let (from, target) = (self.stage.ids[supplier].clone(), format!("{}-{buyer}.got", self.tag));
        self.command("", buyer, &["get", content, "--from", &from, "--max-price", most, "-o", &target])
    }

    /// What must have come of the lost home.
    pub fn home_restored() -> Value {
        json!({
            "alice": {
                "balance_units": 200 - 40 - 20 - 10 + 5, "wallet_units": 0, "till_units": 0, "ecoins": 2,
                "accepted_units": 5, "settled_words": 5, "credited_words": 5, "already_paid_words": 0,
                "conflicting_words": 0,
                "history_units": { "accept": 5, "buy": 50, "grant": 10, "locked": 40, "redeem": 5 },
            },
            "bob": {
                "balance_units": 100 - 20 + 10 + 10, "wallet_units": 15, "till_units": 0, "ecoins": 1,
                "accepted_units": 20, "settled_words": 20, "credited_words": 20, "already_paid_words": 0,
                "conflicting_words": 0,
                "history_units": { "accept": 20, "buy": 20, "grant": 5 + 5, "redeem": 20, "refused": 5 },
            },
            "wordless": 1,
            "double_spends": [],
        })
    }
}

fn passphrase(file: Option<&str>) -> Vec<(String, String)> {
    file.map(|file| ("NETPAY_PASSPHRASE_FILE".to_owned(), file.to_owned())).into_iter().collect()
}
