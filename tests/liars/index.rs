//! A Central Indexing Server that lies: it can hide a listing, and nothing else. What it makes up is left out, and a
//! person's agent pays nobody because of it.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::listing::Listing;
use netpay_protocol::messages::{Hit, Hits};
use netpay_protocol::subjects::{self, IndexOp};
use netpay_protocol::wire;
use netpay_tests::buyer::Buyer;
use netpay_tests::impostor::Impostor;
use netpay_tests::raw_peer::now_ms;
use netpay_tests::raw_supplier::{RawSupplier, Stall};
use netpay_tests::shop::raw_peer;
use serde_json::json;

use crate::suppliers::{CHUNKS, PRICE, given, given_at, truth};

fn listing(stall: &Stall) -> Listing {
    Listing {
        broker: stall.peer.broker,
        supplier: stall.peer.id(),
        content: stall.content,
        size_bytes: stall.size_bytes(),
        price_units: Units(stall.price),
        issued_at_ms: now_ms(),
        expires_ms: now_ms() + HOUR_MS,
        name: format!("{}.song", stall.peer.id()),
        media_type: "audio/ogg".into(),
        tags: "music".into(),
    }
}

/// As the supplier would list it.
fn hit(stall: &Stall, listing: Listing) -> Hit {
    Hit { listing: stall.peer.sign(listing), key: stall.peer.key.public(), online: true }
}

/// The index that this buyer reaches.
async fn index(buyer: &Buyer, stall: &Stall, hits: Vec<Hit>) -> Impostor {
    let answer = wire::encode(&Hits { hits, more: false });
    let subject = subjects::index(buyer.id, IndexOp::Search);
    Impostor::default().answer(&stall.peer.client, subject, move |_| answer.clone()).await
}

