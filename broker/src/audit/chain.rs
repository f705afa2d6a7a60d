//! The hash chain: that the bytes are records, in order, without gaps, each following the one before.
//!
//! Of what the events say it knows one thing: only a restored backup begins another life of the broker.

use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use netpay_protocol::wire;

use super::{Checked, holds, wrong};

/// The life that a new broker begins with.
const FIRST_LIFE: u64 = 1;

/// How far the log was followed.
pub(super) struct Chain {
    head: Head,
    recorded_at_ms: u64,
    incarnation: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self { head: Head::default(), recorded_at_ms: 0, incarnation: FIRST_LIFE }
    }
}

impl Chain {
    /// The last record followed.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Its time.
    pub(super) fn recorded_at_ms(&self) -> u64 {
        self.recorded_at_ms
    }

    /// Takes the bytes that lie at `position` for the next record.
    pub(super) fn follow(&mut self, position: u64, bytes: &[u8]) -> Checked<Record> {
        holds(position == self.head.position + 1, "the record before it is missing")?;
        let record: Record =
            minicbor::decode(bytes).map_err(|error| wrong(format!("the record cannot be read: {error}")))?;
        holds(wire::encode(&record) == bytes, "the record is not in its canonical encoding")?;
        holds(record.position == position, "the record says that it is at another position")?;
        holds(record.prev_hash == self.head.hash, "the record does not follow the one before it")?;
        holds(record.recorded_at_ms >= self.recorded_at_ms, "the record's time is before that of the one before it")?;
        let life = self.life_from(&record)?;
        let same_life = record.incarnation == self.incarnation || record.incarnation == life;
        holds(same_life, "the record is of another life of the broker than the one before it")?;
        self.head = Head { position, hash: Digest(*blake3::hash(bytes).as_bytes()) };
        self.recorded_at_ms = record.recorded_at_ms;
        self.incarnation = life;
        Ok(record)
    }

    /// Which life goes on after this record: a later one, if it says that a backup which ends right before it was restored.
    fn life_from(&self, record: &Record) -> Checked<u64> {
        let Some(Event::LedgerRestored { incarnation, head, head_at_ms }) = record.events.first() else {
            return Ok(self.incarnation);
        };
        holds(*incarnation > self.incarnation, "a restored backup does not begin a later life of the broker")?;
        let here = (*head, *head_at_ms) == (self.head, self.recorded_at_ms);
        holds(here, "a restored backup ends at another record than the one before it")?;
        Ok(*incarnation)
    }
}
