//! Downloading from one supplier: pay for the next chunk, fetch what is paid, verify it, and only then pay on.
//!
//! At most one payment's worth is ever at risk. Everything that must survive a crash is in the store (order, grants,
//! the unanswered payment) or in the partial file; a download that stops anywhere is taken up where it stopped.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use netpay_crash_point::agent::Point;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::layout::Layout as _;
use netpay_protocol::messages::{AskChunk, Chunk, Paid};
use netpay_protocol::payment::Pay;
use netpay_protocol::problem::Problem;
use netpay_protocol::quote::Quote;
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;

use crate::content::partial::{self, Partial};
use crate::content::tree;
use crate::errands::patience;
use crate::home::identity::Identity;
use crate::ports::{CallError, OutOrder, OutOrders as _, StoreError, Supplier};
use crate::store::Store;
use crate::wallet::granting::{self, Short};
use crate::wallet::purse::Mode;

/// Chunks asked for at once.
const IN_FLIGHT: usize = 4;
/// Chunks that are fetched before the next payment at most.
const AT_ONCE: usize = 64;
/// How often, and how long, another order's payment to the same supplier is waited for.
const WAITS: u32 = 200;
const WAIT: Duration = Duration::from_millis(25);

/// Why a download stopped. What was verified is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chunk that is not the content's.
    #[error("chunk {0} is not part of the content: nothing more was paid")]
    NotTheContent(u64),
    /// The supplier refused a payment for good.
    #[error("the supplier refused the payment: {0}")]
    Refused(Problem),
    /// The wallet cannot pay, or the supplier miscounts.
    #[error(transparent)]
    Granting(#[from] granting::Error),
    /// No answer, or a problem.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The file.
    #[error(transparent)]
    Partial(#[from] partial::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One order being paid and fetched.
pub struct Download<'a, S> {
    /// The wallet.
    pub store: &'a Store,
    /// Whose it is; signs grants.
    pub me: &'a Identity,
    /// The way to the supplier.
    pub supplier: &'a S,
    /// How words are granted.
    pub mode: Mode,
    /// The most that is paid for the order in all.
    pub most: Units,
    /// The clock.
    pub now_ms: &'a dyn Fn() -> u64,
    order: Digest,
    quote: Quote,
    paid: Units,
}

impl<'a, S: Supplier> Download<'a, S> {
    /// Takes up an order where it stands.
    pub fn new(
        store: &'a Store,
        me: &'a Identity,
        supplier: &'a S,
        mode: Mode,
        most: Units,
        now_ms: &'a dyn Fn() -> u64,
        order: &OutOrder,
    ) -> Self {
        Self {
            store,
            me,
            supplier,
            mode,
            most,
            now_ms,
            order: order.quote.content.digest(),
            quote: order.quote.content.clone(),
            paid: order.paid,
        }
    }

    /// Pays and fetches until every chunk is there that this order can bring without paying for one that is held.
    /// `progress` hears of the bytes that were verified.
    pub async fn run(&mut self, partial: &mut Partial, progress: &dyn Fn(u64)) -> Result<(), Error> {
        // A payment that was never answered comes first, whatever is due.
        self.pay(Units::ZERO).await?;
        while let Some(next) = next_chunk(&self.quote, self.paid, partial) {
            let due = match self.mode {
                Mode::Session => self.quote.due_for_chunk(next),
                Mode::PerPayment => self.quote.due_for_chunk(last_of_gap(&self.quote, next, partial)),
            };
            self.pay(due).await?;
            let is_paid = |i: &u64| self.quote.offers(*i) && self.quote.due_for_chunk(*i) <= self.paid;
            let paid_for: Vec<u64> = partial.missing(next).take(AT_ONCE).take_while(is_paid).collect();
            if paid_for.is_empty() {
                return Err(granting::Error::from(Short { acknowledged: self.paid, sent: due }).into());
            }
            let this = &*self;
            let mut chunks = futures::stream::iter(paid_for)
                .map(|index| async move { Ok::<_, Error>((index, this.fetch(index).await?)) })
                .buffered(IN_FLIGHT);
            while let Some((index, bytes)) = chunks.try_next().await? {
                partial.write(index, &bytes)?;
                progress(u64::try_from(bytes.len()).unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Pays until `due` is acknowledged in all.
    async fn pay(&mut self, due: Units) -> Result<(), Error> {
        let (order, now_ms) = (self.order, (self.now_ms)());
        let mut answered: Option<(Pay, Units)> = None;
        let mut waits = 0;
        loop {
            // The answer is kept, and the next payment made, in one commit.
            let next = self.store.write(|tx| {
                if let Some((pay, paid)) = &answered
                    && let Err(short) = granting::acknowledged(tx, order, pay, *paid)?
                {
                    return Ok(Err(short));
                }
                match granting::pay(tx, self.me, order, due, self.most, self.mode, now_ms) {
                    // What was answered is kept all the same.
                    Err(granting::Error::Busy) => Ok(Ok(None)),
                    next => next.map(|next| Ok(Some(next))),
                }
            })?;
            answered = None;
            match next.map_err(granting::Error::from)? {
                Some(Some(pay)) => {
                    Point::GrantKept.reached();
                    let paid = send(self.store, self.supplier, &pay, now_ms).await?;
                    Point::PaymentAnswered.reached();
                    self.paid = self.paid.max(paid);
                    answered = Some((pay, paid));
                }
                // Another process may be paying the same order.
                Some(None) => {
                    let kept = self.store.read(|tx| tx.out_order(order))?;
                    self.paid = kept.map_or(self.paid, |kept| self.paid.max(kept.paid));
                    return Ok(());
                }
                // Another order's payment is under way; whoever sent it may be gone, so it is sent again.
                None if waits < WAITS => {
                    waits += 1;
                    settle_unanswered(self.store, self.supplier, self.quote.payee, Some(order), now_ms).await?;
                    tokio::time::sleep(WAIT).await;
                }
                None => return Err(granting::Error::Busy.into()),
            }
        }
    }

    async fn fetch(&self, index: u64) -> Result<Vec<u8>, Error> {
        let ask = AskChunk { order: self.order, index };
        Point::ChunkAsking.reached();
        let answer = patiently(self.supplier, PeerOp::Chunk, wire::encode(&ask)).await?;
        Point::ChunkAnswered.reached();
        let chunk: Chunk = wire::decode(&answer).map_err(|error| CallError::Unreadable(error.to_string()))?;
        tree::open_slice(self.quote.content, self.quote.size_bytes, index, &chunk.slice)
            .map_err(|_| Error::NotTheContent(index))
    }
}

/// Sends again what other orders of this supplier left unanswered, so that their words are not in the way.
pub async fn settle_unanswered(
    store: &Store,
    supplier: &impl Supplier,
    payee: PeerId,
    but: Option<Digest>,
    now_ms: u64,
) -> Result<(), Error> {
    let open = store.read(|tx| tx.open_out_orders(payee))?;
    for out in open {
        let order = granting::order_of(&out);
        let Some(pending) = out.pending.filter(|_| Some(order) != but) else {
            continue;
        };
        match send(store, supplier, &pending.pay, now_ms).await {
            // Too little ends that order, and not this one.
            Ok(paid) => match store.write(|tx| granting::acknowledged(tx, order, &pending.pay, paid))? {
                Ok(()) => {}
                Err(short) => tracing::warn!(%short, "an order that was left unanswered"),
            },
            // It is over, and its words pay the next order here.
            Err(Error::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The next chunk that an order with so much paid can bring. What is due for a chunk counts those before it, so that an
/// order whose next unpaid chunk is held (it came from elsewhere) is left, and not paid on.
pub fn next_chunk(quote: &Quote, paid: Units, partial: &Partial) -> Option<u64> {
    let next = partial.missing(quote.first_chunk).next().filter(|next| quote.offers(*next))?;
    let is_paid = |i: u64| quote.due_for_chunk(i) <= paid;
    let follows = next == quote.first_chunk || is_paid(next) || is_paid(next - 1);
    follows.then_some(next)
}

/// The last chunk offered of the gap that begins at `first`.
pub fn last_of_gap(quote: &Quote, first: u64, partial: &Partial) -> u64 {
    let gap = (first..).take_while(|i| quote.offers(*i) && !partial.has(*i));
    gap.last().unwrap_or(first)
}

/// Sends a payment until the supplier answers. One that is refused is sent once more, in the first form: the supplier may
/// lack touchstone or grant, and a refusal is not signed, so that it may even have taken it.
async fn send(store: &Store, supplier: &impl Supplier, pay: &Pay, now_ms: u64) -> Result<Units, Error> {
    let mut answer = patiently(supplier, PeerOp::Pay, wire::encode(pay)).await;
    if let Err(CallError::Problem(problem)) = &answer
        && !problem.kind.is_passing()
    {
        let first = store.read(|tx| granting::as_first(tx, pay))?;
        answer = patiently(supplier, PeerOp::Pay, wire::encode(&first)).await;
    }
    match answer {
        Ok(bytes) => {
            let paid: Paid = wire::decode(&bytes).map_err(|error| CallError::Unreadable(error.to_string()))?;
            Ok(paid.paid)
        }
        Err(CallError::Problem(problem)) if !problem.kind.is_passing() => {
            store.write(|tx| granting::refused(tx, pay.order, pay, &problem.to_string(), now_ms))?;
            Err(Error::Refused(problem))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks again, a little later each time, while the supplier is busy or silent.
async fn patiently(supplier: &impl Supplier, op: PeerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
    patience::SUPPLIER.ask(async || supplier.ask(op, message.clone()).await).await
}
