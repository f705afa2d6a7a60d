//! The till: e-coins it was paid with, and the claims on them.

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::redemption::Verdict;
use netpay_protocol::suite::Payword;
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::{Tx, grant_columns, int, message, uint};
use crate::ports::{StoreError, Stored, Till, TillClaim, TillEcoin};

fn claim(row: &Row<'_>) -> Stored<TillClaim> {
    let lost: Option<u8> = row.get("lost")?;
    Ok(TillClaim {
        ecoin: EcoinId(row.get("ecoin")?),
        grant: grant_columns(row)?,
        through: PaywordIndex(row.get("through")?),
        word: Payword::unchecked(row.get("word")?),
        settled: PaywordIndex(row.get("settled")?),
        conflicting: WordCount(row.get("conflicting")?),
        lost: lost.and_then(|number| Verdict::ALL.into_iter().find(|v| v.number() == number)),
        since_ms: uint(row, "since_ms")?,
        again: row.get("again")?,
    })
}

impl Till for Tx<'_> {
    fn till_ecoin(&self, ecoin: EcoinId) -> Stored<Option<TillEcoin>> {
        self.row("SELECT * FROM till_ecoins WHERE ecoin = ?", [ecoin.0], |row| {
            Ok(TillEcoin {
                touchstone: message(row, "touchstone")?,
                high: PaywordIndex(row.get("high")?),
                high_word: Payword::unchecked(row.get("high_word")?),
                unknown: row.get("unknown")?,
            })
        })
    }

    fn put_till_ecoin(&self, ecoin: &TillEcoin) -> Stored<()> {
        let touchstone = &ecoin.touchstone.content;
        self.run(
            "INSERT INTO till_ecoins (ecoin, payer, unit_value, touchstone, high, high_word, unknown) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (ecoin) DO UPDATE SET high = ?5, high_word = ?6, unknown = ?7",
            params![
                touchstone.ecoin.0,
                touchstone.payer.0,
                touchstone.unit_value.0,
                wire::encode(&ecoin.touchstone),
                ecoin.high.0,
                ecoin.high_word.bytes(),
                ecoin.unknown
            ],
        )
        .map(|_| ())
    }

    fn claims(&self, ecoin: EcoinId) -> Stored<Vec<TillClaim>> {
        self.rows("SELECT * FROM claims WHERE ecoin = ? ORDER BY first", [ecoin.0], claim)
    }

    fn put_claim(&self, claim: &TillClaim) -> Stored<()> {
        self.run(
            "INSERT INTO claims \
             (ecoin, first, after, pays_for, signature, through, word, settled, conflicting, lost, since_ms, again) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (ecoin, first) DO UPDATE SET \
             after = ?3, signature = ?5, through = ?6, word = ?7, settled = ?8, conflicting = ?9, lost = ?10, \
             since_ms = ?11, again = ?12",
            params![
                claim.ecoin.0,
                claim.grant.from.0,
                claim.grant.to.0,
                claim.grant.order.0,
                claim.grant.signature.0,
                claim.through.0,
                claim.word.bytes(),
                claim.settled.0,
                claim.conflicting.0,
                claim.lost.map(Verdict::number),
                int(claim.since_ms)?,
                claim.again
            ],
        )
        .map(|_| ())
    }

    fn exposure(&self, payer: PeerId) -> Stored<(Units, Units)> {
        // Words under two grants are counted twice here: on the safe side.
        let sums: Option<(i64, i64)> = self.row(
            "SELECT coalesce(sum((c.through - c.settled) * e.unit_value) FILTER (WHERE e.payer = ?), 0), \
             coalesce(sum((c.through - c.settled) * e.unit_value), 0) \
             FROM claims c INDEXED BY claims_to_settle JOIN till_ecoins e ON e.ecoin = c.ecoin \
             WHERE (c.through > c.settled OR c.again = 1) AND c.lost IS NULL AND c.through > c.settled",
            [payer.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let units = |sum: i64| u64::try_from(sum).map(Units).map_err(|_| StoreError::damaged("a sum below zero"));
        let (from_payer, in_all) = sums.unwrap_or((0, 0));
        Ok((units(from_payer)?, units(in_all)?))
    }

    fn double_spent(&self, payer: PeerId) -> Stored<bool> {
        let found = self.row(
            "SELECT 1 FROM till_ecoins e JOIN claims c ON c.ecoin = e.ecoin \
             WHERE e.payer = ? AND c.conflicting > 0 LIMIT 1",
            [payer.0],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn claims_after(&self, after: i64, settled_too: bool, limit: u32) -> Stored<Vec<(i64, TillClaim)>> {
        let sql = if settled_too {
            "SELECT * FROM claims WHERE id > ? ORDER BY id LIMIT ?"
        } else {
            "SELECT * FROM claims WHERE id > ? AND (through > settled OR again = 1) AND lost IS NULL ORDER BY id LIMIT ?"
        };
        self.rows(sql, params![after, limit], |row| Ok((row.get("id")?, claim(row)?)))
    }
}
