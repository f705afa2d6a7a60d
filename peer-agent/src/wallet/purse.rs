//! Which e-coin pays: the choice among the wallet's chains, as a pure function.
//!
//! A word above an open grant is never spent elsewhere (a later payee could hand the words between back), so an e-coin
//! with an open grant pays nobody but that grant's payee.

use std::collections::BTreeMap;

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::limits::MAX_CHAIN_LENGTH;
use netpay_protocol::suite::Suite;

use crate::ports::{Ecoin, OwnGrant};

/// The least time left before `spend_until` for an e-coin to be paid with: payees keep a margin.
const MARGIN_MS: u64 = 10 * 60 * 1_000;

/// How words are granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One signature reaches ahead, then words only.
    Session,
    /// The paper's: one signed Index per payment, `to = through + 1`.
    PerPayment,
}

impl Mode {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::PerPayment => "per-payment",
        }
    }
}

/// What is to be paid.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// To whom.
    pub payee: PeerId,
    /// What a grant for it is bound to: the order in a session, zero per payment.
    pub bound_to: Digest,
    /// How much now.
    pub now: Units,
    /// How much until the order is paid, this included.
    pub in_all: Units,
    /// The most that may be paid, whatever is due.
    pub most: Units,
    /// The suites that the payee takes.
    pub suites: &'a [Suite],
    /// How words are granted.
    pub mode: Mode,
    /// The time.
    pub at_ms: u64,
}

/// An e-coin with its grants, by rising `from`.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The e-coin.
    pub ecoin: Ecoin,
    /// Its grants.
    pub grants: Vec<OwnGrant>,
}

/// The next step: which words leave under which range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The first word of the grant.
    pub from: PaywordIndex,
    /// The grant's new end.
    pub to: PaywordIndex,
    /// The word that is revealed.
    pub through: PaywordIndex,
    /// How many words this adds to the order.
    pub words: WordCount,
}

impl Chain {
    /// Whether it can pay this payee at all.
    pub fn suits(&self, due: &Due<'_>) -> bool {
        let t = &self.ecoin.touchstone.content;
        !self.ecoin.locked
            && due.suites.contains(&t.suite)
            && t.guarantee.allows(due.payee)
            && due.at_ms.saturating_add(MARGIN_MS) < t.spend_until_ms
    }

    /// What one of its words is worth.
    pub fn word_worth(&self) -> Units {
        WordCount(1).worth(self.ecoin.touchstone.content.unit_value)
    }

    /// How many of a step's words left before, in a payment that was refused.
    pub fn sent_before(&self, step: &Step) -> WordCount {
        let held = self.grants.iter().find(|own| own.grant.from == step.from);
        let through = held.map_or(0, |own| own.through.0.min(step.through.0));
        WordCount((through + step.words.0).saturating_sub(step.through.0))
    }

    /// The next unspent position: one past everything granted.
    pub fn next(&self) -> PaywordIndex {
        self.grants.iter().map(|own| own.grant.to).max().unwrap_or(PaywordIndex(1))
    }

    /// Words that were granted to nobody.
    pub fn remaining(&self) -> WordCount {
        let end = self.ecoin.touchstone.content.n.next();
        WordCount(end.0.saturating_sub(self.next().0))
    }

    /// Words that may still be paid out: those granted to nobody, and those that no payee acknowledged.
    pub fn unspent(&self) -> WordCount {
        self.grants.iter().fold(self.remaining(), |sum, own| sum.plus(leftover(own)))
    }
}

/// Words of a grant that its payee has not acknowledged.
pub fn leftover(own: &OwnGrant) -> WordCount {
    WordCount(own.grant.to.0.saturating_sub(own.acked.next().0))
}

/// Words by what each is worth.
#[derive(Clone, Default, Debug)]
pub struct Words(BTreeMap<UnitValue, u64>);

