//! `netpay get`: downloads content from a supplier and pays for it, chunk by chunk.

use std::path::PathBuf;
use std::time::Instant;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
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
    after_help = "Examples:\n  netpay get CONTENT --max-price 20\n  netpay get CONTENT --from PEER --pay per-payment -o song.ogg"
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
        let (payee, name) = self.find(session, &net).await?;
        let target = self.output.clone().unwrap_or_else(|| PathBuf::from(name));
        if !self.force && target.exists() {
            return Err(Failure::new(
                1,
                format!("{} exists; replace it with --force, or save elsewhere with -o", target.display()),
            ));
        }
        let supplier = net.to_peer(payee);
        let order = self.order(session, &supplier, payee).await?;
        let quote = &order.quote.content;
        if let Some(most) = self.max_price.filter(|most| quote.price_units.0 > *most) {
            return Err(Failure::new(
                4,
                format!("it costs {} units, more than --max-price {most}; nothing was paid now", quote.price_units),
            ));
        }
        let digest = granting::order_of(&order);
        download::settle_unanswered(&session.store, &supplier, payee, Some(digest), now_ms()).await?;
        let mut partial = Partial::open(&target, quote.content, quote.size_bytes)?;
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

    /// The supplier, and the name to save under.
    async fn find(&self, session: &Session, net: &Net) -> Result<(PeerId, String), Failure> {
        let named = || self.content.to_string();
        if let (Some(peer), Some(_)) = (self.from, &self.output) {
            return Ok((peer, named()));
        }
        let found = search::ask(session, net, named(), 0, 100).await;
        let (hits, _) = match (found, self.from) {
            (Ok(found), _) => found,
            // Without the index there is no name, but there is the supplier.
            (Err(_), Some(peer)) => return Ok((peer, named())),
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
            (Some((listing, _)), _) if listing.name.starts_with('.') => Ok((listing.supplier, named())),
            (Some((listing, _)), _) => Ok((listing.supplier, listing.name)),
            (None, Some(peer)) => Ok((peer, named())),
            (None, None) => Err(Failure::new(3, format!("nobody offers content {}", self.content))),
        }
    }

    /// The order that is under way for this content, or a new one.
    async fn order(&self, session: &Session, supplier: &ToPeer, payee: PeerId) -> Result<OutOrder, Failure> {
        let open = session.store.read(|tx| tx.open_out_orders(payee))?;
        let under_way = open.into_iter().find(|order| {
            let quote = &order.quote.content;
            let good = order.sent > Units::ZERO || quote.expires_ms > now_ms();
            quote.content == self.content && good
        });
        if let Some(order) = under_way {
            return Ok(order);
        }
        let ask = AskQuote { content: self.content };
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
        if self.max_price.is_some_and(|most| quote.price_units.0 > most) {
            return Err(Failure::new(4, format!("it costs {} units, more than --max-price", quote.price_units)));
        }
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
        let mut download =
            Download::new(&session.store, &session.home.identity.signing, supplier, self.mode(), &now_ms, order);
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
