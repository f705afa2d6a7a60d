//! What happened to this peer's money, in the order it happened.

use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId};
use rusqlite::{Row, params};

use super::{Tx, int, uint, units};
use crate::ports::{Entry, History, Reference, StoreError, Stored, Wanted};

/// A request's id has 16 bytes, an order's digest 32.
fn reference(row: &Row<'_>) -> Stored<Option<Reference>> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>("reference")? else { return Ok(None) };
    let request = bytes.as_slice().try_into().map(|id| Reference::Request(RequestId(id)));
    let order = bytes.as_slice().try_into().map(|digest| Reference::Order(Digest(digest)));
    request.or(order).map(Some).map_err(|_| StoreError::damaged("a reference that is no id"))
}

impl History for Tx<'_> {
    fn note(&self, entry: Entry) -> Stored<()> {
        let reference = entry.reference.map(|reference| match reference {
            Reference::Request(request) => request.0.to_vec(),
            Reference::Order(digest) => digest.0.to_vec(),
        });
        self.run(
            "INSERT INTO history (at_ms, what, counterparty, ecoin, units, note, reference) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                int(entry.at_ms)?,
                entry.what,
                entry.with.map(|peer| peer.0),
                entry.ecoin.map(|ecoin| ecoin.0),
                int(entry.units.0)?,
                entry.note,
                reference
            ],
        )
        .map(|_| ())
    }

    fn history(&self, wanted: &Wanted) -> Stored<Vec<Entry>> {
        self.rows(
            "SELECT * FROM history WHERE at_ms >= ?1 AND (?2 IS NULL OR counterparty = ?2) \
             AND (?3 IS NULL OR what = ?3) ORDER BY id DESC LIMIT ?4",
            params![int(wanted.since_ms)?, wanted.with.map(|peer| peer.0), wanted.what, wanted.limit],
            |row| {
                Ok(Entry {
                    at_ms: uint(row, "at_ms")?,
                    what: row.get("what")?,
                    with: row.get::<_, Option<[u8; 16]>>("counterparty")?.map(PeerId),
                    ecoin: row.get::<_, Option<[u8; 16]>>("ecoin")?.map(EcoinId),
                    units: units(row, "units")?,
                    reference: reference(row)?,
                    note: row.get("note")?,
                })
            },
        )
    }
}
