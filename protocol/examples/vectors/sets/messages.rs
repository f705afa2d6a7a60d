//! Every CBOR message with what it says.

use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{
    Account, Announce, Ask, AskChunk, AskQuote, AskReceipt, Buy, Chunk, Done, Hit, Hits, Paid, Quoted, Redeem, Rotate,
    Search, Sold, TakeBack, Withdrawal,
};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::Question;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use super::fields::signed;
use super::json::{Json, hex, list, object};
use super::values::*;
use super::world::*;

pub fn vector<T: minicbor::Encode<()>>(message: &str, name: &str, why: &str, value: &T, fields: Json) -> Json {
    object! {
        "name" => name,
        "why" => why,
        "message" => message,
        "fields" => fields,
        "cbor" => hex(&wire::encode(value)),
    }
}

fn revealed(revealed: &Revealed) -> Json {
    object! { "through" => revealed.through, "words" => list(revealed.words.iter().copied()) }
}

fn pay(name: &str, why: &str, payment: Payment) -> Json {
    let fields = match &payment {
        Payment::First { touchstone, index, revealed: words } => object! {
            "form" => 1_u8, "touchstone" => signed(touchstone), "index" => signed(index), "revealed" => revealed(words),
        },
        Payment::Grown { index, revealed: words } => object! {
            "form" => 2_u8, "index" => signed(index), "revealed" => revealed(words),
        },
        Payment::Words { ecoin, from, revealed: words } => object! {
            "form" => 3_u8, "ecoin" => *ecoin, "from" => *from, "revealed" => revealed(words),
        },
    };
    let order = quote().digest();
    vector("Pay", name, why, &Pay { order, payment }, object! { "order" => order, "payment" => fields })
}

fn payments() -> Vec<Json> {
    let words = chain(Suite::Sha256, ECOIN, 50);
    let word = |i| words.word(PaywordIndex(i)).expect("on the chain");
    let one = |i| Revealed::one(PaywordIndex(i), word(i));
    let listed = Revealed { through: PaywordIndex(3), words: vec![word(1), word(2), word(3)] };
    let (first, grown) = (grant(1, 17, peer(BOB)), grant(1, 33, peer(BOB)));
    let touchstone = signed_touchstone();
    vec![
        pay(
            "pay, first contact",
            "touchstone, grant and the last word",
            Payment::First { touchstone: touchstone.clone(), index: first.clone(), revealed: one(3) },
        ),
        pay(
            "pay, words listed",
            "the paper's W1 W2 W3: the same payment",
            Payment::First { touchstone, index: first, revealed: listed },
        ),
        pay("pay, grown grant", "the same from, a higher to", Payment::Grown { index: grown, revealed: one(20) }),
        pay(
            "pay, words alone",
            "under the grant that begins at 1: one word, no signature",
            Payment::Words { ecoin: ECOIN, from: PaywordIndex(1), revealed: one(24) },
        ),
    ]
}

fn to_broker() -> Vec<Json> {
    let buy = Signed::new(buy(), &key(ALICE));
    let batch = Signed::new(batch(vec![claim(1, 6, 5)]), &key(BOB));
    let query = Signed::new(query(Question::Balance), &key(ALICE));
    let payout = Signed::new(payout(), &key(ALICE));
    let (keys, sealed) = (signed_key_list(), Signed::new(sealed(), &key(TOUCHSTONE_KEY)));
    let none = Json::Null;
    vec![
        vector(
            "Account",
            "account",
            "the answer to register",
            &Account { peer: peer(ALICE), keys: keys.clone() },
            object! { "peer" => peer(ALICE), "keys" => object! { "root" => keys.root, "list" => signed(&keys.list) } },
        ),
        vector(
            "SignedKeyList",
            "key list",
            "as it is published and asked for",
            &keys,
            object! { "root" => keys.root, "list" => signed(&keys.list) },
        ),
        vector(
            "Buy",
            "buy, first time",
            "with the registration, which opens the account",
            &Buy { buy: buy.clone(), register: Some(register()) },
            object! { "buy" => signed(&buy), "register" => signed(&register()) },
        ),
        vector(
            "Buy",
            "buy",
            "without: key 1 is left out of the map",
            &Buy { buy: buy.clone(), register: None },
            object! { "buy" => signed(&buy), "register" => none.clone() },
        ),
        vector(
            "Sold",
            "sold",
            "the answer to buy: M2 and M3",
            &Sold { sealed: sealed.clone(), touchstones: vec![signed_touchstone()], position: 4 },
            object! {
                "sealed" => signed(&sealed), "touchstones" => list([signed(&signed_touchstone())]), "position" => 4_u8,
            },
        ),
        vector(
            "Redeem",
            "redeem",
            "a batch alone: the empty list stays, the absent registration does not",
            &Redeem { batch: batch.clone(), touchstones: vec![], register: None },
            object! { "batch" => signed(&batch), "touchstones" => Json::List(vec![]), "register" => none.clone() },
        ),
        vector(
            "Redeem",
            "redeem with a touchstone",
            "after unknown_ecoin",
            &Redeem { batch: batch.clone(), touchstones: vec![signed_touchstone()], register: None },
            object! {
                "batch" => signed(&batch), "touchstones" => list([signed(&signed_touchstone())]), "register" => none.clone(),
            },
        ),
        vector(
            "Ask",
            "ask",
            "any question",
            &Ask { query: query.clone(), register: None },
            object! { "query" => signed(&query), "register" => none.clone() },
        ),
        vector(
            "Withdrawal",
            "payout",
            "money out",
            &Withdrawal { payout: payout.clone(), register: None },
            object! { "payout" => signed(&payout), "register" => none },
        ),
    ]
}

