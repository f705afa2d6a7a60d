//! Purchases: what was ordered of the broker, kept before it was sent.

use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::RequestId;
use netpay_protocol::layout::Signed;
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::{Tx, int, message};
use crate::ports::{PurchaseState, Purchases, StoreError, Stored};

/// How a state is written.
pub(super) fn name(state: PurchaseState) -> &'static str {
    match state {
        PurchaseState::Pending => "pending",
        PurchaseState::Done => "done",
        PurchaseState::Refused => "refused",
        PurchaseState::Dropped => "dropped",
    }
}

/// What is written, read back.
pub(super) fn state(row: &Row<'_>) -> Stored<PurchaseState> {
    let state: String = row.get("state")?;
    [PurchaseState::Pending, PurchaseState::Done, PurchaseState::Refused, PurchaseState::Dropped]
        .into_iter()
        .find(|known| name(*known) == state)
        .ok_or_else(|| StoreError::damaged("a purchase's or payout's state"))
}

impl Purchases for Tx<'_> {
    fn add_purchase(&self, buy: &Signed<BuyEcoins>, now_ms: u64) -> Stored<()> {
        self.run(
            "INSERT INTO purchases (request, message, at_ms, state) VALUES (?, ?, ?, 'pending')",
            params![buy.content.request.0, wire::encode(buy), int(now_ms)?],
        )
        .map(|_| ())
    }

    fn purchases(&self, state: PurchaseState) -> Stored<Vec<Signed<BuyEcoins>>> {
        self.rows("SELECT message FROM purchases WHERE state = ? ORDER BY at_ms, request", [name(state)], |row| {
            message(row, "message")
        })
    }

    fn purchase_state(&self, request: RequestId) -> Stored<Option<PurchaseState>> {
        self.row("SELECT state FROM purchases WHERE request = ?", [request.0], state)
    }

    fn mark_purchase(&self, request: RequestId, state: PurchaseState, why: &str) -> Stored<()> {
        self.run(
            "UPDATE purchases SET state = ?, why = ? WHERE request = ? AND state != 'done'",
            params![name(state), why, request.0],
        )
        .map(|_| ())
    }
}
