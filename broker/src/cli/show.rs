//! `netpay-broker ledger show`: the totals, now or as they were.
//!
//! The past is replayed into a scratch ledger beside the broker's, by the one reducer there is: nothing is summed here.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use netpay_ledger::load;
use netpay_ledger::rows::Totals;
use serde_json::{Value, json};

use super::ledger::{GROUP, Scratch, write};
use super::moment::{self, Moment};
use super::told::Log;
use super::{NotFound, Said, Where};
use crate::ports::State;
use crate::store::Store;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netpay-broker ledger show --config broker
  netpay-broker ledger show --at 1234 --config broker                    # after record 1234
  netpay-broker ledger show --at 2026-11-24T12:00:00Z --config broker    # up to the first record that is later
  netpay-broker ledger show --at 1764000000000ms --config broker         # the same, in ms since 1970

Reads the broker's directory, also while it serves. With --at the log is replayed up to there, into a scratch directory
beside the ledger, removed afterwards. Exit codes: 0 ok, 2 --at is neither, 3 the position is past the end of the log,
7 the log is damaged")]
pub(super) struct Show {
    /// A position, or a time: RFC 3339, or milliseconds since 1970 with ms behind them.
    #[arg(long, value_name = "POSITION|TIME")]
    at: Option<Moment>,
    #[command(flatten)]
    of: Where,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        let config = self.of.load()?;
        let store = Store::open_read_only(&config.ledger())?;
        let totals = match self.at {
            None => Log::of(&store)?.totals,
            Some(moment) => as_of(&store, moment, config.dir.join(format!("ledger.show-{}", std::process::id())))?,
        };
        Ok(Said::new(told(&totals), words(&totals)))
    }
}

fn as_of(state: &dyn State, moment: Moment, scratch: PathBuf) -> anyhow::Result<Totals> {
    let log = Log::of(state)?;
    let last = match moment {
        Moment::Position(position) if position > log.end() => {
            bail!(NotFound(format!("the log ends at position {}; leave out --at for how it stands now", log.end())))
        }
        Moment::Position(position) => position,
        Moment::Time(_) => log.end(),
    };
    let scratch = Scratch(scratch);
    let copy = replay(&log, last, moment, &scratch.0)?;
    let state: &dyn State = &copy;
    Ok(load::totals(&state)?)
}

