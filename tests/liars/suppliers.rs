//! Suppliers that lie to a real `netpay get`: it loses at most what one payment was for, and says what was wrong.

use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{AskChunk, AskQuote, Chunk, Paid, Quoted};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::quote::Quote;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;
use netpay_tests::buyer::Buyer;
use netpay_tests::raw_peer::RawPeer;
use netpay_tests::raw_supplier::{Asked, Lie, RawSupplier, Stall, Told};
use netpay_tests::shop::{audit, raw_peer};
use serde_json::Value;

/// Chunks of the files on offer.
pub const CHUNKS: usize = 10;
/// Their price.
pub const PRICE: u64 = 10;

/// A supplier and somebody who buys there.
pub async fn given(lie: impl Fn(&Stall, &Asked) -> Told + Send + Sync + 'static) -> (RawSupplier, Buyer) {
    given_at(CHUNKS, PRICE, Box::new(lie)).await
}

/// The same, with so many chunks for so much.
pub async fn given_at(chunks: usize, price: u64, lie: Lie) -> (RawSupplier, Buyer) {
    let town = crate::town();
    let supplier = RawSupplier::open(raw_peer(&town, 0).await, town.world.dir.path(), chunks, price, lie).await;
    (supplier, Buyer::new(town))
}

/// No lie.
pub fn truth(_: &Stall, _: &Asked) -> Told {
    Told::Truth
}

/// Lies about one chunk.
fn chunk_lie(wrong: u64, lie: fn(&Stall, u64) -> Vec<u8>) -> impl Fn(&Stall, &Asked) -> Told + Send + Sync {
    move |stall, asked| match asked.op {
        PeerOp::Chunk => match wire::decode::<AskChunk>(&asked.bytes) {
            Ok(ask) if ask.index == wrong => Told::Bytes(wire::encode(&Chunk { slice: lie(stall, wrong) })),
            _ => Told::Truth,
        },
        _ => Told::Truth,
    }
}

/// Lies about the quote.
fn quote_lie(
    lie: impl Fn(&Stall, &Asked, Quote) -> Quoted + Send + Sync,
) -> impl Fn(&Stall, &Asked) -> Told + Send + Sync {
    move |stall, asked| match asked.op {
        PeerOp::Quote => {
            let ask: AskQuote = wire::decode(&asked.bytes).expect("an agent's question");
            Told::Bytes(wire::encode(&lie(stall, asked, stall.quote(&ask))))
        }
        _ => Told::Truth,
    }
}

const MOST: [&str; 2] = ["--max-price", "10"];

