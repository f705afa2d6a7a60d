//! Payers that lie to a real `netpay serve`: whatever they send, a word is worth something once, and only if it is theirs.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{AskQuote, Paid, Quoted};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::problem::Kind;
use netpay_protocol::subjects::{self, PeerOp};
use netpay_protocol::suite::Payword;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{Coin, RawPeer, problem};
use netpay_tests::shop::Shop;

/// The payer is told this.
pub fn told<T: std::fmt::Debug>(result: anyhow::Result<T>, kind: Kind, words: &str) {
    let problem = problem(result);
    assert_eq!(problem.kind, kind, "{problem}");
    assert!(problem.text.contains(words), "{:?} instead of {words:?}", problem.text);
}

/// A payment towards a quote.
pub fn towards(quoted: &Quoted, payment: Payment) -> Pay {
    Pay { order: quoted.quote.content.digest(), payment }
}

/// What an honest payer would have signed for words 1 to 10, but with `change` before the signature.
fn index(shop: &Shop, payer: &RawPeer, coin: &Coin, change: impl FnOnce(&mut SignedIndex)) -> Signed<SignedIndex> {
    let mut index = payer.grant(coin, (1, 11), shop.id).content;
    change(&mut index);
    payer.sign(index)
}

/// Asks the price of what the shop offers.
pub async fn quote(shop: &Shop, payer: &RawPeer) -> Quoted {
    payer.quote(shop.id, shop.content).await.expect("a quote")
}

/// Sends the payment: it is refused with these words, buys nothing, and is not in the till.
pub async fn is_refused(shop: &Shop, payer: &RawPeer, payment: Payment, words: &str) {
    let quoted = quote(shop, payer).await;
    told(payer.send(shop.id, &towards(&quoted, payment)).await, Kind::PaymentRefused, words);
    gets_nothing(shop, payer, &quoted).await;
}

/// The order buys nothing, and the till holds nothing of this payer's.
pub async fn gets_nothing(shop: &Shop, payer: &RawPeer, quoted: &Quoted) {
    told(payer.chunk(quoted, 0).await, Kind::PaymentDue, "10 units must be paid before chunk 0, and 0 are");
    shop.took_nothing(payer);
}

/// What an accepted payment is answered with.
pub fn paid(result: anyhow::Result<Paid>) -> u64 {
    result.expect("accepted").paid.0
}

#[tokio::test]
async fn a_payment_below_what_is_due_buys_no_chunk() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&coin, (1, 10), &quoted).await), 9);
    told(payer.chunk(&quoted, 0).await, Kind::PaymentDue, "10 units must be paid before chunk 0, and 9 are");
    let grown = Payment::Grown { index: payer.grant(&coin, (1, 11), shop.id), revealed: coin.reveal(10) };
    assert_eq!(paid(payer.send(shop.id, &towards(&quoted, grown)).await), 10);
    payer.chunk(&quoted, 0).await.expect("the chunk that is paid");
    told(payer.chunk(&quoted, 1).await, Kind::PaymentDue, "20 units must be paid before chunk 1, and 10 are");
    told(payer.chunk(&quoted, 12).await, Kind::NotFound, "12 chunks from chunk 0 on");
    shop.redeems_what_was_given(&coin, 10);
}

#[tokio::test]
async fn a_word_that_is_not_the_position_s_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let (_, other) = shop.payer(50).await;
    let word = |coin: &Coin, i| coin.chain.word(PaywordIndex(i)).expect("on the chain");
    for wrong in [word(&other, 10), word(&coin, 9), word(&coin, 11), word(&coin, 0), Payword::unchecked([7; 32])] {
        let payment = Payment::First {
            touchstone: coin.touchstone.clone(),
            index: payer.grant(&coin, (1, 11), shop.id),
            revealed: Revealed::one(PaywordIndex(10), wrong),
        };
        is_refused(&shop, &payer, payment, "the words are not on the e-coin's chain").await;
    }
}

