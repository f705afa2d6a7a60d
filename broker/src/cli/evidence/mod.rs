//! `netpay-broker doublespend export | verify`: evidence that a payer granted the same words twice, for somebody who
//! trusts neither the payer nor the broker.
//!
//! What proves and what does not is the protocol's (`protocol/spec/27-evidence.md`); here are files and words. Verifying
//! opens no ledger and no configuration.

#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use netpay_ledger::rows::{ConflictRow, Totals};
use netpay_ledger::{Event, load};
use netpay_protocol::admin::DoubleSpendKey;
use netpay_protocol::evidence::{Evidence, KeyChange, Proven, Succession, Unproven};
use netpay_protocol::ids::{BrokerId, EcoinId, PeerId, to_hex};
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use serde_json::{Value, json};

use super::told::Log;
use super::{NotFound, Said, Where};
use crate::ports::State;
use crate::store::Store;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netpay-broker doublespend list --config broker
  netpay-broker doublespend export 4e…21 c0…7a --out mallory.evidence --config broker
  netpay-broker doublespend verify mallory.evidence --broker 6f…c2

Reads the broker's directory, also while it serves. Exit codes: 0 written, 3 no such double spend,
7 what is recorded proves nothing (and nothing was written)")]
pub(super) struct Export {
    /// The e-coin.
    ecoin: EcoinId,
    /// The payee who came second (`payee` in `doublespend list`).
    payee: PeerId,
    /// Where to write the evidence; stdout if it is no terminal. A file that is there is left alone.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    at: Where,
    /// With --json: the evidence is in the object, as hex, unless --out takes it.
    #[arg(from_global)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  netpay-broker doublespend verify mallory.evidence --broker 6f…c2

The broker's id is what peers pin in their configuration: take it from there, not from whoever brought the file.
Exit codes: 0 proven, 3 no such file, 7 not proven (the reason is said)")]
pub(super) struct Verify {
    /// The evidence.
    file: PathBuf,
    /// The broker's id.
    #[arg(long, value_name = "BROKER-ID")]
    broker: BrokerId,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Option<Said>> {
        let config = self.at.load()?;
        let store = Store::open_read_only(&config.ledger())?;
        let keys = config.keys().read_list(config.broker)?;
        let evidence = recorded(&store, keys, &DoubleSpendKey { ecoin: self.ecoin, payee: self.payee })?;
        let verdict = evidence.verify(config.broker);
        match verdict {
            Err(why) if !why.leaves_conduct() => {
                let text = format!("nothing was written: {why}; ask `netpay-broker ledger audit` what is wrong");
                return Ok(Some(Said {
                    json: json!({ "ok": false, "reason": why.name(), "text": text }),
                    text,
                    code: 7,
                }));
            }
            Err(why) => eprintln!("note: {why}; the evidence still shows what the payer signed"),
            Ok(_) => {}
        }
        let bytes = wire::encode(&evidence);
        let mut told = told(&verdict, &evidence);
        let text = match &self.out {
            Some(path) => {
                write_new(path, &bytes)?;
                add(&mut told, "file", path.display().to_string().into());
                format!("{} bytes of evidence written to {}", bytes.len(), path.display())
            }
            None if self.json => {
                add(&mut told, "evidence", to_hex(&bytes).into());
                String::new()
            }
            None if std::io::stdout().is_terminal() => {
                bail!("evidence is bytes, and stdout a terminal: add --out FILE")
            }
            None => {
                std::io::stdout().write_all(&bytes)?;
                return Ok(None);
            }
        };
        Ok(Some(Said::new(told, text)))
    }
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        let bytes = match read(&self.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(NotFound(format!("there is no file {}", self.file.display())))
            }
            read => read.with_context(|| format!("cannot read {}", self.file.display()))?,
        };
        Ok(verdict(&bytes, self.broker))
    }
}

/// At most a byte more than evidence can have: the decoder then says that it is too much.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let limit = u64::try_from(MAX_MESSAGE_BYTES).map_or(u64::MAX, |most| most + 1);
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the recorded half of the evidence together with the key list.
fn recorded(state: &dyn State, keys: SignedKeyList, key: &DoubleSpendKey) -> anyhow::Result<Evidence> {
    let row: Option<ConflictRow> = load::row(&state, &(key.ecoin, key.payee))?;
    let Some(row) = row else {
        let totals: Totals = load::totals(&state)?;
        bail!(NotFound(format!(
            "no double spend of e-coin {} with payee {} is recorded up to position {}; see: netpay-broker doublespend list",
            key.ecoin, key.payee, totals.head.position
        )))
    };
    let found = load::double_spend(&state, *key, row.position)?;
    let found = found.with_context(|| format!("record {} lacks the double spend that the rows name", row.position))?;
    let t = &found.touchstone.content;
    let first = found.paid_grant.signed(t.broker, t.ecoin, found.paid_to);
    let second = found.grant.signed(t.broker, t.ecoin, found.payee);
    let succession = succession(state, &found.touchstone.content)?;
    Ok(Evidence { keys, touchstone: found.touchstone, first, second, succession })
}

