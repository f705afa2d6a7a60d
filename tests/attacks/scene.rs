//! One test's peers at a broker, and the test's own books: who got how much, what was sold, and who was granted which
//! words. [`Scene::ends_well`] holds what the broker made of it against these books; they know nothing of the ledger's code.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netpay_protocol::admin::{AccountView, Admin, DoubleSpendView, EcoinView, Order, Page};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{EcoinId, Kid, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::query::Answer;
use netpay_protocol::redemption::{Claim, Line};
use netpay_protocol::runs::Run;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Guarantee;
use netpay_protocol::{subjects, wire};
use netpay_tests::forger::Forger;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, now_ms};
use netpay_tests::shop::audit;
use netpay_tests::town::Town;

/// See the module.
pub struct Scene {
    /// Where it plays.
    pub town: Arc<Town>,
    /// Carries the operator's orders; its sealing key is everybody's here, since drawing one takes long.
    pub clerk: RawPeer,
    operator: SigningKey,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    deposited: u64,
    left: u64,
    /// Everybody who may hold money, and whether the broker may have a reason to accuse it.
    peers: BTreeMap<PeerId, bool>,
    /// Words and the worth of one, of each e-coin sold.
    sold: BTreeMap<EcoinId, (u32, u64)>,
    granted: BTreeMap<(EcoinId, PeerId), Vec<Run>>,
}

impl Scene {
    /// At the broker that most tests share.
    pub async fn shared() -> Self {
        Self::of(crate::town()).await
    }

    /// At a broker of its own, whose ledger nobody else moves.
    pub async fn alone() -> Self {
        Self::of(Arc::new(Town::without_index())).await
    }

