//! Events as sentences. What strangers wrote (references, reasons, destinations) stands in quotes and escaped: it could
//! draw anything on the operator's terminal.

use netpay_ledger::Event;
use netpay_ledger::event::{Cause, RedeemedClaim, SettledClaim};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::touchstone::Guarantee;

/// The event in words. Of a purchase or a batch, only the e-coins that `keep` wants are told one by one.
pub(in crate::cli) fn event(event: &Event, keep: &dyn Fn(&EcoinId) -> bool) -> String {
    match event {
        Event::AccountOpened { peer, register, .. } => {
            format!("the account of {peer} was opened, with signing key {}", register.content.signing_key)
        }
        Event::FundsCredited { peer, amount, reference, .. } => {
            format!("{amount} units were deposited for {peer}, reference {reference:?}")
        }
        Event::EcoinsIssued { order, touchstones, .. } => {
            let b = &order.content;
            let bound = match b.guarantee {
                Guarantee::Bearer => String::new(),
                Guarantee::Bound(payee) => format!(", bound to {payee}"),
            };
            let mut text = format!(
                "{} bought {} e-coins of {} words at {} units ({}{bound}) for {} units, request {}",
                b.payer,
                b.count,
                b.n,
                b.unit_value,
                b.suite,
                b.worth(),
                b.request
            );
            for ecoin in touchstones.iter().map(|t| t.content.ecoin).filter(|ecoin| keep(ecoin)) {
                text += &format!("\n    e-coin {ecoin}");
            }
            text
        }
        Event::BatchRedeemed { payee, claims } => {
            let credited: u64 = claims.iter().map(|claim| claim.credited_units().0).sum();
            let mut text = format!("{payee} redeemed a batch of {} claims, {credited} units credited", claims.len());
            for told in claims.iter().filter_map(|each| claim(each, keep)) {
                text += &format!("\n    {told}");
            }
            text
        }
        Event::DoubleSpendDetected(found) => {
            let t = &found.touchstone.content;
            format!(
                "double spend: {} granted {} of e-coin {} to {} (paid) and {} to {}, who lost {} words; {} owes it {} units",
                t.payer,
                granted(&found.paid_grant),
                t.ecoin,
                found.paid_to,
                granted(&found.grant),
                found.payee,
                found.conflicting,
                t.payer,
                found.debt
            )
        }
        Event::AccountSuspended { peer, cause: Cause::DoubleSpend(ecoin) } => {
            format!("{peer} was suspended for double spending e-coin {ecoin}")
        }
        Event::AccountSuspended { peer, cause: Cause::Operator(_) } => format!("{peer} was suspended by an operator"),
        Event::AccountReinstated { peer, .. } => format!("the suspension of {peer} was lifted by an operator"),
        Event::DebtSettled { debt, amount, .. } => {
            format!(
                "{amount} units of the debt of {} to {} for e-coin {} were settled",
                debt.debtor,
                creditor(debt.creditor),
                debt.ecoin
            )
        }
        Event::EcoinExpired { ecoin, payer, words, refund } => {
            format!("e-coin {ecoin} expired: {words} words, {refund} units, went back to {payer}")
        }
        Event::PayoutRequested { order } => {
            let p = &order.content;
            format!(
                "{} asked for a payout of {} units to {:?}, request {}",
                p.peer, p.amount_units, p.destination, p.request
            )
        }
        Event::PayoutSettled { payout, reference, .. } => {
            format!("payout {} of {} was paid outside, reference {reference:?}", payout.request, payout.peer)
        }
        Event::PayoutFailed { payout, amount, reason, .. } => {
            format!("payout {} of {} failed: {amount} units came back, because {reason:?}", payout.request, payout.peer)
        }
        Event::EcoinRestored { touchstone, debited, lent, .. } => {
            let t = &touchstone.content;
            let (worth, payer) = (t.worth(), t.payer);
            let mut text = format!(
                "e-coin {} of {payer} ({} words, {worth} units), which the backup did not know, came back: {debited} units \
                 were debited once more",
                t.ecoin, t.n
            );
            if *lent > Units::ZERO {
                text += &format!(", {lent} units lent by the operator, to whom {payer} owes them");
            }
            text
        }
        Event::PeerKeysRotated { order, register } => {
            format!("{} changed its keys: its signing key is now {}", order.content.peer, register.content.signing_key)
        }
        Event::BrokerKeysRotated { list } => {
            let list = &list.list.content;
            format!("the broker changed its keys: list {}/{} with {} keys", list.incarnation, list.seq, list.keys.len())
        }
        Event::LedgerRestored { incarnation, head, .. } => {
            format!(
                "incarnation {incarnation} of the broker began, with a backup that ends at position {}, head {}",
                head.position, head.hash
            )
        }
        Event::LedgerReconciled { .. } => "an operator said that what the backup lacked is brought back".into(),
        Event::ClockConfirmed { .. } => "an operator said that the broker's clock is right".into(),
        Event::ClockDoubted {} => {
            "the broker's clock came in doubt: it jumped, or stood still for more than a day".into()
        }
    }
}

/// Whom a debt is owed to.
pub(in crate::cli) fn creditor(creditor: PeerId) -> String {
    if creditor == PeerId::OPERATOR { "the operator".into() } else { creditor.to_string() }
}

/// W1..W5, of a grant: its last word is the one before `to`.
fn granted(grant: &Grant) -> String {
    words(grant.from, PaywordIndex(grant.to.0.saturating_sub(1)))
}

fn words(from: PaywordIndex, through: PaywordIndex) -> String {
    format!("W{from}..W{through}")
}

fn claim(claim: &RedeemedClaim, keep: &dyn Fn(&EcoinId) -> bool) -> Option<String> {
    let RedeemedClaim::Settled(settled) = claim else { return None };
    let SettledClaim { ecoin, grant, through, credited, credited_units, already_paid, conflicting, .. } = &**settled;
    keep(ecoin).then(|| {
        let paid: Vec<_> = credited.iter().map(|Run { from, through }| words(*from, *through)).collect();
        let mut text =
            format!("e-coin {ecoin}: claimed {} under the grant {}", words(grant.from, *through), granted(grant));
        if !paid.is_empty() {
            text += &format!(", {} credited ({} words, {credited_units} units)", paid.join(" "), runs::count(credited));
        }
        for (count, what) in [(already_paid, "paid before"), (conflicting, "paid to another")] {
            if count.0 > 0 {
                text += &format!(", {count} words {what}");
            }
        }
        text
    })
}
