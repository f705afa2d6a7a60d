//! `netpay history`: everything that happened to this peer's money.

use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::ports::{Entry, History as _};

/// Show every purchase, grant, acceptance and redemption, latest first.
#[derive(clap::Args, Debug)]
pub struct History {
    /// The most entries.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

fn object(entry: &Entry) -> Value {
    json!({
        "at_ms": entry.at_ms,
        "what": entry.what,
        "counterparty": entry.with.map(|peer| peer.to_string()),
        "ecoin": entry.ecoin.map(|ecoin| ecoin.to_string()),
        "units": entry.units.0,
        "note": entry.note,
    })
}

impl History {
    /// Runs it.
    pub fn run(&self, session: &Session) -> Result<(), Failure> {
        let entries =
            session.store.read(|tx| tx.history(&crate::ports::Wanted { limit: self.limit, ..Default::default() }))?;
        let objects: Vec<Value> = entries.iter().map(object).collect();
        session.print(&json!({ "entries": objects }), || {
            let line = |entry: &Entry| {
                format!(
                    "{}  {:<12} {:>8} units  {:<32}  {}\n",
                    entry.at_ms,
                    entry.what,
                    entry.units,
                    entry.with.map_or_else(|| "broker".into(), |p| p.to_string()),
                    entry.note
                )
            };
            entries.iter().map(line).collect()
        });
        Ok(())
    }
}
