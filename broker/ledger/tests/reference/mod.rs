//! What a ledger has to come to, worked out by another who only keeps lists: an entry for every word, and loops. Written
//! from the rules (DESIGN §3.7, §3.8), apart from the ledger: it knows nothing of its code, its rows or its types. Peers,
//! keys, e-coins and bytes are numbers; what signatures and hashes say is told.

use super::asks::*;

#[derive(Clone, Default)]
pub struct Reference {
    pub accounts: Vec<Account>,
    pub coins: Vec<Coin>,
    pub debts: Vec<Debt>,
    pub payouts: Vec<Payout>,
    pub found: Vec<Found>,
    pub records: u64,
    pub last_ms: u64,
    pub life: u64,
    pub lost_since_ms: Option<u64>,
    pub doubted: bool,
    pub key_list: Option<(u64, u64)>,
    pub done: Vec<(Request, u64)>,
    pub references: Vec<(u64, Peer, u64, u64)>,
}

impl Reference {
    /// This is a backup, and another life begins with it. What an earlier backup lost may still be missing.
    pub fn restored(&mut self, life: u64, now_ms: u64) {
        self.lost_since_ms = self.lost_since_ms.or(Some(self.last_ms));
        (self.life, self.last_ms, self.records) = (life, now_ms, self.records + 1);
    }

    pub fn answer(&mut self, at: &Moment, request: &Request, ask: &Ask) -> Answer {
        let same = |known: &&(Request, u64)| (known.0.signer, known.0.id) == (request.signer, request.id);
        if let Some((known, record)) = self.done.iter().find(same) {
            return if known == request { Answer::Repeated(*record) } else { Answer::Rejected("RequestIdReused") };
        }
        let answer = self.allowed(at, request, ask).and_then(|()| self.carry_out(at, ask));
        if let Ok(Answer::Recorded(_)) = answer {
            (self.records, self.last_ms) = (self.records + 1, at.now_ms);
            self.accounts[request.signer].opened |= request.speaker.is_some();
            self.done.push((request.clone(), self.records));
        }
        answer.unwrap_or_else(Answer::Rejected)
    }

