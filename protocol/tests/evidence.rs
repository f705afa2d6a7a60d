//! Evidence of a double spend: nothing in it can be altered, and nobody can be framed with it. (What proves and what does
//! not is in `vectors/evidence.json`.)

mod samples;

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::evidence::{Evidence, KeyChange, Proven, Succession, Unproven};
use netpay_protocol::ids::{BrokerId, Kid, PeerId, RequestId, from_hex};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::sealing::SealingKey;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use samples::*;

fn pinned() -> BrokerId {
    BrokerId::of(&key(1).public())
}

fn keys(revoked_at_ms: u64) -> SignedKeyList {
    let listed = ListedKey {
        kid: Kid::of(&key(3).public()),
        key: key(3).public(),
        purpose: Purpose::Touchstone,
        not_before_ms: 0,
        not_after_ms: 10,
        revoked_at_ms,
    };
    let list = KeyList { keys: vec![listed], ..key_list(&key(1)).list.content };
    SignedKeyList { root: key(1).public(), list: Signed::new(list, &key(1)) }
}

/// An e-coin of whoever has this key.
fn sold_to(payer: u8) -> Touchstone {
    Touchstone {
        broker: pinned(),
        kid: Kid::of(&key(3).public()),
        payer: PeerId::of(&key(payer).public()),
        payer_key: key(payer).public(),
        guarantee: Guarantee::Bearer,
        ..touchstone()
    }
}

fn grant(signer: u8, (from, to): (u32, u32), payee: u8) -> Signed<SignedIndex> {
    let grant = SignedIndex {
        broker: pinned(),
        from: PaywordIndex(from),
        to: PaywordIndex(to),
        payee: PeerId([payee; 16]),
        ..index()
    };
    Signed::new(grant, &key(signer))
}

fn evidence(t: Touchstone, signer: u8) -> Evidence {
    let (first, second) = (grant(signer, (1, 6), 21), grant(signer, (4, 9), 22));
    Evidence { keys: keys(0), touchstone: Signed::new(t, &key(3)), first, second, succession: None }
}

/// The peer with this first key changes to that one; `signer` signs the order.
fn change(first: u8, signer: u8, to: u8) -> KeyChange {
    let register = Register {
        broker: pinned(),
        signing_key: key(to).public(),
        sealing_key: sealing_key(),
        nkey: key(30).public(),
    };
    let order = RotateKeys {
        broker: pinned(),
        peer: PeerId::of(&key(first).public()),
        request: RequestId([1; 16]),
        valid_until_ms: 5,
        register: register.digest(),
    };
    KeyChange { order: Signed::new(order, &key(signer)), register: Signed::new(register, &key(to)) }
}

/// The key that anybody's words are sealed to: that of the vectors.
fn sealing_key() -> Vec<u8> {
    let text = include_str!("../test-data/sealing-key.hex").trim();
    let byte = |pair: &[u8]| from_hex::<1>(std::str::from_utf8(pair).expect("ASCII")).expect("hex")[0];
    let private: Vec<_> = text.as_bytes().chunks(2).map(byte).collect();
    SealingKey::from_der(&private).expect("a key").public_der()
}

/// Peer 7 changed to 8 and then to 9, bought with 9, and signed both grants with it.
fn rotated() -> Evidence {
    let t = Touchstone { payer: PeerId::of(&key(7).public()), ..sold_to(9) };
    let changes = vec![change(7, 7, 8), change(7, 8, 9)];
    Evidence { succession: Some(Succession { first: key(7).public(), changes }), ..evidence(t, 9) }
}

fn verify(evidence: &Evidence) -> Result<Proven, &'static str> {
    evidence.verify(pinned()).map_err(Unproven::name)
}

#[test]
fn no_bit_of_evidence_can_be_altered() {
    altered_evidence_proves_nothing(&evidence(sold_to(7), 7), |_| 0..8);
}

#[test]
fn no_byte_of_a_rotated_payers_evidence_can_be_altered() {
    // One bit of each byte: there are many, and RSA keys among them.
    altered_evidence_proves_nothing(&rotated(), |at| at % 8..at % 8 + 1);
}

