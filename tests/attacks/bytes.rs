//! Messages that mean the same as a good one, or nearly, in other bytes: none of them is one.

use netpay_protocol::layout::Layout as _;
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::Kind;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{RawPeer, problem};

use crate::scene::{Scene, lines};

/// A byte string in its shortest CBOR form, or another.
fn byte_string(bytes: &[u8]) -> Vec<u8> {
    wire::encode(&minicbor::bytes::ByteVec::from(bytes.to_vec()))
}

/// `{0: layout, 1: signature}` around any layout bytes, signed as they are.
fn signed(peer: &RawPeer, layout: &[u8]) -> Vec<u8> {
    [&[0xa2, 0][..], &byte_string(layout), &[1], &byte_string(&peer.key.sign(layout).0)].concat()
}

/// The message around a batch, as its parts: head, batch, touchstones, registration.
fn message(batch: &[u8], register: &[u8]) -> Vec<u8> {
    [&[0xa3, 0][..], batch, &[1, 0x80, 2], register].concat()
}

#[tokio::test]
async fn another_encoding_of_a_good_batch_is_malformed_and_pays_nothing() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(20).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 20, Suite::Sha256).await;
    let redeem: Redeem = bob.batch(vec![scene.claim(&alice, &coin, (1, 11), bob.id())]);
    let (batch, register) = (wire::encode(&redeem.batch), wire::encode(&bob.register()));
    let good = message(&batch, &register);
    assert_eq!(good, wire::encode(&redeem), "the parts are those of the message");
    let layout = redeem.batch.content.to_bytes();
    assert_eq!(signed(&bob, &layout), batch);
    let long = byte_string(&layout);
    assert_eq!(long[0], 0x59, "its length takes two bytes");
    let sealed = &batch[2 + long.len()..];
    let length = |head: &[u8]| [&[0xa2, 0][..], head, &layout, sealed].concat();
    let relaid = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = layout.clone();
        change(&mut bytes);
        message(&signed(&bob, &bytes), &register)
    };
    let tag = b"p2p-netpay/v1/batch\0".len();
    // Broker, payee, request, position and hash seen.
    let count = tag + 16 + 16 + 16 + 8 + 32;
    assert_eq!(layout[count..count + 4], [0, 0, 0, 1]);
    let other_tag = [&b"p2p-netpay/v1/index\0"[..], &layout[tag..]].concat();
    let next_version = [&b"p2p-netpay/v2/batch\0"[..], &layout[tag..]].concat();
    let two_bytes_of_length = u16::try_from(layout.len()).expect("short").to_be_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("a byte more", [&good[..], &[0]].concat()),
        ("the message twice", [&good[..], &good].concat()),
        ("a byte less", good[..good.len() - 1].to_vec()),
        ("a map of indefinite length", [&[0xbf], &good[1..], &[0xff]].concat()),
        ("a list of indefinite length", [&[0xa3, 0][..], &batch, &[1, 0x9f, 0xff, 2], &register].concat()),
        ("bytes of indefinite length", message(&length(&[&[0x5f], &long[..3]].concat()), &register)),
        ("bytes in pieces", {
            let batch = [&[0xa2, 0, 0x5f][..], &long, &[0xff], sealed].concat();
            message(&batch, &register)
        }),
        ("a key that nobody knows", [&[0xa4], &good[1..], &[3, 0]].concat()),
        ("a key that nobody knows, first", [&[0xa4, 0x18, 99, 0], &good[1..]].concat()),
        ("a key twice", [&[0xa4], &good[1..], &[1, 0x80]].concat()),
        ("the keys in another order", [&[0xa3, 1, 0x80, 0][..], &batch, &[2], &register].concat()),
        ("no list of touchstones", [&[0xa2, 0][..], &batch, &[2], &register].concat()),
        ("a long form of a key", [&[0xa3, 0x18, 0], &good[2..]].concat()),
        ("a long form of the map's length", [&[0xb8, 3], &good[1..]].concat()),
        ("a long form of the list's length", [&[0xa3, 0][..], &batch, &[1, 0x98, 0, 2], &register].concat()),
        ("a long form of a length", message(&length(&[&[0x5a, 0, 0][..], &two_bytes_of_length].concat()), &register)),
        ("text for bytes", message(&length(&[&[0x79][..], &two_bytes_of_length].concat()), &register)),
        ("a tag around it", [&[0xc1], &good[..]].concat()),
        ("a list for a map", [&[0x83][..], &batch, &[0x80], &register].concat()),
        ("a layout with a byte more", relaid(&|bytes| bytes.push(0))),
        ("a layout with a byte less", relaid(&|bytes| bytes.truncate(layout.len() - 1))),
        ("a claim fewer than said", relaid(&|bytes| bytes[count + 3] = 2)),
        ("a claim more than said", relaid(&|bytes| bytes[count + 3] = 0)),
        ("claims without end", relaid(&|bytes| bytes[count..count + 4].fill(0xff))),
        (
            "no claims",
            relaid(&|bytes| {
                bytes[count + 3] = 0;
                bytes.truncate(count + 4);
            }),
        ),
        ("another kind of layout", message(&signed(&bob, &other_tag), &register)),
        ("another version", message(&signed(&bob, &next_version), &register)),
        ("a registration that is none", message(&batch, &[0])),
    ];
    for (what, bytes) in cases {
        let refused = problem(bob.ask(BrokerOp::Redeem, bytes).await);
        assert_eq!(refused.kind, Kind::Malformed, "{what}: {refused:?}");
    }
    assert_eq!((scene.paid(&coin).await, scene.account(bob.id()).await), (0, None));
    bob.ask(BrokerOp::Redeem, good).await.expect("in its one form it is good");
    assert_eq!(scene.balance(&bob).await, 10);
    scene.ends_well().await;
}

#[tokio::test]
async fn a_touchstone_with_values_that_none_has_spoils_the_message_and_not_the_account() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(30).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 10, Suite::Md5).await;
    let claim = scene.claim(&alice, &coin, (1, 11), bob.id());
    let t = coin.touchstone.content.to_bytes();
    let fields = b"p2p-netpay/v1/touchstone\0".len();
    // Version, broker, kid, e-coin; then suite, root, length, unit.
    let suite = fields + 1 + 16 + 8 + 16;
    assert_eq!(t[suite], 1);
    let (padding, n, unit) = (suite + 1 + 31, suite + 33, suite + 37);
    for (what, at, value) in [
        ("the version", fields, 2),
        ("the suite", suite, 3),
        ("the root's padding", padding, 1),
        ("a length above the limit", n + 2, 0xff),
        ("no length", n + 3, 0),
        ("no unit", unit + 3, 0),
    ] {
        let mut bytes = t.clone();
        bytes[at] = value;
        let signed = [&[0xa2, 0][..], &byte_string(&bytes), &[1], &byte_string(&coin.touchstone.signature.0)].concat();
        let batch = wire::encode(&bob.batch(vec![claim.clone()]).batch);
        let message = [&[0xa3, 0][..], &batch, &[1, 0x81], &signed, &[2], &wire::encode(&bob.register())].concat();
        let refused = problem(bob.ask(BrokerOp::Redeem, message).await);
        assert_eq!(refused.kind, Kind::Malformed, "{what}: {refused:?}");
    }
    assert_eq!(scene.account(bob.id()).await, None);
    assert_eq!(lines(&bob, vec![claim]).await[0].credited.0, 10);
    scene.ends_well().await;
}
