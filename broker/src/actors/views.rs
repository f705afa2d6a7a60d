//! What operators see, read from committed state. Serves a running broker's answers and a stopped one's directory alike.

use netpay_ledger::command::DebtKey;
use netpay_ledger::load;
use netpay_ledger::rows::{AccountRow, ConflictRow, DebtRow, EcoinRow, Row, RunRow, Table, Totals};
use netpay_protocol::admin::{AccountView, DoubleSpendKey, DoubleSpendView, EcoinView, Page, PaidRun};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::runs::Run;

use crate::ports::State;
use crate::ports::state::StateError;

/// Items of one page.
const PAGE: usize = 500;

/// An account as its holder and the operator see it.
pub fn account_view(peer: PeerId, row: &AccountRow, totals: &Totals) -> AccountView {
    AccountView {
        peer,
        balance: row.balance,
        debt: row.debt,
        opened_at_ms: row.opened.as_ref().map(|opened| opened.at_ms),
        suspended_at_ms: row.suspended_at_ms,
        last_redeem_until_ms: row.last_redeem_until_ms,
        head: totals.head,
    }
}

fn damaged(table: Table) -> StateError {
    StateError(format!("the ledger directory is damaged: {}", table.name()))
}

fn decode<R: Row>(bytes: &[u8]) -> Result<R, StateError> {
    minicbor::decode(bytes).map_err(|_| damaged(R::TABLE))
}

fn id(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok()
}

/// One page of a table, from after `after` on.
fn page<T>(
    state: &dyn State,
    table: Table,
    after: Option<Vec<u8>>,
    item: impl Fn(&[u8], &[u8]) -> Result<T, StateError>,
) -> Result<Page<T>, StateError> {
    // No key is longer than 48 bytes, so this is after every key that begins with `after` itself.
    let from = after.map_or_else(Vec::new, |key| [key, vec![0]].concat());
    let mut rows = state.range(table, &from, &[0xff; 64], PAGE + 1)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let items = rows.iter().map(|(key, value)| item(key, value)).collect::<Result<_, _>>()?;
    Ok(Page { items, more })
}

/// Accounts in order of id.
pub fn accounts(state: &dyn State, after: Option<PeerId>) -> Result<Page<AccountView>, StateError> {
    let totals: Totals = load::totals(&state)?;
    page(state, Table::Accounts, after.map(|peer| peer.0.to_vec()), |key, value| {
        let peer = PeerId(id(key).ok_or_else(|| damaged(Table::Accounts))?);
        Ok(account_view(peer, &decode::<AccountRow>(value)?, &totals))
    })
}

/// One account.
pub fn account(state: &dyn State, peer: PeerId) -> Result<Option<AccountView>, StateError> {
    let totals: Totals = load::totals(&state)?;
    Ok(load::row::<AccountRow, _>(&state, &peer)?.map(|row| account_view(peer, &row, &totals)))
}

/// One e-coin with its paid runs.
pub fn ecoin(state: &dyn State, ecoin: EcoinId) -> Result<Option<EcoinView>, StateError> {
    let Some(row) = load::row::<EcoinRow, _>(&state, &ecoin)? else {
        return Ok(None);
    };
    let (from, to) = (RunRow::key(&(ecoin, PaywordIndex(0))), RunRow::key(&(ecoin, PaywordIndex(u32::MAX))));
    let runs = state.range(Table::Runs, &from, &to, usize::MAX)?.into_iter().map(|(key, value)| {
        let run: RunRow = decode(&value)?;
        let first = key.last_chunk().copied().map(u32::from_be_bytes).ok_or_else(|| damaged(Table::Runs))?;
        let words = Run { from: PaywordIndex(first), through: run.through };
        Ok(PaidRun { run: words, payee: run.payee, position: run.position })
    });
    let t = &row.touchstone.content;
    Ok(Some(EcoinView {
        ecoin,
        payer: t.payer,
        suite: t.suite,
        n: t.n,
        unit_value: t.unit_value,
        issued_at_ms: t.issued_at_ms,
        spend_until_ms: t.spend_until_ms,
        redeem_until_ms: t.redeem_until_ms,
        paid: row.paid,
        expired_at_ms: row.expired_at_ms,
        position: row.position,
        runs: runs.collect::<Result<_, StateError>>()?,
    }))
}

/// Double spends in order of e-coin and payee, each with both grants.
pub fn double_spends(state: &dyn State, after: Option<DoubleSpendKey>) -> Result<Page<DoubleSpendView>, StateError> {
    let after = after.map(|key| ConflictRow::key(&(key.ecoin, key.payee)));
    page(state, Table::Conflicts, after, |key, value| {
        let damaged = || damaged(Table::Conflicts);
        let (ecoin, payee) = key.split_at_checked(16).ok_or_else(damaged)?;
        let (ecoin, payee) = (id(ecoin).ok_or_else(damaged)?, id(payee).ok_or_else(damaged)?);
        let key = DoubleSpendKey { ecoin: EcoinId(ecoin), payee: PeerId(payee) };
        let position = decode::<ConflictRow>(value)?.position;
        let found = load::double_spend(&state, key, position)?.ok_or_else(damaged)?;
        let payer = found.touchstone.content.payer;
        let debt = DebtKey { debtor: payer, creditor: key.payee, ecoin: key.ecoin };
        let open = load::row::<DebtRow, _>(&state, &debt)?.map_or(Units::ZERO, |row| row.open);
        Ok(DoubleSpendView {
            key,
            payer,
            paid_to: found.paid_to,
            paid_grant: found.paid_grant,
            grant: found.grant,
            conflicting: found.conflicting,
            debt: found.debt,
            open_debt: open,
            position,
        })
    })
}
