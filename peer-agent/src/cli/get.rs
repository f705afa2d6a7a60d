//! `netpay get`: downloads contents and pays for them, chunk by chunk, from one supplier after another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::StreamExt as _;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use serde_json::{Value, json};

use super::candidates::{Looking, Wanted};
use super::failure::Failure;
use super::session::{Session, now_ms};
use crate::content::{self, Existing, filename};
use crate::getting::{Obtaining, Used, Wish};
use crate::net::Net;
use crate::wallet::purse::Mode;

/// Buy and download contents. What was interrupted is taken up where it stopped, and never paid twice.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without --max-price it may cost what the supplier's listing, or the ticket, says.\n\nWhen a supplier goes away or brings something else, the next one that the index lists brings the rest; only what is\nmissing is paid. --from keeps to one supplier.\n\nExamples:\n  netpay get CONTENT --max-price 20\n  netpay get netpay:… -o song.ogg\n  netpay get CONTENT CONTENT CONTENT -o music/\n  netpay get CONTENT --from PEER --pay per-payment -o song.ogg"
)]
pub struct Get {
    /// Content ids, as `netpay search` shows them, or tickets.
    #[arg(required = true, value_name = "CONTENT")]
    contents: Vec<Wanted>,
    /// The only supplier; otherwise the cheapest that is online, and then the next.
    #[arg(long, value_name = "PEER")]
    from: Option<PeerId>,
    /// How to pay: words as chunks come, or the paper's way, all at once.
    #[arg(long, value_enum, default_value = "session")]
    pay: Pay,
    /// The most that each content may cost in all, whoever supplies it.
    #[arg(long, value_name = "UNITS")]
    max_price: Option<u64>,
    /// Where to save: a file, or the folder for several; otherwise here, under the name it is offered by.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace a file that is already there.
    #[arg(long)]
    force: bool,
}

/// Contents that are downloaded at once.
const AT_ONCE: usize = 4;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Pay {
    Session,
    PerPayment,
}

/// Targets that this command saves to.
type Taken = RefCell<BTreeSet<PathBuf>>;

/// A content that was downloaded.
struct Got {
    target: PathBuf,
    bytes: u64,
    object: Value,
}

