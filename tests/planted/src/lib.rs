//! Deliberate faults, where they would really happen: a test of the tests (tests/planted.sh).
//!
//! Apart, so that nothing else is compiled differently: in every other build [`is`] is a constant `false`, and what stands
//! behind it is not there. A build that has the faults commits the one that `NETPAY_PLANTED=NAME` names.

/// The list: `faults! { SyncSkipped = "sync-skipped", … }`.
macro_rules! faults {
    ($($fault:ident = $name:literal,)+) => {
        /// What may be done wrong on purpose.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $(#[doc = $name] $fault,)+
        }

        /// All of them, with what `NETPAY_PLANTED` calls them.
        pub const FAULTS: &[(Fault, &str)] = &[$((Fault::$fault, $name),)+];
    };
}

faults! {
    // The ledger decides wrongly.
    IdempotencySkipped = "idempotency-skipped",
    KeyNotChecked = "key-not-checked",
    ReferenceForgotten = "reference-forgotten",
    PaidAgain = "paid-again",
    DebtPerClaim = "debt-per-claim",
    EvidenceMixedUp = "evidence-mixed-up",
    ConflictsWithoutEnd = "conflicts-without-end",
    RefundOfAll = "refund-of-all",
    RefundTwice = "refund-twice",
    ClockBelieved = "clock-believed",
    SettledEarly = "settled-early",
    GivenBackTwice = "given-back-twice",
    RestoredForNothing = "restored-for-nothing",
    InvariantsUnchecked = "invariants-unchecked",
    // What is decided is applied or recorded wrongly.
    PostingForgotten = "posting-forgotten",
    RequestForgotten = "request-forgotten",
    WrongOwner = "wrong-owner",
    FirstLossForgotten = "first-loss-forgotten",
    NotChained = "not-chained",
    // A claim is checked wrongly.
    OffByOne = "off-by-one",
    PayeeNotChecked = "payee-not-checked",
    WordNotChecked = "word-not-checked",
    // The broker says what is not so.
    SyncSkipped = "sync-skipped",
    AnsweredFirst = "answered-first",
    FailureIgnored = "failure-ignored",
    ReadUnconfirmed = "read-unconfirmed",
    UnknownAnswered = "unknown-answered",
}

/// Whether this is to be done wrong.
#[cfg(not(netpay_planted))]
#[inline]
pub const fn is(_fault: Fault) -> bool {
    false
}

#[cfg(not(netpay_planted))]
const _: () = assert!(!is(Fault::PaidAgain), "decided by the compiler, so that nothing of it is left");

/// Whether this is to be done wrong.
#[cfg(netpay_planted)]
pub fn is(fault: Fault) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Fault>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| {
        let name = std::env::var("NETPAY_PLANTED").ok()?;
        let found = FAULTS.iter().find(|(_, known)| *known == name);
        Some(found.expect("NETPAY_PLANTED names a fault").0)
    });
    *planted == Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let once: std::collections::BTreeSet<_> = FAULTS.iter().map(|(_, name)| name).collect();
        assert_eq!(once.len(), FAULTS.len());
    }
}
