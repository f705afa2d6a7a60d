//! Selling chains: everything is prepaid, and nothing is sold twice.

use std::collections::BTreeSet;

use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::touchstone::Touchstone;

use super::{Decision, check_life, opened};
use crate::command::{Facts, OpenAccount};
use crate::event::Event;
use crate::rejection::Rejection;
use crate::working_set::WorkingSet;

/// How long before its record a touchstone may have been made. What a restored backup does not know was issued at most so
/// long before the backup's last record.
pub(super) const MAX_PREPARATION_MS: u64 = 60_000;

pub(super) struct Purchase {
    pub(super) opening: Option<OpenAccount>,
    pub(super) order: Box<Signed<BuyEcoins>>,
    pub(super) signed_by: PublicKey,
    pub(super) touchstones: Vec<Signed<Touchstone>>,
    pub(super) epoch: u32,
}

pub(super) fn decide(ws: &WorkingSet, facts: &Facts, purchase: Purchase) -> Result<Decision, Rejection> {
    let Purchase { opening, order, signed_by, touchstones, epoch } = purchase;
    let buy = &order.content;
    check_life(facts, buy.valid_until_ms)?;
    let (account, opening_event) = opened(ws, buy.payer, opening.as_ref(), signed_by)?;
    if account.suspended_at_ms.is_some() {
        return Err(Rejection::Suspended);
    }
    if account.debt.0 > 0 {
        return Err(Rejection::InDebt { debt: account.debt });
    }
    let cost = buy.worth();
    if cost > buy.most_debited_units {
        return Err(Rejection::PriceAboveLimit { cost, most: buy.most_debited_units });
    }
    if cost > account.balance {
        return Err(Rejection::InsufficientFunds { cost, balance: account.balance });
    }
    let opened_at_ms = match (&account.opened, &opening) {
        (Some(opened), _) => opened.at_ms,
        (None, Some(opening)) => opening.opened_at_ms(),
        (None, None) => return Err(Rejection::AccountUnknown),
    };
    let fits = touchstones.iter().all(|t| is_for(&t.content, buy, facts, signed_by, opened_at_ms));
    if !fits || !are_new(ws, &touchstones) || u32::try_from(touchstones.len()) != Ok(buy.count) {
        return Err(Rejection::StaleFacts);
    }
    let issued = Event::EcoinsIssued { order, touchstones, epoch };
    Ok(Decision::Record(opening_event.into_iter().chain([issued]).collect()))
}

/// Whether a touchstone that was prepared beside the writer is what this order, this account and this moment call for.
fn is_for(t: &Touchstone, buy: &BuyEcoins, facts: &Facts, payer_key: PublicKey, opened_at_ms: u64) -> bool {
    (t.broker, t.payer, t.suite, t.n) == (buy.broker, buy.payer, buy.suite, buy.n)
        && (t.unit_value, t.guarantee, t.incarnation) == (buy.unit_value, buy.guarantee, facts.incarnation)
        && (t.payer_key, t.payer_opened_at_ms) == (payer_key, opened_at_ms)
        && t.issued_at_ms <= facts.now_ms
        && facts.now_ms - t.issued_at_ms <= MAX_PREPARATION_MS
}

/// An e-coin's id exists once, for ever.
fn are_new(ws: &WorkingSet, touchstones: &[Signed<Touchstone>]) -> bool {
    let ids: BTreeSet<_> = touchstones.iter().map(|t| t.content.ecoin).collect();
    ids.len() == touchstones.len() && ids.iter().all(|id| ws.ecoins.get(id).is_none())
}
