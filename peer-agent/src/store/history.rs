//! What happened to this peer's money, in the order it happened.

use netpay_protocol::ids::{EcoinId, PeerId};
use rusqlite::params;

use super::{Tx, int, uint, units};
use crate::ports::{Entry, History, Stored};

impl History for Tx<'_> {
    fn note(&self, entry: Entry) -> Stored<()> {
        self.run(
            "INSERT INTO history (at_ms, what, counterparty, ecoin, units, note) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                int(entry.at_ms)?,
                entry.what,
                entry.with.map(|peer| peer.0),
                entry.ecoin.map(|ecoin| ecoin.0),
                int(entry.units.0)?,
                entry.note
            ],
        )
        .map(|_| ())
    }

    fn history(&self, limit: u32) -> Stored<Vec<Entry>> {
        self.rows("SELECT * FROM history ORDER BY id DESC LIMIT ?", [limit], |row| {
            Ok(Entry {
                at_ms: uint(row, "at_ms")?,
                what: row.get("what")?,
                with: row.get::<_, Option<[u8; 16]>>("counterparty")?.map(PeerId),
                ecoin: row.get::<_, Option<[u8; 16]>>("ecoin")?.map(EcoinId),
                units: units(row, "units")?,
                note: row.get("note")?,
            })
        })
    }
}
