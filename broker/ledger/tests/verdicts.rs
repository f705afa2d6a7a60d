//! The verdict table of DESIGN §3.7, from top to bottom, and the attacks on it.

mod world;

use netpay_ledger::decide::{Decision, decide};
use netpay_ledger::event::{DoubleSpend, Event, RedeemedClaim};
use netpay_ledger::{invariants, load};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::Claim;
use netpay_protocol::runs::Run;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Guarantee;
use world::{Terms, World, key, peer, show};

fn given_alice_holds_a(n: u32) -> World {
    let mut world = World::new();
    world.bought("alice", "A", n);
    world
}

#[test]
fn each_claim_gets_the_first_verdict_of_the_table_that_fits() {
    let mut world = given_alice_holds_a(10);
    world.bought("alice", "B", 10);
    world.credit("alice", 10);
    let bound = Terms { guarantee: Guarantee::Bound(peer("carol")), ..Terms::default() };
    let command = world.purchase("alice", &["C"], 10, bound);
    world.execute(command).expect("bought");
    let forged = |world: &World| {
        let good = world.claim("A", (1, 6, 5), "bob");
        Claim { index: Signed::new(good.index.content, &key("mallory")), ..good }
    };
    let other_chain = Claim { word: world.claim("B", (1, 6, 5), "bob").word, ..world.claim("A", (1, 6, 5), "bob") };
    let other_position = Claim { word: world.claim("A", (1, 6, 4), "bob").word, ..world.claim("A", (1, 6, 5), "bob") };
    let unknown = {
        let good = world.claim("A", (1, 6, 5), "bob");
        let index = SignedIndex { ecoin: world::ecoin("never sold"), ..good.index.content };
        Claim { index: Signed::new(index, &key("alice")), ..good }
    };
    let cases = [
        (unknown, "unknown_ecoin"),
        (world.claim("A", (0, 6, 5), "bob"), "invalid"),
        (world.claim("A", (3, 6, 2), "bob"), "invalid"),
        (world.claim("A", (1, 6, 6), "bob"), "invalid"),
        (world.claim("A", (1, 12, 10), "bob"), "invalid"),
        (world.claim("A", (11, 12, 11), "bob"), "invalid"),
        (world.claim("A", (u32::MAX, u32::MAX, u32::MAX), "bob"), "invalid"),
        (world.claim("A", (1, 6, 5), "carol"), "unauthorised"),
        (world.claim("C", (1, 6, 5), "bob"), "unauthorised"),
        (forged(&world), "unauthorised"),
        (other_chain, "invalid"),
        (other_position, "invalid"),
        (world.claim("A", (1, 11, 10), "bob"), "credited"),
    ];
    for (claim, verdict) in cases {
        assert_eq!(show(&world.redeem("bob", vec![claim]))[0].0, verdict);
    }
    assert_eq!(world.balance("bob"), 10);
}

/// Hole 1: whoever overhears a payment cannot redeem it.
#[test]
fn a_grant_is_worth_nothing_to_anyone_but_its_payee() {
    let mut world = given_alice_holds_a(10);
    let overheard = world.claim("A", (1, 6, 5), "bob");
    assert_eq!(show(&world.redeem("mallory", vec![overheard])), [("unauthorised", 0, 0, 0)]);
}

/// Hole 2: the next payee does not get the words of the one before, although it can compute them.
#[test]
fn a_claim_reaches_down_to_its_grants_from_and_no_further() {
    let mut world = given_alice_holds_a(10);
    let second = world.claim("A", (6, 8, 7), "carol");
    assert_eq!(show(&world.redeem("carol", vec![second])), [("credited", 2, 0, 0)]);
    let first = world.claim("A", (1, 6, 5), "bob");
    assert_eq!(show(&world.redeem("bob", vec![first])), [("credited", 5, 0, 0)]);
    assert_eq!((world.balance("bob"), world.balance("carol")), (5, 2));
}