    async fn of(town: Arc<Town>) -> Self {
        let broker = town.id.parse().expect("an id");
        let clerk = RawPeer::connect(&town.world.nats_url(), broker).await.expect("NATS is there");
        let operator = Forger::of(&town.world).key("operator");
        Self { town, clerk, operator, books: Mutex::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer that gives nobody a reason to accuse it, with so much money.
    pub async fn honest(&self, units: u64) -> RawPeer {
        self.peer(units, false).await
    }

    /// A peer that may be accused.
    pub async fn cheat(&self, units: u64) -> RawPeer {
        self.peer(units, true).await
    }

    async fn peer(&self, units: u64, cheats: bool) -> RawPeer {
        let peer = self.clerk.puppet();
        self.knows(peer.id(), cheats);
        if units > 0 {
            self.credit(peer.id(), units).await;
        }
        peer
    }

    /// Somebody else who may come to hold money.
    pub fn knows(&self, peer: PeerId, cheats: bool) {
        self.books().peers.insert(peer, cheats);
    }

    /// A deposit.
    pub async fn credit(&self, peer: PeerId, units: u64) {
        let order = Order::Credit { peer, amount: Units(units), reference: fresh_request().to_string() };
        let _: AccountView = self.order(&order).await.expect("credited");
        self.books().deposited += units;
    }

    /// A payout was asked for and granted.
    pub fn left(&self, units: u64) {
        self.books().left += units;
    }

    /// Buys an e-coin for anybody, of words of one unit.
    pub async fn coin(&self, payer: &RawPeer, n: u32, suite: Suite) -> Coin {
        self.buy(payer, n, (suite, 1, Guarantee::Bearer)).await
    }

    /// Buys an e-coin of this suite, unit and guarantee.
    pub async fn buy(&self, payer: &RawPeer, n: u32, (suite, unit, to): (Suite, u32, Guarantee)) -> Coin {
        let coin = payer.buy_one(n, suite, unit, to).await.expect("bought");
        self.sold(&coin);
        coin
    }

    /// Writes down an e-coin that was bought.
    pub fn sold(&self, coin: &Coin) {
        let t = &coin.touchstone.content;
        self.books().sold.insert(t.ecoin, (t.n.0, u64::from(t.unit_value.0)));
    }

    /// An e-coin was sold after the backup that was restored since: nobody paid for it any more.
    pub fn forgotten(&self, coin: &Coin) {
        self.books().sold.remove(&coin.touchstone.content.ecoin);
    }

    /// A grant that its payer means.
    pub fn grant(&self, payer: &RawPeer, coin: &Coin, range: (u32, u32), payee: PeerId) -> Signed<SignedIndex> {
        self.means(coin, range, payee);
        payer.grant(coin, range, payee)
    }

    /// Writes down that these words were granted.
    pub fn means(&self, coin: &Coin, (from, to): (u32, u32), payee: PeerId) {
        let run = Run::new(PaywordIndex(from), PaywordIndex(to - 1)).expect("a grant of at least a word");
        self.books().granted.entry((coin.touchstone.content.ecoin, payee)).or_default().push(run);
    }

    /// A claim on words granted by somebody who means it: all of them.
    pub fn claim(&self, payer: &RawPeer, coin: &Coin, range: (u32, u32), payee: PeerId) -> Claim {
        RawPeer::claim(coin, &self.grant(payer, coin, range, payee), range.1 - 1)
    }

    async fn order<T>(&self, order: &Order) -> anyhow::Result<T>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let admin = Admin {
            broker: self.clerk.broker,
            kid: Kid::of(&self.operator.public()),
            request: fresh_request(),
            valid_until_ms: now_ms() + 60_000,
            order: wire::encode(order),
        };
        let message = wire::encode(&Signed::new(admin, &self.operator));
        let answer = self.clerk.call(subjects::admin(order.op()), message).await?;
        let answer: Signed<Answer> = wire::decode(&answer)?;
        Ok(wire::decode(&answer.content.body)?)
    }

    /// An operator's order, whatever comes of it.
    pub async fn orders(&self, order: &Order) -> anyhow::Result<AccountView> {
        self.order(order).await
    }

    /// An account, if there is one.
    pub async fn account(&self, peer: PeerId) -> Option<AccountView> {
        self.order(&Order::ShowAccount { peer }).await.ok()
    }

    /// What an account holds.
    pub async fn balance(&self, peer: &RawPeer) -> u64 {
        self.account(peer.id()).await.map_or(0, |account| account.balance.0)
    }

    /// The same, as the operator's program shows it, which has the broker's clock.
    pub fn shown_balance(&self, peer: &RawPeer) -> u64 {
        let shown = self.town.world.broker(&["account", "show", &peer.id().to_string()]);
        shown["balance_units"].as_u64().expect("a number")
    }

    /// An e-coin, if it is known.
    pub async fn ecoin(&self, ecoin: EcoinId) -> Option<EcoinView> {
        self.order(&Order::ShowEcoin { ecoin }).await.ok()
    }

    /// How many words of it were paid.
    pub async fn paid(&self, coin: &Coin) -> u32 {
        self.ecoin(coin.touchstone.content.ecoin).await.expect("it was sold").paid.0
    }

    /// How many records the ledger has.
    pub async fn position(&self) -> u64 {
        let anybody = self.order::<Page<AccountView>>(&Order::ListAccounts { after: None }).await.expect("a page");
        anybody.items.first().map_or(0, |account| account.head.position)
    }

    /// Every double spend of which this peer is accused.
    pub async fn double_spends(&self, payer: PeerId) -> Vec<DoubleSpendView> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page: Page<DoubleSpendView> = self.order(&Order::ListDoubleSpends { after }).await.expect("a page");
            after = page.items.last().map(|item| item.key);
            found.extend(page.items.into_iter().filter(|item| item.payer == payer));
            if !page.more {
                return found;
            }
        }
    }

    /// Starts the broker again, so many days ahead of this machine's clock. What it is asked at this time must not expire.
    pub fn is_later(&mut self, days: u32) {
        let town = Arc::get_mut(&mut self.town).expect("a broker of its own");
        assert_eq!(town.broker.take().expect("it serves").terminate(), Some(0));
        town.world.set_clock(&format!("+{days}d"));
        town.broker = Some(town.world.serve_broker());
    }

    /// Starts the broker again, at the true time.
    pub fn is_now(&mut self) {
        self.is_later(0);
    }

    /// The ledger is lost, and this backup restored in its place.
    pub fn is_restored_from(&mut self, backup: &str) {
        let town = Arc::get_mut(&mut self.town).expect("a broker of its own");
        assert_eq!(town.broker.take().expect("it serves").terminate(), Some(0));
        std::fs::rename(town.world.path("broker/ledger"), town.world.path(&format!("lost-before-{backup}")))
            .expect("moved away");
        town.world.broker(&["backup", "restore", backup]);
        town.broker = Some(town.world.serve_broker());
    }

    /// The ledger's own audit passes. Nobody honest is accused. Of each e-coin the broker paid words that were sold, each
    /// once, and only to whom they were granted. And what came in is on the accounts, in e-coins, or gone on purpose.
    pub async fn ends_well(self) {
        audit(&self.town);
        let books = std::mem::take(&mut *self.books());
        let mut held = 0;
        for (peer, cheats) in &books.peers {
            let Some(account) = self.account(*peer).await else { continue };
            held += account.balance.0;
            let accused = account.suspended_at_ms.is_some() || account.debt > Units::ZERO;
            assert!(*cheats || !accused, "an honest peer is accused: {account:?}");
            assert!(
                *cheats || self.double_spends(*peer).await.is_empty(),
                "an honest peer is accused of double spending"
            );
        }
        for (ecoin, (n, unit)) in &books.sold {
            let view = self.ecoin(*ecoin).await.expect("it was sold");
            let mut next = 1;
            for paid in &view.runs {
                let Run { from: PaywordIndex(from), through: PaywordIndex(through) } = paid.run;
                assert!(next <= from && from <= through && through <= *n, "{paid:?} after {next}");
                next = through + 1;
                let granted = books.granted.get(&(*ecoin, paid.payee)).cloned().unwrap_or_default();
                let all = (from..=through).all(|i| granted.iter().any(|run| (run.from.0..=run.through.0).contains(&i)));
                assert!(all, "words were paid that nobody granted: {paid:?}");
            }
            let words: u32 = view.runs.iter().map(|paid| paid.run.words().0).sum();
            assert_eq!(words, view.paid.0, "what is paid of {ecoin}");
            if view.expired_at_ms.is_none() {
                held += u64::from(n - words) * unit;
            }
        }
        assert_eq!(held, books.deposited - books.left, "units held in accounts and e-coins");
    }
}

/// Redeems, and returns the lines.
pub async fn lines(payee: &RawPeer, claims: Vec<Claim>) -> Vec<Line> {
    payee.redeem(&payee.batch(claims)).await.expect("a statement").lines
}
