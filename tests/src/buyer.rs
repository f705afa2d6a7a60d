//! A person who buys: an honest agent with some money, and what it lost to a supplier without rules.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;

use crate::processes::Ended;
use crate::raw_supplier::Stall;
use crate::shop::audit;
use crate::town::Town;

/// A person with an honest agent, two chains of 64 words, and nothing else.
pub struct Buyer {
    /// Where.
    pub town: Arc<Town>,
    /// Its home.
    pub name: String,
    /// Its id.
    pub id: PeerId,
}

impl Buyer {
    /// A new one.
    pub fn new(town: Arc<Town>) -> Self {
        static BORN: AtomicU32 = AtomicU32::new(0);
        let name = format!("buyer-{}", BORN.fetch_add(1, Ordering::Relaxed));
        let id = town.join_with_money(&name, 128).parse().expect("an id");
        town.peer(&name, &["buy", "--n", "64", "--count", "2"]);
        Self { town, name, id }
    }

    /// Where what it buys is saved.
    pub fn file(&self) -> PathBuf {
        self.town.world.path(&format!("{}.got", self.name))
    }

    /// `netpay get` from this supplier.
    pub fn get(&self, from: &Stall, more: &[&str]) -> Ended {
        let (content, supplier) = (from.content.to_string(), from.peer.id().to_string());
        let file = format!("{}.got", self.name);
        self.town.run(&self.name, &[&["get", &content, "--from", &supplier, "-o", &file], more].concat())
    }

    /// The agent ended with this exit code and these words, and there is no file.
    pub fn is_told(&self, ended: &Ended, code: i32, words: &str) {
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.errors.contains(words), "{:?} instead of {words:?}", ended.errors);
        assert!(!self.file().exists(), "a file that was not received whole");
    }

    /// Units that left, as its own history has it.
    fn granted(&self) -> u64 {
        let shown = self.town.peer(&self.name, &["history"]);
        let entries = shown["entries"].as_array().expect("a list").iter();
        entries.filter(|entry| entry["what"] == "grant").map(|entry| entry["units"].as_u64().expect("a number")).sum()
    }

    /// What left is what the supplier wrote down, and what the broker pays it for.
    pub async fn lost(&self, stall: &Stall, units: u64) {
        assert_eq!((stall.worth(), self.granted()), (units, units), "the supplier's book, and the buyer's");
        if units > 0 {
            assert_eq!(stall.redeem().await.balance_units, Units(units));
        }
        audit(&self.town);
    }

    /// The file is there, whole.
    pub fn received(&self, stall: &Stall) {
        assert!(std::fs::read(self.file()).expect("it is there") == stall.bytes(), "another file");
    }
}
