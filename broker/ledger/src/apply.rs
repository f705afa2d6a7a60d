//! Changing state by an event. Cannot fail: what should not happen was refused by `decide`.

use netpay_planted::{self as planted, Fault};
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::register::Register;
use netpay_protocol::runs;
use netpay_protocol::touchstone::Touchstone;

use crate::command::DebtKey;
use crate::event::{Account, DoubleSpend, Event, RedeemedClaim, SettledClaim};
use crate::record::Record;
use crate::rows::{
    AccountRow, ConflictRow, DebtRow, EcoinRow, ExpiryRow, KeysAt, Opened, OwnedRow, PayoutRow, ReferenceRow,
    RequestRow, RestoredFrom, RunRow, SuspendedRow,
};
use crate::working_set::WorkingSet;

/// Where and when an event happened.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The record's position.
    pub position: u64,
    /// The record's time.
    pub at_ms: u64,
}

/// Applies a record: its events, the outcome of its request, the new head.
pub fn record(ws: &mut WorkingSet, record: &Record) {
    let place = Place { position: record.position, at_ms: record.recorded_at_ms };
    for event in &record.events {
        apply(ws, event, place);
    }
    if let Some(request) = record.request.filter(|_| !planted::is(Fault::RequestForgotten)) {
        let row = RequestRow { digest: request.digest, position: record.position };
        ws.requests.put((request.signer, request.id), row);
    }
    ws.totals.head = record.head();
    ws.totals.recorded_at_ms = record.recorded_at_ms;
}

/// Applies one event.
pub fn apply(ws: &mut WorkingSet, event: &Event, place: Place) {
    for (account, amount) in event.postings() {
        post(ws, account, amount);
    }
    match event {
        Event::AccountOpened { peer, register, opened_at_ms } => {
            let opened = Opened { at_ms: *opened_at_ms, register: (**register).clone() };
            account(ws, *peer, |row| row.opened = Some(opened));
        }
        Event::FundsCredited { peer, amount, reference, .. } => {
            let row = ReferenceRow { peer: *peer, amount: *amount, position: place.position };
            ws.references.put(reference.clone(), row);
        }
        Event::EcoinsIssued { touchstones, epoch, .. } => {
            touchstones.iter().for_each(|touchstone| put_ecoin(ws, touchstone, *epoch, place));
        }
        Event::BatchRedeemed { payee, claims } => {
            for claim in claims {
                if let RedeemedClaim::Settled(claim) = claim {
                    pay_runs(ws, *payee, claim, place);
                }
            }
        }
        Event::DoubleSpendDetected(found) => record_double_spend(ws, found, place),
        Event::AccountSuspended { peer, .. } => {
            account(ws, *peer, |row| row.suspended_at_ms = Some(place.at_ms));
            ws.suspended.put(*peer, SuspendedRow { since_ms: place.at_ms });
        }
        Event::AccountReinstated { peer, .. } => {
            account(ws, *peer, |row| row.suspended_at_ms = None);
            ws.suspended.delete(*peer);
        }
        Event::DebtSettled { debt, amount, .. } => {
            let open = ws.debts.get(debt).map_or(Units::ZERO, |row| row.open).saturating_sub(*amount);
            if open == Units::ZERO {
                ws.debts.delete(*debt);
            } else {
                ws.debts.put(*debt, DebtRow { open });
            }
            account(ws, debt.debtor, |row| row.debt = row.debt.saturating_sub(*amount));
            ws.totals.debts = ws.totals.debts.saturating_sub(*amount);
        }
        Event::EcoinExpired { ecoin, payer, .. } => {
            ws.owned.delete((*payer, *ecoin));
            let row = ws.ecoins.get(ecoin).cloned();
            if let Some(row) = row {
                ws.expiry.delete((row.touchstone.content.redeem_until_ms, *ecoin));
                ws.ecoins.put(*ecoin, EcoinRow { expired_at_ms: Some(place.at_ms), ..row });
            }
        }
        Event::PayoutRequested { order } => {
            let payout = &order.content;
            let row = PayoutRow {
                amount: payout.amount_units,
                destination: payout.destination.clone(),
                requested_at_ms: place.at_ms,
                state: PayoutState::Requested,
                position: place.position,
            };
            ws.payouts.put(payout.key(), row);
            ws.totals.payouts = Some(add(ws.totals.payouts_open(), payout.amount_units));
        }
        Event::PayoutSettled { payout, reference, .. } => {
            end_payout(ws, *payout, PayoutState::Settled { reference: reference.clone(), at_ms: place.at_ms });
        }
        Event::PayoutFailed { payout, reason, .. } => {
            end_payout(ws, *payout, PayoutState::Failed { reason: reason.clone(), at_ms: place.at_ms });
        }
        Event::EcoinRestored { touchstone, epoch, lent, .. } => {
            put_ecoin(ws, touchstone, *epoch, place);
            if *lent > Units::ZERO {
                let t = &touchstone.content;
                owe(ws, DebtKey { debtor: t.payer, creditor: PeerId::OPERATOR, ecoin: t.ecoin }, *lent);
            }
        }
        Event::PeerKeysRotated { order, register } => rotate_keys(ws, order.content.peer, register),
        Event::BrokerKeysRotated { list } => {
            let (incarnation, seq) = (list.list.content.incarnation, list.list.content.seq);
            ws.totals.keys = Some(KeysAt { position: place.position, incarnation, seq });
        }
        Event::LedgerRestored { incarnation, head, head_at_ms } => {
            ws.totals.incarnation = Some(*incarnation);
            // What was lost before this backup, too, may still come back.
            let earlier = ws.totals.restored.filter(|_| !planted::is(Fault::FirstLossForgotten));
            let since_ms = earlier.map_or(*head_at_ms, |before| before.head_at_ms.min(*head_at_ms));
            ws.totals.restored = Some(RestoredFrom { head: *head, head_at_ms: since_ms });
        }
        Event::LedgerReconciled { .. } => ws.totals.restored = None,
        Event::ClockConfirmed { .. } => ws.totals.clock_doubted_at_ms = None,
        Event::ClockDoubted {} => ws.totals.clock_doubted_at_ms = Some(place.at_ms),
    }
}

