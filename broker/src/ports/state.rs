//! Reading what is committed.

use netpay_ledger::load::Rows;
use netpay_ledger::rows::Table;
use netpay_ledger::scan::{Findings, Scan};

/// Storage that cannot be read, or holds what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

type Pair = (Vec<u8>, Vec<u8>);

/// Takes a table, a key and a row.
pub type Visit<'a> = dyn FnMut(Table, &[u8], &[u8]) + 'a;

/// Committed rows and records. Shared by all threads; the ledger actor alone changes what is behind it.
pub trait State: Send + Sync {
    /// See [`Rows::get`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// See [`Rows::range`]; at most `limit` rows.
    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError>;
    /// See [`Rows::at_or_before`].
    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<Pair>, StateError>;
    /// See [`Rows::record`].
    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError>;
    /// Shows the state as it stands now, once, whatever the writer goes on to commit; see [`at_one_moment`].
    fn show_moment(&self, look: &mut dyn FnMut(&dyn State));
    /// Shows every row of one consistent snapshot, in the order that [`Scan`] takes.
    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError>;
}

impl Rows for &dyn State {
    type Error = StateError;

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        (**self).get(table, key)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Vec<Pair>, StateError> {
        (**self).range(table, from, to, usize::MAX)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<Pair>, StateError> {
        (**self).at_or_before(table, key)
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        (**self).record(position)
    }

    fn corrupt(what: &str) -> StateError {
        StateError(format!("the ledger directory is damaged: {what}"))
    }
}

/// What somebody makes of the state as it stands at one moment: for answers that must fit together.
pub fn at_one_moment<T>(state: &dyn State, look: impl FnOnce(&dyn State) -> T) -> T {
    let (mut look, mut seen) = (Some(look), None);
    state.show_moment(&mut |moment| seen = look.take().map(|look| look(moment)));
    seen.expect("a moment is shown once")
}

/// Scans all rows of a snapshot.
pub fn scan(state: &dyn State) -> Result<Findings, StateError> {
    let mut scan = Scan::default();
    state.each_row(&mut |table, key, value| scan.row(table, key, value))?;
    Ok(scan.finish())
}
