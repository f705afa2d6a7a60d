//! A ledger in memory: the rows and records of tests, and of tools that need no disk.

use std::collections::BTreeMap;

use netpay_protocol::redemption::Line;

use crate::command::{Command, Facts};
use crate::decide::{Decision, decide};
use crate::load::{self, Rows};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::rows::Table;
use crate::scan::{Findings, Scan};
use crate::working_set::WorkingSet;
use crate::{apply, event::Event};

/// Rows and records in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    records: Vec<Vec<u8>>,
}

/// What a command came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Recorded, with these events.
    Recorded(Vec<Event>),
    /// Recorded before.
    Repeated(u64),
    /// Nothing to record.
    Unchanged(Vec<Line>),
}

/// Memory does not fail; what it holds can still be nonsense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt: {0}")]
pub struct Corrupt(String);

impl Rows for Memory {
    type Error = Corrupt;

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Corrupt> {
        let range = (table, from.to_vec())..=(table, to.to_vec());
        Ok(self.rows.range(range).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Corrupt> {
        let range = (table, vec![])..=(table, key.to_vec());
        Ok(self.rows.range(range).next_back().map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, Corrupt> {
        let index = usize::try_from(position).ok().and_then(|p| p.checked_sub(1));
        Ok(index.and_then(|i| self.records.get(i)).cloned())
    }

    fn corrupt(what: &str) -> Corrupt {
        Corrupt(what.into())
    }
}

impl Memory {
    /// Decides and records one command.
    pub fn execute(&mut self, facts: &Facts, command: Command) -> Result<Outcome, Rejection> {
        let ws = load::for_commands(self, [&command]).expect("memory holds what was written");
        let request = command.request;
        match decide(&ws, facts, command)? {
            Decision::Record(events) => {
                let record = Record::following(ws.totals.head, facts, request, events.clone());
                self.append(ws, &record);
                Ok(Outcome::Recorded(events))
            }
            Decision::Repeated { position } => Ok(Outcome::Repeated(position)),
            Decision::Unchanged(lines) => Ok(Outcome::Unchanged(lines)),
        }
    }

    /// Applies a record as it stands; for replays.
    pub fn replay(&mut self, record: &Record) {
        let ws = load::for_records(self, [record]).expect("memory holds what was written");
        self.append(ws, record);
    }

    fn append(&mut self, mut ws: WorkingSet, record: &Record) {
        apply::record(&mut ws, record);
        for change in ws.changes() {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        self.records.push(record.to_bytes());
    }

    /// Every record, in order.
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// Scans all rows.
    pub fn scan(&self) -> Findings {
        let mut scan = Scan::default();
        for ((table, key), value) in &self.rows {
            scan.row(*table, key, value);
        }
        scan.finish()
    }
}
