//! Loading a working set, in two rounds: what commands name, then what those rows name.

use std::collections::{BTreeMap, BTreeSet};

use netpay_protocol::admin::DoubleSpendKey;
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::touchstone::Touchstone;

use crate::command::{Action, Command, DebtKey, Request};
use crate::decide::redeem::is_new;
use crate::event::{Event, RedeemedClaim};
use crate::record::Record;
use crate::rows::{Row, RunRow, Table, Totals};
use crate::verify::CheckedClaim;
use crate::working_set::WorkingSet;

/// Where rows come from: a snapshot of storage, or memory.
pub trait Rows {
    /// What can go wrong there.
    type Error;

    /// The row with this key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The rows with `from` ≤ key ≤ `to`, in order.
    #[allow(clippy::type_complexity)]
    fn range(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Self::Error>;

    /// The last row with key ≤ `key`.
    #[allow(clippy::type_complexity)]
    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Self::Error>;

    /// The bytes of a record.
    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, Self::Error>;

    /// What to say of bytes that are not what they should be.
    fn corrupt(what: &str) -> Self::Error;
}

/// Reads one row.
pub fn row<R: Row, S: Rows>(rows: &S, key: &R::Key) -> Result<Option<R>, S::Error> {
    rows.get(R::TABLE, &R::key(key))?.map(|bytes| decode::<R, S>(&bytes)).transpose()
}

/// Reads one record.
pub fn record<S: Rows>(rows: &S, position: u64) -> Result<Option<Record>, S::Error> {
    let read = |bytes: Vec<u8>| minicbor::decode(&bytes).map_err(|_| S::corrupt("record"));
    rows.record(position)?.map(read).transpose()
}

/// The evidence of a double spend recorded at `position`.
pub fn double_spend<S: Rows>(
    rows: &S,
    key: DoubleSpendKey,
    position: u64,
) -> Result<Option<crate::event::DoubleSpend>, S::Error> {
    let events = record(rows, position)?.map(|record| record.events).unwrap_or_default();
    Ok(events.into_iter().find_map(|event| match event {
        Event::DoubleSpendDetected(found)
            if found.touchstone.content.ecoin == key.ecoin && found.payee == key.payee =>
        {
            Some(*found)
        }
        _ => None,
    }))
}

fn decode<R: Row, S: Rows>(bytes: &[u8]) -> Result<R, S::Error> {
    minicbor::decode(bytes).map_err(|_| S::corrupt(R::TABLE.name()))
}

/// The totals, or those of an empty ledger.
pub fn totals<S: Rows>(rows: &S) -> Result<Totals, S::Error> {
    Ok(row::<Totals, S>(rows, &())?.unwrap_or_default())
}

/// What one command or event needs.
#[derive(Default, Debug)]
struct Needs {
    requests: Vec<Request>,
    accounts: BTreeSet<PeerId>,
    ecoins: BTreeSet<EcoinId>,
    runs: Vec<(EcoinId, Run)>,
    debts: BTreeSet<DebtKey>,
    references: BTreeSet<String>,
    payouts: BTreeSet<PayoutKey>,
    /// Whose claims may conflict with whom: loads the other's grants, the e-coin's conflicts, and its payer.
    claims_of: Vec<(EcoinId, Run, PeerId)>,
    /// E-coins whose payers get something.
    payers_of: Vec<EcoinId>,
}

/// Loads what these commands need.
pub fn for_commands<'a, S: Rows>(
    rows: &S,
    commands: impl IntoIterator<Item = &'a Command>,
) -> Result<WorkingSet, S::Error> {
    let mut needs = Needs::default();
    for command in commands {
        needs.command(command);
    }
    needs.load(rows)
}

/// Loads what applying these records needs.
pub fn for_records<'a, S: Rows>(
    rows: &S,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<WorkingSet, S::Error> {
    let mut needs = Needs::default();
    for record in records {
        needs.requests.extend(record.request);
        record.events.iter().for_each(|event| needs.event(event));
    }
    needs.load(rows)
}

