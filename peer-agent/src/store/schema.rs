//! The tables, and the number that says which form of them a file has.
//!
//! Amounts of money are kept as decimal integers; whatever was signed is kept as it travels. Rows that prove something
//! (grants, claims, touchstones, batches, statements) are never updated in what was signed, and not deleted here.

use rusqlite::Connection;

use super::Tx;
use crate::ports::Stored;

/// The form that [`TABLES`] makes; every upgrade makes the next one.
pub const FIRST_FORM: u32 = 2;

const TABLES: &str = "
CREATE TABLE purchases (
  request BLOB PRIMARY KEY, message BLOB NOT NULL, at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused', 'dropped')), why TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE ecoins (
  id INTEGER PRIMARY KEY, ecoin BLOB NOT NULL UNIQUE, touchstone BLOB NOT NULL, last BLOB NOT NULL,
  locked INTEGER NOT NULL, live INTEGER NOT NULL DEFAULT 1, request BLOB NOT NULL
) STRICT;
CREATE INDEX live_ecoins ON ecoins (id) WHERE live = 1;

CREATE TABLE grants (
  ecoin BLOB NOT NULL, first INTEGER NOT NULL, after INTEGER NOT NULL, payee BLOB NOT NULL, pays_for BLOB NOT NULL,
  signature BLOB NOT NULL, through INTEGER NOT NULL, acked INTEGER NOT NULL, acked_after INTEGER NOT NULL,
  PRIMARY KEY (ecoin, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE out_orders (
  id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, payee BLOB NOT NULL, quote BLOB NOT NULL,
  payee_key BLOB NOT NULL, suites TEXT NOT NULL, sent INTEGER NOT NULL, paid INTEGER NOT NULL, words INTEGER NOT NULL,
  pending BLOB, pending_units INTEGER NOT NULL, pending_again INTEGER NOT NULL, done INTEGER NOT NULL
) STRICT;
CREATE INDEX open_out_orders ON out_orders (payee) WHERE done = 0;

CREATE TABLE in_orders (
  digest BLOB PRIMARY KEY, quote BLOB NOT NULL, asker BLOB NOT NULL, paid INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unpaid_in_orders ON in_orders (expires_ms) WHERE paid = 0;

CREATE TABLE till_ecoins (
  ecoin BLOB PRIMARY KEY, payer BLOB NOT NULL, unit_value INTEGER NOT NULL, touchstone BLOB NOT NULL,
  high INTEGER NOT NULL, high_word BLOB NOT NULL, unknown INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX till_ecoins_by_payer ON till_ecoins (payer);

CREATE TABLE claims (
  id INTEGER PRIMARY KEY, ecoin BLOB NOT NULL, first INTEGER NOT NULL, after INTEGER NOT NULL,
  pays_for BLOB NOT NULL, signature BLOB NOT NULL, through INTEGER NOT NULL, word BLOB NOT NULL,
  settled INTEGER NOT NULL, conflicting INTEGER NOT NULL, lost INTEGER, UNIQUE (ecoin, first)
) STRICT;
CREATE INDEX claims_to_settle ON claims (id) WHERE through > settled AND lost IS NULL;

CREATE TABLE batches (
  request BLOB PRIMARY KEY, batch BLOB NOT NULL, at_ms INTEGER NOT NULL, statement BLOB, settled_ms INTEGER,
  state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'dropped'))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_batch ON batches (state) WHERE state = 'open';

CREATE TABLE history (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL, counterparty BLOB, ecoin BLOB,
  units INTEGER NOT NULL, note TEXT NOT NULL
) STRICT;

CREATE TABLE slots (slot TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE shares (
  content BLOB PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  price INTEGER NOT NULL, tags TEXT NOT NULL, tree BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What changed since, one form a step. A step is never edited once it was released: a wallet may be at any of them.
const UPGRADES: &[&str] = &[
    // Receipts, and folders on offer.
    "
ALTER TABLE out_orders ADD COLUMN receipt BLOB;
ALTER TABLE shares ADD COLUMN folder TEXT;
CREATE TABLE folders (path TEXT PRIMARY KEY, price INTEGER NOT NULL, tags TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE folder_files (
  path TEXT PRIMARY KEY, folder TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
  content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX folder_files_by_content ON folder_files (content);
",
    // Payouts, what an entry of the history belongs to, and since when a claim waits.
    "
ALTER TABLE history ADD COLUMN reference BLOB;
ALTER TABLE claims ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
CREATE TABLE payouts (
  request BLOB PRIMARY KEY, message BLOB, at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused', 'dropped')), why TEXT NOT NULL DEFAULT '', view BLOB
) STRICT, WITHOUT ROWID;
",
    // E-coins that only the broker knew when this wallet came back from a backup.
    "CREATE TABLE wordless_ecoins (ecoin BLOB PRIMARY KEY, touchstone BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    // Claims that were settled and are asked for again, since the broker was restored from a backup.
    "
ALTER TABLE claims ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
DROP INDEX claims_to_settle;
CREATE INDEX claims_to_settle ON claims (id) WHERE (through > settled OR again = 1) AND lost IS NULL;
",
    // When the open batch was left in the broker's inbox.
    "ALTER TABLE batches ADD COLUMN published_ms INTEGER;",
];

fn form(db: &Connection) -> Result<u32, rusqlite::Error> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The form that this program writes.
pub fn newest() -> u32 {
    FIRST_FORM + u32::try_from(UPGRADES.len()).expect("a short list")
}

fn unknown(held: u32) -> rusqlite::Error {
    let newest = newest();
    rusqlite::Error::InvalidParameterName(format!(
        "its tables have form {held}, and this program knows forms {FIRST_FORM} to {newest}"
    ))
}

/// Whether a file can be read as it is.
pub fn is_newest(db: &Connection) -> Result<(), rusqlite::Error> {
    match form(db)? {
        held if held == newest() => Ok(()),
        held => Err(unknown(held)),
    }
}

/// Makes the tables in a new file, with what `begin` writes there, and brings those of an older form up to date; refuses a
/// file of a form that it does not know. Safe against another process doing the same.
pub fn prepare(db: &Connection, begin: impl FnOnce(&Tx<'_>) -> Stored<()>) -> Stored<()> {
    let newest = newest();
    if form(db)? == newest {
        return Ok(());
    }
    let tx = Tx(rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?, None);
    let held = form(&tx.0)?;
    if held != 0 && !(FIRST_FORM..=newest).contains(&held) {
        return Err(unknown(held).into());
    }
    step_up(&tx.0, held, newest)?;
    if held == 0 {
        begin(&tx)?;
    }
    Ok(tx.0.commit()?)
}

/// Makes the tables of form `to` from those of form `held` (0: none yet).
fn step_up(db: &Connection, held: u32, to: u32) -> Result<(), rusqlite::Error> {
    if held == 0 {
        db.execute_batch(TABLES)?;
    }
    for (step, form) in UPGRADES.iter().zip(FIRST_FORM + 1..) {
        if held < form && form <= to {
            db.execute_batch(step)?;
        }
    }
    db.pragma_update(None, "user_version", to)
}

/// The tables as a program of that form made them.
#[cfg(test)]
pub fn make(db: &Connection, form: u32) -> Result<(), rusqlite::Error> {
    step_up(db, 0, form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_of_the_first_form_is_brought_up_to_date_and_keeps_its_rows() {
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch(TABLES).expect("tables");
        db.pragma_update(None, "user_version", FIRST_FORM).expect("a pragma");
        db.execute("INSERT INTO shares VALUES (x'01', 'p', 'n', 1, 2, '', x'')", []).expect("a row");
        for _ in 0..2 {
            prepare(&db, |_| Ok(())).expect("upgraded, once");
            let row: (String, Option<String>) = db
                .query_row("SELECT name, folder FROM shares", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .expect("kept");
            assert_eq!(row, ("n".into(), None));
        }
        let form: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a pragma");
        assert_eq!(usize::try_from(form - FIRST_FORM), Ok(UPGRADES.len()));
    }
}
