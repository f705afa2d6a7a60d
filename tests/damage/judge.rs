//! What a damaged directory turns out to be, when it is opened and everything in it is read.

use std::path::Path;
use std::sync::Arc;

use netpay_broker::journal::local::LocalJournal;
use netpay_broker::ports::State as _;
use netpay_broker::ports::state::scan;
use netpay_broker::store::Store;
use netpay_ledger::record::Record;
use netpay_protocol::redemption::Head;

use crate::specimen::Specimen;

/// Who opens it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// A broker that is to serve: for writing.
    ToServe,
    /// An auditor: for reading.
    ToRead,
}

/// What it turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// It does not open.
    RefusedOpening(String),
    /// It opens, and something in it cannot be read: a broker stops at that.
    RefusedReading(String),
    /// It is the ledger as it stood at this position, before a statement that a client holds.
    Earlier(u64),
    /// It is what it was.
    Same,
    /// It is another ledger, and a broker would serve it. (That an audit finds out later is too late.)
    Different(String),
}

impl Found {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RefusedOpening(_) => "refused at opening",
            Self::RefusedReading(_) => "refused when read",
            Self::Earlier(_) => "an earlier ledger",
            Self::Same => "the same ledger",
            Self::Different(_) => "ANOTHER LEDGER",
        }
    }

    /// What was said, if it was refused.
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::RefusedOpening(said) | Self::RefusedReading(said) => Some(said),
            _ => None,
        }
    }
}

/// Opens and reads everything.
pub fn judge(specimen: &Specimen, dir: &Path, opened: Opened) -> Found {
    let store = match opened {
        Opened::ToServe => Store::open(dir),
        Opened::ToRead => Store::open_read_only(dir),
    };
    let store = match store {
        Ok(store) => Arc::new(store),
        Err(error) => return Found::RefusedOpening(error.to_string()),
    };
    if let Err(error) = LocalJournal::new(Arc::clone(&store)) {
        return Found::RefusedOpening(error.to_string());
    }
    read(specimen, &store)
}

fn read(specimen: &Specimen, store: &Store) -> Found {
    if let Err(error) = every_row_by_its_key(store) {
        return Found::RefusedReading(error);
    }
    let mut heads = vec![Head::default()];
    let mut broken = None;
    let walked = store.each_record(1, &mut |_, bytes| {
        let before = *heads.last().expect("never empty");
        match Record::read(bytes, before) {
            Ok((_, head)) => heads.push(head),
            Err(error) => broken = broken.take().or(Some(error.to_string())),
        }
        Ok(())
    });
    if let Err(error) = walked {
        return Found::RefusedReading(format!("{error:#}"));
    }
    if let Some(error) = broken {
        return Found::Different(error);
    }
    let there = match scan(store) {
        Ok(there) => there,
        Err(error) => return Found::RefusedReading(error.to_string()),
    };
    let head = *heads.last().expect("never empty");
    let place = heads.len() - 1;
    if heads.iter().zip(&specimen.truth).any(|(head, (true_head, _))| head != true_head)
        || heads.len() > specimen.truth.len()
    {
        return Found::Different(format!("another log, of {place} records"));
    }
    let (true_head, true_digest) = specimen.truth[place];
    if there.totals.head != head || !there.broken.is_empty() || there.digest != true_digest {
        return Found::Different(format!("the rows are not what the log leads to: {:?}", there.broken));
    }
    if place + 1 == specimen.truth.len() {
        return Found::Same;
    }
    // Nothing here says that something is missing. The client's last statement does.
    let held = store.record(specimen.seen.position).ok().flatten();
    match held {
        None => Found::Earlier(true_head.position),
        Some(_) => Found::Different("a shorter ledger that has the last record".into()),
    }
}

/// Filters are asked only for single keys: one that is damaged and not noticed would hide a row.
fn every_row_by_its_key(store: &Store) -> Result<(), String> {
    let mut rows = Vec::new();
    let visited = store.each_row(&mut |table, key, value| rows.push((table, key.to_vec(), value.to_vec())));
    visited.map_err(|error| error.to_string())?;
    for (table, key, value) in rows {
        let found = store.get(table, &key).map_err(|error| error.to_string())?;
        assert_eq!(found.as_ref(), Some(&value), "a row of {} that is there, but not by its key", table.name());
    }
    Ok(())
}
