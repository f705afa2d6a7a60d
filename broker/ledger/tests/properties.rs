//! Properties over many claims: order, duplication, splitting and re-batching change nothing that is paid. And over many
//! payouts: whatever is asked, repeated or ordered, what came in is there, on its way, or out.

mod world;

use std::collections::BTreeSet;

use netpay_ledger::memory::Outcome;
use netpay_ledger::{Command, Rejection};
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::redemption::Claim;
use proptest::prelude::*;
use world::{World, peer};

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

/// What may be asked about payouts, by the honest and by others.
#[derive(Clone, Debug)]
enum Step {
    Deposit(u64),
    /// Perhaps nothing, perhaps more than there is.
    Request(u64),
    /// Of one requested so far, whatever has become of it.
    Settle(prop::sample::Index),
    Fail(prop::sample::Index),
    /// Of one that nobody requested.
    SettleNothing,
    /// Bytes that came before.
    Again(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1..50_u64).prop_map(Step::Deposit),
        3 => (0..60_u64).prop_map(Step::Request),
        2 => any::<prop::sample::Index>().prop_map(Step::Settle),
        2 => any::<prop::sample::Index>().prop_map(Step::Fail),
        1 => Just(Step::SettleNothing),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
    ];
    prop::collection::vec(step, 1..24)
}

/// What payouts ought to come to, worked out by another who only adds and subtracts.
#[derive(Default)]
struct Expected {
    deposited: u64,
    balance: u64,
    out: u64,
    /// The amount, while it is open.
    payouts: Vec<(PayoutKey, Option<u64>)>,
}

impl Expected {
    fn open(&self) -> u64 {
        self.payouts.iter().filter_map(|(_, amount)| *amount).sum()
    }

    /// One of the payouts so far, and its amount if this ends it.
    fn take(&mut self, which: &prop::sample::Index) -> Option<(PayoutKey, Option<u64>)> {
        let at = which.index(self.payouts.len().max(1));
        self.payouts.get_mut(at).map(|(key, amount)| (*key, amount.take()))
    }

    /// The command of a step, unless there is nothing that it could be about; and whether it is to be recorded.
    fn step(&mut self, world: &mut World, sent: &[Command], step: &Step) -> Option<(Command, Result<bool, ()>)> {
        match step {
            Step::Deposit(amount) => {
                self.deposited += amount;
                self.balance += amount;
                world.credit("alice", *amount);
                None
            }
            Step::Request(amount) => {
                let command = world.payout("alice", *amount);
                if *amount == 0 || *amount > self.balance {
                    return Some((command, Err(())));
                }
                self.balance -= amount;
                let key = PayoutKey { peer: peer("alice"), request: command.request.expect("a peer's").id };
                self.payouts.push((key, Some(*amount)));
                Some((command, Ok(true)))
            }
            Step::Settle(which) => {
                let (key, taken) = self.take(which)?;
                self.out += taken.unwrap_or(0);
                Some((world.settle(key, "bank"), taken.map(|_| true).ok_or(())))
            }
            Step::Fail(which) => {
                let (key, taken) = self.take(which)?;
                self.balance += taken.unwrap_or(0);
                Some((world.fail(key, "no bank"), taken.map(|_| true).ok_or(())))
            }
            Step::SettleNothing => {
                let nothing = PayoutKey { peer: peer("bob"), request: world.fresh() };
                Some((world.settle(nothing, "bank"), Err(())))
            }
            Step::Again(which) => Some((sent.get(which.index(sent.len().max(1)))?.clone(), Ok(false))),
        }
    }
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

    /// Each command is recorded, repeated or rejected as another reckons it, and no unit is lost or made.
    #[test]
    fn what_came_in_is_on_the_account_on_its_way_or_out(steps in steps()) {
        let (mut world, mut expected, mut sent) = (World::new(), Expected::default(), Vec::new());
        for step in &steps {
            let Some((command, result)) = expected.step(&mut world, &sent, step) else { continue };
            match (world.execute(command.clone()), result) {
                (Ok(Outcome::Recorded(_)), Ok(true)) => sent.push(command),
                (Ok(Outcome::Repeated(_)), Ok(false)) => {}
                (Err(rejection), Err(())) => {
                    let defect = matches!(rejection, Rejection::InvariantWouldBreak(_) | Rejection::RequestIdReused);
                    prop_assert!(!defect, "{rejection}");
                }
                (outcome, expected) => prop_assert!(false, "{outcome:?} where {expected:?} was expected"),
            }
            let totals = world.ledger.scan().totals;
            prop_assert_eq!(world.balance("alice"), expected.balance);
            prop_assert_eq!(totals.payouts_open().0, expected.open());
            prop_assert_eq!(totals.outside.unsigned_abs() + expected.open() + expected.out, expected.deposited);
        }
    }
}
