//! What is believed of a thing that was read: signatures, ranges, whose keys, which answer to which question.

mod samples;

use netpay_protocol::amounts::{PaywordIndex, WordCount};
use netpay_protocol::ids::{BrokerId, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, Purpose, SignedKeyList};
use netpay_protocol::keys::{BadSignature, PublicKey};
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{Line, NotTheAnswer, RedemptionBatch, Statement, Verdict};
use netpay_protocol::register::{Refused, Register};
use netpay_protocol::sealing::{PublicSealingKey, Purchase, SealingKey};
use netpay_protocol::suite::Payword;
use samples::*;

#[test]
fn a_grant_for_another_ecoin_or_broker_or_by_another_key_does_not_verify() {
    let touchstone = touchstone();
    assert_eq!(Signed::new(index(), &key(7)).verify_under(&touchstone), Ok(()));
    let other_ecoin = SignedIndex { ecoin: EcoinId([5; 16]), ..index() };
    let other_broker = SignedIndex { broker: BrokerId([5; 16]), ..index() };
    for content in [other_ecoin, other_broker] {
        assert_eq!(Signed::new(content, &key(7)).verify_under(&touchstone), Err(BadSignature));
    }
    assert_eq!(Signed::new(index(), &key(8)).verify_under(&touchstone), Err(BadSignature));
    // Hole 1 and 2: payee and lower end are under the signature.
    for change in [SignedIndex { payee: PeerId([9; 16]), ..index() }, SignedIndex { from: PaywordIndex(2), ..index() }]
    {
        let altered = Signed { content: change, ..Signed::new(index(), &key(7)) };
        assert_eq!(altered.verify_under(&touchstone), Err(BadSignature));
    }
}

#[test]
fn a_grant_covers_its_own_words_within_the_chain() {
    let grant = |from, to| SignedIndex { from: PaywordIndex(from), to: PaywordIndex(to), ..index() };
    let n = PaywordIndex(10);
    for (from, to, through, covered) in [
        (1, 6, 5, true),
        (1, 6, 6, false),
        (0, 6, 5, false),
        (4, 6, 3, false),
        (1, 11, 10, true),
        (1, 12, 10, false),
        (5, 5, 5, false),
        (u32::MAX, u32::MAX, u32::MAX, false),
    ] {
        assert_eq!(grant(from, to).covers(PaywordIndex(through), n), covered, "{from}..{to} through {through}");
    }
}

#[test]
fn a_statement_for_another_batch_payee_or_count_is_not_the_answer() {
    let asked = batch(2);
    assert_eq!(statement(&asked).answers(&asked), Ok(()));
    let other_claims = RedemptionBatch { claims: batch(1).claims, ..asked.clone() };
    assert_eq!(statement(&other_claims).answers(&asked), Err(NotTheAnswer::Another));
    let other_payee = Statement { payee: PeerId([9; 16]), ..statement(&asked) };
    assert_eq!(other_payee.answers(&asked), Err(NotTheAnswer::Another));
    let fewer = Statement { lines: vec![], ..statement(&asked) };
    assert_eq!(fewer.answers(&asked), Err(NotTheAnswer::Lines));
    for line in [
        Line::settled(WordCount(6), WordCount(0), WordCount(0)),
        Line { verdict: Verdict::Invalid, ..Line::settled(WordCount(5), WordCount(0), WordCount(0)) },
    ] {
        let wrong = Statement { lines: vec![line; 2], ..statement(&asked) };
        assert_eq!(wrong.answers(&asked), Err(NotTheAnswer::Counts));
    }
}

