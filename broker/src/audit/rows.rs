//! The audit's books against the rows that the broker answers from (L7): every row of every table.
//!
//! The one file of the audit that knows rows, as plain data: what each should be is made from the books and compared
//! whole. Apart so that nothing else here can come to rest on them.

use std::cmp::Ordering;

use netpay_ledger::command::DebtKey;
use netpay_ledger::rows::{
    AccountRow, ConflictRow, DebtRow, EcoinRow, ExpiryRow, KeysAt, Opened, OwnedRow, PayoutRow, ReferenceRow,
    RequestRow, RestoredFrom, Row, RunRow, SuspendedRow, Table, Totals,
};
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId, to_hex};
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::wire;
use rusqlite::{OptionalExtension as _, Row as Own};

use super::Audited;
use super::books::{account, number, number_or_none};
use crate::ports::State;
use crate::ports::state::StateError;

/// Rows read at once.
const PAGE: usize = 1_000;
/// No key is as large: those that may begin so are shorter, and a reference is text.
const AFTER_ALL: [u8; 64] = [0xff; 64];

/// Why rows were not compared to the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row is not what the log leads to.
    #[error("L7: {0}")]
    Differs(String),
    /// Rows cannot be read.
    #[error(transparent)]
    Rows(#[from] StateError),
    /// The scratch file failed.
    #[error("the audit's scratch file failed: {0}; give it room elsewhere with --scratch DIR")]
    Scratch(#[from] rusqlite::Error),
}

/// Holds every row against the books. Says the first difference.
pub fn compare(audited: &Audited, state: &dyn State) -> Result<(), Error> {
    let rows = Comparison { audited, state };
    rows.totals()?;
    for table in Table::ALL {
        match table {
            Table::Meta => {}
            Table::Accounts => rows.table(
                "SELECT peer, balance, debt, signing_key, opened_ms, register, suspended_ms, last_redeem_ms,
                   former
                 FROM account ORDER BY peer",
                |own| Ok((PeerId(own.get(0)?), account_row(own)?)),
            )?,
            Table::Ecoins => rows
                .table("SELECT id, touchstone, epoch, paid, expired_ms, position FROM ecoin ORDER BY id", |own| {
                    Ok((EcoinId(own.get(0)?), ecoin_row(own)?))
                })?,
            Table::Runs => {
                rows.table("SELECT ecoin, first, last, payee, position FROM run ORDER BY ecoin, first", |own| {
                    let (through, payee) = (PaywordIndex(own.get(2)?), PeerId(own.get(3)?));
                    let row = RunRow { through, payee, position: number(own, 4)? };
                    Ok(((EcoinId(own.get(0)?), PaywordIndex(own.get(1)?)), row))
                })?
            }
            Table::Conflicts => rows
                .table("SELECT ecoin, payee, position FROM conflict ORDER BY ecoin, payee", |own| {
                    Ok(((EcoinId(own.get(0)?), PeerId(own.get(1)?)), ConflictRow { position: number(own, 2)? }))
                })?,
            Table::Debts => rows.table(
                "SELECT debtor, creditor, ecoin, open FROM debt WHERE open > 0 ORDER BY debtor, creditor, ecoin",
                |own| {
                    let (debtor, creditor) = (PeerId(own.get(0)?), PeerId(own.get(1)?));
                    let key = DebtKey { debtor, creditor, ecoin: EcoinId(own.get(2)?) };
                    Ok((key, DebtRow { open: Units(number(own, 3)?) }))
                },
            )?,
            Table::Requests => {
                rows.table("SELECT signer, id, digest, position FROM request ORDER BY signer, id", |own| {
                    let row = RequestRow { digest: Digest(own.get(2)?), position: number(own, 3)? };
                    Ok(((PeerId(own.get(0)?), RequestId(own.get(1)?)), row))
                })?
            }
            Table::References => {
                rows.table("SELECT CAST(name AS TEXT), peer, amount, position FROM reference ORDER BY name", |own| {
                    let (peer, amount) = (PeerId(own.get(1)?), Units(number(own, 2)?));
                    Ok((own.get(0)?, ReferenceRow { peer, amount, position: number(own, 3)? }))
                })?
            }
            Table::Suspended => rows.table(
                "SELECT peer, suspended_ms FROM account WHERE suspended_ms IS NOT NULL ORDER BY peer",
                |own| Ok((PeerId(own.get(0)?), SuspendedRow { since_ms: number(own, 1)? })),
            )?,
            Table::EcoinsByPayer => {
                rows.index(&OwnedRow {}, |own| Ok((PeerId(own.get(1)?), EcoinId(own.get(0)?))))?;
            }
            Table::Expiry => rows.index(&ExpiryRow {}, |own| Ok((number(own, 2)?, EcoinId(own.get(0)?))))?,
            Table::Payouts => rows.table(
                "SELECT peer, request, amount, destination, requested_ms, position, settled, said, ended_ms
                 FROM payout ORDER BY peer, request",
                |own| Ok((PayoutKey { peer: PeerId(own.get(0)?), request: RequestId(own.get(1)?) }, payout_row(own)?)),
            )?,
        }
    }
    Ok(())
}

fn account_row(own: &Own<'_>) -> rusqlite::Result<AccountRow> {
    let account = account(own, 1)?;
    let opened = account
        .opened
        .map(|opened| Ok::<_, rusqlite::Error>(Opened { at_ms: opened.at_ms, register: decoded(&opened.register)? }));
    Ok(AccountRow {
        balance: Units(account.balance),
        opened: opened.transpose()?,
        suspended_at_ms: account.suspended_ms,
        last_redeem_until_ms: account.last_redeem_ms,
        debt: Units(account.debt),
        former_keys: (!account.former.is_empty()).then_some(account.former),
    })
}

fn ecoin_row(own: &Own<'_>) -> rusqlite::Result<EcoinRow> {
    Ok(EcoinRow {
        touchstone: decoded(&own.get::<_, Vec<u8>>(1)?)?,
        epoch: own.get(2)?,
        paid: WordCount(own.get(3)?),
        expired_at_ms: number_or_none(own, 4)?,
        position: number(own, 5)?,
    })
}

fn payout_row(own: &Own<'_>) -> rusqlite::Result<PayoutRow> {
    let (settled, said, at_ms) = (own.get::<_, Option<bool>>(6)?, own.get::<_, Option<String>>(7)?, 8);
    let said = said.unwrap_or_default();
    let state = match (settled, number_or_none(own, at_ms)?) {
        (Some(true), Some(at_ms)) => PayoutState::Settled { reference: said, at_ms },
        (Some(false), Some(at_ms)) => PayoutState::Failed { reason: said, at_ms },
        _ => PayoutState::Requested,
    };
    Ok(PayoutRow {
        amount: Units(number(own, 2)?),
        destination: own.get(3)?,
        requested_at_ms: number(own, 4)?,
        state,
        position: number(own, 5)?,
    })
}

/// What the books keep in CBOR.
fn decoded<T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> rusqlite::Result<T> {
    wire::decode(bytes)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error)))
}

