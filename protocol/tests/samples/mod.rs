//! One good value of each kind, for the tests to alter.

#![allow(dead_code)] // each test binary uses its part

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::{self};
use netpay_protocol::listing::Listing;
use netpay_protocol::redemption::{Claim, Head, Line, RedemptionBatch, Statement};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};

pub const BROKER: BrokerId = BrokerId([1; 16]);
pub const PAYEE: PeerId = PeerId([2; 16]);
pub const DAY: u64 = limits::DAY_MS;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

pub fn touchstone() -> Touchstone {
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

pub fn index() -> SignedIndex {
    SignedIndex {
        broker: BROKER,
        ecoin: EcoinId([4; 16]),
        from: PaywordIndex(1),
        to: PaywordIndex(6),
        payee: PAYEE,
        order: Digest([8; 32]),
    }
}

pub fn batch(claims: usize) -> RedemptionBatch {
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

pub fn statement(batch: &RedemptionBatch) -> Statement {
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

pub fn key_list(root: &SigningKey) -> SignedKeyList {
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

pub fn listing() -> Listing {
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
