//! The clients: peers and an operator that ask for money operations, many at once, and write down what they are answered.
//!
//! Everything honest is funded beforehand, so that each answer is known before it comes: another one fails the test.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use netpay_broker::keys::operator_id;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{EcoinId, Kid, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{Buy, Redeem, Sold, Withdrawal};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::{Head, Statement};
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::forger::Forger;
use netpay_tests::processes::World;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, now_ms};

use crate::books::{Books, Debt, state_name};
use crate::post::Post;
use crate::rotations::Rotating;

/// What each client has to begin with, and never comes near the end of.
const FUNDS: u64 = 1_000_000_000;

/// What the clients hold and know.
#[derive(Default)]
pub struct Held {
    /// Their books.
    pub books: Books,
    /// Every head that a statement showed.
    pub heads: Vec<Head>,
    /// E-coins with their next unspent word; who takes one out has it alone.
    pub purse: Vec<(usize, Coin, u32)>,
    /// Batches that were answered with a record, to be sent again.
    pub settled: Vec<(usize, Redeem, Statement)>,
    /// Payouts that are open.
    pub open: Vec<(usize, Withdrawal)>,
    /// Debts that can be settled, each with its debtor; who takes one out has it alone.
    pub debtors: Vec<(RawPeer, Debt)>,
    /// Peers that rotate their keys; who takes one out has it alone.
    pub rotating: Vec<Rotating>,
}

/// All of them.
pub struct Clients {
    /// The way to the broker.
    pub post: Post,
    /// The peers.
    pub peers: Vec<RawPeer>,
    /// How far the broker's clock is behind this one.
    pub behind_ms: u64,
    operator: SigningKey,
    held: Mutex<Held>,
}

impl Clients {
    /// These peers, and the world's operator.
    pub fn new(world: &World, post: Post, peers: Vec<RawPeer>) -> Self {
        let operator = Forger::of(world).key("operator");
        Self { post, peers, behind_ms: 0, operator, held: Mutex::default() }
    }

    /// What they hold. For a moment only: never while an answer is awaited.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nobody fails while holding it")
    }

    /// Gives every peer its funds.
    pub async fn fund(&self) {
        for (place, peer) in self.peers.iter().enumerate() {
            self.credit(peer.id(), FUNDS, format!("funds {place}")).await;
        }
    }

    /// An operator's order.
    pub async fn order(&self, order: &Order) -> Result<Admin, Problem> {
        let admin = Admin {
            broker: self.peers[0].broker,
            kid: Kid::of(&self.operator.public()),
            request: fresh_request(),
            valid_until_ms: now_ms() + netpay_protocol::limits::HOUR_MS - self.behind_ms,
            order: wire::encode(order),
        };
        let message = wire::encode(&Signed::new(admin.clone(), &self.operator));
        self.post.settle(&self.peers[0], &subjects::admin(order.op()), admin.request, &message).await?;
        Ok(admin)
    }

    /// Writes down that an operator's order was carried out.
    pub fn ordered(&self, books: &mut Books, admin: &Admin) {
        books.requests.insert((operator_id(&self.operator.public()), admin.request), admin.digest());
    }

    /// A deposit.
    pub async fn credit(&self, peer: PeerId, units: u64, reference: String) {
        let order = Order::Credit { peer, amount: Units(units), reference: reference.clone() };
        let admin = self.order(&order).await.expect("a good order");
        let books = &mut self.held().books;
        self.ordered(books, &admin);
        books.credit(peer, units);
        books.references.insert(reference, (peer, units));
    }

    /// What a peer orders, by the broker's clock.
    pub fn purchase(&self, payer: &RawPeer, n: u32, count: u32, suite: Suite) -> Buy {
        let mut order = payer.order(n, count, suite);
        order.buy.content.valid_until_ms -= self.behind_ms;
        order.buy = payer.sign(order.buy.content);
        order
    }

    /// A purchase.
    pub async fn buy(&self, payer: &RawPeer, order: &Buy) -> Result<Vec<Coin>, Problem> {
        let subject = subjects::request(payer.id(), BrokerOp::Buy);
        let answer = self.post.settle(payer, &subject, order.buy.content.request, &wire::encode(order)).await?;
        let sold: Sold = wire::decode(&answer).expect("what was sold");
        let coins = payer.open(order, &sold).expect("words that fit");
        let ecoins: BTreeSet<EcoinId> = coins.iter().map(|coin| coin.touchstone.content.ecoin).collect();
        let buy = &order.buy.content;
        assert_eq!(u32::try_from(ecoins.len()), Ok(buy.count), "as many as were asked for");
        let books = &mut self.held().books;
        books.requests.insert((payer.id(), buy.request), buy.digest());
        books.debit(payer.id(), buy.worth().0);
        books.ecoins.extend(ecoins.iter().map(|ecoin| (*ecoin, payer.id())));
        books.purchases.insert((payer.id(), buy.request), ecoins);
        Ok(coins)
    }

    /// A batch; nothing is written down of it but the head.
    pub async fn ask_statement(&self, payee: &RawPeer, batch: &Redeem) -> Result<Statement, Problem> {
        let subject = subjects::request(payee.id(), BrokerOp::Redeem);
        let answer = self.post.settle(payee, &subject, batch.batch.content.request, &wire::encode(batch)).await?;
        let statement: Signed<Statement> = wire::decode(&answer).expect("a statement");
        let statement = statement.content;
        statement.answers(&batch.batch.content).expect("the answer to this batch");
        for line in &statement.lines {
            self.post.tally.count(format!("verdict {}", line.verdict.name()));
        }
        self.held().heads.push(statement.head);
        Ok(statement)
    }

    /// A batch that is recorded.
    pub async fn redeem(&self, payee: usize, batch: Redeem) -> Statement {
        let peer = &self.peers[payee];
        let statement = self.ask_statement(peer, &batch).await.expect("a good batch");
        let content = &batch.batch.content;
        let mut held = self.held();
        let books = &mut held.books;
        books.requests.insert((peer.id(), content.request), content.digest());
        books.statements.insert((peer.id(), content.request), statement.lines.clone());
        for (claim, line) in content.claims.iter().zip(&statement.lines) {
            // Whoever asks here claims a whole run or loses it whole.
            if line.credited.0 > 0 {
                books.runs.insert((claim.ecoin(), claim.index.content.from.0), (claim.through.0, peer.id()));
            }
            books.credit(peer.id(), line.credited.0.into());
        }
        held.settled.push((payee, batch, statement.clone()));
        statement
    }

    /// A payout.
    pub async fn pay_out(&self, peer: usize, withdrawal: Withdrawal) {
        let (from, content) = (&self.peers[peer], withdrawal.payout.content.clone());
        let subject = subjects::request(from.id(), BrokerOp::Payout);
        self.post.settle(from, &subject, content.request, &wire::encode(&withdrawal)).await.expect("a good order");
        let mut held = self.held();
        held.books.requests.insert((from.id(), content.request), content.digest());
        held.books.debit(from.id(), content.amount_units.0);
        let requested = state_name(&netpay_protocol::payout::PayoutState::Requested);
        held.books.payouts.insert(content.key(), (content.amount_units.0, requested));
        held.open.push((peer, withdrawal));
    }
}

/// It was rejected, and for this reason.
pub fn rejected<T>(result: Result<T, Problem>, kind: Kind) {
    assert_eq!(result.err().map(|problem| problem.kind), Some(kind));
}
