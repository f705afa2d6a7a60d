//! Keys and signatures on which Ed25519 libraries disagree. Here there is one rule, ZIP-215, for whoever verifies: a payee
//! that takes a grant is paid for it, and evidence that the broker holds proves what it says to anybody.

use std::sync::Arc;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::Identity as _;
use netpay_protocol::amounts::{PaywordIndex, WordCount};
use netpay_protocol::ids::PeerId;
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::{PublicKey, Signature, SigningKey};
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::messages::Redeem;
use netpay_protocol::payment::{Pay, Payment};
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, RedemptionBatch, Verdict};
use netpay_protocol::register::Register;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, problem};
use netpay_tests::shop::Shop;
use sha2::{Digest as _, Sha512};

use crate::scene::{Scene, lines};

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The points of small order in every encoding that decodes: canonical, with y + p, and with the sign of x = 0.
fn small_order() -> Vec<[u8; 32]> {
    let mut found: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().0).collect();
    for (low, high) in [(1, 0), (0xec, 0xff), (0xed, 0xff), (0xee, 0xff)] {
        let mut bytes = [high; 32];
        (bytes[0], bytes[31]) = (low, high & 0x7f);
        for sign in [0, 0x80] {
            bytes[31] = (bytes[31] & 0x7f) | sign;
            let small = CompressedEdwardsY(bytes).decompress().is_some_and(|point| point.is_small_order());
            if small && !found.contains(&bytes) {
                found.push(bytes);
            }
        }
    }
    assert_eq!(found.len(), 14);
    found
}

/// A key as its equation has it: a secret number, and whatever 32 bytes stand for the point.
struct Raw {
    secret: Scalar,
    public: PublicKey,
}

impl Raw {
    /// An honest key's.
    fn of(key: &SigningKey) -> Self {
        let hash = Sha512::digest(*key.seed());
        let low = hash.first_chunk::<32>().copied().expect("64 bytes");
        Self { secret: Scalar::from_bytes_mod_order(clamp_integer(low)), public: key.public() }
    }

    /// Signs with these bytes for R, of which the part of prime order is r·B.
    fn sign(&self, message: &[u8], (nonce, point): (Scalar, [u8; 32])) -> Signature {
        let hash = Sha512::new().chain_update(point).chain_update(self.public.0).chain_update(message).finalize();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * self.secret;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&point);
        signature[32..].copy_from_slice(s.as_bytes());
        Signature(signature)
    }
}

/// s + ℓ: the same number for those who do not look.
fn plus_order(signature: &Signature) -> Signature {
    let (mut out, mut carry) = (*signature, 0_u16);
    for (byte, add) in out.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).expect("a byte");
        carry = sum >> 8;
    }
    out
}

/// Ways to sign a message that are not RFC 8032's, and whether ZIP-215 takes the signature.
fn ways(key: &SigningKey, message: &[u8]) -> Vec<(String, Signature, bool)> {
    let raw = Raw::of(key);
    let nonce = Scalar::from(7_654_321_u64);
    let point = |torsion: EdwardsPoint| (EdwardsPoint::mul_base(&nonce) + torsion).compress().0;
    let plain = raw.sign(message, (nonce, point(EdwardsPoint::identity())));
    let mut ways = vec![("by the equation".to_owned(), plain, true)];
    for (i, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        ways.push((format!("R with torsion {i}"), raw.sign(message, (nonce, point(*torsion))), true));
    }
    for (i, bytes) in small_order().into_iter().enumerate() {
        ways.push((format!("R of small order {i}"), raw.sign(message, (Scalar::ZERO, bytes)), true));
    }
    ways.push(("s + the order".to_owned(), plus_order(&plain), false));
    let mut off = plain;
    off.0[..32].fill(0);
    off.0[0] = 2;
    assert!(CompressedEdwardsY([&[2][..], &[0; 31]].concat().try_into().expect("32 bytes")).decompress().is_none());
    ways.push(("R off the curve".to_owned(), off, false));
    ways.push((
        "another R".to_owned(),
        Signature(
            [point(EIGHT_TORSION[1] + EdwardsPoint::mul_base(&nonce)), [0; 32]].concat().try_into().expect("64 bytes"),
        ),
        false,
    ));
    ways
}