impl Needs {
    fn command(&mut self, command: &Command) {
        self.requests.extend(command.request);
        match &command.action {
            Action::BuyEcoins { order, touchstones, .. } => {
                self.accounts.insert(order.content.payer);
                self.ecoins.extend(touchstones.iter().map(|t| t.content.ecoin));
            }
            Action::RedeemBatch { payee, claims, .. } => {
                self.accounts.insert(*payee);
                for claim in claims {
                    self.ecoins.insert(claim.ecoin());
                    if let CheckedClaim::Proven(proven) = claim {
                        self.claims_of.push((claim.ecoin(), proven.run(), *payee));
                    }
                }
            }
            Action::CreditFunds { peer, reference, .. } => {
                self.accounts.insert(*peer);
                self.references.insert(reference.clone());
            }
            Action::SuspendAccount { peer, .. } | Action::ReinstateAccount { peer, .. } => {
                self.accounts.insert(*peer);
            }
            Action::SettleDebt { debt, .. } => self.debt(debt),
            Action::RequestPayout { order, .. } => self.payout(&order.content.key()),
            Action::SettlePayout { payout, .. } | Action::FailPayout { payout, .. } => self.payout(payout),
            Action::ExpireEcoins { ecoins } => {
                self.ecoins.extend(ecoins);
                self.payers_of.extend(ecoins);
            }
            Action::RestoreEcoins { ecoins } => ecoins.iter().for_each(|(touchstone, _)| self.restored(touchstone)),
            Action::RotatePeerKeys(rotation) => {
                self.accounts.insert(rotation.order().content.peer);
            }
            Action::RotateBrokerKeys { .. }
            | Action::Reconcile { .. }
            | Action::DoubtClock
            | Action::ConfirmClock { .. } => {}
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::AccountOpened { peer, .. }
            | Event::AccountSuspended { peer, .. }
            | Event::AccountReinstated { peer, .. } => {
                self.accounts.insert(*peer);
            }
            Event::FundsCredited { peer, reference, .. } => {
                self.accounts.insert(*peer);
                self.references.insert(reference.clone());
            }
            Event::EcoinsIssued { order, touchstones, .. } => {
                self.accounts.insert(order.content.payer);
                self.ecoins.extend(touchstones.iter().map(|t| t.content.ecoin));
            }
            Event::BatchRedeemed { payee, claims } => {
                self.accounts.insert(*payee);
                for claim in claims {
                    if let RedeemedClaim::Settled(claim) = claim {
                        self.ecoins.insert(claim.ecoin);
                        self.runs.extend(claim.credited.iter().map(|run| (claim.ecoin, *run)));
                    }
                }
            }
            Event::DoubleSpendDetected(found) => {
                let ecoin = found.touchstone.content.ecoin;
                self.ecoins.insert(ecoin);
                self.debt(&DebtKey { debtor: found.touchstone.content.payer, creditor: found.payee, ecoin });
            }
            Event::DebtSettled { debt, .. } => self.debt(debt),
            Event::EcoinExpired { ecoin, payer, .. } => {
                self.ecoins.insert(*ecoin);
                self.accounts.insert(*payer);
            }
            Event::PayoutRequested { order } => self.payout(&order.content.key()),
            Event::PayoutSettled { payout, .. } | Event::PayoutFailed { payout, .. } => self.payout(payout),
            Event::EcoinRestored { touchstone, .. } => self.restored(touchstone),
            Event::PeerKeysRotated { order, .. } => {
                self.accounts.insert(order.content.peer);
            }
            Event::BrokerKeysRotated { .. }
            | Event::LedgerRestored { .. }
            | Event::LedgerReconciled { .. }
            | Event::ClockConfirmed { .. }
            | Event::ClockDoubted {} => {}
        }
    }

    fn restored(&mut self, touchstone: &Signed<Touchstone>) {
        let t = &touchstone.content;
        self.ecoins.insert(t.ecoin);
        self.debt(&DebtKey { debtor: t.payer, creditor: PeerId::OPERATOR, ecoin: t.ecoin });
    }

    fn payout(&mut self, payout: &PayoutKey) {
        self.accounts.insert(payout.peer);
        self.payouts.insert(*payout);
    }

    fn debt(&mut self, debt: &DebtKey) {
        self.accounts.extend([debt.debtor, debt.creditor]);
        self.debts.insert(*debt);
    }

