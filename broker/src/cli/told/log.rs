//! Reading the log from one position on, record by record: one in memory at a time, each held against the hash of the
//! one before.

use std::ops::ControlFlow;

use anyhow::Context as _;
use netpay_ledger::record::{self, BrokenLog};
use netpay_ledger::rows::Totals;
use netpay_ledger::{Record, load};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;

use crate::ports::State;

/// Takes a record and its hash, and says whether to go on.
type Visit<'a> = dyn FnMut(&Record, Digest) -> anyhow::Result<ControlFlow<()>> + 'a;

/// The log of a ledger that is open for reading, and so stands still.
pub(in crate::cli) struct Log<'a> {
    state: &'a dyn State,
    /// What the rows say.
    pub(in crate::cli) totals: Totals,
}

impl<'a> Log<'a> {
    pub(in crate::cli) fn of(state: &'a dyn State) -> anyhow::Result<Self> {
        Ok(Self { state, totals: load::totals(&state)? })
    }

    /// The last position, as the rows have it.
    pub(in crate::cli) fn end(&self) -> u64 {
        self.totals.head.position
    }

    /// Shows the records from `from` (at least 1) through `to` (at most the end), or until told to stop.
    pub(in crate::cli) fn each(&self, from: u64, to: u64, visit: &mut Visit<'_>) -> anyhow::Result<()> {
        let mut head = self.head_before(from)?;
        for position in from..=to {
            let bytes = self.bytes(position)?;
            let (record, next) = Record::read(&bytes, head)?;
            head = next;
            if visit(&record, next.hash)?.is_break() {
                return Ok(());
            }
        }
        // The rows name the hash of the last record: what lies between cannot have been changed.
        if to == self.end() && head != self.totals.head {
            return Err(BrokenLog::NotChained { position: to }).context("the rows name another last record");
        }
        if to == self.end() && self.state.record(to.saturating_add(1))?.is_some() {
            return Err(BrokenLog::NotChained { position: to + 1 })
                .context("the log goes on after the rows' last record");
        }
        Ok(())
    }

    fn head_before(&self, from: u64) -> anyhow::Result<Head> {
        match from.saturating_sub(1) {
            0 => Ok(Head::default()),
            position => Ok(Head { position, hash: record::hash(&self.bytes(position)?) }),
        }
    }

    fn bytes(&self, position: u64) -> anyhow::Result<Vec<u8>> {
        let missing = || BrokenLog::Unreadable { position, reason: "it is not there".into() };
        Ok(self.state.record(position)?.ok_or_else(missing)?)
    }
}
