//! Every layout and message is read back from its own bytes, and from no other.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::{BadSignature, PublicKey, SigningKey};
use netpay_protocol::layout::{Layout, Malformed, Signed};
use netpay_protocol::limits::{self, MAX_MESSAGE_BYTES};
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::messages::{Buy, Redeem};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::quote::Quote;
use netpay_protocol::redemption::{Claim, Head, Line, NotTheAnswer, RedemptionBatch, Statement, Verdict};
use netpay_protocol::register::{Refused, Register};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::sealing::{PublicSealingKey, Purchase, SealingKey};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire::{self, NotAMessage};
use proptest::prelude::*;

const BROKER: BrokerId = BrokerId([1; 16]);
const PAYEE: PeerId = PeerId([2; 16]);
const DAY: u64 = limits::DAY_MS;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn touchstone() -> Touchstone {
    Touchstone {
        broker: BROKER,
        kid: Kid([3; 8]),
        ecoin: EcoinId([4; 16]),
        suite: Suite::Sha256,
        root: Payword::unchecked([5; 32]),
        n: PaywordIndex(50),
        unit_value: UnitValue(1),
        payer: PeerId([6; 16]),
        payer_key: key(7).public(),
        payer_opened_at_ms: 1,
        issued_at_ms: 2,
        spend_until_ms: 3,
        redeem_until_ms: 3 + 7 * DAY,
        guarantee: Guarantee::Bound(PAYEE),
        incarnation: 9,
    }
}

fn index() -> SignedIndex {
    SignedIndex {
        broker: BROKER,
        ecoin: EcoinId([4; 16]),
        from: PaywordIndex(1),
        to: PaywordIndex(6),
        payee: PAYEE,
        order: Digest([8; 32]),
    }
}

fn batch(claims: usize) -> RedemptionBatch {
    let index = Signed::new(index(), &key(7));
    let claim = Claim { index, through: PaywordIndex(5), word: Payword::unchecked([9; 32]) };
    RedemptionBatch {
        broker: BROKER,
        payee: PAYEE,
        request: RequestId([10; 16]),
        seen: Head { position: 7, hash: Digest([11; 32]) },
        claims: vec![claim; claims],
    }
}

fn statement(batch: &RedemptionBatch) -> Statement {
    Statement {
        broker: BROKER,
        kid: Kid([3; 8]),
        incarnation: 1,
        payee: PAYEE,
        request: batch.request,
        batch: batch.digest(),
        issued_at_ms: 5,
        lines: vec![Line::settled(WordCount(3), WordCount(2), WordCount(0)); batch.claims.len()],
        balance_units: Units(5),
        head: Head::default(),
    }
}

fn key_list(root: &SigningKey) -> SignedKeyList {
    let listed = ListedKey {
        kid: Kid::of(&key(1).public()),
        key: key(1).public(),
        purpose: Purpose::Statement,
        not_before_ms: 10,
        not_after_ms: 20,
        revoked_at_ms: 0,
    };
    let list = KeyList {
        broker: BrokerId::of(&root.public()),
        incarnation: 1,
        seq: 1,
        issued_at_ms: 0,
        next_at_ms: 90 * DAY,
        keys: vec![listed],
    };
    SignedKeyList { root: root.public(), list: Signed::new(list, root) }
}

fn listing() -> Listing {
    Listing {
        broker: BROKER,
        supplier: PAYEE,
        content: ContentId([1; 32]),
        size_bytes: 1,
        price_units: Units(2),
        issued_at_ms: 3,
        expires_ms: 4,
        name: "a song.ogg".into(),
        media_type: "audio/ogg".into(),
        tags: "music free".into(),
    }
}