/// `netpay get` without a supplier's name.
fn get(buyer: &Buyer, stall: &Stall, more: &[&str]) -> netpay_tests::processes::Ended {
    buyer.town.run(&buyer.name, &[&["get", &stall.content.to_string()], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_not_its_supplier_s_word_is_left_out() {
    let (supplier, buyer) = given(truth).await;
    let stall = &supplier.stall;
    let rogue = SigningKey::from_seed(&[9; 32]);
    let altered = |change: fn(&mut Listing)| {
        let mut hit = hit(stall, listing(stall));
        change(&mut hit.listing.content);
        hit
    };
    let signed = |change: fn(&mut Listing)| {
        let mut listing = listing(stall);
        change(&mut listing);
        hit(stall, listing)
    };
    let mut by_another = hit(stall, listing(stall));
    by_another.listing = Signed::new(by_another.listing.content, &rogue);
    let by_its_own_key = Hit { key: rogue.public(), ..by_another.clone() };
    for (lie, hit) in [
        ("another price", altered(|listing| listing.price_units = Units(1))),
        ("another supplier", altered(|listing| listing.supplier = PeerId([9; 16]))),
        ("another name", altered(|listing| listing.name = "virus".into())),
        ("another key than the supplier's", by_another),
        ("a key that the supplier's id is not made of", by_its_own_key),
        ("another broker's money", signed(|listing| listing.broker = BrokerId([9; 16]))),
        (
            "lapsed",
            signed(|listing| {
                (listing.issued_at_ms, listing.expires_ms) = (now_ms() - 2 * HOUR_MS, now_ms() - HOUR_MS);
            }),
        ),
    ] {
        let _index = index(&buyer, stall, vec![hit]).await;
        assert_eq!(buyer.town.peer(&buyer.name, &["search", "music"])["hits"], json!([]), "{lie}");
        buyer.is_told(&get(&buyer, stall, &["--max-price", "10"]), 3, "nobody offers content");
    }
    let _index = index(&buyer, stall, vec![hit(stall, listing(stall))]).await;
    let found = buyer.town.peer(&buyer.name, &["search", "music"]);
    assert_eq!(found["hits"][0]["price_units"], PRICE, "what is the supplier's word is shown");
    buyer.lost(stall, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_a_path_is_never_written_to() {
    let (supplier, buyer) = given(truth).await;
    let stall = &supplier.stall;
    for name in ["../evil", "/tmp/evil", "..", "a/b", "a\\b", "a\nb", ""] {
        let bad = hit(stall, Listing { name: name.into(), ..listing(stall) });
        let _index = index(&buyer, stall, vec![bad]).await;
        buyer.is_told(
            &buyer.town.run(&buyer.name, &["search", "music"]),
            7,
            "the index (CIS): the answer cannot be read",
        );
        buyer.is_told(&get(&buyer, stall, &[]), 7, "the index (CIS): the answer cannot be read");
    }
    assert_eq!(stall.worth(), 0);
    // What a person does not see, and programs read, is no name either.
    let hidden = hit(stall, Listing { name: ".profile".into(), ..listing(stall) });
    let _index = index(&buyer, stall, vec![hidden]).await;
    let got = get(&buyer, stall, &["--force"]);
    assert_eq!((got.code, &got.json["file"]), (0, &json!(stall.content.to_string())), "{got:?}");
    assert!(!buyer.town.world.path(".profile").exists());
    buyer.lost(stall, PRICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dearer_supplier_shown_first_is_not_the_one_that_is_paid() {
    let (dear, buyer) = given(truth).await;
    let folder = buyer.town.world.dir.path().to_owned();
    let cheap = raw_peer(&buyer.town, 0).await;
    let cheap = RawSupplier::open(cheap, &folder, CHUNKS, PRICE / 2, Box::new(truth)).await;
    assert_eq!(cheap.stall.content, dear.stall.content);
    let hits = |stalls: &[&Stall]| stalls.iter().map(|stall| hit(stall, listing(stall))).collect::<Vec<_>>();
    {
        // The cheap one is hidden: what the person allows is still the most.
        let _index = index(&buyer, &dear.stall, hits(&[&dear.stall])).await;
        buyer.is_told(&get(&buyer, &dear.stall, &["--max-price", "5"]), 4, "10 units");
    }
    let _index = index(&buyer, &dear.stall, hits(&[&dear.stall, &cheap.stall])).await;
    let got = get(&buyer, &dear.stall, &["-o", &format!("{}.got", buyer.name)]);
    assert_eq!((got.code, &got.json["supplier"]), (0, &json!(cheap.stall.peer.id().to_string())), "{got:?}");
    assert_eq!(dear.stall.worth(), 0);
    buyer.received(&cheap.stall);
    buyer.lost(&cheap.stall, PRICE / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_below_what_the_supplier_asks_pays_nobody() {
    let (supplier, buyer) = given(truth).await;
    let stall = &supplier.stall;
    // An old listing of the supplier's own, from when it was cheaper.
    let old = hit(stall, Listing { price_units: Units(PRICE - 1), ..listing(stall) });
    let _index = index(&buyer, stall, vec![old]).await;
    let ended = get(&buyer, stall, &[]);
    buyer.is_told(&ended, 4, "the supplier asks 10 units, and its listing says 9; allow it with --max-price 10");
    buyer.lost(stall, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_hides_everything_or_answers_rubbish_is_done_without() {
    // Saved under its id beside what other tests save: a file of its own.
    let (supplier, buyer) = given_at(CHUNKS - 1, PRICE, Box::new(truth)).await;
    let stall = &supplier.stall;
    let subject = subjects::index(buyer.id, IndexOp::Search);
    let rubbish = Impostor::default().answer(&stall.peer.client, subject, |_| b"rubbish".to_vec()).await;
    buyer.is_told(&get(&buyer, stall, &[]), 7, "the index (CIS): the answer cannot be read");
    let from = stall.peer.id().to_string();
    let by_name = ["--from", &from, "--max-price", "10", "--force"];
    let got = get(&buyer, stall, &by_name);
    assert_eq!((got.code, &got.json["file"]), (0, &json!(stall.content.to_string())), "{got:?}");
    let saved = buyer.town.world.path(&stall.content.to_string());
    std::fs::remove_file(&saved).expect("just saved");
    drop(rubbish);
    buyer.is_told(&get(&buyer, stall, &[]), 6, "the index (CIS): nobody answers there now");
    let _index = index(&buyer, stall, vec![]).await;
    buyer.is_told(&get(&buyer, stall, &[]), 3, "nobody offers content");
    let got = get(&buyer, stall, &by_name);
    assert_eq!(got.code, 0, "{got:?}");
    buyer.lost(stall, 2 * PRICE).await;
}