/// Hole 5: the lost statement and the retry.
#[test]
fn the_same_claim_in_another_batch_is_already_paid_and_nobodys_fault() {
    let mut world = given_alice_holds_a(10);
    let claim = world.claim("A", (1, 6, 5), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim.clone()])), [("credited", 5, 0, 0)]);
    let records = world.ledger.records().len();
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("already_paid", 0, 5, 0)]);
    assert_eq!(world.ledger.records().len(), records, "and nothing is written");
    assert_eq!(world.balance("bob"), 5);
}

#[test]
fn a_grown_claim_is_credited_its_new_words() {
    let mut world = given_alice_holds_a(10);
    for (claim, line) in [((1, 4, 3), ("credited", 3, 0, 0)), ((1, 6, 5), ("credited", 2, 3, 0))] {
        let claim = world.claim("A", claim, "bob");
        assert_eq!(show(&world.redeem("bob", vec![claim])), [line]);
    }
}

#[test]
fn a_claim_twice_in_one_batch_is_paid_once() {
    let mut world = given_alice_holds_a(10);
    let claim = world.claim("A", (1, 6, 5), "bob");
    let lines = world.redeem("bob", vec![claim.clone(), claim]);
    assert_eq!(show(&lines), [("credited", 5, 0, 0), ("already_paid", 0, 5, 0)]);
    assert_eq!(world.balance("bob"), 5);
}

#[test]
fn second_claim_on_the_same_word_is_a_double_spend() {
    let mut world = given_alice_holds_a(64);
    let first = world.claim("A", (1, 41, 40), "bob");
    let second = world.claim("A", (30, 51, 50), "carol");
    world.redeem("bob", vec![first.clone()]);
    assert_eq!(show(&world.redeem("carol", vec![second.clone()])), [("conflicting", 10, 0, 11)]);
    let events = world.events();
    let [.., Event::DoubleSpendDetected(found), Event::AccountSuspended { peer: suspended, .. }] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!((found.paid_to, found.payee, *suspended), (peer("bob"), peer("carol"), peer("alice")));
    assert_eq!((&found.paid_grant, &found.grant), (&first.grant(), &second.grant()));
    assert_eq!((found.conflicting.0, found.debt.0), (11, 11));
    assert_eq!((world.balance("bob"), world.balance("carol")), (40, 10));
}

/// Conflicts with a run that an earlier command of the same group paid are found by the records on disk or in memory.
#[test]
fn of_several_conflicting_runs_the_lowest_is_the_evidence() {
    let mut world = given_alice_holds_a(20);
    for (claim, payee) in [((11, 13, 12), "dave"), ((3, 5, 4), "bob")] {
        let claim = world.claim("A", claim, payee);
        world.redeem(payee, vec![claim]);
    }
    let upper = world.claim("A", (10, 16, 15), "carol");
    let lower = world.claim("A", (1, 7, 6), "carol");
    let lines = world.redeem("carol", vec![upper, lower]);
    assert_eq!(show(&lines), [("conflicting", 4, 0, 2), ("conflicting", 4, 0, 2)]);
    let found: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::DoubleSpendDetected(found) => Some((found.paid_to, found.paid_grant.from.0, found.debt.0)),
            _ => None,
        })
        .collect();
    assert_eq!(found, [(peer("bob"), 3, 4)], "and all that was lost is owed");
}

/// Two claims of one batch may lose the same words: each is owed once.
#[test]
fn a_debt_is_the_words_lost_over_all_claims_of_the_batch_each_once() {
    let mut world = given_alice_holds_a(20);
    let paid = world.claim("A", (1, 11, 10), "bob");
    world.redeem("bob", vec![paid]);
    let claims = vec![
        world.claim("A", (1, 4, 3), "carol"),
        world.claim("A", (1, 7, 6), "carol"),
        world.claim("A", (9, 13, 12), "carol"),
    ];
    let lines = world.redeem("carol", claims);
    assert_eq!(show(&lines), [("conflicting", 0, 0, 3), ("conflicting", 0, 0, 6), ("conflicting", 2, 0, 2)]);
    assert_eq!(world.ledger.scan().totals.debts.0, 8);
}