/// Replays the records through `last` that are not later than the moment.
fn replay(log: &Log<'_>, last: u64, moment: Moment, into: &Path) -> anyhow::Result<Store> {
    let copy = Store::create(into)?;
    let mut group = Vec::new();
    log.each(1, last, &mut |record, _| {
        if matches!(moment, Moment::Time(ms) if record.recorded_at_ms > ms) {
            return Ok(ControlFlow::Break(()));
        }
        group.push(record.clone());
        if group.len() >= GROUP {
            write(&copy, &mut group)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if !group.is_empty() {
        write(&copy, &mut group)?;
    }
    Ok(copy)
}

fn told(totals: &Totals) -> Value {
    json!({
        "position": totals.head.position,
        "head": totals.head.hash.to_string(),
        "recorded_at_ms": totals.recorded_at_ms,
        "incarnation": totals.incarnation(),
        "reconciled": totals.restored.is_none(),
        "keys_position": totals.keys.map(|keys| keys.position),
        "clock_doubted_at_ms": totals.clock_doubted_at_ms,
        "accounts": totals.accounts,
        "balances_units": totals.peers.0,
        "escrow_units": totals.escrow.0,
        "outside_units": totals.outside,
        "debts_units": totals.debts.0,
        "payouts_open_units": totals.payouts_open().0,
        "ecoins_issued": totals.ecoins_issued,
        "words_redeemed": totals.words_redeemed,
        "double_spends": totals.double_spends,
    })
}

fn words(totals: &Totals) -> String {
    let at = match totals.head.position {
        0 => "nothing was recorded yet".to_owned(),
        position => format!("position {position}, recorded at {}", moment::shown(totals.recorded_at_ms)),
    };
    let restored = if totals.restored.is_some() { ", restored from a backup and not reconciled" } else { "" };
    let clock = if totals.clock_doubted_at_ms.is_some() { ", clock in doubt" } else { "" };
    format!(
        "{at}, incarnation {}{restored}{clock}\nhead {}\n\
         {:>14} units in {} accounts\n\
         {:>14} units in escrow (sold, not yet redeemed or refunded)\n\
         {:>14} units outside (payouts less deposits)\n\
         {:>14} units owed for double spends, {} ever recorded\n\
         {:>14} units in open payouts\n\
         {:>14} e-coins sold, {} words redeemed",
        totals.incarnation(),
        totals.head.hash,
        totals.peers,
        totals.accounts,
        totals.escrow,
        totals.outside,
        totals.debts,
        totals.double_spends,
        totals.payouts_open(),
        totals.ecoins_issued,
        totals.words_redeemed
    )
}

#[cfg(test)]
mod tests {
    use super::super::told::tests::stored;
    use super::super::told::tests::world::{START_MS, World};
    use super::*;

    fn totals(store: &Store) -> Totals {
        let state: &dyn State = store;
        load::totals(&state).expect("readable")
    }

    /// Something of everything, a minute apart.
    fn world() -> World {
        let mut world = World::new();
        let later = |world: &mut World| world.now_ms += 60_000;
        world.credit("mallory", 10);
        later(&mut world);
        let order = world.purchase("mallory", &["coin"], 10, Default::default());
        world.execute(order).expect("a good purchase");
        for (payee, range) in [("bob", (1, 6, 5)), ("carol", (4, 9, 8))] {
            later(&mut world);
            let claim = world.claim("coin", range, payee);
            world.redeem(payee, vec![claim]);
        }
        later(&mut world);
        let payout = world.payout("bob", 2);
        world.execute(payout).expect("bob has 5");
        world
    }

    /// A ledger that ends there is what one that went on looks like from there.
    #[test]
    fn the_totals_at_a_position_are_those_that_the_ledger_had_when_it_ended_there() {
        let world = world();
        let records = world.ledger.records();
        let (dir, store) = stored(records);
        for (position, end) in (0_u64..).zip(0..=records.len()) {
            let (_dir, then) = stored(&records[..end]);
            let at = as_of(&store, Moment::Position(position), dir.path().join("scratch")).expect("replayed");
            assert_eq!(at, totals(&then), "at {position}");
            assert!(!dir.path().join("scratch").exists(), "nothing is left behind");
        }
        let now = told(&totals(&store));
        let expected = json!({
            "incarnation": 1, "reconciled": true, "keys_position": null, "clock_doubted_at_ms": null,
            "position": 5, "accounts": 3, "balances_units": 6, "escrow_units": 2, "outside_units": -8, "debts_units": 2,
            "payouts_open_units": 2, "ecoins_issued": 1, "words_redeemed": 8, "double_spends": 1,
            "recorded_at_ms": START_MS + 240_000, "head": totals(&store).head.hash.to_string(),
        });
        assert_eq!(now, expected);
    }

    #[test]
    fn a_time_is_the_last_record_that_is_not_later() {
        let (dir, store) = stored(world().ledger.records());
        let at = |moment| as_of(&store, moment, dir.path().join("scratch"));
        for (ms, position) in [
            (START_MS - 1, 0),
            (START_MS, 1),
            (START_MS + 59_999, 1),
            (START_MS + 60_000, 2),
            (START_MS + 240_000, 5),
            (u64::MAX, 5),
        ] {
            assert_eq!(at(Moment::Time(ms)).expect("replayed").head.position, position, "{ms}");
        }
        let error = at(Moment::Position(6)).expect_err("past the end");
        assert_eq!(super::super::exit_code(&error), 3, "{error}");
    }
}
