//! `netpay doctor`: looks at everything that may be wrong with this peer, changes nothing, and says what to do next.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use netpay_protocol::admin::AccountView;
use netpay_protocol::key_list::{BrokerKeys, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::messages::{Ask, Search};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;
use serde_json::{Value, json};

use super::failure::Failure;
use super::passphrase::{self, Source};
use super::session::{self, now_ms};
use crate::checkup::{self, Finding};
use crate::errands::patience;
use crate::errands::{self, Errands};
use crate::home::Home;
use crate::home::keyring;
use crate::home::sealed::Passphrase;
use crate::net::{Net, connect};
use crate::ports::{Broker as _, CallError, Shares as _, StoreError};
use crate::store::Store;
use crate::wallet::stale;

/// Look for what is wrong: home, keys, database, clock, NATS, broker, index, lists, money that waits or would be lost.
/// Changes nothing. Each finding says what to do next.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit code 0 when nothing is wrong; otherwise 8 (suspended or in debt), 7 (not the broker's word), 6 (NATS or the\nbroker cannot be reached), 75 (the broker is busy), or 1."
)]
pub struct Doctor {}

impl Doctor {
    /// Runs it.
    pub async fn run(&self, dir: &Path, passphrase: &Source, json: bool) -> Result<(), Failure> {
        let given = passphrase.given()?;
        let findings = examine(dir, || passphrase::or_ask(given)).await;
        let code = checkup::exit_code(&findings);
        let wrong = findings.iter().filter(|finding| finding.code != 0).count();
        let objects: Vec<Value> = findings.iter().map(object).collect();
        session::print(json, &json!({ "ok": code == 0, "exit_code": code, "findings": objects }), || {
            findings.iter().map(line).collect()
        });
        if code == 0 {
            return Ok(());
        }
        Err(Failure::told(code, format!("{wrong} of {} checks found something wrong", findings.len())))
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "ok": finding.code == 0,
        "found": finding.found,
        "advice": finding.advice,
    })
}

fn line(finding: &Finding) -> String {
    let mark = if finding.code == 0 { "ok   " } else { "WRONG" };
    let advice = finding.advice.as_ref().map_or(String::new(), |advice| format!("\n        {advice}"));
    format!("{mark}  {:<14} {}{advice}\n", finding.check, finding.found)
}

/// Every check, in the order in which one depends on another.
async fn examine(dir: &Path, ask: impl FnOnce() -> Result<Passphrase, keyring::Error>) -> Vec<Finding> {
    let mut findings = vec![rights(dir), disk(dir)];
    let home = match Home::open_with(dir, ask) {
        Ok(home) => home,
        Err(error) => {
            let advice = "put home, keys and configuration right, then look again";
            findings.push(Finding::bad("home", 1, error.to_string(), advice));
            return findings;
        }
    };
    findings.push(Finding::good("home", format!("peer {}, keys and configuration can be read", home.identity.peer())));
    match home.store_to_read() {
        Ok(store) => match stored(&home, &store) {
            Ok(more) => findings.extend(more),
            Err(error) => findings.push(damaged(&error)),
        },
        Err(error) => findings.push(damaged(&error)),
    }
    findings.extend(reached(&home).await);
    findings
}

fn rights(dir: &Path) -> Finding {
    match std::fs::metadata(dir).map(|data| data.permissions().mode()) {
        Ok(mode) if mode & 0o077 == 0 => Finding::good("rights", "the home is its owner's alone"),
        Ok(_) => Finding::bad(
            "rights",
            1,
            format!("{} can be entered by others", dir.display()),
            format!("make it yours alone with: chmod 700 {}", dir.display()),
        ),
        Err(error) => Finding::bad("rights", 1, error.to_string(), "make a home with: netpay init --broker BROKERID"),
    }
}

fn disk(dir: &Path) -> Finding {
    match rustix::fs::statvfs(dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} MB are free", free / 1_000_000);
            if free >= checkup::LEAST_FREE_BYTES {
                Finding::good("disk", found)
            } else {
                Finding::bad("disk", 1, found, "make room: what cannot be written is not accepted, and not paid")
            }
        }
        Err(error) => Finding::bad("disk", 1, error.to_string(), "is the directory there?"),
    }
}

fn damaged(error: &StoreError) -> Finding {
    let advice = "if it is of an older form, any other command brings it up to date; otherwise stop using it, and restore a backup with: netpay wallet restore";
    Finding::bad("database", 1, error.to_string(), advice)
}

/// What the wallet's database shows.
fn stored(home: &Home, store: &Store) -> Result<Vec<Finding>, StoreError> {
    let (now_ms, broker) = (now_ms(), home.config.broker);
    let damage = store.integrity()?;
    if let Some(first) = damage.first() {
        return Err(StoreError::damaged(first.clone()));
    }
    let mut findings = vec![Finding::good("database", "whole")];
    let shares = store.read(|tx| {
        findings.push(checkup::registration(tx)?);
        findings.push(checkup::lists(tx, broker, &home.config.policy, now_ms)?);
        findings.extend(checkup::unanswered(tx, now_ms)?);
        findings.push(checkup::claims(tx, now_ms)?);
        findings.extend(checkup::ecoins(tx, now_ms)?);
        tx.shares()
    })?;
    findings.push(checkup::shares(&shares));
    Ok(findings)
}

