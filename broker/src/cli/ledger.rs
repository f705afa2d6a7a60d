//! `netpay-broker ledger …`: replaying the log, and what the operator says of the ledger as a whole.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::rows::AccountRow;
use netpay_ledger::scan::Findings;
use netpay_ledger::{apply, invariants, load};
use netpay_protocol::admin::{LedgerView, Order};
use netpay_protocol::ids::PeerId;
use netpay_protocol::key_list::{BrokerKeys, Purpose};
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::redemption::Head;
use serde_json::json;

use super::{Said, Where, explain, export, reach, show, views};
use crate::config::Config;
use crate::ports::{State, state};
use crate::store::{Hold, Store};

/// Records applied together.
pub(super) const GROUP: usize = 500;

#[derive(Subcommand, Debug)]
pub(super) enum Ledger {
    /// Replay the log beside the ledger and compare: hash chain, invariants, every row; touchstones, purchases and payouts
    /// are verified.
    Audit(Where),
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
            Self::Audit(at) => audit(&at.load()?),
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

fn audit(config: &Config) -> anyhow::Result<Said> {
    // As RocksDB shows it to readers the directory stands still, also while a broker adds to it.
    let store = Store::open_read_only(&config.ledger())?;
    let keys = config.keys().read_list(config.broker)?.verify(config.broker)?;
    let there = state::scan(&store)?;
    let scratch = Scratch(config.dir.join(format!("ledger.audit-{}", std::process::id())));
    let replayed = replay(&store, &scratch.0, |record| check_evidence(record, &keys, &store));
    let mut broken = there.broken.clone();
    match replayed {
        Err(error) => broken.push(format!("{error:#}")),
        Ok(copy) => compare(&there, &state::scan(&copy)?, &mut broken),
    }
    Ok(report("audit", &there, &broken))
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
    let again = state::scan(&replay(&store, &scratch.0, |_| Ok(()))?)?;
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
fn replay(from: &Store, into: &Path, check: impl Fn(&Record) -> anyhow::Result<()>) -> anyhow::Result<Store> {
    let copy = Store::create(into)?;
    let mut head = Head::default();
    let mut group = Vec::new();
    let mut shown = std::time::Instant::now();
    from.each_record(1, &mut |position, bytes| {
        let (record, next) = Record::read(bytes, head)?;
        ensure!(record.position == position, "record {} lies at position {position}", record.position);
        check(&record).with_context(|| format!("record {position}"))?;
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

/// What an event claims about others carries their signatures: touchstones the broker's, purchases the payer's, payouts
/// their peer's.
fn check_evidence(record: &Record, keys: &BrokerKeys, there: &Store) -> anyhow::Result<()> {
    for event in &record.events {
        if let Event::PayoutRequested { order } = event {
            check_payout(order, there)?;
        }
        if let Event::EcoinsIssued { order, touchstones, .. } = event {
            for touchstone in touchstones {
                let t = &touchstone.content;
                let key = keys.find(t.kid, Purpose::Touchstone, t.issued_at_ms);
                touchstone.verify(&key.context("a touchstone is signed by a key that is not the broker's")?)?;
                order.verify(&t.payer_key).context("a purchase is not signed by its payer")?;
            }
        }
    }
    Ok(())
}

/// The account's key is the one whose hash the peer's id is, so that the row it is read from needs no trust.
fn check_payout(order: &Signed<RequestPayout>, there: &Store) -> anyhow::Result<()> {
    let (peer, state): (_, &dyn State) = (order.content.peer, there);
    let row: Option<AccountRow> = load::row(&state, &peer)?;
    let opened = row.and_then(|row| row.opened).with_context(|| format!("account {peer} was never opened"))?;
    let key = opened.register.content.signing_key;
    ensure!(PeerId::of(&key) == peer, "the key of account {peer} is not the one that its id is made of");
    order.verify(&key).context("a payout is not signed by its peer")?;
    Ok(())
}

fn report(what: &str, findings: &Findings, broken: &[String]) -> Said {
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
    use netpay_ledger::rows::{Opened, Row as _};
    use netpay_ledger::working_set::Change;
    use netpay_protocol::amounts::Units;
    use netpay_protocol::ids::{BrokerId, RequestId};
    use netpay_protocol::keys::SigningKey;
    use netpay_protocol::register::Register;
    use netpay_protocol::wire;

    use super::*;

    #[test]
    fn a_ledger_without_a_record_is_what_its_log_leads_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
        let copy = replay(&store, &dir.path().join("copy"), |_| Ok(())).expect("nothing to replay");
        let mut broken = Vec::new();
        compare(&state::scan(&store).expect("read"), &state::scan(&copy).expect("read"), &mut broken);
        assert_eq!(broken, Vec::<String>::new());
    }

    /// A broker that writes itself a payout of somebody's balance, even with the account's row forged to fit.
    #[test]
    fn an_audit_finds_a_payout_that_its_peer_did_not_sign() {
        let broker = BrokerId([1; 16]);
        let (alice, forger) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let peer = PeerId::of(&alice.public());
        let payout = RequestPayout {
            broker,
            peer,
            request: RequestId([3; 16]),
            valid_until_ms: 1,
            amount_units: Units(1),
            destination: "bank".into(),
        };
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::create(&dir.path().join("ledger")).expect("a new ledger");
        let account_with = |key: &SigningKey| {
            let register = Register { broker, signing_key: key.public(), sealing_key: vec![], nkey: key.public() };
            let opened = Some(Opened { at_ms: 1, register: Signed::new(register, key) });
            let row = AccountRow { opened, ..AccountRow::default() };
            let change =
                Change { table: AccountRow::TABLE, key: AccountRow::key(&peer), value: Some(wire::encode(&row)) };
            store.write(&[], &[change]).expect("written");
        };
        let signed_by = |key: &SigningKey| check_payout(&Signed::new(payout.clone(), key), &store).is_ok();
        assert!(!signed_by(&alice), "no account, no key");
        account_with(&alice);
        assert_eq!((signed_by(&alice), signed_by(&forger)), (true, false));
        account_with(&forger);
        assert_eq!((signed_by(&alice), signed_by(&forger)), (false, false));
    }
}
