//! How much checking for nothing a peer may ask for (DESIGN §5.1): every hash step of a claim that credits nothing is
//! charged, and who has used up its budget is *busy* until it has refilled. Never a verdict.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use netpay_protocol::ids::PeerId;
use netpay_protocol::limits::MAX_STEPS_PER_BATCH;
use netpay_protocol::problem::{Kind, Problem};

/// Steps that a peer may waste at once: two of the largest batches.
const FULL: u64 = 2 * MAX_STEPS_PER_BATCH;
/// Steps that come back per second.
const REFILL_PER_SECOND: u64 = MAX_STEPS_PER_BATCH / 16;
/// Peers remembered. More of them wasting at once are forgotten together.
const MOST_PEERS: usize = 65_536;

/// The budgets of all peers; those not in it are full.
#[derive(Default)]
pub struct Budget(Mutex<BTreeMap<PeerId, (u64, Instant)>>);

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
        let left = self.left(peer, now).saturating_sub(steps);
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MOST_PEERS && !peers.contains_key(&peer) {
            peers.clear();
        }
        peers.insert(peer, (left, now));
    }

    fn left(&self, peer: PeerId, now: Instant) -> u64 {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, at)) = peers.get(&peer) else { return FULL };
        let seconds = now.saturating_duration_since(*at).as_secs();
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
        budget.charge_at(peer, FULL - 1, start);
        assert!(budget.check(peer).is_ok(), "one step is left");
        budget.charge_at(peer, 1, start);
        assert_eq!(budget.left(peer, start), 0);
        assert_eq!(budget.check(peer).map_err(|problem| problem.kind), Err(Kind::Busy));
        assert!(budget.check(PeerId([2; 16])).is_ok());
        assert_eq!(budget.left(peer, start + Duration::from_secs(1)), REFILL_PER_SECOND);
        assert_eq!(budget.left(peer, start + Duration::from_secs(3_600)), FULL);
    }
}
