//! How far the feed has come: a small file beside the ledger, written after JetStream has stored what came before it.
//!
//! Not the stream's last message, which would survive as well: on a NATS server without permissions anybody may publish
//! there, and a forged one would have the feed leave out what lies between.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use netpay_ledger::record::{Record, hash};
use netpay_ledger::{load, record::BrokenLog};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use serde_json::{Value, json};

use crate::keys::write_whole;
use crate::ports::State;

/// The last record that was published whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Its place, and its hash.
    pub head: Head,
    /// Which life of the broker wrote it.
    pub incarnation: u64,
}

impl Cursor {
    /// Reads the file; from the first record on if there is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let read = || -> Option<Self> {
            let held: Value = serde_json::from_str(&text).ok()?;
            let hash: Digest = held["hash"].as_str()?.parse().ok()?;
            let head = Head { position: held["position"].as_u64()?, hash };
            Some(Self { head, incarnation: held["incarnation"].as_u64()? })
        };
        read().with_context(|| {
            format!("{} is not as expected; remove it to have every event published again", path.display())
        })
    }

    /// Writes it, synced.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let Self { head: Head { position, hash }, incarnation } = self;
        let held = json!({ "position": position, "hash": hash.to_string(), "incarnation": incarnation });
        write_whole(path, held.to_string().as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The head behind which this log goes on with what was not published. If the log is another one since (it was restored
    /// from a backup), that is where its later life begins: what comes before is part of the log that was published.
    pub fn resume(&self, state: &dyn State) -> anyhow::Result<Head> {
        if self.head.position == 0 {
            return Ok(Head::default());
        }
        let bytes = state.record(self.head.position)?;
        if bytes.is_some_and(|bytes| hash(&bytes) == self.head.hash) {
            return Ok(self.head);
        }
        let end = load::totals(&state)?.head.position;
        // Incarnations only rise.
        let (mut older, mut later) = (0, end.saturating_add(1));
        while later - older > 1 {
            let middle = older + (later - older) / 2;
            if incarnation(state, middle)? > self.incarnation { later = middle } else { older = middle }
        }
        if later > end {
            bail!(
                "the feed was published through record {} of another log than this one; remove events.cursor to have every \
                 event of this one published",
                self.head.position
            );
        }
        head_of(state, older)
    }
}

fn bytes_of(state: &dyn State, position: u64) -> anyhow::Result<Vec<u8>> {
    let missing = || BrokenLog::Unreadable { position, reason: "it is not there".into() };
    Ok(state.record(position)?.ok_or_else(missing)?)
}

fn head_of(state: &dyn State, position: u64) -> anyhow::Result<Head> {
    match position {
        0 => Ok(Head::default()),
        _ => Ok(Head { position, hash: hash(&bytes_of(state, position)?) }),
    }
}

fn incarnation(state: &dyn State, position: u64) -> anyhow::Result<u64> {
    let record: Record = minicbor::decode(&bytes_of(state, position)?)
        .map_err(|error| BrokenLog::Unreadable { position, reason: error.to_string() })?;
    Ok(record.incarnation)
}

#[cfg(test)]
mod tests {
    use netpay_ledger::event::Event;
    use netpay_ledger::rows::{Table, Totals};
    use netpay_protocol::wire;

    use super::*;
    use crate::ports::state::{StateError, Visit};

    /// A log in memory, with nothing else.
    struct Log(Vec<Record>);

    type Pair = (Vec<u8>, Vec<u8>);

    impl State for Log {
        fn get(&self, table: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            let head = self.0.last().map(Record::head).unwrap_or_default();
            let totals = Totals { head, ..Totals::default() };
            Ok((table == <Totals as netpay_ledger::rows::Row>::TABLE).then(|| wire::encode(&totals)))
        }
        fn range(&self, _: Table, _: &[u8], _: &[u8], _: usize) -> Result<Vec<Pair>, StateError> {
            Ok(vec![])
        }
        fn at_or_before(&self, _: Table, _: &[u8]) -> Result<Option<Pair>, StateError> {
            Ok(None)
        }
        fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.iter().find(|record| record.position == position).map(Record::to_bytes))
        }
        fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
            look(self);
        }
        fn each_row(&self, _: &mut Visit<'_>) -> Result<(), StateError> {
            Ok(())
        }
    }

    /// A log whose records are of these lives, and the cursors behind none and each of them.
    fn log(lives: &[u64]) -> (Log, Vec<Cursor>) {
        let (mut head, mut records, mut cursors) = (Head::default(), Vec::new(), vec![Cursor::default()]);
        for (incarnation, position) in lives.iter().copied().zip(1..) {
            let record = Record {
                position,
                recorded_at_ms: 10 * incarnation + position,
                incarnation,
                prev_hash: head.hash,
                request: None,
                events: vec![Event::ClockDoubted {}],
            };
            head = record.head();
            records.push(record);
            cursors.push(Cursor { head, incarnation });
        }
        (Log(records), cursors)
    }

    #[test]
    fn a_cursor_survives_and_one_that_is_not_there_is_at_the_start() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("events.cursor");
        assert_eq!(Cursor::read(&path).expect("none"), Cursor::default());
        let cursor = Cursor { head: Head { position: 7, hash: Digest([7; 32]) }, incarnation: 3 };
        cursor.write(&path).expect("written");
        assert_eq!(Cursor::read(&path).expect("held"), cursor);
        std::fs::write(&path, "{}").expect("ours");
        assert!(Cursor::read(&path).expect_err("no cursor").to_string().contains("is not as expected"));
    }

    #[test]
    fn a_log_that_goes_on_is_read_on_where_it_was_left() {
        let (store, cursors) = log(&[0, 0, 5, 5]);
        for cursor in &cursors {
            assert_eq!(cursor.resume(&store).expect("this log"), cursor.head);
        }
    }

    #[test]
    fn a_restored_log_is_read_on_from_where_its_new_life_begins() {
        // Published through the fourth record of one life; restored from a backup of the first two; and that once more.
        let (_, published) = log(&[0, 0, 0, 0]);
        let (store, cursors) = log(&[0, 0, 5, 5, 5]);
        assert_eq!(published[4].resume(&store).expect("restored"), cursors[2].head);
        let (again, cursors_again) = log(&[0, 0, 9]);
        assert_eq!(cursors[5].resume(&again).expect("restored"), cursors_again[2].head);
        assert_eq!(cursors[2].resume(&again).expect("not behind the backup"), cursors_again[2].head);
        let (from_nothing, _) = log(&[5]);
        assert_eq!(published[4].resume(&from_nothing).expect("restored from an empty ledger"), Head::default());
    }

    #[test]
    fn a_log_that_is_neither_this_one_nor_restored_is_refused() {
        let (_, published) = log(&[0, 0, 0, 0]);
        let (shorter, _) = log(&[0, 0]);
        assert!(published[4].resume(&shorter).expect_err("cut off").to_string().contains("events.cursor"));
    }
}
