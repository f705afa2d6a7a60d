//! `netpay get`: downloads content from a supplier and pays for it, chunk by chunk.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::listing::Listing;
use netpay_protocol::messages::{AskQuote, Quoted};
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;
use serde_json::json;

use super::failure::Failure;
use super::search;
use super::session::{Session, now_ms};
use crate::content::partial::Partial;
use crate::content::{CHUNK_BYTES, Existing};
use crate::download::{self, Download};
use crate::net::{Net, ToPeer};
use crate::ports::{CallError, OutOrder, OutOrders as _, Supplier as _};
use crate::wallet::granting;
use crate::wallet::purse::Mode;

/// Buy and download content. What was interrupted is taken up where it stopped, and never paid twice.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without --max-price it may cost what the supplier's listing says.\n\nA supplier is paid for a chunk and all chunks before it: there is no price for a part yet. So a download that was\nbegun elsewhere, or under a quote that has expired, goes on only if --max-price covers what the rest costs at most;\nonly the missing chunks are fetched.\n\nExamples:\n  netpay get CONTENT --max-price 20\n  netpay get CONTENT --from PEER --pay per-payment -o song.ogg"
)]
pub struct Get {
    /// The content's id, as `netpay search` shows it.
    content: ContentId,
    /// The supplier; otherwise the cheapest that is online.
    #[arg(long, value_name = "PEER")]
    from: Option<PeerId>,
    /// How to pay: words as chunks come, or the paper's way, all at once.
    #[arg(long, value_enum, default_value = "session")]
    pay: Pay,
    /// The most that it may cost.
    #[arg(long, value_name = "UNITS")]
    max_price: Option<u64>,
    /// Where to save it; otherwise here, under the name it is offered by.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is already there.
    #[arg(long)]
    force: bool,
}

/// How often, and how long apart, the index is asked for a listing that it does not have yet.
const LOOKUPS: u32 = 11;
const LOOKUP_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Pay {
    Session,
    PerPayment,
}

