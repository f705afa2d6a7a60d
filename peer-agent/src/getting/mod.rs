//! Obtaining one content, from one supplier after another: under which order, for how much, and what is still missing.
//!
//! Apart from [`crate::getting::download`], which pays and fetches under one order. Whatever is agreed here is agreed before a
//! word leaves: the quote is for the very chunks that are missing, it costs no more than the person allowed (or else
//! than the supplier's listing says), and the wallet's words add up to it. Knows neither index nor command line.
//!
//! A chunk is paid once. What can be lost is the payment that a supplier took and brought nothing for: one for each
//! supplier that is left.

pub mod budget;
pub mod download;
pub mod ticket;

use std::path::Path;

use netpay_crash_point::agent::Point;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, ContentId, Digest, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{AskQuote, AskReceipt, Quoted};
use netpay_protocol::quote::Receipt;
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;

use self::budget::Spent;
use self::download::Download;
use crate::content::partial::{self, Partial};
use crate::content::{CHUNK_BYTES, Existing};
use crate::errands::patience;
use crate::home::identity::Identity;
use crate::ports::{CallError, OutOrder, OutOrders as _, StoreError, Supplier};
use crate::store::Store;
use crate::wallet::purse::Mode;
use crate::wallet::{broker_lists, certificates, granting, receipts};

/// Why a supplier does not bring it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its quote is not what it was asked for.
    #[error("{0}")]
    NotAsAsked(String),
    /// It costs more than was allowed.
    #[error("{0}")]
    TooDear(String),
    /// The wallet cannot pay.
    #[error(transparent)]
    Granting(#[from] granting::Error),
    /// No answer, or a problem.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Paying or fetching stopped.
    #[error(transparent)]
    Download(#[from] download::Error),
    /// The file.
    #[error(transparent)]
    Partial(#[from] partial::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// Whether another supplier may do better.
    pub fn is_the_suppliers(&self) -> bool {
        match self {
            Self::NotAsAsked(_) | Self::TooDear(_) | Self::Call(_) => true,
            Self::Granting(error) | Self::Download(download::Error::Granting(error)) => {
                !matches!(error, granting::Error::Store(_))
            }
            Self::Partial(error) => matches!(error, partial::Error::NotTheSize(_)),
            Self::Download(error) => !matches!(error, download::Error::Partial(_) | download::Error::Store(_)),
            Self::Store(_) => false,
        }
    }
}

/// Who obtains what, and on which terms.
pub struct Wish<'a> {
    /// The wallet.
    pub store: &'a Store,
    /// Whose it is.
    pub me: &'a Identity,
    /// The pinned broker.
    pub broker: BrokerId,
    /// What is wanted.
    pub content: ContentId,
    /// Where it goes.
    pub target: &'a Path,
    /// How words are granted.
    pub mode: Mode,
    /// The most that it may cost in all, to whomever it is paid.
    pub max_price: Option<Units>,
    /// The clock.
    pub now_ms: &'a dyn Fn() -> u64,
    /// Hears how many bytes were verified, of how many.
    pub progress: &'a dyn Fn(u64, u64),
}

/// What a receipt says was paid, and what that lacks of what was.
pub type Said = (Units, Units);

/// An order that was used.
#[derive(Clone, Debug)]
pub struct Used {
    /// How it stands.
    pub order: OutOrder,
    /// How many chunks it brought now.
    pub chunks: u64,
    /// The payee's receipt, if it gave one.
    pub receipt: Option<Said>,
}

/// A content on its way.
pub struct Obtaining<'a> {
    wish: Wish<'a>,
    partial: Option<Partial>,
    used: Vec<(Digest, u64, Option<Said>)>,
}

impl<'a> Obtaining<'a> {
    /// Takes up what an earlier run left.
    pub fn new(wish: Wish<'a>) -> Result<Self, Error> {
        let mut obtaining = Self { wish, partial: None, used: Vec::new() };
        for order in obtaining.wish.store.read(|tx| tx.begun_out_orders(obtaining.wish.content))? {
            let partial = Partial::open(obtaining.wish.target, obtaining.wish.content, order.quote.content.size_bytes)?;
            if partial.held() > 0 {
                obtaining.partial = Some(partial);
                break;
            }
            partial.leave().map_err(partial::Error::from)?;
        }
        Ok(obtaining)
    }

