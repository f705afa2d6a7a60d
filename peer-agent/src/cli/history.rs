//! `netpay history`: everything that happened to this peer's money.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{self, Session};
use super::{csv, time};
use crate::ports::{Entry, History as _, Reference, Wanted};

/// Show every purchase, grant, acceptance, redemption and payout, latest first. The signed units say what an entry did
/// to the wallet, to the till, and to the balance at the broker.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Events: buy, buy_refused, buy_dropped, grant, refused, accept, redeem, paid_before, forgotten, regained,\ndouble_spend, lost, broker_restored, payout, payout_refused, payout_dropped, payout_settled, payout_failed.\n\nExamples:\n  netpay history --since 2026-11-01 --what redeem\n  netpay history --csv > history.csv"
)]
pub struct History {
    /// Only what happened since: 2026-11-24, 2026-11-24T10:00:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<u64>,
    /// Only what happened with this peer.
    #[arg(long, value_name = "PEER")]
    with: Option<PeerId>,
    /// Only events of this name.
    #[arg(long, value_name = "EVENT")]
    what: Option<String>,
    /// The most entries; otherwise 100, or all with --csv.
    #[arg(long)]
    limit: Option<u32>,
    /// As a table for a spreadsheet, with a header.
    #[arg(long)]
    csv: bool,
}

/// What an entry did to (wallet, till, balance).
fn effect(entry: &Entry) -> (i64, i64, i64) {
    // Stored amounts fit: SQLite keeps no larger ones.
    let units = |units: Units| i64::try_from(units.0).unwrap_or(i64::MAX);
    let u = units(entry.units);
    match entry.what.as_str() {
        "buy" => (u, 0, -u),
        "grant" => (-u, 0, 0),
        // The words come back, to pay the next order of the same payee.
        "refused" => (u, 0, 0),
        "accept" => (0, u, 0),
        "redeem" => (0, -u, u),
        // A restored broker had forgotten that it paid them: they are the till's again, until it settles them again.
        "forgotten" => (0, u, -u),
        "regained" => (0, u, 0),
        "paid_before" | "double_spend" | "lost" => (0, -u, 0),
        "payout" => (0, 0, -u),
        "payout_failed" => (0, 0, u),
        _ => (0, 0, 0),
    }
}

/// The id of what an entry belongs to.
fn reference(entry: &Entry) -> Option<String> {
    entry.reference.map(|reference| match reference {
        Reference::Request(request) => request.to_string(),
        Reference::Order(digest) => digest.to_string(),
    })
}

fn object(entry: &Entry) -> Value {
    let (wallet, till, balance) = effect(entry);
    json!({
        "at": time::rfc3339(entry.at_ms),
        "at_ms": entry.at_ms,
        "what": entry.what,
        "counterparty": entry.with.map(|peer| peer.to_string()),
        "ecoin": entry.ecoin.map(|ecoin| ecoin.to_string()),
        "units": entry.units.0,
        "wallet_units": wallet,
        "till_units": till,
        "balance_units": balance,
        "reference": reference(entry),
        "note": entry.note,
    })
}

/// The columns of `--csv`, for good.
const COLUMNS: [&str; 11] = [
    "at",
    "at_ms",
    "what",
    "counterparty",
    "ecoin",
    "units",
    "wallet_units",
    "till_units",
    "balance_units",
    "reference",
    "note",
];

fn cells(object: &Value) -> Vec<String> {
    COLUMNS.iter().map(|column| session::field(object, column)).collect()
}

fn line(entry: &Entry) -> String {
    let (wallet, till, balance) = effect(entry);
    let moved: Vec<String> = [("wallet", wallet), ("till", till), ("balance", balance)]
        .iter()
        .filter(|(_, units)| *units != 0)
        .map(|(place, units)| format!("{place} {units:+}"))
        .collect();
    let moved = if moved.is_empty() { format!("{} units, nothing moved", entry.units) } else { moved.join(", ") };
    format!(
        "{}  {:<14} {:<26} {:<32}  {}  {}\n",
        time::rfc3339(entry.at_ms),
        entry.what,
        moved,
        entry.with.map_or_else(|| "broker".into(), |p| p.to_string()),
        reference(entry).unwrap_or_default(),
        entry.note
    )
}

impl History {
    /// Runs it.
    pub fn run(&self, session: &Session) -> Result<(), Failure> {
        let limit = self.limit.unwrap_or(if self.csv { u32::MAX } else { 100 });
        let wanted = Wanted { since_ms: self.since.unwrap_or(0), with: self.with, what: self.what.clone(), limit };
        let entries = session.store.read(|tx| tx.history(&wanted))?;
        let objects: Vec<Value> = entries.iter().map(object).collect();
        if self.csv {
            return session.print_table(&csv::table(&COLUMNS, objects.iter().map(cells)));
        }
        session.print(&json!({ "entries": objects }), || entries.iter().map(line).collect());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What went in and what is there must agree: the effects of a whole life sum up to where the money is.
    #[test]
    fn the_effects_of_a_life_sum_up_to_where_the_money_is() {
        let entry = |what: &str, units: u64| Entry {
            at_ms: 0,
            what: what.into(),
            with: None,
            ecoin: None,
            units: Units(units),
            reference: None,
            note: String::new(),
        };
        let life = [
            ("buy", 50),
            ("buy_refused", 9),
            ("grant", 5),
            ("refused", 2),
            ("grant", 2),
            ("accept", 12),
            ("redeem", 6),
            ("paid_before", 2),
            ("double_spend", 3),
            ("lost", 1),
            ("broker_restored", 0),
            ("regained", 1),
            ("forgotten", 4),
            ("redeem", 5),
            ("payout_refused", 4),
            ("payout", 4),
            ("payout_settled", 4),
            ("payout", 3),
            ("payout_failed", 3),
        ];
        let sum = life
            .iter()
            .map(|(what, units)| effect(&entry(what, *units)))
            .fold((0, 0, 0), |sum, moved| (sum.0 + moved.0, sum.1 + moved.1, sum.2 + moved.2));
        assert_eq!(sum, (45, 0, -50 + 6 + 1 - 4));
    }
}
