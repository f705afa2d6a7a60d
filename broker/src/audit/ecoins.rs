//! E-coins: sold once, at their payer's word, with touchstones under a key of the broker's; refunded once, late enough.

use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::touchstone::Touchstone;

use super::books::{Account, Opened, Side};
use super::lives::PREPARED_MS;
use super::{Checked, Entry, holds, wrong};

/// How long after its `redeem_until` an e-coin may be refunded.
const GRACE_MS: u64 = DAY_MS;

impl Entry<'_> {
    pub(super) fn sell(
        &mut self,
        order: &Signed<BuyEcoins>,
        touchstones: &[Signed<Touchstone>],
        epoch: u32,
    ) -> Checked<()> {
        let buy = &order.content;
        holds(buy.broker == self.trust.broker, "a purchase is for another broker")?;
        self.asked_by(buy.payer, buy.request, buy.digest())?;
        self.alive(buy.valid_until_ms)?;
        let (account, opened) = self.opened(buy.payer)?;
        self.at_large(&account)?;
        holds(buy.worth() <= buy.most_debited_units, "a purchase costs more than its payer allowed")?;
        let count = u32::try_from(touchstones.len()) == Ok(buy.count);
        holds(count, "a purchase has another number of touchstones than was ordered")?;
        let (key, signed) = (opened.key, order.clone());
        self.proofs.owe(self.at.position, move || {
            signed.verify(&key).map(|_| ()).map_err(|_| "a purchase is not signed with its payer's key".into())
        });
        for touchstone in touchstones {
            let fits = self.fits(&touchstone.content, buy, &opened);
            fits.map_err(|wrong| wrong.about(&format!("the touchstone of e-coin {}", touchstone.content.ecoin)))?;
            self.prove_touchstone(touchstone)?;
            let new = self.books.sell(touchstone, epoch, self.at.position)?;
            holds(new, "an e-coin's id is sold a second time")?;
        }
        self.books.post(Side::Peer(buy.payer), Side::Escrow, buy.worth())?;
        let last = touchstones.iter().map(|t| t.content.redeem_until_ms).max().unwrap_or(0);
        self.redeemable_until(buy.payer, last)
    }

    /// That a touchstone is what was ordered, by whom, and when.
    fn fits(&self, t: &Touchstone, buy: &BuyEcoins, payer: &Opened) -> Checked<()> {
        let ordered = (t.broker, t.payer, t.suite, t.n, t.unit_value, t.guarantee)
            == (buy.broker, buy.payer, buy.suite, buy.n, buy.unit_value, buy.guarantee);
        holds(ordered, "is not what was ordered")?;
        holds(t.payer_key == payer.key, "does not hold its payer's key")?;
        holds(t.payer_opened_at_ms == payer.at_ms, "says that its payer's account was opened at another time")?;
        holds(t.issued_at_ms <= self.at.recorded_at_ms, "was issued after it was recorded")?;
        let prompt = self.at.recorded_at_ms.saturating_sub(t.issued_at_ms) <= PREPARED_MS;
        holds(prompt, "was issued more than a minute before it was recorded")?;
        holds(t.incarnation == self.at.incarnation, "is of another life of the broker")
    }

    /// Owes the proof that the broker signed it.
    pub(super) fn prove_touchstone(&mut self, touchstone: &Signed<Touchstone>) -> Checked<()> {
        let (key, signed) = (self.touchstone_key(&touchstone.content)?, touchstone.clone());
        self.proofs.owe(self.at.position, move || {
            let bad = |_| format!("the touchstone of e-coin {} is not signed by the broker", signed.content.ecoin);
            signed.verify(&key).map(|_| ()).map_err(bad)
        });
        Ok(())
    }

    fn touchstone_key(&self, t: &Touchstone) -> Checked<PublicKey> {
        self.trust.touchstone_key(t.kid, t.issued_at_ms, self.at.recorded_at_ms).ok_or_else(|| {
            wrong(format!(
                "the touchstone of e-coin {} is under key {}, which was not the broker's then",
                t.ecoin, t.kid
            ))
        })
    }

    /// That e-coins of this payer can be redeemed until then.
    pub(super) fn redeemable_until(&mut self, payer: PeerId, until_ms: u64) -> Checked<()> {
        let account = self.books.account(payer)?.unwrap_or_default();
        let last_redeem_ms = account.last_redeem_ms.max(until_ms);
        self.books.keep_account(payer, &Account { last_redeem_ms, ..account })
    }

    pub(super) fn expire(&mut self, ecoin: EcoinId, payer: PeerId, words: WordCount, refund: Units) -> Checked<()> {
        self.clock_is_right()?;
        self.reconciled()?;
        let sold = self.books.ecoin(ecoin)?.ok_or_else(|| wrong(format!("e-coin {ecoin} was never sold")))?;
        let t = &sold.touchstone.content;
        holds(!sold.expired, "an e-coin is refunded a second time")?;
        holds(payer == t.payer, "an e-coin is refunded to somebody else than its payer")?;
        let late = self.at.recorded_at_ms >= t.redeem_until_ms.saturating_add(GRACE_MS);
        holds(late, "an e-coin is refunded while it can still be redeemed")?;
        let left = WordCount(t.n.0).minus(sold.paid).ok_or_else(|| wrong("L4: more words are paid than were sold"))?;
        let due = (words, refund) == (left, left.worth(t.unit_value));
        holds(due, "a refund is not what is left of its e-coin")?;
        self.books.end(ecoin, self.at.recorded_at_ms)?;
        self.books.post(Side::Escrow, Side::Peer(payer), refund)
    }
}
