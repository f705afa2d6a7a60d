//! Verdicts: a claim, its touchstone, what is paid already, and the line that must result, written down by hand.

use netpay_protocol::amounts::{PaywordIndex, WordCount};
use netpay_protocol::ids::BrokerId;
use netpay_protocol::index::SignedIndex;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::redemption::{Claim, Line, RedemptionBatch, Statement, Verdict};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Guarantee;

use super::fields::{Fields as _, signed};
use super::json::{Json, hex, list, object};
use super::values::{batch, claim, line, statement};
use super::world::*;

/// A case. By default a good claim of Bob's on W1 to W5 of a bearer e-coin of which nothing is paid.
struct Case {
    name: &'static str,
    why: &'static str,
    suite: Suite,
    guarantee: Guarantee,
    known: bool,
    refunded: bool,
    paid: &'static [(u32, u32, u8)],
    range: (u32, u32, u32),
    change: fn(Claim) -> Claim,
    line: (u8, u32, u32, u32),
}

fn good(name: &'static str, why: &'static str, line: (u8, u32, u32, u32)) -> Case {
    Case {
        name,
        why,
        suite: Suite::Sha256,
        guarantee: Guarantee::Bearer,
        known: true,
        refunded: false,
        paid: &[],
        range: (1, 6, 5),
        change: |claim| claim,
        line,
    }
}

/// Signed again after a change.
fn regrant(mut claim: Claim, change: impl Fn(&mut SignedIndex), who: u8) -> Claim {
    change(&mut claim.index.content);
    claim.index = Signed::new(claim.index.content, &key(who));
    claim
}

fn refused() -> Vec<Case> {
    let refused = |name, why, number| good(name, why, (number, 0, 0, 0));
    let ranged = |name, why, range| Case { range, ..refused(name, why, 2) };
    vec![
        Case { known: false, ..refused("unknown e-coin", "comes before everything else", 1) },
        Case {
            known: false,
            change: |claim| regrant(claim, |index| index.from = PaywordIndex(0), ALICE),
            ..refused("unknown e-coin, bad range", "nothing else was looked at", 1)
        },
        ranged("from the root", "the root is no word", (0, 6, 5)),
        ranged("through = to", "one past the last word granted", (1, 6, 6)),
        ranged("below the grant", "through < from", (4, 6, 3)),
        ranged("grant past the chain", "to may be n + 1 and not more", (1, 52, 50)),
        Case {
            change: |claim| regrant(claim, |index| index.to = PaywordIndex(60), BOB),
            ..refused("bad range and bad signature", "the range is looked at first", 2)
        },
        Case {
            change: |claim| regrant(claim, |index| index.payee = peer(CAROL), ALICE),
            ..refused("grant for another payee", "whoever overhears a payment", 3)
        },
        Case {
            guarantee: Guarantee::Bound(peer(CAROL)),
            ..refused("bound to another", "the touchstone says to whom", 3)
        },
        Case {
            change: |claim| regrant(claim, |_| (), BOB),
            ..refused("not the payer's signature", "the payee signed it itself", 3)
        },
        Case {
            change: |mut claim| {
                claim.index.content.to = PaywordIndex(7);
                claim
            },
            ..refused("altered grant", "one word more than was signed", 3)
        },
        Case {
            change: |mut claim| {
                let other = SignedIndex { broker: BrokerId([9; 16]), ..claim.index.content.clone() };
                claim.index.signature = Signed::new(other, &key(ALICE)).signature;
                claim
            },
            ..refused("grant for another broker", "the batch's broker stands in the signed bytes", 3)
        },
        Case {
            change: |mut claim| {
                claim.index.content.payee = peer(CAROL);
                claim.word = Payword::unchecked([0; 32]);
                claim
            },
            ..refused("not authorised, wrong word", "the signature is looked at before the word", 3)
        },
        Case {
            change: |claim| Claim { word: Payword::unchecked([0; 32]), ..claim },
            ..refused("wrong word", "does not lead to the root", 2)
        },
        Case {
            change: |claim| Claim {
                word: chain(Suite::Sha256, ECOIN, 50).word(PaywordIndex(4)).expect("a word"),
                ..claim
            },
            ..refused("a lower word", "W4 is not W5", 2)
        },
        Case {
            suite: Suite::Md5,
            change: |mut claim| {
                let mut bytes = *claim.word.bytes();
                bytes[16] = 1;
                claim.word = Payword::unchecked(bytes);
                claim
            },
            ..refused("md5 padding", "16 zeros follow an md5 word", 2)
        },
        Case { refunded: true, ..refused("refunded", "too late", 4) },
        Case {
            refunded: true,
            change: |claim| Claim { word: Payword::unchecked([0; 32]), ..claim },
            ..refused("refunded, wrong word", "the word is looked at first", 2)
        },
    ]
}

