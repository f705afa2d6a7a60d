//! Redemption batches and the statements that answered them.

use netpay_protocol::ids::RequestId;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{RedemptionBatch, Statement};
use netpay_protocol::wire;
use rusqlite::params;

use super::{Tx, int, message, uint};
use crate::ports::inbox::{Outbox, Published};
use crate::ports::{Batches, Stored};

impl Batches for Tx<'_> {
    fn open_batch(&self) -> Stored<Option<Signed<RedemptionBatch>>> {
        self.row("SELECT batch FROM batches WHERE state = 'open'", [], |row| message(row, "batch"))
    }

    fn add_batch(&self, batch: &Signed<RedemptionBatch>, now_ms: u64) -> Stored<()> {
        self.run(
            "INSERT INTO batches (request, batch, at_ms, state) VALUES (?, ?, ?, 'open')",
            params![batch.content.request.0, wire::encode(batch), int(now_ms)?],
        )
        .map(|_| ())
    }

    fn settle_batch(&self, statement: &Signed<Statement>) -> Stored<()> {
        self.run(
            "UPDATE batches SET state = 'settled', statement = ?, settled_ms = ? WHERE request = ? AND state = 'open'",
            params![wire::encode(statement), int(statement.content.issued_at_ms)?, statement.content.request.0],
        )
        .map(|_| ())
    }

    fn drop_batch(&self, request: RequestId) -> Stored<()> {
        self.run("UPDATE batches SET state = 'dropped' WHERE request = ? AND state = 'open'", [request.0]).map(|_| ())
    }

    fn batch(&self, request: RequestId) -> Stored<Option<Signed<RedemptionBatch>>> {
        self.row("SELECT batch FROM batches WHERE request = ?", [request.0], |row| message(row, "batch"))
    }

    fn statements(&self, limit: u32) -> Stored<Vec<Signed<Statement>>> {
        self.rows(
            "SELECT statement FROM batches WHERE state = 'settled' ORDER BY at_ms DESC, request LIMIT ?",
            [limit],
            |row| message(row, "statement"),
        )
    }

    fn statement(&self, request: RequestId) -> Stored<Option<(Signed<RedemptionBatch>, Signed<Statement>)>> {
        self.row("SELECT batch, statement FROM batches WHERE request = ? AND state = 'settled'", [request.0], |row| {
            Ok((message(row, "batch")?, message(row, "statement")?))
        })
    }
}

impl Outbox for Tx<'_> {
    fn mark_published(&self, request: RequestId, at_ms: u64) -> Stored<()> {
        self.run(
            "UPDATE batches SET published_ms = ? WHERE request = ? AND state = 'open' AND published_ms IS NULL",
            params![int(at_ms)?, request.0],
        )
        .map(|_| ())
    }

    fn published(&self) -> Stored<Option<Published>> {
        self.row(
            "SELECT request, published_ms FROM batches WHERE state = 'open' AND published_ms IS NOT NULL",
            [],
            |row| Ok(Published { request: RequestId(row.get("request")?), at_ms: uint(row, "published_ms")? }),
        )
    }
}
