//! The Central Indexing Server's soft state: signed listings in SQLite, found by words or by content id (DESIGN §5.4).
//!
//! Apart from the ledger, because losing it costs a search and not a cent: suppliers announce again. A listing is kept
//! and answered as its supplier signed it, so that the index can hide one but never change one. Knows no clock, no
//! network and no key of the broker; who may send under which subject is the bus's affair.
//!
//! Signed messages can be replayed by whoever has seen them, and every searcher has. So each (supplier, content) keeps
//! the time of its latest listing or withdrawal until nothing older can be alive any more, also after the listing
//! itself has lapsed.

mod announce;
mod certify;
mod port;
mod search;
#[cfg(test)]
mod tests;

use std::path::Path;

use netpay_protocol::ids::BrokerId;
use netpay_protocol::layout::Malformed;
use netpay_protocol::limits::MAX_SEARCH_BYTES;
use rusqlite::Connection;

/// How often a supplier is expected to announce, in milliseconds.
pub const HEARTBEAT_MS: u64 = 30_000;
/// For how long after it was last heard a supplier counts as online, in milliseconds.
pub const ONLINE_MS: u64 = 3 * HEARTBEAT_MS;
/// How far ahead of ours a supplier's clock may be, in milliseconds.
pub const MAX_CLOCK_AHEAD_MS: u64 = 5 * 60_000;

/// How much the index takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Listings of one supplier at a time. As many again may be remembered as withdrawn or lapsed.
    pub listings_per_supplier: u32,
    /// Listings of all suppliers, with those remembered as withdrawn or lapsed.
    pub listings_in_all: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            listings_per_supplier: 10_000,
            // A search for words that all listings have ranks all of them: measured 0.3 to 0.8 s at this size.
            listings_in_all: 200_000,
        }
    }
}

/// Why the index does not take a message, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It names another broker than ours.
    #[error("expected the broker that this index serves")]
    OtherBroker,
    /// The supplier is not the peer whose key came along.
    #[error("expected the supplier's own key")]
    NotTheSupplier,
    /// A field has a value that version 1 does not allow.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It has lapsed, or (a withdrawal) nothing that it speaks of can be alive.
    #[error("expected a time that is not over")]
    Expired,
    /// It was signed in our future.
    #[error("signed more than {} minutes ahead of our clock", MAX_CLOCK_AHEAD_MS / 60_000)]
    FromTheFuture,
    /// The signature does not verify.
    #[error("signature does not verify")]
    BadSignature,
    /// Something as late or later about the same content of the same supplier came before.
    #[error("expected a later time than that of the latest listing or withdrawal")]
    Stale,
    /// The supplier has as many listings as it may.
    #[error("supplier has as many listings as one may have")]
    TooManyListings,
    /// The index is full.
    #[error("index is full")]
    Full,
    /// A search text above the limit.
    #[error("expected a search text of at most {MAX_SEARCH_BYTES} bytes")]
    TextTooLong,
}

/// Why a request to the index came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The asker is wrong.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database failed.
    #[error("index database failed: {0}")]
    Store(#[from] rusqlite::Error),
}

/// The listings.
pub struct IndexStore {
    db: Connection,
    broker: BrokerId,
    limits: Limits,
    /// Rows in all. Counted when opening and sweeping, and only upwards in between.
    rows: u32,
}

/// Changed with the tables: an index of another version is emptied, suppliers fill it again.
const VERSION: i64 = 2;

impl IndexStore {
    /// Opens the index in a file, creating it if there is none.
    pub fn open(path: &Path, broker: BrokerId, limits: Limits) -> Result<Self, Error> {
        Self::of(Connection::open(path)?, broker, limits)
    }

    /// An index that is gone when it is dropped.
    pub fn in_memory(broker: BrokerId, limits: Limits) -> Result<Self, Error> {
        Self::of(Connection::open_in_memory()?, broker, limits)
    }

    fn of(mut db: Connection, broker: BrokerId, limits: Limits) -> Result<Self, Error> {
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        let tx = db.transaction()?;
        let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            tx.execute_batch(include_str!("schema.sql"))?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        tx.commit()?;
        let mut store = Self { db, broker, limits, rows: 0 };
        store.count()?;
        Ok(store)
    }

    /// Takes lapsed listings out, and forgets what can no longer be replayed. Answers how many listings lapsed.
    pub fn sweep(&mut self, now_ms: u64) -> Result<usize, Error> {
        let now = sql(now_ms);
        let tx = self.db.transaction()?;
        tx.execute(
            "DELETE FROM words WHERE rowid IN
               (SELECT id FROM listing WHERE announce IS NOT NULL AND expires_ms <= ?1)",
            [now],
        )?;
        let lapsed =
            tx.execute("UPDATE listing SET announce = NULL WHERE announce IS NOT NULL AND expires_ms <= ?1", [now])?;
        tx.execute("DELETE FROM listing WHERE forget_ms <= ?1", [now])?;
        tx.execute("DELETE FROM heard WHERE supplier NOT IN (SELECT supplier FROM listing)", [])?;
        tx.execute("DELETE FROM certified WHERE supplier NOT IN (SELECT supplier FROM listing)", [])?;
        tx.commit()?;
        self.count()?;
        Ok(lapsed)
    }

    fn count(&mut self) -> Result<(), Error> {
        self.rows = self.db.query_row("SELECT COUNT(*) FROM listing", [], |row| row.get(0))?;
        Ok(())
    }
}

/// Unsigned numbers in SQLite, which has signed ones; none that we compare comes near the end.
fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
