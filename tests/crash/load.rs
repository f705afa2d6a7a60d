//! What the clients ask for: every kind of money operation, honest ones and others, each in whole from its first request
//! to its last answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Buy;
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, Statement, Verdict};
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::campaign::Dice;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request};
use tokio::task::JoinSet;

use crate::clients::{Clients, rejected};

/// Operations under way at once.
pub const WORKERS: u64 = 24;
/// Words of an e-coin.
pub const WORDS: u32 = 24;

/// Workers that go on until they are told to stop, and then finish what they began.
pub struct Load {
    workers: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts them. `dice` are one worker's.
    pub fn start(
        runtime: &tokio::runtime::Runtime,
        clients: &Arc<Clients>,
        workers: u64,
        dice: impl Fn(u64) -> Dice,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut set = JoinSet::new();
        for worker in 0..workers {
            let (clients, stop, mut dice) = (Arc::clone(clients), Arc::clone(&stop), dice(worker));
            let work = async move {
                while !stop.load(Ordering::Relaxed) {
                    clients.one_operation(&mut dice).await;
                }
            };
            set.spawn_on(work, runtime.handle());
        }
        Self { workers: set, stop }
    }

    /// Has them finish. Fails if one of them did.
    pub fn finish(mut self, runtime: &tokio::runtime::Runtime) {
        self.stop.store(true, Ordering::Relaxed);
        runtime.block_on(async {
            while let Some(ended) = self.workers.join_next().await {
                ended.expect("a client found something wrong");
            }
        });
    }
}

impl Clients {
    async fn one_operation(&self, dice: &mut Dice) {
        match dice.below(23) {
            0..3 => self.a_purchase(dice).await,
            3..9 => self.an_honest_batch(dice).await,
            9 => self.a_mixed_batch(dice).await,
            10 => self.a_repeated_batch(dice).await,
            11 => self.claims_in_a_new_batch(dice).await,
            12 => self.a_debt(dice).await,
            13 => self.a_deposit(dice).await,
            14..16 => self.a_payout(dice).await,
            16..18 => self.a_payouts_end(dice).await,
            18 => self.a_rejected_purchase(dice).await,
            19..21 => self.a_settlement(dice).await,
            21 => self.a_rotation(dice).await,
            _ => self.a_suspension().await,
        }
    }

    async fn a_purchase(&self, dice: &mut Dice) {
        let place = dice.place(self.peers.len());
        let payer = &self.peers[place];
        let suite = *dice.one(&[Suite::Md5, Suite::Sha256]);
        let coins = self.buy(payer, &payer.order(WORDS, dice.small(1, 3), suite)).await.expect("there is money");
        self.held().purse.extend(coins.into_iter().map(|coin| (place, coin, 1)));
    }

    /// Takes an e-coin out of the purse, or buys one.
    async fn take(&self, dice: &mut Dice) -> (usize, Coin, u32) {
        loop {
            {
                let purse = &mut self.held().purse;
                if !purse.is_empty() {
                    let place = dice.place(purse.len());
                    return purse.swap_remove(place);
                }
            }
            self.a_purchase(dice).await;
        }
    }

    /// Grants some words of an e-coin to a payee who is not its payer, and puts the rest back.
    async fn a_claim(&self, dice: &mut Dice, payee: usize) -> Claim {
        loop {
            let (payer, coin, from) = self.take(dice).await;
            if payer == payee {
                self.held().purse.push((payer, coin, from));
                self.a_purchase(dice).await;
                continue;
            }
            let through = (from + dice.small(0, 7)).min(WORDS);
            let grant = self.peers[payer].grant(&coin, (from, through + 1), self.peers[payee].id());
            let claim = RawPeer::claim(&coin, &grant, through);
            if through < WORDS {
                self.held().purse.push((payer, coin, through + 1));
            }
            return claim;
        }
    }

    async fn an_honest_batch(&self, dice: &mut Dice) {
        let payee = dice.place(self.peers.len());
        let mut claims = Vec::new();
        for _ in 0..dice.between(1, 4) {
            claims.push(self.a_claim(dice, payee).await);
        }
        let batch = self.peers[payee].batch(claims);
        let statement = self.redeem(payee, batch).await;
        assert!(statement.lines.iter().all(|line| line.verdict == Verdict::Credited), "{statement:?}");
    }

    /// One good claim among others that are not.
    async fn a_mixed_batch(&self, dice: &mut Dice) {
        let payee = dice.place(self.peers.len());
        let good = self.a_claim(dice, payee).await;
        let stranger = self.peers[0].puppet();
        let mut wrong_word = self.a_claim(dice, payee).await;
        wrong_word.word = good.word;
        let mut not_granted = self.a_claim(dice, payee).await;
        not_granted.index = Signed::new(not_granted.index.content, &stranger.key);
        let mut unknown = good.clone();
        unknown.index.content.ecoin = EcoinId(fresh_request().0);
        unknown.index = Signed::new(unknown.index.content, &stranger.key);
        let batch = self.peers[payee].batch(vec![good, wrong_word, not_granted, unknown]);
        let statement = self.redeem(payee, batch).await;
        let verdicts: Vec<_> = statement.lines.iter().map(|line| line.verdict).collect();
        let expected = [Verdict::Credited, Verdict::Invalid, Verdict::Unauthorised, Verdict::UnknownEcoin];
        assert_eq!(verdicts, expected);
    }

