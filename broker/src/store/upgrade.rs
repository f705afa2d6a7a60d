//! Bringing a ledger directory of an earlier version up to date.
//!
//! The first version had no `ecoins_by_payer` and no `payouts`. The index is filled from the e-coins, synced, and only
//! then is `payouts` made: a directory that has `payouts` has the whole index, wherever a crash came between, and one
//! that lacks it is filled from the start again. An earlier program refuses a directory with families that it does not
//! know, so that it cannot sell e-coins past the index. Nothing of the log is read or changed.

use std::path::Path;

use netpay_ledger::rows::{EcoinRow, OwnedRow, Row as _, Table};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::wire;
use rocksdb::{DB, IteratorMode, WriteBatch};

use super::{OpenError, Store, families, options, said};
use crate::ports::state::StateError;

/// What the first version did not have; the last one is the mark that all is done.
const LATER: [Table; 2] = [Table::EcoinsByPayer, Table::Payouts];
const MARK: Table = Table::Payouts;

/// E-coins indexed by one write.
const GROUP: usize = 10_000;

/// Whether this is a ledger of the first version, or one that was on its way from it. A directory that cannot be looked
/// at is not: whoever opens it says why.
pub(super) fn is_older(path: &Path) -> bool {
    let Ok(there) = DB::list_cf(&options(), path) else { return false };
    let has = |name: &str| there.iter().any(|family| family == name);
    let later = |name: &str| LATER.iter().any(|table| table.name() == name);
    !has(MARK.name()) && families().all(|(name, _)| has(name) || later(name))
}

pub(super) fn open(path: &Path) -> Result<Store, OpenError> {
    let mut creating = options();
    creating.create_missing_column_families(true);
    let but_the_mark = families().filter(|(name, _)| *name != MARK.name());
    let mut store = Store::opened(path, DB::open_cf_with_opts(&creating, path, but_the_mark))?;
    let indexed = store.index_ecoins().map_err(|error| error.to_string());
    let marked = indexed.and_then(|()| store.db.create_cf(MARK.name(), &options()).map_err(|error| error.to_string()));
    marked.map_err(|reason| OpenError::Damaged { path: path.display().to_string(), reason })?;
    tracing::info!("the ledger in {} was brought up to date", path.display());
    Ok(store)
}

impl Store {
    /// Lists every e-coin that was not refunded under its payer.
    fn index_ecoins(&self) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for item in self.db.iterator_cf(self.family(Table::Ecoins.name())?, IteratorMode::Start) {
            let (key, value) = item.map_err(said)?;
            let damaged = || StateError("the ledger directory is damaged: ecoins".into());
            let ecoin = EcoinId(key.as_ref().try_into().map_err(|_| damaged())?);
            let row: EcoinRow = minicbor::decode(&value).map_err(|_| damaged())?;
            if row.expired_at_ms.is_none() {
                let owned = OwnedRow::key(&(row.touchstone.content.payer, ecoin));
                batch.put_cf(self.family(OwnedRow::TABLE.name())?, owned, wire::encode(&OwnedRow {}));
            }
            if batch.len() >= GROUP {
                self.write_synced(std::mem::take(&mut batch))?;
            }
        }
        self.write_synced(batch)
    }
}
