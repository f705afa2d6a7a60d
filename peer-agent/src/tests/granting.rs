//! Granting, told as scenes between two or three peers.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::ids::{Digest, EcoinId};
use netpay_protocol::payment::Payment;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Touchstone;

use crate::ports::{Coins as _, OutOrders as _, OwnGrant, StoreError, Till as _, TillClaim};
use crate::store::Store;
use crate::tests::broker::{NOW, TestBroker, run};
use crate::tests::trade::{Peer, chain_of};
use crate::till::accepting;
use crate::wallet::buying::Wish;
use crate::wallet::granting;
use crate::wallet::purse::Mode::{PerPayment, Session};

fn scene() -> (TestBroker, Peer, Peer, Peer) {
    (TestBroker::new(), Peer::new(1), Peer::new(2), Peer::new(3))
}

fn grants(peer: &Peer, ecoin: EcoinId) -> Vec<OwnGrant> {
    peer.store.read(|tx| tx.grants(ecoin)).expect("read")
}

fn claims(peer: &Peer, ecoin: EcoinId) -> Vec<TillClaim> {
    peer.store.read(|tx| tx.claims(ecoin)).expect("read")
}

fn ranges(grants: &[OwnGrant]) -> Vec<(u32, u32, u32)> {
    let range = |own: &OwnGrant| (own.grant.from.0, own.grant.to.0, own.through.0);
    grants.iter().map(range).collect()
}

#[test]
fn the_papers_example_ends_in_one_claim_of_index_6_and_price_5() {
    let (broker, alice, bob, carol) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Md5))[0];
    alice.pay(&broker, &bob, 3, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 4, 3)], "Fig. 4: index 4");
    alice.pay(&broker, &bob, 2, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 6, 5)], "Fig. 6: index 6");
    alice.pay(&broker, &carol, 1, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 6, 5), (6, 7, 6)]);

    let claim = &claims(&bob, t.ecoin)[..];
    assert_eq!(claim.len(), 1, "Fig. 9: SP2 aggregates two payments");
    assert_eq!(claim[0].through.next(), PaywordIndex(6));
    assert_eq!(accepting::union(claim), [run(1, 5)]);
    assert_eq!(accepting::union(&claims(&carol, t.ecoin)), [run(6, 6)]);
}

#[test]
fn a_session_signs_ahead_and_never_beyond_what_the_order_needs() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(256, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 100);
    let mut signed = Vec::new();
    for due in 1..=100 {
        while let Some(pay) = alice.grant(order, due, Session).expect("enough") {
            if !matches!(pay.payment, Payment::Words { .. }) {
                signed.push(grants(&alice, t.ecoin)[0].grant.to.0);
            }
            let paid = bob.accept(&broker, alice.id(), &pay).expect("accepted");
            assert_eq!(paid.paid, Units(due));
            alice.acknowledged(order, &pay, paid.paid.0).expect("as sent");
        }
    }
    assert_eq!(signed, [2, 18, 35, 69, 101], "five signatures for a hundred words");
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 101, 100)]);
    assert_eq!(grants(&alice, t.ecoin)[0].grant.order, order);
}

#[test]
fn a_word_above_an_open_grant_is_never_spent_elsewhere() {
    let (broker, alice, bob, carol) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 30);
    let first = alice.grant(order, 1, Session).expect("enough").expect("due");
    alice.acknowledged(order, &first, 1).expect("as sent");
    alice.grant(order, 2, Session).expect("enough");
    let other = carol.quote(&broker, &alice, 1);
    for mode in [PerPayment, Session] {
        let result = alice.grant(other, 1, mode);
        assert!(matches!(result, Err(granting::Error::NotEnough { .. })), "{result:?}");
    }
}

