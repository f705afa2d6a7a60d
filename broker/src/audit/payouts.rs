//! Payouts: asked for under the key that the account had then, and ended once.

use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use rusqlite::{OptionalExtension as _, params};

use super::books::{Books, Side, int, number};
use super::{Checked, Entry, holds};

impl Entry<'_> {
    pub(super) fn request_payout(&mut self, order: &Signed<RequestPayout>) -> Checked<()> {
        let payout = &order.content;
        holds(payout.broker == self.trust.broker, "a payout is for another broker")?;
        self.asked_by(payout.peer, payout.request, payout.digest())?;
        self.alive(payout.valid_until_ms)?;
        self.reconciled()?;
        let (account, opened) = self.opened(payout.peer)?;
        self.at_large(&account)?;
        let signed = order.clone();
        self.proofs.owe(self.at.position, move || {
            let peer = signed.content.peer;
            let bad = |_| format!("a payout of account {peer} is not signed with the key that it had then");
            signed.verify(&opened.key).map(|_| ()).map_err(bad)
        });
        self.books.post(Side::Peer(payout.peer), Side::Outside, payout.amount_units)?;
        self.books.begin_payout(payout, self.at.position, self.at.recorded_at_ms)
    }

    pub(super) fn settle_payout(&mut self, payout: PayoutKey, reference: &str, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        let same = said == Order::SettlePayout { payout, reference: reference.into() };
        holds(same, "a payout is settled that the operator did not name")?;
        self.reconciled()?;
        self.books.end_payout(&payout, true, reference, self.at.recorded_at_ms).map(|_| ())
    }

    pub(super) fn fail_payout(
        &mut self,
        payout: PayoutKey,
        amount: Units,
        reason: &str,
        order: &Signed<Admin>,
    ) -> Checked<()> {
        let said = self.order(order)?;
        let same = said == Order::FailPayout { payout, reason: reason.into() };
        holds(same, "a payout is given back that the operator did not name")?;
        self.reconciled()?;
        let took = self.books.end_payout(&payout, false, reason, self.at.recorded_at_ms)?;
        holds(amount == took, "a payout gives back another amount than it took")?;
        self.books.post(Side::Outside, Side::Peer(payout.peer), amount)
    }
}

impl Books {
    /// Its request is new: L6 says so.
    fn begin_payout(&mut self, payout: &RequestPayout, position: u64, at_ms: u64) -> Checked<()> {
        self.db.prepare_cached("INSERT INTO payout VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, NULL, ?6)")?.execute(
            params![
                payout.peer.0,
                payout.request.0,
                int(payout.amount_units.0),
                payout.destination,
                int(at_ms),
                int(position)
            ],
        )?;
        self.sums.payouts = Some(self.sums.payouts.unwrap_or(0).saturating_add(payout.amount_units.0));
        Ok(())
    }

    /// Ends an open payout. What it took.
    fn end_payout(&mut self, payout: &PayoutKey, settled: bool, said: &str, at_ms: u64) -> Checked<Units> {
        let mut update = self.db.prepare_cached(
            "UPDATE payout SET settled = ?3, said = ?4, ended_ms = ?5
             WHERE peer = ?1 AND request = ?2 AND ended_ms IS NULL RETURNING amount",
        )?;
        let key = params![payout.peer.0, payout.request.0, settled, said, int(at_ms)];
        let open = update.query_row(key, |row| number(row, 0)).optional()?;
        holds(open.is_some(), "a payout ends that is not open")?;
        let amount = open.unwrap_or(0);
        self.sums.payouts = self.sums.payouts.map(|sum| sum.saturating_sub(amount));
        Ok(Units(amount))
    }
}