#[tokio::test]
async fn a_list_of_words_with_a_wrong_or_strange_one_in_it_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let listed =
        |first: u32| (first..=10).map(|i| coin.chain.word(PaywordIndex(i)).expect("there")).collect::<Vec<_>>();
    let payment = |index, words| Payment::First {
        touchstone: coin.touchstone.clone(),
        index,
        revealed: Revealed { through: PaywordIndex(10), words },
    };
    let all = payer.grant(&coin, (1, 11), shop.id);
    for wrong in [0, 4, 8] {
        let mut words = listed(1);
        words[wrong] = Payword::unchecked([7; 32]);
        is_refused(&shop, &payer, payment(all.clone(), words), "do not follow one another").await;
    }
    let half = payer.grant(&coin, (5, 11), shop.id);
    is_refused(&shop, &payer, payment(half, listed(4)), "lists words that are not the grant's").await;
    is_refused(&shop, &payer, payment(all, vec![]), "the payment has no words").await;
}

#[tokio::test]
async fn words_outside_their_grant_or_beyond_the_chain_are_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    for (from, to, through) in [(1, 11, 11), (0, 11, 10), (11, 21, 10), (1, 52, 50), (11, 11, 11), (11, 1, 10)] {
        let index = payer.grant(&coin, (from, to), shop.id);
        is_refused(&shop, &payer, RawPeer::first(&coin, index, through), "is not one of the grant").await;
    }
}

#[tokio::test]
async fn old_payments_to_a_payee_that_redeemed_them_are_worth_nothing_in_any_order() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    let first = RawPeer::first(&coin, payer.grant(&coin, (1, 11), shop.id), 5);
    let words =
        Payment::Words { ecoin: coin.touchstone.content.ecoin, from: PaywordIndex(1), revealed: coin.reveal(10) };
    assert_eq!(paid(payer.send(shop.id, &towards(&quoted, first.clone())).await), 5);
    assert_eq!(paid(payer.send(shop.id, &towards(&quoted, words.clone())).await), 10);
    shop.redeems_what_was_given(&coin, 10);
    for old in [&words, &first, &words] {
        assert_eq!(paid(payer.send(shop.id, &towards(&quoted, old.clone())).await), 10, "the same answer");
    }
    let other = quote(&shop, &payer).await;
    assert_ne!(other.quote.content.digest(), quoted.quote.content.digest(), "the first one is being paid");
    let again = RawPeer::first(&coin, payer.grant(&coin, (1, 21), shop.id), 10);
    for old in [words, first, again] {
        assert_eq!(paid(payer.send(shop.id, &towards(&other, old)).await), 0, "nothing for another order");
    }
    told(payer.chunk(&other, 0).await, Kind::PaymentDue, "10 units must be paid before chunk 0, and 0 are");
    assert_eq!(shop.town.peer(&shop.name, &["redeem"])["nothing_to_redeem"], true);
}

#[tokio::test]
async fn words_granted_twice_to_the_same_payee_are_counted_once() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    // Each grant with the words of the one before in it, from the same word, from above, from below.
    for (range, in_all) in [((1, 11), 10), ((6, 16), 15), ((1, 13), 15), ((15, 21), 20), ((2, 26), 25)] {
        assert_eq!(paid(payer.pay(&coin, range, &quoted).await), in_all, "{range:?}");
    }
    told(payer.chunk(&quoted, 2).await, Kind::PaymentDue, "30 units must be paid before chunk 2, and 25 are");
    shop.redeems_what_was_given(&coin, 25);
}