impl Get {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.contents.iter().find(|wanted| !seen.insert(wanted.content)) {
            return Err(Failure::new(2, format!("content {} is named twice", twice.content)));
        }
        let net = session.connect().await?;
        session.errands(&net).check_copy_in_passing().await?;
        let taken = Taken::default();
        let (net, taken) = (&net, &taken);
        if let [wanted] = &self.contents[..] {
            let got = self.one(session, net, wanted, taken).await?;
            session.print(&got.object, || line(&got));
            return Ok(());
        }
        if let Some(folder) = &self.output {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::new(1, format!("the folder {}: {error}", folder.display())))?;
        }
        let downloads = futures::stream::iter(&self.contents)
            .map(|wanted| async move { (wanted.content, self.one(session, net, wanted, taken).await) })
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        self.report(session, downloads)
    }

    fn report(&self, session: &Session, downloads: Vec<(ContentId, Result<Got, Failure>)>) -> Result<(), Failure> {
        let object = |(content, result): &(ContentId, Result<Got, Failure>)| match result {
            Ok(got) => got.object.clone(),
            Err(failure) => {
                json!({ "content": content.to_string(), "error": failure.text, "exit_code": failure.code })
            }
        };
        let objects: Vec<Value> = downloads.iter().map(object).collect();
        let failed: Vec<String> = downloads
            .iter()
            .filter_map(|(content, result)| Some(format!("{content}: {}", result.as_ref().err()?.text)))
            .collect();
        let Some(code) = downloads.iter().find_map(|(_, result)| Some(result.as_ref().err()?.code)) else {
            let lines = || downloads.iter().filter_map(|(_, got)| Some(line(got.as_ref().ok()?) + "\n")).collect();
            session.print(&json!({ "downloads": objects }), lines);
            return Ok(());
        };
        for got in downloads.iter().filter_map(|(_, got)| got.as_ref().ok()) {
            eprintln!("{}", line(got));
        }
        let also = json!({ "downloads": objects });
        Err(Failure { also, ..Failure::new(code, failed.join("\n")) })
    }

    /// One content, from one supplier after another.
    async fn one(&self, session: &Session, net: &Net, wanted: &Wanted, taken: &Taken) -> Result<Got, Failure> {
        let started = Instant::now();
        let looking = Looking { session, net, wanted, from: self.from };
        let is_one = self.contents.len() == 1;
        let mut file = self.output.clone().filter(|path| is_one && !path.is_dir());
        let mut found = looking.first(file.is_none(), self.max_price.is_none()).await?;
        let target = match file.take() {
            Some(file) => file,
            None => self.target(found.name.as_deref(), wanted.content, taken),
        };
        let is_taken = !self.force && std::fs::symlink_metadata(&target).is_ok();
        if is_taken && !content::is_there(&target, wanted.content).unwrap_or(false) {
            return Err(Failure::new(
                1,
                format!("{} exists; replace it with --force, or save elsewhere with -o", target.display()),
            ));
        }
        let bar = progress_bar(session, is_one);
        let progress = |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        };
        let mut obtaining = Obtaining::new(Wish {
            store: &session.store,
            me: &session.home.identity,
            broker: session.home.config.broker,
            content: wanted.content,
            target: &target,
            mode: self.mode(),
            max_price: self.max_price.map(Units),
            now_ms: &now_ms,
            progress: &progress,
        })?;
        if is_taken {
            eprintln!("netpay: {} has this content already; nothing is fetched and nothing paid", target.display());
            let used = obtaining.finish_named()?;
            return Ok(self.got(wanted.content, target, &used, None, started));
        }
        let (mut tried, mut failures) = (BTreeSet::new(), Vec::new());
        loop {
            let Some(next) = found.queue.pop_front() else {
                if found.is_all {
                    break;
                }
                // The ticket's supplier failed; whether the index can be asked does not matter any more.
                found = looking.rest().await.unwrap_or(super::candidates::Found { is_all: true, ..found });
                continue;
            };
            if !tried.insert(next.peer) {
                continue;
            }
            if !failures.is_empty() {
                eprintln!("netpay: going on with supplier {}", next.peer);
            }
            match obtaining.buy_from(&net.to_peer(next.peer), next.peer, next.listed).await {
                Ok(()) => {
                    bar.finish_and_clear();
                    let used = obtaining.finish(if self.force { Existing::Replace } else { Existing::Keep })?;
                    return Ok(self.got(wanted.content, target, &used, Some(next.peer), started));
                }
                Err(error) => {
                    let goes_on = error.is_the_suppliers();
                    let failure = Failure::from(error);
                    let failure = Failure::new(failure.code, format!("supplier {}: {}", next.peer, failure.text));
                    if goes_on && self.from.is_none() {
                        eprintln!("netpay: {}", failure.text);
                    }
                    failures.push(failure);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        bar.finish_and_clear();
        Err(unfinished(obtaining, wanted.content, &target, failures)?)
    }

    /// A file in the folder, under a name that is harmless, and no other download's of this command.
    fn target(&self, name: Option<&str>, content: ContentId, taken: &Taken) -> PathBuf {
        let folder = self.output.clone().unwrap_or_default();
        let named = folder.join(filename::of_download(name.unwrap_or_default(), content));
        if taken.borrow_mut().insert(named.clone()) { named } else { folder.join(content.to_string()) }
    }

    fn mode(&self) -> Mode {
        match self.pay {
            Pay::Session => Mode::Session,
            Pay::PerPayment => Mode::PerPayment,
        }
    }

    fn got(&self, content: ContentId, target: PathBuf, used: &[Used], last: Option<PeerId>, started: Instant) -> Got {
        let bytes = std::fs::metadata(&target).map_or(0, |file| file.len());
        let sum = |of: &dyn Fn(&Used) -> u64| used.iter().map(of).sum::<u64>();
        // Of an order that was left, only what was paid counts.
        let price = |used: &Used| {
            let (order, quote) = (&used.order, &used.order.quote.content);
            if order.done { quote.price_units.0 } else { order.paid.0 }
        };
        for (peer, lacks) in used.iter().filter_map(|used| Some((used.order.quote.content.payee, used.receipt?.1))) {
            if lacks > Units::ZERO {
                eprintln!("netpay: supplier {peer} gave a receipt for {lacks} units fewer than it was paid");
            }
        }
        let object = json!({
            "content": content.to_string(),
            "file": target.display().to_string(),
            "bytes": bytes,
            "price_units": sum(&price),
            "paid_units": sum(&|used| used.order.paid.0),
            "words": sum(&|used| u64::from(used.order.words.0)),
            "seconds": started.elapsed().as_secs_f64(),
            "supplier": last.map(|peer| peer.to_string()),
            "suppliers": suppliers(used),
            "was_there": last.is_none(),
            "mode": self.mode().name(),
        });
        Got { target, bytes, object }
    }
}

/// What was paid to whom for one file.
fn suppliers(used: &[Used]) -> Vec<Value> {
    let peers: BTreeSet<PeerId> = used.iter().map(|used| used.order.quote.content.payee).collect();
    let object = |peer: PeerId| {
        let of_peer = || used.iter().filter(move |used| used.order.quote.content.payee == peer);
        let receipts = of_peer().filter_map(|used| used.receipt).map(|(units, _)| units.0);
        let has_receipt = of_peer().any(|used| used.receipt.is_some());
        json!({
            "peer": peer.to_string(),
            "paid_units": of_peer().map(|used| used.order.paid.0).sum::<u64>(),
            "words": of_peer().map(|used| u64::from(used.order.words.0)).sum::<u64>(),
            "chunks": of_peer().map(|used| used.chunks).sum::<u64>(),
            "receipt_units": has_receipt.then(|| receipts.sum::<u64>()),
        })
    };
    peers.into_iter().map(object).collect()
}

/// Why it did not come to an end, and how things stand.
fn unfinished(
    obtaining: Obtaining<'_>,
    content: ContentId,
    target: &Path,
    failures: Vec<Failure>,
) -> Result<Failure, Failure> {
    let (held, of) = obtaining.held();
    let used = obtaining.leave()?;
    let paid: u64 = used.iter().map(|used| used.order.sent.0).sum();
    // What a person can allow or mend comes before what only others can.
    let mendable = failures.iter().find(|failure| matches!(failure.code, 4 | 5));
    let Some(first) = mendable.or(failures.first()) else {
        return Ok(Failure::new(3, format!("nobody offers content {content}")));
    };
    let mut text = first.text.clone();
    if held > 0 || paid > 0 {
        text += &format!(
            "\npaid {paid} units, got {held} of {of} verified chunks, kept in {}.part; the same command goes on from there",
            target.display()
        );
    }
    let also = json!({ "suppliers": suppliers(&used) });
    Ok(Failure { also, ..Failure::new(first.code, text) })
}

fn line(got: &Got) -> String {
    format!("{}  {} bytes for {} units", got.target.display(), got.bytes, got.object["paid_units"])
}

fn progress_bar(session: &Session, is_one: bool) -> indicatif::ProgressBar {
    if session.json || !is_one {
        return indicatif::ProgressBar::hidden();
    }
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    indicatif::ProgressBar::new(0).with_style(
        indicatif::ProgressStyle::with_template(style).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
    )
}