#[test]
fn a_second_conflict_of_the_same_payee_and_ecoin_records_no_second_debt() {
    let mut world = given_alice_holds_a(20);
    let paid = world.claim("A", (1, 11, 10), "bob");
    world.redeem("bob", vec![paid]);
    let first = world.claim("A", (1, 6, 5), "carol");
    world.redeem("carol", vec![first]);
    let records = world.ledger.records().len();
    let further = world.claim("A", (1, 11, 10), "carol");
    assert_eq!(show(&world.redeem("carol", vec![further])), [("conflicting", 0, 0, 10)]);
    assert_eq!(world.ledger.records().len(), records, "further conflicts write nothing");
    assert_eq!(world.ledger.scan().totals.debts.0, 5);
}

#[test]
fn at_most_sixteen_payees_of_an_ecoin_are_recorded_as_hurt() {
    let mut world = given_alice_holds_a(4);
    let paid = world.claim("A", (1, 5, 4), "bob");
    world.redeem("bob", vec![paid]);
    for i in 0..18 {
        let puppet = format!("puppet {i}");
        let claim = world.claim("A", (1, 5, 4), &puppet);
        assert_eq!(show(&world.redeem(&puppet, vec![claim])), [("conflicting", 0, 0, 4)]);
    }
    let totals = world.ledger.scan().totals;
    assert_eq!((totals.double_spends, totals.debts.0), (16, 64));
}

/// Debts are not bounded by deposits. One that would bring their sum to 2^62 is not recorded; nobody is paid more for it.
#[test]
fn debts_stay_below_two_to_the_62_in_all() {
    for (others, owed) in [((1 << 62) - 6, 5), ((1 << 62) - 5, 0)] {
        let mut world = given_alice_holds_a(10);
        world.bought("mallory", "B", 1);
        let before = world.ledger.clone();
        let double_spend = |world: &mut World, coin, words: u32| {
            let claims = ["bob", "carol"].map(|payee| world.claim(coin, (1, words + 1, words), payee));
            ["bob", "carol"].into_iter().zip(claims).map(|(payee, claim)| world.redeem(payee, vec![claim])).last()
        };
        double_spend(&mut world, "B", 1);
        let of_b = world.events().into_iter().find_map(|event| match event {
            Event::DoubleSpendDetected(found) => Some(found),
            _ => None,
        });
        world.ledger = before;
        let huge = DoubleSpend { debt: Units(others), ..*of_b.expect("a double spend") };
        world.happen(Event::DoubleSpendDetected(Box::new(huge)));
        let lines = double_spend(&mut world, "A", 5).expect("carol's");
        assert_eq!(show(&lines), [("conflicting", 0, 0, 5)]);
        let found = world.ledger.scan();
        assert_eq!((found.totals.debts.0, found.broken), (others + owed, vec![]));
    }
}

/// What `decide` is written to refuse is refused again before it is recorded.
#[test]
fn a_batch_that_credits_a_word_twice_or_beyond_the_chain_would_break_an_invariant() {
    let mut world = given_alice_holds_a(10);
    let claims = [(4, 7, 6), (7, 10, 9)].map(|range| world.claim("A", range, "bob")).to_vec();
    let batch = world.batch("bob", claims);
    let command = world.redemption("bob", &batch);
    let ws = load::for_commands(&world.ledger, std::slice::from_ref(&command)).expect("readable");
    let Ok(Decision::Record(mut events)) = decide(&ws, &world.facts(), command) else { panic!("rejected") };
    for (from, whole) in [(7, true), (1, true), (8, true), (9, false), (6, false), (4, false), (2, false)] {
        let Some(Event::BatchRedeemed { claims, .. }) = events.last_mut() else { panic!("no batch") };
        let RedeemedClaim::Settled(second) = &mut claims[1] else { panic!("refused") };
        second.credited = vec![Run { from: PaywordIndex(from), through: PaywordIndex(from + 2) }];
        let broken = invariants::broken_by(&ws, &events);
        assert_eq!(broken, (!whole).then_some("L3 (no word is paid twice)"), "4..=6 and {from}..={}", from + 2);
    }
}