impl Words {
    /// Those that can pay this payee now.
    pub fn free(chains: &[Chain], due: &Due<'_>, busy: &dyn Fn(&OwnGrant) -> bool) -> Self {
        let mut words = Self::default();
        let blocked = |own: &OwnGrant| busy(own) || (own.is_open() && own.payee != due.payee);
        for chain in chains.iter().filter(|chain| chain.suits(due) && !chain.grants.iter().any(blocked)) {
            let left = chain.grants.iter().filter(|own| own.payee == due.payee).map(leftover);
            let words_here = left.fold(chain.remaining(), WordCount::plus);
            *words.0.entry(chain.ecoin.touchstone.content.unit_value).or_default() += u64::from(words_here.0);
        }
        words
    }

    /// The same without some.
    fn without(&self, unit: UnitValue, words: WordCount) -> Self {
        let mut rest = self.clone();
        if let Some(there) = rest.0.get_mut(&unit) {
            *there = there.saturating_sub(u64::from(words.0));
        }
        rest
    }

    /// The least that can be paid which is at least `price`: the largest words first, and at the end one word too many
    /// if they do not add up. `None` when there are not enough.
    pub fn total_for(&self, price: Units) -> Option<Units> {
        let (mut left, mut above) = (price.0, None::<u64>);
        for (unit, there) in self.0.iter().rev().filter(|(unit, there)| unit.0 > 0 && **there > 0) {
            let used = (left / u64::from(unit.0)).min(*there);
            left -= used * u64::from(unit.0);
            if used < *there {
                let total = (price.0 - left).saturating_add(u64::from(unit.0));
                above = Some(above.map_or(total, |above| above.min(total)));
            }
        }
        if left == 0 { Some(price) } else { above.map(Units) }
    }
}

/// Chooses. `busy` are the grants on which another order's payment is still unanswered. Never a step after which the
/// rest cannot be paid within the most, if there is another; then least overpayment; then what a grant to this payee
/// left over, the chain whose last grant is for this same order, a chain where nothing is open.
pub fn choose<'a>(chains: &'a [Chain], due: &Due<'_>, busy: &dyn Fn(&OwnGrant) -> bool) -> Option<(&'a Chain, Step)> {
    let fitting = || chains.iter().filter(|chain| chain.suits(due));
    let ours = |own: &&OwnGrant| own.payee == due.payee && leftover(own).0 > 0 && !busy(own);
    let left = fitting().filter_map(|chain| {
        let own = chain.grants.iter().find(ours)?;
        Some((chain, use_leftover(chain, own, due)?, None))
    });
    let grown = fitting().filter_map(|chain| Some((chain, grow(chain, due, busy)?, None)));
    let begun = fitting()
        .filter(|chain| chain.remaining().0 > 0)
        .filter(|chain| !chain.grants.iter().any(|own| own.is_open() || busy(own)))
        .filter_map(|chain| Some((chain, begin(chain, due)?, Some(preference(chain, due)))));
    let too_much = |chain: &Chain, step: &Step| {
        step.words.worth(chain.ecoin.touchstone.content.unit_value).saturating_sub(due.in_all)
    };
    let words = Words::free(chains, due, busy);
    let is_dead_end = |chain: &Chain, step: &Step| {
        let unit = chain.ecoin.touchstone.content.unit_value;
        let worth = step.words.worth(unit);
        let rest = words.without(unit, step.words).total_for(due.in_all.saturating_sub(worth));
        rest.is_none_or(|rest| rest > due.most.saturating_sub(worth))
    };
    left.chain(grown)
        .chain(begun)
        .min_by_key(|(chain, step, preference)| (is_dead_end(chain, step), too_much(chain, step), *preference))
        .map(|(chain, step, _)| (chain, step))
}

/// Least first: overpayment; a chain that is long enough; then in a session a fresh one, otherwise one already begun.
fn preference(chain: &Chain, due: &Due<'_>) -> (Units, bool, bool, WordCount) {
    let unit = chain.ecoin.touchstone.content.unit_value;
    let words = unit.words_due(due.in_all).unwrap_or(WordCount(MAX_CHAIN_LENGTH));
    let fresh = chain.grants.is_empty();
    (
        words.worth(unit).saturating_sub(due.in_all),
        chain.remaining() < words,
        match due.mode {
            Mode::Session => !fresh,
            Mode::PerPayment => fresh,
        },
        chain.remaining(),
    )
}

