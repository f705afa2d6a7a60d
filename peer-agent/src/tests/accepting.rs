//! Accepting, told as scenes: what a payee takes, what it counts, what it refuses.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};

use crate::ports::{Till as _, TillClaim};
use crate::tests::broker::{NOW, TestBroker, run};
use crate::tests::trade::{Circumstances, Peer, chain_of, why};
use crate::till::accepting::Refused;
use crate::till::accepting::{self, SEND_FIRST};
use crate::wallet::granting;
use crate::wallet::purse::Mode::PerPayment;

fn scene() -> (TestBroker, Peer, Peer, Peer) {
    (TestBroker::new(), Peer::new(1), Peer::new(2), Peer::new(3))
}

fn claims(peer: &Peer, ecoin: EcoinId) -> Vec<TillClaim> {
    peer.store.read(|tx| tx.claims(ecoin)).expect("read")
}

#[test]
fn the_same_words_are_worth_something_once_whatever_order_or_grant_they_come_under() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let pay = alice.pay(&broker, &bob, 5, PerPayment).remove(0);
    let Payment::First { touchstone, index, revealed } = &pay.payment else {
        panic!("a first payment");
    };
    // Towards another order.
    let order = bob.quote(&broker, &alice, 5);
    let other = Pay { order, ..pay.clone() };
    assert_eq!(bob.accept(&broker, alice.id(), &other).expect("same").paid, Units(0));
    // Under other grants of the same payer: from 2, 3, … through 6. Only word 6 is new.
    let chain = broker.chain(t);
    let mut paid = Units(0);
    for from in 2..=6 {
        let content = SignedIndex { from: PaywordIndex(from), to: PaywordIndex(51), ..index.content.clone() };
        let payment = Payment::First {
            touchstone: touchstone.clone(),
            index: Signed::new(content, &alice.me.signing),
            revealed: Revealed::one(PaywordIndex(6), chain.word(PaywordIndex(6)).expect("on it")),
        };
        paid = bob.accept(&broker, alice.id(), &Pay { order, payment }).expect("accepted").paid;
    }
    assert_eq!(paid, Units(1));
    // A lower word again: the same answer and no new value.
    let payment = Payment::Words {
        ecoin: t.ecoin,
        from: PaywordIndex(1),
        revealed: Revealed::one(PaywordIndex(2), chain.word(PaywordIndex(2)).expect("on it")),
    };
    let again = bob.accept(&broker, alice.id(), &Pay { order, payment });
    assert_eq!(again.expect("same").paid, Units(1));
    assert_eq!(revealed.through, PaywordIndex(5));
    assert_eq!(accepting::union(&claims(&bob, t.ecoin)), [run(1, 6)]);
}

#[test]
fn the_papers_list_of_words_is_accepted_and_each_word_is_checked() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Md5))[0];
    let order = bob.quote(&broker, &alice, 3);
    let pay = alice.grant(order, 3, PerPayment).expect("enough").expect("due");
    let chain = broker.chain(t);
    let word = |i| chain.word(PaywordIndex(i)).expect("on it");
    let listed = |words: Vec<Payword>| {
        let Payment::First { touchstone, index, revealed } = pay.payment.clone() else {
            panic!("a first payment");
        };
        let revealed = Revealed { words, ..revealed };
        let payment = Payment::First { touchstone, index, revealed };
        bob.accept(&broker, alice.id(), &Pay { order, payment })
    };
    for wrong in [
        vec![],
        vec![word(2), word(2), word(3)],
        vec![word(1), word(3), word(3)],
        vec![word(2)],
        vec![word(1), word(1), word(2), word(3)],
    ] {
        assert!(listed(wrong).is_err());
    }
    assert_eq!(listed(vec![word(1), word(2), word(3)]).expect("good").paid, Units(3));
}

#[test]
fn words_alone_on_an_unknown_ecoin_are_asked_for_again_with_touchstone_and_grant() {
    let (broker, alice, bob, _) = scene();
    alice.buy(&broker, chain_of(50, Suite::Sha256));
    alice.pay(&broker, &bob, 3, PerPayment);
    // Another machine of bob's, which knows his orders and none of his claims.
    let restored = Peer::new(2);
    let order = restored.quote(&broker, &alice, 2);
    let pay = alice.grant(order, 2, PerPayment).expect("enough").expect("due");
    assert!(matches!(pay.payment, Payment::Grown { .. }));
    assert_eq!(why(restored.accept(&broker, alice.id(), &pay)), SEND_FIRST);
    let first = alice.store.read(|tx| granting::as_first(tx, &pay)).expect("kept");
    restored.accept(&broker, alice.id(), &first).expect("complete");
}