#[test]
fn after_a_crash_between_commit_and_sending_the_same_payment_is_sent_and_nothing_new() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    for mode in [PerPayment, Session] {
        let order = bob.quote(&broker, &alice, 9);
        let first = alice.grant(order, 4, mode).expect("enough").expect("due");
        let before = grants(&alice, t.ecoin);
        // The program died here. The next one asks for more, and gets what was not answered.
        let again = alice.grant(order, 9, mode).expect("enough");
        assert_eq!(again.as_ref(), Some(&first));
        assert_eq!(grants(&alice, t.ecoin), before);
        // It died again after the payee had taken it: the payee counts it once.
        for _ in 0..3 {
            let paid = bob.accept(&broker, alice.id(), &first).expect("accepted");
            assert_eq!(paid.paid, Units(4));
        }
        alice.acknowledged(order, &first, 4).expect("as sent");
        let rest = alice.grant(order, 9, mode).expect("enough").expect("due");
        let paid = bob.accept(&broker, alice.id(), &rest).expect("accepted");
        assert_eq!(paid.paid, Units(9));
        alice.acknowledged(order, &rest, 9).expect("as sent");
    }
}

#[test]
fn the_grant_and_the_payment_are_on_disk_together_or_not_at_all() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 9);
    let crashed: Result<(), granting::Error> = alice.store.write(|tx| {
        granting::pay(tx, &alice.me, order, Units(4), Units(4), Session, NOW)?;
        Err(StoreError::damaged("the power went").into())
    });
    assert!(crashed.is_err());
    assert!(grants(&alice, t.ecoin).is_empty());
}

#[test]
fn words_of_a_payment_that_was_refused_pay_the_next_order_of_the_same_payee() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 5);
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    alice.store.write(|tx| granting::refused(tx, order, &pay, "no such order", NOW)).expect("noted");
    alice.pay(&broker, &bob, 5, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 6, 5)], "the same five words");
}

#[test]
fn while_a_payment_of_one_order_is_unanswered_no_other_order_builds_on_its_grant() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let second = alice.buy(&broker, chain_of(60, Suite::Sha256))[0].clone();
    let (one, two) = (bob.quote(&broker, &alice, 5), bob.quote(&broker, &alice, 5));
    let first = alice.grant(one, 5, PerPayment).expect("enough").expect("due");
    let other = alice.grant(two, 5, PerPayment).expect("enough").expect("due");
    assert_eq!(other.payment.grant().0, second.ecoin);
    for pay in [&other, &first] {
        let paid = bob.accept(&broker, alice.id(), pay).expect("accepted");
        assert_eq!(paid.paid, Units(5), "in whatever order they arrive");
    }
}

#[test]
fn a_price_above_one_chain_is_paid_from_several() {
    let (broker, alice, bob, _) = scene();
    for _ in 0..3 {
        alice.buy(&broker, chain_of(10, Suite::Sha256));
    }
    for (price, mode) in [(14, PerPayment), (16, Session)] {
        alice.pay(&broker, &bob, price, mode);
    }
    let (of_alice, _) = bob.store.read(|tx| tx.exposure(alice.id())).expect("read");
    assert_eq!(of_alice, Units(30));
    let empty = alice.grant(bob.quote(&broker, &alice, 1), 1, PerPayment);
    assert!(matches!(empty, Err(granting::Error::NotEnough { .. })));
}

#[test]
fn grants_by_parallel_processes_never_overlap() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("wallet.sqlite");
    let broker = TestBroker::new();
    let mut alice = Peer::new(1);
    alice.store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
    let ecoins: Vec<Touchstone> = (0..2).flat_map(|_| alice.buy(&broker, chain_of(60, Suite::Sha256))).collect();
    let orders: Vec<Vec<Digest>> = (0..4)
        .map(|seed| {
            let payee = Peer::new(10 + seed);
            (0..10).map(|_| payee.quote(&broker, &alice, 3)).collect()
        })
        .collect();
    std::thread::scope(|scope| {
        for orders in &orders {
            let path = &path;
            scope.spawn(move || {
                let store = Store::open(path).expect("opens");
                let me = crate::home::identity::Identity::of_seed(1);
                for order in orders {
                    store
                        .write(|tx| {
                            let pay = granting::pay(tx, &me, *order, Units(3), Units(3), PerPayment, NOW)?;
                            granting::acknowledged(tx, *order, &pay.expect("due"), Units(3))?
                                .map_err(granting::Error::from)
                        })
                        .expect("paid");
                }
            });
        }
    });
    let mut words = 0;
    for t in &ecoins {
        let grants = grants(&alice, t.ecoin);
        for pair in grants.windows(2) {
            assert!(pair[0].grant.to <= pair[1].grant.from, "{pair:?}");
        }
        let range = |own: &OwnGrant| own.grant.to.0 - own.grant.from.0;
        words += grants.iter().map(range).sum::<u32>();
    }
    assert_eq!(words, 120, "every word once");
}

