//! `netpay-broker ledger explain`: why a number is what it is, event by event, in words.
//!
//! Reads the log alone and holds what it leads to against the rows at the end: two ways to one number, and an exit code
//! for when they part. Changes nothing.

mod ecoin;
mod peer;
mod position;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use netpay_ledger::load;
use netpay_ledger::rows::{AccountRow, EcoinRow};
use netpay_protocol::ids::{EcoinId, PeerId};
use serde_json::Value;

use super::told::Log;
use super::{NotFound, Said, Usage, Where};
use crate::ports::State;
use crate::store::Store;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netpay-broker ledger explain 6f…c2 --config broker          # a peer or an e-coin: both are looked up
  netpay-broker ledger explain ecoin:4e…21 --config broker
  netpay-broker ledger explain 42 --config broker             # the record at this position

A peer: every event that touched its balance, debt, suspension, payouts or e-coins, with the balance after it.
An e-coin: to whom it was sold, each run paid to whom under which grant, conflicts, refund, and what is left.
Reads the whole log, also while the broker serves. Exit codes: 0 ok, 3 there is no such thing,
7 the events do not lead to what the rows say (then: netpay-broker ledger audit)")]
pub(super) struct Explain {
    /// PEER, ECOIN or POSITION; peer:ID and ecoin:ID say which.
    #[arg(value_name = "PEER|ECOIN|POSITION")]
    what: Subject,
    #[command(flatten)]
    at: Where,
}

/// What is to be explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Peer(PeerId),
    Ecoin(EcoinId),
    /// One of the two: both ids are 16 bytes.
    Either([u8; 16]),
    Position(u64),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = |error: netpay_protocol::ids::BadId| error.to_string();
        if let Some(id) = text.strip_prefix("peer:") {
            return id.parse().map(Self::Peer).map_err(said);
        }
        if let Some(id) = text.strip_prefix("ecoin:") {
            return id.parse().map(Self::Ecoin).map_err(said);
        }
        // A position has at most 20 digits, an id 32.
        match (text.parse::<EcoinId>(), text.parse::<u64>()) {
            (Ok(id), _) => Ok(Self::Either(id.0)),
            (_, Ok(position)) => Ok(Self::Position(position)),
            _ => Err(format!("expected a peer's or e-coin's id (32 hex digits) or a position, got {text:?}")),
        }
    }
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        let store = Store::open_read_only(&self.at.load()?.ledger())?;
        explain(&store, self.what)
    }
}

fn explain(state: &dyn State, what: Subject) -> anyhow::Result<Said> {
    let log = Log::of(state)?;
    match what {
        Subject::Position(position) => position::explain(&log, position),
        Subject::Peer(peer) => peer::explain(state, &log, peer),
        Subject::Ecoin(ecoin) => ecoin::explain(state, &log, ecoin),
        Subject::Either(id) => {
            let peer: Option<AccountRow> = load::row(&state, &PeerId(id))?;
            let ecoin: Option<EcoinRow> = load::row(&state, &EcoinId(id))?;
            match (peer, ecoin) {
                (Some(_), None) => peer::explain(state, &log, PeerId(id)),
                (None, Some(_)) => ecoin::explain(state, &log, EcoinId(id)),
                (Some(_), Some(_)) => {
                    bail!(Usage("both a peer and an e-coin have this id; say peer:ID or ecoin:ID".into()))
                }
                (None, None) => bail!(nothing("peer or e-coin", &PeerId(id), log.end())),
            }
        }
    }
}

fn nothing(what: &str, id: &dyn std::fmt::Display, end: u64) -> NotFound {
    NotFound(format!("no {what} {id} is in the ledger up to position {end}"))
}

/// What was told, with whether events and rows agree.
fn said(mut json: Value, mut text: String, disagreements: &[String]) -> Said {
    let agree = disagreements.is_empty();
    if let Some(object) = json.as_object_mut() {
        object.insert("agree".into(), agree.into());
        object.insert("disagreements".into(), disagreements.into());
    }
    for wrong in disagreements {
        text += &format!("\nTHE ROWS DISAGREE: {wrong}");
    }
    if !agree {
        text += "\nnext: netpay-broker ledger audit";
    }
    Said { json, text, code: if agree { 0 } else { 7 } }
}
