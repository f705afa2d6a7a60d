//! Every layout and message is read back from its own bytes, and from no other.

mod samples;

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::ids::{ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::layout::{Layout, Malformed, Signed};
use netpay_protocol::limits::{self, MAX_MESSAGE_BYTES};
use netpay_protocol::listing::Withdraw;
use netpay_protocol::messages::{Buy, Redeem};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::quote::Quote;
use netpay_protocol::redemption::RedemptionBatch;
use netpay_protocol::register::Register;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire::{self, NotAMessage};
use proptest::prelude::*;
use samples::*;

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
        chunk_bytes: 65_536,
        first_chunk: 0,
        chunk_count: 1,
        price_units: Units(3),
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
