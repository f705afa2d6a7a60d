//! The people, keys and e-coins of the vectors. Every secret is told: nothing here was ever worth anything.

use netpay_protocol::amounts::{PaywordIndex, UnitValue};
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::sealing::SealingKey;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};

/// Whose key: the seed is this byte, 32 times.
pub const ROOT: u8 = 1;
pub const TOUCHSTONE_KEY: u8 = 2;
pub const STATEMENT_KEY: u8 = 3;
pub const NOTICE_KEY: u8 = 4;
pub const OPERATOR: u8 = 5;
pub const ALICE: u8 = 11;
pub const BOB: u8 = 12;
pub const CAROL: u8 = 13;
pub const ALICE_NKEY: u8 = 21;
/// The keys that Alice rotates to. Her id stays.
pub const ALICE_AGAIN: u8 = 31;
pub const ALICE_NKEY_AGAIN: u8 = 41;

/// The vectors' present: 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600_000;

pub fn seed(who: u8) -> [u8; 32] {
    [who; 32]
}

pub fn key(who: u8) -> SigningKey {
    SigningKey::from_seed(&seed(who))
}

pub fn broker() -> BrokerId {
    BrokerId::of(&key(ROOT).public())
}

pub fn peer(who: u8) -> PeerId {
    PeerId::of(&key(who).public())
}

pub fn kid(who: u8) -> Kid {
    Kid::of(&key(who).public())
}

pub fn request(n: u8) -> RequestId {
    RequestId([n; 16])
}

pub fn content() -> ContentId {
    ContentId(*blake3::hash(b"a song").as_bytes())
}

/// The broker's chain master key.
pub fn master() -> [u8; 32] {
    [0x42; 32]
}

pub fn sealing_key() -> SealingKey {
    let text = include_str!("../../../test-data/sealing-key.hex").trim();
    let bytes: Vec<u8> =
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits")).collect();
    SealingKey::from_der(&bytes).expect("a PKCS#8 key")
}

/// A source of randomness that yields 0, 1, 2 … 255, 0 …
pub struct Counting(pub u8);

impl rand_core::TryRng for Counting {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counting {}

pub fn chain(suite: Suite, ecoin: EcoinId, n: u32) -> PaywordChain {
    let last = ChainMaster::new(master()).last_word(suite, &ecoin, PaywordIndex(n));
    PaywordChain::below(suite, &ecoin, PaywordIndex(n), last)
}

pub const ECOIN: EcoinId = EcoinId([0xe1; 16]);

/// A touchstone of Alice's e-coin of 50 words.
pub fn touchstone(suite: Suite, guarantee: Guarantee) -> Touchstone {
    Touchstone {
        broker: broker(),
        kid: kid(TOUCHSTONE_KEY),
        ecoin: ECOIN,
        suite,
        root: chain(suite, ECOIN, 50).root(),
        n: PaywordIndex(50),
        unit_value: UnitValue(5),
        payer: peer(ALICE),
        payer_key: key(ALICE).public(),
        payer_opened_at_ms: NOW - DAY_MS,
        issued_at_ms: NOW,
        spend_until_ms: NOW + 30 * DAY_MS,
        redeem_until_ms: NOW + 60 * DAY_MS,
        guarantee,
        incarnation: 1,
    }
}

/// Alice's grant of `from..to` to a payee.
pub fn index(from: u32, to: u32, payee: PeerId) -> SignedIndex {
    SignedIndex {
        broker: broker(),
        ecoin: ECOIN,
        from: PaywordIndex(from),
        to: PaywordIndex(to),
        payee,
        order: Digest::ZERO,
    }
}

pub fn grant(from: u32, to: u32, payee: PeerId) -> Signed<SignedIndex> {
    Signed::new(index(from, to, payee), &key(ALICE))
}