fn differs<R: Row>(key: &[u8], what: &str) -> Result<(), Error> {
    Err(Error::Differs(format!("the row of {} with key {} {what}", R::TABLE.name(), to_hex(key))))
}

struct Comparison<'a> {
    audited: &'a Audited,
    state: &'a dyn State,
}

impl Comparison<'_> {
    /// One table, in the order of its keys, beside the books in the same order.
    fn table<R: Row>(
        &self,
        sql: &str,
        expected: impl Fn(&Own<'_>) -> rusqlite::Result<(R::Key, R)>,
    ) -> Result<(), Error> {
        let mut select = self.audited.books.db.prepare(sql)?;
        let mut own = select.query([])?;
        self.each_row(R::TABLE, |key, value| {
            let Some(should) = own.next()? else { return differs::<R>(key, "is not in the log") };
            let (expected_key, row) = expected(should)?;
            let expected_key = R::key(&expected_key);
            match expected_key.as_slice().cmp(key) {
                Ordering::Less => differs::<R>(&expected_key, "is missing"),
                Ordering::Greater => differs::<R>(key, "is not in the log"),
                Ordering::Equal if wire::encode(&row) != value => differs::<R>(key, "is not what the log leads to"),
                Ordering::Equal => Ok(()),
            }
        })?;
        match own.next()? {
            None => Ok(()),
            Some(missing) => differs::<R>(&R::key(&expected(missing)?.0), "is missing"),
        }
    }

    /// A table of all live e-coins, by something else and their id: as many rows as there are, each of a live one. Not side
    /// by side, because the books would have to be sorted for it.
    fn index<R: Row>(&self, row: &R, key_of: impl Fn(&Own<'_>) -> rusqlite::Result<R::Key>) -> Result<(), Error> {
        let db = &self.audited.books.db;
        let live = "SELECT id, payer, redeem_until_ms FROM ecoin WHERE expired_ms IS NULL";
        let mut one = db.prepare(&format!("{live} AND id = ?1"))?;
        let mut rows = 0;
        self.each_row(R::TABLE, |key, value| {
            rows += 1;
            let id = key.last_chunk::<16>().copied().unwrap_or_default();
            let own = one.query_row([id], |own| key_of(own)).optional()?;
            if own.is_none_or(|own| R::key(&own) != key) {
                return differs::<R>(key, "is not in the log");
            }
            if value == wire::encode(row) { Ok(()) } else { differs::<R>(key, "is not what the log leads to") }
        })?;
        let all = db.query_row("SELECT COUNT(*) FROM ecoin WHERE expired_ms IS NULL", [], |row| number(row, 0))?;
        if rows == all {
            return Ok(());
        }
        let mut every = db.prepare(live)?;
        let mut every = every.query([])?;
        while let Some(own) = every.next()? {
            let key = R::key(&key_of(own)?);
            if self.state.get(R::TABLE, &key)?.is_none() {
                return differs::<R>(&key, "is missing");
            }
        }
        Ok(())
    }

    fn each_row(&self, table: Table, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let (mut from, mut last) = (Vec::new(), false);
        while !last {
            let page = self.state.range(table, &from, &AFTER_ALL, PAGE)?;
            last = page.len() < PAGE;
            for (key, value) in page {
                visit(&key, &value)?;
                from = [key.as_slice(), &[0]].concat();
            }
        }
        Ok(())
    }

    fn totals(&self) -> Result<(), Error> {
        let Audited { figures, recorded_at_ms, books, .. } = self.audited;
        let (sums, life) = (&books.sums, &books.life);
        let expected = Totals {
            head: figures.head,
            recorded_at_ms: *recorded_at_ms,
            peers: Units(sums.peers),
            escrow: Units(sums.escrow),
            outside: i64::try_from(sums.outside).unwrap_or(i64::MIN),
            accounts: books.db.query_row("SELECT COUNT(*) FROM account", [], |row| number(row, 0))?,
            ecoins_issued: sums.ecoins,
            words_redeemed: sums.words,
            double_spends: sums.double_spends,
            debts: Units(sums.debts),
            payouts: sums.payouts.map(Units),
            incarnation: life.incarnation,
            restored: life.restored.map(|(head, head_at_ms)| RestoredFrom { head, head_at_ms }),
            keys: life.keys.map(|(position, incarnation, seq)| KeysAt { position, incarnation, seq }),
            clock_doubted_at_ms: life.clock_doubted_ms,
        };
        let Some(bytes) = self.state.get(Table::Meta, &Totals::key(&()))? else {
            // A ledger without a record has no row either.
            let empty = figures.head.position == 0;
            return if empty { Ok(()) } else { Err(Error::Differs("the totals are missing".into())) };
        };
        if bytes == wire::encode(&expected) {
            return Ok(());
        }
        let there = minicbor::decode::<Totals>(&bytes).map(|totals| totals.head.position).unwrap_or(0);
        let (log, same) = (figures.head.position, "the totals are not what the log leads to");
        let ends = format!("the log ends at position {log}, the rows say {there}");
        Err(Error::Differs(if there == log { same.into() } else { ends }))
    }
}
