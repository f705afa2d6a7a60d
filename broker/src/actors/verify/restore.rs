//! Bringing e-coins back that a restored backup does not know (DESIGN §3.7): which of the touchstones that came with a batch
//! are this broker's own. Only until the ledger is reconciled, only for e-coins without a row, and only with a claim that
//! they prove: nobody is debited because a touchstone was overheard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use netpay_ledger::Facts;
use netpay_ledger::command::{Action, Command};
use netpay_ledger::decide::is_lost;
use netpay_ledger::rows::{EcoinRow, RestoredFrom, Totals};
use netpay_ledger::verify::{CheckedClaim, SIGNATURE_STEPS};
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::key_list::{self, Purpose};
use netpay_protocol::layout::Signed;
use netpay_protocol::problem::Problem;
use netpay_protocol::redemption::{Claim, Verdict};
use netpay_protocol::touchstone::Touchstone;

use super::Desk;
use crate::actors::ledger::{Order, Settled};
use crate::ports::now_ms;

/// What looking at a touchstone costs that no signature was checked of, in hash steps.
const LOOK_STEPS: u64 = 16;

/// Touchstones that are the broker's own, each with the epoch of its chain.
pub(super) type Lost = BTreeMap<EcoinId, (Signed<Touchstone>, u32)>;

impl Desk {
    /// The e-coins of these claims that the ledger lost, by the touchstones that came along. Each that is no such e-coin's
    /// is charged to the payee.
    pub(super) fn lost_ecoins(
        &self,
        payee: PeerId,
        claims: &[Claim],
        touchstones: Vec<Signed<Touchstone>>,
    ) -> Result<Lost, Problem> {
        let mut lost = Lost::new();
        if touchstones.is_empty() {
            return Ok(lost);
        }
        let totals = self.totals();
        let Some(restored) = totals.restored else { return Ok(lost) };
        let keys = self.read_keys();
        let brought: BTreeMap<_, _> = touchstones.into_iter().map(|t| (t.content.ecoin, t)).collect();
        let claimed = |ecoin: &EcoinId| claims.iter().any(|claim| claim.ecoin() == *ecoin);
        for (ecoin, touchstone) in brought {
            if !claimed(&ecoin) || self.row::<EcoinRow>(&ecoin).is_some() {
                continue;
            }
            match self.epoch_of_lost(&touchstone, &keys, &restored, &totals) {
                Ok(epoch) => {
                    lost.insert(ecoin, (touchstone, epoch));
                }
                Err(steps) => {
                    self.budget.charge(payee, steps);
                    self.budget.check(payee)?;
                }
            }
        }
        Ok(lost)
    }

    /// The epoch that the chain was made in, or what it cost to find that it is none of ours. Cheap things first.
    fn epoch_of_lost(
        &self,
        touchstone: &Signed<Touchstone>,
        keys: &key_list::BrokerKeys,
        restored: &RestoredFrom,
        totals: &Totals,
    ) -> Result<u32, u64> {
        let t = &touchstone.content;
        let now_ms = now_ms();
        let facts = Facts { now_ms, incarnation: totals.incarnation(), drained_to_ms: now_ms, clock_trusted: false };
        if t.broker != self.broker() || !is_lost(t, &facts, restored) {
            return Err(LOOK_STEPS);
        }
        let key = keys.find(t.kid, Purpose::Touchstone, t.issued_at_ms).ok_or(LOOK_STEPS)?;
        touchstone.verify(&key).map_err(|_| SIGNATURE_STEPS)?;
        self.keys.epoch_of(t).ok_or_else(|| cost(t))
    }

    /// Those that a claim proves. The others were looked at for nothing.
    pub(super) fn with_proof(&self, payee: PeerId, lost: Lost, claims: &[CheckedClaim]) -> Lost {
        let proven: BTreeSet<_> =
            claims.iter().filter(|claim| claim.refused().is_none()).map(CheckedClaim::ecoin).collect();
        let (proven, others): (Lost, Lost) = lost.into_iter().partition(|(ecoin, _)| proven.contains(ecoin));
        self.budget.charge(payee, others.values().map(|(touchstone, _)| cost(&touchstone.content)).sum());
        proven
    }

    /// Has the writer take in lost e-coins, and then goes on with the claims.
    pub(super) fn restore_first(
        self: &Arc<Self>,
        payee: PeerId,
        lost: Lost,
        claims: Vec<CheckedClaim>,
        go_on: impl FnOnce(Result<Vec<CheckedClaim>, Problem>) + Send + 'static,
    ) {
        if lost.is_empty() {
            return go_on(Ok(claims));
        }
        let costs: BTreeMap<_, _> = lost.iter().map(|(ecoin, (t, _))| (*ecoin, cost(&t.content))).collect();
        let action = Action::RestoreEcoins { ecoins: lost.into_values().collect() };
        let at = Arc::clone(self);
        let answer = move |settled: Settled| {
            go_on(settled.outcome.map(|_| at.without_unknown(payee, &costs, claims)));
        };
        self.order(Order { command: Command { request: None, action }, answer: Box::new(answer) });
    }

    /// What was not taken in after all stays unknown, and is charged.
    fn without_unknown(
        &self,
        payee: PeerId,
        costs: &BTreeMap<EcoinId, u64>,
        claims: Vec<CheckedClaim>,
    ) -> Vec<CheckedClaim> {
        let unknown: BTreeMap<_, _> = costs.iter().filter(|(ecoin, _)| self.row::<EcoinRow>(ecoin).is_none()).collect();
        self.budget.charge(payee, unknown.values().copied().sum());
        let refuse = |claim: CheckedClaim| match claim.ecoin() {
            ecoin if unknown.contains_key(&ecoin) => {
                CheckedClaim::Refused { ecoin, verdict: Verdict::UnknownEcoin, steps: PaywordIndex(0) }
            }
            _ => claim,
        };
        claims.into_iter().map(refuse).collect()
    }

    fn read_keys(&self) -> key_list::BrokerKeys {
        self.keys.list.verify(self.broker()).expect("it was verified when it was loaded")
    }
}

/// About what checking all of a touchstone costs, in hash steps.
fn cost(t: &Touchstone) -> u64 {
    SIGNATURE_STEPS + u64::from(t.n.0)
}
