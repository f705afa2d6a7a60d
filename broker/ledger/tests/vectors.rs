//! The verdicts that the protocol's vectors promise strangers are those that this ledger gives.

#[path = "../../../protocol/tests/vector_files/mod.rs"]
mod vector_files;

use netpay_ledger::command::{OpenAccount, Request};
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::memory::{Memory, Outcome};
use netpay_ledger::record::Record;
use netpay_ledger::{Action, Command, Facts, verify};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{Digest, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::{Signature, SigningKey};
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::redemption::{Claim, Line};
use netpay_protocol::register::Register;
use netpay_protocol::suite::Payword;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use vector_files::{Vector, vectors};

/// The vectors' present (spec/README.md: all keys and times are told).
const NOW: u64 = 1_767_225_600_000;
const MASTER: [u8; 32] = [0x42; 32];

fn facts() -> Facts {
    Facts { now_ms: NOW, incarnation: 1, drained_to_ms: NOW, clock_trusted: true }
}

/// The vectors' people sign with seeds of one byte, 32 times.
fn key_of(peer: PeerId) -> SigningKey {
    let keys = (0..=255).map(|byte| SigningKey::from_seed(&[byte; 32]));
    keys.into_iter().find(|key| PeerId::of(&key.public()) == peer).expect("one of the vectors' people")
}

fn signed<L: Layout>(told: &Vector) -> Signed<L> {
    let content = L::from_bytes(&told.bytes("layout")).expect("a layout");
    Signed { content, signature: Signature(told.fixed("signature")) }
}

struct Scene {
    ledger: Memory,
    touchstone: Signed<Touchstone>,
    next: u8,
}

impl Scene {
    /// A ledger on which the touchstone's e-coin was sold.
    fn sold(touchstone: Signed<Touchstone>) -> Self {
        let mut scene = Self { ledger: Memory::default(), touchstone, next: 0 };
        let t = scene.touchstone.content.clone();
        let order = Order::Credit { peer: t.payer, amount: t.worth(), reference: "a deposit".into() };
        let operator = SigningKey::from_seed(&[5; 32]);
        let admin = Admin {
            broker: t.broker,
            kid: Kid::of(&operator.public()),
            request: RequestId([1; 16]),
            valid_until_ms: NOW,
            order: wire::encode(&order),
        };
        let admin = Box::new(Signed::new(admin, &operator));
        let digest = admin.content.digest();
        let credit =
            Action::CreditFunds { order: admin, peer: t.payer, amount: t.worth(), reference: "a deposit".into() };
        scene.execute(PeerId([5; 16]), digest, credit);
        let buy = BuyEcoins {
            broker: t.broker,
            payer: t.payer,
            request: RequestId([2; 16]),
            valid_until_ms: NOW,
            count: 1,
            n: t.n,
            suite: t.suite,
            unit_value: t.unit_value,
            most_debited_units: Units(u64::MAX),
            guarantee: t.guarantee,
        };
        let digest = buy.digest();
        let purchase = Action::BuyEcoins {
            opening: Some(scene.opening(t.payer)),
            order: Box::new(Signed::new(buy, &key_of(t.payer))),
            signed_by: t.payer_key,
            touchstones: vec![scene.touchstone.clone()],
            epoch: 1,
        };
        scene.execute(t.payer, digest, purchase);
        scene
    }

    fn execute(&mut self, signer: PeerId, digest: Digest, action: Action) -> Outcome {
        self.next += 1;
        let request = Request { signer, id: RequestId([self.next; 16]), digest };
        self.ledger.execute(&facts(), Command { request: Some(request), action }).expect("not rejected")
    }

    fn opening(&self, peer: PeerId) -> OpenAccount {
        let (key, t) = (key_of(peer), &self.touchstone.content);
        let register = Register {
            broker: t.broker,
            signing_key: key.public(),
            sealing_key: include_bytes!("world/rsa-2048.spki.der").to_vec(),
            nkey: SigningKey::from_seed(&[200; 32]).public(),
        };
        OpenAccount::check(Signed::new(register, &key), t.broker, t.payer_opened_at_ms).expect("a good registration")
    }

    fn redeem(&mut self, payee: PeerId, claim: Claim, known: bool) -> Line {
        let checked = verify::check(claim, payee, Some(&self.touchstone.content).filter(|_| known));
        let opening = Some(self.opening(payee));
        let action = Action::RedeemBatch { claims: vec![checked], opening, payee, signed_by: key_of(payee).public() };
        let digest = Digest([self.next; 32]);
        let lines = match self.execute(payee, digest, action) {
            Outcome::Unchanged(lines) => lines,
            Outcome::Recorded(events) => events.iter().find_map(lines_of).expect("a batch"),
            Outcome::Repeated(position) => panic!("repeated at {position}"),
        };
        lines[0]
    }

    /// Pays a run, as its payer granted it.
    fn pay(&mut self, from: u32, through: u32, payee: PeerId) {
        let t = self.touchstone.content.clone();
        let last = ChainMaster::new(MASTER).last_word(t.suite, &t.ecoin, t.n);
        let chain = PaywordChain::below(t.suite, &t.ecoin, t.n, last);
        let (from, through) = (PaywordIndex(from), PaywordIndex(through));
        let (broker, ecoin, order) = (t.broker, t.ecoin, Digest::ZERO);
        let index = SignedIndex { broker, ecoin, from, to: through.next(), payee, order };
        let index = Signed::new(index, &key_of(t.payer));
        let claim = Claim { index, through, word: chain.word(through).expect("on the chain") };
        assert_eq!(self.redeem(payee, claim, true).credited.0, through.0 - from.0 + 1);
    }

    fn refund(&mut self) {
        let t = &self.touchstone.content;
        let words = netpay_protocol::amounts::WordCount(t.n.0);
        let event = Event::EcoinExpired { ecoin: t.ecoin, payer: t.payer, words, refund: t.worth() };
        let head = self.ledger.scan().totals.head;
        self.ledger.replay(&Record::following(head, &facts(), None, vec![event]));
    }
}

fn lines_of(event: &Event) -> Option<Vec<Line>> {
    match event {
        Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(RedeemedClaim::line).collect()),
        _ => None,
    }
}

