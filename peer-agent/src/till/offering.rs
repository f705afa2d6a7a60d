//! Quoting a price, and deciding whether a chunk may be served. Signs quotes; moves no money.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, ContentId, Digest, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{AskQuote, Quoted};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::quote::{self, Quote, Receipt};

use super::accepting::Refused;
use super::policy::Policy;
use crate::home::identity::Identity;
use crate::ports::{InOrder, InOrders, Shares};

/// How long a quote is good for a first payment.
const QUOTE_LIFE_MS: u64 = netpay_protocol::limits::HOUR_MS;
/// Unpaid quotes kept for one asker, and in all; beyond, the oldest are forgotten.
const MAX_UNPAID: (u32, u32) = (64, 4_096);

/// Who offers.
pub struct Offer<'a> {
    /// The payee.
    pub me: &'a Identity,
    /// Whose money is taken.
    pub broker: BrokerId,
    /// What is accepted.
    pub policy: &'a Policy,
    /// The size of a chunk.
    pub chunk_bytes: u32,
}

/// Quotes a price for the chunks asked for. The quote is kept before it is given: a first payment on it must find it
/// after a restart.
pub fn quote(
    store: &(impl InOrders + Shares),
    offer: &Offer<'_>,
    asker: PeerId,
    ask: &AskQuote,
    nonce: [u8; 16],
    now_ms: u64,
) -> Result<Quoted, Refused> {
    let content = ask.content;
    let share = store
        .share(content)?
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("content {content} is not on offer here")))?;
    let chunks = quote::chunks(share.size_bytes, offer.chunk_bytes);
    let rest = chunks.saturating_sub(ask.first_chunk);
    let chunk_count = ask.chunk_count.unwrap_or(rest);
    if chunk_count > rest || (chunk_count == 0 && chunks > 0) {
        let text = format!("the content has {chunks} chunks; at least one of them must be asked for");
        return Err(Problem::new(Kind::NotFound, text).into());
    }
    let quote = Quote {
        broker: offer.broker,
        content,
        size_bytes: share.size_bytes,
        chunk_bytes: offer.chunk_bytes,
        first_chunk: ask.first_chunk.min(chunks),
        chunk_count,
        price_units: quote::price_of_part(share.price, chunk_count, chunks),
        payee: offer.me.peer(),
        expires_ms: now_ms.saturating_add(QUOTE_LIFE_MS),
        nonce,
    };
    let key = offer.me.signing.public();
    // The same again, while half of its time is left; one from before a rotation is signed with a key that nobody shows now.
    let live = |held: &InOrder| {
        let Quote { expires_ms, nonce, .. } = held.quote.content;
        expires_ms >= now_ms.saturating_add(QUOTE_LIFE_MS / 2)
            && held.quote.content == Quote { expires_ms, nonce, ..quote.clone() }
            && held.quote.verify(&key).is_ok()
    };
    let quote = match store.unpaid_in_orders(asker)?.into_iter().rev().find(live) {
        Some(held) => held.quote,
        None => {
            let quote = Signed::new(quote, &offer.me.signing);
            store.add_in_order(&InOrder { quote: quote.clone(), asker, paid: Units::ZERO })?;
            store.forget_unpaid(asker, now_ms, MAX_UNPAID)?;
            quote
        }
    };
    Ok(Quoted { quote, key, suites: offer.policy.suites.clone() })
}

