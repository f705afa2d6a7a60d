//! Putting a backup in the place of a lost ledger.
//!
//! The copy gets one more record, which begins another life of the broker, before it is in place: a ledger that forgot what
//! it did never serves as if it had not. A crash leaves no ledger, or the whole one.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use netpay_crash_point::backup::Point;
use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::rows::Totals;
use netpay_ledger::{Facts, apply, invariants, load};
use serde_json::json;

use super::manifest::{LEDGER, Manifest};
use super::{NotGood, Said, check, files, sync_parent};
use crate::actors::clock::Clock;
use crate::cli::ledger::Scratch;
use crate::config::Config;
use crate::ports::{State, now_ms};
use crate::store::{self, Hold, OpenError, Store};

pub(super) fn restore(dir: &Path, config: &Config) -> anyhow::Result<Said> {
    let _hold = Hold::take(&config.dir)?;
    let place = config.ledger();
    store::settle(&place)?;
    if fs::symlink_metadata(&place).is_ok() {
        let exists = OpenError::Exists(config.dir.display().to_string());
        return Err(anyhow::Error::from(exists).context(format!(
            "a backup never replaces a ledger; move it away and keep it: mv {0} {0}.lost",
            place.display()
        )));
    }
    let manifest = check::whole(dir)?;
    let ours = config.broker.to_string();
    ensure!(
        manifest.broker == ours,
        NotGood(format!("the backup is of broker {}, {} is of {ours}", manifest.broker, config.dir.display()))
    );

    let beside = Scratch(config.dir.join("ledger.restoring"));
    let _ = fs::remove_dir_all(&beside.0);
    DirBuilder::new().mode(0o700).create(&beside.0).with_context(|| format!("cannot make {}", beside.0.display()))?;
    copy(dir, &manifest, &beside.0)?;
    Point::Copied.reached();
    let totals = begin_life(&beside.0, now_ms())?;
    File::open(&beside.0)?.sync_all()?;
    Point::LifeBegun.reached();
    fs::rename(&beside.0, &place)?;
    sync_parent(&place)?;
    Point::InPlace.reached();

    let shown = config.dir.display();
    let (position, incarnation) = (totals.head.position, totals.incarnation());
    let text = format!(
        "restored {} records as incarnation {incarnation}\n\
         1. serve it:       netpay-broker serve --config {shown}\n\
         2. peers send their claims again by themselves; credit deposits again that came after the backup, under their \
         references: what is there already is not credited twice\n\
         3. go through your bank's list for payouts, then say so:\n   \
         netpay-broker ledger reconcile --reason '…' --config {shown}\n\
         payouts, refunds and debts wait until then",
        manifest.position
    );
    let json = json!({
        "broker": manifest.broker,
        "restored_position": manifest.position,
        "position": position,
        "head": totals.head.hash.to_string(),
        "incarnation": incarnation,
        "lost_since_ms": manifest.recorded_at_ms,
        "clock_trusted": totals.clock_doubted_at_ms.is_none(),
    });
    Ok(Said::new(json, text))
}

/// Copies the ledger of a backup that was found whole. It may have changed since.
pub(super) fn copy(dir: &Path, manifest: &Manifest, to: &Path) -> anyhow::Result<()> {
    let copied = files::copy_all(&dir.join(LEDGER), to)?;
    ensure!(copied == manifest.files, NotGood("the backup changed while it was copied; try again".into()));
    Ok(())
}

/// Appends the record that begins another life, which is a single node's. Answers the totals then.
pub(super) fn begin_life(ledger: &Path, now_ms: u64) -> anyhow::Result<Totals> {
    let mut store = Store::open(ledger)?;
    store.leave_cluster()?;
    let before = check::totals(&store)?;
    let now_ms = now_ms.max(before.recorded_at_ms);
    let incarnation = now_ms.max(before.incarnation() + 1);
    let restored = Event::LedgerRestored { incarnation, head: before.head, head_at_ms: before.recorded_at_ms };
    append(&store, incarnation, now_ms, restored)?;
    // The new record is young, and would hide that the broker stood still.
    if before.clock_doubted_at_ms.is_none() && !Clock::new(&before).is_trusted() {
        append(&store, incarnation, now_ms, Event::ClockDoubted {})?;
    }
    check::totals(&store)
}

pub(super) fn append(store: &Store, incarnation: u64, now_ms: u64, event: Event) -> anyhow::Result<()> {
    let facts = Facts { now_ms, incarnation, drained_to_ms: now_ms, clock_trusted: false };
    let record = Record::following(check::totals(store)?.head, &facts, None, vec![event]);
    let state: &dyn State = store;
    let mut ws = load::for_records(&state, [&record])?;
    if let Some(invariant) = invariants::broken_by(&ws, &record.events) {
        bail!("the record that begins another life would break {invariant}");
    }
    apply::record(&mut ws, &record);
    Ok(store.write(&[record], &ws.changes())?)
}