#[test]
fn an_ecoin_of_larger_words_pays_a_price_rounded_up_once() {
    let (broker, alice, bob, _) = scene();
    let wish = Wish { unit_value: UnitValue(5), ..chain_of(50, Suite::Sha256) };
    let t = &alice.buy(&broker, wish)[0];
    let order = bob.quote(&broker, &alice, 12);
    for due in 1..=12 {
        while let Some(pay) = alice.grant(order, due, Session).expect("enough") {
            let paid = bob.accept(&broker, alice.id(), &pay).expect("accepted").paid;
            alice.acknowledged(order, &pay, paid.0).expect("as sent");
        }
    }
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 4, 3)], "3 words of 5 units for 12");
}

#[test]
fn a_payee_that_acknowledges_too_little_is_paid_no_more_for_that_order_and_the_next_one_there_is_paid() {
    for acknowledged in [0, 5] {
        let (broker, alice, bob, _) = scene();
        let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
        let order = bob.quote(&broker, &alice, 12);
        let pay = alice.grant(order, 6, Session).expect("enough").expect("due");
        bob.accept(&broker, alice.id(), &pay).expect("accepted");
        let short = granting::Short { acknowledged: Units(acknowledged), sent: Units(6) };
        assert_eq!(alice.acknowledged(order, &pay, acknowledged), Err(short));
        let out = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
        assert!(out.done && out.pending.is_none(), "{out:?}");
        alice.pay(&broker, &bob, 12, Session);
        assert_eq!(grants(&alice, t.ecoin)[1].through, PaywordIndex(18), "the same chain, and no word twice");
    }
}

#[test]
fn more_than_was_sent_is_not_believed() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 12);
    let pay = alice.grant(order, 6, Session).expect("enough").expect("due");
    alice.acknowledged(order, &pay, u64::MAX).expect("enough");
    let out = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
    assert_eq!((out.paid, out.sent), (Units(6), Units(6)));
}

#[test]
fn an_answer_that_comes_twice_answers_no_later_payment() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 12);
    let first = alice.grant(order, 4, Session).expect("enough").expect("due");
    alice.acknowledged(order, &first, 4).expect("as sent");
    let second = alice.grant(order, 8, Session).expect("enough");
    // Another process had sent the first one, too, and hears of it only now.
    alice.acknowledged(order, &first, 4).expect("nothing to do");
    assert_eq!(alice.grant(order, 8, Session).expect("enough"), second, "still unanswered");
    alice.store.write(|tx| granting::refused(tx, order, &first, "late", NOW)).expect("nothing to do");
    assert_eq!(alice.grant(order, 8, Session).expect("enough"), second, "still unanswered");
}

#[test]
fn words_that_were_refused_and_counted_all_the_same_are_not_missed_by_the_next_order() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 5);
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    bob.accept(&broker, alice.id(), &pay).expect("accepted");
    alice.store.write(|tx| granting::refused(tx, order, &pay, "said somebody", NOW)).expect("noted");
    // The five words are sent again, are worth nothing any more, and five others follow.
    alice.pay(&broker, &bob, 5, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 11, 10)]);
    alice.pay(&broker, &bob, 3, PerPayment);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 14, 13)], "nothing is sent again");
}

#[test]
fn a_first_payment_that_is_refused_locks_no_word_but_its_own() {
    let (broker, alice, bob, carol) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 30);
    let pay = alice.grant(order, 1, Session).expect("enough").expect("due");
    alice.store.write(|tx| granting::refused(tx, order, &pay, "no", NOW)).expect("noted");
    alice.pay(&broker, &carol, 1, Session);
    assert_eq!(ranges(&grants(&alice, t.ecoin)), [(1, 2, 1), (2, 3, 2)]);
}