/// What others answer: NATS, the broker, the index.
async fn reached(home: &Home) -> Vec<Finding> {
    let config = &home.config;
    let (credentials, seed) = (config.nats_credentials.as_deref(), home.identity.nats_seed());
    let net = match connect::connect(&config.nats, credentials, seed, home.identity.peer()).await {
        Ok(net) => net,
        Err(error) => {
            let advice = "until it is back, the wallet can be read, and nothing can be sent";
            return vec![Finding::bad("nats", 6, error.to_string(), advice)];
        }
    };
    let mut findings = vec![Finding::good("nats", format!("connected to {}", config.nats))];
    match ask_broker(home, &net).await {
        Ok(more) => {
            findings.extend(more);
            findings.push(copy(home, &net).await);
        }
        Err(error) => {
            let code = Failure::from(errands::Error::from(error)).code;
            findings.push(code_of("broker", code));
        }
    }
    findings.push(index(&net).await);
    findings
}

fn code_of(check: &'static str, code: u8) -> Finding {
    let found = match code {
        6 => "nobody answers",
        75 => "it is busy",
        _ => "it says no",
    };
    let advice = "what still works without it: paying, being paid while its lists are fresh, wallet show, history; otherwise ask its operator";
    Finding::bad(check, code, found, advice)
}

/// Asks the broker for its keys and this peer's account, with a signed question, and keeps nothing of the answers.
async fn ask_broker(home: &Home, net: &Net) -> Result<Vec<Finding>, CallError> {
    let unreadable = |error: wire::NotAMessage| CallError::Unreadable(error.to_string());
    let list = patience::BROKER.ask(async || net.ask(BrokerOp::Keys, Vec::new()).await).await?;
    let list: SignedKeyList = wire::decode(&list).map_err(unreadable)?;
    let Ok(keys) = list.verify(home.config.broker) else {
        let advice = "somebody else answers in the broker's name: ask its operator for the right id and NATS server";
        return Ok(vec![Finding::bad("broker", 7, "the key list is not the pinned broker's", advice)]);
    };
    let mut findings = vec![next_keys(&keys)];
    let query = Query {
        broker: home.config.broker,
        peer: home.identity.peer(),
        valid_until_ms: now_ms().saturating_add(HOUR_MS / 12),
        min_position: 0,
        question: Question::Balance,
    };
    let about = query.digest();
    let query = Signed::new(query, &home.identity.signing);
    let ask = Ask { query, register: Some(home.identity.register(home.config.broker)) };
    let ask = wire::encode(&ask);
    let answer = patience::BROKER.ask(async || net.ask(BrokerOp::Balance, ask.clone()).await).await?;
    let answer: Signed<Answer> = wire::decode(&answer).map_err(unreadable)?;
    let view = errands::verify_answer(&answer, &keys)
        .filter(|answer| answer.about == about && answer.broker == home.config.broker)
        .map(|answer| wire::decode::<AccountView>(&answer.body));
    let Some(view) = view else {
        let advice = "somebody else answers in the broker's name: ask its operator";
        findings.push(Finding::bad("broker", 7, "the answer is not the pinned broker's", advice));
        return Ok(findings);
    };
    findings.push(Finding::good("broker", "answers, and is the pinned one"));
    findings.push(checkup::clock(answer.content.issued_at_ms, now_ms()));
    findings.push(checkup::account(&view.map_err(unreadable)?));
    Ok(findings)
}

/// Whether words of this wallet were redeemed that it never let go. Locks nothing; `buy`, `get` and `wallet restore` do.
async fn copy(home: &Home, net: &Net) -> Finding {
    let foreign = async {
        let store = home.store_to_read()?;
        let errands =
            Errands { store: &store, me: &home.identity, broker: home.config.broker, line: net, now_ms: &now_ms };
        let own = errands.own_ecoins().await?;
        Ok::<_, errands::Error>(store.read(|tx| stale::foreign_words(tx, &own.ecoins))?)
    };
    match foreign.await {
        Ok(foreign) if foreign.is_empty() => Finding::good("copy", "every word that was redeemed left from here"),
        Ok(foreign) => {
            let words: u64 = foreign.iter().map(|foreign| u64::from(foreign.words.0)).sum();
            let advice =
                "this wallet is a stale copy; lock it before it spends a word twice, with: netpay wallet restore";
            Finding::bad("copy", 8, format!("{words} words were redeemed that never left from here"), advice)
        }
        Err(error) => Finding::bad(
            "copy",
            Failure::from(error).code,
            "the broker did not say what was redeemed",
            "look again later",
        ),
    }
}

fn next_keys(keys: &BrokerKeys) -> Finding {
    let left_ms = keys.list().next_at_ms.saturating_sub(now_ms());
    if left_ms > 0 {
        return Finding::good("broker_keys", format!("good for {} h", left_ms / HOUR_MS));
    }
    let advice = "its operator must sign a new one; until then no first payment of an e-coin is taken anywhere";
    Finding::bad("broker_keys", 1, "the broker's own key list is out of date", advice)
}

async fn index(net: &Net) -> Finding {
    let search = Search { text: "netpay".into(), skip: 0, limit: 1 };
    match patience::BROKER.ask(async || net.search(&search).await).await {
        Ok(_) => Finding::good("index", "answers"),
        Err(error) => Finding::bad(
            "index",
            Failure::from(error).code,
            "it does not answer",
            "nothing can be found by searching; get still works with --from PEER and --max-price",
        ),
    }
}
