//! What the two ledgers are compared by after every step.

use std::collections::BTreeMap;

use super::asks::{Account, Coin, Debt, Payout, Peer};
use super::reference::Reference;

/// Who was paid a word, by which record, in the run that begins where.
pub type Word = Option<(Peer, u64, usize)>;

#[derive(Default, PartialEq, Debug)]
pub struct View {
    pub accounts: Vec<Account>,
    /// Whether it was refunded, and its words.
    pub coins: BTreeMap<u64, (bool, Vec<Word>)>,
    pub debts: Vec<Debt>,
    pub payouts: Vec<Payout>,
    pub records: u64,
    pub escrow: u64,
    /// What came in less what went out.
    pub outside: u64,
    pub life: u64,
    pub lost_since_ms: Option<u64>,
    pub doubted: bool,
    pub key_list: Option<(u64, u64)>,
}

impl View {
    /// Money that is nowhere is outside: the reference keeps no account of it.
    pub fn of(reference: &Reference) -> Self {
        let mut accounts = reference.accounts.clone();
        accounts[0] = Account::default();
        accounts.iter_mut().for_each(|account| account.funded = account.known());
        let word = |word: &Option<super::asks::Paid>| word.map(|paid| (paid.payee, paid.record, paid.first));
        let coin = |coin: &Coin| (coin.id, (coin.refunded, coin.words.iter().map(word).collect()));
        let escrow = reference.coins.iter().filter(|coin| !coin.refunded).map(Coin::left).sum();
        let (mut debts, mut payouts) = (reference.debts.clone(), reference.payouts.clone());
        debts.sort();
        payouts.sort();
        Self {
            outside: accounts.iter().map(|account| account.balance).sum::<u64>() + escrow,
            accounts,
            coins: reference.coins.iter().map(coin).collect(),
            debts,
            payouts,
            records: reference.records,
            escrow,
            life: reference.life,
            lost_since_ms: reference.lost_since_ms,
            doubted: reference.doubted,
            key_list: reference.key_list,
        }
    }

    /// What differs, field by field.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, same: bool, mine: String, theirs: String| {
            if !same {
                found.push(format!("{what}: {mine} instead of {theirs}"));
            }
        };
        for (peer, (mine, theirs)) in self.accounts.iter().zip(&other.accounts).enumerate() {
            compare(&format!("account {peer}"), mine == theirs, format!("{mine:?}"), format!("{theirs:?}"));
        }
        for id in self.coins.keys().chain(other.coins.keys().filter(|id| !self.coins.contains_key(id))) {
            let (mine, theirs) = (self.coins.get(id), other.coins.get(id));
            compare(&format!("e-coin {id}"), mine == theirs, format!("{mine:?}"), format!("{theirs:?}"));
        }
        let debts = (format!("{:?}", self.debts), format!("{:?}", other.debts));
        compare("debts", self.debts == other.debts, debts.0, debts.1);
        let payouts = (format!("{:?}", self.payouts), format!("{:?}", other.payouts));
        compare("payouts", self.payouts == other.payouts, payouts.0, payouts.1);
        let sums = |view: &Self| (view.records, view.escrow, view.outside);
        let life = |view: &Self| (view.life, view.lost_since_ms, view.doubted, view.key_list);
        let (mine, theirs) = ((sums(self), life(self)), (sums(other), life(other)));
        let what = "records, escrow, outside, life, lost since, doubted, key list";
        compare(what, mine == theirs, format!("{mine:?}"), format!("{theirs:?}"));
        found
    }
}
