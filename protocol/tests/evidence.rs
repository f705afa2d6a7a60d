//! Evidence of a double spend: nothing in it can be altered, and nobody can be framed with it. (What proves and what does
//! not is in `vectors/evidence.json`.)

mod samples;

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::evidence::{Evidence, Proven, Unproven};
use netpay_protocol::ids::{BrokerId, Kid, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
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
    Evidence { keys: keys(0), touchstone: Signed::new(t, &key(3)), first, second }
}

fn verify(evidence: &Evidence) -> Result<Proven, &'static str> {
    evidence.verify(pinned()).map_err(Unproven::name)
}

#[test]
fn no_bit_of_evidence_can_be_altered() {
    let good = evidence(sold_to(7), 7);
    assert!(verify(&good).is_ok());
    let bytes = wire::encode(&good);
    for at in 0..bytes.len() {
        for bit in 0..8 {
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