/// How the payer came to the touchstone's key, if it is not the one that its id is made of: its registration and changes
/// of keys are in the log, each signed by itself. Nothing, if they do not lead there.
fn succession(state: &dyn State, t: &Touchstone) -> anyhow::Result<Option<Succession>> {
    if PeerId::of(&t.payer_key) == t.payer {
        return Ok(None);
    }
    let log = Log::of(state)?;
    let (mut first, mut changes, mut arrived) = (None, Vec::new(), false);
    log.each(1, log.end(), &mut |record, _| {
        for event in &record.events {
            let key = match event {
                Event::AccountOpened { peer, register, .. } if *peer == t.payer => {
                    first = Some(register.content.signing_key);
                    register.content.signing_key
                }
                Event::PeerKeysRotated { order, register } if order.content.peer == t.payer => {
                    changes.push(KeyChange { order: (**order).clone(), register: (**register).clone() });
                    register.content.signing_key
                }
                _ => continue,
            };
            if key == t.payer_key {
                arrived = true;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(first.filter(|_| arrived).map(|first| Succession { first, changes }))
}

/// Never over a file that is there, and on disk when it returns.
fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let made = std::fs::File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("there is a file {} already; nothing was changed, name another one", path.display())
        }
        made => made.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// What these bytes prove about that broker's e-coins.
fn verdict(bytes: &[u8], pinned: BrokerId) -> Said {
    let evidence: Evidence = match wire::decode(bytes) {
        Ok(evidence) => evidence,
        Err(why) => {
            let text = format!("not proven: this is no evidence of a double spend: {why}");
            let json = json!({ "ok": false, "reason": "malformed", "payer_signed_both": false, "text": text });
            return Said { json, text, code: 7 };
        }
    };
    let proven = evidence.verify(pinned);
    let text = words(&proven, &evidence);
    let mut json = told(&proven, &evidence);
    add(&mut json, "text", text.clone().into());
    Said { json, text, code: if proven.is_ok() { 0 } else { 7 } }
}

/// For people.
fn words(proven: &Result<Proven, Unproven>, evidence: &Evidence) -> String {
    let list = &evidence.keys.list.content;
    match proven {
        Ok(p) => format!(
            "proven: payer {} granted W{}..W{} of e-coin {} to two payees\n  \
             to {}\n  to {}\n\
             {} words, {} units. By the payer's own signatures, {}.\n\
             That broker {} sold the e-coin is the broker's word, as of its key list {}/{} of {} ms.\n\
             Not proven: that words were revealed, that anybody lost by it, or that it is not settled since.",
            p.payer,
            p.words.from,
            p.words.through,
            p.ecoin,
            p.first,
            p.second,
            p.words.words(),
            p.worth(),
            whose(evidence),
            list.broker,
            list.incarnation,
            list.seq,
            list.issued_at_ms,
        ),
        Err(why) if why.leaves_conduct() => {
            let t = &evidence.touchstone.content;
            format!(
                "not proven: {why}\nWhat stays: payer {} signed both grants, of the same words of e-coin {} of broker {}, \
                 to {} and to {}, {}.",
                t.payer,
                t.ecoin,
                t.broker,
                evidence.first.content.payee,
                evidence.second.content.payee,
                whose(evidence)
            )
        }
        Err(why) => format!("not proven: {why}\nIt says nothing against anybody."),
    }
}

/// Why the key is the payer's.
fn whose(evidence: &Evidence) -> String {
    match &evidence.succession {
        None => "with the key that its id is made of".into(),
        Some(keys) => {
            format!("with a key that it changed to by {} orders signed with the key before", keys.changes.len())
        }
    }
}

/// For programs.
fn told(proven: &Result<Proven, Unproven>, evidence: &Evidence) -> Value {
    let list = &evidence.keys.list.content;
    let mut json = match proven {
        Ok(p) => json!({
            "ok": true,
            "reason": null,
            "payer_signed_both": true,
            "payer": p.payer.to_string(),
            "ecoin": p.ecoin.to_string(),
            "first_payee": p.first.to_string(),
            "second_payee": p.second.to_string(),
            "from": p.words.from.0,
            "through": p.words.through.0,
            "words": p.words.words().0,
            "worth_units": p.worth().0,
        }),
        Err(why) => json!({ "ok": false, "reason": why.name(), "payer_signed_both": why.leaves_conduct() }),
    };
    let keys = json!({
        "broker": list.broker.to_string(),
        "incarnation": list.incarnation,
        "seq": list.seq,
        "issued_at_ms": list.issued_at_ms,
    });
    add(&mut json, "key_list", keys);
    json
}

fn add(json: &mut Value, name: &str, value: Value) {
    if let Some(object) = json.as_object_mut() {
        object.insert(name.into(), value);
    }
}
