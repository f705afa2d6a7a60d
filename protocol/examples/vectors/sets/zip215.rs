//! Signatures and keys on which Ed25519 libraries disagree. What is expected is ZIP-215, written down by hand.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use netpay_protocol::keys::PublicKey;
use sha2::{Digest as _, Sha512};

use super::json::{Json, hex, object};
use super::world::*;

const MESSAGE: &[u8] = b"p2p-netpay zip215";

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn case(name: &str, why: &str, key: [u8; 32], message: &[u8], signature: &[u8], accept: bool) -> Json {
    object! {
        "name" => name, "why" => why, "check" => "verify", "key" => hex(&key), "message" => hex(message),
        "signature" => hex(signature), "good" => accept,
    }
}

fn registrable(name: &str, why: &str, key: [u8; 32], good: bool) -> Json {
    object! { "name" => name, "why" => why, "check" => "registrable", "key" => hex(&key), "good" => good }
}

/// The eight points of small order in every encoding that decodes: canonical, with y + p, and with the sign of x = 0.
fn small_order() -> Vec<(bool, [u8; 32])> {
    let mut found: Vec<(bool, [u8; 32])> = EIGHT_TORSION.iter().map(|point| (true, point.compress().0)).collect();
    let mut others = Vec::new();
    for low in 0..19_u8 {
        let mut long = [0xff; 32];
        (long[0], long[31]) = (0xed_u8.wrapping_add(low), 0x7f);
        others.push(long);
    }
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    (one[0], minus_one[0], minus_one[31]) = (1, 0xec, 0x7f);
    others.extend([one, minus_one]);
    for mut bytes in others {
        for sign in [0, 0x80] {
            bytes[31] = (bytes[31] & 0x7f) | sign;
            let small = CompressedEdwardsY(bytes).decompress().is_some_and(|point| point.is_small_order());
            if small && !found.iter().any(|(_, held)| *held == bytes) {
                found.push((false, bytes));
            }
        }
    }
    found
}

/// A signature by the equation, with a point added to R and one to A.
fn sign(torsion_r: EdwardsPoint, torsion_a: EdwardsPoint) -> ([u8; 32], [u8; 64]) {
    let (a, r) = (Scalar::from(1_234_567_u64), Scalar::from(7_654_321_u64));
    let key = (EdwardsPoint::mul_base(&a) + torsion_a).compress().0;
    let point = (EdwardsPoint::mul_base(&r) + torsion_r).compress().0;
    let mut wide = [0; 64];
    wide.copy_from_slice(&Sha512::new().chain_update(point).chain_update(key).chain_update(MESSAGE).finalize());
    let s = r + Scalar::from_bytes_mod_order_wide(&wide) * a;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&point);
    signature[32..].copy_from_slice(s.as_bytes());
    (key, signature)
}

/// s + ℓ: the same number for those who do not look.
fn plus_order(signature: [u8; 64]) -> [u8; 64] {
    let mut out = signature;
    let mut carry = 0_u16;
    for (byte, add) in out[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).expect("a byte");
        carry = sum >> 8;
    }
    out
}

fn signatures() -> Vec<Json> {
    let none = EIGHT_TORSION[0];
    let plain = key(ALICE).sign(MESSAGE).0;
    let public = key(ALICE).public().0;
    let mut vectors = vec![
        case("plain", "RFC 8032", public, MESSAGE, &plain, true),
        case("other message", "not what was signed", public, b"p2p-netpay zip216", &plain, false),
        case("other key", "not who signed", key(BOB).public().0, MESSAGE, &plain, false),
        case("s + order", "s must be below the group order", public, MESSAGE, &plus_order(plain), false),
    ];
    let mut changed = plain;
    changed[63] |= 0xe0;
    vectors.push(case("high bits of s", "s must be below the group order", public, MESSAGE, &changed, false));
    let mut changed = plain;
    changed[0] ^= 1;
    vectors.push(case("changed R", "another R", public, MESSAGE, &changed, false));
    // y = 2 is on no point of the curve.
    let mut off = [0; 32];
    off[0] = 2;
    assert!(CompressedEdwardsY(off).decompress().is_none());
    let mut changed = plain;
    changed[..32].copy_from_slice(&off);
    vectors.push(case("R off the curve", "R does not decode", public, MESSAGE, &changed, false));
    vectors.push(case("A off the curve", "the key does not decode", off, MESSAGE, &plain, false));
    let (made, signature) = sign(none, none);
    vectors.push(case("by the equation", "how the next ones are made", made, MESSAGE, &signature, true));
    for (i, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        let (made, signature) = sign(*torsion, none);
        let why = "the cofactored equation accepts it, the cofactorless one does not";
        vectors.push(case(&format!("R with torsion {i}"), why, made, MESSAGE, &signature, true));
        let (made, signature) = sign(none, *torsion);
        vectors.push(case(&format!("A with torsion {i}"), "accepted whatever k is", made, MESSAGE, &signature, true));
    }
    let small = small_order();
    assert_eq!(small.len(), 14);
    for (i, (canonical, key)) in small.iter().enumerate() {
        for (j, (_, point)) in small.iter().enumerate().filter(|(j, _)| *j == 0 || i == 0 || *j == i) {
            let signature = [point.as_slice(), &[0; 32]].concat();
            let form = if *canonical { "canonical" } else { "not canonical" };
            let why = format!("A ({form}) and R of small order, s = 0: every message verifies");
            vectors.push(case(&format!("small order A {i} R {j}"), &why, *key, MESSAGE, &signature, true));
        }
    }
    vectors
}

fn keys() -> Vec<Json> {
    let sound = key(ALICE).public();
    let mut vectors = vec![registrable("sound", "a key of RFC 8032", sound.0, true)];
    for (i, (_, key)) in small_order().iter().enumerate() {
        vectors.push(registrable(&format!("small order {i}"), "fits any message", *key, false));
    }
    let point = CompressedEdwardsY(sound.0).decompress().expect("a point");
    for (i, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        let mixed = (point + torsion).compress().0;
        vectors.push(registrable(&format!("with torsion {i}"), "not of prime order", mixed, false));
    }
    let mut off = [0; 32];
    off[0] = 2;
    vectors.push(registrable("off the curve", "no point", off, false));
    // y + p with y from 2 on that is on the curve and not of small order: not canonical.
    let long = (2..19_u8).find_map(|low| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed_u8.wrapping_add(low), 0x7f);
        CompressedEdwardsY(bytes).decompress().filter(|point| !point.is_small_order()).map(|_| bytes)
    });
    vectors.push(registrable("not canonical", "y + p", long.expect("there is one"), false));
    for (who, name) in [(ROOT, "root"), (BOB, "bob")] {
        let PublicKey(bytes) = key(who).public();
        vectors.push(registrable(name, "a key of RFC 8032", bytes, true));
    }
    vectors
}

pub fn vectors() -> Vec<Json> {
    [signatures(), keys()].concat()
}
