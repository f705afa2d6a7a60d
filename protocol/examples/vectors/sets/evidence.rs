//! Evidence of double spends: what it proves, and what proves nothing. The errors are written down by hand.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::evidence::{Evidence, KeyChange, Succession};
use netpay_protocol::ids::{BrokerId, EcoinId, Kid, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, SignedKeyList};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::json::{Json, hex, object};
use super::values::*;
use super::world::*;

const NOBODY: u8 = 14;
const NEXT: u8 = 15;

fn bearer() -> Touchstone {
    touchstone(Suite::Sha256, Guarantee::Bearer)
}

/// Alice granted W1..W5 to Bob and W4..W8 to Carol.
fn good() -> Evidence {
    of(bearer(), grant(1, 6, peer(BOB)), grant(4, 9, peer(CAROL)))
}

fn of(touchstone: Touchstone, first: Signed<SignedIndex>, second: Signed<SignedIndex>) -> Evidence {
    let touchstone = Signed::new(touchstone, &key(TOUCHSTONE_KEY));
    Evidence { keys: signed_key_list(), touchstone, first, second, succession: None }
}

fn with_keys(change: impl Fn(&mut KeyList)) -> Evidence {
    let mut list = key_list();
    change(&mut list);
    Evidence { keys: SignedKeyList { root: key(ROOT).public(), list: Signed::new(list, &key(ROOT)) }, ..good() }
}

fn sold(change: impl Fn(&mut Touchstone)) -> Evidence {
    let mut touchstone = bearer();
    change(&mut touchstone);
    of(touchstone, good().first, good().second)
}

fn granted(first: (u32, u32), second: (u32, u32)) -> Evidence {
    of(bearer(), grant(first.0, first.1, peer(BOB)), grant(second.0, second.1, peer(CAROL)))
}

fn proven(name: &str, why: &str, evidence: &Evidence, (from, through): (u32, u32)) -> Json {
    object! {
        "name" => name, "why" => why, "pinned" => broker(), "cbor" => hex(&wire::encode(evidence)), "error" => "none",
        "payer" => peer(ALICE), "ecoin" => ECOIN, "first" => peer(BOB), "second" => peer(CAROL),
        "from" => PaywordIndex(from), "through" => PaywordIndex(through),
    }
}

fn unproven(name: &str, why: &str, evidence: &Evidence, error: &str) -> Json {
    object! {
        "name" => name, "why" => why, "pinned" => broker(), "cbor" => hex(&wire::encode(evidence)), "error" => error,
    }
}

/// The broker's part.
fn of_the_broker() -> Vec<Json> {
    let rogue = SignedKeyList { root: key(NOBODY).public(), list: Signed::new(key_list(), &key(NOBODY)) };
    let revoked = with_keys(|list| list.keys[0].revoked_at_ms = NOW + DAY_MS);
    let forged = Signed::new(bearer(), &key(NOBODY));
    let elsewhere = BrokerId::of(&key(NOBODY).public());
    vec![
        unproven("another root", "nobody's list", &Evidence { keys: rogue, ..good() }, "key_list"),
        unproven("another broker's e-coin", "named in it", &sold(|t| t.broker = elsewhere), "broker"),
        unproven("unlisted key", "no such kid", &sold(|t| t.kid = Kid([9; 8])), "unlisted"),
        unproven("key of another purpose", "a statement key", &sold(|t| t.kid = kid(STATEMENT_KEY)), "unlisted"),
        unproven("retired key", "sold after its time", &with_keys(|l| l.keys[0].not_after_ms = NOW - 1), "unlisted"),
        unproven("forged touchstone", "another signed", &Evidence { touchstone: forged, ..good() }, "touchstone"),
        unproven("revoked key", "the payer's part stays, the broker's does not", &revoked, "revoked"),
    ]
}