#[tokio::test]
async fn a_grant_that_shrinks_or_changes_its_order_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    assert_eq!(
        paid(
            payer
                .send(shop.id, &towards(&quoted, RawPeer::first(&coin, payer.grant(&coin, (1, 21), shop.id), 5)))
                .await
        ),
        5
    );
    let moved = index(&shop, &payer, &coin, |index| {
        (index.to, index.order) = (PaywordIndex(31), quoted.quote.content.digest());
    });
    for (index, through) in [(payer.grant(&coin, (1, 11), shop.id), 10), (moved, 30)] {
        let grown = Payment::Grown { index, revealed: coin.reveal(through) };
        told(payer.send(shop.id, &towards(&quoted, grown)).await, Kind::PaymentRefused, "its end only grows");
    }
    // The first grant still stands.
    let word =
        Payment::Words { ecoin: coin.touchstone.content.ecoin, from: PaywordIndex(1), revealed: coin.reveal(20) };
    assert_eq!(paid(payer.send(shop.id, &towards(&quoted, word)).await), 20);
    shop.redeems_what_was_given(&coin, 20);
}

#[tokio::test]
async fn a_grant_altered_after_it_was_signed_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    let changes: [fn(&mut SignedIndex); 3] =
        [|index| index.from = PaywordIndex(2), |index| index.to = PaywordIndex(12), |index| index.order.0[0] ^= 1];
    let unsigned = "the grant is not signed by the e-coin's payer";
    for change in changes {
        let mut index = payer.grant(&coin, (1, 11), shop.id);
        change(&mut index.content);
        is_refused(&shop, &payer, RawPeer::first(&coin, index, 10), unsigned).await;
    }
    let other_payee = payer.id();
    let mut stolen = index(&shop, &payer, &coin, |index| index.payee = other_payee);
    let payment = RawPeer::first(&coin, stolen.clone(), 10);
    is_refused(&shop, &payer, payment, "the grant is for another payee").await;
    stolen.content.payee = shop.id;
    is_refused(&shop, &payer, RawPeer::first(&coin, stolen, 10), unsigned).await;
    let of_quote = index(&shop, &payer, &coin, |index| index.order = quoted.quote.content.digest());
    let mut bad = of_quote.clone();
    bad.signature.0[40] ^= 1;
    is_refused(&shop, &payer, RawPeer::first(&coin, bad, 10), unsigned).await;
}

#[tokio::test]
async fn a_grant_signed_by_another_key_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let content = payer.grant(&coin, (1, 11), shop.id).content;
    let by_another = Signed::new(content, &SigningKey::from_seed(&[9; 32]));
    let payment = RawPeer::first(&coin, by_another, 10);
    is_refused(&shop, &payer, payment, "the grant is not signed by the e-coin's payer").await;
}

#[tokio::test]
async fn somebody_else_s_coin_is_refused_under_either_name() {
    let shop = Shop::open(crate::town(), "");
    let (alice, coin) = shop.payer(50).await;
    let (thief, _) = shop.payer(1).await;
    // Overheard, and sent on under the thief's own name.
    let overheard = RawPeer::first(&coin, alice.grant(&coin, (1, 11), shop.id), 10);
    is_refused(&shop, &thief, overheard.clone(), "the e-coin is another payer's").await;
    // Under alice's name, but with a grant of the thief's making.
    let quoted = quote(&shop, &alice).await;
    let forged = RawPeer::first(&coin, thief.grant(&coin, (1, 11), shop.id), 10);
    let sent = thief.send_as(alice.id(), shop.id, wire::encode(&towards(&quoted, forged))).await;
    told(sent, Kind::PaymentRefused, "the grant is not signed by the e-coin's payer");
    gets_nothing(&shop, &alice, &quoted).await;
    shop.took_nothing(&alice);
}

#[tokio::test]
async fn nobody_pays_for_or_fetches_by_another_asker_s_order() {
    let shop = Shop::open(crate::town(), "");
    let (alice, _) = shop.payer(1).await;
    let (payer, coin) = shop.payer(50).await;
    let of_alice = quote(&shop, &alice).await;
    told(payer.pay(&coin, (1, 11), &of_alice).await, Kind::NotFound, "no such order of yours");
    told(payer.chunk(&of_alice, 0).await, Kind::NotFound, "no such order of yours");
    gets_nothing(&shop, &alice, &of_alice).await;
    shop.took_nothing(&payer);
}

