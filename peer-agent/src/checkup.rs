//! What may be wrong with a peer, check by check: each says what was found, and what to do next.
//!
//! Plain functions over the store ports and over what the broker answered. Reads only; asks nobody.

use netpay_protocol::admin::AccountView;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::BrokerId;
use netpay_protocol::limits::{DAY_MS, HOUR_MS};

use crate::content::tree::Tree;
use crate::ports::{Coins, Share, Slot, Slots, Stored, Till, Waits};
use crate::till::policy::Policy;
use crate::till::readiness::Readiness;
use crate::till::redeeming;
use crate::till::schedule::DEADLINE_MARGIN_MS;
use crate::wallet::broker_lists;
use crate::wallet::granting;

/// How far a clock may be from the broker's: lists from further ahead are not taken.
const CLOCKS_APART_MS: u64 = 5 * 60_000;
/// How long an answer may be outstanding before it is worth a word: a command may be under way.
const ANSWERED_WITHIN_MS: u64 = 2 * 60_000;
/// How long before an e-coin can be spent no more it is worth a word.
const SPEND_SOON_MS: u64 = 3 * DAY_MS;
/// The least free space on the disk.
pub const LEAST_FREE_BYTES: u64 = 100_000_000;

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it was found.
    pub found: String,
    /// What to do next; nothing if nothing is to be done.
    pub advice: Option<String>,
    /// The exit code that it calls for; 0 when nothing is wrong.
    pub code: u8,
}

impl Finding {
    /// Nothing is wrong.
    pub fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, found: found.into(), advice: None, code: 0 }
    }

    /// Something is wrong.
    pub fn bad(check: &'static str, code: u8, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, found: found.into(), advice: Some(advice.into()), code }
    }
}

/// The exit code of all: of what is wrong, the most telling.
pub fn exit_code(findings: &[Finding]) -> u8 {
    // Suspension and verification before what cannot be reached, and that before everything else.
    let order = [8, 7, 6, 75];
    let wrong = || findings.iter().map(|finding| finding.code).filter(|code| *code != 0);
    order.into_iter().find(|code| wrong().any(|wrong| wrong == *code)).unwrap_or(u8::from(wrong().next().is_some()))
}

/// The broker's lists held, and whether payments are taken with them.
pub fn lists(store: &impl Slots, broker: BrokerId, policy: &Policy, now_ms: u64) -> Stored<Finding> {
    let keys = broker_lists::keys(store, broker)?;
    let revoked = match &keys {
        Some(keys) => broker_lists::revoked(store, keys, now_ms)?,
        None => None,
    };
    let readiness = Readiness::of(keys.as_ref(), revoked.as_ref(), policy, now_ms);
    let age = revoked.map_or("no revocation list".into(), |list| {
        format!("revocation list {} min old", now_ms.saturating_sub(list.issued_at_ms) / 60_000)
    });
    let next = keys.map_or("no key list".into(), |keys| {
        let left = keys.list().next_at_ms.saturating_sub(now_ms);
        if left == 0 { "key list out of date".into() } else { format!("key list good for {} h", left / HOUR_MS) }
    });
    let found = format!("{age}; {next}");
    Ok(match readiness {
        Readiness::Ready => Finding::good("broker_lists", found),
        readiness => Finding::bad("broker_lists", 1, found, readiness.text(policy)),
    })
}

/// Purchases, payouts and batches without an answer.
pub fn unanswered(store: &impl Waits, now_ms: u64) -> Stored<Vec<Finding>> {
    let finding = |waiting: crate::ports::Waiting| {
        let age_ms = now_ms.saturating_sub(waiting.oldest_ms);
        let found = format!("{} without an answer, the oldest for {} min", waiting.count, age_ms / 60_000);
        match (waiting.count, age_ms <= ANSWERED_WITHIN_MS) {
            (0, _) => Finding::good(waiting.what, "none is without an answer"),
            (_, true) => Finding::good(waiting.what, found),
            (_, false) => Finding::bad(
                waiting.what,
                1,
                found,
                match waiting.what {
                    "batches" => "finish it with: netpay redeem",
                    _ => "the next command that reaches the broker finishes it: netpay balance",
                },
            ),
        }
    };
    Ok(store.waiting()?.into_iter().map(finding).collect())
}

