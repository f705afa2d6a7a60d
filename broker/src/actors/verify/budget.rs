//! How much checking for nothing a peer may ask for (DESIGN §5.1): every hash step of a claim that credits nothing is
//! charged, and who has used up its budget is *busy* until it has refilled. Never a verdict.
//!
//! What a batch has cost is known after it was checked, and may be more than was left: the rest is owed, and refilled
//! first. Otherwise one step of budget, which comes back in no time, would be worth a batch of 2^20.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use netpay_protocol::ids::PeerId;
use netpay_protocol::limits::MAX_STEPS_PER_BATCH;
use netpay_protocol::problem::{Kind, Problem};

/// Steps that a peer may waste at once: two of the largest batches.
const FULL: i64 = 2 << 20;
/// Steps that come back per second.
const REFILL_PER_SECOND: i64 = FULL / 32;
/// Peers remembered. More of them wasting at once are forgotten together.
const MOST_PEERS: usize = 65_536;

const _: () = assert!(2 * MAX_STEPS_PER_BATCH == FULL.unsigned_abs());

/// The budgets of all peers, below zero for what is owed; those not in it are full.
#[derive(Default)]
pub struct Budget(Mutex<BTreeMap<PeerId, (i64, Instant)>>);

impl Budget {
    /// Whether this peer has any left.
    pub fn check(&self, peer: PeerId) -> Result<(), Problem> {
        if self.left(peer, Instant::now()) > 0 {
            return Ok(());
        }
        let text = "too many claims of yours credited nothing lately; send the same batch again in a minute";
        Err(Problem::new(Kind::Busy, text))
    }

    /// Takes off what was spent for nothing.
    pub fn charge(&self, peer: PeerId, steps: u64) {
        if steps > 0 {
            self.charge_at(peer, steps, Instant::now());
        }
    }

    fn charge_at(&self, peer: PeerId, steps: u64, now: Instant) {
        // Nobody owes more than a full budget: that is half a minute, whatever was under way at once.
        let left = self.left(peer, now).saturating_sub_unsigned(steps).max(-FULL);
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MOST_PEERS && !peers.contains_key(&peer) {
            peers.clear();
        }
        peers.insert(peer, (left, now));
    }

    fn left(&self, peer: PeerId, now: Instant) -> i64 {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, at)) = peers.get(&peer) else { return FULL };
        let seconds = i64::try_from(now.saturating_duration_since(*at).as_secs()).unwrap_or(i64::MAX);
        left.saturating_add(seconds.saturating_mul(REFILL_PER_SECOND)).min(FULL)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_wastes_its_budget_is_busy_until_it_refills_and_nobody_else_is() {
        let (budget, peer, start) = (Budget::default(), PeerId([1; 16]), Instant::now());
        let full = FULL.unsigned_abs();
        budget.charge_at(peer, full - 1, start);
        assert!(budget.check(peer).is_ok(), "one step is left");
        budget.charge_at(peer, 1, start);
        assert_eq!(budget.left(peer, start), 0);
        assert_eq!(budget.check(peer).map_err(|problem| problem.kind), Err(Kind::Busy));
        assert!(budget.check(PeerId([2; 16])).is_ok());
        assert_eq!(budget.left(peer, start + Duration::from_secs(1)), REFILL_PER_SECOND);
        assert_eq!(budget.left(peer, start + Duration::from_secs(3_600)), FULL);
    }
    #[test]
    fn what_was_spent_beyond_the_budget_is_owed_up_to_one_that_is_full() {
        let (budget, peer, start) = (Budget::default(), PeerId([1; 16]), Instant::now());
        let full = FULL.unsigned_abs();
        budget.charge_at(peer, full - 1, start);
        budget.charge_at(peer, full / 2 + 1, start);
        assert_eq!(budget.left(peer, start + Duration::from_secs(16)), 0);
        assert_eq!(budget.left(peer, start + Duration::from_secs(17)), REFILL_PER_SECOND);
        budget.charge_at(peer, u64::MAX, start);
        assert_eq!(budget.left(peer, start), -FULL);
    }
}