#[test]
fn every_verdict_of_the_vectors_is_the_one_that_this_ledger_gives() {
    // An unknown e-coin's vector has no touchstone: the ledger then has sold another.
    let any = vectors("verdicts").into_iter().find(|v| v.name() == "credited").expect("there").object("touchstone");
    for v in vectors("verdicts") {
        let known = !v.is_null("touchstone");
        let touchstone = if known { v.object("touchstone") } else { any.clone() };
        let mut scene = Scene::sold(signed(&touchstone));
        if !known {
            scene = Scene { ledger: Memory::default(), ..scene };
        }
        for paid in v.list("paid") {
            scene.pay(paid.small("from"), paid.small("through"), PeerId(paid.fixed("payee")));
        }
        if v.flag("refunded") {
            scene.refund();
        }
        let told = v.object("claim");
        let claim = Claim {
            index: signed(&told.object("index")),
            through: PaywordIndex(told.small("through")),
            word: Payword::unchecked(told.fixed("word")),
        };
        let line = scene.redeem(PeerId(v.fixed("payee")), claim, known);
        let expected = v.object("line");
        let counts = ["credited", "already_paid", "conflicting"].map(|field| expected.small(field));
        assert_eq!([line.credited.0, line.already_paid.0, line.conflicting.0], counts, "{}", v.name());
        assert_eq!(u32::from(line.verdict.number()), expected.small("verdict"), "{}", v.name());
        assert_eq!(line.verdict.name(), expected.text("name"), "{}", v.name());
    }
}
