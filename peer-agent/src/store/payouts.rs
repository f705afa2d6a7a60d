//! Payouts: what was asked of the broker, kept before it was sent, and the broker's last word on each.

use netpay_protocol::ids::RequestId;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutView, RequestPayout};
use netpay_protocol::wire;
use rusqlite::{Row, params};

use super::purchases::{name, state};
use super::{Tx, int, message, uint};
use crate::ports::{OwnPayout, Payouts, PurchaseState, Stored};

fn payout(row: &Row<'_>) -> Stored<OwnPayout> {
    let held = |column| Ok::<_, crate::ports::StoreError>(row.get::<_, Option<Vec<u8>>>(column)?.is_some());
    Ok(OwnPayout {
        request: RequestId(row.get("request")?),
        order: if held("message")? { Some(message(row, "message")?) } else { None },
        at_ms: uint(row, "at_ms")?,
        state: state(row)?,
        why: row.get("why")?,
        view: if held("view")? { Some(message(row, "view")?) } else { None },
    })
}

impl Payouts for Tx<'_> {
    fn add_payout(&self, payout: &Signed<RequestPayout>, now_ms: u64) -> Stored<()> {
        self.run(
            "INSERT INTO payouts (request, message, at_ms, state) VALUES (?, ?, ?, 'pending')",
            params![payout.content.request.0, wire::encode(payout), int(now_ms)?],
        )
        .map(|_| ())
    }

    fn payouts(&self) -> Stored<Vec<OwnPayout>> {
        self.rows("SELECT * FROM payouts ORDER BY at_ms DESC, request", [], payout)
    }

    fn payout(&self, request: RequestId) -> Stored<Option<OwnPayout>> {
        self.row("SELECT * FROM payouts WHERE request = ?", [request.0], payout)
    }

    fn mark_payout(&self, request: RequestId, state: PurchaseState, why: &str) -> Stored<()> {
        self.run(
            "UPDATE payouts SET state = ?, why = ? WHERE request = ? AND state != 'done'",
            params![name(state), why, request.0],
        )
        .map(|_| ())
    }

    fn put_payout_view(&self, view: &PayoutView) -> Stored<()> {
        self.run(
            "INSERT INTO payouts (request, at_ms, state, view) VALUES (?1, ?2, 'done', ?3) \
             ON CONFLICT (request) DO UPDATE SET state = 'done', view = ?3",
            params![view.request.0, int(view.requested_at_ms)?, wire::encode(view)],
        )
        .map(|_| ())
    }
}
