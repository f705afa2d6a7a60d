//! What is locked: e-coins bought before a restore, and orders that a restored wallet does not go on with.

use netpay_protocol::ids::EcoinId;
use netpay_protocol::layout::Signed;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use rusqlite::params;

use super::{Tx, message};
use crate::ports::{Locking, Stored};

impl Locking for Tx<'_> {
    fn lock_ecoin(&self, ecoin: EcoinId) -> Stored<()> {
        self.run("UPDATE ecoins SET locked = 1 WHERE ecoin = ?", [ecoin.0]).map(|_| ())
    }

    fn keep_wordless(&self, touchstone: &Signed<Touchstone>) -> Stored<()> {
        self.run(
            "INSERT INTO wordless_ecoins (ecoin, touchstone) VALUES (?, ?) ON CONFLICT (ecoin) DO NOTHING",
            params![touchstone.content.ecoin.0, wire::encode(touchstone)],
        )
        .map(|_| ())
    }

    fn wordless_ecoins(&self) -> Stored<Vec<Signed<Touchstone>>> {
        self.rows("SELECT touchstone FROM wordless_ecoins ORDER BY ecoin", [], |row| message(row, "touchstone"))
    }

    fn end_out_orders(&self) -> Stored<()> {
        self.run(
            "UPDATE out_orders SET done = 1, pending = NULL, sent = paid WHERE done = 0 OR pending IS NOT NULL",
            [],
        )
        .map(|_| ())
    }
}
