//! A broker's key files in the hands of a test, which owns the broker: signs touchstones that no broker would.

use std::path::PathBuf;

use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{EcoinId, from_hex};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::suite::Payword;
use netpay_protocol::touchstone::Touchstone;

use crate::processes::World;
use crate::raw_peer::{Coin, fresh_request};

/// The key folder of a world's broker.
pub struct Forger(PathBuf);

impl Forger {
    /// Of the broker in this world.
    pub fn of(world: &World) -> Self {
        Self(world.path("broker/keys"))
    }

    /// One of its keys: `root`, `touchstone`, `statement` or `notice`.
    pub fn key(&self, name: &str) -> SigningKey {
        let text = std::fs::read_to_string(self.0.join(format!("{name}.key"))).expect("a key file");
        SigningKey::from_seed(&from_hex(text.trim()).expect("32 bytes in hex"))
    }

    /// An e-coin that was never sold, like this one but with `change`, under the broker's own signature.
    pub fn coin(&self, like: &Coin, change: impl FnOnce(&mut Touchstone)) -> Coin {
        let mut t = like.touchstone.content.clone();
        t.ecoin = EcoinId(fresh_request().0);
        change(&mut t);
        let last = like.chain.word(like.touchstone.content.n).expect("it ends there");
        let chain = PaywordChain::below(t.suite, &t.ecoin, t.n, Payword::unchecked(*last.bytes()));
        t.root = chain.root();
        Coin { touchstone: Signed::new(t, &self.key("touchstone")), chain }
    }
}
