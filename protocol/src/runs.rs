//! Stretches of consecutive paywords.

use crate::amounts::{PaywordIndex, WordCount};

/// The words `from..=through` of one e-coin; never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Run {
    /// The first word.
    #[n(0)]
    pub from: PaywordIndex,
    /// The last word.
    #[n(1)]
    pub through: PaywordIndex,
}

impl Run {
    /// The run, unless it would be empty.
    pub fn new(from: PaywordIndex, through: PaywordIndex) -> Option<Self> {
        (from <= through).then_some(Self { from, through })
    }

    /// How many words.
    pub fn words(&self) -> WordCount {
        WordCount(self.through.0 - self.from.0).plus(WordCount(1))
    }

    /// The words in both.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.through.min(other.through))
    }

    /// The words of this run that are in none of `taken`, which must be sorted and disjoint.
    pub fn without<'a>(&self, taken: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut free = Vec::new();
        let mut from = self.from;
        for run in taken.into_iter().filter(|run| self.meet(run).is_some()) {
            free.extend(run.from.previous().and_then(|end| Self::new(from, end)));
            from = run.through.next();
        }
        free.extend(Self::new(from, self.through));
        free
    }
}

/// How many words in all.
pub fn count<'a>(runs: impl IntoIterator<Item = &'a Run>) -> WordCount {
    runs.into_iter().fold(WordCount(0), |sum, run| sum.plus(run.words()))
}

/// The words that are in any of these, as few runs in order.
pub fn union(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort();
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.from.previous().is_none_or(|before| before <= last.through) => {
                last.through = last.through.max(run.through);
            }
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u32, through: u32) -> Run {
        Run::new(PaywordIndex(from), PaywordIndex(through)).expect("not empty")
    }

    #[test]
    fn what_is_taken_is_left_out() {
        for (taken, free) in [
            (vec![], vec![run(5, 10)]),
            (vec![run(1, 4), run(11, 12)], vec![run(5, 10)]),
            (vec![run(1, 5)], vec![run(6, 10)]),
            (vec![run(10, 10)], vec![run(5, 9)]),
            (vec![run(6, 6), run(8, 9)], vec![run(5, 5), run(7, 7), run(10, 10)]),
            (vec![run(5, 10)], vec![]),
            (vec![run(1, 20)], vec![]),
        ] {
            assert_eq!(run(5, 10).without(&taken), free);
        }
    }
    #[test]
    fn what_overlaps_or_touches_is_joined() {
        for (runs, joined) in [
            (vec![], vec![]),
            (vec![run(4, 6), run(1, 2)], vec![run(1, 2), run(4, 6)]),
            (vec![run(4, 6), run(1, 3)], vec![run(1, 6)]),
            (vec![run(1, 9), run(2, 3), run(9, 12)], vec![run(1, 12)]),
            (vec![run(5, 5), run(5, 5)], vec![run(5, 5)]),
        ] {
            assert_eq!(union(runs), joined);
        }
    }
}
