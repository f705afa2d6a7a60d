//! What a group of commands reads of the rows: each once, however many claims ask for it. An e-coin can be paid word by
//! word, and the single writer waits for what is read.

mod world;

use std::cell::Cell;

use netpay_ledger::load::{self, Rows};
use netpay_ledger::memory::Memory;
use netpay_ledger::rows::Table;
use world::World;

type Read<T> = Result<T, <Memory as Rows>::Error>;
type Pair = (Vec<u8>, Vec<u8>);

/// Rows, and how many of the runs were read.
struct Counted<'a> {
    rows: &'a Memory,
    runs: Cell<usize>,
}

impl Rows for Counted<'_> {
    type Error = <Memory as Rows>::Error;

    fn get(&self, table: Table, key: &[u8]) -> Read<Option<Vec<u8>>> {
        self.rows.get(table, key)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8]) -> Read<Vec<Pair>> {
        let found = self.rows.range(table, from, to)?;
        if table == Table::Runs {
            self.runs.set(self.runs.get() + found.len());
        }
        Ok(found)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Read<Option<Pair>> {
        self.rows.at_or_before(table, key)
    }

    fn record(&self, position: u64) -> Read<Option<Vec<u8>>> {
        self.rows.record(position)
    }

    fn corrupt(what: &str) -> Self::Error {
        Memory::corrupt(what)
    }
}

#[test]
fn the_runs_of_an_e_coin_are_read_once_for_all_claims_of_a_group() {
    let mut world = World::new();
    world.bought("alice", "A", 20);
    for i in 1..=20 {
        let claim = world.claim("A", (i, i + 1, i), "bob");
        world.redeem("bob", vec![claim]);
    }
    let (across, upper) = (world.claim("A", (1, 21, 20), "carol"), world.claim("A", (11, 21, 20), "carol"));
    let batches = [vec![across; 10], vec![upper; 10]].map(|claims| world.batch("carol", claims));
    let commands = batches.map(|batch| world.redemption("carol", &batch));
    let counted = Counted { rows: &world.ledger, runs: Cell::new(0) };
    load::for_commands(&counted, &commands).expect("memory holds what was written");
    assert_eq!(counted.runs.get(), 20);
}
