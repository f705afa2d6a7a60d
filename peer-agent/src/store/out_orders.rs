//! Orders of the wallet: quotes being paid, each with the payment that was not acknowledged yet.

use netpay_protocol::amounts::WordCount;
use netpay_protocol::ids::{ContentId, Digest, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::quote::Receipt;
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::{Tx, int, message, units};
use crate::ports::{OutOrder, OutOrders, Pending, StoreError, Stored};

fn order(row: &Row<'_>) -> Stored<OutOrder> {
    let suites: String = row.get("suites")?;
    let pending: Option<Vec<u8>> = row.get("pending")?;
    Ok(OutOrder {
        quote: message(row, "quote")?,
        payee_key: PublicKey(row.get("payee_key")?),
        suites: suites
            .split_whitespace()
            .map(|suite| suite.parse().map_err(|error: String| StoreError::damaged(error)))
            .collect::<Stored<_>>()?,
        sent: units(row, "sent")?,
        paid: units(row, "paid")?,
        words: WordCount(row.get("words")?),
        pending: match pending {
            None => None,
            Some(_) => Some(Pending {
                pay: message(row, "pending")?,
                units: units(row, "pending_units")?,
                sent_before: units(row, "pending_again")?,
            }),
        },
        done: row.get("done")?,
    })
}

impl OutOrders for Tx<'_> {
    fn put_out_order(&self, order: &OutOrder) -> Stored<()> {
        let suites: Vec<String> = order.suites.iter().map(ToString::to_string).collect();
        let (pending, pending_units, pending_again) = match &order.pending {
            None => (None, 0, 0),
            Some(pending) => (Some(wire::encode(&pending.pay)), int(pending.units.0)?, int(pending.sent_before.0)?),
        };
        self.run(
            "INSERT INTO out_orders \
             (digest, payee, quote, payee_key, suites, sent, paid, words, pending, pending_units, done, pending_again) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (digest) DO UPDATE SET \
             sent = ?6, paid = ?7, words = ?8, pending = ?9, pending_units = ?10, done = ?11, pending_again = ?12",
            params![
                order.quote.content.digest().0,
                order.quote.content.payee.0,
                wire::encode(&order.quote),
                order.payee_key.0,
                suites.join(" "),
                int(order.sent.0)?,
                int(order.paid.0)?,
                order.words.0,
                pending,
                pending_units,
                order.done,
                pending_again
            ],
        )
        .map(|_| ())
    }

    fn out_order(&self, digest: Digest) -> Stored<Option<OutOrder>> {
        self.row("SELECT * FROM out_orders WHERE digest = ?", [digest.0], order)
    }

    fn open_out_orders(&self, payee: PeerId) -> Stored<Vec<OutOrder>> {
        self.rows("SELECT * FROM out_orders WHERE payee = ? AND done = 0 ORDER BY id DESC", [payee.0], order)
    }

    fn begun_out_orders(&self, content: ContentId) -> Stored<Vec<OutOrder>> {
        let mut begun =
            self.rows("SELECT * FROM out_orders WHERE done = 0 AND sent > 0 ORDER BY id DESC", [], order)?;
        begun.retain(|order| order.quote.content.content == content);
        Ok(begun)
    }

    fn put_receipt(&self, receipt: &Signed<Receipt>) -> Stored<()> {
        let order = receipt.content.order;
        match self.run("UPDATE out_orders SET receipt = ? WHERE digest = ?", params![wire::encode(receipt), order.0])? {
            1 => Ok(()),
            _ => Err(StoreError::damaged("a receipt for no order")),
        }
    }

    fn receipt(&self, order: Digest) -> Stored<Option<Signed<Receipt>>> {
        let sql = "SELECT receipt FROM out_orders WHERE digest = ? AND receipt IS NOT NULL";
        self.row(sql, [order.0], |row| message(row, "receipt"))
    }
}
