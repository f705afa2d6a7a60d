//! The rows on disk against what the log leads to: any one changed, missing, or added is found.

use netpay_broker::audit::rows::{Error, compare};
use netpay_broker::ports::State;
use netpay_broker::store::Store;
use netpay_ledger::rows::Table;
use netpay_ledger::working_set::Change;
use netpay_ledger::{apply, load};

use crate::world::*;

fn stored(log: &[Vec<u8>], folder: &std::path::Path) -> Store {
    let store = Store::create(&folder.join("ledger")).expect("a new ledger");
    for position in 1..=log.len() {
        let record = read(log, position);
        let state: &dyn State = &store;
        let mut ws = load::for_records(&state, [&record]).expect("readable");
        apply::record(&mut ws, &record);
        store.write(std::slice::from_ref(&record), &ws.changes()).expect("written");
    }
    store
}

#[test]
fn any_row_changed_missing_or_added_is_found() {
    // An id that begins with the highest byte, as one in 256 does.
    let name = (0..).map(|i| format!("E{i}")).find(|name| ecoin(name).0[0] == 0xff).expect("one of many");
    let last: &'static str = Box::leak(name.into_boxed_str());
    let mut world = story();
    // A debt, a suspension and a payout that stay open, beside those that ended.
    world.credit("erin", 50);
    world.buy("erin", &[last], 6, 2);
    let claims = vec![world.claim(last, (1, 4, 3), "bob")];
    world.redeem("bob", claims);
    let claims = vec![world.claim(last, (2, 5, 4), "carol")];
    world.redeem("carol", claims);
    world.payout("dave", 3);
    is_found_in(&world.log(), Table::ALL.len());
    is_found_in(&two_lives().log(), 9);
}

/// Of every table: changes, takes away and adds each row, and expects that to be found.
fn is_found_in(log: &[Vec<u8>], tables: usize) {
    let folder = tempfile::tempdir().expect("a directory");
    let (store, audited) = (stored(log, folder.path()), audit(log).expect("an honest log"));
    compare(&audited, &store).expect("the rows are what the log leads to");

    let write = |change: Change| store.write(&[], &[change]).expect("written");
    let differs = |what: &str, table: Table| match compare(&audited, &store) {
        Err(Error::Differs(_)) => {}
        other => panic!("{what} row of {}: {other:?}", table.name()),
    };
    let mut seen = 0;
    for table in Table::ALL {
        let mut rows = Vec::new();
        store
            .each_row(&mut |of, key, value| rows.extend((of == table).then(|| (key.to_vec(), value.to_vec()))))
            .expect("rows");
        seen += usize::from(!rows.is_empty());
        for (key, value) in rows {
            let row = |value: Option<Vec<u8>>| Change { table, key: key.clone(), value };
            write(row(None));
            differs("missing", table);
            let mut changed = value.clone();
            changed.push(0);
            write(row(Some(changed)));
            differs("changed", table);
            write(row(Some(value.clone())));
            if table != Table::Meta {
                let mut added = key.clone();
                *added.last_mut().expect("a key") ^= 0x40;
                write(Change { table, key: added.clone(), value: Some(value) });
                differs("added", table);
                write(Change { table, key: added, value: None });
            }
        }
    }
    compare(&audited, &store).expect("all is as it was");
    assert_eq!(seen, tables, "tables with rows in this story");
}

#[test]
fn rows_behind_or_ahead_of_the_log_are_found() {
    let folder = tempfile::tempdir().expect("a directory");
    let log = story().log();
    let store = stored(&log[..10], folder.path());
    let audited = audit(&log).expect("an honest log");
    let said = compare(&audited, &store).expect_err("behind").to_string();
    assert_eq!(said, "L7: the log ends at position 14, the rows say 10");
    let empty = tempfile::tempdir().expect("a directory");
    let nothing = stored(&[], empty.path());
    compare(&audit(&[]).expect("an empty log"), &nothing).expect("no record, no row");
    assert!(compare(&audited, &nothing).is_err());
}