fn settled() -> Vec<Case> {
    vec![
        good("credited", "nothing was paid", (5, 5, 0, 0)),
        Case { suite: Suite::Md5, ..good("credited, md5", "the paper's suite", (5, 5, 0, 0)) },
        Case { guarantee: Guarantee::Bound(peer(BOB)), ..good("bound to the payee", "as it should be", (5, 5, 0, 0)) },
        Case { range: (1, 51, 50), ..good("the whole chain", "50 words", (5, 50, 0, 0)) },
        Case { range: (50, 51, 50), ..good("the last word alone", "one word", (5, 1, 0, 0)) },
        Case { range: (1, 17, 5), ..good("a part of a grant", "a grant may reach ahead", (5, 5, 0, 0)) },
        Case { paid: &[(1, 5, BOB)], ..good("again", "after a lost statement", (6, 0, 5, 0)) },
        Case { paid: &[(1, 3, BOB)], ..good("grown", "three were paid before", (5, 2, 3, 0)) },
        Case { paid: &[(1, 50, BOB)], ..good("inside what is paid", "nothing new", (6, 0, 5, 0)) },
        Case { paid: &[(6, 50, CAROL)], ..good("next to another's", "words 6 on are no business of it", (5, 5, 0, 0)) },
        Case { paid: &[(1, 5, CAROL)], ..good("all in conflict", "spent twice", (7, 0, 0, 5)) },
        Case {
            paid: &[(4, 8, CAROL)],
            ..good("some in conflict", "conflicting, although some are credited", (7, 3, 0, 2))
        },
        Case {
            paid: &[(1, 1, BOB), (3, 3, CAROL), (5, 5, BOB)],
            ..good("all three", "W2 W4 credited, W1 W5 paid before, W3 to another", (7, 2, 2, 1))
        },
        Case {
            paid: &[(1, 3, BOB), (4, 4, CAROL)],
            ..good("grown into another's", "one free word left", (7, 1, 3, 1))
        },
        Case { paid: &[(1, 4, BOB), (5, 5, CAROL)], ..good("none new, one in conflict", "conflicting", (7, 0, 4, 1)) },
    ]
}

fn told(case: Case) -> Json {
    let t = Signed::new(touchstone(case.suite, case.guarantee), &key(TOUCHSTONE_KEY));
    let (from, to, through) = case.range;
    let word = chain(case.suite, ECOIN, 50).word(PaywordIndex(through)).expect("on the chain");
    let index = grant(from, to, peer(BOB));
    let claim = (case.change)(Claim { index, through: PaywordIndex(through), word });
    let paid = case.paid.iter().map(|(from, through, payee)| {
        object! { "from" => *from, "through" => *through, "payee" => peer(*payee) }
    });
    let (number, credited, already_paid, conflicting) = case.line;
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.number() == number).expect("a verdict");
    object! {
        "name" => case.name,
        "why" => case.why,
        "payee" => peer(BOB),
        "touchstone" => if case.known { signed(&t) } else { Json::Null },
        "refunded" => case.refunded,
        "paid" => list(paid),
        "claim" => object! {
            "index" => signed(&claim.index),
            "through" => claim.through,
            "word" => claim.word,
        },
        "line" => object! {
            "verdict" => number,
            "name" => verdict.name(),
            "credited" => credited,
            "already_paid" => already_paid,
            "conflicting" => conflicting,
        },
    }
}

/// The payer cashes its own words.
fn self_payment() -> Json {
    let t = Signed::new(touchstone(Suite::Sha256, Guarantee::Bearer), &key(TOUCHSTONE_KEY));
    let claim = claim(1, 6, 5);
    let index = regrant(claim.clone(), |index| index.payee = peer(ALICE), ALICE).index;
    object! {
        "name" => "payee is the payer",
        "why" => "who bought the e-coin does not redeem it",
        "payee" => peer(ALICE),
        "touchstone" => signed(&t),
        "refunded" => false,
        "paid" => Json::List(vec![]),
        "claim" => object! { "index" => signed(&index), "through" => claim.through, "word" => claim.word },
        "line" => object! {
            "verdict" => 3_u8, "name" => "unauthorised", "credited" => 0_u8, "already_paid" => 0_u8, "conflicting" => 0_u8,
        },
    }
}

pub fn verdicts() -> Vec<Json> {
    let mut vectors: Vec<_> = [refused(), settled()].into_iter().flatten().map(told).collect();
    vectors.push(self_payment());
    vectors
}

type Change = fn(&mut Statement, &mut RedemptionBatch);

pub fn statements() -> Vec<Json> {
    let lines = || vec![line(3, 2, 0), Line::refused(Verdict::Expired)];
    let cases: Vec<(&str, &str, &str, Change)> = vec![
        ("good", "answers the batch", "none", |_, _| ()),
        ("no claim twice", "the split is the broker's word", "none", |s, _| s.lines[0] = line(0, 1, 4)),
        ("another broker", "the batch names one", "another", |s, _| s.broker = BrokerId([9; 16])),
        ("another payee", "somebody else's account", "another", |s, _| s.payee = peer(CAROL)),
        ("another request", "another batch", "another", |s, _| s.request = request(1)),
        ("another digest", "the same id, other claims", "another", |_, b| b.claims[0].through = PaywordIndex(4)),
        ("a line less", "one line per claim", "lines", |s, _| s.lines.truncate(1)),
        ("a line more", "one line per claim", "lines", |s, _| s.lines.push(line(1, 0, 0))),
        ("a word more", "the counts sum to the run", "counts", |s, _| s.lines[0] = line(6, 0, 0)),
        ("a word less", "the counts sum to the run", "counts", |s, _| s.lines[0] = line(4, 0, 0)),
        ("counts of a refused claim", "they are zero", "counts", |s, _| s.lines[1].credited = WordCount(1)),
    ];
    cases
        .into_iter()
        .map(|(name, why, error, change)| {
            let mut batch = batch(vec![claim(1, 6, 5), claim(6, 51, 50)]);
            let mut statement = statement(&batch, lines());
            change(&mut statement, &mut batch);
            object! {
                "name" => name,
                "why" => why,
                "batch" => hex(&batch.to_bytes()),
                "batch_digest" => batch.digest(),
                "statement" => hex(&statement.to_bytes()),
                "fields" => statement.fields(),
                "error" => error,
            }
        })
        .collect()
}
