//! `netpay-broker ledger export`: the log as JSON lines, one event each.
//!
//! For programs that keep books of their own. One record is in memory at a time. The fields are listed, and fixed, in
//! `told`.

use std::io::{BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;

use anyhow::bail;
use clap::Args;

use super::told::{self, Log};
use super::{NotFound, Usage, Where};
use crate::store::Store;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netpay-broker ledger export --config broker > log.jsonl
  netpay-broker ledger export --from 1001 --config broker >> log.jsonl     # what came since
  netpay-broker ledger export --from 42 --to 42 --config broker

One JSON object on each line, with or without --json:
  position, recorded_at_ms, incarnation, hash, prev_hash   the record: its place in the chain of BLAKE3 hashes
  request   {signer, id, digest}: who asked for the record, or null
  index     of the event in its record, from 0
  event     account_opened, funds_credited, ecoins_issued, batch_redeemed, double_spend_detected,
            account_suspended, account_reinstated, debt_settled, ecoin_expired, payout_requested,
            payout_settled, payout_failed, ecoin_restored, peer_keys_rotated, broker_keys_rotated,
            ledger_restored, ledger_reconciled, clock_confirmed, clock_doubted
  fields    the event's own: ids in hex, amounts in _units, times in _ms, what was signed as {content, signature}
Reads the broker's directory, also while it serves. Exit codes: 0 ok, 2 --from after --to, 3 --to is past the end of
the log, 7 the log is damaged")]
pub(super) struct Export {
    /// The first record.
    #[arg(long, value_name = "POSITION", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last record; all there are when left out.
    #[arg(long, value_name = "POSITION")]
    to: Option<u64>,
    #[command(flatten)]
    at: Where,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.to.is_some_and(|to| to < self.from) {
            bail!(Usage(format!("--from {} is after --to: name the first record, then the last", self.from)));
        }
        let store = Store::open_read_only(&self.at.load()?.ledger())?;
        let out = std::io::stdout().lock();
        match lines(&Log::of(&store)?, self.from, self.to, BufWriter::new(out)) {
            // `| head` has seen enough.
            Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(closed) => Ok(()),
            written => written,
        }
    }
}

fn closed(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

fn lines(log: &Log<'_>, from: u64, to: Option<u64>, mut out: impl Write) -> anyhow::Result<()> {
    let end = log.end();
    let to = to.unwrap_or(end);
    if to > end {
        bail!(NotFound(format!("the log ends at position {end}; leave out --to for all there is")));
    }
    if from > end.saturating_add(1) {
        bail!(NotFound(format!("the log ends at position {end}; nothing follows from {from} on yet")));
    }
    log.each(from, to, &mut |record, hash| {
        for (index, event) in record.events.iter().enumerate() {
            writeln!(out, "{}", told::line(record, hash, index, event))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use netpay_ledger::load;
    use netpay_ledger::record::{self, Record};
    use netpay_ledger::rows::{Row as _, Totals};
    use netpay_ledger::working_set::Change;
    use netpay_protocol::ids::Digest;
    use netpay_protocol::redemption::Head;
    use netpay_protocol::wire;
    use serde_json::Value;

    use super::super::told::tests::stored;
    use super::super::told::tests::world::World;
    use super::*;
    use crate::ports::State;

    /// Three records: a deposit, a purchase that opens the account, a redemption that opens another.
    fn world() -> World {
        let mut world = World::new();
        world.bought("alice", "coin", 10);
        let claim = world.claim("coin", (1, 6, 5), "bob");
        world.redeem("bob", vec![claim]);
        world
    }

    fn exported(state: &dyn State, from: u64, to: Option<u64>) -> anyhow::Result<Vec<Value>> {
        let mut out = Vec::new();
        lines(&Log::of(state)?, from, to, &mut out)?;
        Ok(String::from_utf8(out)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn places(lines: &[Value]) -> Vec<(u64, u64)> {
        lines.iter().filter_map(|line| Some((line["position"].as_u64()?, line["index"].as_u64()?))).collect()
    }

    #[test]
    fn each_event_is_a_line_in_the_order_of_the_log_and_records_are_chained() {
        let (_dir, store) = stored(world().ledger.records());
        let all = exported(&store, 1, None).expect("exported");
        assert_eq!(places(&all), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]);
        assert_eq!(all[1]["prev_hash"], all[0]["hash"]);
        assert_eq!(all[2]["hash"], all[1]["hash"]);
        assert_eq!(all[3]["prev_hash"], all[2]["hash"]);
        assert_eq!(
            Log::of(&store).expect("readable").totals.head.hash.to_string(),
            all[4]["hash"].as_str().expect("hex")
        );
    }

    #[test]
    fn a_range_is_what_lies_in_it_and_past_the_end_is_not_found() {
        let (_dir, store) = stored(world().ledger.records());
        let range = |from, to| exported(&store, from, to).map(|lines| places(&lines));
        assert_eq!(range(2, Some(2)).expect("there"), [(2, 0), (2, 1)]);
        assert_eq!(range(3, None).expect("there"), [(3, 0), (3, 1)]);
        assert_eq!(range(4, None).expect("nothing came since"), []);
        for (from, to) in [(1, Some(4)), (5, None)] {
            let error = range(from, to).expect_err("past the end");
            assert_eq!(super::super::exit_code(&error), 3, "{error}");
        }
        let (_dir, empty) = stored(&[]);
        assert_eq!(exported(&empty, 1, None).expect("empty"), Vec::<Value>::new());
    }

    #[test]
    fn a_log_that_is_not_what_the_rows_name_is_not_exported_as_if_it_were() {
        let records = world().ledger.records().to_vec();
        let (_dir, store) = stored(&records);
        let code = || super::super::exit_code(&exported(&store, 1, None).expect_err("damaged"));
        let head_is = |position, hash| {
            let state: &dyn State = &store;
            let totals = load::totals(&state).expect("readable");
            let totals = Totals { head: Head { position, hash }, ..totals };
            let change = Change { table: Totals::TABLE, key: Totals::key(&()), value: Some(wire::encode(&totals)) };
            store.write(&[], &[change]).expect("written");
        };
        head_is(3, Digest::ZERO);
        assert_eq!(code(), 7, "another last record");
        head_is(4, record::hash(&records[2]));
        assert_eq!(code(), 7, "a record is missing");
        head_is(2, record::hash(&records[1]));
        assert_eq!(code(), 7, "a record too many");
        head_is(3, record::hash(&records[2]));
        assert!(exported(&store, 1, None).is_ok());
        let (mut first, _) = Record::read(&records[0], Head::default()).expect("a record");
        first.recorded_at_ms += 1;
        store.write(&[first], &[]).expect("written");
        assert_eq!(code(), 7, "the first record was changed");
    }
}
