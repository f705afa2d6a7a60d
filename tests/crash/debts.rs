//! Double spending, and the debts that come of it.
//!
//! A debt is not settled before its debtor's last e-coin can no longer be redeemed. So the debts that can be are made in a
//! life of the broker's so long ago, by its clock.

use netpay_protocol::admin::Order;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::suite::Suite;
use netpay_tests::campaign::Dice;
use netpay_tests::raw_peer::RawPeer;

use crate::books::Debt;
use crate::clients::{Clients, rejected};
use crate::load::WORDS;

/// How long ago that life is: past redeeming, and not yet past the grace after it, when what is left would be refunded.
pub const AGO_MS: u64 = 120 * DAY_MS + DAY_MS / 2;
/// Who owes something since then.
const DEBTORS: u32 = 20;
/// Words of their e-coins: they are settled a few at a time.
const OLD_WORDS: u32 = 200;

impl Clients {
    /// What the life before left.
    pub async fn old_debts(&self, dice: &mut Dice) {
        for _ in 0..DEBTORS {
            let debtor = self.a_double_spend(dice, OLD_WORDS, OLD_WORDS).await;
            self.held().debtors.push(debtor);
        }
    }

    /// One of now: it is too early to settle it.
    pub async fn a_debt(&self, dice: &mut Dice) {
        let (_, (debtor, creditor, ecoin)) = self.a_double_spend(dice, WORDS, 2 * WORDS).await;
        rejected(self.order(&Order::SettleDebt { debtor, creditor, ecoin }).await, Kind::Conflict);
    }

    /// A cheat with this money grants words of one e-coin twice. Answers the cheat and what it owes.
    async fn a_double_spend(&self, dice: &mut Dice, n: u32, funds: u32) -> (RawPeer, Debt) {
        let cheat = self.peers[0].puppet();
        self.credit(cheat.id(), funds.into(), format!("for {}", cheat.id())).await;
        let order = self.purchase(&cheat, n, 1, Suite::Sha256);
        let coin = self.buy(&cheat, &order).await.expect("there is money").remove(0);
        let first = dice.place(self.peers.len());
        let second = (first + 1) % self.peers.len();
        let words = dice.small(1, n);
        for (payee, verdict) in [(first, Verdict::Credited), (second, Verdict::Conflicting)] {
            let grant = cheat.grant(&coin, (1, words + 1), self.peers[payee].id());
            let batch = self.peers[payee].batch(vec![RawPeer::claim(&coin, &grant, words)]);
            let statement = self.redeem(payee, batch).await;
            assert_eq!(statement.lines[0].verdict, verdict);
        }
        let debt = (cheat.id(), self.peers[second].id(), coin.touchstone.content.ecoin);
        {
            let books = &mut self.held().books;
            books.suspended.insert(cheat.id());
            books.debts.insert(debt, words.into());
        }
        rejected(self.buy(&cheat, &self.purchase(&cheat, 1, 1, Suite::Sha256)).await, Kind::Suspended);
        (cheat, debt)
    }

    /// A debtor comes by some money: it is the creditor's, as far as the debt goes. Who owes nothing more is let in again.
    pub async fn a_settlement(&self, dice: &mut Dice) {
        let Some((cheat, debt)) = self.held().debtors.pop() else { return };
        let (debtor, creditor, ecoin) = debt;
        self.credit(debtor, dice.between(1, 10), format!("a debtor's {}", dice.any())).await;
        let settle = Order::SettleDebt { debtor, creditor, ecoin };
        let admin = self.order(&settle).await.expect("there is money");
        let left = {
            let books = &mut self.held().books;
            self.ordered(books, &admin);
            let open = books.debts.remove(&debt).expect("it is owed");
            let paid = open.min(books.balances[&debtor]);
            books.debit(debtor, paid);
            books.credit(creditor, paid);
            if open > paid {
                books.debts.insert(debt, open - paid);
            }
            open - paid
        };
        let lift = Order::Reinstate { peer: debtor, reason: "nothing is owed".into() };
        if left > 0 {
            rejected(self.order(&settle).await, Kind::Conflict);
            rejected(self.order(&lift).await, Kind::InDebt);
            self.held().debtors.push((cheat, debt));
            return;
        }
        rejected(self.order(&settle).await, Kind::NotFound);
        let admin = self.order(&lift).await.expect("nothing is owed");
        {
            let books = &mut self.held().books;
            self.ordered(books, &admin);
            books.suspended.remove(&debtor);
        }
        self.credit(debtor, 1, format!("let in {debtor}")).await;
        self.buy(&cheat, &cheat.order(1, 1, Suite::Md5)).await.expect("it is let in");
        self.post.tally.count("debts settled whole");
    }
}
