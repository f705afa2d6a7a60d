//! What a ledger's directory holds, read to its end: the log followed from its first record, and every row scanned.

use anyhow::ensure;
use netpay_ledger::record::Record;
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;

use super::Store;
use crate::ports::state::scan;

/// See the module.
pub struct Contents {
    /// Of which life of the broker.
    pub incarnation: u64,
    /// Where the log ends.
    pub head: Head,
    /// The time of the last record.
    pub recorded_at_ms: u64,
    /// Of all rows.
    pub digest: Digest,
    /// What is wrong, in words; a log that cannot be followed is an error.
    pub broken: Vec<String>,
}

impl Contents {
    /// Reads all, and says after each record how many there were. Memory does not grow with the ledger.
    pub fn read(store: &Store, told: &mut dyn FnMut(u64)) -> anyhow::Result<Self> {
        let mut head = Head::default();
        store.each_record(1, &mut |position, bytes| {
            let (_, next) = Record::read(bytes, head)?;
            ensure!(next.position == position, "record {} lies at position {position}", next.position);
            head = next;
            told(position);
            Ok(())
        })?;
        let mut found = scan(store)?;
        if found.totals.head != head {
            let rows = found.totals.head.position;
            found
                .broken
                .push(format!("the log ends at position {}, or with another record than {rows}", head.position));
        }
        Ok(Self {
            incarnation: found.totals.incarnation(),
            head,
            recorded_at_ms: found.totals.recorded_at_ms,
            digest: found.digest,
            broken: found.broken,
        })
    }
}
