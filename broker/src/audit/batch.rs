//! Batches: every claim's grant, word and counts; and that each new double spend is recorded, with its evidence.
//!
//! What is credited, paid already and in conflict follows from the runs paid before, those of earlier claims of the same
//! batch among them.

use std::collections::BTreeMap;

use netpay_ledger::command::DebtKey;
use netpay_ledger::event::{Cause, DoubleSpend, Event, RedeemedClaim, SettledClaim};
use netpay_protocol::chain;
use netpay_protocol::ids::{Digest, EcoinId, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::limits::MAX_CLAIMS_PER_BATCH;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;

use super::books::{MOST_UNITS, Paid, Side};
use super::{Checked, Entry, holds, wrong};

/// Payees of one e-coin whose double spends are recorded, at most.
const MOST_CONFLICTS: u64 = 16;

/// What a batch loses of one e-coin to others.
struct Lost {
    /// The lowest run that another was paid.
    first: Paid,
    /// This payee's claims on words that others were paid.
    claims: Vec<(Run, Grant)>,
    /// Those words, each once.
    words: Vec<Run>,
}

fn granted(grant: &Grant) -> Digest {
    Digest::sha256(&wire::encode(grant))
}

impl Entry<'_> {
    pub(super) fn redeem(&mut self, payee: PeerId, claims: &[RedeemedClaim], found: &[Event]) -> Checked<()> {
        let asked = self.at.request.is_some_and(|request| request.signer == payee);
        holds(asked, "a batch is redeemed that its payee did not ask for")?;
        let fits = u32::try_from(claims.len()).is_ok_and(|claims| (1..=MAX_CLAIMS_PER_BATCH).contains(&claims));
        holds(fits, "a batch has no claims, or more than a batch may have")?;
        self.opened(payee)?;
        let (mut lost, mut credited) = (BTreeMap::new(), false);
        for claim in claims {
            match claim {
                RedeemedClaim::Refused(verdict) => {
                    holds(!verdict.settles(), "a claim is refused with a verdict that settles")?;
                }
                RedeemedClaim::Settled(claim) => {
                    let settled = self.settle(payee, claim, &mut lost);
                    settled.map_err(|wrong| wrong.about(&format!("a claim on e-coin {}", claim.ecoin)))?;
                    credited |= !claim.credited.is_empty();
                }
            }
        }
        holds(credited || !found.is_empty(), "a batch is recorded that credits nothing and shows nothing new")?;
        self.double_spends(payee, lost, found)
    }

    /// Checks a claim against what was paid before, and pays it.
    fn settle(&mut self, payee: PeerId, claim: &SettledClaim, lost: &mut BTreeMap<EcoinId, Lost>) -> Checked<()> {
        let sold = self.books.ecoin(claim.ecoin)?.ok_or_else(|| wrong("is settled, but it was never sold"))?;
        holds(!sold.expired, "is settled, but it was refunded before")?;
        let t = &sold.touchstone.content;
        let index = claim.grant.signed(t.broker, claim.ecoin, payee).content;
        holds(index.covers(claim.through, t.n), "is not within its grant and its chain")?;
        let payable = payee != t.payer && t.guarantee.allows(payee);
        holds(payable, "is by a payee to whom it cannot be paid")?;
        let run = Run::new(index.from, claim.through).ok_or_else(|| wrong("is of no words"))?;
        let paid = self.books.meeting(claim.ecoin, run)?;
        let met = |mine: bool| {
            let whose = paid.iter().filter(move |paid| (paid.payee == payee) == mine);
            whose.filter_map(|paid| paid.run.meet(&run)).collect::<Vec<Run>>()
        };
        let (mine, others) = (met(true), met(false));
        let free = run.without(paid.iter().map(|paid| &paid.run));
        let worth = runs::count(&free).worth(t.unit_value);
        let right = (&claim.credited, claim.credited_units, claim.already_paid, claim.conflicting)
            == (&free, worth, runs::count(&mine), runs::count(&others));
        holds(right, "does not credit exactly the words that were not paid before")?;
        self.prove_claim(payee, claim, t);
        if let Some(first) = paid.iter().find(|paid| paid.payee != payee) {
            let new = || Lost { first: first.clone(), claims: Vec::new(), words: Vec::new() };
            lost.entry(claim.ecoin).or_insert_with(new).add(first, (run, claim.grant.clone()), &others);
        }
        for run in free {
            let paid = Paid { run, payee, granted: granted(&claim.grant) };
            self.books.pay(claim.ecoin, &paid, self.at.position)?;
        }
        self.books.sums.claims += 1;
        self.books.post(Side::Escrow, Side::Peer(payee), worth)
    }

    /// Owes the proof that the payer granted it, and that its word is the chain's.
    fn prove_claim(&mut self, payee: PeerId, claim: &SettledClaim, t: &Touchstone) {
        let (broker, key, suite, root) = (t.broker, t.payer_key, t.suite, t.root);
        let SettledClaim { ecoin, grant, through, word, .. } = claim;
        let (ecoin, index, through, word) = (*ecoin, grant.signed(broker, *ecoin, payee), *through, *word);
        self.proofs.owe(self.at.position, move || {
            if index.verify(&key).is_err() {
                return Err(format!("a claim on e-coin {ecoin} is not granted by its payer"));
            }
            if !chain::reaches_root(suite, &ecoin, &root, through, &word) {
                return Err(format!("a claim on e-coin {ecoin} has a word that is not on its chain"));
            }
            Ok(())
        });
    }

    /// Every conflict that is new is recorded, no other is, and its payer is suspended.
    fn double_spends(&mut self, payee: PeerId, lost: BTreeMap<EcoinId, Lost>, found: &[Event]) -> Checked<()> {
        let mut new = BTreeMap::new();
        for (ecoin, lost) in lost {
            let (payees, known) = self.books.conflicts(ecoin, payee)?;
            if payees < MOST_CONFLICTS && !known {
                new.insert(ecoin, lost);
            }
        }
        let (mut spent, mut payers) = (Vec::new(), Vec::new());
        for event in found {
            match event {
                Event::DoubleSpendDetected(found) => {
                    let ecoin = found.touchstone.content.ecoin;
                    let lost = new.remove(&ecoin);
                    let lost = lost.ok_or_else(|| wrong(format!("e-coin {ecoin}: a double spend that is none")))?;
                    let proven = self.double_spend(payee, found, &lost);
                    proven.map_err(|wrong| wrong.about(&format!("the double spend of e-coin {ecoin}")))?;
                    spent.push(ecoin);
                    payers.push(found.touchstone.content.payer);
                }
                Event::AccountSuspended { peer, cause: Cause::DoubleSpend(ecoin) }
                    if spent.contains(ecoin) && payers.contains(peer) =>
                {
                    self.suspended_now(*peer)?;
                }
                _ => return Err(wrong("no command leads to the events of this record together")),
            }
        }
        for (ecoin, lost) in new {
            let room = self.books.sums.debts.saturating_add(self.worth(ecoin, &lost)?) < MOST_UNITS;
            holds(!room, "a batch has a conflict of which no double spend is recorded")?;
        }
        for payer in payers {
            let suspended = self.books.account(payer)?.is_some_and(|account| account.suspended_ms.is_some());
            holds(suspended, "a double spender is not suspended")?;
        }
        Ok(())
    }

    fn worth(&self, ecoin: EcoinId, lost: &Lost) -> Checked<u64> {
        let sold = self.books.ecoin(ecoin)?.ok_or_else(|| wrong("a conflict on an e-coin that was never sold"))?;
        Ok(runs::count(&lost.words).worth(sold.touchstone.content.unit_value).0)
    }

    /// The evidence: two grants of the payer's on the same words, of which the first was paid. Both are grants of claims
    /// that were proven, this one's and an earlier one's, under this very touchstone.
    fn double_spend(&mut self, payee: PeerId, found: &DoubleSpend, lost: &Lost) -> Checked<()> {
        let t = &found.touchstone.content;
        let sold = self.books.ecoin(t.ecoin)?.ok_or_else(|| wrong("is of one that was never sold"))?;
        let claim =
            lost.claims.iter().find(|(run, grant)| *grant == found.grant && run.meet(&lost.first.run).is_some());
        holds(sold.touchstone == found.touchstone, "names another touchstone than was sold")?;
        holds(found.payee == payee, "names another payee than the batch's")?;
        holds(found.paid_to == lost.first.payee, "names somebody who was not paid first")?;
        let paid = granted(&found.paid_grant) == lost.first.granted;
        holds(paid, "holds a grant under which nothing was paid")?;
        holds(claim.is_some(), "holds a grant that the batch did not claim by, or that meets no paid word")?;
        holds(found.conflicting == runs::count(&lost.words), "counts other words than were lost")?;
        let worth = found.conflicting.worth(t.unit_value);
        holds(found.debt == worth, "makes a debt of another worth than was lost")?;
        let debt = DebtKey { debtor: t.payer, creditor: payee, ecoin: t.ecoin };
        self.books.owe(&debt, found.debt.0)?;
        self.books.conflict(t.ecoin, payee, self.at.position)
    }
}

impl Lost {
    fn add(&mut self, first: &Paid, claim: (Run, Grant), words: &[Run]) {
        if first.run.from < self.first.run.from {
            self.first = first.clone();
        }
        self.claims.push(claim);
        for run in words {
            let new = run.without(&self.words);
            self.words.extend(new);
            self.words.sort();
        }
    }
}
