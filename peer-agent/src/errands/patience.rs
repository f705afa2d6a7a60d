//! Sending the same bytes again while the other side is busy or silent: a little later each time, and not for ever.
//!
//! Silence and *busy* change nothing for whoever asks, so the same message may go out again. A random part is added to
//! each pause: those who were turned away together do not come back together.

use std::time::Duration;

use crate::home::identity::random_u64;
use crate::ports::CallError;

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often to ask.
    pub tries: u32,
    /// The first pause.
    pub first: Duration,
    /// How much longer each next pause is.
    pub growth: u32,
    /// No try begins after so long.
    pub most: Duration,
}

/// With the broker and the index.
pub const BROKER: Patience =
    Patience { tries: 4, first: Duration::from_millis(200), growth: 2, most: Duration::from_secs(30) };

/// With a supplier, who answers soon or not at all.
pub const SUPPLIER: Patience =
    Patience { tries: 5, first: Duration::from_millis(50), growth: 3, most: Duration::from_secs(30) };

/// Whether asking again may bring another answer.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Problem(problem) => problem.kind.is_passing(),
        CallError::Silence(_) => true,
        CallError::Unreadable(_) => false,
    }
}

impl Patience {
    /// Asks until there is an answer, or no patience left. `ask` must send the same bytes each time.
    pub async fn ask<T>(self, ask: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
        let started = tokio::time::Instant::now();
        let mut wait = self.first;
        for _ in 1..self.tries {
            match ask().await {
                Err(error) if may_pass(&error) => {
                    let pause = wait.saturating_add(part_of(wait / 2));
                    if started.elapsed().saturating_add(pause) > self.most {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
            wait = wait.saturating_mul(self.growth);
        }
        ask().await
    }
}

/// A random part of an interval.
pub fn part_of(interval: Duration) -> Duration {
    let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random_u64() % ms.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netpay_protocol::problem::{Kind, Problem};

    use super::*;
    use crate::tests::trade::wait;

    /// How often was asked, and how long that took, when every answer is this one and takes so long.
    fn asked(error: impl Fn() -> CallError, each: Duration) -> (u32, Duration) {
        let count = Cell::new(0);
        let took = wait(async {
            let started = tokio::time::Instant::now();
            let ask = async || {
                count.set(count.get() + 1);
                tokio::time::sleep(each).await;
                Err::<(), _>(error())
            };
            BROKER.ask(ask).await.expect_err("never an answer");
            started.elapsed()
        });
        (count.get(), took)
    }

    #[test]
    fn busy_and_silence_are_asked_again_and_anything_else_is_an_answer() {
        let problem = |kind| move || CallError::Problem(Problem::new(kind, "no"));
        for kind in [Kind::Busy, Kind::Unavailable] {
            assert_eq!(asked(problem(kind), Duration::ZERO).0, 4, "{kind:?}");
        }
        assert_eq!(asked(|| CallError::Silence("lost".into()), Duration::ZERO).0, 4);
        assert_eq!(asked(problem(Kind::InsufficientFunds), Duration::ZERO).0, 1);
        assert_eq!(asked(|| CallError::Unreadable("x".into()), Duration::ZERO).0, 1);
    }

    #[test]
    fn pauses_grow_with_a_random_part_and_the_whole_is_bounded() {
        let silence = || CallError::Silence("lost".into());
        let (_, took) = asked(silence, Duration::ZERO);
        // 200, 400 and 800 ms, and up to half of each more.
        assert!((1_400..=2_110).contains(&took.as_millis()), "{took:?}");
        let (tries, took) = asked(silence, Duration::from_secs(10));
        assert!(tries == 3 && took < Duration::from_secs(31), "{tries} tries in {took:?}");
    }

    #[test]
    fn an_answer_that_comes_at_the_last_try_counts() {
        let count = Cell::new(0);
        let ask = async || {
            count.set(count.get() + 1);
            if count.get() < 4 { Err(CallError::Silence("lost".into())) } else { Ok(count.get()) }
        };
        assert_eq!(wait(BROKER.ask(ask)).ok(), Some(4));
    }
}