    /// The same bytes as before: the same verdicts.
    async fn a_repeated_batch(&self, dice: &mut Dice) {
        let Some((payee, batch, first)) = self.one_settled(dice) else { return };
        let again = self.ask_statement(&self.peers[payee], &batch).await.expect("it was good");
        assert_eq!(again.lines, first.lines, "the verdicts of a repeated batch");
        self.post.tally.count("batches repeated");
    }

    /// Other bytes with the same claims: what was credited was paid already.
    async fn claims_in_a_new_batch(&self, dice: &mut Dice) {
        let Some((payee, batch, first)) = self.one_settled(dice) else { return };
        let peer = &self.peers[payee];
        let again = self.ask_statement(peer, &peer.batch(batch.batch.content.claims)).await.expect("it was good");
        for (line, first) in again.lines.iter().zip(&first.lines) {
            assert_eq!((line.credited.0, line.already_paid.0), (0, first.credited.0));
        }
    }

    fn one_settled(&self, dice: &mut Dice) -> Option<(usize, netpay_protocol::messages::Redeem, Statement)> {
        let settled = &self.held().settled;
        (!settled.is_empty()).then(|| settled[dice.place(settled.len())].clone())
    }

    async fn a_deposit(&self, dice: &mut Dice) {
        let peer = dice.one(&self.peers).id();
        let (units, reference) = (dice.between(1, 100), format!("deposit {}", dice.any()));
        self.credit(peer, units, reference.clone()).await;
        // The operator's clerk types it in again: the same deposit is credited once, and another amount never.
        let again = Order::Credit { peer, amount: Units(units), reference: reference.clone() };
        self.order(&again).await.expect("it was credited");
        let other = Order::Credit { peer, amount: Units(units + 1), reference };
        rejected(self.order(&other).await, Kind::Conflict);
    }

    async fn a_payout(&self, dice: &mut Dice) {
        let place = dice.place(self.peers.len());
        let withdrawal = self.peers[place].withdrawal(dice.between(1, 50), "a bank");
        self.pay_out(place, withdrawal.clone()).await;
        // Another amount under the same id.
        let peer = &self.peers[place];
        let content = RequestPayout { amount_units: Units(51), ..withdrawal.payout.content };
        let other = netpay_protocol::messages::Withdrawal { payout: peer.sign(content), register: None };
        let subject = subjects::request(peer.id(), BrokerOp::Payout);
        rejected(
            self.post.settle(peer, &subject, other.payout.content.request, &wire::encode(&other)).await,
            Kind::RequestIdReused,
        );
    }

    /// Settled or failed, and then not the other.
    async fn a_payouts_end(&self, dice: &mut Dice) {
        let Some((_, withdrawal)) = self.held().open.pop() else { return };
        let content = withdrawal.payout.content;
        let payout = content.key();
        let settle = Order::SettlePayout { payout, reference: format!("transfer {}", dice.any()) };
        let fail = Order::FailPayout { payout, reason: "no such account".into() };
        let settles = dice.below(2) == 0;
        let (order, other) = if settles { (settle, fail) } else { (fail, settle) };
        let admin = self.order(&order).await.expect("it is open");
        {
            let books = &mut self.held().books;
            self.ordered(books, &admin);
            books.payouts.insert(payout, (content.amount_units.0, if settles { "settled" } else { "failed" }));
            if !settles {
                books.credit(payout.peer, content.amount_units.0);
            }
        }
        rejected(self.order(&other).await, Kind::Conflict);
    }

    /// More than there is.
    async fn a_rejected_purchase(&self, dice: &mut Dice) {
        let payer = dice.one(&self.peers).puppet();
        self.credit(payer.id(), 10, format!("for {}", payer.id())).await;
        rejected(self.buy(&payer, &payer.order(11, 1, Suite::Sha256)).await, Kind::InsufficientFunds);
        let mut dear: Buy = payer.order(10, 1, Suite::Sha256);
        dear.buy.content.n = PaywordIndex(11);
        dear.buy = payer.sign(dear.buy.content);
        rejected(self.buy(&payer, &dear).await, Kind::Policy);
    }

    /// An operator suspends somebody who has nothing to do with the others, and lifts it again.
    async fn a_suspension(&self) {
        let peer = self.peers[0].puppet().id();
        self.credit(peer, 1, format!("for {peer}")).await;
        let suspended = self.order(&Order::Suspend { peer, reason: "a question".into() }).await.expect("it is not");
        let lifted = self.order(&Order::Reinstate { peer, reason: "answered".into() }).await.expect("it is");
        let books = &mut self.held().books;
        for admin in [suspended, lifted] {
            self.ordered(books, &admin);
        }
    }
}
