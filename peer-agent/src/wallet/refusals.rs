//! What a no to a request that moves money is worth.
//!
//! A problem is not signed, and an earlier copy of the request may still arrive at the broker from some queue. So a
//! passing problem changes nothing; any other is told to the person, but the request is given up only when its time is
//! over and nobody knows of it then. Until that its bytes are the only ones that may ask for the same money. Knows
//! purchases and payouts alike, and neither of them.

use netpay_protocol::problem::{Kind, Problem};

use crate::ports::PurchaseState;

/// How far the broker's clock may be from ours.
const CLOCKS_APART_MS: u64 = 5 * 60_000;

/// How a request stands after this problem; `None` when that changes nothing.
pub fn state_after(problem: &Problem, valid_until_ms: u64, now_ms: u64) -> Option<PurchaseState> {
    if problem.kind.is_passing() {
        return None;
    }
    // A key that was given up signs nothing new: what was not carried out before will not be.
    let is_an_end = matches!(problem.kind, Kind::RequestExpired | Kind::BadSignature);
    let over = is_an_end && is_over(valid_until_ms, now_ms);
    Some(if over { PurchaseState::Dropped } else { PurchaseState::Refused })
}

/// Whether the broker cannot carry it out any more, by its own clock as well as ours.
pub fn is_over(valid_until_ms: u64, now_ms: u64) -> bool {
    now_ms > valid_until_ms.saturating_add(CLOCKS_APART_MS)
}

/// The problem as it is kept.
pub fn why(problem: &Problem) -> String {
    format!("{}: {}", problem.kind.name(), problem.text)
}
