//! The SQLite adapter of the store ports: one file per table group.
//!
//! WAL, `synchronous=FULL`, and `BEGIN IMMEDIATE` for whatever writes, so that what was committed survives a crash, and
//! several processes on one home take turns. It decides nothing about money; `wallet` and `till` do.

mod batches;
mod claims;
mod copy;
mod ecoins;
mod folders;
mod history;
mod in_orders;
mod locking;
mod out_orders;
mod payouts;
mod purchases;
mod schema;
mod shares;
mod slots;
mod waiting;
mod words;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use netpay_crash_point::agent::Point;
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::Digest;
use netpay_protocol::index::Grant;
use netpay_protocol::keys::Signature;
use netpay_protocol::wire;
use rusqlite::{Connection, OpenFlags, Params, Row, Transaction, TransactionBehavior};

use crate::ports::{StoreError, Stored};

pub use words::WordKey;

/// How long a process waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// One connection to the wallet's database, and the key of its last words if they are sealed.
pub struct Store(Connection, Option<WordKey>);

/// One transaction: the store ports are implemented on it.
pub struct Tx<'a>(Transaction<'a>, Option<&'a WordKey>);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Box::new(error))
    }
}

impl Store {
    /// Opens a file that is there: of its owner alone, since who reads it has the money. SQLite gives the files beside it
    /// the same rights.
    pub fn open(path: &Path) -> Stored<Self> {
        Self::open_there(path, |_| Ok(()))
    }

    /// The same; makes it if it is not there. A new one begins with what `begin` writes.
    pub fn open_beginning(path: &Path, begin: impl FnOnce(&Tx<'_>) -> Stored<()>) -> Stored<Self> {
        // One that is there is not opened here: closing it again would drop the locks of this process's connections.
        if let Err(error) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(StoreError(Box::new(error)));
        }
        Self::open_there(path, begin)
    }

    fn open_there(path: &Path, begin: impl FnOnce(&Tx<'_>) -> Stored<()>) -> Stored<Self> {
        let rights = std::fs::metadata(path).map_err(|error| StoreError(Box::new(error)))?.permissions();
        if rights.mode() & 0o077 != 0 {
            let path = path.display();
            return Err(StoreError::damaged(format!(
                "{path} can be read by others; make it yours alone with: chmod 600 {path}"
            )));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::prepared(Connection::open_with_flags(path, flags)?, begin)
    }

    /// Opens a file that is there, of the newest form, to read it and nothing else.
    pub fn open_to_read(path: &Path, words: Option<WordKey>) -> Stored<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        schema::is_newest(&db)?;
        Ok(Self(db, words))
    }

    /// What SQLite finds damaged in the file; nothing when it is whole.
    pub fn integrity(&self) -> Stored<Vec<String>> {
        let mut statement = self.0.prepare("PRAGMA integrity_check")?;
        let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// A store that lasts as long as the value: for tests.
    pub fn in_memory() -> Stored<Self> {
        Self::prepared(Connection::open_in_memory()?, |_| Ok(()))
    }

    fn prepared(db: Connection, begin: impl FnOnce(&Tx<'_>) -> Stored<()>) -> Stored<Self> {
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        schema::prepare(&db, begin)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self(db, None))
    }

    /// Runs a step that may write. When it returns `Ok`, what it wrote is on disk; otherwise nothing of it is.
    pub fn write<T, E: From<StoreError>>(&self, step: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let tx = self.begin(TransactionBehavior::Immediate)?;
        let value = step(&tx)?;
        Point::CommitBegins.reached();
        tx.0.commit().map_err(StoreError::from)?;
        Point::CommitDone.reached();
        Ok(value)
    }

    /// Runs a step that may write, and takes back what it wrote: for asking what would be.
    pub fn rehearse<T, E: From<StoreError>>(&self, step: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let tx = self.begin(TransactionBehavior::Immediate)?;
        let value = step(&tx)?;
        tx.0.rollback().map_err(StoreError::from)?;
        Ok(value)
    }

    /// Runs a step that only reads; it sees one state of everything.
    pub fn read<T, E: From<StoreError>>(&self, step: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        step(&self.begin(TransactionBehavior::Deferred)?)
    }

    fn begin(&self, behavior: TransactionBehavior) -> Stored<Tx<'_>> {
        Ok(Tx(Transaction::new_unchecked(&self.0, behavior)?, self.1.as_ref()))
    }
}

impl Tx<'_> {
    /// Runs a statement; answers how many rows it changed.
    fn run(&self, sql: &str, params: impl Params) -> Stored<usize> {
        Ok(self.0.prepare_cached(sql)?.execute(params)?)
    }

