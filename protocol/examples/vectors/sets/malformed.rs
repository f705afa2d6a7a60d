//! Bytes that must be refused, and the error that each gets. Made by breaking good ones.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{Kid, PeerId, to_hex};
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::{self, DAY_MS};
use netpay_protocol::listing::Listing;
use netpay_protocol::messages::{AskQuote, Buy, Done, Paid};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::query::Question;
use netpay_protocol::quote::Quote;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::json::{Json, hex, object};
use super::values::*;
use super::world::*;

fn case(form: &str, what: &str, name: &str, why: &str, bytes: &[u8], error: &str) -> Json {
    object! {
        "name" => format!("{what}: {name}"), "why" => why, "form" => form, "what" => what, "bytes" => hex(bytes),
        "error" => error,
    }
}

fn layout<L: Layout>(name: &str, why: &str, value: &L, error: &str) -> Json {
    case("layout", L::WHAT, name, why, &value.to_bytes(), error)
}

/// What no layout gets away with.
fn of_any<L: Layout>(value: &L) -> Vec<Json> {
    let bytes = value.to_bytes();
    let tag = L::WHAT.len() + 15;
    let mut version = bytes.clone();
    version[12] = b'2';
    let longer = [bytes.as_slice(), &[0]].concat();
    let case = |name, why, bytes: &[u8], error| case("layout", L::WHAT, name, why, bytes, error);
    vec![
        case("nothing", "not even a tag", &[], "tag"),
        case("tag alone", "no fields", &bytes[..tag], "truncated"),
        case("cut", "the last byte is missing", &bytes[..bytes.len() - 1], "truncated"),
        case("trailing", "a byte follows", &longer, "trailing"),
        case("version 2", "another tag", &version, "tag"),
    ]
}

fn changed<L: Layout>(name: &str, why: &str, value: &L, at: usize, to: &[u8], error: &str) -> Json {
    let mut bytes = value.to_bytes();
    let at = L::WHAT.len() + 15 + at;
    bytes[at..at + to.len()].copy_from_slice(to);
    case("layout", L::WHAT, name, why, &bytes, error)
}

fn touchstones() -> Vec<Json> {
    let good = signed_touchstone().content;
    let md5 = Touchstone { suite: Suite::Md5, ..good.clone() };
    let hasty = Touchstone { redeem_until_ms: good.spend_until_ms + 7 * DAY_MS - 1, ..good.clone() };
    let backward = Touchstone { redeem_until_ms: good.spend_until_ms - 1, ..good.clone() };
    vec![
        changed("version byte", "1 and no other", &good, 0, &[2], "value"),
        changed("suite 0", "1 or 2", &good, 41, &[0], "value"),
        changed("suite 3", "1 or 2", &good, 41, &[3], "value"),
        changed("guarantee 2", "0 or 1", &good, 162, &[2], "value"),
        changed("bearer with a payee", "16 zeros", &good, 178, &[1], "value"),
        layout("md5 padding", "a sha256 root in an md5 touchstone", &md5, "value"),
        layout("no words", "n = 0", &Touchstone { n: PaywordIndex(0), ..good.clone() }, "value"),
        layout("too long", "n = 4097", &Touchstone { n: PaywordIndex(4_097), ..good.clone() }, "value"),
        layout("worthless", "unit value 0", &Touchstone { unit_value: UnitValue(0), ..good.clone() }, "value"),
        layout("too little time", "a ms less than 7 days to redeem", &hasty, "value"),
        layout("no time", "redeem_until before spend_until", &backward, "value"),
    ]
}

