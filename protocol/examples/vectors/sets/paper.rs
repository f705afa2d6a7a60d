//! The paper's worked example (Fig. 4 to 9): a chain of 50 md5 words, three of them spent with SP1, two with SP2.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, WordCount};
use netpay_protocol::ids::{Digest, EcoinId, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::redemption::{Claim, Head, Line, RedemptionBatch, Statement};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::fields::{Fields as _, signed};
use super::json::{Json, hex, list, object};
use super::world::*;

const IDE: EcoinId = EcoinId([0x1d; 16]);

fn touchstone() -> Signed<Touchstone> {
    let t = Touchstone {
        ecoin: IDE,
        root: chain(Suite::Md5, IDE, 50).root(),
        unit_value: UnitValue(1),
        ..super::world::touchstone(Suite::Md5, Guarantee::Bearer)
    };
    Signed::new(t, &key(TOUCHSTONE_KEY))
}

fn index(from: u32, to: u32, payee: PeerId) -> Signed<SignedIndex> {
    let index = SignedIndex {
        broker: broker(),
        ecoin: IDE,
        from: PaywordIndex(from),
        to: PaywordIndex(to),
        payee,
        order: Digest::ZERO,
    };
    Signed::new(index, &key(ALICE))
}

fn payment(why: &str, name: &str, payee: u8, (from, through): (u32, u32)) -> Json {
    let words = chain(Suite::Md5, IDE, 50);
    let word = |i| words.word(PaywordIndex(i)).expect("on the chain");
    let index = index(from, through + 1, peer(payee));
    let form = |listed: Vec<_>| {
        let revealed = Revealed { through: PaywordIndex(through), words: listed };
        Pay {
            order: Digest::ZERO,
            payment: Payment::First { touchstone: touchstone(), index: index.clone(), revealed },
        }
    };
    object! {
        "name" => name,
        "why" => why,
        "payee" => peer(payee),
        "index" => signed(&index),
        "words" => list((from..=through).map(|i| object! { "i" => i, "word" => word(i), "paper" => Suite::Md5.show(&word(i)) })),
        "price_words" => through + 1 - from,
        "next_unspent_index" => through + 1,
        "pay_listed" => hex(&wire::encode(&form((from..=through).map(word).collect()))),
        "pay_last_word_only" => hex(&wire::encode(&form(vec![word(through)]))),
    }
}

fn redemption(why: &str, name: &str, payee: u8, (from, through): (u32, u32)) -> Json {
    let word = chain(Suite::Md5, IDE, 50).word(PaywordIndex(through)).expect("on the chain");
    let claim = Claim { index: index(from, through + 1, peer(payee)), through: PaywordIndex(through), word };
    let batch = RedemptionBatch {
        broker: broker(),
        payee: peer(payee),
        request: request(payee),
        seen: Head::default(),
        claims: vec![claim],
    };
    let words = WordCount(through + 1 - from);
    let statement = Statement {
        broker: broker(),
        kid: kid(STATEMENT_KEY),
        incarnation: 1,
        payee: peer(payee),
        request: batch.request,
        batch: batch.digest(),
        issued_at_ms: NOW,
        lines: vec![Line::settled(words, WordCount(0), WordCount(0))],
        balance_units: words.worth(UnitValue(1)),
        head: Head { position: u64::from(payee), hash: Digest([payee; 32]) },
    };
    object! {
        "name" => name,
        "why" => why,
        "batch" => signed(&Signed::new(batch, &key(payee))),
        "statement" => signed(&Signed::new(statement, &key(STATEMENT_KEY))),
    }
}

pub fn vectors() -> Vec<Json> {
    let words = chain(Suite::Md5, IDE, 50);
    let all = (0..=50).map(|i| {
        let word = words.word(PaywordIndex(i)).expect("on the chain");
        object! { "i" => i, "paper" => Suite::Md5.show(&word) }
    });
    vec![
        object! {
            "name" => "the e-coin (Fig. 4)",
            "why" => "IDe, the chain of 50 md5 words as the paper writes them, and the touchstone",
            "ecoin" => IDE,
            "chain" => list(all),
            "touchstone" => signed(&touchstone()),
            "touchstone_fields" => touchstone().content.fields(),
        },
        payment("W1 W2 W3 at a price of 3: the index is 4 afterwards", "SP1 is paid (Fig. 5 and 6)", BOB, (1, 3)),
        payment("W4 W5 at a price of 2: the index is 6 afterwards", "SP2 is paid (Fig. 7)", CAROL, (4, 5)),
        redemption("SP1 claims W1 to W3: three words are credited", "SP1 redeems (Fig. 8)", BOB, (1, 3)),
        redemption(
            "SP2 claims with W5 and index 6, a sum of 5 seen from the root; from = 4 is signed, so that the words of SP1 are not SP2's: two words are credited",
            "SP2 redeems (Fig. 9)",
            CAROL,
            (4, 5),
        ),
    ]
}
