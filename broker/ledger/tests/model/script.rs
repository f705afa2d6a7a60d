//! Who asks what: peers that pay, redeem, forget, ask again and cheat, an operator, and a broker whose clock goes on.
//!
//! A step is a kind and four numbers; what it comes to depends on what was asked before. So any part of a script is a
//! script, too, and one that fails can be made shorter.

use proptest::prelude::*;

use super::asks::*;
use super::real::{KEYS, PEERS};
use super::reference::Reference;
use super::world::START_MS;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Deposit,
    Buy,
    Pay,
    DoubleSpend,
    Redeem,
    Again,
    OtherBytes,
    Suspend,
    SettleDebt,
    RequestPayout,
    EndPayout,
    RotateKey,
    ListKeys,
    Expire,
    TimePasses,
    DoubtClock,
    ConfirmClock,
    Backup,
    Restore,
    BringBack,
    Reconcile,
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub kind: Kind,
    pub numbers: [u16; 4],
}

pub fn steps(commands: usize) -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        12 => Just(Kind::Deposit),
        18 => Just(Kind::Buy),
        36 => Just(Kind::Pay),
        5 => Just(Kind::DoubleSpend),
        48 => Just(Kind::Redeem),
        14 => Just(Kind::Again),
        5 => Just(Kind::OtherBytes),
        7 => Just(Kind::Suspend),
        12 => Just(Kind::SettleDebt),
        8 => Just(Kind::RequestPayout),
        8 => Just(Kind::EndPayout),
        7 => Just(Kind::RotateKey),
        2 => Just(Kind::ListKeys),
        8 => Just(Kind::Expire),
        9 => Just(Kind::TimePasses),
        1 => Just(Kind::DoubtClock),
        3 => Just(Kind::ConfirmClock),
        2 => Just(Kind::Backup),
        1 => Just(Kind::Restore),
        4 => Just(Kind::BringBack),
        2 => Just(Kind::Reconcile),
    ];
    let step = (kind, any::<[u16; 4]>()).prop_map(|(kind, numbers)| Step { kind, numbers });
    prop::collection::vec(step, commands)
}

/// What a payer remembers of an e-coin: the words granted so far, and to whom the last of them.
#[derive(Clone, Debug)]
struct Sold {
    coin: Coin,
    next: usize,
    last: Option<(Peer, usize)>,
}

/// What the peers, the operator and the broker remember, whatever becomes of the ledger.
pub struct Script {
    pub now_ms: u64,
    next: u64,
    sold: Vec<Sold>,
    held: Vec<Claim>,
    sent: Vec<(Request, Ask)>,
}

fn pick<T>(from: &[T], number: u16) -> Option<&T> {
    from.get(usize::from(number) % from.len().max(1))
}

fn one_in(many: u16, number: u16) -> bool {
    number % many == many - 1
}