    fn load<S: Rows>(mut self, rows: &S) -> Result<WorkingSet, S::Error> {
        let mut ws = WorkingSet::new(totals(rows)?);
        // First round: what is named.
        for request in &self.requests {
            let key = (request.signer, request.id);
            ws.requests.load(key, row(rows, &key)?);
        }
        for ecoin in &self.ecoins {
            ws.ecoins.load(*ecoin, row(rows, ecoin)?);
        }
        for reference in &self.references {
            ws.references.load(reference.clone(), row(rows, reference)?);
        }
        for payout in &self.payouts {
            ws.payouts.load(*payout, row(rows, payout)?);
        }
        // Second round: what those rows name.
        for ecoin in &self.payers_of {
            self.accounts.extend(ws.ecoins.get(ecoin).map(|row| row.touchstone.content.payer));
        }
        let claims = std::mem::take(&mut self.claims_of);
        for (ecoin, run, payee) in &claims {
            if let Some(debtor) = ws.ecoins.get(ecoin).map(|row| row.touchstone.content.payer) {
                self.debt(&DebtKey { debtor, creditor: *payee, ecoin: *ecoin });
                self.runs.push((*ecoin, *run));
            }
        }
        // Each run once, however many claims of a group ask for it: an e-coin can be paid word by word.
        let mut runs: BTreeMap<EcoinId, Vec<Run>> = BTreeMap::new();
        for (ecoin, run) in std::mem::take(&mut self.runs) {
            runs.entry(ecoin).or_default().push(run);
        }
        for (ecoin, runs) in runs {
            for run in runs::union(runs) {
                load_runs(rows, &mut ws, ecoin, run)?;
            }
        }
        for debt in &self.debts {
            load_conflicts(rows, &mut ws, debt.ecoin)?;
            ws.debts.load(*debt, row(rows, debt)?);
        }
        let mut last = None;
        for claim in claims {
            load_grant(rows, &mut ws, claim, &mut last)?;
        }
        for peer in &self.accounts {
            ws.accounts.load(*peer, row(rows, peer)?);
            ws.suspended.load(*peer, row(rows, peer)?);
        }
        Ok(ws)
    }
}

/// The paid runs that share a word with `run`: seek back from its first word, then on to its last.
fn load_runs<S: Rows>(rows: &S, ws: &mut WorkingSet, ecoin: EcoinId, run: Run) -> Result<(), S::Error> {
    let (from, to) = (RunRow::key(&(ecoin, run.from)), RunRow::key(&(ecoin, run.through)));
    let before = rows.at_or_before(Table::Runs, &from)?;
    for (key, bytes) in before.into_iter().chain(rows.range(Table::Runs, &from, &to)?) {
        let corrupt = || S::corrupt("runs");
        let (id, first) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
        let first = u32::from_be_bytes(first.try_into().map_err(|_| corrupt())?);
        if *id == ecoin.0 {
            ws.runs.load((ecoin, PaywordIndex(first)), Some(decode::<RunRow, S>(&bytes)?));
        }
    }
    Ok(())
}

fn load_conflicts<S: Rows>(rows: &S, ws: &mut WorkingSet, ecoin: EcoinId) -> Result<(), S::Error> {
    let (from, to) = ([ecoin.0, [0; 16]].concat(), [ecoin.0, [0xff; 16]].concat());
    for (key, bytes) in rows.range(Table::Conflicts, &from, &to)? {
        let payee = key.last_chunk::<16>().ok_or_else(|| S::corrupt("conflicts"))?;
        ws.conflicts.load((ecoin, PeerId(*payee)), Some(decode::<crate::rows::ConflictRow, S>(&bytes)?));
    }
    Ok(())
}

/// The grant of the lowest run of others that meets `run`: the other half of the evidence, if a conflict would be recorded.
/// A record can be large: the last one read is kept, since claims that meet one often come together.
fn load_grant<S: Rows>(
    rows: &S,
    ws: &mut WorkingSet,
    (ecoin, run, payee): (EcoinId, Run, PeerId),
    last: &mut Option<Record>,
) -> Result<(), S::Error> {
    if !is_new(ws, ecoin, payee) {
        return Ok(());
    }
    let met = ws.runs_meeting(ecoin, run).into_iter().find(|(_, row)| row.payee != payee);
    let Some((paid, row)) = met else { return Ok(()) };
    if ws.grants.contains_key(&(ecoin, paid.from)) {
        return Ok(());
    }
    if last.as_ref().is_none_or(|record| record.position != row.position) {
        *last = record(rows, row.position)?;
    }
    let record = last.as_ref().ok_or_else(|| S::corrupt("run without its record"))?;
    let grant = record.events.iter().find_map(|event| event.grant_of(ecoin, paid));
    ws.grants.insert((ecoin, paid.from), grant.ok_or_else(|| S::corrupt("run without its grant"))?);
    Ok(())
}

impl Event {
    /// The grant under which this event paid a run.
    fn grant_of(&self, ecoin: EcoinId, run: Run) -> Option<netpay_protocol::index::Grant> {
        let Self::BatchRedeemed { claims, .. } = self else {
            return None;
        };
        claims.iter().find_map(|claim| match claim {
            RedeemedClaim::Settled(claim) if claim.ecoin == ecoin && claim.credited.contains(&run) => {
                Some(claim.grant.clone())
            }
            _ => None,
        })
    }
}