/// One payment, changed in one way, and what the payee says to it. The list is in the order of DESIGN §3.6.
#[test]
fn a_payment_that_breaks_a_rule_is_refused_and_changes_nothing() {
    struct Case {
        t: Touchstone,
        index: SignedIndex,
        revealed: Revealed,
        order: Digest,
        from: PeerId,
        with: Box<dyn FnOnce(&mut Circumstances)>,
        signed_by_broker: bool,
    }
    type Change = fn(&mut Case, &TestBroker);
    let cases: &[(&str, Change)] = &[
        ("accepted", |_, _| ()),
        ("no such order", |c, _| c.order = Digest([1; 32])),
        ("no such order", |c, _| c.from = PeerId([9; 16])),
        ("another broker's", |c, _| c.t.broker = BrokerId([9; 16])),
        ("not one of the broker's", |c, _| c.t.issued_at_ms = NOW - 40 * DAY_MS),
        ("is revoked", |c, broker| {
            let revoked = broker.key_list(|list| list.keys[0].revoked_at_ms = NOW);
            let keys = revoked.verify(broker.id()).expect("its own");
            c.with = Box::new(move |with| with.keys = keys);
        }),
        ("out of date", |c, _| c.with = Box::new(|with| with.now_ms = NOW + 40 * DAY_MS)),
        ("not signed by the broker", |c, _| c.signed_by_broker = false),
        ("not accepted here", |c, _| {
            c.with = Box::new(|with| with.policy.suites = vec![Suite::Md5]);
        }),
        ("only e-coins bound", |c, _| c.with = Box::new(|with| with.policy.bound_only = true)),
        ("may be worth at most", |c, _| {
            c.with = Box::new(|with| with.policy.max_unit_value = UnitValue(0));
        }),
        ("too young", |c, _| {
            c.with = Box::new(|with| with.policy.min_account_age_ms = 2 * DAY_MS);
        }),
        ("as much unredeemed money", |c, _| {
            c.with = Box::new(|with| with.policy.max_exposure_per_payer = Units(4));
        }),
        ("as much unredeemed money", |c, _| {
            c.with = Box::new(|with| with.policy.max_exposure = Units(4));
        }),
        ("revocation list is too old", |c, _| {
            c.with = Box::new(|with| with.now_ms = NOW + DAY_MS + 1);
        }),
        ("no revocation list", |c, _| c.with = Box::new(|with| with.revoked = None)),
        ("on the revocation list", |c, broker| {
            broker.suspended.borrow_mut().push(c.from);
            let list = broker.revoked(2).content;
            c.with = Box::new(move |with| with.revoked = Some(list));
        }),
        ("bound to another payee", |c, _| c.t.guarantee = Guarantee::Bound(PeerId([9; 16]))),
        ("another payer's", |c, _| c.t.payer = PeerId([9; 16])),
        ("for another payee", |c, _| c.index.payee = PeerId([9; 16])),
        ("not signed by the e-coin's payer", |c, _| c.index.ecoin = EcoinId([9; 16])),
        ("not signed by the e-coin's payer", |c, _| c.index.broker = BrokerId([9; 16])),
        ("not one of the grant", |c, _| c.index.from = PaywordIndex(0)),
        ("not one of the grant", |c, _| c.index.from = PaywordIndex(6)),
        ("not one of the grant", |c, _| c.index.to = PaywordIndex(5)),
        ("not one of the grant", |c, _| c.index.to = PaywordIndex(52)),
        ("may not be spent any more", |c, _| c.t.spend_until_ms = NOW + 60_000),
        ("the quote has expired", |c, _| c.with = Box::new(|with| with.now_ms = NOW + 1_000)),
        ("not on the e-coin's chain", |c, _| c.revealed.through = PaywordIndex(4)),
        ("not on the e-coin's chain", |c, _| {
            c.revealed.words = vec![Payword::unchecked([1; 32])];
        }),
    ];
    for (expected, change) in cases {
        let (broker, alice, bob, _) = scene();
        alice.buy(&broker, chain_of(50, Suite::Sha256));
        let order = bob.quote(&broker, &alice, 5);
        let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
        let Payment::First { touchstone, index, revealed } = pay.payment else {
            panic!("a first payment");
        };
        let ecoin = touchstone.content.ecoin;
        let mut case = Case {
            t: touchstone.content,
            index: index.content,
            revealed,
            order,
            from: alice.id(),
            with: Box::new(|_| ()),
            signed_by_broker: true,
        };
        change(&mut case, &broker);
        let payment = Payment::First {
            touchstone: match case.signed_by_broker {
                true => broker.sign(case.t),
                false => Signed::new(case.t, &alice.me.signing),
            },
            index: Signed::new(case.index, &alice.me.signing),
            revealed: case.revealed,
        };
        let pay = Pay { order: case.order, payment };
        let result = why(bob.accept_with(&broker, case.from, &pay, case.with));
        assert!(result.contains(expected), "{expected}: {result}");
        let kept = claims(&bob, ecoin).len();
        assert_eq!(kept == 1, *expected == "accepted", "{expected}");
    }
}

