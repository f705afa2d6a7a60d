//! Whether the broker's clock can be believed (DESIGN §3.7). Refunds and settled debts wait for a time: a clock that is ahead
//! would give words back that payees can still redeem.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use netpay_ledger::rows::Totals;

use crate::ports::now_ms;

/// How far wall clock and monotonic clock may come apart.
const MOST_DRIFT_MS: u64 = 5_000;
/// How long a broker may have stood still. After more than that nobody knows that the wall clock was not set meanwhile.
const MOST_PAUSE: Duration = Duration::from_secs(24 * 3_600);

/// The wall's time (ms since 1970) and the monotonic clock's, at one moment.
pub type Reading = (u64, Instant);

/// The wall clock, watched. It is in doubt once it jumped, until an operator has confirmed it.
pub struct Clock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    watch: Mutex<Watch>,
    latest_ms: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    wall_ms: u64,
    monotonic: Instant,
    trusted: bool,
}

impl Watch {
    fn start(wall_ms: u64, monotonic: Instant, last_record_ms: u64) -> Self {
        let pause_ms = u64::try_from(MOST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let trusted = last_record_ms == 0
            || wall_ms.abs_diff(last_record_ms) <= if wall_ms < last_record_ms { MOST_DRIFT_MS } else { pause_ms };
        Self { wall_ms, monotonic, trusted }
    }

    fn look(&mut self, wall_ms: u64, monotonic: Instant) -> bool {
        let passed = monotonic.saturating_duration_since(self.monotonic);
        let expected_ms = self.wall_ms.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        self.trusted &= wall_ms.abs_diff(expected_ms) <= MOST_DRIFT_MS;
        self.trusted
    }
}

impl Clock {
    /// Starts watching, as a broker starts on a ledger with these totals.
    pub fn new(totals: &Totals) -> Self {
        Self::reading(totals, || (now_ms(), Instant::now()))
    }

    /// The same, by clocks of the caller's.
    pub fn reading(totals: &Totals, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let (wall_ms, monotonic) = read();
        let mut watch = Watch::start(wall_ms, monotonic, totals.recorded_at_ms);
        watch.trusted &= totals.clock_doubted_at_ms.is_none();
        Self { read: Box::new(read), watch: Mutex::new(watch), latest_ms: AtomicU64::new(0) }
    }

    /// What the wall clock says, and never less than it said before: a request that was refused because its time was over
    /// must not be carried out a moment later.
    pub fn now_ms(&self) -> u64 {
        let wall_ms = (self.read)().0;
        self.latest_ms.fetch_max(wall_ms, Ordering::AcqRel).max(wall_ms)
    }

    /// Looks at both clocks.
    pub fn is_trusted(&self) -> bool {
        let (wall_ms, monotonic) = (self.read)();
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).look(wall_ms, monotonic)
    }

    /// An operator says that it is right as it is now.
    pub fn confirm(&self) {
        let (wall_ms, monotonic) = (self.read)();
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Watch::start(wall_ms, monotonic, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_000 * 24 * 3_600_000;
    const DAY_MS: u64 = 24 * 3_600_000;

    fn looks(jump: impl Fn(u64) -> u64) -> bool {
        let start = Instant::now();
        let mut watch = Watch::start(START_MS, start, 0);
        watch.look(jump(START_MS + 60_000), start + Duration::from_secs(60))
    }

    #[test]
    fn a_wall_clock_is_in_doubt_once_it_is_more_than_five_seconds_off() {
        assert!(looks(|wall| wall));
        assert!(looks(|wall| wall + 5_000) && looks(|wall| wall - 5_000));
        assert!(!looks(|wall| wall + 5_001) && !looks(|wall| wall - 5_001));
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_goes_on_saying_the_latest_time_it_said() {
        let wall_ms = std::sync::Arc::new(AtomicU64::new(START_MS));
        let read = std::sync::Arc::clone(&wall_ms);
        let clock = Clock::reading(&Totals::default(), move || (read.load(Ordering::Acquire), Instant::now()));
        for (wall, said) in [(START_MS, START_MS), (START_MS - 2_000, START_MS), (START_MS + 1, START_MS + 1)] {
            wall_ms.store(wall, Ordering::Release);
            assert_eq!(clock.now_ms(), said);
        }
    }

    #[test]
    fn a_clock_that_jumped_and_jumped_back_stays_in_doubt() {
        let start = Instant::now();
        let mut watch = Watch::start(START_MS, start, 0);
        assert!(!watch.look(START_MS + DAY_MS, start));
        assert!(!watch.look(START_MS, start));
    }

    #[test]
    fn a_start_more_than_a_day_after_the_last_record_or_before_it_is_in_doubt() {
        let start = |last_record_ms| Watch::start(START_MS, Instant::now(), last_record_ms).trusted;
        assert!(start(0), "a new ledger");
        assert!(start(START_MS - DAY_MS) && !start(START_MS - DAY_MS - 1));
        assert!(start(START_MS + 5_000) && !start(START_MS + 5_001));
    }

    #[test]
    fn a_confirmed_clock_is_watched_from_then_on() {
        let long_ago = Totals { recorded_at_ms: 1, ..Totals::default() };
        let doubted = Totals { recorded_at_ms: now_ms(), clock_doubted_at_ms: Some(1), ..Totals::default() };
        for totals in [long_ago, doubted] {
            let clock = Clock::new(&totals);
            assert!(!clock.is_trusted(), "{totals:?}");
            clock.confirm();
            assert!(clock.is_trusted());
        }
    }
}
