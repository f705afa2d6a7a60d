//! An e-coin: to whom it was sold, which of its words were paid to whom under which grant, and what is left.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::bail;
use netpay_ledger::event::{RedeemedClaim, SettledClaim};
use netpay_ledger::rows::EcoinRow;
use netpay_ledger::{Event, Record, load};
use netpay_protocol::admin::{EcoinView, PaidRun};
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::runs;
use serde_json::{Value, json};

use super::super::told::{self, Log};
use super::super::{Said, moment, views};
use super::{nothing, said};
use crate::actors::views as stored;
use crate::ports::State;

/// What its events came to so far.
struct Tale {
    ecoin: EcoinId,
    left_words: i128,
    paid: BTreeSet<(u32, u32, PeerId, u64)>,
    refunded: bool,
    entries: Vec<Entry>,
}

struct Entry {
    position: u64,
    at_ms: u64,
    index: usize,
    event: &'static str,
    words: i128,
    left_words: i128,
    runs: Vec<Value>,
    counterparties: BTreeSet<String>,
    text: String,
}

pub(super) fn explain(state: &dyn State, log: &Log<'_>, ecoin: EcoinId) -> anyhow::Result<Said> {
    let row: Option<EcoinRow> = load::row(&state, &ecoin)?;
    let (Some(row), Some(view)) = (row, stored::ecoin(state, ecoin)?) else {
        bail!(nothing("e-coin", &ecoin, log.end()));
    };
    let mut tale = Tale { ecoin, left_words: 0, paid: BTreeSet::new(), refunded: false, entries: Vec::new() };
    // Nothing of it was before it was sold.
    log.each(row.position.max(1), log.end(), &mut |record, _| {
        for (index, event) in record.events.iter().enumerate() {
            tale.hear(record, index, event);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let disagreements = tale.against(&view);
    Ok(said(tale.json(&view, log.end()), tale.words(&view, log.end()), &disagreements))
}

/// The words that the rows leave to be redeemed, and their worth.
fn left(view: &EcoinView) -> (WordCount, Units) {
    let words = WordCount(view.n.0).minus(view.paid).unwrap_or_default();
    let words = if view.expired_at_ms.is_some() { WordCount(0) } else { words };
    (words, words.worth(view.unit_value))
}

impl Tale {
    fn hear(&mut self, record: &Record, index: usize, event: &Event) {
        let mut entry = Entry {
            position: record.position,
            at_ms: record.recorded_at_ms,
            index,
            event: told::name(event),
            words: 0,
            left_words: 0,
            runs: Vec::new(),
            counterparties: BTreeSet::new(),
            text: told::words(event, &|ecoin| *ecoin == self.ecoin),
        };
        if !self.takes_part(&mut entry, event) {
            return;
        }
        self.left_words += entry.words;
        entry.left_words = self.left_words;
        self.entries.push(entry);
    }

    /// Whether the event is about this e-coin; if so, the entry and the tale take from it what is.
    fn takes_part(&mut self, entry: &mut Entry, event: &Event) -> bool {
        match event {
            Event::EcoinsIssued { touchstones, .. } => {
                let Some(sold) = touchstones.iter().find(|t| t.content.ecoin == self.ecoin) else { return false };
                entry.words = i128::from(sold.content.n.0);
                entry.counterparties.insert(sold.content.payer.to_string());
            }
            Event::EcoinRestored { touchstone, .. } if touchstone.content.ecoin == self.ecoin => {
                entry.words = i128::from(touchstone.content.n.0);
                entry.counterparties.insert(touchstone.content.payer.to_string());
            }
            Event::BatchRedeemed { payee, claims } => {
                let settled: Vec<_> = claims.iter().filter_map(|claim| self.on_this(claim)).collect();
                if settled.is_empty() {
                    return false;
                }
                entry.counterparties.insert(payee.to_string());
                for claim in settled {
                    entry.words -= i128::from(runs::count(&claim.credited).0);
                    for run in &claim.credited {
                        self.paid.insert((run.from.0, run.through.0, *payee, entry.position));
                        entry.runs.push(json!({
                            "from": run.from.0,
                            "through": run.through.0,
                            "payee": payee.to_string(),
                            "grant": views::grant(&claim.grant),
                        }));
                    }
                }
            }
            Event::DoubleSpendDetected(found) if found.touchstone.content.ecoin == self.ecoin => {
                entry.counterparties.extend([found.paid_to, found.payee].map(|peer| peer.to_string()));
            }
            Event::DebtSettled { debt, .. } if debt.ecoin == self.ecoin => {
                entry.counterparties.extend([debt.debtor.to_string(), told::creditor(debt.creditor)]);
            }
            Event::EcoinExpired { ecoin, payer, words, .. } if *ecoin == self.ecoin => {
                entry.words = -i128::from(words.0);
                entry.counterparties.insert(payer.to_string());
                self.refunded = true;
            }
            _ => return false,
        }
        true
    }

    fn on_this<'a>(&self, claim: &'a RedeemedClaim) -> Option<&'a SettledClaim> {
        match claim {
            RedeemedClaim::Settled(settled) if settled.ecoin == self.ecoin => Some(settled),
            _ => None,
        }
    }

    fn against(&self, view: &EcoinView) -> Vec<String> {
        let in_rows = |paid: &PaidRun| (paid.run.from.0, paid.run.through.0, paid.payee, paid.position);
        let rows: BTreeSet<_> = view.runs.iter().map(in_rows).collect();
        let (left, _) = left(view);
        let mut wrong = Vec::new();
        if self.left_words != i128::from(left.0) {
            wrong.push(format!("the events leave {} words, the row {left}", self.left_words));
        }
        if self.paid != rows {
            wrong.push(format!("the events paid {} runs, the rows have {}, or others", self.paid.len(), rows.len()));
        }
        if self.refunded != view.expired_at_ms.is_some() {
            wrong.push("events and row disagree on whether it was refunded".into());
        }
        wrong
    }

    fn json(&self, view: &EcoinView, position: u64) -> Value {
        let (words, units) = left(view);
        json!({
            "ecoin": self.ecoin.to_string(),
            "payer": view.payer.to_string(),
            "n": view.n.0,
            "unit_value_units": view.unit_value.0,
            "entries": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "paid_words": view.paid.0,
            "left_words": words.0,
            "left_units": units.0,
            "expired_at_ms": view.expired_at_ms,
            "redeem_until_ms": view.redeem_until_ms,
            "position": position,
        })
    }

    fn words(&self, view: &EcoinView, position: u64) -> String {
        let (words, units) = left(view);
        let mut text =
            format!("e-coin {} of {}, {} words of {} units\n", self.ecoin, view.payer, view.n, view.unit_value);
        for entry in &self.entries {
            text += &entry.words();
        }
        let until = match view.expired_at_ms {
            Some(at_ms) => format!("refunded at {}", moment::shown(at_ms)),
            None => format!("can be redeemed until {}", moment::shown(view.redeem_until_ms)),
        };
        text +=
            &format!("{} words paid, {words} words ({units} units) left, {until}; at position {position}", view.paid);
        text
    }
}

impl Entry {
    fn json(&self) -> Value {
        json!({
            "position": self.position,
            "recorded_at_ms": self.at_ms,
            "index": self.index,
            "event": self.event,
            "words": views::signed(self.words),
            "left_words": views::signed(self.left_words),
            "runs": self.runs,
            "counterparties": self.counterparties,
            "text": self.text,
        })
    }

    fn words(&self) -> String {
        format!(
            "#{:<6} {}  {:>+6} = {:>5} words  {}\n",
            self.position,
            moment::shown(self.at_ms),
            self.words,
            self.left_words,
            self.text
        )
    }
}