impl Script {
    pub fn new() -> Self {
        Self { now_ms: START_MS, next: 0, sold: vec![], held: vec![], sent: vec![] }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Seldom what the broker's clock says is believed, and seldom all that was left with it before is decided.
    pub fn moment(&self, step: &Step) -> Moment {
        let behind_ms = if one_in(5, step.numbers[2]) { 2 * DAY_MS } else { 0 };
        let clock_trusted = !one_in(16, step.numbers[3]);
        Moment { now_ms: self.now_ms, drained_ms: self.now_ms.saturating_sub(behind_ms), clock_trusted }
    }

    pub fn time_passes(&mut self, [a, b, ..]: [u16; 4]) {
        let hour_ms = DAY_MS / 24;
        let long_ms = [1_000, 30_000, hour_ms, 6 * hour_ms, DAY_MS, 3 * DAY_MS, 3 * DAY_MS, 20 * DAY_MS];
        self.now_ms += pick(&long_ms, a).copied().unwrap_or(0) + u64::from(b);
    }

    /// What this step asks for, unless there is nothing that it could be about.
    pub fn ask(&mut self, step: &Step, is: &Reference) -> Option<(Request, Ask)> {
        let [a, b, c, d] = step.numbers;
        let anybody = 1 + usize::from(a) % PEERS;
        // Few buy, so that they have something left.
        let payer = 1 + usize::from(a) % 4;
        let ask = match step.kind {
            Kind::Again => {
                let (request, ask) = pick(&self.sent, a)?.clone();
                // Who prepares a purchase anew makes new e-coins; who does not has waited too long.
                return Some((request, if one_in(3, b) { ask } else { self.prepared_again(ask, is) }));
            }
            Kind::OtherBytes => {
                let (known, _) = pick(&self.sent, a)?.clone();
                let (bytes, valid_until_ms) = (self.fresh(), Some(self.now_ms + DAY_MS));
                let ask = match known.speaker {
                    Some(_) => Ask::RequestPayout { peer: known.signer, id: known.id, amount: 1 },
                    None => Ask::Suspend { peer: anybody, suspend: one_in(2, b) },
                };
                let request = Request { bytes, valid_until_ms, ..known };
                self.sent.push((request.clone(), ask.clone()));
                return Some((request, ask));
            }
            Kind::Deposit => self.deposit(payer, step.numbers, is),
            Kind::Buy => self.buy(payer, step.numbers, is)?,
            Kind::Redeem => self.redeem(step.numbers)?,
            Kind::Suspend => Ask::Suspend { peer: if one_in(3, c) { anybody } else { payer }, suspend: one_in(4, b) },
            Kind::SettleDebt => {
                let name = pick(&is.debts, b).map_or((payer, anybody, 1), |debt| debt.name);
                Ask::SettleDebt(if one_in(9, d) { (name.0, anybody, name.2) } else { name })
            }
            Kind::RequestPayout => {
                let rich: Vec<_> = (1..=PEERS).filter(|peer| is.accounts[*peer].balance > 0).collect();
                let peer = pick(&rich, a).copied().unwrap_or(anybody);
                let amount = u64::from(b) % (is.accounts[peer].balance + 2);
                let amount = if one_in(2, c) { amount } else { amount.div_ceil(4) };
                Ask::RequestPayout { peer, id: self.next + 1, amount }
            }
            Kind::EndPayout => {
                let open: Vec<_> = is.payouts.iter().filter(|payout| payout.paid.is_none() || one_in(4, c)).collect();
                let (peer, id) = pick(&open, a).map_or((anybody, 7), |payout| (payout.peer, payout.id));
                Ask::EndPayout { peer, id: if one_in(12, d) { id + 1 } else { id }, paid: one_in(2, b) }
            }
            Kind::RotateKey => {
                // Most of them one peer's, who comes to the end of what is allowed.
                let peer = if one_in(5, d) { anybody } else { 5 };
                let key = is.accounts[peer].key;
                let next = (key + 1).min(KEYS - 2);
                Ask::RotateKey { peer, new: if one_in(6, b) { usize::from(c) % (key + 1) } else { next } }
            }
            // The next one, the same, an earlier one; of a later life, or of an earlier one with a higher number.
            Kind::ListKeys => {
                let (life, number) = is.key_list.unwrap_or_default();
                let lists = [(life, number + 1), (life, number), (life, number.saturating_sub(1))];
                let others = [(life + 1, number / 2), (life.saturating_sub(1), number + 1)];
                Ask::ListKeys(*pick(&[&lists[..], &others].concat(), a)?)
            }
            Kind::Expire => {
                let from = usize::from(a) % self.sold.len().max(1);
                let some = self.sold.iter().skip(if one_in(2, b) { 0 } else { from }).step_by(1 + usize::from(c % 3));
                Ask::Expire(some.map(|sold| sold.coin.id).collect())
            }
            Kind::BringBack => {
                let from = usize::from(a) % self.sold.len().max(1);
                let some = self.sold.iter().skip(if one_in(2, b) { 0 } else { from }).step_by(1 + usize::from(c % 2));
                Ask::BringBack(some.map(|sold| sold.coin.clone()).collect())
            }
            Kind::Reconcile => Ask::Reconcile,
            Kind::DoubtClock => Ask::DoubtClock,
            Kind::ConfirmClock => Ask::ConfirmClock,
            Kind::Pay | Kind::DoubleSpend | Kind::TimePasses | Kind::Backup | Kind::Restore => return None,
        };
        let request = self.request(&ask, d, is);
        if !ask.by_itself() {
            self.sent.push((request.clone(), ask.clone()));
        }
        Some((request, ask))
    }

    fn request(&mut self, ask: &Ask, d: u16, is: &Reference) -> Request {
        let signer = match ask {
            Ask::Buy { payer: peer, .. }
            | Ask::Redeem { payee: peer, .. }
            | Ask::RequestPayout { peer, .. }
            | Ask::RotateKey { peer, .. } => *peer,
            _ => OPERATOR,
        };
        let key = is.accounts[signer].key;
        let key = if one_in(31, d) { KEYS - 1 } else { key };
        let opens = !one_in(7, d) && !matches!(ask, Ask::RotateKey { .. });
        let for_ever = ask.by_itself() || matches!(ask, Ask::Redeem { .. });
        let life_ms = if one_in(37, d) { DAY_MS + 1 } else { DAY_MS - u64::from(d) };
        Request {
            signer,
            id: self.fresh(),
            bytes: self.next,
            valid_until_ms: (!for_ever).then_some(self.now_ms + life_ms),
            speaker: (signer != OPERATOR).then_some((key, opens)),
        }
    }

    /// Mostly a new one; sometimes one that came before, and sometimes another under its name.
    fn deposit(&mut self, payer: Peer, [_, b, c, d]: [u16; 4], is: &Reference) -> Ask {
        let amount = if one_in(40, d) { 1 << 62 } else { u64::from(b % 400) };
        match pick(&is.references, c).filter(|_| one_in(5, d)) {
            Some((reference, peer, same, _)) => {
                let amount = if one_in(3, b) { amount } else { *same };
                Ask::Deposit { peer: *peer, amount, reference: *reference }
            }
            None => Ask::Deposit { peer: payer, amount, reference: self.fresh() },
        }
    }

    fn buy(&mut self, payer: Peer, [_, b, c, d]: [u16; 4], is: &Reference) -> Option<Ask> {
        let words = pick(&[1, 6, 12, 16, 24], b).copied()?;
        let unit = pick(&[1, 1, 3, 7], c).copied()?;
        let bound = one_in(6, d).then_some(5 + usize::from(d) % (PEERS - 4));
        let days = 8 + u64::from(c % 50);
        let coin = |id| Coin {
            id,
            payer,
            key: is.accounts[payer].key,
            unit,
            bound,
            issued_ms: self.now_ms,
            redeem_until_ms: self.now_ms + days * DAY_MS,
            life: is.life,
            words: vec![None; words],
            refunded: false,
        };
        let coins: Vec<_> = (0..1 + u64::from(b % 2)).map(|more| coin(self.next + 1 + more)).collect();
        self.next += 2;
        let cost: u64 = coins.iter().map(Coin::left).sum();
        Some(Ask::Buy { payer, coins, most: if one_in(13, d) { cost - 1 } else { cost } })
    }

    fn prepared_again(&mut self, ask: Ask, is: &Reference) -> Ask {
        let Ask::Buy { payer, coins, most } = ask else { return ask };
        let again = |coin: Coin| Coin { id: self.fresh(), issued_ms: self.now_ms, life: is.life, ..coin };
        Ask::Buy { payer, coins: coins.into_iter().map(again).collect(), most }
    }

    /// These left the broker.
    pub fn sold(&mut self, coins: &[Coin]) {
        self.sold.extend(coins.iter().map(|coin| Sold { coin: coin.clone(), next: 1, last: None }));
    }

    /// An honest payment: more words under the last grant, or a new one of words that were never granted.
    pub fn pay(&mut self, [a, b, c, d]: [u16; 4]) {
        let Some(at) = usize::from(a).checked_rem(self.sold.len()) else { return };
        let Sold { coin, next, last } = &mut self.sold[at];
        let (end, words, ahead) = (coin.words.len() + 1, 1 + usize::from(b % 4), usize::from(c % 5));
        let last_claim = last.filter(|_| one_in(2, d)).map(|(payee, held)| (payee, self.held[held].clone()));
        let claim = match last_claim {
            // The grant grows, and only to where no other begins: it is the last.
            Some((_, claim)) => {
                let to = if claim.through + words < claim.to {
                    claim.to
                } else {
                    end.min(claim.through + words + ahead + 1)
                };
                Claim { to, through: (claim.through + words).min(to - 1), ..claim }
            }
            None if *next >= end => return,
            None => {
                let payee = coin.bound.unwrap_or(5 + usize::from(d) % 8);
                let to = end.min(*next + words + ahead);
                let through = (*next + words - 1).min(to - 1);
                Claim { coin: coin.id, payee, from: *next, to, through, tampered: None, refused: None }
            }
        };
        (*next, *last) = (claim.to, Some((claim.payee, self.held.len())));
        self.held.push(claim);
    }

    /// Any words to anybody, the payer itself and puppets included. Mostly one peer's, and mostly one e-coin for a while.
    pub fn double_spend(&mut self, [a, b, c, d]: [u16; 4]) {
        let cheat = |sold: &&Sold| sold.coin.payer == 4 || one_in(8, a);
        let cheats: Vec<_> = self.sold.iter().filter(cheat).collect();
        let lately = cheats.len().saturating_sub(if one_in(3, d) { usize::MAX } else { 2 });
        let Some(Sold { coin, .. }) = pick(&cheats[lately..], b) else { return };
        let n = coin.words.len();
        for puppet in 0..1 + usize::from(b % 8) {
            let from = 1 + usize::from(c) % n;
            let through = (from + usize::from(d) % 9).min(n);
            let payee = if one_in(12, d) { coin.payer } else { 5 + (usize::from(c) + puppet) % (PEERS - 4) };
            let to = through + 1;
            self.held.push(Claim { coin: coin.id, payee, from, to, through, tampered: None, refused: None });
        }
    }

    /// One payee's claims, in one batch: some twice, some in part, some of another, some made up.
    fn redeem(&self, [a, b, c, d]: [u16; 4]) -> Option<Ask> {
        // Mostly what was paid lately.
        let lately = self.held.len().saturating_sub(if one_in(3, d) { usize::MAX } else { 24 });
        let first = pick(&self.held[lately..], a)?;
        let theirs: Vec<_> = self.held[lately..].iter().filter(|claim| claim.payee == first.payee).collect();
        let mut claims: Vec<_> =
            theirs.into_iter().skip(usize::from(b % 2)).take(1 + usize::from(b % 5)).cloned().collect();
        claims.push(first.clone());
        let at = usize::from(c) % claims.len();
        match c % 12 {
            0 | 1 => claims.push(claims[at].clone()),
            2 | 3 => claims[at].through = claims[at].from + usize::from(d) % (claims[at].to - claims[at].from),
            4 => claims[at].tampered = Some(Tampered::Signature),
            5 => claims[at].tampered = Some(Tampered::Word),
            6 => claims[at].to = 99,
            _ => claims.reverse(),
        }
        let payee = if one_in(29, d) { 1 + usize::from(b) % PEERS } else { first.payee };
        for claim in &mut claims {
            let coin = &self.sold.iter().find(|sold| sold.coin.id == claim.coin)?.coin;
            claim.refused = refused(claim, payee, coin);
        }
        Some(Ask::Redeem { payee, claims })
    }
}

/// What the check of a claim says (DESIGN §3.7, the upper half of the table).
fn refused(claim: &Claim, payee: Peer, coin: &Coin) -> Option<&'static str> {
    let Claim { from, to, through, .. } = *claim;
    let in_range = 1 <= from && from <= through && through < to && to <= coin.words.len() + 1;
    let for_payee = claim.payee == payee && coin.payer != payee && coin.bound.is_none_or(|only| only == payee);
    let signed = claim.tampered != Some(Tampered::Signature);
    let reasons = [
        (!in_range, "invalid"),
        (!for_payee || !signed, "unauthorised"),
        (claim.tampered == Some(Tampered::Word), "invalid"),
    ];
    refuse_if(&reasons).err()
}
