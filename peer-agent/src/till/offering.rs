//! Quoting a price, and deciding whether a chunk may be served. Signs quotes; moves no money.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, ContentId, Digest, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Quoted;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::quote::Quote;

use super::accepting::Refused;
use super::policy::Policy;
use crate::ports::{InOrder, InOrders, Shares};

/// How long a quote is good for a first payment.
const QUOTE_LIFE_MS: u64 = netpay_protocol::limits::HOUR_MS;
/// Unpaid quotes kept for one asker, and in all.
const MAX_UNPAID: (u32, u32) = (64, 4_096);

/// Who offers.
pub struct Offer<'a> {
    /// The key that signs.
    pub key: &'a SigningKey,
    /// Whose money is taken.
    pub broker: BrokerId,
    /// What is accepted.
    pub policy: &'a Policy,
    /// The size of a chunk.
    pub chunk_bytes: u32,
}

/// Quotes a price. The quote is kept before it is given: a first payment on it must find it after a restart.
pub fn quote(
    store: &(impl InOrders + Shares),
    offer: &Offer<'_>,
    asker: PeerId,
    content: ContentId,
    nonce: [u8; 16],
    now_ms: u64,
) -> Result<Quoted, Refused> {
    let share = store
        .share(content)?
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("content {content} is not on offer here")))?;
    let (of_asker, in_all) = store.unpaid_in_orders(asker, now_ms)?;
    if of_asker >= MAX_UNPAID.0 || in_all >= MAX_UNPAID.1 {
        return Err(Problem::new(Kind::Busy, "too many quotes are unpaid").into());
    }
    let quote = Quote {
        broker: offer.broker,
        content,
        size_bytes: share.size_bytes,
        price_units: share.price,
        chunk_bytes: offer.chunk_bytes,
        payee: PeerId::of(&offer.key.public()),
        expires_ms: now_ms.saturating_add(QUOTE_LIFE_MS),
        nonce,
    };
    let quote = Signed::new(quote, offer.key);
    store.add_in_order(&InOrder { quote: quote.clone(), asker, paid: Units::ZERO })?;
    Ok(Quoted { quote, key: offer.key.public(), suites: offer.policy.suites.clone() })
}

/// Which content a chunk is cut from, if the order pays for it: paid ≥ due for this chunk.
pub fn may_serve(store: &impl InOrders, asker: PeerId, order: Digest, index: u64) -> Result<ContentId, Refused> {
    let held = store
        .in_order(order)?
        .filter(|held| held.asker == asker)
        .ok_or_else(|| Problem::new(Kind::NotFound, "no such order of yours"))?;
    let quote = &held.quote.content;
    if index >= quote.chunks() {
        return Err(Problem::new(Kind::NotFound, format!("the content has {} chunks", quote.chunks())).into());
    }
    let due = quote.due_for_chunk(index);
    if held.paid < due {
        return Err(Problem::new(
            Kind::PaymentDue,
            format!("{due} units must be paid before chunk {index}, and {} are", held.paid),
        )
        .into());
    }
    Ok(quote.content)
}
