//! Properties over many claims: order, duplication, splitting and re-batching change nothing that is paid.

mod world;

use std::collections::BTreeSet;

use netpay_protocol::redemption::Claim;
use proptest::prelude::*;
use world::World;

const N: u32 = 24;
const PAYEES: [&str; 3] = ["bob", "carol", "dave"];

/// Honest grants: disjoint stretches, one payee each.
fn honest_claims() -> impl Strategy<Value = Vec<(u32, u32, u32, usize)>> {
    prop::collection::vec((1..=6_u32, 0..PAYEES.len()), 1..8).prop_map(|stretches| {
        let mut from = 1;
        let mut claims = Vec::new();
        for (words, payee) in stretches {
            if from + words <= N + 1 {
                claims.push((from, from + words, from + words - 1, payee));
                from += words;
            }
        }
        claims
    })
}

/// What a payee may do with a claim it holds: ask for less of it first, ask twice, ask in any order, in any batch.
#[derive(Clone, Debug)]
struct Asking {
    claim: prop::sample::Index,
    less: u32,
    batch: u8,
}

fn askings() -> impl Strategy<Value = Vec<Asking>> {
    let asking = (any::<prop::sample::Index>(), 0..4_u32, 0..6_u8).prop_map(|(claim, less, batch)| Asking {
        claim,
        less,
        batch,
    });
    prop::collection::vec(asking, 0..20)
}

fn redeem_all(world: &mut World, asked: Vec<(usize, Claim)>) -> u32 {
    let mut credited = 0;
    for (payee, name) in PAYEES.iter().enumerate() {
        let claims: Vec<_> = asked.iter().filter(|(p, _)| *p == payee).map(|(_, claim)| claim.clone()).collect();
        if !claims.is_empty() {
            credited += world.redeem(name, claims).iter().map(|line| line.credited.0).sum::<u32>();
        }
    }
    credited
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any permutation, duplication, splitting or re-batching of the same claims pays the same words, and never one
    /// twice; and nobody honest is accused.
    #[test]
    fn the_same_claims_in_any_order_and_any_batches_pay_the_same_words(claims in honest_claims(), askings in askings()) {
        let mut world = World::new();
        world.bought("alice", "A", N);
        let mut batches: Vec<Vec<(usize, Claim)>> = vec![Vec::new(); 6];
        for asking in &askings {
            let (from, to, through, payee) = claims[asking.claim.index(claims.len())];
            let through = through.saturating_sub(asking.less).max(from);
            batches[usize::from(asking.batch)].push((payee, world.claim("A", (from, to, through), PAYEES[payee])));
        }
        let mut credited = 0;
        for batch in batches {
            credited += redeem_all(&mut world, batch);
        }
        let last: Vec<_> = claims.iter().rev().map(|(from, to, through, payee)| {
            (*payee, world.claim("A", (*from, *to, *through), PAYEES[*payee]))
        }).collect();
        credited += redeem_all(&mut world, last);
        let granted: u32 = claims.iter().map(|(from, to, ..)| to - from).sum();
        prop_assert_eq!(credited, granted);
        for (payee, name) in PAYEES.iter().enumerate() {
            let due: u32 = claims.iter().filter(|claim| claim.3 == payee).map(|(from, to, ..)| to - from).sum();
            prop_assert_eq!(world.balance(name), u64::from(due));
        }
        prop_assert_eq!(world.ledger.scan().totals.double_spends, 0);
    }

    /// Whatever a payer grants, overlapping as it likes: each word is paid at most once, and what is paid was granted.
    #[test]
    fn overlapping_grants_pay_each_word_at_most_once(
        grants in prop::collection::vec((1..=N, 1..=N, 0..PAYEES.len()), 1..12)
    ) {
        let mut world = World::new();
        world.bought("alice", "A", N);
        let mut granted = BTreeSet::new();
        let mut credited = 0;
        for (a, b, payee) in grants {
            let (from, through) = (a.min(b), a.max(b));
            granted.extend(from..=through);
            let claim = world.claim("A", (from, through + 1, through), PAYEES[payee]);
            credited += world.redeem(PAYEES[payee], vec![claim])[0].credited.0;
        }
        prop_assert_eq!(usize::try_from(credited).expect("few"), granted.len());
        let paid: u64 = PAYEES.iter().map(|name| world.balance(name)).sum();
        prop_assert_eq!(paid, u64::from(credited));
    }
}