    /// How many chunks are there, of how many; nothing when no supplier has said yet.
    pub fn held(&self) -> (u64, u64) {
        self.partial.as_ref().map_or((0, 0), |partial| (partial.held(), crate::content::chunks(partial.size_bytes())))
    }

    fn is_complete(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.first_gap().is_none())
    }

    /// Buys what is missing from one supplier. `listed` is what its listing says of the whole. Whatever was verified
    /// stays, also after an error.
    pub async fn buy_from(
        &mut self,
        supplier: &impl Supplier,
        payee: PeerId,
        listed: Option<Units>,
    ) -> Result<(), Error> {
        if self.is_complete() {
            return Ok(());
        }
        download::settle_unanswered(self.wish.store, supplier, payee, None, (self.wish.now_ms)()).await?;
        while !self.is_complete() {
            let agreed = match self.under_way(payee)? {
                Some(agreed) => Some(agreed),
                None => self.ask(supplier, payee, listed).await?,
            };
            if let Some((order, most)) = agreed {
                self.run(supplier, &order, most).await?;
            }
        }
        Ok(())
    }

    /// Gives the file its name, and closes the orders that are paid. Answers all that paid for it.
    pub fn finish(mut self, existing: Existing) -> Result<Vec<Used>, Error> {
        let orders = self.orders()?;
        let partial = self.partial.take().ok_or(partial::Error::Incomplete(0))?;
        partial.finish(existing)?;
        self.wish.store.write(|tx| {
            for order in &orders {
                let held = tx.out_order(*order)?;
                if held.is_some_and(|held| held.sent >= held.quote.content.price_units && held.pending.is_none()) {
                    granting::close_order(tx, *order)?;
                }
            }
            Ok::<_, granting::Error>(())
        })?;
        Point::OrderClosed.reached();
        self.used(&orders)
    }

    /// Ends what an earlier run left when the target has the content already: it may have died between naming the file
    /// and tidying up. Asks and pays nobody. Answers all that paid for it.
    pub fn finish_named(self) -> Result<Vec<Used>, Error> {
        if self.is_complete() { self.finish(Existing::Keep) } else { self.leave() }
    }

    /// Leaves it for another run. Answers all that paid for it.
    pub fn leave(mut self) -> Result<Vec<Used>, Error> {
        let orders = self.orders()?;
        if let Some(partial) = self.partial.take() {
            partial.leave().map_err(partial::Error::from)?;
        }
        self.used(&orders)
    }

    /// The orders that paid for this file: those used now, and those of earlier runs that paid for what is held. When
    /// nothing is, those paid for another file.
    fn orders(&self) -> Result<Vec<Digest>, Error> {
        let is_resumed = self.partial.as_ref().is_some_and(|partial| partial.held() > 0);
        let mut orders: Vec<Digest> = self.used.iter().map(|(order, ..)| *order).collect();
        if is_resumed {
            let begun = self.wish.store.read(|tx| tx.begun_out_orders(self.wish.content))?;
            orders.extend(begun.iter().map(granting::order_of));
        }
        orders.sort();
        orders.dedup();
        Ok(orders)
    }

    fn used(&self, orders: &[Digest]) -> Result<Vec<Used>, Error> {
        let mut found = Vec::new();
        for digest in orders {
            let now = self.used.iter().filter(|(order, ..)| order == digest);
            let (chunks, receipt) =
                now.fold((0, None), |(sum, held), (_, chunks, receipt)| (sum + chunks, receipt.or(held)));
            if let Some(order) = self.wish.store.read(|tx| tx.out_order(*digest))? {
                found.push(Used { order, chunks, receipt });
            }
        }
        Ok(found)
    }

    /// An order that was begun with this supplier and still brings something, and the most to be paid for it.
    fn under_way(&mut self, payee: PeerId) -> Result<Option<(OutOrder, Units)>, Error> {
        let open = self.wish.store.read(|tx| tx.open_out_orders(payee))?;
        let begun = |order: &OutOrder| order.quote.content.content == self.wish.content && order.sent > Units::ZERO;
        for order in open.into_iter().filter(begun).collect::<Vec<_>>() {
            let quote = &order.quote.content;
            let partial = match self.partial_of(quote.size_bytes) {
                Err(Error::Partial(partial::Error::NotTheSize(_))) => continue,
                partial => partial?,
            };
            let Some(next) = download::next_chunk(quote, order.paid, partial) else { continue };
            let to_pay = quote.due_for_chunk(download::last_of_gap(quote, next, partial)).max(order.sent);
            let Some(max) = self.wish.max_price else {
                // Its price was agreed when it was first paid.
                return Ok(Some((order.clone(), quote.price_units)));
            };
            let elsewhere = self.spent(Some(order.quote.content.digest()))?.units;
            return match elsewhere.checked_add(to_pay) {
                Some(sum) if sum <= max => Ok(Some((order.clone(), max.saturating_sub(elsewhere)))),
                _ => Err(Error::TooDear(budget::too_dear(to_pay, elsewhere, max))),
            };
        }
        Ok(None)
    }

    /// Asks what the first stretch of missing chunks costs, and agrees; nothing when none is missing.
    async fn ask(
        &mut self,
        supplier: &impl Supplier,
        payee: PeerId,
        listed: Option<Units>,
    ) -> Result<Option<(OutOrder, Units)>, Error> {
        let mut wanted = self.partial.as_ref().and_then(Partial::first_gap);
        // A first answer says how large the content is, and so perhaps that less, or more, is missing.
        for _ in 0..2 {
            let quoted = self.quote(supplier, payee, wanted).await?;
            let quote = &quoted.quote.content;
            let Some(gap) = self.partial_of(quote.size_bytes)?.first_gap() else { return Ok(None) };
            if gap != (quote.first_chunk, quote.chunk_count) {
                wanted = Some(gap);
                continue;
            }
            let most = self.spent(None)?.most_for(quote, self.wish.max_price, listed).map_err(Error::TooDear)?;
            let (mode, now_ms) = (self.wish.mode, (self.wish.now_ms)());
            let opened = self.wish.store.write(|tx| {
                granting::can_pay(tx, &quoted, most, mode, now_ms)?;
                Ok(Some((granting::open_order(tx, &quoted)?, most)))
            });
            Point::OrderKept.reached();
            return opened;
        }
        Err(Error::NotAsAsked("the supplier's quote is not for the chunks that are missing".into()))
    }

    /// A quote that is what was asked for.
    async fn quote(
        &self,
        supplier: &impl Supplier,
        payee: PeerId,
        wanted: Option<(u64, u64)>,
    ) -> Result<Quoted, Error> {
        let (first_chunk, chunk_count) = wanted.map_or((0, None), |(first, count)| (first, Some(count)));
        let ask = AskQuote { content: self.wish.content, first_chunk, chunk_count };
        Point::QuoteAsking.reached();
        let bytes = patience::SUPPLIER.ask(async || supplier.ask(PeerOp::Quote, wire::encode(&ask)).await).await?;
        Point::QuoteAnswered.reached();
        let quoted: Quoted = wire::decode(&bytes).map_err(|error| CallError::Unreadable(error.to_string()))?;
        self.check_key(supplier, payee, &quoted.key).await?;
        let now_ms = (self.wish.now_ms)();
        if let Some(wrong) = granting::wrong_with(&quoted, self.wish.broker, payee, self.wish.content, now_ms) {
            return Err(Error::NotAsAsked(wrong.into()));
        }
        let quote = &quoted.quote.content;
        if quote.size_bytes == 0 && self.wish.content != ContentId(blake3::hash(&[]).into()) {
            return Err(Error::NotAsAsked("the supplier says that the content is empty, and it is not".into()));
        }
        if quote.chunk_bytes != CHUNK_BYTES {
            let text = format!("the supplier's chunks have {} bytes, and not {CHUNK_BYTES}", quote.chunk_bytes);
            return Err(Error::NotAsAsked(text));
        }
        if quote.first_chunk != first_chunk || quote.chunk_count != chunk_count.unwrap_or(quote.chunks()) {
            let text = format!(
                "the quote is for {} chunks from chunk {} on, and others were asked for",
                quote.chunk_count, quote.first_chunk
            );
            return Err(Error::NotAsAsked(text));
        }
        Ok(quoted)
    }

    /// Whether this key speaks for the payee; one that is not its first is certified by the broker, and the payee has the
    /// certificate.
    async fn check_key(&self, supplier: &impl Supplier, payee: PeerId, key: &PublicKey) -> Result<(), Error> {
        let is_known = || self.wish.store.read(|tx| certificates::speaks_for(tx, payee, key));
        if is_known()? {
            return Ok(());
        }
        if let Ok(bytes) = patience::SUPPLIER.ask(async || supplier.ask(PeerOp::Certificate, Vec::new()).await).await
            && let Ok(certificate) = wire::decode(&bytes)
            && let Some(keys) = self.wish.store.read(|tx| broker_lists::keys(tx, self.wish.broker))?
        {
            match self.wish.store.write(|tx| certificates::take(tx, &keys, payee, &certificate)) {
                Err(certificates::NotKept::Store(error)) => return Err(error.into()),
                Err(why) => tracing::warn!(%why, "a supplier's certificate was not believed"),
                Ok(()) => {}
            }
        }
        if is_known()? {
            return Ok(());
        }
        Err(Error::NotAsAsked(
            "the quote is not signed by the peer that was asked, as far as the broker's word is known".into(),
        ))
    }

    /// What was paid for this file already, but for one order. When the person said the most that it may cost, what an
    /// earlier run paid and got nothing for counts, too: the same command again must not cost as much again.
    fn spent(&self, but: Option<Digest>) -> Result<Spent, Error> {
        let mut digests = self.orders()?;
        self.wish.store.read(|tx| {
            if self.wish.max_price.is_some() {
                digests.extend(tx.begun_out_orders(self.wish.content)?.iter().map(granting::order_of));
            }
            digests.sort();
            digests.dedup();
            let others = digests.iter().filter(|order| Some(**order) != but);
            let orders = others.map(|order| tx.out_order(*order)).collect::<Result<Vec<_>, StoreError>>()?;
            Ok(Spent::on(&orders.into_iter().flatten().collect::<Vec<_>>()))
        })
    }

    async fn run(&mut self, supplier: &impl Supplier, order: &OutOrder, most: Units) -> Result<(), Error> {
        let quote = &order.quote.content;
        let (digest, size_bytes) = (quote.digest(), quote.size_bytes);
        self.partial_of(size_bytes)?;
        let Self { wish, partial: Some(partial), .. } = self else { return Ok(()) };
        let before = partial.held();
        let done = std::cell::Cell::new(before.saturating_mul(u64::from(CHUNK_BYTES)).min(size_bytes));
        let progress = |bytes: u64| {
            done.set(done.get().saturating_add(bytes));
            (wish.progress)(done.get(), size_bytes);
        };
        let mut download = Download::new(wish.store, wish.me, supplier, wish.mode, most, wish.now_ms, order);
        let result = download.run(partial, &progress).await;
        let brought = partial.held() - before;
        partial.sync().map_err(partial::Error::from)?;
        self.used.push((digest, brought, None));
        result?;
        let receipt = self.receipt(supplier, digest).await?;
        if let Some(used) = self.used.last_mut() {
            used.2 = receipt;
        }
        Ok(())
    }

    /// Asks for a receipt and keeps it: what it says, and what that lacks. Nobody owes one, and nothing depends on it.
    async fn receipt(&self, supplier: &impl Supplier, order: Digest) -> Result<Option<Said>, Error> {
        let Some(order) = self.wish.store.read(|tx| tx.out_order(order))?.filter(|order| order.paid > Units::ZERO)
        else {
            return Ok(None);
        };
        let ask = AskReceipt { order: granting::order_of(&order) };
        Point::ReceiptAsking.reached();
        let Ok(bytes) = supplier.ask(PeerOp::Close, wire::encode(&ask)).await else { return Ok(None) };
        Point::ReceiptAnswered.reached();
        let Ok(receipt) = wire::decode::<Signed<Receipt>>(&bytes) else { return Ok(None) };
        if let Some(wrong) = receipts::wrong_with(&receipt, &order, self.wish.me.peer()) {
            tracing::warn!(wrong, "a receipt was not kept");
            return Ok(None);
        }
        let now_ms = (self.wish.now_ms)();
        let lacks = self.wish.store.write(|tx| receipts::keep(tx, &receipt, &order, now_ms))?;
        Point::ReceiptKept.reached();
        Ok(Some((receipt.content.paid_units, lacks)))
    }

    /// The unfinished file, as content of this size.
    fn partial_of(&mut self, size_bytes: u64) -> Result<&mut Partial, Error> {
        if self.partial.is_none() {
            self.partial = Some(Partial::open(self.wish.target, self.wish.content, size_bytes)?);
        }
        let partial = self.partial.as_mut().ok_or(partial::Error::Incomplete(0))?;
        partial.resize(size_bytes)?;
        Ok(partial)
    }
}
