//! Orders of the till: quotes given, and what was paid towards them.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::layout::Layout as _;
use netpay_protocol::wire;
use rusqlite::params;

use super::{Tx, int, message, units};
use crate::ports::{InOrder, InOrders, StoreError, Stored};

impl InOrders for Tx<'_> {
    fn add_in_order(&self, order: &InOrder) -> Stored<()> {
        self.run(
            "INSERT INTO in_orders (digest, quote, asker, paid, expires_ms) VALUES (?, ?, ?, ?, ?)",
            params![
                order.quote.content.digest().0,
                wire::encode(&order.quote),
                order.asker.0,
                int(order.paid.0)?,
                int(order.quote.content.expires_ms)?
            ],
        )
        .map(|_| ())
    }

    fn in_order(&self, digest: Digest) -> Stored<Option<InOrder>> {
        self.row("SELECT * FROM in_orders WHERE digest = ?", [digest.0], |row| {
            Ok(InOrder { quote: message(row, "quote")?, asker: PeerId(row.get("asker")?), paid: units(row, "paid")? })
        })
    }

    fn credit_in_order(&self, digest: Digest, paid: Units) -> Stored<()> {
        let changed = self.run("UPDATE in_orders SET paid = ? WHERE digest = ?", params![int(paid.0)?, digest.0])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::damaged("an order that is credited is missing")) }
    }

    fn unpaid_in_orders(&self, asker: PeerId, now_ms: u64) -> Stored<(u32, u32)> {
        // An order without a price is kept until it expires, too: it is what chunks are asked by.
        self.run("DELETE FROM in_orders WHERE paid = 0 AND expires_ms < ?", [int(now_ms)?])?;
        let counts = self.row(
            "SELECT count(*) FILTER (WHERE asker = ?), count(*) FROM in_orders WHERE paid = 0",
            [asker.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(counts.unwrap_or((0, 0)))
    }
}