fn between_peers() -> Vec<Json> {
    let quoted = Signed::new(quote(), &key(BOB));
    let slice = vec![7; 300];
    let order = quote().digest();
    vec![
        vector(
            "AskQuote",
            "ask for a quote of the whole",
            "key 2 is left out",
            &AskQuote { content: content(), first_chunk: 0, chunk_count: None },
            object! { "content" => content(), "first_chunk" => 0_u8, "chunk_count" => Json::Null },
        ),
        vector(
            "AskQuote",
            "ask for a quote of a part",
            "two chunks from chunk 1 on",
            &AskQuote { content: content(), first_chunk: 1, chunk_count: Some(2) },
            object! { "content" => content(), "first_chunk" => 1_u8, "chunk_count" => 2_u8 },
        ),
        vector(
            "Quoted",
            "quoted",
            "the offer, the payee's key, and the suites that it takes by number",
            &Quoted { quote: quoted.clone(), key: key(BOB).public(), suites: vec![Suite::Sha256, Suite::Md5] },
            object! { "quote" => signed(&quoted), "key" => key(BOB).public(), "suites" => list([2_u8, 1]) },
        ),
        vector("Paid", "paid", "in all towards the order", &Paid { paid: Units(25) }, object! { "paid" => 25_u8 }),
        vector(
            "AskChunk",
            "ask for a chunk",
            "the third",
            &AskChunk { order, index: 2 },
            object! { "order" => order, "index" => 2_u8 },
        ),
        vector(
            "Chunk",
            "chunk",
            "300 bytes that are no real slice: see content.json",
            &Chunk { slice: slice.clone() },
            object! { "slice" => hex(&slice) },
        ),
        vector("AskReceipt", "close", "asks for a receipt", &AskReceipt { order }, object! { "order" => order }),
    ]
}

fn to_index() -> Vec<Json> {
    let listing = Signed::new(listing(), &key(BOB));
    let withdraw = Signed::new(withdraw(), &key(BOB));
    let hit = Hit { listing: listing.clone(), key: key(BOB).public(), online: true };
    vec![
        vector(
            "Announce",
            "announce",
            "a listing and the key of its supplier",
            &Announce { listing: listing.clone(), key: key(BOB).public() },
            object! { "listing" => signed(&listing), "key" => key(BOB).public() },
        ),
        vector(
            "TakeBack",
            "withdraw",
            "takes it back",
            &TakeBack { withdraw: withdraw.clone(), key: key(BOB).public() },
            object! { "withdraw" => signed(&withdraw), "key" => key(BOB).public() },
        ),
        vector(
            "Search",
            "search",
            "the first ten",
            &Search { text: "söng mus".into(), skip: 0, limit: 10 },
            object! { "text" => "söng mus", "skip" => 0_u8, "limit" => 10_u8 },
        ),
        vector(
            "Hits",
            "hits",
            "one, and no more",
            &Hits { hits: vec![hit], more: false },
            object! {
                "hits" => list([object! { "listing" => signed(&listing), "key" => key(BOB).public(), "online" => true }]),
                "more" => false,
            },
        ),
        vector(
            "Hits",
            "no hits",
            "an empty list is not left out",
            &Hits { hits: vec![], more: false },
            object! {
                "hits" => Json::List(vec![]), "more" => false,
            },
        ),
        vector("Done", "done", "an empty map", &Done {}, object! {}),
    ]
}

fn problems() -> Vec<Json> {
    KINDS
        .iter()
        .map(|(kind, number, name, code, passing)| {
            assert_eq!((kind.name(), kind.code(), kind.is_passing()), (*name, *code, *passing));
            let text = "what was expected";
            vector(
                "Problem",
                name,
                "the body of an answer with the headers Nats-Service-Error and Nats-Service-Error-Code",
                &Problem::new(*kind, text),
                object! { "kind" => *number, "text" => text, "name" => *name, "code" => *code, "passing" => *passing },
            )
        })
        .collect()
}

/// Written down once more, by hand: a number changed in the crate is found here.
pub const KINDS: &[(Kind, u8, &str, u16, bool)] = &[
    (Kind::Malformed, 1, "malformed", 400, false),
    (Kind::TooLarge, 2, "too_large", 400, false),
    (Kind::NotForMe, 3, "not_for_me", 400, false),
    (Kind::BadSignature, 4, "bad_signature", 403, false),
    (Kind::NotFound, 5, "not_found", 404, false),
    (Kind::RequestIdReused, 6, "request_id_reused", 409, false),
    (Kind::RequestExpired, 7, "request_expired", 422, false),
    (Kind::Suspended, 8, "suspended", 403, false),
    (Kind::InDebt, 9, "in_debt", 403, false),
    (Kind::InsufficientFunds, 10, "insufficient_funds", 402, false),
    (Kind::Policy, 11, "policy", 422, false),
    (Kind::Conflict, 12, "conflict", 409, false),
    (Kind::Busy, 13, "busy", 429, true),
    (Kind::Unavailable, 14, "unavailable", 503, true),
    (Kind::PaymentRefused, 15, "payment_refused", 402, false),
    (Kind::PaymentDue, 16, "payment_due", 402, false),
    (Kind::Fork, 17, "fork", 409, false),
];

/// What came after version 1 was frozen.
fn added() -> Vec<Json> {
    let rotate = Signed::new(rotation(), &key(ALICE));
    vec![vector(
        "Rotate",
        "rotate",
        "signed with the old key; the new keys, signed with the new one",
        &Rotate { order: rotate.clone(), register: register_again() },
        object! { "order" => signed(&rotate), "register" => signed(&register_again()) },
    )]
}

pub fn vectors() -> Vec<Json> {
    [to_broker(), payments(), between_peers(), to_index(), problems(), super::operators::vectors(), added()].concat()
}
