//! Payers with e-coins that are not good here: expired, another's, revoked, or against the payee's policy. Most are signed
//! with the broker's own key files, which the test owns: nothing but the check in question speaks against them.

use std::sync::Arc;

use netpay_protocol::amounts::UnitValue;
use netpay_protocol::ids::{BrokerId, Kid, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{DAY_MS, MIN_REDEEM_WINDOW_MS};
use netpay_protocol::messages::Quoted;
use netpay_protocol::payment::Payment;
use netpay_protocol::problem::Kind;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Guarantee;
use netpay_tests::forger::Forger;
use netpay_tests::processes::World;
use netpay_tests::raw_peer::{Coin, RawPeer, now_ms, problem};
use netpay_tests::shop::{Shop, audit, paid_words, raw_peer};
use netpay_tests::town::Town;

use crate::payers::{gets_nothing, is_refused, paid, quote, told};

/// The first payment of ten words with this e-coin.
fn ten_words(shop: &Shop, payer: &RawPeer, coin: &Coin) -> Payment {
    RawPeer::first(coin, payer.grant(coin, (1, 11), shop.id), 10)
}

#[tokio::test]
async fn an_e_coin_that_may_not_be_spent_any_more_is_refused() {
    let shop = Shop::open(crate::town(), "spend_margin_ms = 60000");
    let (payer, coin) = shop.payer(50).await;
    let forger = Forger::of(&shop.town.world);
    let until_ms = |spend_until_ms| {
        forger.coin(&coin, |t| {
            (t.spend_until_ms, t.redeem_until_ms) = (spend_until_ms, spend_until_ms + MIN_REDEEM_WINDOW_MS);
        })
    };
    for late in [until_ms(now_ms() - DAY_MS), until_ms(now_ms()), until_ms(now_ms() + 60_000)] {
        is_refused(&shop, &payer, ten_words(&shop, &payer, &late), "the e-coin may not be spent any more").await;
    }
    // A minute is left beyond the margin: the same payer, the same broker's signature.
    let quoted = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&until_ms(now_ms() + 120_000), (1, 11), &quoted).await), 10);
}

#[tokio::test]
async fn an_e_coin_bound_to_another_payee_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let payer = raw_peer(&shop.town, 100).await;
    let bound = |to| payer.buy_one(50, Suite::Sha256, 1, Guarantee::Bound(to));
    let to_another = bound(PeerId([7; 16])).await.expect("bought");
    is_refused(&shop, &payer, ten_words(&shop, &payer, &to_another), "bound to another payee").await;
    let to_shop = bound(shop.id).await.expect("bought");
    assert_eq!(paid(payer.pay(&to_shop, (1, 11), &quote(&shop, &payer).await).await), 10);
    shop.redeems_what_was_given(&to_shop, 10);
}

#[tokio::test]
async fn an_e_coin_of_another_broker_is_refused_also_when_it_takes_this_one_s_name() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let elsewhere = World::new();
    let id: BrokerId = elsewhere.init_broker(&[]).parse().expect("an id");
    let _broker = elsewhere.serve_broker();
    let there = RawPeer::with_seed(&elsewhere.nats_url(), id, &payer.key.seed()).await.expect("connected");
    there.join().await.expect("a good registration");
    elsewhere.credit(&there.id().to_string(), 50, "abroad");
    let foreign = there.buy_one(50, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    let payment = RawPeer::first(&foreign, there.grant(&foreign, (1, 11), shop.id), 10);
    is_refused(&shop, &payer, payment, "the e-coin is another broker's").await;
    let rogue = Forger::of(&elsewhere);
    let named = rogue.coin(&coin, |t| t.kid = foreign.touchstone.content.kid);
    let payment = ten_words(&shop, &payer, &named);
    is_refused(&shop, &payer, payment, "the touchstone's key is not one of the broker's").await;
    let same_kid = rogue.coin(&coin, |_| ());
    is_refused(&shop, &payer, ten_words(&shop, &payer, &same_kid), "the touchstone is not signed by the broker").await;
}

#[tokio::test]
async fn an_e_coin_signed_by_the_broker_s_other_keys_or_before_their_time_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let forger = Forger::of(&shop.town.world);
    let not_a_key = "the touchstone's key is not one of the broker's, or is revoked";
    for name in ["root", "statement", "notice"] {
        let key: SigningKey = forger.key(name);
        let mut wrong = forger.coin(&coin, |t| t.kid = Kid::of(&key.public()));
        wrong.touchstone = Signed::new(wrong.touchstone.content, &key);
        is_refused(&shop, &payer, ten_words(&shop, &payer, &wrong), not_a_key).await;
    }
    let early = forger.coin(&coin, |t| t.issued_at_ms = now_ms() - 365 * DAY_MS);
    is_refused(&shop, &payer, ten_words(&shop, &payer, &early), not_a_key).await;
}

