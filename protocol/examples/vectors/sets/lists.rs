//! Key lists and revocation lists believed or not; registrations refused; every subject.

use netpay_protocol::ids::BrokerId;
use netpay_protocol::key_list::{KeyList, ListedKey, SignedKeyList};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::register::Register;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::{self, BrokerOp, IndexOp, PeerOp};
use netpay_protocol::wire;

use super::json::{Json, hex, object};
use super::values::*;
use super::world::*;

/// How far the clock of whoever signed a revocation list may be ahead.
const CLOCKS_APART_MS: u64 = 5 * 60 * 1_000;

fn key_lists() -> Vec<Json> {
    let told = |name: &str, why: &str, list: &SignedKeyList, good: bool| {
        object! {
            "name" => name, "why" => why, "check" => "key_list", "pinned" => broker(), "cbor" => hex(&wire::encode(list)),
            "good" => good,
        }
    };
    let (root, rogue) = (key(ROOT), key(BOB));
    let in_its_name = SignedKeyList { root: rogue.public(), list: Signed::new(key_list(), &rogue) };
    let of_another = KeyList { broker: BrokerId::of(&rogue.public()), ..key_list() };
    let of_another_by_it = SignedKeyList { root: rogue.public(), list: Signed::new(of_another.clone(), &rogue) };
    let of_another_by_root = SignedKeyList { root: root.public(), list: Signed::new(of_another, &root) };
    let not_root = SignedKeyList { root: root.public(), list: Signed::new(key_list(), &key(TOUCHSTONE_KEY)) };
    vec![
        told("good", "root key, broker and signature fit", &signed_key_list(), true),
        told("by another root, in the pinned broker's name", "the root key's hash is another", &in_its_name, false),
        told("another broker's own", "another root key", &of_another_by_it, false),
        told("for another broker, by this root", "the list names its broker", &of_another_by_root, false),
        told("signed by a listed key", "the root signs, no other", &not_root, false),
    ]
}

fn finds() -> Vec<Json> {
    let (from, until) = (NOW - DAY_MS, NOW + 365 * DAY_MS);
    let (mut revoked, mut twice) = (key_list(), key_list());
    revoked.keys[0].revoked_at_ms = NOW + DAY_MS;
    let retired = ListedKey { not_after_ms: from, ..twice.keys[0] };
    twice.keys.insert(0, retired);
    let cases = [
        ("on its first ms", "not_before is within", key_list(), 1_u8, from, true),
        ("a ms before", "not yet", key_list(), 1, from - 1, false),
        ("on its last ms", "not_after is within", key_list(), 1, until, true),
        ("a ms after", "retired", key_list(), 1, until + 1, false),
        ("other purpose", "a touchstone key signs no statements", key_list(), 2, NOW, false),
        ("revoked later than it signed", "revoked keys were never good", revoked, 1, NOW, false),
        ("listed twice", "the first entry with kid and purpose counts", twice, 1, NOW, false),
    ];
    let told = cases.into_iter().map(|(name, why, list, purpose, at_ms, found)| {
        let list = SignedKeyList { root: key(ROOT).public(), list: Signed::new(list, &key(ROOT)) };
        object! {
            "name" => name, "why" => why, "check" => "find", "pinned" => broker(), "cbor" => hex(&wire::encode(&list)),
            "kid" => kid(TOUCHSTONE_KEY), "purpose" => purpose, "at_ms" => at_ms, "good" => found,
        }
    });
    told.collect()
}

