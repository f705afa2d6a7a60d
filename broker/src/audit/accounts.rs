//! Accounts: opened with the keys that their id is made of, suspended and reinstated at an operator's word.

use netpay_ledger::command::DebtKey;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::register::Register;
use netpay_protocol::wire;

use super::books::{Account, Opened, Side};
use super::{Checked, Entry, holds, wrong};

impl Entry<'_> {
    pub(super) fn open(&mut self, peer: PeerId, register: &Signed<Register>, opened_at_ms: u64) -> Checked<()> {
        let mut account = self.books.account(peer)?.unwrap_or_default();
        holds(account.opened.is_none(), "an account is opened a second time")?;
        let key = register.content.signing_key;
        account.opened = Some(Opened { key, at_ms: opened_at_ms, register: wire::encode(register) });
        self.books.keep_account(peer, &account)?;
        let (broker, register) = (self.trust.broker, register.clone());
        self.proofs.owe(self.at.position, move || match register.check(broker) {
            Ok(id) if id == peer => Ok(()),
            Ok(_) => Err(format!("account {peer} is not opened with the key that its id is made of")),
            Err(error) => Err(format!("account {peer}: {error}")),
        });
        Ok(())
    }

    /// An account that was opened, with its keys.
    pub(super) fn opened(&self, peer: PeerId) -> Checked<(Account, Opened)> {
        let account = self.books.account(peer)?.unwrap_or_default();
        match account.opened.clone() {
            Some(opened) => Ok((account, opened)),
            None => Err(wrong(format!("account {peer} was never opened"))),
        }
    }

    /// That an account may take money out, or buy.
    pub(super) fn at_large(&self, account: &Account) -> Checked<()> {
        holds(account.suspended_ms.is_none(), "a suspended account bought, or was paid out")?;
        holds(account.debt == 0, "an account in debt bought, or was paid out")
    }

    fn known(&self, peer: PeerId) -> Checked<Account> {
        self.books.account(peer)?.ok_or_else(|| wrong(format!("there is no account {peer}")))
    }

    pub(super) fn deposit(
        &mut self,
        peer: PeerId,
        amount: Units,
        reference: &str,
        order: &Signed<Admin>,
    ) -> Checked<()> {
        let said = self.order(order)?;
        let same = said == Order::Credit { peer, amount, reference: reference.into() };
        holds(same, "a deposit is not what the operator ordered")?;
        holds(amount > Units::ZERO, "a deposit of nothing")?;
        let once = self.books.deposit(reference, peer, amount, self.at.position)?;
        holds(once, "a deposit's reference was credited before")?;
        self.books.post(Side::Outside, Side::Peer(peer), amount)?;
        self.books.check_room()
    }

    pub(super) fn suspend(&mut self, peer: PeerId, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        let same = matches!(said, Order::Suspend { peer: ordered, .. } if ordered == peer);
        holds(same, "a suspension is not what the operator ordered")?;
        self.suspended_now(peer)
    }

    /// Suspends an account that is at large.
    pub(super) fn suspended_now(&mut self, peer: PeerId) -> Checked<()> {
        let account = self.known(peer)?;
        holds(account.suspended_ms.is_none(), "an account is suspended a second time")?;
        self.books.keep_account(peer, &Account { suspended_ms: Some(self.at.recorded_at_ms), ..account })
    }

    pub(super) fn reinstate(&mut self, peer: PeerId, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        let same = matches!(said, Order::Reinstate { peer: ordered, .. } if ordered == peer);
        holds(same, "a reinstatement is not what the operator ordered")?;
        let account = self.known(peer)?;
        holds(account.suspended_ms.is_some(), "an account is reinstated that was not suspended")?;
        holds(account.debt == 0, "an account in debt is reinstated")?;
        self.books.keep_account(peer, &Account { suspended_ms: None, ..account })
    }

    /// A debt is paid as far as the balance goes, and not before the debtor's last e-coin is past redeeming. What the
    /// operator lent it may take back before, from who is not suspended.
    pub(super) fn settle_debt(&mut self, debt: &DebtKey, amount: Units, order: &Signed<Admin>) -> Checked<()> {
        let said = self.order(order)?;
        let DebtKey { debtor, creditor, ecoin } = *debt;
        holds(
            said == Order::SettleDebt { debtor, creditor, ecoin },
            "a debt is settled that the operator did not name",
        )?;
        self.clock_is_right()?;
        self.reconciled()?;
        let (open, account) = (self.books.debt(debt)?, self.known(debtor)?);
        let lent = creditor == PeerId::OPERATOR;
        let after = self.at.recorded_at_ms > account.last_redeem_ms || (lent && account.suspended_ms.is_none());
        holds(after, "a debt is settled while e-coins of the debtor can still be redeemed")?;
        let due = amount > Units::ZERO && amount.0 == open.min(account.balance);
        holds(due, "a debt is settled with another amount than is open and there")?;
        self.books.post(Side::Peer(debtor), if lent { Side::Outside } else { Side::Peer(creditor) }, amount)?;
        self.books.owe(debt, open - amount.0)
    }
}