/// Reads back; refuses every truncation, an added byte, and another tag.
fn canonical<L: Layout + PartialEq + std::fmt::Debug>(value: L) {
    let bytes = value.to_bytes();
    assert_eq!(L::from_bytes(&bytes).as_ref(), Ok(&value));
    for end in 0..bytes.len() {
        assert!(L::from_bytes(&bytes[..end]).is_err(), "{} cut at {end}", L::WHAT);
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(L::from_bytes(&longer), Err(Malformed::Trailing));
    let mut other = bytes;
    other[12] = b'2';
    assert_eq!(L::from_bytes(&other), Err(Malformed::Tag(L::WHAT)));
}

#[test]
fn every_layout_is_read_back_and_nothing_else_is() {
    canonical(touchstone());
    canonical(index());
    canonical(batch(2));
    canonical(statement(&batch(2)));
    canonical(key_list(&key(1)).list.content);
    canonical(listing());
    canonical(Withdraw { broker: BROKER, supplier: PAYEE, content: ContentId([1; 32]), issued_at_ms: 3 });
    canonical(Query {
        broker: BROKER,
        peer: PAYEE,
        valid_until_ms: 1,
        min_position: 2,
        question: Question::Statement(RequestId([3; 16])),
    });
    canonical(Answer { broker: BROKER, kid: Kid([1; 8]), about: Digest([2; 32]), issued_at_ms: 3, body: vec![1, 2] });
    canonical(RevocationList {
        broker: BROKER,
        kid: Kid([1; 8]),
        incarnation: 1,
        seq: 2,
        issued_at_ms: 3,
        next_at_ms: 4,
        peers: vec![(PeerId([1; 16]), 5), (PAYEE, 6)],
    });
    canonical(Quote {
        broker: BROKER,
        content: ContentId([1; 32]),
        size_bytes: 5,
        price_units: Units(3),
        chunk_bytes: 65_536,
        payee: PAYEE,
        expires_ms: 9,
        nonce: [1; 16],
    });
    canonical(BuyEcoins {
        broker: BROKER,
        payer: PAYEE,
        request: RequestId([1; 16]),
        valid_until_ms: 5,
        count: limits::MAX_CHAINS_PER_PURCHASE,
        n: PaywordIndex(limits::MAX_CHAIN_LENGTH),
        suite: Suite::Md5,
        unit_value: UnitValue(1),
        most_debited_units: Units(9),
        guarantee: Guarantee::Bearer,
    });
    canonical(Register {
        broker: BROKER,
        signing_key: key(1).public(),
        sealing_key: vec![1; 300],
        nkey: key(2).public(),
    });
    canonical(SealedPaywords {
        broker: BROKER,
        kid: Kid([1; 8]),
        payer: PAYEE,
        request: RequestId([1; 16]),
        wrapped_key: vec![2; 256],
        ciphertext: vec![3; 64],
    });
}

#[test]
fn a_touchstone_with_wrong_padding_length_or_window_is_malformed() {
    let md5 = Touchstone { suite: Suite::Md5, ..touchstone() };
    assert_eq!(Touchstone::from_bytes(&md5.to_bytes()), Err(Malformed::Value("payword padding")));
    for n in [0, limits::MAX_CHAIN_LENGTH + 1] {
        let long = Touchstone { n: PaywordIndex(n), ..touchstone() };
        assert_eq!(Touchstone::from_bytes(&long.to_bytes()), Err(Malformed::Value("chain length")));
    }
    let hasty = Touchstone { redeem_until_ms: 2 + 7 * DAY, ..touchstone() };
    assert_eq!(Touchstone::from_bytes(&hasty.to_bytes()), Err(Malformed::Value("time left to redeem")));
}

#[test]
fn a_purchase_is_read_at_its_limits_and_not_beyond() {
    let buy = |count, n| BuyEcoins {
        broker: BROKER,
        payer: PAYEE,
        request: RequestId([1; 16]),
        valid_until_ms: 5,
        count,
        n: PaywordIndex(n),
        suite: Suite::Md5,
        unit_value: UnitValue(u32::MAX),
        most_debited_units: Units(9),
        guarantee: Guarantee::Bearer,
    };
    assert_eq!(buy(256, 4096).worth(), Units((1 << 20) * u64::from(u32::MAX)));
    for (count, n, good) in [(256, 4096, true), (257, 1, false), (1, 4097, false), (0, 1, false), (1, 0, false)] {
        assert_eq!(BuyEcoins::from_bytes(&buy(count, n).to_bytes()).is_ok(), good, "{count} chains of {n}");
    }
}

#[test]
fn the_largest_batch_fits_a_message_and_one_claim_more_is_refused() {
    let most = batch(2_048);
    assert_eq!(most.to_bytes().len() - batch(0).to_bytes().len(), 2_048 * limits::CLAIM_BYTES);
    let message = Redeem { batch: Signed::new(most, &key(2)), touchstones: vec![], register: None };
    let bytes = wire::encode(&message);
    assert!(bytes.len() < MAX_MESSAGE_BYTES);
    assert_eq!(wire::decode(&bytes), Ok(message));
    let beyond = batch(2_049).to_bytes();
    assert_eq!(RedemptionBatch::from_bytes(&beyond), Err(Malformed::TooLong("claims in a batch")));
}

#[test]
fn a_list_that_promises_more_items_than_it_has_allocates_nothing_for_them() {
    let mut bytes = batch(0).to_bytes();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&2_048_u32.to_be_bytes());
    assert_eq!(RedemptionBatch::from_bytes(&bytes), Err(Malformed::Truncated));
}

