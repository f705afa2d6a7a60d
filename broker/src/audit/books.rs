//! The audit's own books, in a scratch SQLite file: who has what, what was sold, which words were paid to whom.
//!
//! In a file, because what a long log leads to is larger than memory; SQLite keeps as much of it at hand as
//! it is told. Money moves here by double entry only. Knows nothing of signatures.

use std::fs::{self, File};
use std::path::Path;

use netpay_ledger::command::{DebtKey, Request};
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{Digest, EcoinId, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::runs::Run;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::lives::Life;
use super::{Checked, Error, holds, wrong};

/// Every sum of money stays below this.
pub(super) const MOST_UNITS: u64 = 1 << 62;

/// Sums over everything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) peers: u64,
    pub(super) escrow: u64,
    pub(super) outside: i128,
    pub(super) debts: u64,
    /// Nothing before the first payout.
    pub(super) payouts: Option<u64>,
    pub(super) ecoins: u64,
    pub(super) words: u64,
    pub(super) double_spends: u64,
    pub(super) claims: u64,
}

/// See the module.
pub(super) struct Books {
    pub(super) db: Connection,
    pub(super) sums: Sums,
    pub(super) life: Life,
}

/// One peer.
#[derive(Clone, Default)]
pub(super) struct Account {
    pub(super) balance: u64,
    pub(super) debt: u64,
    pub(super) opened: Option<Opened>,
    pub(super) suspended_ms: Option<u64>,
    pub(super) last_redeem_ms: u64,
    /// Keys that it gave up, oldest first.
    pub(super) former: Vec<PublicKey>,
}

/// Its keys, and since when.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) key: PublicKey,
    pub(super) at_ms: u64,
    /// The registration, in CBOR.
    pub(super) register: Vec<u8>,
}

/// One e-coin.
pub(super) struct Ecoin {
    pub(super) touchstone: Signed<Touchstone>,
    pub(super) paid: WordCount,
    pub(super) expired: bool,
}

/// A run that was paid.
#[derive(Clone)]
pub(super) struct Paid {
    pub(super) run: Run,
    pub(super) payee: PeerId,
    /// SHA-256 of the grant's CBOR.
    pub(super) granted: Digest,
}

/// A side of a posting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Peer(PeerId),
    Escrow,
    Outside,
}

/// A number as SQLite keeps it. Money stays far below the bound; a time beyond it is as late as any.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that [`int`] kept.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let int: i64 = row.get(column)?;
    u64::try_from(int).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, int))
}

/// As [`number`], of a column that may hold none.
pub(super) fn number_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    row.get_ref(column)?.as_i64_or_null()?.map(|_| number(row, column)).transpose()
}

