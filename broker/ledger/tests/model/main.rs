//! The ledger beside a naive one: whatever is asked of both, in whatever order, they answer the same and hold the same.
//!
//! After every step the answers, the evidence, and every balance, debt, payout and paid word are compared, and a scan of
//! the rows finds nothing broken; after every run the records alone give the same digest again. The longer form is
//! `NETPAY_RUNS=10000 NETPAY_COMMANDS=1000 deploy/build.sh test -p netpay-ledger --test model -- --nocapture`; a run that
//! failed comes again with `NETPAY_SEED=n NETPAY_RUNS=1`.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../world/mod.rs"]
mod world;

mod asks;
mod real;
mod script;
mod view;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use netpay_ledger::memory::Memory;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use asks::{Account, Answer, Ask};
use real::{PEERS, Real};
use reference::Reference;
use script::{Kind, Script, Step};
use view::View;

/// Of the short form.
const RUNS: u64 = 32;

type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// What has to happen in every campaign: a test of what never happened cannot fail.
const COMMON: &[(&str, &[&str])] = &[
    ("deposit", &["recorded", "repeated"]),
    ("buy", &["recorded", "repeated", "Suspended", "InsufficientFunds"]),
    ("redeem", &["recorded", "repeated", "unchanged"]),
    ("claim", &["credited", "already_paid", "conflicting", "unknown_ecoin", "invalid", "unauthorised", "expired"]),
    ("double spend", &["recorded"]),
    ("suspend", &["recorded"]),
    ("reinstate", &["recorded", "InDebt"]),
    ("settle debt", &["recorded", "SettlementTooEarly", "ClockInDoubt", "NotReconciled"]),
    ("request payout", &["recorded", "NotReconciled"]),
    ("settle payout", &["recorded", "NotReconciled"]),
    ("fail payout", &["recorded", "NotReconciled"]),
    ("rotate key", &["recorded"]),
    ("list keys", &["recorded", "KeyListNotNewer"]),
    ("expire", &["recorded", "unchanged", "ClockInDoubt", "NotReconciled"]),
    ("bring back", &["recorded", "unchanged"]),
    ("reconcile", &["recorded"]),
    ("doubt clock", &["recorded"]),
    ("confirm clock", &["recorded"]),
    ("restore", &["done"]),
];

/// What has to happen in a long one.
const RARE: &[(&str, &[&str])] = &[
    ("deposit", &["ReferenceReused", "AmountOutOfRange", "RequestIdReused", "RequestExpired"]),
    ("buy", &["AccountUnknown", "NotTheAccountsKey", "InDebt", "PriceAboveLimit", "StaleFacts", "RequestExpired"]),
    ("buy", &["ValidityTooLong", "RequestIdReused"]),
    ("redeem", &["AccountUnknown", "NotTheAccountsKey", "RequestIdReused"]),
    ("double spend", &["beyond sixteen"]),
    ("suspend", &["repeated", "AlreadySuspended", "AccountUnknown", "RequestIdReused"]),
    ("reinstate", &["repeated", "NotSuspended", "AccountUnknown"]),
    ("settle debt", &["repeated", "NothingToPay", "DebtUnknown", "AccountUnknown"]),
    (
        "request payout",
        &["repeated", "PayoutAboveBalance", "AmountOutOfRange", "Suspended", "InDebt", "RequestIdReused"],
    ),
    ("request payout", &["NotTheAccountsKey", "AccountUnknown"]),
    ("settle payout", &["repeated", "PayoutUnknown", "PayoutWasSettled", "PayoutHasFailed"]),
    ("fail payout", &["repeated", "PayoutUnknown", "PayoutWasSettled", "PayoutHasFailed"]),
    ("rotate key", &["repeated", "KeyUsedBefore", "TooManyRotations", "NotTheAccountsKey", "AccountUnknown"]),
    ("reconcile", &["repeated", "NothingToReconcile"]),
    ("doubt clock", &["unchanged"]),
    ("confirm clock", &["repeated", "ClockNotInDoubt"]),
];

/// Of a run: where it went wrong, how, and what was asked until then.
struct Failure {
    step: usize,
    how: String,
    asked: Vec<String>,
}

/// Both ledgers, and the copies that were put away of them.
struct Both {
    real: Real,
    reference: Reference,
    script: Script,
    backup: Option<(Memory, Reference)>,
    asked: Vec<String>,
}

impl Both {
    fn new() -> Self {
        let accounts = vec![Account::default(); PEERS + 1];
        let reference = Reference { accounts, life: 1, ..Reference::default() };
        Self { real: Real::default(), reference, script: Script::new(), backup: None, asked: Vec::new() }
    }

    fn step(&mut self, step: &Step, counts: &mut Counts) -> Result<(), String> {
        let moment = self.script.moment(step);
        match step.kind {
            Kind::TimePasses => self.script.time_passes(step.numbers),
            Kind::Pay => self.script.pay(step.numbers),
            Kind::DoubleSpend => self.script.double_spend(step.numbers),
            Kind::Backup => self.backup = Some((self.real.ledger.clone(), self.reference.clone())),
            Kind::Restore => {
                let Some((ledger, reference)) = &self.backup else { return Ok(()) };
                // Two lives are never the same, though both begin with one backup.
                let life = (self.reference.life + 1).max(moment.now_ms);
                self.real.restore(ledger, life, &moment);
                self.reference = reference.clone();
                self.reference.restored(life, moment.now_ms);
                *counts.entry(("restore", "done")).or_default() += 1;
                self.asked.push(format!("{} ms: restore", moment.now_ms));
            }
            _ => {
                let Some((request, ask)) = self.script.ask(step, &self.reference) else { return Ok(()) };
                self.asked.push(format!("{} ms: {ask:?} by {request:?}", moment.now_ms));
                let before = self.reference.found.len();
                let expected = self.reference.answer(&moment, &request, &ask);
                let (answer, found) = self.real.answer(&moment, &request, &ask);
                count(counts, &ask, &expected);
                if answer != expected {
                    return Err(format!("the ledger answers {answer:?} instead of {expected:?}"));
                }
                let mut shown = self.reference.found[before..].to_vec();
                shown.sort_by_key(|found| found.coin);
                self.count_double_spends(&ask, &answer, shown.len(), counts);
                if found != shown {
                    return Err(format!("the evidence is {found:?} instead of {shown:?}"));
                }
                if let (Ask::Buy { coins, .. }, Answer::Recorded(_)) = (&ask, &answer) {
                    self.script.sold(coins);
                }
            }
        }
        self.compare()
    }

