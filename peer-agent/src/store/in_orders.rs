//! Orders of the till: quotes given, and what was paid towards them.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::layout::Layout as _;
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::{Tx, int, message, units};
use crate::ports::{InOrder, InOrders, StoreError, Stored};

fn order(row: &Row<'_>) -> Stored<InOrder> {
    Ok(InOrder { quote: message(row, "quote")?, asker: PeerId(row.get("asker")?), paid: units(row, "paid")? })
}

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
        self.row("SELECT * FROM in_orders WHERE digest = ?", [digest.0], order)
    }

    fn credit_in_order(&self, digest: Digest, paid: Units) -> Stored<()> {
        let changed = self.run("UPDATE in_orders SET paid = ? WHERE digest = ?", params![int(paid.0)?, digest.0])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::damaged("an order that is credited is missing")) }
    }

    fn unpaid_in_orders(&self, asker: PeerId) -> Stored<Vec<InOrder>> {
        self.rows("SELECT * FROM in_orders WHERE paid = 0 AND asker = ? ORDER BY expires_ms", [asker.0], order)
    }

    fn forget_unpaid(&self, asker: PeerId, now_ms: u64, keep: (u32, u32)) -> Stored<()> {
        // An order without a price is kept until it expires, too: it is what chunks are asked by.
        self.run("DELETE FROM in_orders WHERE paid = 0 AND expires_ms < ?", [int(now_ms)?])?;
        self.run(
            "DELETE FROM in_orders WHERE digest IN (SELECT digest FROM in_orders WHERE paid = 0 AND asker = ? \
             ORDER BY expires_ms DESC LIMIT -1 OFFSET ?)",
            params![asker.0, keep.0],
        )?;
        self.run(
            "DELETE FROM in_orders WHERE digest IN (SELECT digest FROM in_orders WHERE paid = 0 \
             ORDER BY expires_ms DESC LIMIT -1 OFFSET ?)",
            [keep.1],
        )
        .map(|_| ())
    }
}