impl Get {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let started = Instant::now();
        let net = session.connect().await?;
        let (payee, name, listed) = self.find(session, &net).await?;
        let target = self.output.clone().unwrap_or_else(|| PathBuf::from(name));
        if !self.force && target.exists() {
            return Err(Failure::new(
                1,
                format!("{} exists; replace it with --force, or save elsewhere with -o", target.display()),
            ));
        }
        let supplier = net.to_peer(payee);
        let order = self.order(session, &net, &supplier, payee, listed).await?;
        let quote = &order.quote.content;
        // One that is under way was agreed before; the most that it may cost can be said anew.
        self.is_price_agreed(quote.price_units, Some(quote.price_units))?;
        let digest = granting::order_of(&order);
        let mut partial = Partial::open(&target, quote.content, quote.size_bytes)?;
        if order.sent == Units::ZERO {
            self.is_rest_covered(&partial, download::price_of_rest(quote, &partial, self.mode()))?;
        }
        download::settle_unanswered(&session.store, &supplier, payee, Some(digest), now_ms()).await?;
        let result = self.download(session, &supplier, &order, &mut partial).await;
        let paid = session.store.read(|tx| tx.out_order(digest))?.unwrap_or(order.clone());
        if let Err(failure) = result {
            let held = partial.held();
            partial.sync().map_err(|e| Failure::new(1, e.to_string()))?;
            return Err(Failure::new(
                failure.code,
                format!(
                    "{}\npaid {} of {} units, got {held} of {} verified chunks, kept in {}.part; the same command goes on from there",
                    failure.text,
                    paid.sent,
                    quote.price_units,
                    quote.chunks(),
                    target.display()
                ),
            ));
        }
        partial.finish(if self.force { Existing::Replace } else { Existing::Keep })?;
        session.store.write(|tx| granting::close_order(tx, digest))?;
        let object = json!({
            "content": self.content.to_string(),
            "file": target.display().to_string(),
            "bytes": quote.size_bytes,
            "price_units": quote.price_units.0,
            "paid_units": paid.paid.0,
            "words": paid.words.0,
            "seconds": started.elapsed().as_secs_f64(),
            "supplier": payee.to_string(),
            "mode": self.mode().name(),
        });
        session.print(&object, || format!("{}  {} bytes for {} units", target.display(), quote.size_bytes, paid.paid));
        Ok(())
    }

    fn mode(&self) -> Mode {
        match self.pay {
            Pay::Session => Mode::Session,
            Pay::PerPayment => Mode::PerPayment,
        }
    }

    /// Whether a new order may take up what is held.
    fn is_rest_covered(&self, partial: &Partial, rest: Units) -> Result<(), Failure> {
        let held = partial.held();
        if held == 0 || rest.0 <= self.max_price.unwrap_or(0) {
            return Ok(());
        }
        Err(Failure::new(
            4,
            format!(
                "{held} chunks are held already, and were not bought with this order; the rest costs at most {rest} units here: allow it with --max-price {rest}; nothing was paid now"
            ),
        ))
    }

    /// Whether a quote is not above what the person said, or else what the listing says.
    fn is_price_agreed(&self, price: Units, listed: Option<Units>) -> Result<(), Failure> {
        let text = match (self.max_price, listed) {
            (Some(most), _) if price.0 <= most => return Ok(()),
            (None, Some(listed)) if price <= listed => return Ok(()),
            (Some(most), _) => format!("it costs {price} units, more than --max-price {most}; nothing was paid now"),
            (None, Some(listed)) => format!(
                "the supplier asks {price} units, and its listing says {listed}; allow it with --max-price {price}"
            ),
            (None, None) => format!(
                "the supplier asks {price} units, and the index has no listing of its to compare; allow it with --max-price {price}"
            ),
        };
        Err(Failure::new(4, text))
    }

    /// What the supplier's listing says; asks for some seconds, since what was shared just now is announced just now.
    async fn listed(&self, session: &Session, net: &Net, payee: PeerId) -> Option<Units> {
        for attempt in 0..LOOKUPS {
            if attempt > 0 {
                tokio::time::sleep(LOOKUP_EVERY).await;
            }
            let Ok((hits, _)) = search::ask(session, net, self.content.to_string(), 0, 100).await else { continue };
            let ours = |(listing, _): &(Listing, bool)| listing.content == self.content && listing.supplier == payee;
            if let Some((listing, _)) = hits.into_iter().find(ours) {
                return Some(listing.price_units);
            }
        }
        None
    }

    /// The supplier, the name to save under, and the listing's price if the index was asked.
    async fn find(&self, session: &Session, net: &Net) -> Result<(PeerId, String, Option<Units>), Failure> {
        let named = || self.content.to_string();
        if let (Some(peer), Some(_)) = (self.from, &self.output) {
            return Ok((peer, named(), None));
        }
        let found = search::ask(session, net, named(), 0, 100).await;
        let (hits, _) = match (found, self.from) {
            (Ok(found), _) => found,
            // Without the index there is no name, but there is the supplier.
            (Err(_), Some(peer)) => return Ok((peer, named(), None)),
            (Err(failure), None) => return Err(failure),
        };
        let best = hits
            .into_iter()
            .filter(|(listing, _)| listing.content == self.content)
            .filter(|(listing, _)| self.from.is_none_or(|peer| peer == listing.supplier))
            .filter(|(listing, _)| listing.supplier != session.home.identity.peer())
            .min_by_key(|(listing, online)| (!online, listing.price_units));
        match (best, self.from) {
            // No path can be in it: that was checked when the listing was read. What starts with a dot is hidden from a
            // person and read by programs, so nobody else gets to choose such a name.
            (Some((listing, _)), _) => {
                let name = if listing.name.starts_with('.') { named() } else { listing.name };
                Ok((listing.supplier, name, Some(listing.price_units)))
            }
            (None, Some(peer)) => Ok((peer, named(), None)),
            (None, None) => Err(Failure::new(3, format!("nobody offers content {}", self.content))),
        }
    }

    /// The order that is under way for this content, or a new one.
    async fn order(
        &self,
        session: &Session,
        net: &Net,
        supplier: &ToPeer,
        payee: PeerId,
        listed: Option<Units>,
    ) -> Result<OutOrder, Failure> {
        let open = session.store.read(|tx| tx.open_out_orders(payee))?;
        // Its price was agreed when it was first paid; one that nothing was paid for is asked for again.
        let is_paid = |order: &OutOrder| order.quote.content.content == self.content && order.sent > Units::ZERO;
        if let Some(order) = open.into_iter().find(is_paid) {
            return Ok(order);
        }
        let ask = AskQuote { content: self.content, first_chunk: 0, chunk_count: None };
        let bytes = supplier.ask(PeerOp::Quote, wire::encode(&ask)).await.map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(failure.code, format!("the supplier {payee}: {}", failure.text))
        })?;
        let quoted: Quoted = wire::decode(&bytes).map_err(|error| CallError::Unreadable(error.to_string()))?;
        let broker = session.home.config.broker;
        if let Some(wrong) = granting::wrong_with(&quoted, broker, payee, self.content, now_ms()) {
            return Err(Failure::new(7, wrong));
        }
        let quote = &quoted.quote.content;
        if quote.chunk_bytes != CHUNK_BYTES {
            return Err(Failure::new(7, format!("the supplier's chunks have {} bytes", quote.chunk_bytes)));
        }
        // The whole price would be due before the file is whole.
        if (quote.first_chunk, quote.chunk_count) != (0, quote.chunks()) {
            let text = format!(
                "the quote is for {} chunks from chunk {} on, and others were asked for",
                quote.chunk_count, quote.first_chunk
            );
            return Err(Failure::new(7, text));
        }
        let listed = match (self.max_price, listed) {
            (None, None) => self.listed(session, net, payee).await,
            (_, listed) => listed,
        };
        self.is_price_agreed(quote.price_units, listed)?;
        Ok(session.store.write(|tx| granting::open_order(tx, &quoted))?)
    }

    async fn download(
        &self,
        session: &Session,
        supplier: &ToPeer,
        order: &OutOrder,
        partial: &mut Partial,
    ) -> Result<(), Failure> {
        let bar = progress_bar(session, order.quote.content.size_bytes);
        bar.inc(partial.held().saturating_mul(u64::from(CHUNK_BYTES)));
        let (store, key) = (&session.store, &session.home.identity.signing);
        let most = self.max_price.map_or(Units(u64::MAX), Units);
        let mut download = Download::new(store, key, supplier, self.mode(), most, &now_ms, order);
        let result = download.run(partial, &|bytes| bar.inc(bytes)).await;
        bar.finish_and_clear();
        Ok(result?)
    }
}

