//! One good value of every layout, and the signed form of each.

use netpay_protocol::admin::{AccountView, Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::certificate::Certificate;
use netpay_protocol::ids::{Digest, Kid};
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::{DAY_MS, HOUR_MS};
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::redemption::{Claim, Head, Line, RedemptionBatch, Statement};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::sealing::{PublicSealingKey, Purchase};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::world::*;

pub fn signed_touchstone() -> Signed<Touchstone> {
    Signed::new(touchstone(Suite::Sha256, Guarantee::Bearer), &key(TOUCHSTONE_KEY))
}

pub fn register() -> Signed<Register> {
    let register = Register {
        broker: broker(),
        signing_key: key(ALICE).public(),
        sealing_key: sealing_key().public_der(),
        nkey: key(ALICE_NKEY).public(),
    };
    Signed::new(register, &key(ALICE))
}

/// Alice's new keys. (Her sealing key stays: the vectors have one.)
pub fn register_again() -> Signed<Register> {
    let register =
        Register { signing_key: key(ALICE_AGAIN).public(), nkey: key(ALICE_NKEY_AGAIN).public(), ..register().content };
    Signed::new(register, &key(ALICE_AGAIN))
}

pub fn rotation() -> RotateKeys {
    RotateKeys {
        broker: broker(),
        peer: peer(ALICE),
        request: request(0xbe),
        valid_until_ms: NOW + HOUR_MS,
        register: register_again().content.digest(),
    }
}

pub fn certificate() -> Certificate {
    Certificate {
        broker: broker(),
        kid: kid(STATEMENT_KEY),
        peer: peer(ALICE),
        signing_key: key(ALICE_AGAIN).public(),
        given_up: 1,
        issued_at_ms: NOW,
    }
}

fn listed(who: u8, purpose: Purpose) -> ListedKey {
    ListedKey {
        kid: kid(who),
        key: key(who).public(),
        purpose,
        not_before_ms: NOW - DAY_MS,
        not_after_ms: NOW + 365 * DAY_MS,
        revoked_at_ms: 0,
    }
}

pub fn key_list() -> KeyList {
    KeyList {
        broker: broker(),
        incarnation: 1,
        seq: 7,
        issued_at_ms: NOW,
        next_at_ms: NOW + 90 * DAY_MS,
        keys: vec![
            listed(TOUCHSTONE_KEY, Purpose::Touchstone),
            listed(STATEMENT_KEY, Purpose::Statement),
            listed(NOTICE_KEY, Purpose::Notice),
        ],
    }
}

pub fn signed_key_list() -> SignedKeyList {
    SignedKeyList { root: key(ROOT).public(), list: Signed::new(key_list(), &key(ROOT)) }
}

pub fn revoked() -> RevocationList {
    let mut peers = vec![(peer(CAROL), NOW - HOUR_MS), (peer(99), NOW - DAY_MS)];
    peers.sort();
    RevocationList {
        broker: broker(),
        kid: kid(NOTICE_KEY),
        incarnation: 1,
        seq: NOW,
        issued_at_ms: NOW,
        next_at_ms: NOW + DAY_MS,
        peers,
    }
}

pub fn buy() -> BuyEcoins {
    BuyEcoins {
        broker: broker(),
        payer: peer(ALICE),
        request: request(0xb1),
        valid_until_ms: NOW + HOUR_MS,
        count: 1,
        n: PaywordIndex(50),
        suite: Suite::Sha256,
        unit_value: UnitValue(5),
        most_debited_units: Units(250),
        guarantee: Guarantee::Bearer,
    }
}

pub fn purchase() -> Purchase {
    Purchase { broker: broker(), payer: peer(ALICE), request: request(0xb1) }
}

pub fn sealed() -> SealedPaywords {
    let last = chain(Suite::Sha256, ECOIN, 50).word(PaywordIndex(50)).expect("the last word");
    let public = PublicSealingKey::from_der(&sealing_key().public_der()).expect("a good key");
    public.seal(kid(TOUCHSTONE_KEY), purchase(), &[(ECOIN, last)], &mut Counting(0))
}

pub fn quote() -> Quote {
    Quote {
        broker: broker(),
        content: content(),
        size_bytes: 300_000,
        chunk_bytes: 131_072,
        first_chunk: 0,
        chunk_count: 3,
        price_units: Units(25),
        payee: peer(BOB),
        expires_ms: NOW + HOUR_MS,
        nonce: [0x33; 16],
    }
}

pub fn receipt() -> Receipt {
    let order = quote().digest();
    Receipt { broker: broker(), payee: peer(BOB), payer: peer(ALICE), order, paid_units: Units(25), issued_at_ms: NOW }
}

pub fn claim(from: u32, to: u32, through: u32) -> Claim {
    let word = chain(Suite::Sha256, ECOIN, 50).word(PaywordIndex(through)).expect("on the chain");
    Claim { index: grant(from, to, peer(BOB)), through: PaywordIndex(through), word }
}

pub fn batch(claims: Vec<Claim>) -> RedemptionBatch {
    RedemptionBatch {
        broker: broker(),
        payee: peer(BOB),
        request: request(0xba),
        seen: Head { position: 3, hash: Digest([0x77; 32]) },
        claims,
    }
}

pub fn statement(batch: &RedemptionBatch, lines: Vec<Line>) -> Statement {
    Statement {
        broker: broker(),
        kid: kid(STATEMENT_KEY),
        incarnation: 1,
        payee: batch.payee,
        request: batch.request,
        batch: batch.digest(),
        issued_at_ms: NOW,
        lines,
        balance_units: Units(25),
        head: Head { position: 4, hash: Digest([0x78; 32]) },
    }
}

pub fn line(credited: u32, already_paid: u32, conflicting: u32) -> Line {
    Line::settled(WordCount(credited), WordCount(already_paid), WordCount(conflicting))
}

pub fn query(question: Question) -> Query {
    Query { broker: broker(), peer: peer(ALICE), valid_until_ms: NOW + 300_000, min_position: 4, question }
}

pub fn account_view() -> AccountView {
    AccountView {
        peer: peer(ALICE),
        balance: Units(750),
        debt: Units(0),
        opened_at_ms: Some(NOW - DAY_MS),
        suspended_at_ms: None,
        last_redeem_until_ms: NOW + 60 * DAY_MS,
        head: Head { position: 4, hash: Digest([0x78; 32]) },
    }
}

pub fn answer(about: Digest, body: Vec<u8>) -> Answer {
    Answer { broker: broker(), kid: kid(STATEMENT_KEY), about, issued_at_ms: NOW, body }
}

pub fn payout() -> RequestPayout {
    RequestPayout {
        broker: broker(),
        peer: peer(ALICE),
        request: request(0xbd),
        valid_until_ms: NOW + HOUR_MS,
        amount_units: Units(100),
        destination: "IBAN DE00 1234".into(),
    }
}

pub fn credit() -> Order {
    Order::Credit { peer: peer(ALICE), amount: Units(1_000), reference: "bank 2026-1".into() }
}

pub fn admin(order: &Order) -> Admin {
    Admin {
        broker: broker(),
        kid: Kid::of(&key(OPERATOR).public()),
        request: request(0xad),
        valid_until_ms: NOW + 60_000,
        order: wire::encode(order),
    }
}

pub fn listing() -> Listing {
    Listing {
        broker: broker(),
        supplier: peer(BOB),
        content: content(),
        size_bytes: 300_000,
        price_units: Units(25),
        issued_at_ms: NOW,
        expires_ms: NOW + DAY_MS,
        name: "a söng.ogg".into(),
        media_type: "audio/ogg".into(),
        tags: "music free".into(),
    }
}

pub fn withdraw() -> Withdraw {
    Withdraw { broker: broker(), supplier: peer(BOB), content: content(), issued_at_ms: NOW }
}
