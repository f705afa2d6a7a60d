//! The rows that a group of commands needs, loaded from storage, changed in memory, written back together.
//!
//! Commands of a group see each other's changes. Asking for a row that nobody loaded is a defect, and stops the program:
//! taking "not loaded" for "not there" would pay a word twice.

use std::collections::BTreeMap;

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::runs::Run;
use netpay_protocol::wire;

use crate::command::DebtKey;
use crate::rows::{
    AccountRow, ConflictRow, DebtRow, EcoinRow, ExpiryRow, OwnedRow, PayoutRow, ReferenceRow, RequestRow, Row, RunRow,
    SuspendedRow, Table, Totals,
};

/// One table's loaded rows.
#[derive(Clone, Debug)]
pub struct Loaded<R: Row> {
    slots: BTreeMap<R::Key, Slot<R>>,
}

#[derive(Clone, Debug)]
struct Slot<R> {
    row: Option<R>,
    changed: bool,
}

impl<R: Row> Default for Loaded<R> {
    fn default() -> Self {
        Self { slots: BTreeMap::new() }
    }
}

impl<R: Row> Loaded<R> {
    /// Takes in what storage says, unless the row is here already (and may have changed).
    pub fn load(&mut self, key: R::Key, row: Option<R>) {
        self.slots.entry(key).or_insert(Slot { row, changed: false });
    }

    /// Whether storage was asked for it.
    pub fn is_loaded(&self, key: &R::Key) -> bool {
        self.slots.contains_key(key)
    }

    /// The row, if there is one. Panics if it was not loaded.
    pub fn get(&self, key: &R::Key) -> Option<&R> {
        self.slots.get(key).expect("a row is loaded before it is used").row.as_ref()
    }

    /// Writes a row.
    pub fn put(&mut self, key: R::Key, row: R) {
        self.slots.insert(key, Slot { row: Some(row), changed: true });
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: R::Key) {
        self.slots.insert(key, Slot { row: None, changed: true });
    }

    fn range(&self, keys: std::ops::RangeInclusive<R::Key>) -> impl DoubleEndedIterator<Item = (&R::Key, &R)> {
        self.slots.range(keys).filter_map(|(key, slot)| slot.row.as_ref().map(|row| (key, row)))
    }

    fn changes(&self, changes: &mut Vec<Change>) {
        changes.extend(self.slots.iter().filter(|(_, slot)| slot.changed).map(|(key, slot)| Change {
            table: R::TABLE,
            key: R::key(key),
            value: slot.row.as_ref().map(wire::encode),
        }));
    }
}

/// One row to be written (or deleted).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Where.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its bytes; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// The working set of a group of commands.
#[derive(Clone, Debug, Default)]
pub struct WorkingSet {
    /// Accounts.
    pub accounts: Loaded<AccountRow>,
    /// E-coins.
    pub ecoins: Loaded<EcoinRow>,
    /// Runs; for the e-coins and words that somebody asked for.
    pub runs: Loaded<RunRow>,
    /// Conflicts; all of an e-coin or none.
    pub conflicts: Loaded<ConflictRow>,
    /// Debts.
    pub debts: Loaded<DebtRow>,
    /// Outcomes of requests.
    pub requests: Loaded<RequestRow>,
    /// Deposits' references.
    pub references: Loaded<ReferenceRow>,
    /// Suspended peers.
    pub suspended: Loaded<SuspendedRow>,
    /// Who holds which e-coins; only written here, never asked.
    pub owned: Loaded<OwnedRow>,
    /// What can be refunded when; only written here, never asked.
    pub expiry: Loaded<ExpiryRow>,
    /// Payouts.
    pub payouts: Loaded<PayoutRow>,
    /// Totals and head.
    pub totals: Totals,
    /// Grants of runs that a claim may conflict with, by e-coin and first word.
    pub grants: BTreeMap<(EcoinId, PaywordIndex), Grant>,
}

impl WorkingSet {
    /// An empty ledger.
    pub fn new(totals: Totals) -> Self {
        Self { totals, ..Self::default() }
    }

    /// The paid runs that share a word with `run`, in order.
    pub fn runs_meeting(&self, ecoin: EcoinId, run: Run) -> Vec<(Run, RunRow)> {
        let whole = (ecoin, PaywordIndex(0))..=(ecoin, run.through);
        let mut meeting: Vec<_> = self
            .runs
            .range(whole)
            .rev()
            .map(|((_, from), row)| (Run { from: *from, through: row.through }, *row))
            .take_while(|(paid, _)| paid.meet(&run).is_some())
            .collect();
        meeting.reverse();
        meeting
    }

    /// How many payees this e-coin was double spent with, and whether this one is among them.
    pub fn conflicts_of(&self, ecoin: EcoinId, payee: PeerId) -> (usize, bool) {
        let all = (ecoin, PeerId([0; 16]))..=(ecoin, PeerId([0xff; 16]));
        let payees: Vec<_> = self.conflicts.range(all).map(|((_, payee), _)| *payee).collect();
        (payees.len(), payees.contains(&payee))
    }

    /// What is still open of this debt.
    pub fn debt(&self, key: &DebtKey) -> Option<&DebtRow> {
        self.debts.get(key)
    }

    /// A payout that is neither settled nor failed.
    pub fn open_payout(&self, key: &PayoutKey) -> Option<&PayoutRow> {
        self.payouts.get(key).filter(|row| row.state == PayoutState::Requested)
    }

    /// Every row that changed, and the totals.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.accounts.changes(&mut changes);
        self.ecoins.changes(&mut changes);
        self.runs.changes(&mut changes);
        self.conflicts.changes(&mut changes);
        self.debts.changes(&mut changes);
        self.requests.changes(&mut changes);
        self.references.changes(&mut changes);
        self.suspended.changes(&mut changes);
        self.owned.changes(&mut changes);
        self.expiry.changes(&mut changes);
        self.payouts.changes(&mut changes);
        changes.push(Change { table: Table::Meta, key: Totals::key(&()), value: Some(wire::encode(&self.totals)) });
        changes
    }
}
