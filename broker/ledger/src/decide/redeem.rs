//! Redeeming a batch: the lower half of the verdict table (DESIGN §3.7).
//!
//! What is paid of an e-coin is one set of words. Of a claim's run, the words not in it are credited, those paid to this
//! payee were paid already, those paid to another are in conflict. A repeated claim is therefore nobody's fault, and a
//! word can be paid only once, whoever asks.

use std::collections::BTreeMap;

use netpay_planted::{self as planted, Fault};
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::runs::{self, Run};

use super::{Decision, opened};
use crate::command::OpenAccount;
use crate::event::{Cause, DoubleSpend, Event, RedeemedClaim, SettledClaim};
use crate::rejection::Rejection;
use crate::rows::EcoinRow;
use crate::verify::{CheckedClaim, ProvenClaim};
use crate::working_set::WorkingSet;

/// Double spends recorded of one e-coin, at most: one payee each. What comes after changes nothing any more.
pub const MAX_CONFLICTS_PER_ECOIN: usize = 16;

/// All open debts stay below this.
const MOST_DEBT_UNITS: u64 = 1 << 62;

pub(super) fn decide(
    ws: &WorkingSet,
    opening: Option<&OpenAccount>,
    payee: PeerId,
    signed_by: PublicKey,
    claims: &[CheckedClaim],
) -> Result<Decision, Rejection> {
    let (_, opening_event) = opened(ws, payee, opening, signed_by)?;
    let mut batch = Batch { ws, payee, credited: BTreeMap::new(), conflicts: BTreeMap::new() };
    let redeemed = claims.iter().map(|claim| batch.settle(claim)).collect::<Result<Vec<_>, _>>()?;
    let found = batch.new_double_spends();
    if batch.credited.is_empty() && found.is_empty() {
        return Ok(Decision::Unchanged(redeemed.iter().map(RedeemedClaim::line).collect()));
    }
    let mut events: Vec<_> = opening_event.into_iter().collect();
    events.push(Event::BatchRedeemed { payee, claims: redeemed });
    let mut suspended = Vec::new();
    for found in found {
        let (payer, ecoin) = (found.touchstone.content.payer, found.touchstone.content.ecoin);
        events.push(Event::DoubleSpendDetected(Box::new(found)));
        let at_large = ws.accounts.get(&payer).is_some_and(|row| row.suspended_at_ms.is_none());
        if at_large && !suspended.contains(&payer) {
            suspended.push(payer);
            events.push(Event::AccountSuspended { peer: payer, cause: Cause::DoubleSpend(ecoin) });
        }
    }
    Ok(Decision::Record(events))
}

/// The running state within one batch.
struct Batch<'a> {
    ws: &'a WorkingSet,
    payee: PeerId,
    /// Runs credited by earlier claims of this batch: paid to this payee, too.
    credited: BTreeMap<EcoinId, Vec<Run>>,
    /// Of each e-coin in conflict, the conflict on its lowest run.
    conflicts: BTreeMap<EcoinId, Conflict>,
}

/// What this batch loses of one e-coin to others.
struct Conflict {
    /// Where the lowest run begins that another was paid.
    lowest: PaywordIndex,
    /// Who was.
    paid_to: PeerId,
    /// This payee's grant that meets it.
    grant: Grant,
    /// The words lost, over all claims, each once.
    lost: Vec<Run>,
}

