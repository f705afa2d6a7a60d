//! What waits for the broker's answer: counted over purchases, payouts and batches.

use super::{Tx, uint};
use crate::ports::{StoreError, Stored, Waiting, Waits};

impl Waits for Tx<'_> {
    fn waiting(&self) -> Stored<Vec<Waiting>> {
        let of = |(what, sql): (&'static str, &str)| {
            let found = self.row(sql, [], |row| {
                Ok(Waiting { what, count: uint(row, "count")?, oldest_ms: uint(row, "oldest_ms")? })
            })?;
            found.ok_or_else(|| StoreError::damaged("a count without a row"))
        };
        [
            (
                "purchases",
                "SELECT count(*) AS count, coalesce(min(at_ms), 0) AS oldest_ms FROM purchases WHERE state = 'pending'",
            ),
            (
                "payouts",
                "SELECT count(*) AS count, coalesce(min(at_ms), 0) AS oldest_ms FROM payouts WHERE state = 'pending'",
            ),
            (
                "batches",
                "SELECT count(*) AS count, coalesce(min(at_ms), 0) AS oldest_ms FROM batches WHERE state = 'open'",
            ),
        ]
        .into_iter()
        .map(of)
        .collect()
    }
}
