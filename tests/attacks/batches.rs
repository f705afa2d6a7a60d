//! The same words asked for more than once: in one batch, in many, at once; and one bad claim among many good ones.

use futures::future::join_all;
use netpay_protocol::amounts::{PaywordIndex, WordCount};
use netpay_protocol::messages::Redeem;
use netpay_protocol::redemption::{Claim, Line, Verdict};
use netpay_protocol::suite::Suite;
use netpay_tests::raw_peer::{Coin, RawPeer, problem};

use crate::scene::{Scene, lines};

#[tokio::test]
async fn the_same_and_overlapping_claims_in_one_batch_are_credited_once_in_any_order() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(60).await, scene.honest(0).await);
    let ranges = [(1, 6), (1, 6), (3, 9), (1, 9), (12, 14), (5, 13), (1, 6), (1, 14)];
    for turn in 0..3 {
        let coin = scene.coin(&alice, 20, Suite::Sha256).await;
        let mut claims: Vec<_> = ranges.iter().map(|range| scene.claim(&alice, &coin, *range, bob.id())).collect();
        match turn {
            0 => (),
            1 => claims.reverse(),
            _ => claims.sort_by_key(|claim| (claim.through, claim.index.content.from)),
        }
        let found = lines(&bob, claims.clone()).await;
        let credited: u32 = found.iter().map(|line| line.credited.0).sum();
        assert_eq!(credited, 13, "{found:?}");
        for (line, claim) in found.iter().zip(&claims) {
            let words = claim.through.0 + 1 - claim.index.content.from.0;
            assert_eq!((line.credited.0 + line.already_paid.0, line.conflicting.0), (words, 0));
        }
        let again = lines(&bob, claims.clone()).await;
        assert!(again.iter().all(|line| line.verdict == Verdict::AlreadyPaid), "{again:?}");
        // And each by itself: it may begin in the middle of what was paid.
        for claim in claims {
            assert_eq!(lines(&bob, vec![claim]).await[0].verdict, Verdict::AlreadyPaid);
        }
        assert_eq!(scene.paid(&coin).await, 13);
    }
    assert_eq!(scene.balance(&bob).await, 39);
    scene.ends_well().await;
}

/// Claims that overlap with others of the same payee every way; together they are the words 1 to 60 of each e-coin.
fn overlapping(scene: &Scene, payer: &RawPeer, coins: &[Coin], payee: &RawPeer, seed: u32) -> Vec<Claim> {
    let ranges = (0..12_u32).map(|i| {
        let from = 1 + (i * 5 + seed * 3) % 56;
        (from, (from + 3 + (i * seed) % 17).min(61))
    });
    let claims = coins.iter().flat_map(|coin| {
        ranges.clone().chain([(1, 31), (25, 61)]).map(|range| scene.claim(payer, coin, range, payee.id()))
    });
    claims.collect()
}

#[tokio::test]
async fn overlapping_batches_at_once_over_many_connections_pay_every_word_once() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(300).await, scene.honest(0).await);
    let (mut coins, url) = (Vec::new(), scene.town.world.nats_url());
    for _ in 0..4 {
        coins.push(scene.coin(&alice, 60, Suite::Sha256).await);
    }
    let mut sent: Vec<(RawPeer, Redeem)> = Vec::new();
    for seed in 0..16 {
        let batch = bob.batch(overlapping(&scene, &alice, &coins, &bob, seed));
        // Every second one is sent by two at once.
        for _ in 0..=seed % 2 {
            sent.push((bob.once_more(&url).await.expect("NATS is there"), batch.clone()));
        }
    }
    let mut credited = 0;
    for statement in join_all(sent.iter().map(|(bob, batch)| redeemed(bob, batch))).await {
        assert!(statement.iter().all(|line| line.conflicting == WordCount(0)), "an honest payer is accused");
        credited += statement.iter().map(|line| line.credited.0).sum::<u32>();
    }
    assert!(credited >= 240, "{credited}: of a batch that two send, both are told the same");
    assert_eq!(scene.balance(&bob).await, 240);
    for coin in &coins {
        assert_eq!(scene.paid(coin).await, 60);
    }
    scene.ends_well().await;
}

/// Until there is a statement: who sends the same batch as another at the same moment may be asked to send it again.
async fn redeemed(payee: &RawPeer, batch: &Redeem) -> Vec<Line> {
    for _ in 0..200 {
        match payee.redeem(batch).await {
            Ok(statement) => return statement.lines,
            Err(error) => {
                let refused = problem::<()>(Err(error));
                assert!(refused.kind.is_passing() && !refused.text.contains("invariant"), "{refused:?}");
            }
        }
    }
    panic!("always later");
}

#[tokio::test]
async fn two_payees_of_the_same_words_at_once_are_paid_for_them_once() {
    let scene = Scene::shared().await;
    let (url, mallory) = (scene.town.world.nats_url(), scene.cheat(100).await);
    let coin = scene.coin(&mallory, 60, Suite::Sha256).await;
    let mut sent = Vec::new();
    for seed in 0..4 {
        let payee = scene.honest(0).await.once_more(&url).await.expect("NATS is there");
        let batch = payee.batch(overlapping(&scene, &mallory, std::slice::from_ref(&coin), &payee, seed));
        sent.push((payee, batch));
    }
    let answers = join_all(sent.iter().map(|(payee, batch)| redeemed(payee, batch))).await;
    let credited: u32 = answers.into_iter().flatten().map(|line| line.credited.0).sum();
    let mut balances = 0;
    for (payee, _) in &sent {
        balances += scene.balance(payee).await;
    }
    assert_eq!((credited, balances, scene.paid(&coin).await), (60, 60, 60));
    assert_eq!(scene.double_spends(mallory.id()).await.len(), 3, "one of four was first");
    scene.ends_well().await;
}

#[tokio::test]
async fn one_bad_claim_in_the_middle_of_a_full_batch_costs_the_others_nothing() {
    const CLAIMS: u32 = 2_048;
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(2_048).await, scene.honest(0).await);
    let coins = alice.buy(&alice.order(256, 8, Suite::Sha256)).await.expect("bought");
    let mut claims = Vec::new();
    for coin in &coins {
        scene.sold(coin);
        claims.extend((1..=256).map(|i| scene.claim(&alice, coin, (i, i + 1), bob.id())));
    }
    let middle = usize::try_from(CLAIMS / 2).expect("small");
    assert_eq!(claims.len(), 2 * middle, "as many as a batch may have");
    claims[middle].word = claims[middle + 1].word;
    let found = lines(&bob, claims.clone()).await;
    let (bad, good): (Vec<_>, Vec<_>) = found.into_iter().enumerate().partition(|(at, _)| *at == middle);
    assert_eq!(bad, [(middle, Line::refused(Verdict::Invalid))]);
    assert!(good.iter().all(|(_, line)| (line.verdict, line.credited) == (Verdict::Credited, WordCount(1))));
    assert_eq!(scene.balance(&bob).await, u64::from(CLAIMS) - 1);
    // The word that was wrong is still the payee's.
    let at = claims[middle].through;
    claims[middle].word = coins[4].chain.word(PaywordIndex(at.0)).expect("on the chain");
    assert_eq!(lines(&bob, vec![claims[middle].clone()]).await[0].credited, WordCount(1));
    scene.ends_well().await;
}
