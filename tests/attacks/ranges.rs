//! Claims on words that are not there: ranges at and beyond every border, and words from somewhere else.

use std::collections::BTreeSet;

use netpay_protocol::amounts::{PaywordIndex, WordCount};
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, Line, Verdict};
use netpay_protocol::suite::{Payword, Suite};
use netpay_tests::raw_peer::{Coin, RawPeer, problem};

use crate::scene::{Scene, lines};

const N: u32 = 10;
const PLACES: [u32; 5] = [0, 1, N, N + 1, u32::MAX];

/// W(i), or W(n) for a position that the chain does not have.
fn word(coin: &Coin, i: u32) -> Payword {
    coin.chain.word(PaywordIndex(i.min(N))).expect("on the chain")
}

#[tokio::test]
async fn ranges_at_and_beyond_every_border_get_the_verdict_of_the_table() {
    let scene = Scene::shared().await;
    let (alice, bob, mallory) = (scene.honest(20).await, scene.honest(0).await, scene.cheat(0).await);
    for suite in [Suite::Md5, Suite::Sha256] {
        let coin = scene.coin(&alice, N, suite).await;
        let (mut claims, mut expected, mut paid) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (from, through, to) in
            PLACES.iter().flat_map(|a| PLACES.iter().flat_map(move |b| PLACES.iter().map(move |c| (*a, *b, *c))))
        {
            let claim = |payer: &RawPeer| {
                let index = payer.grant(&coin, (from, to), bob.id());
                Claim { index, through: PaywordIndex(through), word: word(&coin, through) }
            };
            if through == u32::MAX {
                // Not even looked at: so many steps are more than a batch may ask for.
                let refused = problem(bob.redeem(&bob.batch(vec![claim(&alice)])).await);
                assert_eq!(refused.kind, Kind::TooLarge, "{from} {through} {to}");
                continue;
            }
            let fits = 1 <= from && from <= through && through < to && to <= N + 1;
            let line = if fits {
                scene.means(&coin, (from, to), bob.id());
                let words = from..=through;
                let new = words.clone().filter(|i| paid.insert(*i)).count();
                let (new, all) = (u32::try_from(new).expect("few"), through - from + 1);
                Line::settled(WordCount(new), WordCount(all - new), WordCount(0))
            } else {
                Line::refused(Verdict::Invalid)
            };
            claims.push(claim(&alice));
            expected.push(((from, through, to), line));
            // The range comes before the signature.
            claims.push(claim(&mallory));
            let verdict = if fits { Verdict::Unauthorised } else { Verdict::Invalid };
            expected.push(((from, through, to), Line::refused(verdict)));
        }
        let found = lines(&bob, claims).await;
        assert_eq!(expected.iter().filter(|(_, line)| line.verdict.settles()).count(), 4);
        for ((range, expected), found) in expected.into_iter().zip(found) {
            assert_eq!(found, expected, "from, through, to = {range:?} of {N} {suite} words");
        }
        assert_eq!(scene.paid(&coin).await, N);
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn a_word_of_another_position_chain_payer_or_suite_is_not_on_the_chain() {
    let scene = Scene::shared().await;
    let (alice, dave, bob) = (scene.honest(60).await, scene.honest(10).await, scene.honest(0).await);
    let dave_s = scene.coin(&dave, N, Suite::Sha256).await;
    for (suite, another) in [(Suite::Md5, Suite::Sha256), (Suite::Sha256, Suite::Md5)] {
        let coin = scene.coin(&alice, N, suite).await;
        let second = scene.coin(&alice, N, suite).await;
        let other = scene.coin(&alice, N, another).await;
        let mine = scene.grant(&alice, &coin, (1, N + 1), bob.id());
        let claim = |through, word| Claim { index: mine.clone(), through: PaywordIndex(through), word };
        let mut claims: Vec<_> = (0..=N).filter(|i| *i != 5).map(|i| claim(5, word(&coin, i))).collect();
        claims.extend([4, 6].map(|through| claim(through, word(&coin, 5))));
        claims.extend([&second, &other, &dave_s].map(|from| claim(5, word(from, 5))));
        claims.extend([[0; 32], [0xff; 32]].map(|bytes| claim(5, Payword::unchecked(bytes))));
        // And the other way round: the word is this e-coin's, the grant another's.
        let index = scene.grant(&alice, &second, (1, N + 1), bob.id());
        claims.push(Claim { index, through: PaywordIndex(5), word: word(&coin, 5) });
        let found = lines(&bob, claims).await;
        assert!(found.iter().all(|line| *line == Line::refused(Verdict::Invalid)), "{suite}: {found:?}");
        assert_eq!((scene.paid(&coin).await, scene.paid(&second).await), (0, 0));
        assert_eq!(lines(&bob, vec![claim(5, word(&coin, 5))]).await[0].credited, WordCount(5));
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn an_md5_word_with_anything_in_its_padding_is_not_on_the_chain() {
    let scene = Scene::shared().await;
    let (alice, bob) = (scene.honest(10).await, scene.honest(0).await);
    let coin = scene.coin(&alice, N, Suite::Md5).await;
    let good = scene.claim(&alice, &coin, (1, 6), bob.id());
    let padded = (16..32).map(|at| {
        let mut bytes = *good.word.bytes();
        bytes[at] = 1;
        Claim { word: Payword::unchecked(bytes), ..good.clone() }
    });
    let found = lines(&bob, padded.collect()).await;
    assert!(found.iter().all(|line| *line == Line::refused(Verdict::Invalid)), "{found:?}");
    assert_eq!(lines(&bob, vec![good]).await[0].credited, WordCount(5));
    scene.ends_well().await;
}