#[test]
fn not_even_a_word_left_over_takes_an_order_above_the_most_that_it_may_cost() {
    let (broker, alice, bob, _) = scene();
    let large = Wish { unit_value: UnitValue(5), ..chain_of(50, Suite::Sha256) };
    let large = alice.buy(&broker, large)[0].ecoin;
    let order = bob.quote(&broker, &alice, 5);
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    alice.store.write(|tx| granting::refused(tx, order, &pay, "no", NOW)).expect("noted");
    let order = bob.quote(&broker, &alice, 6);
    let grant =
        |most| alice.store.write(|tx| granting::pay(tx, &alice.me, order, Units(6), Units(most), PerPayment, NOW));
    assert!(matches!(grant(4), Err(granting::Error::TooLarge { price: Units(4), total: Units(10) })));
    let first = grant(6).expect("enough").expect("one word of five");
    assert_eq!(first.payment.grant().0, large);
    alice.acknowledged(order, &first, 5).expect("as sent");
    assert!(matches!(grant(9), Err(granting::Error::TooLarge { .. })), "one unit is due, and four more would go");
    // Smaller words fit, and come first even where larger ones are allowed.
    let small = alice.buy(&broker, chain_of(50, Suite::Sha256))[0].ecoin;
    let rest = grant(100).expect("enough").expect("one word of one");
    assert_eq!((rest.payment.grant().0, rest.payment.revealed().through), (small, PaywordIndex(1)));
}

#[test]
fn a_quote_for_more_bytes_than_content_can_have_is_not_taken() {
    let (broker, alice, bob, _) = scene();
    let order = bob.quote(&broker, &alice, 5);
    let mut quote = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept").quote.content;
    let mut wrong = |size_bytes| {
        quote.size_bytes = size_bytes;
        let quoted = netpay_protocol::messages::Quoted {
            quote: netpay_protocol::layout::Signed::new(quote.clone(), &bob.me.signing),
            key: bob.me.signing.public(),
            suites: vec![Suite::Sha256],
        };
        granting::wrong_with(&quoted, broker.id(), bob.id(), quote.content, NOW)
    };
    assert_eq!(wrong(crate::content::MAX_CONTENT_BYTES), None);
    assert!(wrong(crate::content::MAX_CONTENT_BYTES + 1).is_some_and(|why| why.contains("bytes")));
}

#[test]
fn a_quote_that_is_given_again_while_another_process_pays_it_is_the_order_as_it_stands() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 5);
    let pending = alice.grant(order, 5, PerPayment).expect("enough");
    let held = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
    let quoted = netpay_protocol::messages::Quoted {
        quote: held.quote.clone(),
        key: held.payee_key,
        suites: held.suites.clone(),
    };
    assert_eq!(alice.store.write(|tx| granting::open_order(tx, &quoted)).expect("kept"), held);
    assert_eq!(alice.grant(order, 5, PerPayment).expect("enough"), pending, "still unanswered");
}

#[test]
fn an_order_that_was_refused_and_is_agreed_to_again_is_found_after_a_crash_with_what_was_paid() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    let order = bob.quote(&broker, &alice, 5);
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    alice.store.write(|tx| granting::refused(tx, order, &pay, "suspended", NOW)).expect("noted");
    let held = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
    assert!(held.done, "nothing was paid for it");
    let quoted = netpay_protocol::messages::Quoted {
        quote: held.quote.clone(),
        key: held.payee_key,
        suites: held.suites.clone(),
    };
    // The payee gives the same quote as long as nothing is paid for it.
    alice.store.write(|tx| granting::open_order(tx, &quoted)).expect("kept");
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    alice.acknowledged(order, &pay, 5).expect("as sent");
    let begun = alice.store.read(|tx| tx.begun_out_orders(held.quote.content.content)).expect("read");
    assert_eq!(begun.iter().map(|order| order.paid.0).collect::<Vec<_>>(), [5], "paid once, and not forgotten");
}