    /// What holds for several kinds of requests.
    fn allowed(&self, at: &Moment, request: &Request, ask: &Ask) -> Result<(), &'static str> {
        let life_ms = request.valid_until_ms.map(|until_ms| until_ms.checked_sub(at.now_ms));
        refuse_if(&[(life_ms == Some(None), "RequestExpired"), (life_ms > Some(Some(DAY_MS)), "ValidityTooLong")])?;
        let timed = matches!(ask, Ask::SettleDebt { .. } | Ask::Expire(_));
        let held = timed || matches!(ask, Ask::RequestPayout { .. } | Ask::EndPayout { .. });
        let (doubted, lost) = (self.doubted || !at.clock_trusted, self.lost_since_ms.is_some());
        refuse_if(&[(timed && doubted, "ClockInDoubt"), (held && lost, "NotReconciled")])?;
        let Some((key, opening)) = request.speaker else { return Ok(()) };
        let account = &self.accounts[request.signer];
        refuse_if(&[(!account.opened && !opening, "AccountUnknown"), (account.key != key, "NotTheAccountsKey")])?;
        let spends = matches!(ask, Ask::Buy { .. } | Ask::RequestPayout { .. });
        refuse_if(&[(spends && account.suspended, "Suspended"), (spends && self.owes(request.signer), "InDebt")])
    }

    fn carry_out(&mut self, at: &Moment, ask: &Ask) -> Result<Answer, &'static str> {
        match ask {
            Ask::Deposit { peer, amount, reference } => {
                if let Some(known) = self.references.iter().find(|known| known.0 == *reference) {
                    let same = (known.1, known.2) == (*peer, *amount);
                    return if same { Ok(Answer::Repeated(known.3)) } else { Err("ReferenceReused") };
                }
                refuse_if(&[(*amount == 0 || *amount >= 1 << 62, "AmountOutOfRange")])?;
                self.references.push((*reference, *peer, *amount, self.records + 1));
                self.credit(*peer, *amount);
            }
            Ask::Suspend { peer, suspend } => {
                let (owes, account) = (self.owes(*peer), &mut self.accounts[*peer]);
                let again = if *suspend { "AlreadySuspended" } else { "NotSuspended" };
                refuse_if(&[(!account.known(), "AccountUnknown"), (account.suspended == *suspend, again)])?;
                refuse_if(&[(!suspend && owes, "InDebt")])?;
                account.suspended = *suspend;
            }
            Ask::Buy { payer, coins, most } => {
                let (cost, balance): (u64, _) = (coins.iter().map(Coin::left).sum(), self.accounts[*payer].balance);
                refuse_if(&[(cost > *most, "PriceAboveLimit"), (cost > balance, "InsufficientFunds")])?;
                let old = |coin: &Coin| coin.life != self.life || coin.issued_ms + PREPARED_MS < at.now_ms;
                let known = |coin: &Coin| self.coins.iter().any(|known| known.id == coin.id);
                refuse_if(&[(coins.iter().any(|coin| old(coin) || known(coin)), "StaleFacts")])?;
                self.accounts[*payer].balance -= cost;
                self.coins.extend_from_slice(coins);
            }
            Ask::Redeem { payee, claims } => return Ok(self.redeem(*payee, claims)),
            Ask::SettleDebt(name) => {
                let ((debtor, creditor, _), account) = (*name, &mut self.accounts[name.0]);
                refuse_if(&[(!account.known(), "AccountUnknown")])?;
                let debt = self.debts.iter_mut().find(|debt| debt.name == *name).ok_or("DebtUnknown")?;
                let live = self
                    .coins
                    .iter()
                    .any(|coin| coin.payer == debtor && at.drained_ms.min(at.now_ms) <= coin.redeem_until_ms);
                let early = live && (creditor != OPERATOR || account.suspended);
                let amount = debt.open.min(account.balance);
                refuse_if(&[(early, "SettlementTooEarly"), (amount == 0, "NothingToPay")])?;
                (debt.open, account.balance) = (debt.open - amount, account.balance - amount);
                self.debts.retain(|debt| debt.open > 0);
                self.credit(creditor, amount);
            }
            Ask::RequestPayout { peer, id, amount } => {
                let above = *amount > self.accounts[*peer].balance;
                refuse_if(&[(*amount == 0, "AmountOutOfRange"), (above, "PayoutAboveBalance")])?;
                self.payouts.push(Payout { peer: *peer, id: *id, amount: *amount, paid: None });
                self.accounts[*peer].balance -= amount;
            }
            Ask::EndPayout { peer, id, paid } => {
                let payout = self.payouts.iter_mut().find(|p| (p.peer, p.id) == (*peer, *id)).ok_or("PayoutUnknown")?;
                let (settled, ended) = (payout.paid == Some(true), payout.paid.is_some());
                refuse_if(&[(settled, "PayoutWasSettled"), (ended, "PayoutHasFailed")])?;
                payout.paid = Some(*paid);
                let back = if *paid { 0 } else { payout.amount };
                self.credit(*peer, back);
            }
            Ask::RotateKey { peer, new } => {
                let Account { key, former, .. } = &mut self.accounts[*peer];
                let many = new != key && former.len() == 16;
                refuse_if(&[(former.contains(new), "KeyUsedBefore"), (many, "TooManyRotations")])?;
                former.extend(Some(*key).filter(|key| key != new));
                *key = *new;
            }
            Ask::ListKeys(list) if Some(*list) <= self.key_list => return Err("KeyListNotNewer"),
            Ask::ListKeys(list) => self.key_list = Some(*list),
            Ask::Expire(ids) => {
                let due_ms = |coin: &Coin| at.drained_ms.min(at.now_ms) >= coin.redeem_until_ms + DAY_MS;
                let due = |coin: &&Coin| ids.contains(&coin.id) && !coin.refunded && due_ms(coin);
                let over: Vec<Coin> = self.coins.iter().filter(due).cloned().collect();
                over.iter().for_each(|coin| self.credit(coin.payer, coin.left()));
                self.coins.iter_mut().for_each(|coin| coin.refunded |= over.contains(coin));
                return Ok(Answer::new(!over.is_empty(), vec![]));
            }
            Ask::BringBack(coins) => {
                let since_ms = self.lost_since_ms.unwrap_or(u64::MAX);
                let lost = |coin: &&Coin| coin.life < self.life && coin.issued_ms + PREPARED_MS >= since_ms;
                let new = |coin: &&Coin| self.coins.iter().all(|known| known.id != coin.id);
                let back = |coin: &&Coin| at.now_ms < coin.redeem_until_ms && lost(coin) && new(coin);
                let coins: Vec<Coin> = coins.iter().filter(back).cloned().collect();
                for coin in &coins {
                    self.accounts[coin.payer].funded = true;
                    let lent = coin.left().saturating_sub(self.accounts[coin.payer].balance);
                    self.accounts[coin.payer].balance -= coin.left() - lent;
                    self.debts.extend((lent > 0).then_some(Debt { name: (coin.payer, OPERATOR, coin.id), open: lent }));
                }
                self.coins.extend_from_slice(&coins);
                return Ok(Answer::new(!coins.is_empty(), vec![]));
            }
            Ask::Reconcile => refuse_if(&[(self.lost_since_ms.take().is_none(), "NothingToReconcile")])?,
            Ask::DoubtClock => return Ok(Answer::new(!std::mem::replace(&mut self.doubted, true), vec![])),
            Ask::ConfirmClock => refuse_if(&[(!std::mem::take(&mut self.doubted), "ClockNotInDoubt")])?,
        }
        Ok(Answer::Recorded(vec![]))
    }

    fn redeem(&mut self, payee: Peer, claims: &[Claim]) -> Answer {
        let (mut lines, mut lost, before, record) = (Vec::new(), Vec::new(), self.found.len(), self.records + 1);
        for claim in claims {
            let coin = self.coins.iter_mut().find(|coin| coin.id == claim.coin);
            let over = coin.as_ref().is_some_and(|coin| coin.refunded).then_some("expired");
            let refused = if coin.is_none() { Some("unknown_ecoin") } else { claim.refused.or(over) };
            lines.extend(refused.map(Line::refused));
            let (Some(coin), None) = (coin, refused) else { continue };
            let (mut again, mut others, mut first) = (0, 0, claim.from);
            for i in claim.from..=claim.through {
                match coin.words[i - 1] {
                    None => coin.words[i - 1] = Some(Paid { payee, record, grant: claim.grant(), first }),
                    Some(paid) if paid.payee == payee => (again, first) = (again + 1, i + 1),
                    Some(paid) => {
                        (others, first) = (others + 1, i + 1);
                        lost.push((coin.id, i, paid, claim.grant()));
                    }
                }
            }
            let new = claim.through + 1 - claim.from - again - others;
            lines.push(Line::settled(new, again, others));
            let worth = coin.worth(new);
            self.credit(payee, worth);
        }
        for coin in self.coins.clone() {
            let mut mine: Vec<_> = lost.iter().filter(|lost| lost.0 == coin.id).collect();
            let hurt: Vec<_> = self.found.iter().filter(|f| f.coin == coin.id).map(|f| f.payee).collect();
            let new = hurt.len() < 16 && !hurt.contains(&payee);
            let lowest = mine.iter().filter(|_| new).min_by_key(|lost| lost.2.first);
            let Some((_, _, paid, grant)) = lowest else { continue };
            self.found.push(Found { coin: coin.id, paid_to: paid.payee, paid_grant: paid.grant, payee, grant: *grant });
            self.accounts[coin.payer].suspended = true;
            mine.sort_by_key(|lost| lost.1);
            mine.dedup_by_key(|lost| lost.1);
            self.debts.push(Debt { name: (coin.payer, payee, coin.id), open: coin.worth(mine.len()) });
        }
        Answer::new(self.found.len() > before || lines.iter().any(|line| line.new > 0), lines)
    }

    fn owes(&self, peer: Peer) -> bool {
        self.debts.iter().any(|debt| debt.name.0 == peer)
    }

    fn credit(&mut self, peer: Peer, amount: u64) {
        self.accounts[peer].balance += amount;
        self.accounts[peer].funded |= amount > 0;
    }
}
