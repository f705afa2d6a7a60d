//! `netpay-broker ledger …`: rebuilding from the log, and what the operator says of the ledger as a whole.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use netpay_ledger::record::Record;
use netpay_ledger::scan::Findings;
use netpay_ledger::{apply, invariants, load};
use netpay_protocol::admin::{LedgerView, Order};
use netpay_protocol::redemption::Head;
use serde_json::json;

use super::audit::Audit;
use super::{Said, Where, explain, export, reach, show, views};
use crate::config::Config;
use crate::ports::{State, state};
use crate::store::{Hold, Store};

/// Records applied together.
pub(super) const GROUP: usize = 500;

#[derive(Subcommand, Debug)]
pub(super) enum Ledger {
    /// Prove every cent of the log again, with code of its own, and hold every row against it.
    Audit(Audit),
    /// Rebuild every row from the log, and compare (or replace) what is there. The broker must be stopped.
    Rebuild(Rebuild),
    /// After `backup restore`: say that you are through with what the backup did not know. Payouts, refunds and debts go on.
    #[command(after_help = "\
Before you say so, let peers send their claims again (they do it by themselves), and go through your bank's list for payouts
that the backup shows as open and that were paid.

Example:
  netpay-broker ledger reconcile --reason 'bank list of 24 November gone through' --config broker")]
    Reconcile(Word),
    /// Say that the clock is right, after it jumped or the broker stood still for more than a day. Refunds and debts go on.
    #[command(after_help = "\
Example:
  netpay-broker ledger confirm-clock --reason 'NTP is in step' --config broker")]
    ConfirmClock(Word),
    /// The log as JSON lines, one event each.
    Export(export::Export),
    /// Why a number is what it is: every event behind a peer, an e-coin or a position, in words.
    Explain(explain::Explain),
    /// The totals, now or as they were at a position or a time.
    Show(show::Show),
}

/// An operator's word to the running broker.
#[derive(Args, Debug)]
pub(super) struct Word {
    /// How you found out; it stays in the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Rebuild {
    /// Put the rebuilt ledger in the old one's place; the old one is kept beside it.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    at: Where,
}

impl Ledger {
    pub(super) async fn run(self) -> anyhow::Result<Option<Said>> {
        let said = match self {
            Self::Audit(audit) => audit.run(),
            Self::Rebuild(Rebuild { replace, at }) => rebuild(&at.load()?, replace),
            Self::Reconcile(Word { reason, at }) => say(&at, &Order::Reconcile { reason }).await,
            Self::ConfirmClock(Word { reason, at }) => say(&at, &Order::ConfirmClock { reason }).await,
            Self::Export(command) => return command.run().map(|()| None),
            Self::Explain(command) => command.run(),
            Self::Show(command) => command.run(),
        };
        said.map(Some)
    }
}

async fn say(at: &Where, order: &Order) -> anyhow::Result<Said> {
    let view: LedgerView = reach::ask(&at.load()?, order).await?;
    Ok(Said::new(views::ledger(&view), views::ledger_text(&view)))
}

/// Removes a scratch ledger, also when an error ends the command.
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the log leads to, against what is there.
fn compare(there: &Findings, replayed: &Findings, broken: &mut Vec<String>) {
    broken.extend(replayed.broken.iter().cloned());
    let (rows, log) = (there.totals.head, replayed.totals.head);
    if log != rows {
        broken.push(format!("the log ends at position {}, the rows say {}", log.position, rows.position));
    } else if replayed.digest != there.digest {
        broken.push("the rows are not what the log leads to".into());
    }
}

fn rebuild(config: &Config, replace: bool) -> anyhow::Result<Said> {
    let path = config.ledger();
    let hold = Hold::take(&config.dir)?;
    let store = Store::open(&path)?;
    let there = state::scan(&store)?;
    let scratch = Scratch(config.dir.join("ledger.rebuilt"));
    let _ = std::fs::remove_dir_all(&scratch.0);
    let mut rebuilt = replay(&store, &scratch.0)?;
    rebuilt.take_place_of(&store)?;
    let again = state::scan(&rebuilt)?;
    drop(rebuilt);
    let mut different = Vec::new();
    compare(&there, &again, &mut different);
    let same = different.is_empty();
    // Rows can be wrong, and are then replaced; a log that is shorter than what was once acknowledged cannot.
    let lossy = again.totals.head.position < there.totals.head.position || !again.broken.is_empty();
    let replaced = replace && !lossy;
    // Before anything moves: an open RocksDB goes on deleting files by their old paths.
    drop(store);
    if replaced {
        let old = config.dir.join(format!("ledger.old-{}", crate::ports::now_ms()));
        std::fs::rename(&path, &old)?;
        std::fs::rename(&scratch.0, &path)?;
        std::fs::File::open(&config.dir)?.sync_all()?;
    }
    drop(hold);
    let mut said = report("rebuild", &again, if replaced { &[] } else { &different });
    if let Some(object) = said.json.as_object_mut() {
        object.insert("same".into(), same.into());
        object.insert("replaced".into(), replaced.into());
    }
    Ok(said)
}