impl Batch<'_> {
    fn settle(&mut self, claim: &CheckedClaim) -> Result<RedeemedClaim, Rejection> {
        match claim {
            // It was sold after the claim was checked: check again, the payee must not be told otherwise.
            CheckedClaim::Refused { ecoin, verdict: Verdict::UnknownEcoin, .. }
                if self.ws.ecoins.get(ecoin).is_some() =>
            {
                Err(Rejection::StaleFacts)
            }
            CheckedClaim::Refused { verdict, .. } => Ok(RedeemedClaim::Refused(*verdict)),
            CheckedClaim::Proven(proven) => {
                let row = self.ws.ecoins.get(&claim.ecoin()).ok_or(Rejection::StaleFacts)?;
                if row.expired_at_ms.is_some() {
                    return Ok(RedeemedClaim::Refused(Verdict::Expired));
                }
                Ok(RedeemedClaim::Settled(Box::new(self.settle_proven(proven, row))))
            }
        }
    }

    fn settle_proven(&mut self, proven: &ProvenClaim, row: &EcoinRow) -> SettledClaim {
        let (claim, run) = (proven.claim(), proven.run());
        let ecoin = claim.ecoin();
        let paid = self.ws.runs_meeting(ecoin, run);
        let in_batch = self.credited.get(&ecoin).map(Vec::as_slice).unwrap_or_default();

        let mut taken: Vec<Run> = paid.iter().map(|(run, _)| *run).chain(in_batch.iter().copied()).collect();
        taken.sort();
        let credited = if planted::is(Fault::PaidAgain) { vec![run] } else { run.without(&taken) };
        let in_conflict: Vec<_> =
            paid.iter().filter(|(_, row)| row.payee != self.payee).filter_map(|(paid, _)| paid.meet(&run)).collect();
        let conflicting = runs::count(&in_conflict);
        let new_words = runs::count(&credited);
        let already_paid = run.words().minus(new_words.plus(conflicting)).unwrap_or_default();

        if let Some((first, paid_row)) = paid.iter().find(|(_, row)| row.payee != self.payee) {
            let (lowest, paid_to) = (first.from, paid_row.payee);
            let new = || Conflict { lowest, paid_to, grant: claim.grant(), lost: Vec::new() };
            let conflict = self.conflicts.entry(ecoin).or_insert_with(new);
            if lowest < conflict.lowest {
                *conflict = Conflict { lost: std::mem::take(&mut conflict.lost), ..new() };
            }
            conflict.lose(in_conflict);
        }
        if !credited.is_empty() {
            self.credited.entry(ecoin).or_default().extend(&credited);
        }
        SettledClaim {
            ecoin,
            grant: claim.grant(),
            through: claim.through,
            word: claim.word,
            credited_units: new_words.worth(row.touchstone.content.unit_value),
            credited,
            already_paid,
            conflicting,
        }
    }

    /// One double spend per e-coin and payee, and at most so many per e-coin: a further conflict writes nothing, or
    /// free puppets could fill the log and multiply a payer's debt.
    fn new_double_spends(&self) -> Vec<DoubleSpend> {
        let mut debts = self.ws.totals.debts;
        let mut found = Vec::new();
        for (ecoin, conflict) in self.conflicts.iter().filter(|(ecoin, _)| is_new(self.ws, **ecoin, self.payee)) {
            let Some(row) = self.ws.ecoins.get(ecoin) else { continue };
            let words = runs::count(&conflict.lost);
            let debt = words.worth(row.touchstone.content.unit_value);
            // Money circulates, so that debts are not bounded by deposits; their sum must still be a number.
            let Some(sum) = debts.checked_add(debt).filter(|sum| sum.0 < MOST_DEBT_UNITS) else { continue };
            debts = sum;
            found.push(DoubleSpend {
                touchstone: row.touchstone.clone(),
                paid_to: conflict.paid_to,
                paid_grant: match planted::is(Fault::EvidenceMixedUp) {
                    false => self.ws.grants[&(*ecoin, conflict.lowest)].clone(),
                    true => conflict.grant.clone(),
                },
                payee: self.payee,
                grant: conflict.grant.clone(),
                conflicting: words,
                debt,
            });
        }
        found
    }
}

/// Whether a conflict of this payee on this e-coin would be recorded. Only then the other's grant is loaded.
pub(crate) fn is_new(ws: &WorkingSet, ecoin: EcoinId, payee: PeerId) -> bool {
    let (payees, known) = ws.conflicts_of(ecoin, payee);
    !known && (payees < MAX_CONFLICTS_PER_ECOIN || planted::is(Fault::ConflictsWithoutEnd))
}

impl Conflict {
    /// Joined at once: an e-coin can be paid word by word, and a batch can lose all of them by each of its claims.
    fn lose(&mut self, words: Vec<Run>) {
        self.lost.extend(words);
        if !planted::is(Fault::DebtPerClaim) {
            self.lost = runs::union(std::mem::take(&mut self.lost));
        }
    }
}
