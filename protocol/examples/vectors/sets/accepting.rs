//! Accepting: what a payee holds, a payment, and its answer, by the table of spec/12-accepting.md. Answers are written
//! down by hand; nothing here knows how a payee is made.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{BrokerId, Digest};
use netpay_protocol::index::{Grant, SignedIndex};
use netpay_protocol::key_list::{KeyList, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::problem::Kind;
use netpay_protocol::quote::Quote;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::fields::signed;
use super::json::{Json, hex, list, object};
use super::values::{key_list, quote, revoked};
use super::world::*;

/// A claim that Bob holds.
struct Held {
    index: SignedIndex,
    through: u32,
    conflicting: u32,
    lost: Option<u8>,
}

/// What Bob holds and wants, and what comes.
struct Scene {
    now_ms: u64,
    keys: Option<KeyList>,
    revoked: Option<RevocationList>,
    suites: Vec<u8>,
    max_unit_value: u32,
    bound_only: bool,
    min_account_age_ms: u64,
    max_exposure_per_payer: u64,
    max_exposure: u64,
    restored: bool,
    locked_through_ms: Option<u64>,
    quote: Quote,
    asker: u8,
    paid: u64,
    held: Option<(Touchstone, Vec<Held>)>,
    sender: u8,
    towards: Digest,
    form: u8,
    stone: Touchstone,
    stone_key: u8,
    index: SignedIndex,
    index_key: u8,
    revealed: Revealed,
    cut: bool,
}

fn word(i: u32) -> Payword {
    chain(Suite::Sha256, ECOIN, 50).word(PaywordIndex(i)).expect("on the chain")
}

fn through(i: u32) -> Revealed {
    Revealed::one(PaywordIndex(i), word(i))
}

fn granted(from: u32, to: u32) -> SignedIndex {
    SignedIndex { order: quote().digest(), ..index(from, to, peer(BOB)) }
}

/// Alice pays W1 to W5, 25 units, to Bob who never saw the e-coin.
fn first() -> Scene {
    Scene {
        now_ms: NOW,
        keys: Some(key_list()),
        revoked: Some(revoked()),
        suites: vec![2, 1],
        max_unit_value: 1_000_000,
        bound_only: false,
        min_account_age_ms: 0,
        max_exposure_per_payer: 100_000,
        max_exposure: 10_000_000,
        restored: false,
        locked_through_ms: None,
        quote: quote(),
        asker: ALICE,
        paid: 0,
        held: None,
        sender: ALICE,
        towards: quote().digest(),
        form: 1,
        stone: touchstone(Suite::Sha256, Guarantee::Bearer),
        stone_key: TOUCHSTONE_KEY,
        index: granted(1, 17),
        index_key: ALICE,
        revealed: through(5),
        cut: false,
    }
}

/// The same when Bob accepted W1 to W3, 15 units, under this grant before: the words alone.
fn later() -> Scene {
    let held = Held { index: granted(1, 17), through: 3, conflicting: 0, lost: None };
    let stone = touchstone(Suite::Sha256, Guarantee::Bearer);
    Scene { paid: 15, held: Some((stone, vec![held])), form: 3, ..first() }
}

impl Scene {
    fn claim(&mut self) -> &mut Held {
        &mut self.held.as_mut().expect("an e-coin that is held").1[0]
    }

    fn keys(&mut self) -> &mut KeyList {
        self.keys.as_mut().expect("a key list")
    }

    fn pay(&self) -> Vec<u8> {
        let index = Signed::new(self.index.clone(), &key(self.index_key));
        let revealed = self.revealed.clone();
        let payment = match self.form {
            1 => Payment::First { touchstone: Signed::new(self.stone.clone(), &key(self.stone_key)), index, revealed },
            2 => Payment::Grown { index, revealed },
            _ => Payment::Words { ecoin: self.index.ecoin, from: self.index.from, revealed },
        };
        let mut bytes = wire::encode(&Pay { order: self.towards, payment });
        bytes.truncate(bytes.len() - usize::from(self.cut));
        bytes
    }

    fn held(&self) -> Json {
        let Some((stone, claims)) = &self.held else { return Json::Null };
        let highest = claims.iter().map(|claim| claim.through).max().unwrap_or(0);
        let claims = claims.iter().map(|claim| {
            let grant = Grant::from(&Signed::new(claim.index.clone(), &key(ALICE)));
            object! {
                "from" => grant.from, "to" => grant.to, "order" => grant.order, "signature" => grant.signature,
                "through" => claim.through, "word" => word(claim.through), "conflicting" => claim.conflicting,
                "lost" => claim.lost,
            }
        });
        object! {
            "touchstone" => signed(&Signed::new(stone.clone(), &key(TOUCHSTONE_KEY))),
            "highest" => highest, "highest_word" => word(highest), "claims" => list(claims),
        }
    }

    fn told(&self, check: u8, name: &str, why: &str, paid: Option<u64>, problem: Option<Kind>) -> Json {
        let root = key(ROOT);
        let keys = self.keys.clone().map(|keys| SignedKeyList { root: root.public(), list: Signed::new(keys, &root) });
        let revoked = self.revoked.clone().map(|list| wire::encode(&Signed::new(list, &key(NOTICE_KEY))));
        object! {
            "name" => name,
            "why" => why,
            "check" => check,
            "me" => peer(BOB),
            "pinned" => broker(),
            "now_ms" => self.now_ms,
            "keys" => keys.map(|keys| hex(&wire::encode(&keys))),
            "revoked" => revoked.map(|bytes| hex(&bytes)),
            "policy" => object! {
                "suites" => list(self.suites.iter().copied()),
                "max_unit_value" => self.max_unit_value,
                "bound_only" => self.bound_only,
                "min_account_age_ms" => self.min_account_age_ms,
                "max_exposure_per_payer_units" => self.max_exposure_per_payer,
                "max_exposure_units" => self.max_exposure,
                "max_revocation_age_ms" => DAY_MS,
                "spend_margin_ms" => 60_000_u32,
            },
            "restored" => self.restored,
            "locked_through_ms" => self.locked_through_ms,
            "order" => object! {
                "quote" => signed(&Signed::new(self.quote.clone(), &key(BOB))),
                "asker" => peer(self.asker),
                "paid_units" => self.paid,
            },
            "held" => self.held(),
            "sender" => peer(self.sender),
            "pay" => hex(&self.pay()),
            "paid_units" => paid,
            "problem" => problem.map(Kind::name),
        }
    }
}

type Change = fn(&mut Scene);

fn taken(check: u8, name: &str, why: &str, mut scene: Scene, units: u64, change: Change) -> Json {
    change(&mut scene);
    scene.told(check, name, why, Some(units), None)
}

fn refused(check: u8, name: &str, why: &str, mut scene: Scene, kind: Kind, change: Change) -> Json {
    change(&mut scene);
    scene.told(check, name, why, None, Some(kind))
}

const REFUSED: Kind = Kind::PaymentRefused;

fn accepted() -> Vec<Json> {
    vec![
        taken(27, "first contact", "W1 to W5 at 5 units", first(), 25, |_| ()),
        taken(27, "words alone", "W4 and W5 on top of 15 units", later(), 25, |_| ()),
        taken(27, "grown grant", "the same from, a higher to", later(), 25, |s| {
            (s.form, s.index) = (2, granted(1, 33));
        }),
        taken(27, "words listed", "the paper's list", first(), 25, |s| s.revealed.words = (1..=5).map(word).collect()),
        taken(27, "words under two grants", "W3 counts once", later(), 25, |s| {
            (s.form, s.index) = (2, granted(3, 17));
        }),
        taken(27, "a lower word under another grant", "the highest known leads to it; nothing new", later(), 15, |s| {
            (s.form, s.index, s.revealed) = (2, granted(2, 17), through(2));
        }),
    ]
}

fn order_and_touchstone() -> Vec<Json> {
    vec![
        refused(1, "cut", "the last byte is missing", first(), Kind::Malformed, |s| s.cut = true),
        refused(2, "unknown order", "never quoted", first(), Kind::NotFound, |s| s.towards = Digest([7; 32])),
        refused(2, "another's order", "quoted to Carol", first(), Kind::NotFound, |s| s.asker = CAROL),
        taken(3, "repeated", "whatever else has changed", later(), 15, |s| {
            s.revealed = through(3);
            (s.keys, s.revoked, s.restored, s.now_ms) = (None, None, true, NOW + 100 * DAY_MS);
        }),
        taken(3, "repeated, a lower word", "revealed with the higher one", later(), 15, |s| s.revealed = through(1)),
        refused(4, "restored", "from a copy, and not locked", first(), Kind::Unavailable, |s| s.restored = true),
        refused(5, "grown, unknown e-coin", "send touchstone and index", first(), REFUSED, |s| s.form = 2),
        refused(5, "words, unknown e-coin", "send touchstone and index", first(), REFUSED, |s| s.form = 3),
        refused(5, "words, unknown grant", "none begins at 2", later(), REFUSED, |s| s.index.from = PaywordIndex(2)),
        refused(6, "another broker's", "named in the touchstone", first(), REFUSED, |s| {
            s.stone.broker = BrokerId([9; 16]);
        }),
        refused(7, "no key list", "it may come yet", first(), Kind::Unavailable, |s| s.keys = None),
        refused(8, "unknown kid", "a statement key's", first(), REFUSED, |s| s.stone.kid = kid(STATEMENT_KEY)),
        refused(8, "revoked key", "also for e-coins that are held", later(), REFUSED, |s| {
            s.keys().keys[0].revoked_at_ms = NOW;
        }),
        refused(9, "another touchstone", "known with 50 words", later(), REFUSED, |s| {
            (s.form, s.stone.n) = (1, PaywordIndex(49));
        }),
        taken(9, "key list on its last ms", "still good", first(), 25, |s| s.keys().next_at_ms = NOW),
        refused(9, "key list out of date", "no first contact", first(), Kind::Unavailable, |s| {
            s.keys().next_at_ms = NOW - 1;
        }),
        taken(9, "key list out of date, e-coin held", "what is under way goes on", later(), 25, |s| {
            s.keys().next_at_ms = NOW - 1;
        }),
        refused(9, "not the broker's signature", "Bob's own", first(), REFUSED, |s| s.stone_key = BOB),
        refused(10, "suite", "md5 alone is taken", first(), REFUSED, |s| s.suites = vec![1]),
        taken(10, "unit value at the most", "5 units", first(), 25, |s| s.max_unit_value = 5),
        refused(10, "unit value above the most", "4 units", first(), REFUSED, |s| s.max_unit_value = 4),
        refused(10, "bearer", "only bound ones are taken", first(), REFUSED, |s| s.bound_only = true),
        taken(10, "account just old enough", "a day", first(), 25, |s| s.min_account_age_ms = DAY_MS),
        refused(10, "account a ms too young", "a day", first(), REFUSED, |s| s.min_account_age_ms = DAY_MS + 1),
        taken(11, "bound to the payee", "as it should be", first(), 25, |s| {
            (s.stone.guarantee, s.bound_only) = (Guarantee::Bound(peer(BOB)), true);
        }),
        refused(11, "bound to another", "to Carol", first(), REFUSED, |s| {
            s.stone.guarantee = Guarantee::Bound(peer(CAROL));
        }),
        refused(12, "from before the locking", "issued in the same ms", first(), REFUSED, |s| {
            s.locked_through_ms = Some(NOW);
        }),
        taken(12, "from after the locking", "a ms younger", first(), 25, |s| s.locked_through_ms = Some(NOW - 1)),
    ]
}

fn grant_and_payer() -> Vec<Json> {
    vec![
        refused(13, "another's e-coin", "Carol sends Alice's", first(), REFUSED, |s| {
            (s.sender, s.asker) = (CAROL, CAROL);
        }),
        refused(14, "one's own e-coin", "Bob pays himself", first(), REFUSED, |s| {
            (s.sender, s.asker, s.index_key) = (BOB, BOB, BOB);
            s.stone.payer = peer(BOB);
            s.stone.payer_key = key(BOB).public();
        }),
        refused(15, "granted to another", "to Carol", first(), REFUSED, |s| s.index.payee = peer(CAROL)),
        refused(16, "not the payer's grant", "Bob signed it", first(), REFUSED, |s| s.index_key = BOB),
        refused(16, "a grown grant, not the payer's", "only the held one is taken unseen", later(), REFUSED, |s| {
            (s.form, s.index, s.index_key) = (2, granted(1, 33), BOB);
        }),
        taken(17, "the last word granted", "to is 6", first(), 25, |s| s.index = granted(1, 6)),
        refused(17, "one past the grant", "to is 5", first(), REFUSED, |s| s.index = granted(1, 5)),
        refused(17, "one past the chain", "to is 52 of 50 words", first(), REFUSED, |s| s.index = granted(1, 52)),
        refused(17, "from the root", "from is 0", first(), REFUSED, |s| s.index = granted(0, 17)),
        refused(18, "lost before", "a statement said unauthorised", later(), REFUSED, |s| s.claim().lost = Some(3)),
        refused(19, "no revocation list", "it may come yet", first(), Kind::Unavailable, |s| s.revoked = None),
        taken(19, "revocation list a day old", "at the limit", later(), 25, |s| s.now_ms = NOW + DAY_MS),
        refused(19, "revocation list too old", "a day and a ms", later(), Kind::Unavailable, |s| {
            s.now_ms = NOW + DAY_MS + 1;
        }),
        refused(20, "suspended", "on the list", first(), Kind::Suspended, |s| {
            s.revoked.as_mut().expect("a list").peers = vec![(peer(ALICE), NOW)];
        }),
        refused(20, "spent twice before", "with this payee", later(), Kind::Suspended, |s| s.claim().conflicting = 1),
        taken(21, "a ms more than the margin", "60 s are left, and one", first(), 25, |s| {
            s.stone.spend_until_ms = NOW + 60_001;
        }),
        refused(21, "within the margin", "60 s are left", first(), REFUSED, |s| s.stone.spend_until_ms = NOW + 60_000),
        taken(22, "exposure at the most", "15 held and 10 new", later(), 25, |s| s.max_exposure_per_payer = 25),
        refused(22, "exposure of the payer", "24 units", later(), Kind::Busy, |s| s.max_exposure_per_payer = 24),
        refused(22, "exposure in all", "24 units", later(), Kind::Busy, |s| s.max_exposure = 24),
        taken(23, "the quote's last ms", "now is below expires", first(), 25, |s| s.now_ms = s.quote.expires_ms - 1),
        refused(23, "the quote has expired", "nothing was paid yet", first(), Kind::RequestExpired, |s| {
            s.now_ms = s.quote.expires_ms;
        }),
        taken(23, "expired while it is paid", "a first payment came in time", later(), 25, |s| {
            s.now_ms = s.quote.expires_ms;
        }),
        refused(24, "another order in the grant", "it keeps its order", later(), REFUSED, |s| {
            (s.form, s.index) = (2, index(1, 33, peer(BOB)));
        }),
        refused(24, "a grant that shrinks", "from 17 to 16", later(), REFUSED, |s| {
            (s.form, s.index) = (2, granted(1, 16));
        }),
        refused(25, "no words", "an empty list", first(), REFUSED, |s| s.revealed.words = vec![]),
        refused(25, "six words of five", "the root is none of them", first(), REFUSED, |s| {
            s.revealed.words = (0..=5).map(word).collect();
        }),
        refused(26, "a word of another position", "W6 for W5", first(), REFUSED, |s| s.revealed.words = vec![word(6)]),
        refused(26, "no word of the chain", "zeros", later(), REFUSED, |s| {
            s.revealed.words = vec![Payword::unchecked([0; 32])];
        }),
        refused(27, "words that do not follow", "W3 twice", first(), REFUSED, |s| {
            s.revealed.words = vec![word(3), word(3), word(5)];
        }),
        refused(27, "worthless words below the last", "W1 for W4", first(), REFUSED, |s| {
            s.revealed.words = vec![word(1), word(5)];
        }),
    ]
}

pub fn vectors() -> Vec<Json> {
    [accepted(), order_and_touchstone(), grant_and_payer()].concat()
}
