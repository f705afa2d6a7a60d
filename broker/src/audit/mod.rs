//! The independent audit: reads the log from its first byte, and proves every cent of it again.
//!
//! Apart from the ledger on purpose. It takes the log's bytes apart with the ledger's types and shares nothing else with
//! it: none of `decide`, `apply`, `invariants`, `scan` or `load` is known here, so that a mistake made there is not made
//! here again. It keeps books of its own, in a scratch file, because state is larger than memory. It never writes to a
//! ledger, and believes nothing but the key list that the root signed and the operators' keys that the configuration
//! lists.
//!
//! ```text
//! bytes ─> chain ─> records ─> accounts, ecoins, batch, payouts, operators, lives ─> books (SQLite)
//!                                   └─> proofs: signatures and hashes, on all cores
//! ```

mod accounts;
mod batch;
mod books;
mod chain;
mod ecoins;
mod lives;
mod operators;
mod payouts;
mod proofs;
mod records;
pub mod rows;
pub mod statement;

use std::path::Path;

use netpay_ledger::command::Request;
use netpay_protocol::ids::{BrokerId, Kid};
use netpay_protocol::key_list::{BrokerKeys, ListedKey, Purpose};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::redemption::Head;

use books::Books;
use chain::Chain;
use proofs::Proofs;
use statement::Watch;

/// How much of the books is kept in memory.
const CACHE_KIB: u32 = 64 << 10;

/// What is believed without being shown.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The broker.
    pub broker: BrokerId,
    /// Its key list, signed by its root.
    pub keys: BrokerKeys,
    /// Who may give orders.
    pub operators: Vec<PublicKey>,
}

impl Trust {
    /// The key that could sign a touchstone at `issued_at_ms` which was recorded at `recorded_at_ms`: listed, within its
    /// life, and not revoked by then. (A payee refuses whatever a revoked key signed; the log, which was written before
    /// the key was lost, is not wrong for it. A key can be revoked in the very millisecond of the last record.)
    fn touchstone_key(&self, kid: Kid, issued_at_ms: u64, recorded_at_ms: u64) -> Option<PublicKey> {
        let is_it = |key: &&ListedKey| key.kid == kid && key.purpose == Purpose::Touchstone;
        let listed = self.keys.list().keys.iter().find(is_it)?;
        let alive = (listed.not_before_ms..=listed.not_after_ms).contains(&issued_at_ms);
        let revoked = listed.revoked_at_ms != 0 && recorded_at_ms > listed.revoked_at_ms;
        (alive && !revoked).then_some(listed.key)
    }
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {what}")]
pub struct Difference {
    /// The record with which it comes in.
    pub position: u64,
    /// What is wrong, in words.
    pub what: String,
}

/// Why an audit ended before the log did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log is not what an honest broker writes.
    #[error(transparent)]
    Differs(#[from] Difference),
    /// The scratch file failed.
    #[error("the audit's scratch file failed: {0}; give it room elsewhere with --scratch DIR")]
    Scratch(#[from] rusqlite::Error),
    /// There is no place for the scratch file.
    #[error("cannot keep a scratch file in {0}: {1}; choose another folder with --scratch DIR")]
    Folder(String, std::io::Error),
}

/// What a check came to, before it is known at which position.
#[derive(Debug)]
enum Wrong {
    Differs(String),
    Scratch(rusqlite::Error),
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Scratch(error)
    }
}

impl Wrong {
    /// The same, said of something.
    fn about(self, what: &str) -> Self {
        match self {
            Self::Differs(wrong) => Self::Differs(format!("{what} {wrong}")),
            scratch @ Self::Scratch(_) => scratch,
        }
    }

    fn at(self, position: u64) -> Error {
        match self {
            Self::Differs(what) => Error::Differs(Difference { position, what }),
            Self::Scratch(error) => Error::Scratch(error),
        }
    }
}

type Checked<T> = Result<T, Wrong>;

fn wrong(what: impl Into<String>) -> Wrong {
    Wrong::Differs(what.into())
}

/// Goes on if it holds, and says what is wrong otherwise.
fn holds(condition: bool, otherwise: &str) -> Checked<()> {
    if condition { Ok(()) } else { Err(wrong(otherwise)) }
}

/// Where and when an event is recorded, and at whose request.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    recorded_at_ms: u64,
    incarnation: u64,
    request: Option<Request>,
}

/// One record on its way into the books.
struct Entry<'a> {
    trust: &'a mut Trust,
    books: &'a mut Books,
    proofs: &'a mut Proofs,
    at: Place,
}

/// An audit under way.
pub struct Audit {
    trust: Trust,
    chain: Chain,
    books: Books,
    proofs: Proofs,
    watch: Option<Watch>,
}

/// How far the log reaches, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The last record.
    pub head: Head,
    /// Claims proven again.
    pub claims: u64,
    /// Signatures and words proven again.
    pub proofs: u64,
}

impl Audit {
    /// Begins, with books in a file in `scratch` that is gone when the audit ends, however it ends.
    pub fn begin(trust: Trust, scratch: &Path) -> Result<Self, Error> {
        Self::with_cache(trust, scratch, CACHE_KIB)
    }

    /// As [`Audit::begin`], with so much of the books in memory.
    pub fn with_cache(trust: Trust, scratch: &Path, cache_kib: u32) -> Result<Self, Error> {
        let books = Books::open(scratch, cache_kib)?;
        Ok(Self { trust, chain: Chain::default(), books, proofs: Proofs::default(), watch: None })
    }

    /// Looks out for what a statement says of this log.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// Takes the next record. Errors end the audit. What is proven in parallel may be found wrong a few records later;
    /// the difference names the record that it came with.
    pub fn record(&mut self, position: u64, bytes: &[u8]) -> Result<(), Error> {
        if let Err(wrong) = self.post(position, bytes) {
            // Something before it may be wrong, too, and not be proven yet.
            self.proofs.settle()?;
            return Err(wrong.at(position));
        }
        if self.proofs.are_many() {
            self.proofs.settle()?;
        }
        Ok(())
    }

    fn post(&mut self, position: u64, bytes: &[u8]) -> Checked<()> {
        let record = self.chain.follow(position, bytes)?;
        self.proofs.weigh(bytes.len());
        let at = Place {
            position,
            recorded_at_ms: record.recorded_at_ms,
            incarnation: record.incarnation,
            request: record.request,
        };
        let entry = Entry { trust: &mut self.trust, books: &mut self.books, proofs: &mut self.proofs, at };
        records::post(entry, &record.events)?;
        match &mut self.watch {
            Some(watch) => watch.see(self.chain.head(), &record, &self.books),
            None => Ok(()),
        }
    }

    /// Ends the log: what is not proven yet is, and the books must close.
    pub fn finish(mut self) -> Result<Audited, Error> {
        self.proofs.settle()?;
        let head = self.chain.head();
        self.books.close().map_err(|wrong| wrong.at(head.position))?;
        Ok(Audited {
            figures: Figures { head, claims: self.books.sums.claims, proofs: self.proofs.done() },
            recorded_at_ms: self.chain.recorded_at_ms(),
            books: self.books,
            watch: self.watch,
        })
    }
}

/// A log that holds, and the books that it leads to.
pub struct Audited {
    figures: Figures,
    recorded_at_ms: u64,
    books: Books,
    watch: Option<Watch>,
}

impl Audited {
    /// How far the log reaches.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// What the watched statement says that the log does not, if there is one and it does.
    pub fn statement(&self) -> Option<Result<(), String>> {
        self.watch.as_ref().map(|watch| watch.verdict(self.figures.head))
    }
}
