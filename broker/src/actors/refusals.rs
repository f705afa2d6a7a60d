//! What is said when something is refused: problems, in words that tell what to do.

use netpay_ledger::rejection::Rejection;
use netpay_protocol::ids::BrokerId;
use netpay_protocol::layout::Layout;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::register;

/// What a full queue answers.
pub fn busy() -> Problem {
    Problem::new(Kind::Busy, "the broker is busy; send the same request again in a moment")
}

/// What is said while another node decides.
pub fn not_leading() -> Problem {
    Problem::new(Kind::Unavailable, "another node of this broker takes this now; send the same request again")
}

/// What is said when a commit may or may not have happened.
pub fn not_known() -> Problem {
    Problem::new(Kind::Unavailable, "whether this was carried out is not known yet; send the same request again")
}

/// Whether a signed thing names this broker.
pub fn check_broker<L: Layout>(named: BrokerId, ours: BrokerId) -> Result<(), Problem> {
    if named == ours {
        Ok(())
    } else {
        Err(Problem::new(Kind::NotForMe, format!("the {} is for broker {named}, this is {ours}", L::WHAT)))
    }
}

/// A registration that is refused. Another broker's is misdirected like any other message.
pub fn not_registered(why: &register::Refused) -> Problem {
    let kind = match why {
        register::Refused::Broker => Kind::NotForMe,
        _ => Kind::BadSignature,
    };
    Problem::new(kind, why.to_string())
}

/// A rejection as it travels.
pub fn rejected(rejection: &Rejection) -> Problem {
    let kind = match rejection {
        Rejection::RequestIdReused => Kind::RequestIdReused,
        Rejection::RequestExpired { .. } => Kind::RequestExpired,
        Rejection::ValidityTooLong
        | Rejection::AmountOutOfRange
        | Rejection::PriceAboveLimit { .. }
        | Rejection::TooManyRotations { .. }
        | Rejection::KeyUsedBefore => Kind::Policy,
        Rejection::StaleFacts | Rejection::NotReconciled | Rejection::ClockInDoubt => Kind::Unavailable,
        Rejection::AccountUnknown | Rejection::DebtUnknown | Rejection::PayoutUnknown => Kind::NotFound,
        Rejection::NotTheAccountsKey => Kind::BadSignature,
        Rejection::Suspended => Kind::Suspended,
        Rejection::InDebt { .. } => Kind::InDebt,
        Rejection::InsufficientFunds { .. } | Rejection::PayoutAboveBalance { .. } => Kind::InsufficientFunds,
        Rejection::AlreadySuspended
        | Rejection::NotSuspended
        | Rejection::ReferenceReused
        | Rejection::SettlementTooEarly { .. }
        | Rejection::NothingToPay
        | Rejection::PayoutWasSettled { .. }
        | Rejection::PayoutHasFailed { .. }
        | Rejection::NothingToReconcile
        | Rejection::ClockNotInDoubt
        | Rejection::KeyListNotNewer => Kind::Conflict,
        Rejection::InvariantWouldBreak(invariant) => {
            tracing::error!("a command was refused because it would break {invariant}");
            Kind::Unavailable
        }
    };
    Problem::new(kind, rejection.to_string())
}

/// What is said to a key that the account gave up. The outcome was looked for after the rotation was seen: there will be none.
pub fn given_up() -> Problem {
    let text = "signed with a key that this account gave up: it was not carried out before that, and will not be";
    Problem::new(rejected(&Rejection::NotTheAccountsKey).kind, format!("{}: {text}", Rejection::NotTheAccountsKey))
}

/// New keys that are refused.
pub fn not_rotated(why: &register::NotRotated) -> Problem {
    match why {
        register::NotRotated::Register(why) => not_registered(why),
        register::NotRotated::OtherKeys => Problem::new(Kind::BadSignature, why.to_string()),
    }
}

/// What is answered when a command turned out to have been recorded before: its outcome is read when it comes again.
pub fn again() -> Problem {
    Problem::new(Kind::Unavailable, "recorded before; send the same request again to read its outcome")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_for_another_broker_is_misdirected_and_any_other_is_badly_signed() {
        let kind = |why| not_registered(&why).kind;
        assert_eq!(kind(register::Refused::Broker), Kind::NotForMe);
        assert_eq!(kind(register::Refused::Signature), Kind::BadSignature);
        assert_eq!(kind(register::Refused::SharedKey), Kind::BadSignature);
    }
}