/// Chunk 3 is not what was paid for: one payment is lost, and trying again costs nothing.
async fn bad_chunk(lie: fn(&Stall, u64) -> Vec<u8>) {
    let (supplier, buyer) = given(chunk_lie(3, lie)).await;
    for _ in 0..2 {
        let ended = buyer.get(&supplier.stall, &MOST);
        buyer.is_told(&ended, 7, "chunk 3 is not part of the content: nothing more was paid");
        assert!(ended.errors.contains("paid 4 units, got 3 of 10 verified chunks"), "{}", ended.errors);
    }
    buyer.lost(&supplier.stall, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_with_one_wrong_bit_costs_one_payment() {
    bad_chunk(|stall, index| {
        let mut slice = stall.slice(index);
        let last = slice.len() - 1;
        slice[last] ^= 1;
        slice
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_with_one_wrong_bit_costs_one_payment() {
    bad_chunk(|stall, index| {
        let mut slice = stall.slice(index);
        slice[0] ^= 0x80;
        slice
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chunk_s_bytes_cost_one_payment() {
    bad_chunk(|stall, index| stall.slice(index - 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_chunk_or_proof_costs_one_payment() {
    bad_chunk(|stall, index| stall.slice(index)[..1_000].to_vec()).await;
    bad_chunk(|stall, index| stall.slice(index)[64..].to_vec()).await;
    bad_chunk(|_, _| Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_falls_silent_keeps_one_payment_and_the_rest_is_bought_when_it_answers_again() {
    let quiet = |_: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay if asked.nth >= 3 => Told::Silence,
        _ => Told::Truth,
    };
    let (supplier, buyer) = given(quiet).await;
    let ended = buyer.get(&supplier.stall, &MOST);
    buyer.is_told(&ended, 6, "no answer within 10 s");
    assert!(ended.errors.contains("got 3 of 10 verified chunks"), "{}", ended.errors);
    assert!(ended.errors.contains("the same command goes on from there"), "{}", ended.errors);
    assert_eq!(supplier.stall.worth(), 4, "one payment more than chunks");
    let supplier = RawSupplier::reopen(supplier.stall.clone(), Box::new(truth)).await;
    assert_eq!(buyer.get(&supplier.stall, &MOST).code, 0);
    buyer.received(&supplier.stall);
    buyer.lost(&supplier.stall, PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_above_what_was_agreed_is_not_paid() {
    let dear = |stall: &Stall, _: &Asked, quote| stall.quoted(Quote { price_units: Units(20), ..quote });
    let (supplier, buyer) = given(quote_lie(dear)).await;
    let ended = buyer.get(&supplier.stall, &["--max-price", "19"]);
    buyer.is_told(&ended, 4, "it costs 20 units, more than --max-price 19; nothing was paid now");
    buyer.lost(&supplier.stall, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_is_dearer_the_second_time_changes_nothing_for_what_is_under_way() {
    let first = |_: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay if asked.nth == 3 => Told::Vanish,
        _ => Told::Truth,
    };
    let (supplier, buyer) = given(first).await;
    let ended = buyer.get(&supplier.stall, &[]);
    buyer.is_told(&ended, 4, "the index has no listing of its to compare; allow it with --max-price 10");
    let ended = buyer.get(&supplier.stall, &MOST);
    buyer.is_told(&ended, 6, "nobody answers there now");
    let dear = |stall: &Stall, _: &Asked, quote| stall.quoted(Quote { price_units: Units(100), ..quote });
    let supplier = RawSupplier::reopen(supplier.stall.clone(), Box::new(quote_lie(dear))).await;
    let got = buyer.get(&supplier.stall, &[]);
    assert_eq!((got.code, got.json["price_units"].as_u64()), (0, Some(PRICE)), "{got:?}");
    buyer.received(&supplier.stall);
    buyer.lost(&supplier.stall, PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_for_other_chunks_than_those_asked_for_is_not_paid() {
    for (first_chunk, chunk_count) in [(0, 1), (0, 9), (1, 9), (5, 1)] {
        let part = move |stall: &Stall, _: &Asked, quote| stall.quoted(Quote { first_chunk, chunk_count, ..quote });
        let (supplier, buyer) = given(quote_lie(part)).await;
        buyer.is_told(&buyer.get(&supplier.stall, &MOST), 7, "and others were asked for");
        buyer.lost(&supplier.stall, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_is_not_the_supplier_s_or_not_for_this_is_not_paid() {
    let foreign = BrokerId([9; 16]);
    let by_another = |stall: &Stall, _: &Asked, quote: Quote| {
        let key = SigningKey::from_seed(&[9; 32]);
        Quoted { quote: Signed::new(quote.clone(), &key), key: key.public(), ..stall.quoted(quote) }
    };
    let forged = |stall: &Stall, _: &Asked, quote: Quote| Quoted {
        quote: Signed::new(quote.clone(), &SigningKey::from_seed(&[9; 32])),
        ..stall.quoted(quote)
    };
    let altered = |stall: &Stall, _: &Asked, quote: Quote| {
        let mut quoted = stall.quoted(quote);
        quoted.quote.content.price_units = Units(9);
        quoted
    };
    let for_another = |stall: &Stall, _: &Asked, quote| stall.quoted(Quote { payee: PeerId([9; 16]), ..quote });
    let other_money = move |stall: &Stall, _: &Asked, quote| stall.quoted(Quote { broker: foreign, ..quote });
    let other_content = |stall: &Stall, _: &Asked, mut quote: Quote| {
        quote.content.0[0] ^= 1;
        stall.quoted(quote)
    };
    let small_chunks = |stall: &Stall, _: &Asked, quote: Quote| {
        let chunk_count = netpay_protocol::quote::chunks(quote.size_bytes, 65_536);
        stall.quoted(Quote { chunk_bytes: 65_536, chunk_count, ..quote })
    };
    let expired = |stall: &Stall, _: &Asked, quote: Quote| {
        let expires_ms = quote.expires_ms - 2 * netpay_protocol::limits::HOUR_MS;
        stall.quoted(Quote { expires_ms, ..quote })
    };
    let cases: [(Lie, &str); 8] = [
        (Box::new(quote_lie(by_another)), "the quote is not signed by the peer that was asked"),
        (Box::new(quote_lie(forged)), "the quote is not signed by the peer that was asked"),
        (Box::new(quote_lie(altered)), "the quote is not signed by the peer that was asked"),
        (Box::new(quote_lie(for_another)), "the quote is not signed by the peer that was asked"),
        (Box::new(quote_lie(other_money)), "the quote is in another broker's money"),
        (Box::new(quote_lie(other_content)), "the quote is for other content"),
        (Box::new(quote_lie(small_chunks)), "the supplier's chunks have 65536 bytes"),
        (Box::new(quote_lie(expired)), "the quote has expired"),
    ];
    let (supplier, buyer) = given(truth).await;
    let mut stall = supplier.stall.clone();
    drop(supplier);
    for (lie, words) in cases {
        let supplier = RawSupplier::reopen(stall, lie).await;
        buyer.is_told(&buyer.get(&supplier.stall, &MOST), 7, words);
        stall = supplier.stall.clone();
    }
    buyer.lost(&stall, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_not_the_content_s_costs_one_payment() {
    let larger = |stall: &Stall, _: &Asked, quote: Quote| {
        stall.quoted(Quote { size_bytes: quote.size_bytes * 2, chunk_count: quote.chunk_count * 2, ..quote })
    };
    let (supplier, buyer) = given(quote_lie(larger)).await;
    buyer.is_told(&buyer.get(&supplier.stall, &MOST), 7, "chunk 0 is not part of the content: nothing more was paid");
    buyer.lost(&supplier.stall, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_vanishes_has_the_words_it_saw_and_no_claim_on_those_granted_ahead() {
    let vanish = |_: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay if asked.nth == 3 => Told::Vanish,
        _ => Told::Truth,
    };
    let (supplier, buyer) = given_at(40, 40, Box::new(vanish)).await;
    let stall = supplier.stall.clone();
    let ended = buyer.get(&stall, &["--max-price", "40"]);
    buyer.is_told(&ended, 6, "nobody answers there now");
    let shown = buyer.town.peer(&buyer.name, &["wallet", "show"]);
    let open: Vec<&Value> =
        shown["wallet"].as_array().expect("a list").iter().flat_map(|e| e["grants"].as_array()).flatten().collect();
    let [grant] = &open[..] else { panic!("one grant: {open:?}") };
    let (through, to) = (grant["through"].as_u64().expect("a number"), grant["to"].as_u64().expect("a number"));
    assert!(through == 4 && to - 1 - through <= 16, "what a first session grants ahead: {grant}");
    // It holds the grant of all those words, and makes one up that it never saw.
    let mut claims = stall.claims();
    claims[0].through = PaywordIndex(u32::try_from(to - 1).expect("small"));
    let statement = stall.peer.redeem(&stall.peer.batch(claims)).await.expect("a statement");
    assert_eq!((statement.lines[0].verdict, statement.balance_units), (Verdict::Invalid, Units(0)));
    buyer.lost(&stall, through).await;
    // The other chain is free for others.
    let honest = raw_peer(&buyer.town, 0).await;
    let other = RawSupplier::open(honest, buyer.town.world.dir.path(), CHUNKS, PRICE, Box::new(truth)).await;
    assert_eq!(buyer.get(&other.stall, &MOST).code, 0);
    buyer.received(&other.stall);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_acknowledges_less_than_it_got_is_paid_no_more() {
    let short = |stall: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay if asked.nth >= 2 => {
            let pay: netpay_protocol::payment::Pay = wire::decode(&asked.bytes).expect("a payment");
            Told::Bytes(wire::encode(&Paid { paid: Units(stall.paid(pay.order).0 - 1) }))
        }
        _ => Told::Truth,
    };
    let (supplier, buyer) = given(short).await;
    let ended = buyer.get(&supplier.stall, &MOST);
    buyer.is_told(&ended, 7, "the payee says that 2 units were paid, and 3 were sent");
    buyer.lost(&supplier.stall, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_acknowledges_more_than_it_got_gains_nothing_by_it() {
    let generous = |_: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay => Told::Bytes(wire::encode(&Paid { paid: Units(u64::MAX) })),
        _ => Told::Truth,
    };
    let (supplier, buyer) = given(generous).await;
    let got = buyer.get(&supplier.stall, &MOST);
    assert_eq!(got.code, 0, "{got:?}");
    buyer.received(&supplier.stall);
    assert!(supplier.stall.worth() <= PRICE, "{}", supplier.stall.worth());
    assert_eq!(got.json["paid_units"], supplier.stall.worth());
    buyer.lost(&supplier.stall, supplier.stall.worth()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_refused_and_kept_pays_for_the_next_order_there() {
    let refuse = |_: &Stall, asked: &Asked| match asked.op {
        PeerOp::Pay => Told::Problem(Problem::new(Kind::PaymentRefused, "I never saw it")),
        _ => Told::Truth,
    };
    let (supplier, buyer) = given(refuse).await;
    for _ in 0..3 {
        let ended = buyer.get(&supplier.stall, &MOST);
        buyer.is_told(&ended, 4, "the supplier refused the payment: I never saw it");
        assert_eq!(supplier.stall.worth(), 1, "the same word each time");
    }
    let statement = supplier.stall.redeem().await;
    assert_eq!(statement.balance_units, Units(1), "what it kept is its own, and no more");
    audit(&buyer.town);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_redeems_no_grant_that_is_another_s_and_no_word_that_it_was_not_shown() {
    let town = crate::town();
    let payer = raw_peer(&town, 50).await;
    let (bob, thief) = (raw_peer(&town, 0).await, raw_peer(&town, 0).await);
    let coin = payer.buy(&payer.order(50, 1, netpay_protocol::suite::Suite::Sha256)).await.expect("bought").remove(0);
    let honest = RawPeer::claim(&coin, &payer.grant(&coin, (1, 21), bob.id()), 10);
    let mut stolen = honest.clone();
    stolen.index.content.payee = thief.id();
    let mut further = honest.clone();
    further.through = PaywordIndex(11);
    let mut above = RawPeer::claim(&coin, &honest.index, 10);
    above.index.content.to = PaywordIndex(31);
    let beyond = RawPeer::claim(&coin, &honest.index, 21);
    for (who, claim, verdict) in [
        (&thief, honest.clone(), Verdict::Unauthorised),
        (&thief, stolen, Verdict::Unauthorised),
        (&bob, above, Verdict::Unauthorised),
        (&bob, further, Verdict::Invalid),
        (&bob, beyond, Verdict::Invalid),
    ] {
        let statement = who.redeem(&who.batch(vec![claim])).await.expect("a statement");
        assert_eq!((statement.lines[0].verdict, statement.balance_units), (verdict, Units(0)));
    }
    assert_eq!(netpay_tests::shop::paid_words(&town, &coin), 0);
    let statement = bob.redeem(&bob.batch(vec![honest])).await.expect("a statement");
    assert_eq!(statement.balance_units, Units(10));
    audit(&town);
}