fn revocations() -> Vec<Json> {
    let told = |name: &str, why: &str, list: RevocationList, who: u8, good: bool| {
        object! {
            "name" => name, "why" => why, "check" => "revoked", "pinned" => broker(), "now_ms" => NOW,
            "keys" => hex(&wire::encode(&signed_key_list())),
            "cbor" => hex(&wire::encode(&Signed::new(list, &key(who)))), "good" => good,
        }
    };
    vec![
        told("revocation list", "by the notice key", revoked(), NOTICE_KEY, true),
        told("nobody suspended", "an empty list", RevocationList { peers: vec![], ..revoked() }, NOTICE_KEY, true),
        told("by another key", "the kid's key did not sign", revoked(), STATEMENT_KEY, false),
        told(
            "by a key of another purpose",
            "the kid is a statement key's",
            RevocationList { kid: kid(STATEMENT_KEY), ..revoked() },
            STATEMENT_KEY,
            false,
        ),
        told(
            "of another broker",
            "named in it",
            RevocationList { broker: BrokerId([9; 16]), ..revoked() },
            NOTICE_KEY,
            false,
        ),
        told(
            "before its key",
            "issued before not_before",
            RevocationList { issued_at_ms: NOW - 2 * DAY_MS, ..revoked() },
            NOTICE_KEY,
            false,
        ),
        told(
            "5 minutes ahead",
            "clocks may be so far apart",
            RevocationList { issued_at_ms: NOW + CLOCKS_APART_MS, ..revoked() },
            NOTICE_KEY,
            true,
        ),
        told(
            "5 minutes and a ms ahead",
            "it would stay young for too long",
            RevocationList { issued_at_ms: NOW + CLOCKS_APART_MS + 1, ..revoked() },
            NOTICE_KEY,
            false,
        ),
    ]
}

pub fn lists() -> Vec<Json> {
    [key_lists(), finds(), revocations()].concat()
}

pub fn registrations() -> Vec<Json> {
    let good = register().content;
    let told = |name: &str, why: &str, register: Register, who: u8, error: &str| {
        object! {
            "name" => name, "why" => why, "broker" => broker(), "cbor" => hex(&wire::encode(&Signed::new(register, &key(who)))),
            "peer" => if error == "none" { Json::from(peer(ALICE)) } else { Json::Null }, "error" => error,
        }
    };
    let rsa = |change: fn(&mut Vec<u8>)| {
        let mut register = good.clone();
        change(&mut register.sealing_key);
        register
    };
    vec![
        told("good", "opens an account with the first money command", good.clone(), ALICE, "none"),
        told("another broker", "named in it", Register { broker: BrokerId([9; 16]), ..good.clone() }, ALICE, "broker"),
        told("another signer", "not the signing key", good.clone(), BOB, "signature"),
        told(
            "identity as key",
            "every signature of small order fits",
            Register { signing_key: PublicKey(std::array::from_fn(|i| u8::from(i == 0))), ..good.clone() },
            ALICE,
            "key",
        ),
        told(
            "shared key",
            "the nkey is the signing key",
            Register { nkey: key(ALICE).public(), ..good.clone() },
            ALICE,
            "shared_key",
        ),
        told("no RSA key", "ten zeros", Register { sealing_key: vec![0; 10], ..good.clone() }, ALICE, "sealing_key"),
        told("RSA key cut", "a byte is missing", rsa(|der| der.truncate(der.len() - 1)), ALICE, "sealing_key"),
        told("RSA key with more", "a byte follows", rsa(|der| der.push(0)), ALICE, "sealing_key"),
        told(
            "another exponent",
            "e = 65539",
            rsa(|der| {
                let last = der.len() - 1;
                der[last] = 3;
            }),
            ALICE,
            "sealing_key",
        ),
    ]
}

pub fn subjects() -> Vec<Json> {
    let told = |name: String, subject: String| object! { "name" => name, "why" => "spelled so", "subject" => subject };
    let (me, to) = (peer(ALICE), peer(BOB));
    let mut vectors = vec![
        told("register".into(), subjects::REGISTER.into()),
        told("notice keys".into(), subjects::NOTICE_KEYS.into()),
        told("notice revoked".into(), subjects::NOTICE_REVOKED.into()),
        told("a peer listens".into(), subjects::any_peer(to)),
        told("admin credit".into(), subjects::admin(credit().op())),
    ];
    vectors.extend(BrokerOp::ALL.iter().map(|op| told(format!("broker {}", op.token()), subjects::request(me, *op))));
    vectors.extend(PeerOp::ALL.iter().map(|op| told(format!("peer {}", op.token()), subjects::peer(to, me, *op))));
    vectors.extend(IndexOp::ALL.iter().map(|op| told(format!("index {}", op.token()), subjects::index(me, *op))));
    vectors.push(told("inbox redeem".into(), subjects::inbox(me)));
    vectors
}