/// What the till holds, and how long that can still be redeemed.
pub fn claims(store: &impl Till, now_ms: u64) -> Stored<Finding> {
    let Some(held) = redeeming::held(store)? else { return Ok(Finding::good("claims", "nothing is to be redeemed")) };
    let left_ms = held.redeem_until_ms.saturating_sub(now_ms);
    let found = format!(
        "{} units in {} claims are to be redeemed, the first within {} h",
        held.worth,
        held.claims,
        left_ms / HOUR_MS
    );
    Ok(if left_ms > DEADLINE_MARGIN_MS {
        Finding::good("claims", found)
    } else {
        Finding::bad("claims", 1, found, "what is not redeemed in time is lost; redeem now with: netpay redeem")
    })
}

/// The wallet's e-coins: those that can be spent only a little longer, and those that are locked.
pub fn ecoins(store: &impl Coins, now_ms: u64) -> Stored<Vec<Finding>> {
    let (mut soon, mut over, mut locked) = ([Units::ZERO; 2], 0_usize, 0_usize);
    let (mut first_ms, mut refunded_ms) = (u64::MAX, 0);
    for chain in granting::chains(store)? {
        let t = &chain.ecoin.touchstone.content;
        let worth = chain.unspent().worth(t.unit_value);
        if chain.ecoin.locked {
            locked += 1;
            refunded_ms = refunded_ms.max(t.redeem_until_ms);
        } else if worth > Units::ZERO && t.spend_until_ms <= now_ms.saturating_add(SPEND_SOON_MS) {
            let place = usize::from(t.spend_until_ms <= now_ms);
            soon[place] = soon[place].checked_add(worth).unwrap_or(soon[place]);
            over += place;
            first_ms = first_ms.min(t.spend_until_ms);
        }
    }
    let spending = if soon[0] > Units::ZERO {
        let hours = first_ms.saturating_sub(now_ms) / HOUR_MS;
        let found = format!("{} units can be spent only a little longer, the first for {hours} h", soon[0]);
        Finding::bad("ecoins", 1, found, "spend them, or wait for the refund after their last time to be redeemed")
    } else {
        let expired =
            if over > 0 { format!("; {over} can be spent no more, and wait for the refund") } else { String::new() };
        Finding::good("ecoins", format!("none is near its last time to be spent{expired}"))
    };
    let locking = if locked == 0 {
        Finding::good("locked_ecoins", "none is locked")
    } else {
        let days = refunded_ms.saturating_sub(now_ms) / DAY_MS;
        Finding::good("locked_ecoins", format!("{locked} are locked since a restore; refunded within {days} days"))
    };
    Ok(vec![spending, locking])
}

/// Whether the broker ever answered a registration.
pub fn registration(store: &impl Slots) -> Stored<Finding> {
    Ok(match store.slot(Slot::Registered)? {
        Some(_) => Finding::good("registration", "the broker answered it"),
        None => Finding::bad(
            "registration",
            1,
            "the broker never answered it",
            "any command that reaches the broker registers: netpay balance",
        ),
    })
}

/// The files on offer: reads each whole, since a size says little.
pub fn shares(shares: &[Share]) -> Finding {
    let is_as_shared = |share: &&Share| Tree::of_file(&share.path).is_ok_and(|tree| tree.content() == share.content);
    let wrong: Vec<&Share> = shares.iter().filter(|share| !is_as_shared(share)).collect();
    let Some(first) = wrong.first() else {
        return Finding::good("shares", format!("{} files on offer, all as they were shared", shares.len()));
    };
    Finding::bad(
        "shares",
        1,
        format!(
            "{} of {} files on offer are gone or changed, such as {}",
            wrong.len(),
            shares.len(),
            first.path.display()
        ),
        format!("put the file back, or take it off with: netpay share remove {}", first.content),
    )
}

/// Our clock beside the broker's signed time.
pub fn clock(broker_ms: u64, now_ms: u64) -> Finding {
    let apart_ms = broker_ms.abs_diff(now_ms);
    let found = format!("{apart_ms} ms from the broker's");
    if apart_ms <= CLOCKS_APART_MS {
        Finding::good("clock", found)
    } else {
        Finding::bad(
            "clock",
            1,
            found,
            "set this machine's clock right (NTP): deadlines and the age of lists depend on it",
        )
    }
}

/// The account at the broker.
pub fn account(view: &AccountView) -> Finding {
    let found = format!("balance {} units", view.balance);
    if view.suspended_at_ms.is_some() {
        Finding::bad("account", 8, format!("suspended; {found}"), "ask the broker's operator why, and to reinstate it")
    } else if view.debt > Units::ZERO {
        let found = format!("in debt by {} units for a double spend; {found}", view.debt);
        Finding::bad("account", 8, found, "the operator settles it from the balance; nothing is paid out before")
    } else {
        Finding::good("account", found)
    }
}