#[test]
fn a_key_list_is_believed_for_the_pinned_broker_only_and_keys_only_in_their_time() {
    let (root, rogue) = (key(1), key(2));
    let pinned = BrokerId::of(&root.public());
    let keys = key_list(&root).verify(pinned).expect("the pinned broker's");
    assert!(key_list(&rogue).verify(pinned).is_err());
    // A rogue's root key that signs a list in the pinned broker's name.
    let in_its_name = KeyList { broker: pinned, ..key_list(&rogue).list.content };
    let in_its_name = SignedKeyList { root: rogue.public(), list: Signed::new(in_its_name, &rogue) };
    assert!(in_its_name.verify(pinned).is_err());
    let kid = Kid::of(&key(1).public());
    for (at, purpose, found) in [
        (9, Purpose::Statement, false),
        (10, Purpose::Statement, true),
        (20, Purpose::Statement, true),
        (21, Purpose::Statement, false),
        (15, Purpose::Touchstone, false),
    ] {
        assert_eq!(keys.find(kid, purpose, at).is_some(), found, "{at} {purpose:?}");
    }
    let mut revoked = key_list(&root).list.content;
    revoked.keys[0].revoked_at_ms = 30;
    let revoked = SignedKeyList { root: root.public(), list: Signed::new(revoked, &root) };
    assert_eq!(revoked.verify(pinned).expect("good").find(kid, Purpose::Statement, 15), None);
}

#[test]
fn sealed_words_open_for_their_peer_and_purchase_only() {
    let (mine, other) = (
        SealingKey::generate(2_048, &mut rng()).expect("in range"),
        SealingKey::generate(2_048, &mut rng()).expect("in range"),
    );
    let purchase = Purchase { broker: BROKER, payer: PAYEE, request: RequestId([1; 16]) };
    let words = vec![(EcoinId([1; 16]), Payword::unchecked([2; 32])), (EcoinId([3; 16]), Payword::unchecked([4; 32]))];
    let public = PublicSealingKey::from_der(&mine.public_der()).expect("just made");
    let sealed = public.seal(Kid([0; 8]), purchase, &words, &mut rng());
    assert_eq!(mine.open(purchase, &sealed, &mut rng()).as_ref(), Ok(&words));
    assert!(other.open(purchase, &sealed, &mut rng()).is_err());
    let elsewhere = Purchase { request: RequestId([2; 16]), ..purchase };
    assert!(mine.open(elsewhere, &sealed, &mut rng()).is_err());
    let mut cut = sealed.clone();
    cut.ciphertext.pop();
    assert!(mine.open(purchase, &cut, &mut rng()).is_err());
    let again = SealingKey::from_der(&mine.to_der()).expect("its own form");
    assert_eq!(again.open(purchase, &sealed, &mut rng()), Ok(words));
}

#[test]
fn a_private_sealing_key_with_any_other_bytes_is_refused() {
    let der = SealingKey::generate(2_048, &mut rng()).expect("in range").to_der();
    // From the end, where the coefficient is, back through the exponents, the primes and the modulus.
    for back in (1..der.len()).step_by(61) {
        let mut damaged = der.to_vec();
        damaged[der.len() - back] ^= 1;
        assert!(SealingKey::from_der(&damaged).is_err(), "{back} bytes before the end");
    }
}

#[test]
fn a_registration_is_for_one_broker_by_its_own_key_with_sound_keys() {
    let sealing = SealingKey::generate(2_048, &mut rng()).expect("in range");
    let register = Register {
        broker: BROKER,
        signing_key: key(1).public(),
        sealing_key: sealing.public_der(),
        nkey: key(2).public(),
    };
    let signed = Signed::new(register.clone(), &key(1));
    assert_eq!(signed.check(BROKER), Ok(PeerId::of(&key(1).public())));
    assert_eq!(signed.check(BrokerId([9; 16])), Err(Refused::Broker));
    assert_eq!(Signed::new(register.clone(), &key(2)).check(BROKER), Err(Refused::Signature));
    let shared = Register { nkey: key(1).public(), ..register.clone() };
    assert_eq!(Signed::new(shared, &key(1)).check(BROKER), Err(Refused::SharedKey));
    let no_rsa = Register { sealing_key: vec![0; 10], ..register.clone() };
    assert!(matches!(Signed::new(no_rsa, &key(1)).check(BROKER), Err(Refused::SealingKey(_))));
    let weak = Register { signing_key: PublicKey([0; 32]), ..register };
    assert!(matches!(Signed::new(weak, &key(1)).check(BROKER), Err(Refused::Key(_))));
}
