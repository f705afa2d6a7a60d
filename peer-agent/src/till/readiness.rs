//! Whether payments are taken now, as far as the broker's lists decide it: the same rules as accepting's, for all payments
//! at once, so that a person hears of it before the payers do. Pure; accepts nothing.

use netpay_protocol::key_list::BrokerKeys;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::revocation::RevocationList;

use super::policy::Policy;

/// Whether payments are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// They are.
    Ready,
    /// Only with e-coins that are known here: the key list is past its time.
    KeysOutOfDate,
    /// None: there is no key list.
    NoKeys,
    /// None: there is no revocation list.
    NoRevocationList,
    /// None: the revocation list is older than the policy allows.
    RevocationListTooOld,
}

impl Readiness {
    /// Decides.
    pub fn of(keys: Option<&BrokerKeys>, revoked: Option<&RevocationList>, policy: &Policy, now_ms: u64) -> Self {
        let oldest = now_ms.saturating_sub(policy.max_revocation_age_ms);
        match (keys, revoked) {
            (None, _) => Self::NoKeys,
            (_, None) => Self::NoRevocationList,
            (_, Some(list)) if list.issued_at_ms < oldest => Self::RevocationListTooOld,
            (Some(keys), _) if now_ms > keys.list().next_at_ms => Self::KeysOutOfDate,
            _ => Self::Ready,
        }
    }

    /// For a person, with what to do.
    pub fn text(self, policy: &Policy) -> String {
        match self {
            Self::Ready => "payments are taken".into(),
            Self::KeysOutOfDate => {
                "no first payment of an e-coin is taken: the broker's key list is out of date, and a new one must come from the broker".into()
            }
            Self::NoKeys => "no payments are taken: there is no key list of the broker's yet; it comes with the first contact".into(),
            Self::NoRevocationList => "no payments are taken: there is no revocation list of the broker's that counts; it comes when the broker answers".into(),
            Self::RevocationListTooOld => format!(
                "no payments are taken: the revocation list is older than {} h (max_revocation_age_ms); a new one comes when the broker answers",
                policy.max_revocation_age_ms / HOUR_MS
            ),
        }
    }
}