fn altered_evidence_proves_nothing(good: &Evidence, bits: impl Fn(usize) -> std::ops::Range<usize>) {
    assert!(verify(good).is_ok());
    let bytes = wire::encode(good);
    for at in 0..bytes.len() {
        for bit in bits(at) {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            let proven = wire::decode::<Evidence>(&altered).ok().map(|evidence| verify(&evidence));
            assert!(!matches!(proven, Some(Ok(_))), "bit {bit} of byte {at} makes no difference");
        }
    }
}

/// The broker has its own keys, and writes what touchstones it likes; it does not have the payer's key.
#[test]
fn a_broker_that_puts_a_key_of_its_own_into_a_touchstone_frames_nobody() {
    let victim = PeerId::of(&key(7).public());
    let framed = Touchstone { payer: victim, ..sold_to(8) };
    assert_eq!(verify(&evidence(framed, 8)), Err("key_of_another"));
    // With the victim's key the grants do not verify, with the broker's it proves what its own peer did.
    assert_eq!(verify(&evidence(sold_to(7), 8)), Err("grant"));
    assert_eq!(verify(&evidence(sold_to(8), 8)).map(|proven| proven.payer), Ok(PeerId::of(&key(8).public())));
}

#[test]
fn a_payer_that_changed_its_keys_is_accused_by_a_succession_that_it_signed_itself_and_by_no_other() {
    let payer = PeerId::of(&key(7).public());
    assert_eq!(verify(&rotated()).map(|proven| proven.payer), Ok(payer));
    let with = |first: u8, changes: Vec<KeyChange>| {
        let succession = Some(Succession { first: key(first).public(), changes });
        verify(&Evidence { succession, ..rotated() })
    };
    let mut elsewhere = change(7, 8, 9);
    elsewhere.order.content.broker = BrokerId([9; 16]);
    elsewhere.order = Signed::new(elsewhere.order.content, &key(8));
    for (what, first, changes) in [
        ("none", 7, vec![]),
        ("the broker's own key signed", 7, vec![change(7, 6, 9)]),
        ("one is missing", 7, vec![change(7, 8, 9)]),
        ("in another order", 7, vec![change(7, 8, 9), change(7, 7, 8)]),
        ("it ends at another key", 7, vec![change(7, 7, 8)]),
        ("another peer's", 8, vec![change(8, 8, 9)]),
        ("it begins at another peer's key", 6, vec![change(7, 6, 9)]),
        ("at another broker", 7, vec![change(7, 7, 8), elsewhere]),
        ("other keys than were ordered", 7, vec![KeyChange { register: change(7, 7, 9).register, ..change(7, 7, 8) }]),
    ] {
        assert_eq!(with(first, changes), Err("key_of_another"), "{what}");
    }
    assert_eq!(verify(&Evidence { succession: None, ..rotated() }), Err("key_of_another"));
}

#[test]
fn a_revoked_key_takes_the_brokers_word_away_and_leaves_what_the_payer_signed() {
    let revoked = Evidence { keys: keys(5), ..evidence(sold_to(7), 7) };
    let unproven = revoked.verify(pinned()).expect_err("nobody is bound by a revoked key");
    assert_eq!(unproven, Unproven::Revoked { kid: Kid::of(&key(3).public()), revoked_at_ms: 5 });
    assert!(unproven.leaves_conduct());
    // A thief of that key cannot use it against others: without the payer's signatures nothing is left.
    let stolen = Evidence { keys: keys(5), ..evidence(sold_to(7), 8) };
    let unproven = stolen.verify(pinned()).expect_err("nothing holds");
    assert_eq!((unproven.name(), unproven.leaves_conduct()), ("grant", false));
    let forged = Evidence { touchstone: Signed::new(sold_to(7), &key(9)), ..revoked };
    assert_eq!(verify(&forged), Err("touchstone"));
}

#[test]
fn evidence_holds_no_payword_but_the_root() {
    let bytes = wire::encode(&evidence(sold_to(7), 7));
    let parts = [evidence(sold_to(7), 7).first.content.to_bytes().len(), sold_to(7).to_bytes().len()];
    // Two grants, a touchstone, a list of one key, four signatures, a root key: no room for anything else.
    let list = keys(0).list.content.to_bytes().len();
    assert!(bytes.len() < 2 * parts[0] + parts[1] + list + 4 * 64 + 32 + 60, "{} bytes", bytes.len());
}
