//! Grants and touchstones that are not what they say, and batches of somebody else's.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, WordCount};
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::{Signature, SigningKey};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, Line, RedemptionBatch, Verdict};
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use netpay_tests::forger::Forger;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, problem};

use crate::scene::{Scene, lines};

#[tokio::test]
async fn a_grant_altered_in_any_field_under_its_old_signature_is_unauthorised() {
    let scene = Scene::shared().await;
    let (alice, bob, carol) = (scene.honest(40).await, scene.honest(0).await, scene.cheat(0).await);
    let (coin, second) = (scene.coin(&alice, 20, Suite::Sha256).await, scene.coin(&alice, 20, Suite::Sha256).await);
    let signed = scene.grant(&alice, &coin, (3, 8), bob.id());
    let another = scene.grant(&alice, &coin, (3, 9), bob.id()).signature;
    let word = |coin: &Coin| coin.chain.word(PaywordIndex(5)).expect("on the chain");
    let altered = |change: &dyn Fn(&mut SignedIndex)| {
        let mut index = signed.clone();
        change(&mut index.content);
        Claim { index, through: PaywordIndex(5), word: word(&coin) }
    };
    let mut claims = vec![
        altered(&|index| index.from = PaywordIndex(1)),
        altered(&|index| index.from = PaywordIndex(2)),
        altered(&|index| index.from = PaywordIndex(4)),
        altered(&|index| index.to = PaywordIndex(7)),
        altered(&|index| index.to = PaywordIndex(10)),
        altered(&|index| index.to = PaywordIndex(21)),
        altered(&|index| index.order = Digest([1; 32])),
    ];
    claims.push(Claim { word: word(&second), ..altered(&|index| index.ecoin = second.touchstone.content.ecoin) });
    // The batch says the broker once for all grants: one that was signed for another broker is none.
    let abroad = SignedIndex { broker: BrokerId([9; 16]), ..signed.content.clone() };
    claims.push(Claim {
        index: Signed { content: signed.content.clone(), signature: alice.sign(abroad).signature },
        ..altered(&|_| ())
    });
    for at in 0..64 {
        let mut claim = altered(&|_| ());
        claim.index.signature.0[at] ^= 1;
        claims.push(claim);
    }
    for signature in [another, Signature([0; 64]), bob.sign(signed.content.clone()).signature] {
        let mut claim = altered(&|_| ());
        claim.index.signature = signature;
        claims.push(claim);
    }
    let found = lines(&bob, claims).await;
    assert!(found.iter().all(|line| *line == Line::refused(Verdict::Unauthorised)), "{found:?}");
    // In another's name, and as it is.
    for claim in [altered(&|index| index.payee = carol.id()), altered(&|_| ())] {
        assert_eq!(lines(&carol, vec![claim]).await, [Line::refused(Verdict::Unauthorised)]);
    }
    assert_eq!((scene.paid(&coin).await, scene.paid(&second).await), (0, 0));
    assert_eq!(lines(&bob, vec![altered(&|_| ())]).await[0].credited, WordCount(3));
    scene.ends_well().await;
}

#[tokio::test]
async fn words_bound_to_one_payee_and_words_granted_to_their_own_payer_are_unauthorised() {
    let scene = Scene::shared().await;
    let (bob, carol) = (scene.honest(0).await, scene.cheat(0).await);
    let alice = scene.honest(70).await;
    let bound = scene.buy(&alice, 10, (Suite::Sha256, 2, Guarantee::Bound(bob.id()))).await;
    let claim = |coin: &Coin, payee: &RawPeer| RawPeer::claim(coin, &alice.grant(coin, (1, 11), payee.id()), 10);
    assert_eq!(lines(&carol, vec![claim(&bound, &carol)]).await, [Line::refused(Verdict::Unauthorised)]);
    let own = scene.coin(&alice, 10, Suite::Sha256).await;
    let bound_to_itself = scene.buy(&alice, 10, (Suite::Md5, 1, Guarantee::Bound(alice.id()))).await;
    let claims = [&bound, &own, &bound_to_itself].map(|coin| claim(coin, &alice));
    assert_eq!(lines(&alice, claims.to_vec()).await, [Line::refused(Verdict::Unauthorised); 3]);
    assert_eq!(scene.balance(&alice).await, 30, "nothing of what it spent came back");
    assert_eq!(lines(&bob, vec![scene.claim(&alice, &bound, (1, 11), bob.id())]).await[0].credited, WordCount(10));
    assert_eq!(scene.balance(&bob).await, 20);
    scene.ends_well().await;
}