fn money() -> Vec<Json> {
    let b = buy();
    let most = batch(vec![claim(1, 6, 5)]);
    let p = payout();
    let q = quote();
    vec![
        layout("no chains", "count = 0", &BuyEcoins { count: 0, ..b.clone() }, "too_long"),
        layout("257 chains", "one beyond", &BuyEcoins { count: 257, n: PaywordIndex(1), ..b.clone() }, "too_long"),
        layout("no words", "n = 0", &BuyEcoins { n: PaywordIndex(0), ..b.clone() }, "too_long"),
        layout("4097 words", "one beyond", &BuyEcoins { n: PaywordIndex(4_097), ..b.clone() }, "too_long"),
        layout("worthless", "unit value 0", &BuyEcoins { unit_value: UnitValue(0), ..b.clone() }, "value"),
        changed("suite 3", "1 or 2", &b, 64, &[3], "value"),
        changed("bearer with a payee", "16 zeros", &b, 93, &[1], "value"),
        changed("2049 claims promised", "before any is looked for", &most, 88, &2_049_u32.to_be_bytes(), "too_long"),
        changed("2048 claims promised", "one is there", &most, 88, &2_048_u32.to_be_bytes(), "truncated"),
        changed("no claims promised", "one follows", &most, 88, &[0; 4], "trailing"),
        layout("amount 0", "at least 1", &RequestPayout { amount_units: Units(0), ..p.clone() }, "value"),
        layout("nowhere", "no destination", &RequestPayout { destination: String::new(), ..p.clone() }, "value"),
        layout("257 bytes", "one beyond", &RequestPayout { destination: "x".repeat(257), ..p.clone() }, "too_long"),
        changed("not UTF-8", "a destination is text", &p, 68, &[0xff], "value"),
        layout("chunk of 65535", "too small", &Quote { chunk_bytes: 65_535, ..q.clone() }, "value"),
        layout("chunk of 98304", "no power of two", &Quote { chunk_bytes: 98_304, ..q.clone() }, "value"),
        layout("chunk of 262144", "too large", &Quote { chunk_bytes: 262_144, ..q.clone() }, "value"),
        layout("a chunk too many", "there are 3", &Quote { first_chunk: 1, ..q.clone() }, "value"),
        layout("no chunks", "of content that has some", &Quote { chunk_count: 0, ..q.clone() }, "value"),
        layout("beyond all", "first + count overflows", &Quote { first_chunk: u64::MAX, ..q.clone() }, "value"),
        layout("empty with a chunk", "there is none", &Quote { size_bytes: 0, ..q }, "value"),
    ]
}

fn words() -> Vec<Json> {
    let l = listing();
    let keys = key_list();
    let mut kid = keys.clone();
    kid.keys[0].kid = Kid([0; 8]);
    let mut late = keys.clone();
    late.next_at_ms = NOW + 90 * DAY_MS + 1;
    let (mut unsorted, mut twice) = (revoked(), revoked());
    unsorted.peers.reverse();
    twice.peers[1].0 = twice.peers[0].0;
    let ask = query(Question::Balance);
    let named = |name: &str| Listing { name: name.into(), ..l.clone() };
    let statement = statement(&batch(vec![claim(1, 6, 5)]), vec![line(5, 0, 0)]);
    vec![
        layout("wrong kid", "it is the key's hash", &kid, "value"),
        layout("90 days and a ms", "to the next list", &late, "value"),
        changed("purpose 0", "1 to 3", &keys, 92, &[0], "value"),
        changed("purpose 4", "1 to 3", &keys, 92, &[4], "value"),
        changed("1025 keys promised", "one beyond", &keys, 48, &1_025_u32.to_be_bytes(), "too_long"),
        layout("not in order", "peers rise", &unsorted, "value"),
        layout("a peer twice", "peers rise strictly", &twice, "value"),
        changed("32769 peers promised", "one beyond", &revoked(), 56, &32_769_u32.to_be_bytes(), "too_long"),
        changed("question 0", "1 to 5", &ask, 48, &[0], "value"),
        changed("question 6", "1 to 5", &ask, 48, &[6], "value"),
        changed("balance about something", "16 zeros", &ask, 64, &[1], "value"),
        changed("verdict 0", "1 to 7", &statement, 108, &[0], "value"),
        changed("verdict 8", "1 to 7", &statement, 108, &[8], "value"),
        changed("2049 lines promised", "one beyond", &statement, 104, &2_049_u32.to_be_bytes(), "too_long"),
        layout("no name", "empty", &named(""), "value"),
        layout("dot", "no file name", &named("."), "value"),
        layout("dots", "no file name", &named(".."), "value"),
        layout("path", "with a slash", &named("a/b"), "value"),
        layout("other path", "with a backslash", &named("a\\b"), "value"),
        layout("control character", "a line feed", &named("a\nb"), "value"),
        layout("delete", "U+007F is a control character", &named("a\u{7f}b"), "value"),
        layout("next line", "U+0085 is a control character, of two bytes", &named("a\u{85}b"), "value"),
        layout("name of 256 bytes", "one beyond", &named(&"x".repeat(256)), "too_long"),
        changed("name is not UTF-8", "a lone continuation byte", &l, 100, &[0x80], "value"),
        layout("tags of 513 bytes", "one beyond", &Listing { tags: "x".repeat(513), ..l.clone() }, "too_long"),
        layout("type of 128 bytes", "one beyond", &Listing { media_type: "x".repeat(128), ..l.clone() }, "too_long"),
        layout("a day and a ms", "lives too long", &Listing { expires_ms: NOW + DAY_MS + 1, ..l.clone() }, "value"),
    ]
}

