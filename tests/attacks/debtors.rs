//! Payers who were found out: what is prepaid is honoured, what is held stays held, and puppets multiply nothing.

use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::suite::Suite;
use netpay_tests::raw_peer::{Coin, RawPeer, problem};

use crate::scene::{Scene, lines};

#[tokio::test]
async fn a_suspended_payer_s_words_are_honoured_as_far_as_they_were_bought_and_it_gets_nothing_else() {
    let scene = Scene::shared().await;
    let mallory = scene.cheat(100).await;
    let (bob, carol) = (scene.honest(0).await, scene.honest(0).await);
    let coin = scene.coin(&mallory, 60, Suite::Sha256).await;
    scene.orders(&Order::Suspend { peer: mallory.id(), reason: "a check".into() }).await.expect("suspended");
    assert_eq!(problem(mallory.buy(&mallory.order(1, 1, Suite::Sha256)).await).kind, Kind::Suspended);
    assert_eq!(problem(mallory.pay_out(&mallory.withdrawal(1, "a bank")).await).kind, Kind::Suspended);
    // Granted now, to two payees: all that was bought, and no word more.
    let found = lines(&bob, vec![scene.claim(&mallory, &coin, (1, 41), bob.id())]).await;
    assert_eq!((found[0].verdict, found[0].credited), (Verdict::Credited, WordCount(40)));
    let found = lines(&carol, vec![scene.claim(&mallory, &coin, (41, 61), carol.id())]).await;
    assert_eq!((found[0].verdict, found[0].credited), (Verdict::Credited, WordCount(20)));
    let beyond = RawPeer::claim(&coin, &mallory.grant(&coin, (1, 62), bob.id()), 60);
    assert_eq!(lines(&bob, vec![beyond]).await[0].verdict, Verdict::Invalid);
    assert_eq!((scene.balance(&bob).await, scene.balance(&carol).await, scene.balance(&mallory).await), (40, 20, 40));
    // The suspended may redeem what others granted it, and still takes nothing out.
    let alice = scene.honest(10).await;
    let hers = scene.coin(&alice, 10, Suite::Sha256).await;
    let found = lines(&mallory, vec![scene.claim(&alice, &hers, (1, 11), mallory.id())]).await;
    assert_eq!(found[0].credited, WordCount(10));
    assert_eq!(problem(mallory.pay_out(&mallory.withdrawal(1, "a bank")).await).kind, Kind::Suspended);
    assert_eq!(scene.balance(&mallory).await, 50);
    scene.ends_well().await;
}

#[tokio::test]
async fn a_debtor_gets_out_through_a_puppet_what_it_had_bought_and_its_debt_holds_the_rest() {
    let scene = Scene::shared().await;
    let (mallory, puppet) = (scene.cheat(100).await, scene.cheat(0).await);
    let (bob, carol, alice) = (scene.honest(0).await, scene.honest(0).await, scene.honest(25).await);
    let (spent_twice, kept) =
        (scene.coin(&mallory, 40, Suite::Sha256).await, scene.coin(&mallory, 30, Suite::Sha256).await);
    for payee in [&bob, &carol] {
        lines(payee, vec![scene.claim(&mallory, &spent_twice, (1, 21), payee.id())]).await;
    }
    let debt = || async { scene.account(mallory.id()).await.expect("an account").debt };
    assert_eq!((debt().await, scene.balance(&carol).await), (Units(20), 0));
    // What was bought is prepaid, whoever redeems it: it leaves, and not a word twice.
    lines(&puppet, vec![scene.claim(&mallory, &kept, (1, 31), puppet.id())]).await;
    lines(&puppet, vec![scene.claim(&mallory, &spent_twice, (21, 41), puppet.id())]).await;
    puppet.pay_out(&puppet.withdrawal(50, "a bank")).await.expect("it is the puppet's");
    scene.left(50);
    assert_eq!(problem(puppet.pay_out(&puppet.withdrawal(1, "a bank")).await).kind, Kind::InsufficientFunds);
    // The rest, and whatever comes in later, stays.
    scene.credit(mallory.id(), 5).await;
    let hers = scene.coin(&alice, 25, Suite::Sha256).await;
    lines(&mallory, vec![scene.claim(&alice, &hers, (1, 26), mallory.id())]).await;
    assert_eq!(scene.balance(&mallory).await, 60);
    assert_eq!(problem(mallory.pay_out(&mallory.withdrawal(1, "a bank")).await).kind, Kind::Suspended);
    assert_eq!(problem(mallory.buy(&mallory.order(1, 1, Suite::Sha256)).await).kind, Kind::Suspended);
    let (peer, ecoin) = (mallory.id(), spent_twice.touchstone.content.ecoin);
    let lift = scene.orders(&Order::Reinstate { peer, reason: "please".into() }).await;
    assert_eq!(problem(lift).kind, Kind::InDebt);
    let early = scene.orders(&Order::SettleDebt { debtor: peer, creditor: carol.id(), ecoin }).await;
    assert_eq!(problem(early).kind, Kind::Conflict, "its e-coins can still be redeemed");
    assert_eq!((debt().await, scene.balance(&mallory).await), (Units(20), 60));
    scene.ends_well().await;
}

#[tokio::test]
async fn a_crowd_of_puppets_records_sixteen_double_spends_of_an_e_coin_and_then_moves_nothing() {
    const WORDS: u32 = 10;
    let scene = Scene::alone().await;
    let (mallory, bob) = (scene.cheat(100).await, scene.honest(0).await);
    let coin: Coin = scene.coin(&mallory, 50, Suite::Sha256).await;
    lines(&bob, vec![scene.claim(&mallory, &coin, (1, WORDS + 1), bob.id())]).await;
    let mut moved = Vec::new();
    for _ in 0..40 {
        let puppet = scene.cheat(0).await;
        let claim = scene.claim(&mallory, &coin, (1, WORDS + 1), puppet.id());
        let before = scene.position().await;
        // Twice: a conflict that is known is not a new one.
        for _ in 0..2 {
            let found = lines(&puppet, vec![claim.clone()]).await;
            assert_eq!((found[0].verdict, found[0].conflicting), (Verdict::Conflicting, WordCount(WORDS)));
        }
        moved.push(scene.position().await - before);
        assert_eq!(scene.balance(&puppet).await, 0);
    }
    assert_eq!((moved[..16].to_vec(), moved[16..].to_vec()), (vec![1; 16], vec![0; 24]), "records of each puppet");
    assert_eq!(scene.double_spends(mallory.id()).await.len(), 16);
    let account = scene.account(mallory.id()).await.expect("an account");
    assert_eq!((account.debt, account.balance), (Units(16 * u64::from(WORDS)), Units(50)));
    // Bob keeps what it had, and is paid what else it is granted.
    lines(&bob, vec![scene.claim(&mallory, &coin, (11, 51), bob.id())]).await;
    assert_eq!(scene.balance(&bob).await, 50);
    scene.ends_well().await;
}