/// The words that pay so much, as far as they are there and may be paid.
fn words_now(chain: &Chain, units: Units, there: WordCount, due: &Due<'_>) -> Option<WordCount> {
    let unit = chain.ecoin.touchstone.content.unit_value;
    let allowed = due.most.0.checked_div(u64::from(unit.0))?;
    let allowed = u32::try_from(allowed).map_or(there, |allowed| there.min(WordCount(allowed)));
    let words = unit.words_due(units).unwrap_or(allowed).min(allowed);
    (words.0 > 0).then_some(words)
}

fn use_leftover(chain: &Chain, own: &OwnGrant, due: &Due<'_>) -> Option<Step> {
    let words = words_now(chain, due.now, leftover(own), due)?;
    Some(Step { from: own.grant.from, to: own.grant.to, through: PaywordIndex(own.acked.0 + words.0), words })
}

/// The grant with the highest `from`, if all are closed, it is this payee's, and bound to the same order.
fn grow(chain: &Chain, due: &Due<'_>, busy: &dyn Fn(&OwnGrant) -> bool) -> Option<Step> {
    let own = chain.grants.last()?;
    let same = own.payee == due.payee && own.grant.order == due.bound_to;
    if !same || chain.grants.iter().any(|own| own.is_open() || busy(own)) {
        return None;
    }
    let granted = own.grant.to.0.saturating_sub(own.grant.from.0);
    // Ahead only of a payee that acknowledged a payment: what an open grant locks is lost if it takes none.
    let ahead = if own.acked < own.grant.from { 0 } else { granted.clamp(FIRST_AHEAD, MOST_AHEAD) };
    extend(chain, own.grant.from, own.grant.to, ahead, due)
}

fn begin(chain: &Chain, due: &Due<'_>) -> Option<Step> {
    extend(chain, chain.next(), chain.next(), 0, due)
}

/// How far a session reaches ahead at first.
const FIRST_AHEAD: u32 = 16;
/// How far a grant grows at once at most.
const MOST_AHEAD: u32 = 64;

/// Words from `at` on, under the grant that begins at `from`.
fn extend(chain: &Chain, from: PaywordIndex, at: PaywordIndex, ahead: u32, due: &Due<'_>) -> Option<Step> {
    let remaining = chain.remaining();
    let words = words_now(chain, due.now, remaining, due)?;
    let granted = match due.mode {
        Mode::PerPayment => words,
        // Never beyond what the order still needs, or the chain has.
        Mode::Session => words_now(chain, due.in_all, remaining, due)?.min(WordCount(ahead)).max(words),
    };
    Some(Step { from, to: PaywordIndex(at.0 + granted.0), through: PaywordIndex(at.0 + words.0 - 1), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_price_if_the_words_add_up_and_otherwise_at_most_one_word_more() {
        for (words, price, total) in [
            (&[(1, 10)][..], 10, Some(10)),
            (&[(1, 10)], 11, None),
            (&[(5, 4)], 18, Some(20)),
            (&[(5, 4)], 20, Some(20)),
            (&[(5, 4)], 21, None),
            (&[(5, 9), (1, 3)], 18, Some(18)),
            (&[(5, 9), (1, 2)], 18, Some(20)),
            (&[(5, 3), (1, 2)], 18, None),
            (&[(100, 1), (5, 1)], 3, Some(5)),
            (&[(100, 1)], 3, Some(100)),
            (&[], 0, Some(0)),
            (&[], 1, None),
        ] {
            let held = Words(words.iter().map(|(unit, there)| (UnitValue(*unit), *there)).collect());
            assert_eq!(held.total_for(Units(price)), total.map(Units), "{words:?} {price}");
        }
    }
}
