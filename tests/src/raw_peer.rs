//! A peer without rules: it signs and sends whatever a test wants, and keeps no promise that a wallet keeps.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::Client;
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::certificate::Certificate;
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{BrokerId, ContentId, Digest, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{Purpose, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::messages::{
    Account, Ask, AskChunk, AskQuote, Buy, Chunk, Paid, Quoted, Redeem, Rotate, Sold, Withdrawal,
};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::payout::{PayoutView, RequestPayout};
use netpay_protocol::problem::Problem;
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::redemption::{Claim, Head, RedemptionBatch, Statement};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::sealing::{Purchase, SealingKey};
use netpay_protocol::subjects::{self, BrokerOp, PeerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::{limits, wire};
use rand_core::Rng as _;

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(10);

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before the year 500,000,000")
}

/// A fresh request id.
pub fn fresh_request() -> RequestId {
    let mut id = RequestId::default();
    rng().fill_bytes(&mut id.0);
    id
}

/// A bought e-coin with its words.
#[derive(Clone)]
pub struct Coin {
    /// What the broker says of it.
    pub touchstone: Signed<Touchstone>,
    /// Its words.
    pub chain: PaywordChain,
}

impl std::fmt::Debug for Coin {
    /// Its words are money, and not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Coin({})", self.touchstone.content.ecoin)
    }
}

impl Coin {
    /// Its words through this one, by the last of them.
    pub fn reveal(&self, through: u32) -> Revealed {
        Revealed::one(PaywordIndex(through), self.chain.word(PaywordIndex(through)).expect("on the chain"))
    }
}

/// See the module.
pub struct RawPeer {
    /// The connection.
    pub client: Client,
    /// The broker.
    pub broker: BrokerId,
    /// The signing key.
    pub key: SigningKey,
    peer: PeerId,
    sealing: Arc<SealingKey>,
    nkey: SigningKey,
}

impl RawPeer {
    /// A new peer.
    pub async fn connect(nats_url: &str, broker: BrokerId) -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        rng().fill_bytes(&mut seed);
        Self::with_seed(nats_url, broker, &seed).await
    }

    /// The peer with this signing key (and fresh other keys, which an opened account does not need again).
    pub async fn with_seed(nats_url: &str, broker: BrokerId, seed: &[u8; 32]) -> anyhow::Result<Self> {
        let client = async_nats::connect(nats_url).await.context("no NATS server")?;
        let sealing = Arc::new(SealingKey::generate(2_048, &mut rng())?);
        let nkey = SigningKey::generate(&mut rng());
        let key = SigningKey::from_seed(seed);
        Ok(Self { client, broker, peer: PeerId::of(&key.public()), key, sealing, nkey })
    }

    /// Another peer on this connection and with this sealing key: a puppet costs nothing but a signing key.
    pub fn puppet(&self) -> Self {
        let stranger = self.with_another_key();
        Self { peer: PeerId::of(&stranger.key.public()), ..stranger }
    }

    /// The same peer on a connection of its own.
    pub async fn once_more(&self, nats_url: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(nats_url).await.context("no NATS server")?;
        let (key, nkey) = (SigningKey::from_seed(&self.key.seed()), SigningKey::from_seed(&self.nkey.seed()));
        Ok(Self { client, broker: self.broker, peer: self.peer, key, sealing: Arc::clone(&self.sealing), nkey })
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.peer
    }

    /// The same peer with fresh keys, which its account knows nothing of yet.
    pub fn with_other_keys(&self) -> anyhow::Result<Self> {
        let sealing = Arc::new(SealingKey::generate(2_048, &mut rng())?);
        Ok(Self { sealing, ..self.with_another_key() })
    }

    /// The same, but for the sealing key, which is costly to make.
    pub fn with_another_key(&self) -> Self {
        let (key, nkey) = (SigningKey::generate(&mut rng()), SigningKey::generate(&mut rng()));
        let (client, sealing) = (self.client.clone(), Arc::clone(&self.sealing));
        Self { client, broker: self.broker, key, peer: self.peer, sealing, nkey }
    }

    /// An order to speak with these keys, whosever they are.
    pub fn rotation(&self, register: Signed<Register>) -> Rotate {
        let order = RotateKeys {
            broker: self.broker,
            peer: self.peer,
            request: fresh_request(),
            valid_until_ms: now_ms() + limits::HOUR_MS,
            register: register.content.digest(),
        };
        Rotate { order: self.sign(order), register }
    }

    /// Has the keys changed. Returns the broker's word on the key that speaks for this peer then.
    pub async fn rotate(&self, rotation: &Rotate) -> anyhow::Result<Certificate> {
        let answer = self.ask(BrokerOp::Rotate, wire::encode(rotation)).await?;
        self.certified(&wire::decode(&answer)?).await
    }

    /// The broker's word on which key speaks for a peer.
    pub async fn key_of(&self, peer: PeerId) -> anyhow::Result<Certificate> {
        let answer = self.answer(Question::Certificate(peer)).await?;
        let certificate = self.certified(&wire::decode(&answer.body)?).await?;
        anyhow::ensure!(certificate.peer == peer, "a certificate of another peer");
        Ok(certificate)
    }

    async fn certified(&self, certificate: &Signed<Certificate>) -> anyhow::Result<Certificate> {
        let keys: SignedKeyList = wire::decode(&self.ask(BrokerOp::Keys, vec![]).await?)?;
        certificate.key_of(certificate.content.peer, &keys.verify(self.broker)?)?;
        Ok(certificate.content.clone())
    }

    /// Its registration.
    pub fn register(&self) -> Signed<Register> {
        let register = Register {
            broker: self.broker,
            signing_key: self.key.public(),
            sealing_key: self.sealing.public_der(),
            nkey: self.nkey.public(),
        };
        Signed::new(register, &self.key)
    }

    /// Sends bytes and waits for the answer's bytes, or the problem.
    pub async fn call(&self, subject: String, payload: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let answer = tokio::time::timeout(WAIT, self.client.request(subject, payload.into())).await??;
        let problem = answer.headers.as_ref().is_some_and(|h| h.get("Nats-Service-Error-Code").is_some());
        if problem {
            bail!(wire::decode::<Problem>(&answer.payload).context("a problem has a body")?);
        }
        Ok(answer.payload.to_vec())
    }

    /// Asks the broker.
    pub async fn ask(&self, op: BrokerOp, payload: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        self.call(subjects::request(self.id(), op), payload).await
    }

    /// Opens an account, as far as that goes before the first money command.
    pub async fn join(&self) -> anyhow::Result<Account> {
        let answer = self.call(subjects::REGISTER.into(), wire::encode(&self.register())).await?;
        Ok(wire::decode(&answer)?)
    }

    /// An order for chains.
    pub fn order(&self, n: u32, count: u32, suite: Suite) -> Buy {
        let buy = BuyEcoins {
            broker: self.broker,
            payer: self.id(),
            request: fresh_request(),
            valid_until_ms: now_ms() + limits::HOUR_MS,
            count,
            n: PaywordIndex(n),
            suite,
            unit_value: UnitValue(1),
            most_debited_units: Units(u64::from(n) * u64::from(count)),
            guarantee: Guarantee::Bearer,
        };
        Buy { buy: Signed::new(buy, &self.key), register: Some(self.register()) }
    }

    /// Buys.
    pub async fn buy(&self, order: &Buy) -> anyhow::Result<Vec<Coin>> {
        let answer = self.ask(BrokerOp::Buy, wire::encode(order)).await?;
        self.open(order, &wire::decode(&answer)?)
    }

    /// Opens what was sold.
    pub fn open(&self, order: &Buy, sold: &Sold) -> anyhow::Result<Vec<Coin>> {
        let purchase = Purchase { broker: self.broker, payer: self.id(), request: order.buy.content.request };
        let words = self.sealing.open(purchase, &sold.sealed.content, &mut rng())?;
        let coins = words.into_iter().zip(&sold.touchstones).map(|((ecoin, last), touchstone)| {
            let t = &touchstone.content;
            let chain = PaywordChain::below(t.suite, &ecoin, t.n, last);
            anyhow::ensure!(ecoin == t.ecoin && chain.root() == t.root, "the words do not fit the touchstone");
            Ok(Coin { touchstone: touchstone.clone(), chain })
        });
        coins.collect()
    }

    /// Buys one e-coin of these words, whatever they are worth and whoever they are bound to.
    pub async fn buy_one(&self, n: u32, suite: Suite, unit: u32, guarantee: Guarantee) -> anyhow::Result<Coin> {
        let mut order = self.order(n, 1, suite);
        let most_debited_units = Units(u64::from(n) * u64::from(unit));
        let buy = BuyEcoins { unit_value: UnitValue(unit), guarantee, most_debited_units, ..order.buy.content };
        order.buy = self.sign(buy);
        self.buy(&order).await?.pop().context("nothing was sold")
    }

    /// Signs whatever it is given.
    pub fn sign<L: Layout>(&self, content: L) -> Signed<L> {
        Signed::new(content, &self.key)
    }

    /// A grant, overlapping with whatever else was granted.
    pub fn grant(&self, coin: &Coin, (from, to): (u32, u32), payee: PeerId) -> Signed<SignedIndex> {
        let index = SignedIndex {
            broker: self.broker,
            ecoin: coin.touchstone.content.ecoin,
            from: PaywordIndex(from),
            to: PaywordIndex(to),
            payee,
            order: Digest::ZERO,
        };
        Signed::new(index, &self.key)
    }

    /// A claim on a grant signed by its payer.
    pub fn claim(coin: &Coin, index: &Signed<SignedIndex>, through: u32) -> Claim {
        let word = coin.chain.word(PaywordIndex(through)).expect("on the chain");
        Claim { index: index.clone(), through: PaywordIndex(through), word }
    }

    /// A batch of claims.
    pub fn batch(&self, claims: Vec<Claim>) -> Redeem {
        let batch = RedemptionBatch {
            broker: self.broker,
            payee: self.id(),
            request: fresh_request(),
            seen: Head::default(),
            claims,
        };
        let batch = Signed::new(batch, &self.key);
        Redeem { batch, touchstones: vec![], register: Some(self.register()) }
    }

    /// Redeems.
    pub async fn redeem(&self, batch: &Redeem) -> anyhow::Result<Statement> {
        let answer = self.ask(BrokerOp::Redeem, wire::encode(batch)).await?;
        let statement: Signed<Statement> = wire::decode(&answer)?;
        statement.content.answers(&batch.batch.content)?;
        Ok(statement.content)
    }

    /// An order to pay out.
    pub fn withdrawal(&self, units: u64, destination: &str) -> Withdrawal {
        let payout = RequestPayout {
            broker: self.broker,
            peer: self.id(),
            request: fresh_request(),
            valid_until_ms: now_ms() + limits::HOUR_MS,
            amount_units: Units(units),
            destination: destination.into(),
        };
        Withdrawal { payout: Signed::new(payout, &self.key), register: Some(self.register()) }
    }

    /// Has it paid out.
    pub async fn pay_out(&self, withdrawal: &Withdrawal) -> anyhow::Result<PayoutView> {
        let answer = self.ask(BrokerOp::Payout, wire::encode(withdrawal)).await?;
        Ok(wire::decode(&self.believed(&answer, withdrawal.payout.content.digest()).await?.body)?)
    }

    /// A question about an account, signed with this peer's key whosever the account is.
    pub fn question(&self, peer: PeerId, question: Question) -> Ask {
        let valid_until_ms = now_ms() + limits::HOUR_MS;
        let query = Query { broker: self.broker, peer, valid_until_ms, min_position: 0, question };
        Ask { query: Signed::new(query, &self.key), register: Some(self.register()) }
    }

    /// Asks about its own account. Returns the broker's signed answer.
    pub async fn answer(&self, question: Question) -> anyhow::Result<Answer> {
        let ask = self.question(self.id(), question);
        let answer = self.ask(question.op(), wire::encode(&ask)).await?;
        self.believed(&answer, ask.query.content.digest()).await
    }

    /// An answer that the broker signed, to what was asked.
    async fn believed(&self, answer: &[u8], about: Digest) -> anyhow::Result<Answer> {
        let answer: Signed<Answer> = wire::decode(answer)?;
        let keys: SignedKeyList = wire::decode(&self.ask(BrokerOp::Keys, vec![]).await?)?;
        let keys = keys.verify(self.broker)?;
        let key = keys.find(answer.content.kid, Purpose::Statement, answer.content.issued_at_ms);
        let content = answer.verify(&key.context("signed by a key that is not the broker's")?)?;
        anyhow::ensure!(content.about == about, "the answer is to something else");
        Ok(answer.content)
    }

    /// Asks a payee's price.
    pub async fn quote(&self, payee: PeerId, content: ContentId) -> anyhow::Result<Quoted> {
        let subject = subjects::peer(payee, self.id(), PeerOp::Quote);
        Ok(wire::decode(
            &self.call(subject, wire::encode(&AskQuote { content, first_chunk: 0, chunk_count: None })).await?,
        )?)
    }

    /// Pays `from..to` through `to − 1` towards a quote.
    pub async fn pay(&self, coin: &Coin, range: (u32, u32), quoted: &Quoted) -> anyhow::Result<Paid> {
        let payee = quoted.quote.content.payee;
        let payment = Self::first(coin, self.grant(coin, range, payee), range.1 - 1);
        self.send(payee, &Pay { order: quoted.quote.content.digest(), payment }).await
    }

    /// A payment in the first form.
    pub fn first(coin: &Coin, index: Signed<SignedIndex>, through: u32) -> Payment {
        Payment::First { touchstone: coin.touchstone.clone(), index, revealed: coin.reveal(through) }
    }

    /// Sends a payment.
    pub async fn send(&self, payee: PeerId, pay: &Pay) -> anyhow::Result<Paid> {
        self.send_as(self.id(), payee, wire::encode(pay)).await
    }

    /// Sends a payment's bytes under any peer's name.
    pub async fn send_as(&self, name: PeerId, payee: PeerId, pay: Vec<u8>) -> anyhow::Result<Paid> {
        Ok(wire::decode(&self.call(subjects::peer(payee, name, PeerOp::Pay), pay).await?)?)
    }

    /// Fetches a chunk.
    pub async fn chunk(&self, quoted: &Quoted, index: u64) -> anyhow::Result<Chunk> {
        let ask = AskChunk { order: quoted.quote.content.digest(), index };
        let subject = subjects::peer(quoted.quote.content.payee, self.id(), PeerOp::Chunk);
        Ok(wire::decode(&self.call(subject, wire::encode(&ask)).await?)?)
    }
}

/// The problem that a peer was answered with.
pub fn problem<T: std::fmt::Debug>(result: anyhow::Result<T>) -> Problem {
    let error = result.expect_err("a problem was expected");
    error.downcast_ref::<Problem>().unwrap_or_else(|| panic!("{error:#}")).clone()
}