#[tokio::test]
async fn words_without_a_touchstone_are_refused_until_it_comes() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let ecoin = coin.touchstone.content.ecoin;
    let words = Payment::Words { ecoin, from: PaywordIndex(1), revealed: coin.reveal(10) };
    let grown = Payment::Grown { index: payer.grant(&coin, (1, 11), shop.id), revealed: coin.reveal(10) };
    for payment in [words, grown] {
        is_refused(&shop, &payer, payment, "send touchstone and index").await;
    }
}

#[tokio::test]
async fn a_touchstone_with_any_byte_altered_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    let pay = towards(&quoted, RawPeer::first(&coin, payer.grant(&coin, (1, 11), shop.id), 10));
    let bytes = wire::encode(&pay);
    let touchstone = wire::encode(&coin.touchstone);
    let start = bytes.windows(touchstone.len()).position(|window| window == touchstone).expect("it is in there");
    for place in start..start + touchstone.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        let problem = problem(payer.send_as(payer.id(), shop.id, altered).await);
        assert!(matches!(problem.kind, Kind::PaymentRefused | Kind::Malformed), "byte {place}: {problem}");
    }
    gets_nothing(&shop, &payer, &quoted).await;
}

#[tokio::test]
async fn a_payment_far_above_the_price_counts_once_for_that_order_alone() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(300).await;
    let quoted = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&coin, (1, 251), &quoted).await), 250);
    payer.chunk(&quoted, 11).await.expect("all of it is paid");
    let other = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&coin, (1, 251), &other).await), 0, "what was too much is no other order's");
    assert_eq!(paid(payer.pay(&coin, (1, 252), &other).await), 1);
    told(payer.chunk(&other, 0).await, Kind::PaymentDue, "10 units must be paid before chunk 0, and 1 are");
    shop.redeems_what_was_given(&coin, 251);
}

#[tokio::test]
async fn more_than_the_payee_will_hold_unredeemed_is_not_taken_at_once_nor_in_pieces() {
    let shop = Shop::open(crate::town(), "max_exposure_per_payer_units = 30");
    let (payer, coin) = shop.payer(100).await;
    let quoted = quote(&shop, &payer).await;
    let full = "this payee holds as much unredeemed money as it will";
    told(payer.pay(&coin, (1, 32), &quoted).await, Kind::Busy, full);
    shop.took_nothing(&payer);
    assert_eq!(paid(payer.pay(&coin, (1, 31), &quoted).await), 30);
    told(payer.pay(&coin, (1, 32), &quoted).await, Kind::Busy, full);
    told(payer.pay(&coin, (31, 32), &quoted).await, Kind::Busy, full);
    shop.redeems_what_was_given(&coin, 30);
    assert_eq!(paid(payer.pay(&coin, (1, 32), &quoted).await), 31, "there is room again");
}

#[tokio::test]
async fn a_flood_of_quotes_pushes_out_the_flooder_s_own_and_nobody_else_s() {
    let shop = Shop::open(crate::town(), "");
    let (honest, coin) = shop.payer(50).await;
    let (flooder, of_flooder) = shop.payer(50).await;
    let before = quote(&shop, &honest).await;
    let first = quote(&shop, &flooder).await;
    // One for each stretch of the chunks, and one more for the whole each time that the last is being paid.
    for (at, count) in (0..12).flat_map(|at| (1..=12 - at).map(move |count| (at, count))) {
        let ask = AskQuote { content: shop.content, first_chunk: at, chunk_count: Some(count) };
        let subject = subjects::peer(shop.id, flooder.id(), PeerOp::Quote);
        flooder.call(subject, wire::encode(&ask)).await.expect("a quote");
    }
    assert_eq!(paid(honest.pay(&coin, (1, 11), &before).await), 10);
    honest.chunk(&before, 0).await.expect("it is paid");
    told(flooder.pay(&of_flooder, (1, 11), &first).await, Kind::NotFound, "no such order of yours");
    shop.redeems_what_was_given(&coin, 10);
}