#[tokio::test]
async fn an_e_coin_under_a_revoked_key_is_refused_whenever_it_was_sold() {
    let mut town = Town::without_index();
    let payer = raw_peer(&town, 50).await;
    let coin = payer.buy_one(50, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    assert_eq!(town.broker.take().expect("it serves").terminate(), Some(0));
    town.world.broker(&["key", "rotate", "touchstone", "--revoke"]);
    town.broker = Some(town.world.serve_broker());
    let shop = Shop::open(Arc::new(town), "");
    let payment = ten_words(&shop, &payer, &coin);
    is_refused(&shop, &payer, payment, "the touchstone's key is not one of the broker's, or is revoked").await;
}

#[tokio::test]
async fn a_suspended_payer_is_refused_as_soon_as_the_broker_s_list_says_so() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(200).await;
    let quoted: Quoted = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&coin, (1, 11), &quoted).await), 10);
    shop.town.world.broker(&["account", "suspend", &payer.id().to_string()]);
    let mut given = 10;
    let refusal = loop {
        let grant = payer.grant(&coin, (1, given + 2), shop.id);
        let grown = Payment::Grown { index: grant, revealed: coin.reveal(given + 1) };
        match payer.send(shop.id, &crate::payers::towards(&quoted, grown)).await {
            Ok(_) => given += 1,
            refused => break problem(refused),
        }
        assert!(given < 199, "it takes a suspended payer's words for ever");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((refusal.kind, &*refusal.text), (Kind::Suspended, "the payer is on the revocation list"));
    let fresh = forged_coin(&shop, &coin);
    told(payer.pay(&fresh, (1, 11), &quoted).await, Kind::Suspended, "on the revocation list");
    // What was taken before is prepaid.
    shop.redeems_what_was_given(&coin, u64::from(given));
}

fn forged_coin(shop: &Shop, like: &Coin) -> Coin {
    Forger::of(&shop.town.world).coin(like, |_| ())
}

#[tokio::test]
async fn what_the_payee_s_policy_does_not_take_is_refused() {
    let policy = "suites = [\"sha256\"]\nmax_unit_value = 2\nbound_only = true\nmin_account_age_ms = 3600000";
    let shop = Shop::open(crate::town(), policy);
    let payer = raw_peer(&shop.town, 1_000).await;
    for (suite, unit, guarantee, words) in [
        (Suite::Md5, 1, Guarantee::Bound(shop.id), "md5 e-coins are not accepted here"),
        (Suite::Sha256, 3, Guarantee::Bound(shop.id), "a word may be worth at most 2 units here"),
        (Suite::Sha256, 2, Guarantee::Bearer, "only e-coins bound to this payee are accepted here"),
        (Suite::Sha256, 2, Guarantee::Bound(shop.id), "the payer's account is too young"),
    ] {
        let coin = payer.buy_one(50, suite, unit, guarantee).await.expect("bought");
        is_refused(&shop, &payer, ten_words(&shop, &payer, &coin), words).await;
        assert_eq!(paid_words(&shop.town, &coin), 0);
    }
    let coin = payer.buy_one(50, Suite::Sha256, 2, Guarantee::Bound(shop.id)).await.expect("bought");
    let old = Forger::of(&shop.town.world).coin(&coin, |t| t.payer_opened_at_ms -= 3_600_000);
    assert_eq!(paid(payer.pay(&old, (1, 11), &quote(&shop, &payer).await).await), 20);
    audit(&shop.town);
}

#[tokio::test]
async fn another_touchstone_for_an_e_coin_that_is_known_is_refused() {
    let shop = Shop::open(crate::town(), "");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    assert_eq!(paid(payer.pay(&coin, (1, 11), &quoted).await), 10);
    let mut dearer = coin.clone();
    dearer.touchstone.content.unit_value = UnitValue(1_000);
    dearer.touchstone = Signed::new(dearer.touchstone.content, &Forger::of(&shop.town.world).key("touchstone"));
    let refused = payer.pay(&dearer, (1, 21), &quoted).await;
    told(refused, Kind::PaymentRefused, "another touchstone is known for this e-coin");
    shop.redeems_what_was_given(&coin, 10);
}

#[tokio::test]
async fn a_payee_without_a_fresh_revocation_list_takes_no_payment_and_says_why() {
    let shop = Shop::open(crate::town(), "max_revocation_age_ms = 1");
    let (payer, coin) = shop.payer(50).await;
    let quoted = quote(&shop, &payer).await;
    let stale = "this payee's revocation list is too old to take payments";
    told(payer.pay(&coin, (1, 11), &quoted).await, Kind::Unavailable, stale);
    gets_nothing(&shop, &payer, &quoted).await;
}
