//! Bringing a ledger directory of an earlier version up to date.
//!
//! The first version had no `ecoins_by_payer` and no `payouts`, the second no `expiry`. Both indexes are filled from the
//! e-coins and synced, and only then is the mark made, an empty family: a directory that has it has the whole indexes,
//! wherever a crash came between, and one that lacks it is filled from the start again. An earlier program refuses a
//! directory with families that it does not know, so that it cannot sell e-coins past an index. Nothing of the log is read
//! or changed.

use std::path::Path;

use netpay_ledger::rows::{EcoinRow, ExpiryRow, OwnedRow, Row as _, Table};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::wire;
use rocksdb::{DB, IteratorMode, WriteBatch};

use super::{OpenError, Store, families, options, said};
use crate::ports::state::StateError;

/// What earlier versions did not have.
const LATER: [Table; 3] = [Table::EcoinsByPayer, Table::Payouts, Table::Expiry];
/// Says that all of them are there and filled.
pub(super) const MARK: &str = "form-3";

/// E-coins indexed by one write.
const GROUP: usize = 10_000;

/// Whether this is a ledger of an earlier version, or one that was on its way from it. A directory that cannot be looked
/// at is not: whoever opens it says why.
pub(super) fn is_older(path: &Path) -> bool {
    let Ok(there) = DB::list_cf(&options(), path) else { return false };
    let has = |name: &str| there.iter().any(|family| family == name);
    let later = |name: &str| LATER.iter().any(|table| table.name() == name);
    !has(MARK) && families().all(|(name, _)| has(name) || later(name) || name == MARK)
}

pub(super) fn open(path: &Path) -> Result<Store, OpenError> {
    let mut creating = options();
    creating.create_missing_column_families(true);
    let but_the_mark = families().filter(|(name, _)| *name != MARK);
    let mut store = Store::opened(path, DB::open_cf_with_opts(&creating, path, but_the_mark))?;
    let indexed = store.index_ecoins().map_err(|error| error.to_string());
    let marked = indexed.and_then(|()| store.db.create_cf(MARK, &options()).map_err(|error| error.to_string()));
    marked.map_err(|reason| OpenError::Damaged { path: path.display().to_string(), reason })?;
    tracing::info!("the ledger in {} was brought up to date", path.display());
    Ok(store)
}

impl Store {
    /// Lists every e-coin that was not refunded, under its payer and under the time when it can be.
    fn index_ecoins(&self) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for item in self.db.iterator_cf(self.family(Table::Ecoins.name())?, IteratorMode::Start) {
            let (key, value) = item.map_err(said)?;
            let damaged = || StateError("the ledger directory is damaged: ecoins".into());
            let ecoin = EcoinId(key.as_ref().try_into().map_err(|_| damaged())?);
            let row: EcoinRow = minicbor::decode(&value).map_err(|_| damaged())?;
            if row.expired_at_ms.is_none() {
                let t = &row.touchstone.content;
                let owned = OwnedRow::key(&(t.payer, ecoin));
                let expiry = ExpiryRow::key(&(t.redeem_until_ms, ecoin));
                batch.put_cf(self.family(ExpiryRow::TABLE.name())?, expiry, wire::encode(&ExpiryRow {}));
                batch.put_cf(self.family(OwnedRow::TABLE.name())?, owned, wire::encode(&OwnedRow {}));
            }
            if batch.len() >= GROUP {
                self.write_synced(std::mem::take(&mut batch))?;
            }
        }
        self.write_synced(batch)
    }
}
