//! A campaign: something is done over and over by dice whose seed is printed, and at the end it is said how often each
//! kind of thing really happened. A kind that never did fails the campaign: it would have proven nothing of it.
//!
//! `NETPAY_SEED` throws the same dice again. `NETPAY_CYCLES` and `NETPAY_MINUTES` say how long (whichever ends first);
//! without them it is short, or with `NETPAY_LONG=1` long.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Dice that fall the same way for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Thrown from here.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    /// `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// The same, for words and counts.
    pub fn small(&mut self, from: u32, to: u32) -> u32 {
        u32::try_from(self.between(from.into(), to.into())).expect("below a u32")
    }

    /// A place in a list of this length, which is not 0.
    pub fn place(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("a list is short");
        usize::try_from(self.below(bound)).expect("below a length")
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.place(of.len())]
    }
}

/// How often each kind of thing happened.
#[derive(Default, Debug)]
pub struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    /// It happened.
    pub fn count(&self, kind: impl Display) {
        self.add(kind, 1);
    }

    /// It happened so often.
    pub fn add(&self, kind: impl Display, times: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind.to_string()).or_insert(0) += times;
    }

    /// How often.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied().unwrap_or(0)
    }

    fn line(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(kind, times)| format!("{kind} {times}")).collect::<Vec<_>>().join(", ")
    }
}

/// See the module.
pub struct Campaign {
    name: &'static str,
    repeat: String,
    /// What the dice start from.
    pub seed: u64,
    /// How many cycles at most.
    pub cycles: u64,
    /// What happened.
    pub tally: Arc<Tally>,
    until: Option<Duration>,
    started: Instant,
}

impl Campaign {
    /// Starts one, which is `short` or `long` cycles long, or as long as the environment says.
    pub fn start(suite: &str, name: &'static str, short: u64, long: u64) -> Self {
        let mut campaign = Self::fixed(suite, name, short, long);
        campaign.cycles = number("NETPAY_CYCLES").unwrap_or(campaign.cycles);
        campaign.until = number("NETPAY_MINUTES").map(|minutes: u64| Duration::from_secs(60 * minutes));
        campaign.repeat = format!("NETPAY_CYCLES={} {}", campaign.cycles, campaign.repeat);
        campaign
    }

    /// Starts one that goes through all its cases, and so often.
    pub fn fixed(suite: &str, name: &'static str, short: u64, long: u64) -> Self {
        let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let seed = number("NETPAY_SEED").unwrap_or_else(|| u64::from(drawn.subsec_nanos()));
        let cycles = if is_long() { long } else { short };
        println!("{name}: seed {seed}");
        let repeat = format!("NETPAY_SEED={seed} tests/run.sh {suite}");
        Self { name, repeat, seed, cycles, tally: Arc::default(), until: None, started: Instant::now() }
    }

    /// The dice of one part of it.
    pub fn dice(&self, part: u64) -> Dice {
        Dice::new(Dice::new(self.seed ^ part.rotate_left(32)).any())
    }

    /// Whether there is time for more, after so many cycles.
    pub fn goes_on(&self, done: u64) -> bool {
        done < self.cycles && self.until.is_none_or(|until| self.started.elapsed() < until)
    }

    /// Says what happened. Each of these kinds must have.
    pub fn end(self, kinds: &[&str]) {
        println!("{}: seed {}, {} s: {}", self.name, self.seed, self.started.elapsed().as_secs(), self.tally.line());
        let never: Vec<_> = kinds.iter().filter(|kind| self.tally.of(kind) == 0).collect();
        assert!(never.is_empty(), "never happened, and so nothing is proven of it: {never:?}");
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} FAILED after {}\nrepeat it with: {}", self.name, self.tally.line(), self.repeat);
        }
    }
}

/// Whether suites take their long form.
pub fn is_long() -> bool {
    env::var("NETPAY_LONG").is_ok_and(|text| text == "1")
}

fn number<T: FromStr>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}
