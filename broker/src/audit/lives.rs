//! The lives of the broker: a restored backup, the e-coins that come back after it, other keys, and a clock in doubt.

use netpay_ledger::command::DebtKey;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::redemption::Head;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;

use super::books::{Opened, Side};
use super::{Checked, Entry, holds, wrong};

/// How long before its record a touchstone may have been made: what a backup does not know was issued at most so long
/// before the backup's last record.
pub(super) const PREPARED_MS: u64 = 60_000;
/// Keys that one account may have given up.
const MOST_FORMER: usize = 16;

/// What all of the ledger stands in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// Nothing in the first one.
    pub(super) incarnation: Option<u64>,
    /// The last record of the backup that it began with, and its time, until that is reconciled.
    pub(super) restored: Option<(Head, u64)>,
    /// The newest list of the broker's keys in the log: where, and its incarnation and number.
    pub(super) keys: Option<(u64, u64, u64)>,
    pub(super) clock_doubted_ms: Option<u64>,
}

impl Entry<'_> {
    /// That no restored backup waits to be gone through.
    pub(super) fn reconciled(&self) -> Checked<()> {
        let through = self.books.life.restored.is_none();
        holds(through, "money moved while a restored backup was not reconciled: a payout, a refund or a debt")
    }

    /// That what waits for a time did not go on while the time was in doubt.
    pub(super) fn clock_is_right(&self) -> Checked<()> {
        let right = self.books.life.clock_doubted_ms.is_none();
        holds(right, "a refund or a settled debt while the clock was in doubt")
    }

    /// The chain has seen to it that this is the backup's end.
    pub(super) fn begin_life(&mut self, incarnation: u64, head: Head, head_at_ms: u64) -> Checked<()> {
        holds(self.at.request.is_none(), "a restored backup is nobody's request")?;
        self.books.life.incarnation = Some(incarnation);
        // What was lost before this backup, too, may still come back.
        let before_ms = self.books.life.restored.map(|(_, since_ms)| since_ms);
        self.books.life.restored = Some((head, before_ms.map_or(head_at_ms, |before_ms| before_ms.min(head_at_ms))));
        Ok(())
    }

    pub(super) fn reconcile(&mut self, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        holds(matches!(said, Order::Reconcile { .. }), "a ledger is reconciled otherwise than the operator ordered")?;
        holds(self.books.life.restored.take().is_some(), "a ledger is reconciled that was not restored")
    }

    pub(super) fn doubt_clock(&mut self) -> Checked<()> {
        holds(self.at.request.is_none(), "a doubt about the clock is nobody's request")?;
        holds(self.books.life.clock_doubted_ms.is_none(), "the clock comes in doubt a second time")?;
        self.books.life.clock_doubted_ms = Some(self.at.recorded_at_ms);
        Ok(())
    }

    pub(super) fn confirm_clock(&mut self, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        holds(matches!(said, Order::ConfirmClock { .. }), "a clock is confirmed otherwise than the operator ordered")?;
        holds(self.books.life.clock_doubted_ms.take().is_some(), "a clock is confirmed that was not in doubt")
    }

    /// A list that the root signed is as good as the one that was given; the newest counts.
    pub(super) fn rotate_broker(&mut self, list: &SignedKeyList) -> Checked<()> {
        let keys = list.verify(self.trust.broker).map_err(|error| wrong(error.to_string()))?;
        let (incarnation, seq) = (keys.list().incarnation, keys.list().seq);
        let newer = self.books.life.keys.is_none_or(|(_, i, s)| (i, s) < (incarnation, seq));
        holds(newer, "a list of the broker's keys is not newer than the one recorded before")?;
        self.books.life.keys = Some((self.at.position, incarnation, seq));
        if keys.is_newer_than(&self.trust.keys) {
            self.trust.keys = keys;
        }
        Ok(())
    }

    /// Signed with the key until then, and the new key has signed that it is its own.
    pub(super) fn rotate_peer(&mut self, order: &Signed<RotateKeys>, register: &Signed<Register>) -> Checked<()> {
        let rotate = &order.content;
        holds(rotate.broker == self.trust.broker, "a rotation is for another broker")?;
        self.asked_by(rotate.peer, rotate.request, rotate.digest())?;
        self.alive(rotate.valid_until_ms)?;
        let (mut account, opened) = self.opened(rotate.peer)?;
        let (before, key) = (opened.key, register.content.signing_key);
        let (signed, new) = (order.clone(), register.clone());
        self.proofs.owe(self.at.position, move || {
            let peer = signed.content.peer;
            signed.check(&new).map_err(|error| format!("the new keys of account {peer}: {error}"))?;
            let bad = |_| format!("a rotation of account {peer} is not signed with the key that it had until then");
            signed.verify(&before).map(|_| ()).map_err(bad)
        });
        holds(!account.former.contains(&key), "an account rotates to a key that it gave up before")?;
        if key != before {
            account.former.push(before);
            holds(account.former.len() <= MOST_FORMER, "an account rotates its key more often than it may")?;
        }
        account.opened = Some(Opened { key, register: wire::encode(register), ..opened });
        self.books.keep_account(rotate.peer, &account)
    }

    /// An e-coin that the backup did not know: sold in an earlier life, after the backup, and still to be redeemed. Its
    /// payer pays what it can, the operator lends the rest.
    pub(super) fn restore(
        &mut self,
        touchstone: &Signed<Touchstone>,
        epoch: u32,
        debited: Units,
        lent: Units,
    ) -> Checked<()> {
        let (t, now_ms) = (&touchstone.content, self.at.recorded_at_ms);
        let none = || wrong("is restored, but no backup waits to be reconciled");
        let (_, head_at_ms) = self.books.life.restored.ok_or_else(none)?;
        holds(self.at.request.is_none(), "is restored at somebody's request")?;
        holds(t.broker == self.trust.broker, "is restored, but is another broker's")?;
        holds(t.incarnation < self.at.incarnation, "is restored, but is not of an earlier life")?;
        let after = t.issued_at_ms.saturating_add(PREPARED_MS) >= head_at_ms;
        holds(after, "is restored, but the backup is younger")?;
        holds(now_ms < t.redeem_until_ms, "is restored, but can no longer be redeemed")?;
        self.prove_touchstone(touchstone)?;
        let new = self.books.sell(touchstone, epoch, self.at.position)?;
        holds(new, "is restored, but is there")?;
        let balance = self.books.account(t.payer)?.map_or(0, |account| account.balance);
        let due = t.worth().0.min(balance);
        let right = (debited.0, lent.0) == (due, t.worth().0 - due);
        holds(right, "is restored for other amounts than its payer has and its worth calls for")?;
        self.books.post(Side::Peer(t.payer), Side::Escrow, debited)?;
        self.books.post(Side::Outside, Side::Escrow, lent)?;
        self.books.check_room()?;
        if lent > Units::ZERO {
            let debt = DebtKey { debtor: t.payer, creditor: PeerId::OPERATOR, ecoin: t.ecoin };
            self.books.owe(&debt, lent.0)?;
        }
        self.redeemable_until(t.payer, t.redeem_until_ms)
    }
}