#[tokio::test]
async fn a_batch_is_its_payee_s_own_under_its_own_name_or_it_is_nobody_s() {
    let scene = Scene::shared().await;
    let (alice, bob, mallory) = (scene.honest(10).await, scene.honest(0).await, scene.cheat(0).await);
    let coin = scene.coin(&alice, 10, Suite::Sha256).await;
    let claim = scene.claim(&alice, &coin, (1, 11), bob.id());
    let genuine = bob.batch(vec![claim.clone()]);
    let resigned = |register| Redeem {
        batch: Signed::new(genuine.batch.content.clone(), &mallory.key),
        touchstones: vec![],
        register,
    };
    for register in [None, Some(mallory.register()), Some(bob.register())] {
        let refused = problem(bob.ask(BrokerOp::Redeem, wire::encode(&resigned(register.clone()))).await);
        assert!(matches!(refused.kind, Kind::BadSignature | Kind::NotFound), "{refused:?}");
        let misdirected = mallory.ask(BrokerOp::Redeem, wire::encode(&resigned(register))).await;
        assert_eq!(problem(misdirected).kind, Kind::NotForMe);
    }
    // The genuine one, overheard: not under another's subject, nor under none.
    assert_eq!(problem(mallory.ask(BrokerOp::Redeem, wire::encode(&genuine)).await).kind, Kind::NotForMe);
    let nobody = subjects::request(bob.id(), BrokerOp::Redeem).replace(&bob.id().to_string(), "nobody");
    assert_eq!(problem(bob.call(nobody, wire::encode(&genuine)).await).kind, Kind::NotForMe);
    let abroad = RedemptionBatch { broker: BrokerId([9; 16]), ..genuine.batch.content.clone() };
    let abroad = Redeem { batch: bob.sign(abroad), ..genuine.clone() };
    assert_eq!(problem(bob.redeem(&abroad).await).kind, Kind::NotForMe);
    // Its claims in mallory's own batch.
    assert_eq!(lines(&mallory, vec![claim]).await, [Line::refused(Verdict::Unauthorised)]);
    assert_eq!(scene.paid(&coin).await, 0);
    assert_eq!(bob.redeem(&genuine).await.expect("a statement").balance_units.0, 10);
    // Whoever sends it again under bob's name gets bob's statement, and bob nothing twice.
    assert_eq!(bob.redeem(&genuine).await.expect("a statement").balance_units.0, 10);
    scene.ends_well().await;
}

/// An e-coin that this broker could have sold, but did not: its own key, and a chain of its own master key. As if it had
/// been sold before a backup that does not know it.
fn never_sold(forger: &Forger, like: &Coin, change: impl FnOnce(&mut Touchstone)) -> Coin {
    let mut t = Touchstone { ecoin: EcoinId(fresh_request().0), ..like.touchstone.content.clone() };
    change(&mut t);
    let master = ChainMaster::new(*forger.key("chain-master-1").seed());
    let chain = PaywordChain::below(t.suite, &t.ecoin, t.n, master.last_word(t.suite, &t.ecoin, t.n));
    t.root = chain.root();
    Coin { touchstone: Signed::new(t, &forger.key("touchstone")), chain }
}

#[tokio::test]
async fn a_touchstone_of_an_unknown_e_coin_restores_nothing_at_a_broker_that_lost_nothing() {
    let scene = Scene::alone().await;
    let (alice, bob) = (scene.honest(100).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 10, Suite::Sha256).await;
    let forger = Forger::of(&scene.town.world);
    let mut by_another = forger.coin(&coin, |_| ());
    by_another.touchstone = Signed::new(by_another.touchstone.content, &SigningKey::from_seed(&[7; 32]));
    let mut unsigned = never_sold(&forger, &coin, |_| ());
    unsigned.touchstone.signature = Signature([0; 64]);
    let unknown = [
        by_another,
        unsigned,
        forger.coin(&coin, |_| ()),
        forger.coin(&coin, |t| t.incarnation = 0),
        never_sold(&forger, &coin, |_| ()),
        never_sold(&forger, &coin, |t| t.incarnation = 0),
        never_sold(&forger, &coin, |t| t.incarnation = u64::MAX),
        never_sold(&forger, &coin, |t| t.issued_at_ms += 60_000),
        never_sold(&forger, &coin, |t| t.suite = Suite::Md5),
    ];
    let position = scene.position().await;
    let claims: Vec<_> =
        unknown.iter().map(|coin| RawPeer::claim(coin, &alice.grant(coin, (1, 6), bob.id()), 5)).collect();
    let mut batch = bob.batch(claims.clone());
    batch.touchstones = unknown.iter().map(|coin| coin.touchstone.clone()).collect();
    // However often, in whatever order.
    for _ in 0..2 {
        let found = bob.redeem(&batch).await.expect("a statement").lines;
        assert_eq!(found, vec![Line::refused(Verdict::UnknownEcoin); unknown.len()]);
        batch.touchstones.reverse();
    }
    for coin in &unknown {
        assert_eq!(scene.ecoin(coin.touchstone.content.ecoin).await, None);
    }
    assert_eq!((scene.position().await, scene.balance(&alice).await), (position, 90));
    // Beside a claim that is good; and a dearer touchstone of an e-coin that is known changes nothing of its worth.
    let mut dearer = coin.clone();
    dearer.touchstone.content.unit_value = UnitValue(1_000);
    dearer.touchstone = Signed::new(dearer.touchstone.content, &forger.key("touchstone"));
    let mut batch = bob.batch([vec![scene.claim(&alice, &coin, (1, 6), bob.id())], claims].concat());
    batch.touchstones = [&[dearer], &unknown[..]].concat().iter().map(|coin| coin.touchstone.clone()).collect();
    let statement = bob.redeem(&batch).await.expect("a statement");
    assert_eq!((statement.lines[0].credited, statement.balance_units.0), (WordCount(5), 5));
    assert!(statement.lines[1..].iter().all(|line| *line == Line::refused(Verdict::UnknownEcoin)));
    assert_eq!(scene.position().await, position + 1, "the one claim that was good");
    scene.ends_well().await;
}
