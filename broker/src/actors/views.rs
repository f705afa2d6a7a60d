//! What operators see, read from committed state. Serves a running broker's answers and a stopped one's directory alike.

use netpay_ledger::command::DebtKey;
use netpay_ledger::load;
use netpay_ledger::rows::{
    AccountRow, ConflictRow, DebtRow, EcoinRow, OwnedRow, PayoutRow, Row, RunRow, Table, Totals,
};
use netpay_protocol::admin::{AccountView, DoubleSpendKey, DoubleSpendView, EcoinView, Page, PaidRun};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{EcoinId, PeerId, RequestId};
use netpay_protocol::limits::{MAX_MESSAGE_BYTES, MAX_REASON_BYTES};
use netpay_protocol::payout::{PayoutKey, PayoutView};
use netpay_protocol::query::OwnEcoin;
use netpay_protocol::runs::Run;
use netpay_protocol::wire;

use crate::ports::State;
use crate::ports::state::{StateError, at_one_moment};

/// Items of one page.
const PAGE: usize = 500;
/// Bytes of one page's items: a message, less what lies around them (signature, digests, lengths).
const PAGE_BYTES: usize = MAX_MESSAGE_BYTES - 1_024;
/// More than one paid run takes in an answer.
const PAID_RUN_BYTES: usize = 40;

const _: () = {
    // A page has room for any one e-coin: each word paid by itself, and its touchstone.
    assert!(4_096 * PAID_RUN_BYTES + 1_024 < PAGE_BYTES);
    // Any payouts fit a page, with destinations of 256 bytes.
    assert!(PAGE * (256 + MAX_REASON_BYTES + 128) < PAGE_BYTES);
};

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

/// One page of a whole table, from after `after` on.
fn page<T>(
    state: &dyn State,
    table: Table,
    after: Option<Vec<u8>>,
    item: impl Fn(&[u8], &[u8]) -> Result<T, StateError>,
) -> Result<Page<T>, StateError> {
    // No key is longer than 48 bytes: this is after every one.
    page_between(state, table, &after.map_or_else(Vec::new, just_after), &[0xff; 64], item)
}

/// The first key after this one.
fn just_after(key: Vec<u8>) -> Vec<u8> {
    [key, vec![0]].concat()
}

fn page_between<T>(
    state: &dyn State,
    table: Table,
    from: &[u8],
    to: &[u8],
    item: impl Fn(&[u8], &[u8]) -> Result<T, StateError>,
) -> Result<Page<T>, StateError> {
    let mut rows = state.range(table, from, to, PAGE + 1)?;
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
        runs: paid_runs(state, ecoin)?,
    }))
}

/// What was paid of an e-coin, in order of the words.
fn paid_runs(state: &dyn State, ecoin: EcoinId) -> Result<Vec<PaidRun>, StateError> {
    let (from, to) = (RunRow::key(&(ecoin, PaywordIndex(0))), RunRow::key(&(ecoin, PaywordIndex(u32::MAX))));
    let runs = state.range(Table::Runs, &from, &to, usize::MAX)?.into_iter().map(|(key, value)| {
        let run: RunRow = decode(&value)?;
        let first = key.last_chunk().copied().map(u32::from_be_bytes).ok_or_else(|| damaged(Table::Runs))?;
        let words = Run { from: PaywordIndex(first), through: run.through };
        Ok(PaidRun { run: words, payee: run.payee, position: run.position })
    });
    runs.collect()
}

/// A payer's e-coins that were not refunded, in order of id, from after this one on (zeros: from the first). As many as
/// an answer holds, and at least one. All of one moment: e-coins, and what was paid of them.
pub fn own_ecoins(state: &dyn State, payer: PeerId, after: EcoinId) -> Result<Page<OwnEcoin>, StateError> {
    at_one_moment(state, |moment| own_ecoins_now(moment, payer, after))
}

fn own_ecoins_now(state: &dyn State, payer: PeerId, after: EcoinId) -> Result<Page<OwnEcoin>, StateError> {
    let from = from_after(after.0, OwnedRow::key(&(payer, after)));
    let to = OwnedRow::key(&(payer, EcoinId([0xff; 16])));
    let mut page = Page { items: Vec::new(), more: false };
    let mut bytes = 0;
    for (key, _) in state.range(Table::EcoinsByPayer, &from, &to, PAGE + 1)? {
        let damaged = || damaged(Table::EcoinsByPayer);
        let ecoin = EcoinId(*key.last_chunk().ok_or_else(damaged)?);
        let row: EcoinRow = load::row(&state, &ecoin)?.ok_or_else(damaged)?;
        let own = OwnEcoin { touchstone: row.touchstone, paid: paid_runs(state, ecoin)? };
        bytes += wire::encode(&own).len();
        page.more = page.items.len() >= PAGE || (bytes > PAGE_BYTES && !page.items.is_empty());
        if page.more {
            break;
        }
        page.items.push(own);
    }
    Ok(page)
}

/// Where a page begins that comes after this id: zeros name none.
fn from_after(id: [u8; 16], key: Vec<u8>) -> Vec<u8> {
    if id == [0; 16] { key } else { just_after(key) }
}

/// A payout as its peer and the operator see it.
fn payout_view(key: PayoutKey, row: PayoutRow) -> PayoutView {
    PayoutView {
        peer: key.peer,
        request: key.request,
        amount: row.amount,
        destination: row.destination,
        requested_at_ms: row.requested_at_ms,
        state: row.state,
        position: row.position,
    }
}

/// A payout row as it is stored.
fn stored_payout(key: &[u8], value: &[u8]) -> Result<PayoutView, StateError> {
    let damaged = || damaged(Table::Payouts);
    let (peer, request) = key.split_at_checked(16).ok_or_else(damaged)?;
    let (peer, request) = (id(peer).ok_or_else(damaged)?, id(request).ok_or_else(damaged)?);
    Ok(payout_view(PayoutKey { peer: PeerId(peer), request: RequestId(request) }, decode(value)?))
}

/// One payout.
pub fn payout(state: &dyn State, key: PayoutKey) -> Result<Option<PayoutView>, StateError> {
    Ok(load::row::<PayoutRow, _>(&state, &key)?.map(|row| payout_view(key, row)))
}

/// All payouts in order of peer and request.
pub fn payouts(state: &dyn State, after: Option<PayoutKey>) -> Result<Page<PayoutView>, StateError> {
    page(state, Table::Payouts, after.map(|key| PayoutRow::key(&key)), stored_payout)
}

/// One peer's payouts in order of request, from after this one on (zeros: from the first).
pub fn payouts_of(state: &dyn State, peer: PeerId, after: RequestId) -> Result<Page<PayoutView>, StateError> {
    let from = from_after(after.0, PayoutRow::key(&PayoutKey { peer, request: after }));
    let to = PayoutRow::key(&PayoutKey { peer, request: RequestId([0xff; 16]) });
    page_between(state, Table::Payouts, &from, &to, stored_payout)
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
