//! Reading rows and records, as they stand now or as they stood at one moment.

use netpay_ledger::rows::Table;
use rocksdb::{DB, DBIteratorWithThreadMode, Direction, IteratorMode, ReadOptions, Snapshot};

use super::{RECORDS, Store, said};
use crate::ports::State;
use crate::ports::state::{StateError, Visit};

type Pair = (Vec<u8>, Vec<u8>);
type Rows<'a> = DBIteratorWithThreadMode<'a, DB>;

/// A ledger as it stood when this was made.
struct Moment<'a> {
    store: &'a Store,
    snapshot: Snapshot<'a>,
}

fn up_to(rows: Rows<'_>, to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
    let mut found = Vec::new();
    for item in rows.take(limit) {
        let (key, value) = item.map_err(said)?;
        if key.as_ref() > to {
            break;
        }
        found.push((key.into_vec(), value.into_vec()));
    }
    Ok(found)
}

fn first(mut rows: Rows<'_>) -> Result<Option<Pair>, StateError> {
    let item = rows.next().transpose().map_err(said)?;
    Ok(item.map(|(key, value)| (key.into_vec(), value.into_vec())))
}

impl State for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.db.get_cf(self.family(table.name())?, key).map_err(said)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        let mode = IteratorMode::From(from, Direction::Forward);
        up_to(self.db.iterator_cf(self.family(table.name())?, mode), to, limit)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<Pair>, StateError> {
        let mode = IteratorMode::From(key, Direction::Reverse);
        first(self.db.iterator_cf(self.family(table.name())?, mode))
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.db.get_cf(self.family(RECORDS)?, position.to_be_bytes()).map_err(said)
    }

    fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
        look(&Moment { store: self, snapshot: self.db.snapshot() });
    }

    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError> {
        Moment { store: self, snapshot: self.db.snapshot() }.each_row(visit)
    }
}

impl State for Moment<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.snapshot.get_cf(self.store.family(table.name())?, key).map_err(said)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        let mode = IteratorMode::From(from, Direction::Forward);
        up_to(self.snapshot.iterator_cf(self.store.family(table.name())?, mode), to, limit)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<Pair>, StateError> {
        let mode = IteratorMode::From(key, Direction::Reverse);
        first(self.snapshot.iterator_cf(self.store.family(table.name())?, mode))
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.snapshot.get_cf(self.store.family(RECORDS)?, position.to_be_bytes()).map_err(said)
    }

    fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
        look(self);
    }

    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError> {
        for table in Table::ALL {
            let mut whole = ReadOptions::default();
            whole.fill_cache(false);
            let family = self.store.family(table.name())?;
            for item in self.snapshot.iterator_cf_opt(family, whole, IteratorMode::Start) {
                let (key, value) = item.map_err(said)?;
                visit(table, &key, &value);
            }
        }
        Ok(())
    }
}
