//! Certificates believed or not, and rotations whose new keys are refused.

use netpay_protocol::certificate::Certificate;
use netpay_protocol::ids::{BrokerId, Digest};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::messages::Rotate;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::wire;

use super::json::{Json, hex, object};
use super::values::*;
use super::world::*;

fn certificates() -> Vec<Json> {
    let told = |name: &str, why: &str, certificate: Certificate, who: u8, error: &str| {
        object! {
            "name" => name, "why" => why, "check" => "certificate", "pinned" => broker(), "peer" => peer(ALICE),
            "keys" => hex(&wire::encode(&signed_key_list())),
            "cbor" => hex(&wire::encode(&Signed::new(certificate, &key(who)))), "error" => error,
        }
    };
    let good = certificate();
    let first_day = NOW - DAY_MS;
    vec![
        told("good", "the key's hash is not the PeerId, and need not be", good.clone(), STATEMENT_KEY, "none"),
        told("of its first ms", "not_before is within", with_time(first_day), STATEMENT_KEY, "none"),
        told("before its key", "not_before is later", with_time(first_day - 1), STATEMENT_KEY, "signature"),
        told(
            "of another broker",
            "named in it",
            Certificate { broker: BrokerId([9; 16]), ..good.clone() },
            STATEMENT_KEY,
            "broker",
        ),
        told("of another peer", "named in it", Certificate { peer: peer(BOB), ..good.clone() }, STATEMENT_KEY, "peer"),
        told("by the peer itself", "the broker signs, no other", good.clone(), ALICE, "signature"),
        told(
            "by a key of another purpose",
            "the kid is a notice key's",
            Certificate { kid: kid(NOTICE_KEY), ..good },
            NOTICE_KEY,
            "signature",
        ),
    ]
}

fn with_time(issued_at_ms: u64) -> Certificate {
    Certificate { issued_at_ms, ..certificate() }
}

fn rotations() -> Vec<Json> {
    let told = |name: &str, why: &str, order: RotateKeys, register: Signed<Register>, error: &str| {
        let message = Rotate { order: Signed::new(order, &key(ALICE)), register };
        object! {
            "name" => name, "why" => why, "check" => "rotation", "cbor" => hex(&wire::encode(&message)), "error" => error,
        }
    };
    let naming = |register: &Signed<Register>| RotateKeys {
        register: netpay_protocol::layout::Layout::digest(&register.content),
        ..rotation()
    };
    let by_the_old = Signed::new(register_again().content, &key(ALICE));
    let shared = Register { nkey: key(ALICE_AGAIN).public(), ..register_again().content };
    let shared = Signed::new(shared, &key(ALICE_AGAIN));
    vec![
        told("good", "the order names the registration by its digest", rotation(), register_again(), "none"),
        told(
            "other keys",
            "the order names others",
            RotateKeys { register: Digest([9; 32]), ..rotation() },
            register_again(),
            "other_keys",
        ),
        told("not proven", "the new key did not sign for itself", naming(&by_the_old), by_the_old, "signature"),
        told("shared key", "a registration's own rules hold", naming(&shared), shared, "shared_key"),
    ]
}

pub fn vectors() -> Vec<Json> {
    [certificates(), rotations()].concat()
}
