//! Why a whole command is rejected. Data, not an error: the caller is told, and nothing is written.

use netpay_protocol::amounts::Units;

/// In order of precedence: a command that deserves several gets the first. Numbers never change. (One command's own
/// reasons never meet another's: what came to be later stands last.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 1: the id belongs to another request of the same signer.
    #[error("request id was used before for another request; use a fresh id")]
    RequestIdReused,
    /// 2: too late, and not carried out before.
    #[error("request was valid until {valid_until_ms} ms, it is {now_ms} ms; it was not carried out: sign a new one")]
    RequestExpired {
        /// The request's end.
        valid_until_ms: u64,
        /// The broker's time.
        now_ms: u64,
    },
    /// 3: valid for longer than outcomes are promised to be remembered.
    #[error("request is valid for longer than 24 hours")]
    ValidityTooLong,
    /// 4: what was prepared beside the writer no longer holds. The caller prepares again; no person sees this.
    #[error("prepared on facts that have changed")]
    StaleFacts,
    /// 5: no such account.
    #[error("no such account; buy or redeem with a registration, or have the operator credit it first")]
    AccountUnknown,
    /// 6: signed by another key than the account's.
    #[error("not signed by the account's present key")]
    NotTheAccountsKey,
    /// 7: suspended.
    #[error("account is suspended")]
    Suspended,
    /// 8: owes for a double spend.
    #[error("account owes {debt} units for double spending")]
    InDebt {
        /// How much.
        debt: Units,
    },
    /// 9: nothing to suspend.
    #[error("account is suspended already")]
    AlreadySuspended,
    /// 10: nothing to reinstate.
    #[error("account is not suspended")]
    NotSuspended,
    /// 11: dearer than the buyer allowed.
    #[error("purchase costs {cost} units, the request allows {most}")]
    PriceAboveLimit {
        /// What it costs.
        cost: Units,
        /// What was allowed.
        most: Units,
    },
    /// 12: too little money.
    #[error("purchase costs {cost} units, the balance is {balance}")]
    InsufficientFunds {
        /// What it costs.
        cost: Units,
        /// What is there.
        balance: Units,
    },
    /// 13: the deposit's reference was credited to another account or with another amount.
    #[error("reference was credited before, to another account or with another amount")]
    ReferenceReused,
    /// 14: zero, or more money than a ledger can hold.
    #[error("amount must be at least 1, and all deposits together below 2^62 units")]
    AmountOutOfRange,
    /// 15: no such debt.
    #[error("no such debt is open")]
    DebtUnknown,
    /// 16: other payees of the debtor may still come.
    #[error(
        "debt can be settled once the debtor's last e-coin can no longer be redeemed, after {after_ms} ms, and no batch waits \
         that was left before"
    )]
    SettlementTooEarly {
        /// From when on.
        after_ms: u64,
    },
    /// 17: the debtor has nothing.
    #[error("debtor's balance is 0, nothing can be paid")]
    NothingToPay,
    /// 18: the events would break an invariant: a defect of this program, and nothing is written.
    #[error("refused because ledger invariant {0} would break; this is a defect, please report it")]
    InvariantWouldBreak(&'static str),
    /// 19: no such payout.
    #[error("no such payout was requested")]
    PayoutUnknown,
    /// 20: paid, and final.
    #[error("payout was settled at {at_ms} ms with reference {reference:?}; that is final")]
    PayoutWasSettled {
        /// The payment's name outside.
        reference: String,
        /// When.
        at_ms: u64,
    },
    /// 21: given back, and final.
    #[error("payout failed at {at_ms} ms ({reason:?}) and its money was given back; that is final")]
    PayoutHasFailed {
        /// Why.
        reason: String,
        /// When.
        at_ms: u64,
    },
    /// 22: more than there is.
    #[error("payout of {amount} units is more than the balance of {balance}")]
    PayoutAboveBalance {
        /// What was asked for.
        amount: Units,
        /// What is there.
        balance: Units,
    },
    /// 23: a backup was restored, and what happened after it is not known yet.
    #[error(
        "the broker was restored from a backup; payouts, refunds and debts wait until its operator has reconciled the \
         ledger (netpay-broker ledger reconcile)"
    )]
    NotReconciled,
    /// 24: no backup was restored, or it was reconciled.
    #[error("there is nothing to reconcile: no backup was restored since the last time")]
    NothingToReconcile,
    /// 25: what depends on time waits.
    #[error(
        "the broker's clock jumped, or stood still for more than a day; refunds and debts wait until its operator has \
         confirmed it (netpay-broker ledger confirm-clock)"
    )]
    ClockInDoubt,
    /// 26: nothing to confirm.
    #[error("the broker's clock is not in doubt")]
    ClockNotInDoubt,
    /// 27: an account's keys cannot be rotated for ever.
    #[error("the account's keys were rotated {most} times, which is as often as they may be; open another account")]
    TooManyRotations {
        /// How often they may be.
        most: usize,
    },
    /// 28: a key that was given up may be in other hands.
    #[error("the new signing key was this account's before; draw a fresh one")]
    KeyUsedBefore,
    /// 29: not the newest list of the broker's keys.
    #[error("the ledger has this key list, or a newer one")]
    KeyListNotNewer,
}