/// Replays the whole log into a new ledger.
fn replay(from: &Store, into: &Path) -> anyhow::Result<Store> {
    let copy = Store::create(into)?;
    let mut head = Head::default();
    let mut group = Vec::new();
    let mut shown = std::time::Instant::now();
    from.each_record(1, &mut |position, bytes| {
        let (record, next) = Record::read(bytes, head)?;
        ensure!(record.position == position, "record {} lies at position {position}", record.position);
        head = next;
        group.push(record);
        if group.len() >= GROUP {
            write(&copy, &mut group)?;
            if shown.elapsed().as_secs() >= 2 {
                shown = std::time::Instant::now();
                eprintln!("replayed {position} records");
            }
        }
        Ok(())
    })?;
    // A ledger without a record has no row either.
    if !group.is_empty() {
        write(&copy, &mut group)?;
    }
    Ok(copy)
}

pub(super) fn write(copy: &Store, group: &mut Vec<Record>) -> anyhow::Result<()> {
    let state: &dyn State = copy;
    let mut ws = load::for_records(&state, group.iter())?;
    for record in group.iter() {
        if let Some(invariant) = invariants::broken_by(&ws, &record.events) {
            bail!("record {} would break {invariant}", record.position);
        }
        apply::record(&mut ws, record);
    }
    copy.write(group, &ws.changes())?;
    group.clear();
    Ok(())
}

pub(super) fn report(what: &str, findings: &Findings, broken: &[String]) -> Said {
    let ok = broken.is_empty();
    let Findings { digest, totals, imbalance, escrow_gap, .. } = findings;
    let json = json!({
        "ok": ok,
        "position": totals.head.position,
        "head": totals.head.hash.to_string(),
        "digest": digest.to_string(),
        "imbalance_units": i64::try_from(*imbalance).unwrap_or(i64::MAX),
        "escrow_gap_units": i64::try_from(*escrow_gap).unwrap_or(i64::MAX),
        "escrow_units": totals.escrow.0,
        "balances_units": totals.peers.0,
        "payouts_open_units": totals.payouts_open().0,
        "broken": broken,
    });
    let verdict = if ok { "passed".to_owned() } else { format!("FAILED\n  {}", broken.join("\n  ")) };
    let text = format!(
        "{what}: {verdict}\nposition {}, head {}\nstate digest {digest}\n{} units in accounts, {} in escrow, imbalance {imbalance}",
        totals.head.position, totals.head.hash, totals.peers, totals.escrow
    );
    Said { json, text, code: if ok { 0 } else { 7 } }
}

#[cfg(test)]
mod tests {
    use netpay_ledger::{Event, Facts};
    use netpay_protocol::ids::BrokerId;

    use super::*;
    use crate::config::{FILE, Role};
    use crate::store::{Entry, Replica};

    #[test]
    fn a_ledger_without_a_record_is_what_its_log_leads_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
        let copy = replay(&store, &dir.path().join("copy")).expect("nothing to replay");
        let mut broken = Vec::new();
        compare(&state::scan(&store).expect("read"), &state::scan(&copy).expect("read"), &mut broken);
        assert_eq!(broken, Vec::<String>::new());
    }

    #[test]
    fn a_rebuilt_ledger_of_a_clusters_node_goes_on_where_the_old_one_was_and_that_one_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = Config::new_file(BrokerId([1; 16]), Role::Broker, "nats://127.0.0.1:1", "127.0.0.1:0", &[]);
        std::fs::write(dir.path().join(FILE), text).expect("our own file");
        let config = Config::load(dir.path()).expect("just written");
        let node = Replica::create(&config.ledger()).expect("new");
        let facts = Facts { now_ms: 1, incarnation: 1, drained_to_ms: 1, clock_trusted: true };
        let record = Record::following(Head::default(), &facts, None, vec![Event::ClockDoubted {}]);
        let entry = Entry { records: vec![record.to_bytes()], progress: b"far".to_vec() };
        node.apply(&[entry]).expect("applied");
        let before = state::scan(&node).expect("read");
        drop(node);
        let Said { json, code, .. } = rebuild(&config, true).expect("rebuilt");
        assert_eq!((code, &json["replaced"]), (0, &json!(true)));
        for _ in 0..2 {
            let node = Replica::open(&config.ledger()).expect("still a cluster's");
            assert_eq!(state::scan(&node).expect("read"), before);
            assert_eq!(node.progress().expect("read").as_deref(), Some(b"far".as_slice()));
        }
        assert!(dir.path().join("ledger.1/CURRENT").exists(), "the old one");
    }
}
