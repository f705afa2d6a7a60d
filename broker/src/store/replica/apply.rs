//! Applying what a cluster's log holds.
//!
//! Whoever led when an entry was proposed may have decided on a head that is not the head where the entry came to lie.
//! Such an entry is stale: nobody answered for it, and every node passes over it alike, since nothing counts but the
//! entry's bytes and the records before it.

use netpay_ledger::record::{BrokenLog, Record};
use netpay_ledger::{apply, invariants, load};
use netpay_protocol::redemption::Head;
use rocksdb::{WriteBatch, WriteOptions};

use super::Replica;
use crate::ports::State;
use crate::ports::state::StateError;

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// The encoded records of one group of commands, in order. None: only the progress moves.
    pub records: Vec<Vec<u8>>,
    /// What the log says of itself as of this entry; opaque here.
    pub progress: Vec<u8>,
}

/// What came of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// Its records are in the ledger now.
    Recorded,
    /// It had none.
    Empty,
    /// Its first record does not follow the head: nothing of it is in the ledger.
    Stale,
}

/// The records of an entry that follow a head, with the head after them; `None` for a stale entry. A record that follows
/// and cannot be read, or that does not follow the one before it in its entry, is damage.
fn follow(records: &[Vec<u8>], head: Head) -> Result<Option<(Vec<Record>, Head)>, StateError> {
    let (mut read, mut end) = (Vec::new(), head);
    for bytes in records {
        match Record::read(bytes, end) {
            Ok((record, next)) => {
                read.push(record);
                end = next;
            }
            Err(BrokenLog::NotChained { .. }) if read.is_empty() => return Ok(None),
            Err(error) => return Err(StateError(format!("the cluster's log is damaged: {error}"))),
        }
    }
    Ok(Some((read, end)))
}

impl Replica {
    /// Applies entries in their order, in one write: all of them, or none and an error. Says of each what came of it.
    pub fn apply(&self, entries: &[Entry]) -> Result<Vec<Applied>, StateError> {
        let _alone = self.alone();
        let store = self.store();
        let Some(last) = entries.last() else { return Ok(vec![]) };
        let state: &dyn State = &*store;
        let mut head = load::totals(&state)?.head;
        let (mut applied, mut records, mut batch) = (Vec::new(), Vec::new(), WriteBatch::default());
        for entry in entries {
            let Some((following, end)) = follow(&entry.records, head)? else {
                applied.push(Applied::Stale);
                continue;
            };
            for (record, bytes) in following.iter().zip(&entry.records) {
                store.put_record(&mut batch, record.position, bytes)?;
            }
            applied.push(if following.is_empty() { Applied::Empty } else { Applied::Recorded });
            records.extend(following);
            head = end;
        }
        // A ledger without a record has no row either.
        if !records.is_empty() {
            let mut ws = load::for_records(&state, &records)?;
            for record in &records {
                if let Some(invariant) = invariants::broken_by(&ws, &record.events) {
                    return Err(StateError(format!("record {} would break {invariant}", record.position)));
                }
                apply::record(&mut ws, record);
            }
            store.put_changes(&mut batch, &ws.changes())?;
        }
        store.put_progress(&mut batch, &last.progress)?;
        store.write_batch(batch, &WriteOptions::default())?;
        Ok(applied)
    }
}