#[test]
fn a_message_too_large_trailing_or_not_canonical_is_refused() {
    let pay = Pay {
        order: Digest([1; 32]),
        payment: Payment::First {
            touchstone: Signed::new(touchstone(), &key(1)),
            index: Signed::new(index(), &key(7)),
            revealed: Revealed::one(PaywordIndex(3), Payword::unchecked([2; 32])),
        },
    };
    let bytes = wire::encode(&pay);
    assert_eq!(wire::decode(&bytes), Ok(pay));
    let trailing = [bytes.as_slice(), &[0]].concat();
    assert_eq!(wire::decode::<Pay>(&trailing), Err(NotAMessage::Trailing));
    assert_eq!(wire::decode::<Pay>(&vec![0; MAX_MESSAGE_BYTES + 1]), Err(NotAMessage::TooLarge(MAX_MESSAGE_BYTES + 1)));
    for end in 0..bytes.len() {
        assert!(wire::decode::<Pay>(&bytes[..end]).is_err());
    }
    // The outer map of two pairs, written with a one-byte count: the same value, other bytes.
    assert_eq!(bytes[0], 0xa2);
    let wordy = [&[0xb8, 2], &bytes[1..]].concat();
    assert_eq!(wire::decode::<Pay>(&wordy), Err(NotAMessage::NotCanonical));
}

#[test]
fn the_papers_list_of_words_is_the_same_payment() {
    let ecoin = EcoinId([4; 16]);
    let words = (1..=3).map(|i| Payword::unchecked([i; 32])).collect();
    let revealed = Revealed { through: PaywordIndex(3), words };
    let payment = Payment::Words { ecoin, from: PaywordIndex(1), revealed };
    assert_eq!(wire::decode(&wire::encode(&payment)), Ok(payment));
}

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

#[test]
fn optional_parts_of_a_message_may_be_absent_but_not_null() {
    let buy = BuyEcoins {
        broker: BROKER,
        payer: PAYEE,
        request: RequestId([1; 16]),
        valid_until_ms: 5,
        count: 1,
        n: PaywordIndex(1),
        suite: Suite::Md5,
        unit_value: UnitValue(1),
        most_debited_units: Units(9),
        guarantee: Guarantee::Bearer,
    };
    let message = Buy { buy: Signed::new(buy, &key(1)), register: None };
    let bytes = wire::encode(&message);
    assert_eq!(bytes[0], 0xa1, "an absent part is left out of the map");
    assert_eq!(wire::decode(&bytes), Ok(message));
    let mut null = bytes;
    null[0] = 0xa2;
    null.extend([1, 0xf6]);
    assert_eq!(wire::decode::<Buy>(&null), Err(NotAMessage::NotCanonical));
}

proptest! {
    /// Whatever decodes encodes to the same bytes, and nothing panics.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        macro_rules! try_all { ($($t:ty),+) => { $( if let Ok(m) = wire::decode::<$t>(&bytes) { prop_assert_eq!(wire::encode(&m), bytes.clone()); } )+ } }
        try_all!(Pay, Buy, Redeem, SignedKeyList, Signed<RevocationList>, Signed<Query>);
    }

    /// The same for messages with one byte changed.
    #[test]
    fn a_changed_byte_is_an_error_or_another_canonical_message(at in 0_usize..1000, value in any::<u8>()) {
        let message = Redeem { batch: Signed::new(batch(2), &key(2)), touchstones: vec![Signed::new(touchstone(), &key(1))], register: None };
        let mut bytes = wire::encode(&message);
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(other) = wire::decode::<Redeem>(&bytes) {
            prop_assert_eq!(wire::encode(&other), bytes);
        }
    }
}
