//! What a payee takes, and from whom (DESIGN §3.6). Data and one check; no store, no clock.

use netpay_protocol::amounts::{UnitValue, Units};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};

/// A payee's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The suites accepted.
    pub suites: Vec<Suite>,
    /// The most that one word may be worth.
    pub max_unit_value: UnitValue,
    /// Whether only e-coins bound to this payee are accepted.
    pub bound_only: bool,
    /// The least age of a payer's account.
    pub min_account_age_ms: u64,
    /// The most that may be accepted of one payer and not redeemed.
    pub max_exposure_per_payer: Units,
    /// The most that may be accepted in all and not redeemed.
    pub max_exposure: Units,
    /// The greatest age of the revocation list.
    pub max_revocation_age_ms: u64,
    /// The least time left to spend an e-coin: a payment that comes later is refused.
    pub spend_margin_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            suites: vec![Suite::Sha256, Suite::Md5],
            max_unit_value: UnitValue(1_000_000),
            bound_only: false,
            min_account_age_ms: 0,
            max_exposure_per_payer: Units(100_000),
            max_exposure: Units(10_000_000),
            max_revocation_age_ms: DAY_MS,
            spend_margin_ms: 60_000,
        }
    }
}

impl Policy {
    /// What speaks against an e-coin, if something does.
    pub fn against(&self, t: &Touchstone, now_ms: u64) -> Option<String> {
        if !self.suites.contains(&t.suite) {
            return Some(format!("{} e-coins are not accepted here", t.suite));
        }
        if t.unit_value > self.max_unit_value {
            return Some(format!("a word may be worth at most {} units here", self.max_unit_value));
        }
        if self.bound_only && t.guarantee == Guarantee::Bearer {
            return Some("only e-coins bound to this payee are accepted here".into());
        }
        if now_ms.saturating_sub(t.payer_opened_at_ms) < self.min_account_age_ms {
            return Some("the payer's account is too young".into());
        }
        None
    }
}
