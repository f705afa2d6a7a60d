//! Every signed layout: fields, bytes, signature, digest.

use netpay_protocol::amounts::{PaywordIndex, UnitValue};
use netpay_protocol::layout::Signed;
use netpay_protocol::query::Question;
use netpay_protocol::redemption::{Line, Verdict};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::fields::Fields;
use super::json::{Json, hex, object};
use super::values::*;
use super::world::*;

fn vector<L: Fields + Clone>(name: &str, why: &str, value: &L, who: u8) -> Json {
    let signed = Signed::new(value.clone(), &key(who));
    object! {
        "name" => name,
        "why" => why,
        "what" => L::WHAT,
        "fields" => value.fields(),
        "layout" => hex(&value.to_bytes()),
        "digest" => value.digest(),
        "key_seed" => hex(&seed(who)),
        "key" => key(who).public(),
        "signature" => signed.signature,
        "cbor" => hex(&wire::encode(&signed)),
    }
}

pub fn vectors() -> Vec<Json> {
    let md5 = Touchstone { unit_value: UnitValue(1), ..touchstone(Suite::Md5, Guarantee::Bound(peer(BOB))) };
    let claims = batch(vec![claim(1, 6, 5), claim(6, 51, 50)]);
    let lines = vec![line(5, 0, 0), Line::refused(Verdict::Expired)];
    vec![
        vector("register", "all keys of a peer, signed by the first of them", &register().content, ALICE),
        vector("keys", "the broker's key list, signed by the root key", &key_list(), ROOT),
        vector("revoked", "two suspended peers in rising order of their ids", &revoked(), NOTICE_KEY),
        vector("buy", "M1: one sha256 chain of 50 words, anybody may be paid", &buy(), ALICE),
        vector(
            "buy bound",
            "two md5 chains that only one payee may be paid with",
            &netpay_protocol::buy::BuyEcoins {
                count: 2,
                suite: Suite::Md5,
                guarantee: Guarantee::Bound(peer(BOB)),
                ..buy()
            },
            ALICE,
        ),
        vector("sealed-paywords", "M2: see sealing.json for what is inside", &sealed(), TOUCHSTONE_KEY),
        vector("touchstone sha256", "M3: bearer", &signed_touchstone().content, TOUCHSTONE_KEY),
        vector("touchstone md5", "M3: bound; the root is padded with 16 zeros on the right", &md5, TOUCHSTONE_KEY),
        vector("index", "a grant of the words 1 to 5 without an order", &index(1, 6, peer(BOB)), ALICE),
        vector(
            "index for an order",
            "a grant of all 50 words, bound to a quote by its digest",
            &netpay_protocol::index::SignedIndex {
                order: netpay_protocol::layout::Layout::digest(&quote()),
                ..index(1, 51, peer(BOB))
            },
            ALICE,
        ),
        vector("quote", "a whole file of three chunks", &quote(), BOB),
        vector(
            "quote for a part",
            "the last two of three chunks",
            &netpay_protocol::quote::Quote { first_chunk: 1, chunk_count: 2, ..quote() },
            BOB,
        ),
        vector("receipt", "what was paid towards the quote above", &receipt(), BOB),
        vector("batch", "M6: two claims of 172 bytes each", &claims, BOB),
        vector("statement", "M7: one claim credited, one too late", &statement(&claims, lines), STATEMENT_KEY),
        vector("query balance", "kind 1, about 16 zeros", &query(Question::Balance), ALICE),
        vector("query statement", "kind 2, about the batch's id", &query(Question::Statement(request(0xba))), ALICE),
        vector("query e-coins", "kind 3, after this e-coin", &query(Question::Ecoins(ECOIN)), ALICE),
        vector("query payouts", "kind 4, from the first", &query(Question::Payouts(request(0))), ALICE),
        vector(
            "answer",
            "to the balance query: an account view in CBOR",
            &answer(netpay_protocol::layout::Layout::digest(&query(Question::Balance)), wire::encode(&account_view())),
            STATEMENT_KEY,
        ),
        vector("payout", "100 units to a bank account", &payout(), ALICE),
        vector("admin", "an operator's deposit of 1,000 units", &admin(&credit()), OPERATOR),
        vector("listing", "a file on offer for a day", &listing(), BOB),
        vector("withdraw", "takes it back", &withdraw(), BOB),
        vector(
            "touchstone longest",
            "the longest chain and the greatest unit value",
            &Touchstone { n: PaywordIndex(4_096), unit_value: UnitValue(u32::MAX), ..signed_touchstone().content },
            TOUCHSTONE_KEY,
        ),
        vector(
            "listing odd name",
            "a line separator (U+2028) and a mark of direction (U+200E) are no control characters",
            &netpay_protocol::listing::Listing { name: "a\u{2028}b\u{200e}.txt".into(), ..listing() },
            BOB,
        ),
        vector(
            "register again",
            "the keys that a peer rotates to, signed by the new one",
            &register_again().content,
            ALICE_AGAIN,
        ),
        vector("rotate", "by the key that is given up; names the new ones by their digest", &rotation(), ALICE),
        vector("certificate", "the broker's word on a key whose hash is not the PeerId", &certificate(), STATEMENT_KEY),
        vector("query certificate", "kind 5, about another peer", &query(Question::Certificate(peer(BOB))), ALICE),
    ]
}