#[test]
fn a_grant_keeps_its_order_and_only_grows() {
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let pay = alice.pay(&broker, &bob, 5, PerPayment).remove(0);
    let Payment::First { index, .. } = pay.payment else {
        panic!("a first payment");
    };
    let order = bob.quote(&broker, &alice, 5);
    let chain = broker.chain(t);
    let grown = |to, through, bound_to| {
        let content = SignedIndex { to: PaywordIndex(to), order: bound_to, ..index.content.clone() };
        let word = chain.word(PaywordIndex(through)).expect("on it");
        let payment = Payment::Grown {
            index: Signed::new(content, &alice.me.signing),
            revealed: Revealed::one(PaywordIndex(through), word),
        };
        why(bob.accept(&broker, alice.id(), &Pay { order, payment }))
    };
    assert!(grown(9, 8, Digest([1; 32])).contains("keeps its order"));
    assert_eq!(grown(20, 8, Digest::ZERO), "accepted");
    assert!(grown(12, 9, Digest::ZERO).contains("only grows"));
    assert_eq!(grown(21, 20, Digest::ZERO), "accepted");
}

#[test]
fn a_payment_that_was_accepted_gets_the_same_answer_whatever_has_changed_since() {
    let changes: &[fn(&mut Circumstances)] = &[
        |with| with.revoked = None,
        |with| with.now_ms = NOW + 40 * DAY_MS,
        |with| with.policy.suites = vec![Suite::Md5],
        |with| with.policy.max_unit_value = UnitValue(0),
        |with| with.policy.max_exposure = Units(0),
        |with| with.revoked.as_mut().expect("a list").peers.push((Peer::new(1).id(), NOW)),
    ];
    let (broker, alice, bob, _) = scene();
    let t = &alice.buy(&broker, chain_of(50, Suite::Sha256))[0];
    let order = bob.quote(&broker, &alice, 5);
    let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
    bob.accept(&broker, alice.id(), &pay).expect("accepted");
    for change in changes {
        let again = bob.accept_with(&broker, alice.id(), &pay, change);
        assert_eq!(again.expect("the same answer").paid, Units(5));
    }
    let revoked = broker.key_list(|list| list.keys[0].revoked_at_ms = NOW).verify(broker.id()).expect("its own");
    let again = bob.accept_with(&broker, alice.id(), &pay, |with| with.keys = revoked);
    assert_eq!(again.expect("the same answer").paid, Units(5));
    // Another word in its place is no repetition.
    let revealed = Revealed::one(PaywordIndex(5), Payword::unchecked([1; 32]));
    let other = Pay { order, payment: Payment::Words { ecoin: t.ecoin, from: PaywordIndex(1), revealed } };
    assert!(why(bob.accept(&broker, alice.id(), &other)).contains("not on the e-coin's chain"));
}

#[test]
fn what_will_pass_is_not_called_a_refusal() {
    let changes: &[fn(&mut Circumstances)] = &[
        |with| with.revoked = None,
        |with| with.now_ms = NOW + DAY_MS + 1,
        |with| with.now_ms = NOW + 40 * DAY_MS,
        |with| with.policy.max_exposure_per_payer = Units(4),
    ];
    for change in changes {
        let (broker, alice, bob, _) = scene();
        alice.buy(&broker, chain_of(50, Suite::Sha256));
        let order = bob.quote(&broker, &alice, 5);
        let pay = alice.grant(order, 5, PerPayment).expect("enough").expect("due");
        match bob.accept_with(&broker, alice.id(), &pay, change) {
            Err(Refused::Problem(problem)) => assert!(problem.kind.is_passing(), "{problem:?}"),
            other => panic!("{other:?}"),
        }
    }
}
