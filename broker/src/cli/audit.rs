//! `netpay-broker ledger audit`: the independent audit of a ledger's directory, also while a broker serves it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::{Said, Where, ledger};
use crate::audit::statement::{self, Watch};
use crate::audit::{self, Audited, Error, Trust, rows};
use crate::ports::state;
use crate::store::Store;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netpay-broker ledger audit --config broker
  netpay-broker ledger audit --statement saved-by-a-peer.statement --scratch /var/tmp

Reads the log from its first record, believes the key list and the keys in the configuration's operators and
former_operators (where a key goes that may give no more orders), and says the
first difference. A scratch file in DIR keeps what a long log leads to; memory stays below 512 MiB.")]
pub(super) struct Audit {
    /// A statement that a peer saved (netpay statement --batch ID --save FILE): whether the log tells the same history.
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
    /// Where the scratch file lies while this runs; otherwise beside the ledger.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    at: Where,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        let config = self.at.load()?;
        let keys = config.keys().read_list(config.broker)?.verify(config.broker)?;
        let operators = [config.operators.as_slice(), &config.former_operators].concat();
        let trust = Trust { broker: config.broker, keys, operators };
        let saved = self.statement.as_deref().map(statement::read).transpose()?;
        // As RocksDB shows it to readers the directory stands still, also while a broker adds to it.
        let store = Store::open_read_only(&config.ledger())?;
        let there = state::scan(&store)?;
        let since = Instant::now();
        let scratch = self.scratch.as_deref().unwrap_or(&config.dir);
        let (mut broken, mut first, mut history) = (there.broken.clone(), None, None);
        let mut proven = (0, 0);
        let watch = match saved.map(|saved| Watch::over(saved, &trust)).transpose() {
            Ok(watch) => watch,
            Err(error) => {
                history = Some(Err(error.to_string()));
                None
            }
        };
        match prove(trust, scratch, watch, &store) {
            Err(Stopped::Audit(Error::Differs(difference))) => {
                broken.insert(0, difference.to_string());
                first = Some(json!({ "position": difference.position, "what": difference.what }));
            }
            Err(Stopped::Audit(error)) => return Err(error.into()),
            Err(Stopped::Unreadable(error)) => return Err(error),
            Ok(audited) => {
                let figures = audited.figures();
                proven = (figures.claims, figures.proofs);
                history = history.or_else(|| audited.statement());
                match rows::compare(&audited, &store) {
                    Ok(()) => {}
                    Err(rows::Error::Differs(what)) => {
                        broken.insert(0, format!("L7: {what}"));
                        first = Some(json!({ "position": figures.head.position, "what": what }));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if let Some(Err(what)) = &history {
            broken.push(format!("statement: {what}"));
        }
        let mut said = ledger::report("audit", &there, &broken);
        let seconds = since.elapsed().as_secs_f64();
        said.text += &format!("\n{} claims and {} signatures and words proven in {seconds:.1} s", proven.0, proven.1);
        if let Some(object) = said.json.as_object_mut() {
            object.insert("first_difference".into(), first.into());
            object.insert("claims_proven".into(), proven.0.into());
            object.insert("proofs".into(), proven.1.into());
            if let Some(history) = history {
                let fits = history.is_ok();
                object.insert("statement".into(), json!({ "ok": fits, "what": history.err() }));
            }
        }
        Ok(said)
    }
}

/// Why the log was not read to its end.
enum Stopped {
    Audit(Error),
    Unreadable(anyhow::Error),
}

fn prove(trust: Trust, scratch: &Path, watch: Option<Watch>, store: &Store) -> Result<Audited, Stopped> {
    let mut audit = audit::Audit::begin(trust, scratch).map_err(Stopped::Audit)?;
    if let Some(watch) = watch {
        audit.watch(watch);
    }
    let (mut shown, last) = (Instant::now(), store.last_record().map_or(0, |last| last.map_or(0, |(at, _)| at)));
    let read = store.each_record(1, &mut |position, bytes| {
        audit.record(position, bytes)?;
        if shown.elapsed() >= TELL {
            shown = Instant::now();
            eprintln!("audited {position} of {last} records");
        }
        Ok(())
    });
    match read {
        Ok(()) => audit.finish().map_err(Stopped::Audit),
        Err(error) => Err(match error.downcast::<Error>() {
            Ok(error) => Stopped::Audit(error),
            Err(error) => Stopped::Unreadable(error),
        }),
    }
}
