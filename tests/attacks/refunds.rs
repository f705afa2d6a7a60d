//! E-coins whose time is over: what was refunded is not paid any more, and a clock that is ahead refunds nothing.

use netpay_protocol::amounts::WordCount;
use netpay_protocol::redemption::{Claim, Line, Verdict};
use netpay_protocol::suite::Suite;
use netpay_tests::processes::{PATIENCE, until};
use netpay_tests::raw_peer::{Coin, RawPeer};

use crate::scene::{Scene, lines};

/// Past `redeem_until` and the grace after it, under the policy that a broker is made with.
const DAYS: u32 = 125;

#[tokio::test]
async fn an_e_coin_is_refunded_once_the_clock_is_confirmed_and_then_pays_nobody() {
    let mut scene = Scene::alone().await;
    let (alice, bob, carol) = (scene.honest(30).await, scene.honest(0).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 30, Suite::Sha256).await;
    let claim = |scene: &Scene, range, payee| scene.claim(&alice, &coin, range, payee);
    let first = claim(&scene, (1, 6), bob.id());
    assert_eq!(lines(&bob, vec![first.clone()]).await[0].credited, WordCount(5));
    scene.is_later(DAYS);
    // Nobody knows whether that is so: what could be refunded is still paid.
    assert_eq!(lines(&bob, vec![claim(&scene, (6, 11), bob.id())]).await[0].credited, WordCount(5));
    scene.town.world.broker(&["ledger", "confirm-clock", "--reason", "it is"]);
    // From now on a word is either paid or refunded.
    let mut paid = 10;
    let late = loop {
        let next = claim(&scene, (paid + 1, paid + 2), bob.id());
        match lines(&bob, vec![next.clone()]).await[0] {
            Line { verdict: Verdict::Credited, credited: WordCount(1), .. } => paid += 1,
            line => {
                assert_eq!(line, Line::refused(Verdict::Expired));
                break next;
            }
        }
        assert!(paid < 29, "it is confirmed, and not refunded");
        tokio::time::sleep(PATIENCE / 20).await;
    };
    let found = lines(&bob, vec![late.clone(), first]).await;
    assert_eq!(found, [Line::refused(Verdict::Expired); 2]);
    assert_eq!(lines(&carol, vec![claim(&scene, (1, 31), carol.id())]).await, [Line::refused(Verdict::Expired)]);
    // Its touchstone brings it back no more than the claim.
    let mut batch = bob.batch(vec![late]);
    batch.touchstones = vec![coin.touchstone.clone()];
    let statement = bob.redeem(&batch).await.expect("a statement");
    assert_eq!(statement.lines, [Line::refused(Verdict::Expired)]);
    scene.is_now();
    assert_eq!((scene.balance(&alice).await, scene.balance(&bob).await), (u64::from(30 - paid), u64::from(paid)));
    scene.ends_well().await;
}

/// What `payee` is answered for these claims with this e-coin's touchstone beside them.
async fn brings(payee: &RawPeer, claims: Vec<Claim>, coin: &Coin) -> Vec<Line> {
    let mut batch = payee.batch(claims);
    batch.touchstones = vec![coin.touchstone.clone()];
    payee.redeem(&batch).await.expect("a statement").lines
}

/// Alice has everything back. What she bought before the backup is refunded in it, what she bought after it is forgotten;
/// and her accomplice comes with both, as if a restored broker had to believe whatever it once signed.
#[tokio::test]
async fn a_refunded_e_coin_is_not_brought_back_by_a_restored_backup() {
    let mut scene = Scene::alone().await;
    let (alice, bob) = (scene.honest(60).await, scene.honest(0).await);
    let before = scene.coin(&alice, 10, Suite::Sha256).await;
    scene.town.world.broker(&["backup", "create", "early"]);
    let after = scene.coin(&alice, 50, Suite::Sha256).await;
    scene.is_later(DAYS);
    scene.town.world.broker(&["ledger", "confirm-clock", "--reason", "it is"]);
    until("both refunds", || (scene.shown_balance(&alice) == 60).then_some(()));
    scene.town.world.broker(&["backup", "create", "late"]);
    let claim = |scene: &Scene, coin: &Coin, n: u32| scene.claim(&alice, coin, (1, n + 1), bob.id());
    let (of_before, of_after) = (claim(&scene, &before, 10), claim(&scene, &after, 50));

    scene.is_restored_from("late");
    assert_eq!(brings(&bob, vec![of_before.clone()], &before).await, [Line::refused(Verdict::Expired)]);
    assert_eq!(brings(&bob, vec![of_after.clone()], &after).await, [Line::refused(Verdict::Expired)]);
    assert_eq!(scene.shown_balance(&alice), 60);

    // To the early backup the second was never sold, and its time is over. The first waits to be refunded.
    scene.is_restored_from("early");
    assert_eq!(brings(&bob, vec![of_after], &after).await, [Line::refused(Verdict::UnknownEcoin)]);
    assert_eq!(scene.shown_balance(&alice), 50);
    assert_eq!(lines(&bob, vec![of_before]).await[0].credited, WordCount(10));
    scene.forgotten(&after);
    scene.is_now();
    scene.ends_well().await;
}