fn with<L: Layout>(content: L, signature: Signature) -> Signed<L> {
    Signed { content, signature }
}

/// A grant of words `1..to`, in every way.
fn grants(payer: &RawPeer, coin: &Coin, to: u32, payee: PeerId) -> Vec<(String, Signed<SignedIndex>, bool)> {
    let index = payer.grant(coin, (1, to), payee).content;
    let ways = ways(&payer.key, &index.to_bytes());
    ways.into_iter().map(|(way, signature, good)| (way, with(index.clone(), signature), good)).collect()
}

#[tokio::test]
async fn a_grant_is_the_payer_s_word_for_the_broker_as_it_is_for_the_payee_and_for_a_judge() {
    let scene = Scene::shared().await;
    let (mallory, bob) = (scene.cheat(200).await, scene.honest(0).await);
    let shop = Shop::open(Arc::clone(&scene.town), "");
    scene.knows(shop.id, false);
    let coin = scene.coin(&mallory, 40, Suite::Sha256).await;
    let quoted = mallory.quote(shop.id, shop.content).await.expect("a quote");
    let order = quoted.quote.content.digest();
    let count = grants(&mallory, &coin, 2, bob.id()).len();
    // One way after the other, each a word further: to the payee, who takes it or not, and to the broker.
    let (mut accepted, mut last) = (0, None);
    for way in 0..count {
        let (name, index, good) = grants(&mallory, &coin, accepted + 2, shop.id).swap_remove(way);
        assert_eq!(index.verify_under(&coin.touchstone.content).is_ok(), good, "{name}: the rule");
        let revealed = coin.reveal(accepted + 1);
        let payment = Payment::First { touchstone: coin.touchstone.clone(), index: index.clone(), revealed };
        let paid = mallory.send(shop.id, &Pay { order, payment }).await;
        assert_eq!(paid.is_ok(), good, "{name}: the payee");
        if good {
            accepted += 1;
            last = Some(index);
        } else {
            assert_eq!(problem(paid).kind, Kind::PaymentRefused, "{name}");
        }
    }
    assert_eq!(accepted, 22);
    scene.means(&coin, (1, accepted + 1), shop.id);
    let redeemed = scene.town.peer(&shop.name, &["redeem"]);
    assert_eq!(redeemed["credited_units"], u64::from(accepted), "{redeemed}: under {last:?}");
    // The broker's verdict on each by itself: on an e-coin of bob's, paid under the first of them that is not RFC 8032's.
    let second = scene.coin(&mallory, 40, Suite::Sha256).await;
    scene.means(&second, (1, 11), bob.id());
    let ten = |index| Claim {
        index,
        through: PaywordIndex(10),
        word: second.chain.word(PaywordIndex(10)).expect("on the chain"),
    };
    let odd = grants(&mallory, &second, 11, bob.id()).split_off(1);
    let found = lines(&bob, odd.iter().map(|(_, index, _)| ten(index.clone())).collect()).await;
    assert_eq!(found[0].verdict, Verdict::Credited);
    for ((name, _, good), line) in odd.iter().zip(&found).skip(1) {
        let verdict = if *good { Verdict::AlreadyPaid } else { Verdict::Unauthorised };
        assert_eq!(line.verdict, verdict, "{name}: the broker");
    }
    // The same words to puppets: what the broker then holds convicts, before anybody who knows the broker's id.
    for way in [0, 1, 8, 21] {
        let puppet = scene.cheat(0).await;
        let (name, index, _) = grants(&mallory, &second, 11, puppet.id()).swap_remove(way);
        let found = lines(&puppet, vec![ten(index)]).await;
        assert_eq!((found[0].verdict, found[0].conflicting), (Verdict::Conflicting, WordCount(10)), "{name}");
        let (ecoin, payee) = (second.touchstone.content.ecoin.to_string(), puppet.id().to_string());
        let file = format!("{payee}.evidence");
        scene.town.world.broker(&["doublespend", "export", &ecoin, &payee, "--out", &file]);
        let verify = ["--json", "doublespend", "verify", &file, "--broker", &scene.town.id];
        let judged = scene.town.world.run("netpay-broker", &verify);
        assert_eq!(judged.code, 0, "{name}: evidence that proves nothing: {judged:?}");
    }
    assert_eq!(scene.double_spends(mallory.id()).await.len(), 4);
    scene.ends_well().await;
}