impl Books {
    /// New books in `folder`. The file has no name any more when this returns, and is gone with the books.
    pub(super) fn open(folder: &Path, cache_kib: u32) -> Result<Self, Error> {
        let path = folder.join(format!("audit-{}.scratch", std::process::id()));
        let no_place = |error| Error::Folder(folder.display().to_string(), error);
        fs::create_dir_all(folder).and_then(|()| File::create_new(&path)).map_err(no_place)?;
        let db = Connection::open(&path);
        fs::remove_file(&path).map_err(no_place)?;
        let db = db?;
        // Nothing of it is ever needed again: no journal, no fsync, one transaction.
        db.pragma_update(None, "journal_mode", "off")?;
        db.pragma_update(None, "synchronous", "off")?;
        db.pragma_update(None, "locking_mode", "exclusive")?;
        db.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
        db.execute_batch(include_str!("schema.sql"))?;
        db.execute_batch("BEGIN")?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self { db, sums: Sums::default(), life: Life::default() })
    }

    /// Moves money. Nobody has less than nothing, but the world outside.
    pub(super) fn post(&mut self, from: Side, to: Side, amount: Units) -> Checked<()> {
        self.add(from, -i128::from(amount.0))?;
        self.add(to, i128::from(amount.0))
    }

    fn add(&mut self, side: Side, amount: i128) -> Checked<()> {
        let moved = |sum: u64, whose: &dyn Fn() -> String| {
            let after = i128::from(sum) + amount;
            u64::try_from(after).ok().filter(|sum| *sum < MOST_UNITS).ok_or_else(|| {
                let bound = if after < 0 { "below zero" } else { "above what a ledger can hold" };
                wrong(format!("{} would be {after} units, {bound}", whose()))
            })
        };
        match side {
            Side::Peer(peer) => {
                let mut account = self.account(peer)?.unwrap_or_default();
                account.balance = moved(account.balance, &|| format!("the balance of account {peer}"))?;
                self.keep_account(peer, &account)?;
                self.sums.peers = moved(self.sums.peers, &|| "the sum of all balances".into())?;
            }
            Side::Escrow => self.sums.escrow = moved(self.sums.escrow, &|| "escrow".into())?,
            Side::Outside => self.sums.outside += amount,
        }
        Ok(())
    }

    /// That deposits, and what the operator lent, are together below the bound, also when all open payouts come back.
    pub(super) fn check_room(&self) -> Checked<()> {
        let held = -self.sums.outside + i128::from(self.sums.payouts.unwrap_or(0));
        holds(held < i128::from(MOST_UNITS), "all deposits together are above what a ledger can hold")
    }

    /// An account, if anything ever touched it.
    pub(super) fn account(&self, peer: PeerId) -> Checked<Option<Account>> {
        let mut select = self.db.prepare_cached(
            "SELECT balance, debt, signing_key, opened_ms, register, suspended_ms, last_redeem_ms,
               former FROM account WHERE peer = ?1",
        )?;
        Ok(select.query_row([peer.0], |row| account(row, 0)).optional()?)
    }

    /// Keeps an account as it is now.
    pub(super) fn keep_account(&self, peer: PeerId, account: &Account) -> Checked<()> {
        let opened = account.opened.as_ref();
        self.db.prepare_cached("INSERT OR REPLACE INTO account VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
            params![
                peer.0,
                int(account.balance),
                int(account.debt),
                opened.map(|opened| opened.key.0),
                opened.map(|opened| int(opened.at_ms)),
                opened.map(|opened| &opened.register),
                account.suspended_ms.map(int),
                int(account.last_redeem_ms),
                account.former.iter().flat_map(|key| key.0).collect::<Vec<u8>>(),
            ],
        )?;
        Ok(())
    }

    /// An e-coin, if it was sold.
    pub(super) fn ecoin(&self, ecoin: EcoinId) -> Checked<Option<Ecoin>> {
        let mut select = self.db.prepare_cached("SELECT touchstone, paid, expired_ms FROM ecoin WHERE id = ?1")?;
        let found = select.query_row([ecoin.0], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?.is_some()))
        });
        let Some((bytes, paid, expired)) = found.optional()? else { return Ok(None) };
        let touchstone = wire::decode(&bytes).map_err(|error| wrong(format!("e-coin {ecoin}: {error}")))?;
        Ok(Some(Ecoin { touchstone, paid: WordCount(paid), expired }))
    }

    /// Sells an e-coin. Whether its id was free.
    pub(super) fn sell(&mut self, touchstone: &Signed<Touchstone>, epoch: u32, position: u64) -> Checked<bool> {
        let t = &touchstone.content;
        let new = self
            .db
            .prepare_cached(
                "INSERT INTO ecoin VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, NULL, ?7, ?8) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                t.ecoin.0,
                t.payer.0,
                t.n.0,
                t.unit_value.0,
                wire::encode(touchstone),
                epoch,
                int(position),
                int(t.redeem_until_ms)
            ])?;
        self.sums.ecoins += 1;
        Ok(new == 1)
    }

    /// Ends an e-coin.
    pub(super) fn end(&self, ecoin: EcoinId, at_ms: u64) -> Checked<()> {
        self.db
            .prepare_cached("UPDATE ecoin SET expired_ms = ?2 WHERE id = ?1")?
            .execute(params![ecoin.0, int(at_ms)])?;
        Ok(())
    }

    /// The runs paid of an e-coin that meet this one, in order. Paid runs are disjoint, so that of those which begin
    /// before it only the last can.
    pub(super) fn meeting(&self, ecoin: EcoinId, run: Run) -> Checked<Vec<Paid>> {
        let mut select = self.db.prepare_cached(
            "SELECT first, last, payee, granted FROM run WHERE ecoin = ?1 AND first <= ?3 AND first >= COALESCE(
               (SELECT first FROM run WHERE ecoin = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
             ORDER BY first",
        )?;
        let rows = select.query_map(params![ecoin.0, run.from.0, run.through.0], |row| {
            let run = Run { from: PaywordIndex(row.get(0)?), through: PaywordIndex(row.get(1)?) };
            Ok(Paid { run, payee: PeerId(row.get(2)?), granted: Digest(row.get(3)?) })
        })?;
        let found: Vec<Paid> = rows.collect::<Result<_, _>>()?;
        Ok(found.into_iter().filter(|paid| paid.run.meet(&run).is_some()).collect())
    }

    /// Pays a run.
    pub(super) fn pay(&mut self, ecoin: EcoinId, paid: &Paid, position: u64) -> Checked<()> {
        let (words, run) = (paid.run.words().0, paid.run);
        self.db.prepare_cached("INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            ecoin.0,
            run.from.0,
            run.through.0,
            paid.payee.0,
            paid.granted.0,
            int(position)
        ])?;
        self.db.prepare_cached("UPDATE ecoin SET paid = paid + ?2 WHERE id = ?1")?.execute(params![ecoin.0, words])?;
        self.sums.words += u64::from(words);
        Ok(())
    }

    /// Of how many payees double spends of this e-coin are recorded, and whether of this one.
    pub(super) fn conflicts(&self, ecoin: EcoinId, payee: PeerId) -> Checked<(u64, bool)> {
        let mut select =
            self.db.prepare_cached("SELECT COUNT(*), COALESCE(MAX(payee = ?2), 0) FROM conflict WHERE ecoin = ?1")?;
        Ok(select.query_row(params![ecoin.0, payee.0], |row| Ok((number(row, 0)?, row.get(1)?)))?)
    }

    /// Records a double spend.
    pub(super) fn conflict(&mut self, ecoin: EcoinId, payee: PeerId, position: u64) -> Checked<()> {
        self.db.prepare_cached("INSERT INTO conflict VALUES (?1, ?2, ?3)")?.execute(params![
            ecoin.0,
            payee.0,
            int(position)
        ])?;
        self.sums.double_spends += 1;
        Ok(())
    }

    /// What is open of a debt.
    pub(super) fn debt(&self, debt: &DebtKey) -> Checked<u64> {
        let mut select =
            self.db.prepare_cached("SELECT open FROM debt WHERE debtor = ?1 AND creditor = ?2 AND ecoin = ?3")?;
        let key = params![debt.debtor.0, debt.creditor.0, debt.ecoin.0];
        Ok(select.query_row(key, |row| number(row, 0)).optional()?.unwrap_or(0))
    }

    /// Changes what is open of a debt, and what the debtor owes in all.
    pub(super) fn owe(&mut self, debt: &DebtKey, open: u64) -> Checked<()> {
        let before = self.debt(debt)?;
        let key = params![debt.debtor.0, debt.creditor.0, debt.ecoin.0, int(open)];
        self.db.prepare_cached("INSERT OR REPLACE INTO debt VALUES (?1, ?2, ?3, ?4)")?.execute(key)?;
        let mut account = self.account(debt.debtor)?.unwrap_or_default();
        let changed = |sum: u64| (sum - before.min(sum)).saturating_add(open);
        (account.debt, self.sums.debts) = (changed(account.debt), changed(self.sums.debts));
        holds(self.sums.debts < MOST_UNITS, "all debts together would be above what a ledger can hold")?;
        self.keep_account(debt.debtor, &account)
    }

    /// Records the outcome of a request. Whether it is the only one.
    pub(super) fn answer(&self, request: &Request, position: u64) -> Checked<bool> {
        let new = self
            .db
            .prepare_cached("INSERT INTO request VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![request.signer.0, request.id.0, request.digest.0, int(position)])?;
        Ok(new == 1)
    }

    /// Records a deposit under its reference. Whether it is the only one.
    pub(super) fn deposit(&self, reference: &str, peer: PeerId, amount: Units, position: u64) -> Checked<bool> {
        let new = self
            .db
            .prepare_cached("INSERT INTO reference VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![reference.as_bytes(), peer.0, int(amount.0), int(position)])?;
        Ok(new == 1)
    }

    /// L1 to L4, over all that was kept.
    pub(super) fn close(&self) -> Checked<()> {
        let sum = |sql: &str| -> Checked<i128> {
            Ok(i128::from(self.db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0)))
        };
        let (peers, escrow) = (sum("SELECT SUM(balance) FROM account")?, i128::from(self.sums.escrow));
        holds(peers == i128::from(self.sums.peers), "L1: the balances do not sum to what was posted")?;
        holds(peers + escrow + self.sums.outside == 0, "L1: the accounts do not sum to zero")?;
        let worth = sum("SELECT SUM(unit * (n - paid)) FROM ecoin WHERE expired_ms IS NULL")?;
        holds(worth == escrow, "L2: escrow is not what the live e-coins are worth")?;
        let (runs, paid) = (sum("SELECT SUM(last - first + 1) FROM run")?, sum("SELECT SUM(paid) FROM ecoin")?);
        holds(runs == paid, "L3: e-coins and runs disagree on how many words are paid")?;
        holds(sum("SELECT COUNT(*) FROM ecoin WHERE paid > n")? == 0, "L4: more words are paid than were sold")?;
        let debts = (sum("SELECT SUM(open) FROM debt")?, sum("SELECT SUM(debt) FROM account")?);
        let all = i128::from(self.sums.debts);
        holds(debts == (all, all), "debts do not sum to what the accounts owe")?;
        let payouts = sum("SELECT SUM(amount) FROM payout WHERE ended_ms IS NULL")?;
        holds(payouts == i128::from(self.sums.payouts.unwrap_or(0)), "open payouts do not sum to what was requested")
    }
}

/// An account whose first column is this one.
pub(super) fn account(row: &Row<'_>, first: usize) -> rusqlite::Result<Account> {
    let key: Option<[u8; 32]> = row.get(first + 2)?;
    let opened = key
        .map(|key| {
            let (at_ms, register) = (number(row, first + 3)?, row.get(first + 4)?);
            Ok::<_, rusqlite::Error>(Opened { key: PublicKey(key), at_ms, register })
        })
        .transpose()?;
    Ok(Account {
        balance: number(row, first)?,
        debt: number(row, first + 1)?,
        opened,
        suspended_ms: number_or_none(row, first + 5)?,
        last_redeem_ms: number(row, first + 6)?,
        former: row
            .get::<_, Vec<u8>>(first + 7)?
            .chunks_exact(32)
            .flat_map(<[u8; 32]>::try_from)
            .map(PublicKey)
            .collect(),
    })
}