/// One byte string replaced by another, once.
fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let at = bytes.windows(what.len()).position(|window| window == what).expect("it is there");
    [&bytes[..at], with, &bytes[at + what.len()..]].concat()
}

fn messages() -> Vec<Json> {
    let message =
        |what: &str, name: &str, why: &str, bytes: &[u8], error: &str| case("message", what, name, why, bytes, error);
    let paid = wire::encode(&Paid { paid: Units(5) });
    let ask = wire::encode(&AskQuote { content: content(), first_chunk: 0, chunk_count: Some(2) });
    let whole = wire::encode(&AskQuote { content: content(), first_chunk: 0, chunk_count: None });
    let plain = Buy { buy: Signed::new(buy(), &key(ALICE)), register: None };
    let buy = wire::encode(&plain);
    let revealed = Revealed { through: PaywordIndex(1), words: vec![] };
    let pay = Pay {
        order: netpay_protocol::ids::Digest::ZERO,
        payment: Payment::Words { ecoin: ECOIN, from: PaywordIndex(1), revealed },
    };
    let pay = wire::encode(&pay);
    let null = [&[0xa2], &buy[1..], &[1, 0xf6]].concat();
    // The id alone is wrong: what follows it stands where it should.
    let id_short = [&[0xa3, 0, 0x58, 31], &ask[4..35], &ask[36..]].concat();
    let id_long = [&[0xa3, 0, 0x58, 33], &ask[4..36], &[7], &ask[36..]].concat();
    let bad_layout =
        Buy { buy: Signed::new(BuyEcoins { count: 0, ..plain.buy.content.clone() }, &key(ALICE)), register: None };
    let unsigned_pair = replaced(&buy, &[0xa1, 0, 0xa2, 0], &[0xa1, 0, 0xa2, 2]);
    vec![
        message("Paid", "nothing", "no bytes", &[], "shape"),
        message("Paid", "trailing", "a byte follows", &[paid.as_slice(), &[0]].concat(), "trailing"),
        message("Paid", "cut", "the last byte is missing", &paid[..paid.len() - 1], "shape"),
        message("Paid", "an array", "a message is a map", &[0x81, 5], "shape"),
        message("Paid", "long integer", "5 in two bytes", &[0xa1, 0, 0x18, 5], "not_canonical"),
        message(
            "Paid",
            "longest integer",
            "5 in nine bytes",
            &[0xa1, 0, 0x1b, 0, 0, 0, 0, 0, 0, 0, 5],
            "not_canonical",
        ),
        message("Paid", "long key", "0 in two bytes", &[0xa1, 0x18, 0, 5], "not_canonical"),
        message("Paid", "long length", "a map of one pair with the count in a byte", &[0xb8, 1, 0, 5], "not_canonical"),
        message("Paid", "indefinite map", "lengths are definite", &[0xbf, 0, 5, 0xff], "not_canonical"),
        message("Paid", "unknown key", "no keys but those of version 1", &[0xa2, 0, 5, 1, 5], "not_canonical"),
        message("Paid", "key twice", "each once", &[0xa2, 0, 5, 0, 5], "not_canonical"),
        message("Paid", "missing key", "an amount is not optional", &[0xa0], "shape"),
        message("Paid", "negative", "amounts are not", &[0xa1, 0, 0x20], "shape"),
        message("Paid", "float", "5.0 is no integer", &[0xa1, 0, 0xf9, 0x45, 0], "shape"),
        message("Paid", "text", "no integer", &[0xa1, 0, 0x61, b'5'], "shape"),
        message("Paid", "tagged", "there are no tags", &[0xa1, 0, 0xc1, 5], "shape"),
        message("Paid", "2000 arrays, each in the other", "nesting costs a reader nothing", &[0x81; 2_000], "shape"),
        message(
            "Paid",
            "an unknown key, seven deep",
            "no message of version 1 is deeper than six",
            &[0xa2, 0, 5, 1, 0x81, 0x81, 0x81, 0x81, 0x81, 0x80],
            "not_canonical",
        ),
        message("Paid", "text key", "keys are integers", &[0xa1, 0x61, b'0', 5], "shape"),
        message("Done", "a key", "an empty map has none", &[0xa1, 0, 5], "not_canonical"),
        message(
            "AskQuote",
            "keys not in order",
            "0 after 1",
            &[&[0xa2, 1, 0], &whole[1..whole.len() - 2]].concat(),
            "not_canonical",
        ),
        message("AskQuote", "31 bytes of 32", "an id has its length", &id_short, "shape"),
        message("AskQuote", "33 bytes for 32", "an id has its length", &id_long, "shape"),
        message(
            "AskQuote",
            "an id in pieces",
            "byte strings are definite",
            &[&[0xa2, 0, 0x5f], &whole[2..36], &[0xff], &whole[36..]].concat(),
            "not_canonical",
        ),
        message(
            "AskQuote",
            "u64 and one",
            "a bignum is no integer here",
            &[&whole[..whole.len() - 1], &[0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
            "shape",
        ),
        message("Buy", "null for absent", "absent is left out", &null, "not_canonical"),
        message("Buy", "a layout that is malformed", "no chains", &wire::encode(&bad_layout), "shape"),
        message("Buy", "other keys of a signed thing", "2 for 0", &unsigned_pair, "shape"),
        message(
            "Buy",
            "a signature of 63 bytes",
            "it has 64",
            &[&replaced(&buy, &[1, 0x58, 64], &[1, 0x58, 63])[..buy.len() - 1]].concat(),
            "shape",
        ),
        message("Pay", "payment form 0", "1 to 3", &replaced(&pay, &[1, 0x82, 3, 0x83], &[1, 0x82, 0, 0x83]), "shape"),
        message("Pay", "payment form 4", "1 to 3", &replaced(&pay, &[1, 0x82, 3, 0x83], &[1, 0x82, 4, 0x83]), "shape"),
        message(
            "Pay",
            "payment of three items",
            "number and fields",
            &[replaced(&pay, &[1, 0x82, 3, 0x83], &[1, 0x83, 3, 0x83]).as_slice(), &[0]].concat(),
            "shape",
        ),
        message(
            "Pay",
            "a word of 31 bytes",
            "32",
            &[&pay[..pay.len() - 1], &[0x81, 0x58, 31], &[0; 31]].concat(),
            "shape",
        ),
        message(
            "Pay",
            "through above u32",
            "an index is a u32",
            &replaced(&pay, &[0xa2, 0, 1, 1, 0x80], &[0xa2, 0, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0x80]),
            "shape",
        ),
        message("Problem", "kind 0", "1 to 17", &[0xa2, 0, 0, 1, 0x60], "shape"),
        message("Problem", "kind 18", "1 to 17", &[0xa2, 0, 18, 1, 0x60], "shape"),
        message("Problem", "text that is not UTF-8", "a lone continuation byte", &[0xa2, 0, 1, 1, 0x61, 0x80], "shape"),
        message("Hits", "indefinite list", "lengths are definite", &[0xa2, 0, 0x9f, 0xff, 1, 0xf4], "not_canonical"),
        message("Hits", "undefined for false", "f4 or f5", &[0xa2, 0, 0x80, 1, 0xf7], "shape"),
    ]
}

/// Told in words, because it is a million bytes.
fn large() -> Json {
    let most = u64::try_from(limits::MAX_MESSAGE_BYTES).expect("small");
    object! {
        "name" => "any: too large", "why" => "that many zero bytes; refused before anything is looked at", "form" => "message",
        "what" => "Paid", "zero_bytes" => most + 1, "bytes" => to_hex(&[]), "error" => "too_large",
    }
}

pub fn vectors() -> Vec<Json> {
    let md5 = touchstone(Suite::Md5, Guarantee::Bound(PeerId([9; 16])));
    let mut vectors = [
        of_any(&register().content),
        of_any(&key_list()),
        of_any(&revoked()),
        of_any(&buy()),
        of_any(&sealed()),
        of_any(&md5),
        of_any(&index(1, 6, peer(BOB))),
        of_any(&quote()),
        of_any(&receipt()),
        of_any(&batch(vec![claim(1, 6, 5)])),
        of_any(&statement(&batch(vec![claim(1, 6, 5)]), vec![line(5, 0, 0)])),
        of_any(&query(Question::Balance)),
        of_any(&answer(netpay_protocol::ids::Digest::ZERO, wire::encode(&Done {}))),
        of_any(&payout()),
        of_any(&admin(&credit())),
        of_any(&listing()),
        of_any(&withdraw()),
        of_any(&rotation()),
        of_any(&certificate()),
        touchstones(),
        money(),
        words(),
        messages(),
    ]
    .concat();
    vectors.push(large());
    vectors
}
