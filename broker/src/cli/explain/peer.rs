//! A peer: every event that touched its balance, debt, suspension, payouts or e-coins.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use anyhow::bail;
use netpay_ledger::event::{Account, RedeemedClaim};
use netpay_ledger::rows::{AccountRow, EcoinRow};
use netpay_ledger::{Event, Record, load};
use netpay_protocol::admin::Page;
use netpay_protocol::ids::{EcoinId, PeerId, RequestId};
use netpay_protocol::payout::{PayoutState, PayoutView};
use serde_json::{Value, json};

use super::super::told::{self, Log};
use super::super::{Said, moment, views};
use super::{nothing, said};
use crate::actors::views as stored;
use crate::ports::State;

/// What its events came to so far.
struct Tale<'a> {
    state: &'a dyn State,
    peer: PeerId,
    ecoins: BTreeSet<EcoinId>,
    balance: i128,
    debt: i128,
    suspended: bool,
    payouts: BTreeMap<RequestId, u64>,
    entries: Vec<Entry>,
}

struct Entry {
    position: u64,
    at_ms: u64,
    index: usize,
    event: &'static str,
    amount: i128,
    balance: i128,
    debt: i128,
    counterparties: BTreeSet<String>,
    text: String,
}

pub(super) fn explain(state: &dyn State, log: &Log<'_>, peer: PeerId) -> anyhow::Result<Said> {
    let mut tale = Tale {
        state,
        peer,
        ecoins: BTreeSet::new(),
        balance: 0,
        debt: 0,
        suspended: false,
        payouts: BTreeMap::new(),
        entries: Vec::new(),
    };
    log.each(1, log.end(), &mut |record, _| {
        for (index, event) in record.events.iter().enumerate() {
            tale.hear(record, index, event)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let row: Option<AccountRow> = load::row(&state, &peer)?;
    if tale.entries.is_empty() && row.is_none() {
        bail!(nothing("peer", &peer, log.end()));
    }
    let row = row.unwrap_or_default();
    let open = open_payouts(state, peer)?;
    let disagreements = tale.against(&row, &open);
    Ok(said(tale.json(&row, &open, log.end()), tale.words(&row, &open, log.end()), &disagreements))
}

/// Those neither settled nor failed, as the rows have them.
fn open_payouts(state: &dyn State, peer: PeerId) -> anyhow::Result<Vec<PayoutView>> {
    let (mut open, mut after) = (Vec::new(), RequestId([0; 16]));
    loop {
        let Page { items, more } = stored::payouts_of(state, peer, after)?;
        after = items.last().map_or(after, |last| last.request);
        open.extend(items.into_iter().filter(|payout| payout.state == PayoutState::Requested));
        if !more {
            return Ok(open);
        }
    }
}

impl Tale<'_> {
    fn hear(&mut self, record: &Record, index: usize, event: &Event) -> anyhow::Result<()> {
        if !self.is_touched_by(event) {
            return Ok(());
        }
        let mine = Account::Peer(self.peer);
        let posted = event.postings().into_iter().filter(|(account, _)| *account == mine);
        let amount = posted.map(|(_, amount)| i128::from(amount)).sum();
        self.balance += amount;
        self.follow(event);
        // As payee every claim is its own; as payer, only those on its e-coins.
        let all = matches!(event, Event::BatchRedeemed { payee, .. } if *payee == self.peer);
        let text = told::words(event, &|ecoin| all || self.ecoins.contains(ecoin));
        self.entries.push(Entry {
            position: record.position,
            at_ms: record.recorded_at_ms,
            index,
            event: told::name(event),
            amount,
            balance: self.balance,
            debt: self.debt,
            counterparties: self.counterparties(event)?,
            text,
        });
        Ok(())
    }

    fn is_touched_by(&self, event: &Event) -> bool {
        let me = self.peer;
        match event {
            Event::AccountOpened { peer, .. }
            | Event::FundsCredited { peer, .. }
            | Event::AccountSuspended { peer, .. }
            | Event::AccountReinstated { peer, .. }
            | Event::EcoinExpired { payer: peer, .. } => *peer == me,
            Event::EcoinsIssued { order, .. } => order.content.payer == me,
            Event::BatchRedeemed { payee, claims } => *payee == me || claims.iter().any(|claim| self.is_on_own(claim)),
            Event::DoubleSpendDetected(found) => {
                [found.touchstone.content.payer, found.paid_to, found.payee].contains(&me)
            }
            Event::DebtSettled { debt, .. } => [debt.debtor, debt.creditor].contains(&me),
            Event::PayoutRequested { order } => order.content.peer == me,
            Event::PayoutSettled { payout, .. } | Event::PayoutFailed { payout, .. } => payout.peer == me,
            Event::EcoinRestored { touchstone, .. } => touchstone.content.payer == me,
            Event::PeerKeysRotated { order, .. } => order.content.peer == me,
            Event::BrokerKeysRotated { .. }
            | Event::LedgerRestored { .. }
            | Event::LedgerReconciled { .. }
            | Event::ClockConfirmed { .. }
            | Event::ClockDoubted {} => false,
        }
    }

    fn is_on_own(&self, claim: &RedeemedClaim) -> bool {
        matches!(claim, RedeemedClaim::Settled(settled) if self.ecoins.contains(&settled.ecoin))
    }

    /// What postings do not tell: debts, suspensions, payouts, whose e-coins.
    fn follow(&mut self, event: &Event) {
        match event {
            Event::EcoinsIssued { touchstones, .. } => {
                self.ecoins.extend(touchstones.iter().map(|t| t.content.ecoin));
            }
            Event::DoubleSpendDetected(found) if found.touchstone.content.payer == self.peer => {
                self.debt += i128::from(found.debt.0);
            }
            Event::EcoinRestored { touchstone, lent, .. } => {
                self.ecoins.insert(touchstone.content.ecoin);
                self.debt += i128::from(lent.0);
            }
            Event::DebtSettled { debt, amount, .. } if debt.debtor == self.peer => self.debt -= i128::from(amount.0),
            Event::AccountSuspended { .. } => self.suspended = true,
            Event::AccountReinstated { .. } => self.suspended = false,
            Event::PayoutRequested { order } => {
                self.payouts.insert(order.content.request, order.content.amount_units.0);
            }
            Event::PayoutSettled { payout, .. } | Event::PayoutFailed { payout, .. } => {
                self.payouts.remove(&payout.request);
            }
            _ => {}
        }
    }

    /// Where the money came from or went to, and who else has a part in it.
    fn counterparties(&self, event: &Event) -> anyhow::Result<BTreeSet<String>> {
        let mut others = BTreeSet::new();
        match event {
            Event::BatchRedeemed { payee, claims } if *payee == self.peer => {
                for claim in claims {
                    if let RedeemedClaim::Settled(settled) = claim {
                        let row: Option<EcoinRow> = load::row(&self.state, &settled.ecoin)?;
                        others.extend(row.map(|row| row.touchstone.content.payer.to_string()));
                    }
                }
            }
            Event::BatchRedeemed { payee, .. } => others.extend([payee.to_string()]),
            Event::DoubleSpendDetected(found) => {
                let all = [found.touchstone.content.payer, found.paid_to, found.payee];
                others.extend(all.iter().filter(|peer| **peer != self.peer).map(ToString::to_string));
            }
            _ => {
                for (account, _) in event.postings() {
                    match account {
                        Account::Escrow => others.extend(["escrow".to_owned()]),
                        Account::Outside => others.extend(["outside".to_owned()]),
                        Account::Peer(peer) if peer != self.peer => others.extend([peer.to_string()]),
                        Account::Peer(_) => {}
                    }
                }
            }
        }
        Ok(others)
    }

    fn against(&self, row: &AccountRow, open: &[PayoutView]) -> Vec<String> {
        let rows_payouts: BTreeMap<_, _> = open.iter().map(|payout| (payout.request, payout.amount.0)).collect();
        let (balance, debt) = (i128::from(row.balance.0), i128::from(row.debt.0));
        let suspended = |is| if is { "suspended" } else { "not suspended" };
        let claims = [
            ("balance", self.balance == balance, self.balance.to_string(), balance.to_string()),
            ("debt", self.debt == debt, self.debt.to_string(), debt.to_string()),
            (
                "suspension",
                self.suspended == row.suspended_at_ms.is_some(),
                suspended(self.suspended).into(),
                suspended(row.suspended_at_ms.is_some()).into(),
            ),
            ("open payouts", self.payouts == rows_payouts, listed(&self.payouts), listed(&rows_payouts)),
        ];
        let wrong = claims.into_iter().filter(|(_, same, ..)| !same);
        wrong
            .map(|(what, _, events, rows)| format!("{what}: the events lead to {events}, the row says {rows}"))
            .collect()
    }

    fn json(&self, row: &AccountRow, open: &[PayoutView], position: u64) -> Value {
        json!({
            "peer": self.peer.to_string(),
            "entries": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "balance_units": row.balance.0,
            "debt_units": row.debt.0,
            "suspended": row.suspended_at_ms.is_some(),
            "open_payouts": open.iter().map(views::payout).collect::<Vec<_>>(),
            "position": position,
        })
    }

    fn words(&self, row: &AccountRow, open: &[PayoutView], position: u64) -> String {
        let mut text = format!("peer {}\n", self.peer);
        for entry in &self.entries {
            text += &entry.words();
        }
        let state = if row.suspended_at_ms.is_some() { ", suspended" } else { "" };
        text += &format!("balance {} units, debt {} units{state}, at position {position}", row.balance, row.debt);
        for payout in open {
            text += &format!("\nopen payout: {}", views::payout_text(payout));
        }
        text
    }
}

fn listed(payouts: &BTreeMap<RequestId, u64>) -> String {
    let all: Vec<_> = payouts.iter().map(|(request, units)| format!("{request} of {units} units")).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

impl Entry {
    fn json(&self) -> Value {
        json!({
            "position": self.position,
            "recorded_at_ms": self.at_ms,
            "index": self.index,
            "event": self.event,
            "amount_units": views::signed(self.amount),
            "balance_units": views::signed(self.balance),
            "debt_units": views::signed(self.debt),
            "counterparties": self.counterparties,
            "text": self.text,
        })
    }

    fn words(&self) -> String {
        let debt = if self.debt == 0 { String::new() } else { format!(", owes {}", self.debt) };
        format!(
            "#{:<6} {}  {:>+10} = {:>10}{debt}  {}\n",
            self.position,
            moment::shown(self.at_ms),
            self.amount,
            self.balance,
            self.text
        )
    }
}