fn progress_bar(session: &Session, bytes: u64) -> indicatif::ProgressBar {
    if session.json {
        return indicatif::ProgressBar::hidden();
    }
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    indicatif::ProgressBar::new(bytes).with_style(
        indicatif::ProgressStyle::with_template(style).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(max_price: Option<u64>) -> Get {
        Get { content: ContentId([1; 32]), from: None, pay: Pay::Session, max_price, output: None, force: false }
    }

    #[test]
    fn a_price_is_agreed_up_to_what_the_person_said_or_else_up_to_what_the_listing_says() {
        for (max_price, listed, price, agreed) in [
            (Some(5), None, 5, true),
            (Some(5), None, 6, false),
            (Some(5), Some(9), 6, false),
            (Some(9), Some(5), 6, true),
            (None, Some(5), 5, true),
            (None, Some(5), 6, false),
            (None, None, 1, false),
        ] {
            let result = get(max_price).is_price_agreed(Units(price), listed.map(Units));
            assert_eq!(result.as_ref().err().map(|failure| failure.code), (!agreed).then_some(4), "{result:?}");
        }
        let above = get(None).is_price_agreed(Units(6), Some(Units(5))).expect_err("above").text;
        assert!(above.contains("asks 6") && above.contains("says 5"), "{above}");
    }

    #[test]
    fn what_is_held_is_gone_on_with_under_a_new_order_only_if_the_person_allows_what_it_costs() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut partial = Partial::open(&dir.path().join("song"), ContentId([1; 32]), 200_000).expect("opens");
        get(None).is_rest_covered(&partial, Units(30)).expect("nothing is held");
        partial.write(1, &vec![7; 200_000 - 131_072]).expect("fits");
        for (max_price, covered) in [(None, false), (Some(29), false), (Some(30), true)] {
            let result = get(max_price).is_rest_covered(&partial, Units(30));
            assert_eq!(result.as_ref().err().map(|failure| failure.code), (!covered).then_some(4), "{result:?}");
        }
    }
}
