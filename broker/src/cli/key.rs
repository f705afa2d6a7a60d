//! `netpay-broker key show | rotate`: the keys that speak for the broker.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use netpay_ledger::{Action, Command, Decision, Facts, Record, apply, decide, load};
use netpay_protocol::key_list::{ListedKey, Purpose, SignedKeyList};
use serde_json::{Value, json};

use super::{Said, Where};
use crate::config::Config;
use crate::keys::{KeyFolder, PURPOSES};
use crate::ports::{State, now_ms};
use crate::store::{Hold, Store};

#[derive(Subcommand, Debug)]
pub(super) enum Key {
    /// The key list that peers get: which key signs what, since when and until when; and the epochs of the chain master key.
    #[command(after_help = "Example:\n  netpay-broker key show --config broker")]
    Show(Where),
    /// Have another key sign from now on. The broker must be stopped, and the root key here.
    #[command(after_help = "\
A retired key signs nothing more, and what it signed stays good. With --revoke nothing that it ever signed is good any more: e-coins
under a revoked touchstone key are refused by payees, though this broker still redeems what it sold. Do that only for a key that
is in other hands.

Keep the chain master keys of earlier epochs until the last e-coin sold with them can no longer be redeemed.

Examples:
  netpay-broker key rotate touchstone --config broker
  netpay-broker key rotate statement --revoke --config broker
  netpay-broker key rotate chain-master --config broker")]
    Rotate(Rotate),
}

#[derive(Args, Debug)]
pub(super) struct Rotate {
    /// Which key.
    which: Which,
    /// The old key is in other hands: nothing that it signed is to be believed.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    at: Where,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Which {
    Touchstone,
    Statement,
    Notice,
    ChainMaster,
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        match self {
            Self::Show(at) => show(&at.load()?),
            Self::Rotate(Rotate { which, revoke, at }) => rotate(&at.load()?, which, revoke),
        }
    }
}

fn rotate(config: &Config, which: Which, revoke: bool) -> anyhow::Result<Said> {
    let purpose = match which {
        Which::Touchstone => Purpose::Touchstone,
        Which::Statement => Purpose::Statement,
        Which::Notice => Purpose::Notice,
        Which::ChainMaster if revoke => bail!("a chain master key signs nothing, so that nothing of it can be revoked"),
        Which::ChainMaster => {
            let _hold = Hold::take(&config.dir)?;
            let epoch = config.keys().rotate_master()?;
            let text =
                format!("chains sold from the next start on are of epoch {epoch}; keep the keys of earlier epochs");
            return Ok(Said::new(json!({ "rotated": "chain-master", "epoch": epoch }), text));
        }
    };
    let named = PURPOSES.into_iter().find(|(_, each)| *each == purpose).context("a purpose with a key")?;
    let _hold = Hold::take(&config.dir)?;
    let store = Store::open(&config.ledger())?;
    let state: &dyn State = &store;
    let now_ms = now_ms().max(load::totals(&state)?.recorded_at_ms);
    let list = config.keys().prepare_rotation(config.broker, named, revoke, now_ms)?;
    let position = record(&store, &list, now_ms)?;
    config.keys().take_over(&list, config.broker)?;
    let shown = shown(&config.keys(), &list);
    let text = format!(
        "{} key: the old one is {}, another signs from the next start on (record {position})",
        named.0,
        if revoke { "revoked" } else { "retired" }
    );
    Ok(Said::new(json!({ "rotated": named.0, "revoked": revoke, "position": position, "keys": shown }), text))
}

/// Puts the list into the ledger, as the writer would.
fn record(store: &Store, list: &SignedKeyList, now_ms: u64) -> anyhow::Result<u64> {
    let state: &dyn State = store;
    let command = Command { request: None, action: Action::RotateBrokerKeys { list: Box::new(list.clone()) } };
    let mut ws = load::for_commands(&state, [&command])?;
    let incarnation = ws.totals.incarnation();
    let facts = Facts { now_ms, incarnation, drained_to_ms: now_ms, clock_trusted: true };
    let Decision::Record(events) = decide(&ws, &facts, command)? else { bail!("the ledger has this key list already") };
    let record = Record::following(ws.totals.head, &facts, None, events);
    apply::record(&mut ws, &record);
    store.write(std::slice::from_ref(&record), &ws.changes())?;
    Ok(record.position)
}

fn show(config: &Config) -> anyhow::Result<Said> {
    let keys = config.keys();
    let list = keys.read_list(config.broker)?;
    let epochs = keys.epochs()?;
    let lines: Vec<_> = list.list.content.keys.iter().map(|key| line(&keys, key)).collect();
    let content = &list.list.content;
    let text = format!(
        "key list {} of broker {}, the next one is due before {} ms\n{}\nchain master keys of epochs {epochs:?}",
        content.seq,
        content.broker,
        content.next_at_ms,
        lines.join("\n")
    );
    let json = json!({
        "broker": content.broker.to_string(),
        "seq": content.seq,
        "issued_at_ms": content.issued_at_ms,
        "next_at_ms": content.next_at_ms,
        "keys": shown(&keys, &list),
        "epochs": epochs,
    });
    Ok(Said::new(json, text))
}

fn shown(keys: &KeyFolder, list: &SignedKeyList) -> Vec<Value> {
    let shown = |key: &ListedKey| {
        json!({
            "kid": key.kid.to_string(),
            "purpose": name(key.purpose),
            "not_before_ms": key.not_before_ms,
            "not_after_ms": key.not_after_ms,
            "revoked_at_ms": Some(key.revoked_at_ms).filter(|at| *at > 0),
            "signs": keys.holds(name(key.purpose), key.kid),
        })
    };
    list.list.content.keys.iter().map(shown).collect()
}

fn line(keys: &KeyFolder, key: &ListedKey) -> String {
    let state = match (key.revoked_at_ms, keys.holds(name(key.purpose), key.kid)) {
        (0, true) => "signs".to_owned(),
        (0, false) => format!("retired at {} ms", key.not_after_ms),
        (at, _) => format!("revoked at {at} ms"),
    };
    format!("  {:<10} {}  since {} ms, {state}", name(key.purpose), key.kid, key.not_before_ms)
}

fn name(purpose: Purpose) -> &'static str {
    PURPOSES.into_iter().find(|(_, each)| *each == purpose).map_or("unknown", |(name, _)| name)
}
