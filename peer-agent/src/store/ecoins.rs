//! E-coins of the wallet and the grants on them.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, PeerId, RequestId};
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::{Tx, grant_columns, message};
use crate::ports::{Coins, Ecoin, OwnGrant, Stored};

impl Tx<'_> {
    fn read_ecoin(&self, row: &Row<'_>) -> Stored<Ecoin> {
        let last: Vec<u8> = row.get("last")?;
        Ok(Ecoin {
            touchstone: message(row, "touchstone")?,
            last: self.opened_last(EcoinId(row.get("ecoin")?), &last)?,
            locked: row.get("locked")?,
        })
    }
}

fn grant(row: &Row<'_>) -> Stored<OwnGrant> {
    Ok(OwnGrant {
        ecoin: EcoinId(row.get("ecoin")?),
        payee: PeerId(row.get("payee")?),
        grant: grant_columns(row)?,
        through: PaywordIndex(row.get("through")?),
        acked: PaywordIndex(row.get("acked")?),
        acked_to: PaywordIndex(row.get("acked_after")?),
    })
}

impl Coins for Tx<'_> {
    fn add_ecoin(&self, ecoin: &Ecoin, bought_with: RequestId) -> Stored<bool> {
        let added = self.run(
            "INSERT INTO ecoins (ecoin, touchstone, last, locked, request) SELECT ?1, ?2, ?3, ?4, ?5 \
             WHERE NOT EXISTS (SELECT 1 FROM wordless_ecoins WHERE ecoin = ?1) ON CONFLICT (ecoin) DO NOTHING",
            params![
                ecoin.touchstone.content.ecoin.0,
                wire::encode(&ecoin.touchstone),
                self.sealed_last(ecoin.touchstone.content.ecoin, &ecoin.last),
                ecoin.locked,
                bought_with.0
            ],
        )?;
        Ok(added == 1)
    }

    fn ecoin(&self, id: EcoinId) -> Stored<Option<Ecoin>> {
        self.row("SELECT * FROM ecoins WHERE ecoin = ?", [id.0], |row| self.read_ecoin(row))
    }

    fn live_ecoins(&self) -> Stored<Vec<Ecoin>> {
        self.rows("SELECT * FROM ecoins WHERE live = 1 ORDER BY id", [], |row| self.read_ecoin(row))
    }

    fn all_ecoins(&self) -> Stored<Vec<Ecoin>> {
        self.rows("SELECT * FROM ecoins ORDER BY id", [], |row| self.read_ecoin(row))
    }

    fn grants(&self, ecoin: EcoinId) -> Stored<Vec<OwnGrant>> {
        self.rows("SELECT * FROM grants WHERE ecoin = ? ORDER BY first", [ecoin.0], grant)
    }

    fn put_grant(&self, own: &OwnGrant) -> Stored<()> {
        self.run(
            "INSERT OR REPLACE INTO grants \
             (ecoin, first, after, payee, pays_for, signature, through, acked, acked_after) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                own.ecoin.0,
                own.grant.from.0,
                own.grant.to.0,
                own.payee.0,
                own.grant.order.0,
                own.grant.signature.0,
                own.through.0,
                own.acked.0,
                own.acked_to.0
            ],
        )
        .map(|_| ())
    }

    fn retire_ecoin(&self, ecoin: EcoinId) -> Stored<()> {
        self.run("UPDATE ecoins SET live = 0 WHERE ecoin = ?", [ecoin.0]).map(|_| ())
    }
}
