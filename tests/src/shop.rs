//! An honest payee: a real `netpay serve` with a file on offer, and what can be seen of its till and at the broker.
//!
//! Payments of one payer are told from those of others, so that many tests can trade with one shop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Guarantee;
use serde_json::Value;

use crate::processes::Process;
use crate::raw_peer::{Coin, RawPeer};
use crate::town::Town;

/// How many chunks its file has.
pub const CHUNKS: u64 = 12;
/// What the file costs: ten units a chunk.
pub const PRICE: u64 = 120;

/// See the module.
pub struct Shop {
    /// Where it is.
    pub town: Arc<Town>,
    /// The name of its home.
    pub name: String,
    /// Its id.
    pub id: PeerId,
    /// What it offers.
    pub content: ContentId,
    serving: Option<Process>,
}

impl Shop {
    /// Opens a shop. `policy` are lines of its `[policy]`.
    pub fn open(town: Arc<Town>, policy: &str) -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name = format!("shop-{}", OPENED.fetch_add(1, Ordering::Relaxed));
        let id = town.join(&name).parse().expect("an id");
        let config = town.world.path(&name).join("peer.toml");
        let text = std::fs::read_to_string(&config).expect("just made");
        let text = text.replace("[policy]\n", &format!("[policy]\n{policy}\n"));
        std::fs::write(&config, text).expect("our own file");
        let bytes = usize::try_from(CHUNKS * 131_072 - 100).expect("small");
        let (content, _) = town.share(&name, &format!("{name}.bin"), bytes, PRICE);
        let serving = Some(town.serve(&name));
        Self { town, name, id, content: content.parse().expect("an id"), serving }
    }

    /// Stops serving and starts again.
    pub fn reopen(&mut self) {
        assert_eq!(self.serving.take().expect("it serves").terminate(), Some(0));
        self.serving = Some(self.town.serve(&self.name));
    }

    /// A new payer with one e-coin of so many words of one unit each.
    pub async fn payer(&self, words: u32) -> (RawPeer, Coin) {
        let payer = raw_peer(&self.town, u64::from(words)).await;
        let coin = payer.buy_one(words, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
        (payer, coin)
    }

    /// What the till holds of this payer: its claims.
    pub fn claims_of(&self, payer: &RawPeer) -> Vec<Value> {
        let shown = self.town.peer(&self.name, &["wallet", "show"]);
        let payer = Value::from(payer.id().to_string());
        shown["till"].as_array().expect("a list").iter().filter(|claim| claim["payer"] == payer).cloned().collect()
    }

    /// Nothing of this payer's was accepted.
    pub fn took_nothing(&self, payer: &RawPeer) {
        assert_eq!(self.claims_of(payer), Vec::<Value>::new(), "the till took a liar's words");
    }

    /// Redeems, and holds what was credited against what the payer says that it gave: words `1..=given` of this e-coin.
    pub fn redeems_what_was_given(&self, coin: &Coin, given: u64) {
        let redeemed = self.town.peer(&self.name, &["redeem"]);
        assert_eq!(redeemed["credited_units"], given, "{redeemed}");
        assert_eq!(self.town.peer(&self.name, &["balance"])["balance_units"], given);
        assert_eq!(paid_words(&self.town, coin), given);
        audit(&self.town);
    }
}

/// A peer without rules, with so much money.
pub async fn raw_peer(town: &Town, units: u64) -> RawPeer {
    let broker = town.id.parse().expect("an id");
    let peer = RawPeer::connect(&town.world.nats_url(), broker).await.expect("NATS is there");
    peer.join().await.expect("a good registration");
    if units > 0 {
        town.world.credit(&peer.id().to_string(), units, &format!("for {}", peer.id()));
    }
    peer
}

/// The words of an e-coin that the broker paid, once each.
pub fn paid_words(town: &Town, coin: &Coin) -> u64 {
    let shown = town.world.broker(&["ecoin", "show", &coin.touchstone.content.ecoin.to_string()]);
    shown["paid_words"].as_u64().expect("a number")
}

/// Replays the broker's ledger: every cent is where an event put it.
pub fn audit(town: &Town) {
    assert_eq!(town.world.broker(&["ledger", "audit"])["ok"], true);
}