    /// Every row, read by `read`.
    fn rows<T>(&self, sql: &str, params: impl Params, read: impl Fn(&Row<'_>) -> Stored<T>) -> Stored<Vec<T>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(read(row)?);
        }
        Ok(out)
    }

    /// The first row, if there is one.
    fn row<T>(&self, sql: &str, params: impl Params, read: impl Fn(&Row<'_>) -> Stored<T>) -> Stored<Option<T>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }
}

/// The columns of a grant, alike in the wallet's and the till's tables.
fn grant_columns(row: &Row<'_>) -> Stored<Grant> {
    Ok(Grant {
        from: PaywordIndex(row.get("first")?),
        to: PaywordIndex(row.get("after")?),
        order: Digest(row.get("pays_for")?),
        signature: Signature(row.get("signature")?),
    })
}

/// An amount or time as SQLite keeps it. Beyond 2^63 there is no money and no time.
fn int(value: u64) -> Stored<i64> {
    i64::try_from(value).map_err(|_| StoreError::damaged("a number above 2^63"))
}

fn uint(row: &Row<'_>, column: &str) -> Stored<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| StoreError::damaged("a number below zero"))
}

fn units(row: &Row<'_>, column: &str) -> Stored<Units> {
    uint(row, column).map(Units)
}

/// A message that is kept as it travels.
fn message<T>(row: &Row<'_>, column: &str) -> Stored<T>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    let bytes: Vec<u8> = row.get(column)?;
    wire::decode(&bytes).map_err(|error| StoreError::damaged(format!("{column}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_synced_and_the_journal_is_a_wal() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open_beginning(&dir.path().join("wallet.sqlite"), |_| Ok(())).expect("opens");
        let ask = |name| -> String {
            store
                .0
                .pragma_query_value(None, name, |row| {
                    row.get::<_, rusqlite::types::Value>(0).map(|value| format!("{value:?}"))
                })
                .expect("a pragma")
        };
        assert_eq!(ask("journal_mode"), "Text(\"wal\")");
        assert_eq!(ask("synchronous"), "Integer(2)");
    }

    #[test]
    fn a_wallet_is_its_owners_alone_and_one_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        drop(Store::open_beginning(&path, |_| Ok(())).expect("opens"));
        let rights = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(rights & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        let refused = Store::open(&path).err().expect("refused").to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_file_of_the_form_before_the_last_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        let store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
        store.0.pragma_update(None, "user_version", 1).expect("a pragma");
        assert!(Store::open(&path).is_err());
    }

    #[test]
    fn a_wallet_of_form_2_goes_on_working_and_says_nothing_about_what_it_did_not_keep() {
        use crate::ports::{Entry, History as _, Payouts as _, Reference, Wanted};
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        let entry = |reference| Entry {
            at_ms: 1,
            what: "buy".into(),
            with: None,
            ecoin: None,
            units: Units(1),
            reference,
            note: String::new(),
        };
        of_form(&path, schema::FIRST_FORM)
            .execute("INSERT INTO history (at_ms, what, units, note) VALUES (1, 'buy', 1, '')", [])
            .expect("as it was");
        assert!(Store::open_to_read(&path, None).is_err(), "reading upgrades nothing");
        let store = Store::open(&path).expect("brought up to date");
        let new = entry(Some(Reference::Order(Digest([7; 32]))));
        let (kept, entries) = (new.clone(), Wanted { limit: 9, ..Wanted::default() });
        store.write(|tx| tx.note(kept)).expect("noted");
        let (history, payouts) =
            store.read(|tx| Ok::<_, StoreError>((tx.history(&entries)?, tx.payouts()?))).expect("read");
        assert_eq!(history, [new, entry(None)]);
        assert!(payouts.is_empty());
        Store::open_to_read(&path, None).expect("reads it now");
    }

    /// A file as an older program left it.
    fn of_form(path: &Path, form: u32) -> Connection {
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a new file"));
        let db = Connection::open(path).expect("opens");
        schema::make(&db, form).expect("the tables of that form");
        db
    }

    #[test]
    fn a_wallet_of_every_older_form_is_brought_up_to_date() {
        let dir = tempfile::tempdir().expect("a directory");
        for form in schema::FIRST_FORM..=schema::newest() {
            let path = dir.path().join(form.to_string());
            drop(of_form(&path, form));
            drop(Store::open(&path).expect("brought up to date"));
            Store::open_to_read(&path, None).expect("the newest form");
        }
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        let store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
        store.0.pragma_update(None, "user_version", 9).expect("a pragma");
        assert!(Store::open(&path).is_err());
    }
}