/// Which content a chunk is cut from, if the order pays for it: paid ≥ due for this chunk.
pub fn may_serve(store: &impl InOrders, asker: PeerId, order: Digest, index: u64) -> Result<ContentId, Refused> {
    let held = order_of(store, asker, order)?;
    let quote = &held.quote.content;
    if !quote.offers(index) {
        let text = format!("the order is for {} chunks from chunk {} on", quote.chunk_count, quote.first_chunk);
        return Err(Problem::new(Kind::NotFound, text).into());
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

/// The payee's word on what was paid towards an order.
pub fn receipt(
    store: &impl InOrders,
    key: &SigningKey,
    asker: PeerId,
    order: Digest,
    now_ms: u64,
) -> Result<Signed<Receipt>, Refused> {
    let held = order_of(store, asker, order)?;
    let Quote { broker, payee, .. } = held.quote.content;
    let receipt = Receipt { broker, payee, payer: asker, order, paid_units: held.paid, issued_at_ms: now_ms };
    Ok(Signed::new(receipt, key))
}

/// An order of this asker's.
pub(super) fn order_of(store: &impl InOrders, asker: PeerId, order: Digest) -> Result<InOrder, Refused> {
    let held = store.in_order(order)?.filter(|held| held.asker == asker);
    held.ok_or_else(|| Problem::new(Kind::NotFound, "no such order of yours").into())
}

#[cfg(test)]
mod tests {
    use netpay_protocol::layout::Layout as _;

    use super::*;
    use crate::home::identity::random_16;
    use crate::ports::Share;
    use crate::tests::broker::{NOW, TestBroker};
    use crate::tests::trade::Peer;

    fn ask(bob: &Peer, asker: PeerId, price: u64, now_ms: u64) -> Digest {
        let content = ContentId([1; 32]);
        let share = Share {
            content,
            path: "song".into(),
            name: "song".into(),
            size_bytes: 9,
            price: Units(price),
            tags: String::new(),
            tree: Vec::new(),
        };
        let policy = Policy::default();
        let broker = TestBroker::new().id();
        let offer = Offer { me: &bob.me, broker, policy: &policy, chunk_bytes: 131_072 };
        let quoted = bob.store.write(|tx| {
            tx.put_share(&share)?;
            let ask = AskQuote { content, first_chunk: 0, chunk_count: None };
            quote(tx, &offer, asker, &ask, random_16(), now_ms)
        });
        let Quoted { quote, key, .. } = quoted.expect("quoted");
        quote.verify(&key).expect("by the key that comes along");
        assert_eq!(quote.content.payee, bob.id());
        quote.content.digest()
    }

    #[test]
    fn who_asks_again_gets_the_same_quote_until_it_is_paid_or_half_its_time_is_over() {
        let bob = Peer::new(2);
        let (alice, carol) = (PeerId([1; 16]), PeerId([3; 16]));
        let first = ask(&bob, alice, 5, NOW);
        assert_eq!(ask(&bob, alice, 5, NOW + QUOTE_LIFE_MS / 2), first);
        assert_ne!(ask(&bob, carol, 5, NOW), first, "another asker");
        assert_ne!(ask(&bob, alice, 6, NOW), first, "another price");
        let late = ask(&bob, alice, 5, NOW + QUOTE_LIFE_MS / 2 + 1);
        assert_ne!(late, first);
        bob.store.write(|tx| tx.credit_in_order(late, Units(1))).expect("credited");
        assert_ne!(ask(&bob, alice, 5, NOW + QUOTE_LIFE_MS / 2 + 1), late, "it is being paid");
    }

    #[test]
    fn a_quote_signed_with_a_key_that_was_given_up_is_not_given_again() {
        let (mut bob, alice) = (Peer::new(2), PeerId([1; 16]));
        let first = ask(&bob, alice, 5, NOW);
        bob.me = bob.me.copy().with_keys_of(Identity::of_seed(32));
        assert_ne!(ask(&bob, alice, 5, NOW), first);
    }

    #[test]
    fn when_too_many_quotes_are_unpaid_the_oldest_gives_way_and_nobody_is_turned_away() {
        let bob = Peer::new(2);
        let (alice, carol) = (PeerId([1; 16]), PeerId([3; 16]));
        let of_carol = ask(&bob, carol, 1, NOW);
        let paid = ask(&bob, alice, 1, NOW);
        bob.store.write(|tx| tx.credit_in_order(paid, Units(1))).expect("credited");
        let quotes: Vec<Digest> = (2..=u64::from(MAX_UNPAID.0) + 2).map(|i| ask(&bob, alice, i, NOW + i)).collect();
        let kept = |order| bob.store.read(|tx| tx.in_order(order)).expect("read").is_some();
        assert!(!kept(quotes[0]), "the oldest unpaid");
        assert!(quotes[1..].iter().all(|order| kept(*order)));
        assert!(kept(paid) && kept(of_carol), "not what is paid, nor another's");
    }
}