/// Self-overlap minting: grants from = 1, 2, … n, all to = n+1, claimed through n, pay n words in total.
#[test]
fn a_payer_gains_nothing_by_overlapping_grants_to_itself_under_another_name() {
    let mut world = given_alice_holds_a(10);
    let claims: Vec<_> = (1..=10).map(|from| world.claim("A", (from, 11, 10), "alice's other name")).collect();
    let credited: u32 = world.redeem("alice's other name", claims).iter().map(|line| line.credited.0).sum();
    assert_eq!((credited, world.balance("alice's other name")), (10, 10));
    for from in 1..=10 {
        let claim = world.claim("A", (from, 11, 10), "alice's other name");
        assert_eq!(world.redeem("alice's other name", vec![claim])[0].credited.0, 0);
    }
    let claim = world.claim("A", (1, 11, 10), "alice");
    assert_eq!(show(&world.redeem("alice", vec![claim])), [("unauthorised", 0, 0, 0)], "a payer is not its own payee");
}

#[test]
fn a_claim_whose_grant_is_for_another_ecoin_is_not_proven_by_the_words_of_this_one() {
    let mut world = given_alice_holds_a(10);
    world.credit("mallory", 10);
    let command = world.purchase("mallory", &["M"], 10, Terms { suite: Suite::Md5, ..Terms::default() });
    world.execute(command).expect("bought");
    // Mallory's own e-coin has words and a key of Mallory's; the grant names Alice's.
    let grant_on_a = world.claim("A", (1, 6, 5), "bob").index.content;
    let claim = Claim {
        index: Signed::new(grant_on_a, &key("mallory")),
        through: PaywordIndex(5),
        word: world.coin("M").chain.word(PaywordIndex(5)).expect("on the chain"),
    };
    assert_eq!(show(&world.redeem("bob", vec![claim.clone()])), [("unauthorised", 0, 0, 0)]);
    // And checked against the wrong touchstone by a careless caller, it is not proven either.
    let wrong = world.coin("M").touchstone.content.clone();
    let checked = netpay_ledger::verify::check(claim, peer("bob"), Some(&wrong));
    assert!(matches!(checked, netpay_ledger::verify::CheckedClaim::Refused { .. }));
}

#[test]
fn a_refunded_ecoin_pays_nobody() {
    let mut world = given_alice_holds_a(10);
    let claim = world.claim("A", (1, 4, 3), "bob");
    world.redeem("bob", vec![claim]);
    world.expire("A");
    let late = world.claim("A", (1, 6, 5), "bob");
    assert_eq!(show(&world.redeem("bob", vec![late])), [("expired", 0, 0, 0)]);
    assert_eq!((world.balance("alice"), world.balance("bob")), (7, 3));
}

#[test]
fn one_bad_claim_does_not_spoil_the_others() {
    let mut world = given_alice_holds_a(10);
    let mut bad = world.claim("A", (4, 7, 6), "bob");
    bad.word = Payword::unchecked([1; 32]);
    let claims = vec![world.claim("A", (1, 4, 3), "bob"), bad, world.claim("A", (7, 9, 8), "bob")];
    assert_eq!(
        show(&world.redeem("bob", claims)),
        [("credited", 3, 0, 0), ("invalid", 0, 0, 0), ("credited", 2, 0, 0)]
    );
}

#[test]
fn words_of_an_md5_ecoin_with_a_unit_value_pay_their_worth() {
    let mut world = World::new();
    world.credit("alice", 350);
    let terms = Terms { suite: Suite::Md5, unit_value: 7, ..Terms::default() };
    let command = world.purchase("alice", &["paper"], 50, terms);
    world.execute(command).expect("bought");
    let claim = world.claim("paper", (1, 6, 5), "bob");
    assert_eq!(show(&world.redeem("bob", vec![claim])), [("credited", 5, 0, 0)]);
    assert_eq!(world.balance("bob"), 35);
}