/// The payer's part.
fn of_the_payer() -> Vec<Json> {
    let by_another = |from, to, who| Signed::new(index(from, to, peer(who)), &key(NOBODY));
    let other_ecoin = SignedIndex { ecoin: EcoinId([0xe2; 16]), ..index(4, 9, peer(CAROL)) };
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = PublicKey(identity);
    let framed = |payer_key: PublicKey, payer: PeerId| {
        of(Touchstone { payer_key, payer, ..bearer() }, by_another(1, 6, BOB), by_another(4, 9, CAROL))
    };
    let bound = touchstone(Suite::Sha256, Guarantee::Bound(peer(BOB)));
    vec![
        unproven(
            "framed",
            "a key that the broker chose, in a touchstone that names Alice",
            &framed(key(NOBODY).public(), peer(ALICE)),
            "key_of_another",
        ),
        unproven("weak key", "under it one signature fits many messages", &framed(weak, PeerId::of(&weak)), "weak_key"),
        unproven("first by another", "", &of(bearer(), by_another(1, 6, BOB), good().second), "grant"),
        unproven("second by another", "", &of(bearer(), good().first, by_another(4, 9, CAROL)), "grant"),
        unproven(
            "another e-coin",
            "the second grant is of another",
            &of(bearer(), good().first, Signed::new(other_ecoin, &key(ALICE))),
            "grant",
        ),
        unproven("from 0", "the root is no word", &granted((0, 6), (4, 9)), "range"),
        unproven("empty", "it ends where it begins", &granted((1, 6), (4, 4)), "range"),
        unproven("past the end", "W51 of 50", &granted((1, 6), (4, 52)), "range"),
        unproven("to herself", "pays nobody", &of(bearer(), grant(1, 6, peer(ALICE)), good().second), "payee"),
        unproven("bound", "Carol is not paid with it", &of(bound, good().first, good().second), "payee"),
        unproven("same payee", "Bob is paid once", &of(bearer(), good().first, grant(4, 9, peer(BOB))), "same_payee"),
        unproven("apart", "W1..W5 and W6..W8", &granted((1, 6), (6, 9)), "apart"),
    ]
}

/// Alice changed her keys, signed by `signer`, and bought and granted with the new one.
fn rotated(signer: u8) -> Evidence {
    let register = Register {
        broker: broker(),
        signing_key: key(NEXT).public(),
        sealing_key: sealing_key().public_der(),
        nkey: key(ALICE_NKEY).public(),
    };
    let order = RotateKeys {
        broker: broker(),
        peer: peer(ALICE),
        request: request(9),
        valid_until_ms: NOW,
        register: register.digest(),
    };
    let changes =
        vec![KeyChange { order: Signed::new(order, &key(signer)), register: Signed::new(register, &key(NEXT)) }];
    let by_next = |from, to, who| Signed::new(index(from, to, peer(who)), &key(NEXT));
    let touchstone = Touchstone { payer_key: key(NEXT).public(), ..bearer() };
    Evidence {
        succession: Some(Succession { first: key(ALICE).public(), changes }),
        ..of(touchstone, by_next(1, 6, BOB), by_next(4, 9, CAROL))
    }
}

pub fn vectors() -> Vec<Json> {
    let mut all = vec![
        proven("good", "W4 and W5 were granted to Bob and to Carol", &good(), (4, 5)),
        proven("one word", "the last of one is the first of the other", &granted((1, 6), (5, 51)), (5, 5)),
        proven("the whole chain", "twice", &granted((1, 51), (1, 51)), (1, 50)),
        proven(
            "retired key",
            "it was good when the e-coin was sold",
            &with_keys(|l| l.keys[0].not_after_ms = NOW),
            (4, 5),
        ),
        proven("old list", "evidence does not grow old", &with_keys(|l| l.next_at_ms = l.issued_at_ms), (4, 5)),
    ];
    all.push(proven("rotated key", "she changed to it with the key that her id is made of", &rotated(ALICE), (4, 5)));
    all.push(unproven("rotated by another", "the broker's key signed the change", &rotated(ROOT), "key_of_another"));
    all.extend(of_the_broker());
    all.extend(of_the_payer());
    all
}