#[tokio::test]
async fn a_batch_is_its_payee_s_word_by_the_same_rule() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(40).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 40, Suite::Sha256).await;
    let (mut credited, mut taken) = (0, 0);
    for way in 0..ways(&bob.key, b"").len() {
        let plain = bob.batch(vec![scene.claim(&alice, &coin, (1, credited + 2), bob.id())]);
        let content = RedemptionBatch { request: fresh_request(), ..plain.batch.content };
        let (name, signature, good) = ways(&bob.key, &content.to_bytes()).swap_remove(way);
        let redeemed = bob.redeem(&Redeem { batch: with(content, signature), ..plain }).await;
        if good {
            assert_eq!(redeemed.expect("a statement").lines[0].credited, WordCount(1), "{name}");
            (credited, taken) = (credited + 1, taken + 1);
        } else {
            assert_eq!(problem(redeemed).kind, Kind::BadSignature, "{name}");
        }
    }
    assert_eq!((taken, scene.balance(&bob).await), (22, 22));
    scene.ends_well().await;
}

/// Keys that fit more than one secret, or none, with a secret under which what they sign verifies all the same.
fn unsound_keys() -> Vec<Raw> {
    let secret = Scalar::from(1_234_567_u64);
    let mixed = |torsion: &EdwardsPoint| PublicKey((EdwardsPoint::mul_base(&secret) + torsion).compress().0);
    let mixed = EIGHT_TORSION.iter().skip(1).map(|torsion| Raw { secret, public: mixed(torsion) });
    let small = small_order().into_iter().map(|bytes| Raw { secret: Scalar::ZERO, public: PublicKey(bytes) });
    mixed.chain(small).collect()
}

#[tokio::test]
async fn a_key_that_is_not_of_prime_order_opens_no_account_and_is_paid_nothing() {
    let scene = Scene::shared().await;
    let alice = scene.honest(10).await;
    let coin = scene.coin(&alice, 10, Suite::Sha256).await;
    let sound = alice.register().content;
    let nonce = Scalar::from(99_u64);
    let nonce = (nonce, EdwardsPoint::mul_base(&nonce).compress().0);
    let keys = unsound_keys();
    assert_eq!(keys.len(), 21);
    for key in keys {
        let register = Register { signing_key: key.public, ..sound.clone() };
        let register = with(register.clone(), key.sign(&register.to_bytes(), nonce));
        assert!(register.verify(&key.public).is_ok(), "nothing but the key speaks against it");
        let joined = alice.call(subjects::REGISTER.into(), wire::encode(&register)).await;
        assert_eq!(problem(joined).kind, Kind::BadSignature);
        let payee = PeerId::of(&key.public);
        scene.knows(payee, false);
        let claim = RawPeer::claim(&coin, &alice.grant(&coin, (1, 11), payee), 10);
        let batch = RedemptionBatch { payee, ..alice.batch(vec![claim]).batch.content };
        let batch = with(batch.clone(), key.sign(&batch.to_bytes(), nonce));
        let message = wire::encode(&Redeem { batch, touchstones: vec![], register: Some(register) });
        let redeemed = alice.call(subjects::request(payee, BrokerOp::Redeem), message).await;
        assert_eq!(problem(redeemed).kind, Kind::BadSignature);
        assert_eq!(scene.account(payee).await, None);
    }
    assert_eq!(scene.paid(&coin).await, 0);
    scene.ends_well().await;
}
