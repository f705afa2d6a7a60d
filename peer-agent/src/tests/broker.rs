//! A broker for tests: real protocol keys and checks, a ledger that is one map, and no network.
//!
//! It can be told to lose answers. It knows nothing of accounts: whoever asks is sold to.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use netpay_protocol::admin::{Page, PaidRun};
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::certificate::Certificate;
use netpay_protocol::chain::{self, ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::key_list::{BrokerKeys, KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::{PublicKey, SigningKey};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::messages::{Ask, Buy, Redeem, Sold};
use netpay_protocol::payout::PayoutView;
use netpay_protocol::problem::Problem;
use netpay_protocol::query::{Answer, OwnEcoin, Question};
use netpay_protocol::redemption::{Head, Line, RedemptionBatch, Statement, Verdict};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::runs::Run;
use netpay_protocol::sealing::{PublicSealingKey, Purchase};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;

use crate::home::identity::{os_rng, random_16};
use crate::ports::{Broker, CallError};

/// What time it is in tests.
pub const NOW: u64 = 1_000 * DAY_MS;

/// The broker.
pub struct TestBroker {
    root: SigningKey,
    touchstone: SigningKey,
    statement: SigningKey,
    notice: SigningKey,
    master: ChainMaster,
    /// How many answers are lost from now on.
    pub lose: Cell<u32>,
    /// Problems to answer with instead, last first.
    pub problems: RefCell<Vec<Problem>>,
    /// Whether no e-coin is known that came without its touchstone.
    pub forgetful: Cell<bool>,
    /// Which life of the broker.
    pub incarnation: Cell<u64>,
    /// Its clock.
    pub clock: Cell<u64>,
    /// How many e-coins one page of an answer has.
    pub page: Cell<usize>,
    /// Everything that was asked, as it came.
    pub heard: RefCell<Vec<(BrokerOp, Vec<u8>)>>,
    /// Who is suspended.
    pub suspended: RefCell<Vec<PeerId>>,
    /// What was paid out, and how that stands.
    pub payouts: RefCell<BTreeMap<RequestId, PayoutView>>,
    /// Whose keys it knows.
    pub accounts: RefCell<BTreeMap<PeerId, Account>>,
    /// What a batch counts.
    state: RefCell<State>,
}

/// Whose key an account has.
#[derive(Clone)]
pub struct Account {
    /// The key.
    pub key: PublicKey,
    /// How many came before.
    pub given_up: u32,
    /// The rotations carried out.
    pub requests: Vec<RequestId>,
}

/// What a broker remembers.
#[derive(Default, Clone)]
pub struct State {
    sold: BTreeMap<RequestId, Vec<u8>>,
    debited: u64,
    ecoins: BTreeMap<EcoinId, Touchstone>,
    paid: BTreeMap<(EcoinId, u32), PeerId>,
    statements: BTreeMap<RequestId, Vec<u8>>,
    balances: BTreeMap<PeerId, u64>,
}

impl TestBroker {
    /// A new one.
    pub fn new() -> Self {
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        Self {
            root: key(100),
            touchstone: key(101),
            statement: key(102),
            notice: key(103),
            master: ChainMaster::new([9; 32]),
            lose: Cell::new(0),
            problems: RefCell::default(),
            forgetful: Cell::new(false),
            incarnation: Cell::new(1),
            clock: Cell::new(NOW),
            page: Cell::new(2),
            heard: RefCell::default(),
            suspended: RefCell::default(),
            payouts: RefCell::default(),
            accounts: RefCell::default(),
            state: RefCell::default(),
        }
    }

    /// Opens an account with this key.
    pub fn open(&self, peer: PeerId, key: PublicKey) {
        self.accounts.borrow_mut().insert(peer, Account { key, given_up: 0, requests: Vec::new() });
    }

    /// Its id.
    pub fn id(&self) -> BrokerId {
        BrokerId::of(&self.root.public())
    }

    /// Its word that this key speaks for that peer.
    pub fn certificate(&self, peer: PeerId, signing_key: PublicKey, given_up: u32) -> Signed<Certificate> {
        let kid = Kid::of(&self.statement.public());
        let issued_at_ms = self.clock.get();
        let certificate = Certificate { broker: self.id(), kid, peer, signing_key, given_up, issued_at_ms };
        Signed::new(certificate, &self.statement)
    }

    /// The statement of a batch, as it was answered.
    pub(crate) fn kept(&self, request: RequestId) -> Option<Vec<u8>> {
        self.state.borrow().statements.get(&request).cloned()
    }

    /// The key list as it travels, with `change` made to it before it is signed.
    pub fn key_list(&self, change: impl FnOnce(&mut KeyList)) -> SignedKeyList {
        let listed = |key: &SigningKey, purpose| ListedKey {
            kid: Kid::of(&key.public()),
            key: key.public(),
            purpose,
            not_before_ms: NOW - 30 * DAY_MS,
            not_after_ms: NOW + 300 * DAY_MS,
            revoked_at_ms: 0,
        };
        let mut list = KeyList {
            broker: self.id(),
            incarnation: 1,
            seq: 1,
            issued_at_ms: NOW,
            next_at_ms: NOW + 30 * DAY_MS,
            keys: vec![
                listed(&self.touchstone, Purpose::Touchstone),
                listed(&self.statement, Purpose::Statement),
                listed(&self.notice, Purpose::Notice),
            ],
        };
        change(&mut list);
        SignedKeyList { root: self.root.public(), list: Signed::new(list, &self.root) }
    }

    /// Its keys, verified.
    pub fn keys(&self) -> BrokerKeys {
        self.key_list(|_| ()).verify(self.id()).expect("its own")
    }

    /// The revocation list.
    pub fn revoked(&self, seq: u64) -> Signed<RevocationList> {
        self.revoked_with(|list| list.seq = seq)
    }

    /// The revocation list, with `change` made to it before it is signed.
    pub fn revoked_with(&self, change: impl FnOnce(&mut RevocationList)) -> Signed<RevocationList> {
        let mut peers: Vec<_> = self.suspended.borrow().iter().map(|p| (*p, NOW)).collect();
        peers.sort();
        let mut list = RevocationList {
            broker: self.id(),
            kid: Kid::of(&self.notice.public()),
            incarnation: self.incarnation.get(),
            seq: 1,
            issued_at_ms: NOW,
            next_at_ms: NOW + DAY_MS,
            peers,
        };
        change(&mut list);
        Signed::new(list, &self.notice)
    }

    /// Signs a touchstone, whatever it says.
    pub fn sign(&self, touchstone: Touchstone) -> Signed<Touchstone> {
        Signed::new(touchstone, &self.touchstone)
    }

    /// A backup.
    pub fn backup(&self) -> State {
        self.state.borrow().clone()
    }

    /// Goes on from a backup, in another life. What it forgot comes back by its touchstone.
    pub fn restore(&self, backup: State) {
        *self.state.borrow_mut() = backup;
        self.incarnation.set(self.incarnation.get() + 1);
    }

    /// What was debited in all.
    pub fn debited(&self) -> u64 {
        self.state.borrow().debited
    }

    /// What an account has from redeeming.
    pub fn balance(&self, peer: PeerId) -> u64 {
        self.state.borrow().balances.get(&peer).copied().unwrap_or(0)
    }

    /// The whole chain of an e-coin.
    pub fn chain(&self, t: &Touchstone) -> PaywordChain {
        let last = self.master.last_word(t.suite, &t.ecoin, t.n);
        PaywordChain::below(t.suite, &t.ecoin, t.n, last)
    }

    /// Sells, once for each request.
    pub fn sell(&self, buy: &Buy) -> Sold {
        let mut state = self.state.borrow_mut();
        let order = &buy.buy.content;
        if let Some(bytes) = state.sold.get(&order.request) {
            return wire::decode(bytes).expect("its own");
        }
        let register = buy.register.as_ref().expect("the first purchase brings it");
        let key = register.content.signing_key;
        buy.buy.verify(&key).expect("the buyer's own");
        let mut words = Vec::new();
        let mut touchstones = Vec::new();
        for _ in 0..order.count {
            let ecoin = EcoinId(random_16());
            let last = self.master.last_word(order.suite, &ecoin, order.n);
            let root = PaywordChain::below(order.suite, &ecoin, order.n, last).root();
            let touchstone = Touchstone {
                broker: self.id(),
                kid: Kid::of(&self.touchstone.public()),
                ecoin,
                suite: order.suite,
                root,
                n: order.n,
                unit_value: order.unit_value,
                payer: order.payer,
                payer_key: key,
                payer_opened_at_ms: NOW - DAY_MS,
                issued_at_ms: self.clock.get(),
                spend_until_ms: NOW + 10 * DAY_MS,
                redeem_until_ms: NOW + 20 * DAY_MS,
                guarantee: order.guarantee,
                incarnation: 1,
            };
            state.ecoins.insert(ecoin, touchstone.clone());
            touchstones.push(self.sign(touchstone));
            words.push((ecoin, last));
        }
        state.debited += order.worth().0;
        let purchase = Purchase { broker: self.id(), payer: order.payer, request: order.request };
        let sealing = PublicSealingKey::from_der(&register.content.sealing_key).expect("sound");
        let kid = Kid::of(&self.touchstone.public());
        let sealed = sealing.seal(kid, purchase, &words, &mut os_rng());
        let sold = Sold { sealed: Signed::new(sealed, &self.touchstone), touchstones, position: 1 };
        state.sold.insert(order.request, wire::encode(&sold));
        sold
    }

    /// Redeems by the table of DESIGN §3.7, word by word.
    pub fn redeem(&self, redeem: &Redeem) -> Signed<Statement> {
        let batch = &redeem.batch.content;
        let mut state = self.state.borrow_mut();
        if let Some(bytes) = state.statements.get(&batch.request) {
            return wire::decode(bytes).expect("its own");
        }
        let lines = batch
            .claims
            .iter()
            .map(|claim| {
                let brought = redeem.touchstones.iter().find(|t| t.content.ecoin == claim.ecoin());
                let known = state.ecoins.get(&claim.ecoin()).cloned().filter(|_| !self.forgetful.get());
                let Some(t) = known.or_else(|| brought.map(|t| t.content.clone())) else {
                    return Line::refused(Verdict::UnknownEcoin);
                };
                let index = &claim.index.content;
                if !index.covers(claim.through, t.n) {
                    return Line::refused(Verdict::Invalid);
                }
                if index.payee != batch.payee || claim.index.verify_under(&t).is_err() {
                    return Line::refused(Verdict::Unauthorised);
                }
                if !chain::reaches_root(t.suite, &t.ecoin, &t.root, claim.through, &claim.word) {
                    return Line::refused(Verdict::Invalid);
                }
                let (mut credited, mut already, mut conflicting) = (0, 0, 0);
                for word in index.from.0..=claim.through.0 {
                    match state.paid.get(&(t.ecoin, word)) {
                        None => {
                            credited += 1;
                            state.paid.insert((t.ecoin, word), batch.payee);
                        }
                        Some(payee) if *payee == batch.payee => already += 1,
                        Some(_) => conflicting += 1,
                    }
                }
                *state.balances.entry(batch.payee).or_default() += WordCount(credited).worth(t.unit_value).0;
                Line::settled(WordCount(credited), WordCount(already), WordCount(conflicting))
            })
            .collect();
        let balance = state.balances.get(&batch.payee).copied().unwrap_or(0);
        let signed = self.statement(batch, lines, Units(balance));
        state.statements.insert(batch.request, wire::encode(&signed));
        signed
    }

    /// A statement about a batch, with these lines.
    pub fn statement(&self, batch: &RedemptionBatch, lines: Vec<Line>, balance_units: Units) -> Signed<Statement> {
        let statement = Statement {
            broker: self.id(),
            kid: Kid::of(&self.statement.public()),
            incarnation: self.incarnation.get(),
            payee: batch.payee,
            request: batch.request,
            batch: batch.digest(),
            issued_at_ms: NOW,
            lines,
            balance_units,
            head: Head { position: 7, ..Head::default() },
        };
        Signed::new(statement, &self.statement)
    }
}

impl TestBroker {
    /// The asker's own e-coins after one, and what was paid of them.
    pub fn own_ecoins(&self, ask: &Ask) -> Signed<Answer> {
        let query = &ask.query.content;
        let Question::Ecoins(after) = query.question else { panic!("not asked here: {query:?}") };
        let state = self.state.borrow();
        let own = state.ecoins.values().filter(|t| t.payer == query.peer && t.ecoin > after);
        let paid = |id: EcoinId| {
            let words = state.paid.iter().filter(move |((ecoin, _), _)| *ecoin == id);
            words.map(|((_, word), payee)| PaidRun { run: run(*word, *word), payee: *payee, position: 1 }).collect()
        };
        let mut items: Vec<OwnEcoin> =
            own.map(|t| OwnEcoin { touchstone: self.sign(t.clone()), paid: paid(t.ecoin) }).collect();
        let more = items.len() > self.page.get();
        items.truncate(self.page.get());
        self.answer(query.digest(), wire::encode(&Page { items, more }))
    }

    /// A signed answer.
    pub fn answer(&self, about: Digest, body: Vec<u8>) -> Signed<Answer> {
        let kid = Kid::of(&self.statement.public());
        let answer = Answer { broker: self.id(), kid, about, issued_at_ms: self.clock.get(), body };
        Signed::new(answer, &self.statement)
    }
}

impl Broker for TestBroker {
    async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        self.heard.borrow_mut().push((op, message.clone()));
        if let Some(problem) = self.problems.borrow_mut().pop() {
            return Err(problem.into());
        }
        let answer = match op {
            BrokerOp::Buy => wire::encode(&self.sell(&wire::decode(&message).expect("a Buy"))),
            BrokerOp::Redeem => wire::encode(&self.redeem(&wire::decode(&message).expect("a Redeem"))),
            BrokerOp::Payout => self.pay_out(&wire::decode(&message).expect("a Withdrawal"))?,
            BrokerOp::Balance | BrokerOp::Statement => {
                self.answer_question(&wire::decode(&message).expect("an Ask"))?
            }
            BrokerOp::Rotate => self.rotate(&wire::decode(&message).expect("a Rotate"))?,
            BrokerOp::Keys => wire::encode(&self.key_list(|_| ())),
            BrokerOp::Notices => wire::encode(&self.revoked(1)),
            BrokerOp::Restore => wire::encode(&self.own_ecoins(&wire::decode(&message).expect("an Ask"))),
        };
        let lose = self.lose.get();
        if lose > 0 {
            self.lose.set(lose - 1);
            return Err(CallError::Silence("lost".into()));
        }
        Ok(answer)
    }
}

/// The run `from..=through`.
pub fn run(from: u32, through: u32) -> Run {
    Run::new(PaywordIndex(from), PaywordIndex(through)).expect("not empty")
}