    fn count_double_spends(&self, ask: &Ask, answer: &Answer, new: usize, counts: &mut Counts) {
        let (Ask::Redeem { claims, .. }, Answer::Recorded(lines) | Answer::Unchanged(lines)) = (ask, answer) else {
            return;
        };
        let of = |coin: u64| self.reference.found.iter().filter(|found| found.coin == coin).count();
        let in_conflict = claims.iter().zip(lines).filter(|(_, line)| line.others > 0);
        let beyond = in_conflict.filter(|(claim, _)| new == 0 && of(claim.coin) == 16).count();
        for (what, times) in [("recorded", new), ("beyond sixteen", beyond)] {
            if times > 0 {
                *counts.entry(("double spend", what)).or_default() += 1;
            }
        }
    }

    fn compare(&self) -> Result<(), String> {
        let (is, should_be) = (self.real.view(), View::of(&self.reference));
        if is != should_be {
            return Err(is.differences(&should_be).join("\n"));
        }
        let broken = self.real.ledger.scan().broken;
        if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
    }
}

fn count(counts: &mut Counts, ask: &Ask, answer: &Answer) {
    *counts.entry((ask.name(), answer.name())).or_default() += 1;
    if let Answer::Recorded(lines) | Answer::Unchanged(lines) = answer {
        for line in lines {
            *counts.entry(("claim", line.verdict)).or_default() += 1;
        }
    }
}

fn run(steps: &[Step], counts: &mut Counts) -> Result<(), Failure> {
    let mut both = Both::new();
    for (number, step) in steps.iter().enumerate() {
        if let Err(how) = both.step(step, counts) {
            return Err(Failure { step: number, how, asked: both.asked });
        }
    }
    let same = both.real.replayed().scan().digest == both.real.ledger.scan().digest;
    let how = "the records give another ledger".to_owned();
    if same { Ok(()) } else { Err(Failure { step: steps.len() - 1, how, asked: both.asked }) }
}

/// The steps of one seed, as many as asked for.
fn steps_of(seed: u64, commands: usize) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    script::steps(commands).new_tree(&mut runner).expect("nothing is filtered").current()
}

/// Leaves out what the failure does not need, in ever smaller pieces; tries only so often.
fn shortened(mut steps: Vec<Step>, mut failure: Failure) -> (Vec<Step>, Failure) {
    steps.truncate(failure.step + 1);
    let mut tries = 0..500;
    let mut piece = steps.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < steps.len() && tries.next().is_some() {
            let end = (at + piece).min(steps.len());
            let rest: Vec<_> = steps[..at].iter().chain(&steps[end..]).copied().collect();
            match run(&rest, &mut Counts::new()) {
                Ok(()) => at = end,
                Err(shorter) => {
                    steps = rest[..=shorter.step].to_vec();
                    failure = shorter;
                }
            }
        }
        piece /= 2;
    }
    (steps, failure)
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_is_asked_the_ledger_answers_and_holds_what_the_reference_does() {
    let (runs, commands) = (number("NETPAY_RUNS", RUNS), number("NETPAY_COMMANDS", 500));
    let seed = number("NETPAY_SEED", RandomState::new().build_hasher().finish() >> 16);
    println!("{runs} runs of {commands} steps from NETPAY_SEED={seed}");
    let (counts, next) = (Mutex::new(Counts::new()), AtomicU64::new(0));
    let work = || {
        let mut mine = Counts::new();
        loop {
            let run_number = next.fetch_add(1, Ordering::Relaxed);
            if run_number >= runs {
                break;
            }
            let seed = seed.wrapping_add(run_number);
            let steps = steps_of(seed, usize::try_from(commands).expect("it fits"));
            if let Err(failure) = run(&steps, &mut mine) {
                let (steps, Failure { how, asked, .. }) = shortened(steps, failure);
                let asked = asked.join("\n");
                panic!("NETPAY_SEED={seed}, shortened to {} steps:\n{steps:?}\n{asked}\n{how}", steps.len());
            }
        }
        let mut counts = counts.lock().expect("nobody panics with it");
        mine.into_iter().for_each(|(what, times)| *counts.entry(what).or_default() += times);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let counts = counts.into_inner().expect("nobody panicked with it");
    for ((ask, answer), times) in &counts {
        println!("{times:>9} {ask}: {answer}");
    }
    let long = runs * commands >= 1_000_000;
    let expected = COMMON.iter().chain(RARE.iter().filter(|_| long));
    let expected = expected.flat_map(|(ask, answers)| answers.iter().map(move |answer| (*ask, *answer)));
    let never: Vec<_> = expected.filter(|what| !counts.contains_key(what)).collect();
    assert!(never.is_empty() || runs < RUNS, "never happened: {never:?}");
}