fn put_ecoin(ws: &mut WorkingSet, touchstone: &Signed<Touchstone>, epoch: u32, place: Place) {
    let t = &touchstone.content;
    let row = EcoinRow {
        touchstone: touchstone.clone(),
        epoch,
        paid: WordCount(0),
        expired_at_ms: None,
        position: place.position,
    };
    ws.ecoins.put(t.ecoin, row);
    ws.owned.put((t.payer, t.ecoin), OwnedRow {});
    ws.expiry.put((t.redeem_until_ms, t.ecoin), ExpiryRow {});
    ws.totals.ecoins_issued += 1;
    account(ws, t.payer, |row| row.last_redeem_until_ms = row.last_redeem_until_ms.max(t.redeem_until_ms));
}

/// The key given up still speaks for what it signed before.
fn rotate_keys(ws: &mut WorkingSet, peer: PeerId, register: &Signed<Register>) {
    account(ws, peer, |row| {
        let Some(opened) = &mut row.opened else { return };
        let before = std::mem::replace(&mut opened.register, register.clone()).content.signing_key;
        if before != register.content.signing_key {
            row.former_keys.get_or_insert_default().push(before);
        }
    });
}

fn end_payout(ws: &mut WorkingSet, payout: PayoutKey, state: PayoutState) {
    if let Some(row) = ws.payouts.get(&payout).cloned() {
        ws.totals.payouts = Some(ws.totals.payouts_open().saturating_sub(row.amount));
        ws.payouts.put(payout, PayoutRow { state, ..row });
    }
}

/// One row per run credited, never merged: the record tells the grant.
fn pay_runs(ws: &mut WorkingSet, payee: PeerId, claim: &SettledClaim, place: Place) {
    let words = runs::count(&claim.credited);
    for run in &claim.credited {
        let payee = if planted::is(Fault::WrongOwner) { PeerId::OPERATOR } else { payee };
        let row = RunRow { through: run.through, payee, position: place.position };
        ws.runs.put((claim.ecoin, run.from), row);
        // Later commands of the same group may conflict with it before it is on disk.
        ws.grants.insert((claim.ecoin, run.from), claim.grant.clone());
    }
    if let Some(row) = ws.ecoins.get(&claim.ecoin).cloned() {
        ws.ecoins.put(claim.ecoin, EcoinRow { paid: row.paid.plus(words), ..row });
    }
    ws.totals.words_redeemed += u64::from(words.0);
}

fn record_double_spend(ws: &mut WorkingSet, found: &DoubleSpend, place: Place) {
    let (ecoin, debtor) = (found.touchstone.content.ecoin, found.touchstone.content.payer);
    ws.conflicts.put((ecoin, found.payee), ConflictRow { position: place.position });
    owe(ws, DebtKey { debtor, creditor: found.payee, ecoin }, found.debt);
    ws.totals.double_spends += 1;
}

fn owe(ws: &mut WorkingSet, debt: DebtKey, amount: Units) {
    ws.debts.put(debt, DebtRow { open: amount });
    account(ws, debt.debtor, |row| row.debt = add(row.debt, amount));
    ws.totals.debts = add(ws.totals.debts, amount);
}

fn account(ws: &mut WorkingSet, peer: PeerId, change: impl FnOnce(&mut AccountRow)) {
    let known = ws.accounts.get(&peer).cloned();
    if known.is_none() {
        ws.totals.accounts += 1;
    }
    let mut row = known.unwrap_or_default();
    change(&mut row);
    ws.accounts.put(peer, row);
}

fn post(ws: &mut WorkingSet, to: Account, amount: i64) {
    let change = |units: Units| Units(units.0.checked_add_signed(amount).expect("decide keeps accounts above zero"));
    match to {
        Account::Peer(peer) => {
            account(ws, peer, |row| row.balance = change(row.balance));
            ws.totals.peers = change(ws.totals.peers);
        }
        Account::Escrow if planted::is(Fault::PostingForgotten) => {}
        Account::Escrow => ws.totals.escrow = change(ws.totals.escrow),
        Account::Outside => {
            ws.totals.outside = ws.totals.outside.checked_add(amount).expect("deposits are below 2^62");
        }
    }
}

fn add(a: Units, b: Units) -> Units {
    a.checked_add(b).expect("open debts and open payouts are each below 2^62")
}
