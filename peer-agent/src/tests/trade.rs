//! Two peers and a broker in memory, for tests: words the scenes of the other test files are told in.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::ids::{ContentId, Digest, PeerId};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{Buy, Paid, Quoted};
use netpay_protocol::payment::Pay;
use netpay_protocol::quote::Quote;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};

use crate::content::CHUNK_BYTES;
use crate::errands::Errands;
use crate::home::identity::{Identity, new_request, random_16};
use crate::ports::{InOrder, InOrders as _};
use crate::store::Store;
use crate::tests::broker::{NOW, TestBroker};
use crate::till::accepting::{self, Payee, Refused};
use crate::till::policy::Policy;
use crate::wallet::buying::{self, Wish};
use crate::wallet::granting;
use crate::wallet::purse::Mode;

/// The time in tests.
pub fn now() -> u64 {
    NOW
}

/// Runs an errand to its end; pauses pass at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// A wish for one chain.
pub fn chain_of(n: u32, suite: Suite) -> Wish {
    Wish { count: 1, n: PaywordIndex(n), suite, unit_value: UnitValue(1), guarantee: Guarantee::Bearer }
}

/// A peer with its store.
pub struct Peer {
    /// Its keys.
    pub me: Identity,
    /// Its wallet and till.
    pub store: Store,
}

impl Peer {
    /// A new one.
    pub fn new(seed: u8) -> Self {
        Self { me: Identity::of_seed(seed), store: Store::in_memory().expect("memory") }
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.me.peer()
    }

    /// Its errands to a broker.
    pub fn errands<'a>(&'a self, broker: &'a TestBroker) -> Errands<'a, TestBroker> {
        Errands { store: &self.store, me: &self.me, broker: broker.id(), line: broker, now_ms: &now }
    }

    /// Buys without any trouble on the way.
    pub fn buy(&self, broker: &TestBroker, wish: Wish) -> Vec<Touchstone> {
        self.store
            .write(|tx| {
                let buy = buying::order(tx, &self.me, broker.id(), new_request(), wish, NOW)?;
                let message = Buy { buy: buy.clone(), register: Some(self.me.register(broker.id())) };
                let sold = broker.sell(&message);
                buying::receive(tx, &self.me, &broker.keys(), &buy, &sold, NOW)
            })
            .expect("sold")
            .ecoins
    }

    /// Quotes a price to `asker`, and the asker keeps it as an order.
    pub fn quote(&self, broker: &TestBroker, asker: &Peer, price: u64) -> Digest {
        let quote = Quote {
            broker: broker.id(),
            content: ContentId([5; 32]),
            size_bytes: u64::from(CHUNK_BYTES) * 10,
            chunk_bytes: CHUNK_BYTES,
            first_chunk: 0,
            chunk_count: 10,
            price_units: Units(price),
            payee: self.id(),
            expires_ms: NOW + 1_000,
            nonce: random_16(),
        };
        let quoted = Quoted {
            quote: Signed::new(quote, &self.me.signing),
            key: self.me.signing.public(),
            suites: vec![Suite::Sha256, Suite::Md5],
        };
        let order = InOrder { quote: quoted.quote.clone(), asker: asker.id(), paid: Units::ZERO };
        self.store.write(|tx| tx.add_in_order(&order)).expect("kept");
        asker.store.write(|tx| granting::open_order(tx, &quoted)).expect("kept");
        quoted.quote.content.digest()
    }

    /// The next payment towards an order, or none when `due` is paid.
    pub fn grant(&self, order: Digest, due: u64, mode: Mode) -> Result<Option<Pay>, granting::Error> {
        self.store.write(|tx| granting::pay(tx, &self.me, order, Units(due), Units(u64::MAX), mode, NOW))
    }

    /// The payee answers a payment with what was paid in all.
    pub fn acknowledged(&self, order: Digest, pay: &Pay, paid: u64) -> Result<(), granting::Short> {
        self.store.write(|tx| granting::acknowledged(tx, order, pay, Units(paid))).expect("kept")
    }

    /// Takes a payment with the given circumstances.
    pub fn accept_with(
        &self,
        broker: &TestBroker,
        from: PeerId,
        pay: &Pay,
        change: impl FnOnce(&mut Circumstances),
    ) -> Result<Paid, Refused> {
        let mut with = Circumstances {
            policy: Policy::default(),
            now_ms: NOW,
            keys: broker.keys(),
            revoked: Some(broker.revoked(1).content),
        };
        change(&mut with);
        let payee = Payee {
            me: self.id(),
            broker: broker.id(),
            keys: Some(&with.keys),
            revoked: with.revoked.as_ref(),
            policy: &with.policy,
            now_ms: with.now_ms,
        };
        self.store.write(|tx| accepting::accept(tx, &payee, from, pay))
    }

    /// Takes a payment under ordinary circumstances.
    pub fn accept(&self, broker: &TestBroker, from: PeerId, pay: &Pay) -> Result<Paid, Refused> {
        self.accept_with(broker, from, pay, |_| ())
    }

    /// Pays `price` for one thing, whole, to a payee that takes it.
    pub fn pay(&self, broker: &TestBroker, payee: &Peer, price: u64, mode: Mode) -> Vec<Pay> {
        let order = payee.quote(broker, self, price);
        let mut pays = Vec::new();
        while let Some(pay) = self.grant(order, price, mode).expect("enough") {
            let paid = payee.accept(broker, self.id(), &pay).expect("accepted");
            self.acknowledged(order, &pay, paid.paid.0).expect("as sent");
            pays.push(pay);
        }
        pays
    }
}

/// What a payee knows and wants.
pub struct Circumstances {
    /// Its policy.
    pub policy: Policy,
    /// The time.
    pub now_ms: u64,
    /// The broker's keys.
    pub keys: netpay_protocol::key_list::BrokerKeys,
    /// The revocation list.
    pub revoked: Option<netpay_protocol::revocation::RevocationList>,
}

/// Why a payment was refused.
pub fn why(result: Result<Paid, Refused>) -> String {
    match result {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}
