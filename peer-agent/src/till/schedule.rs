//! When to redeem: when enough has come together, when it has waited long enough, at a time of day, and in any case well
//! before money would be lost.
//!
//! Pure: what the till holds, the schedule and a random number come in, a time comes out. Reads no clock, and redeems
//! nothing.

use std::time::Duration;

use netpay_protocol::amounts::Units;
use netpay_protocol::limits::{DAY_MS, HOUR_MS, MIN_REDEEM_WINDOW_MS};

/// How long before the earliest `redeem_until` everything is redeemed, whatever the schedule says. An e-coin may be
/// redeemed for at least twice this after it was last spent, so that much is left for a broker that is away.
pub const DEADLINE_MARGIN_MS: u64 = MIN_REDEEM_WINDOW_MS / 2;

/// The first pause after a redemption that failed, and the longest.
const PAUSES_MS: (u64, u64) = (2_000, HOUR_MS);

/// A time of day in UTC, in minutes after midnight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeOfDay(u64);

impl std::str::FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let two = |text: &str| text.parse::<u64>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
        let read = text.split_once(':').and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
        match read {
            Some((hour, minute)) if hour < 24 && minute < 60 => Ok(Self(hour * 60 + minute)),
            _ => Err(format!("expected a time of day in UTC like 03:30, got {text:?}")),
        }
    }
}

impl TimeOfDay {
    /// The first time that it is so late, at or after `ms`.
    fn first_at_or_after(self, ms: u64) -> u64 {
        let same_day = ms - ms % DAY_MS + self.0 * 60_000;
        if same_day < ms { same_day.saturating_add(DAY_MS) } else { same_day }
    }
}

/// When the person wants to redeem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// Whether at all; otherwise only before a deadline.
    pub on: bool,
    /// As soon as so much is not settled.
    pub at: Units,
    /// When the oldest of it came so long ago.
    pub after_ms: u64,
    /// Every day at this time, if there is something.
    pub daily_at: Option<TimeOfDay>,
    /// A random part of this is added to the times, so that not all peers come at once.
    pub jitter_ms: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { on: true, at: Units(10_000), after_ms: DAY_MS, daily_at: None, jitter_ms: HOUR_MS }
    }
}

/// What the till holds and no statement has settled: something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// What it is worth.
    pub worth: Units,
    /// How many claims that is.
    pub claims: usize,
    /// When the oldest of it came.
    pub oldest_ms: u64,
    /// The earliest time at which some of it is lost.
    pub redeem_until_ms: u64,
}

/// Why it is time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// Some of it would be lost soon.
    Deadline,
    /// It is worth enough.
    Worth,
    /// It has waited long enough.
    Age,
    /// It is that time of the day.
    Daily,
    /// The broker was restored from a backup, and may have forgotten it.
    Restored,
}

impl Why {
    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Deadline => "some of it could not be redeemed much longer",
            Self::Worth => "enough has come together",
            Self::Age => "it has waited long enough",
            Self::Daily => "it is the time of the day",
            Self::Restored => "the broker was restored from a backup",
        }
    }
}

/// When what is held is to be redeemed, and why then. `random` is any number, drawn once for a redemption.
pub fn when(held: &Held, schedule: &Schedule, random: u64) -> Option<(u64, Why)> {
    let part = random % schedule.jitter_ms.saturating_add(1).max(1);
    // Worth is reached by every peer at a time of its own: that needs no spreading. A deadline only comes earlier by it.
    let deadline = held.redeem_until_ms.saturating_sub(DEADLINE_MARGIN_MS).saturating_sub(part);
    let worth = (held.worth >= schedule.at).then_some(held.oldest_ms);
    let age = held.oldest_ms.saturating_add(schedule.after_ms).saturating_add(part);
    let daily = schedule.daily_at.map(|at| at.first_at_or_after(held.oldest_ms).saturating_add(part));
    let wanted = [(worth, Why::Worth), (Some(age), Why::Age), (daily, Why::Daily)];
    let wanted = wanted.into_iter().filter(|_| schedule.on).filter_map(|(at, why)| Some((at?, why)));
    wanted.chain([(deadline, Why::Deadline)]).min()
}

/// How long to wait after so many redemptions in a row that left something due: twice as long each time, and a random part
/// of it more.
pub fn pause(failures: u32, random: u64) -> Duration {
    let factor = 1_u64.checked_shl(failures.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
    let pause_ms = PAUSES_MS.0.saturating_mul(factor).min(PAUSES_MS.1);
    Duration::from_millis(pause_ms + random % (pause_ms / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;
    const FAR: u64 = NOON + 90 * DAY_MS;

    fn schedule() -> Schedule {
        Schedule { jitter_ms: 0, ..Schedule::default() }
    }

    fn held(worth: u64) -> Held {
        Held { worth: Units(worth), claims: 1, oldest_ms: NOON, redeem_until_ms: FAR }
    }

    #[test]
    fn it_is_due_by_worth_by_age_at_a_time_of_day_and_before_the_earliest_deadline() {
        let daily = |at: &str| Schedule { daily_at: Some(at.parse().expect("a time")), ..schedule() };
        let off = Schedule { on: false, ..daily("12:00") };
        let until = |redeem_until_ms| Held { redeem_until_ms, ..held(1) };
        let margin = DEADLINE_MARGIN_MS;
        for (what, held, schedule, expected) in [
            ("worth, one below", held(9_999), schedule(), (NOON + DAY_MS, Why::Age)),
            ("worth, at it", held(10_000), schedule(), (NOON, Why::Worth)),
            ("later this day", held(1), daily("12:01"), (NOON + 60_000, Why::Daily)),
            ("at this minute", held(1), daily("12:00"), (NOON, Why::Daily)),
            ("the next day", held(1), daily("11:59"), (NOON + DAY_MS - 60_000, Why::Daily)),
            ("a deadline after the age", until(NOON + margin + DAY_MS + 1), schedule(), (NOON + DAY_MS, Why::Age)),
            (
                "a deadline before the age",
                until(NOON + margin + DAY_MS - 1),
                schedule(),
                (NOON + DAY_MS - 1, Why::Deadline),
            ),
            ("a deadline although it is off", until(NOON + margin + 5), off.clone(), (NOON + 5, Why::Deadline)),
            ("nothing else when it is off", held(u64::MAX), off, (FAR - margin, Why::Deadline)),
            ("a deadline that is over", until(5), schedule(), (0, Why::Deadline)),
        ] {
            assert_eq!(when(&held, &schedule, 7), Some(expected), "{what}");
        }
    }

    #[test]
    fn the_random_part_spreads_times_over_the_interval_and_never_makes_a_deadline_later() {
        let schedule = Schedule { jitter_ms: 10, daily_at: Some(TimeOfDay(0)), ..Schedule::default() };
        let at = |held: &Held, random| when(held, &schedule, random).expect("due").0;
        let midnight = NOON + DAY_MS / 2;
        let times: Vec<u64> = (0..=11).map(|random| at(&held(1), random) - midnight).collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]);
        let soon = Held { redeem_until_ms: NOON + DEADLINE_MARGIN_MS + 20, ..held(1) };
        assert!((0..=11).all(|random| (NOON + 10..=NOON + 20).contains(&at(&soon, random))));
        assert_eq!(at(&held(10_000), 7), NOON, "what is worth enough waits for nothing");
        let wide = Schedule { jitter_ms: u64::MAX, ..Schedule::default() };
        assert!(when(&held(1), &wide, u64::MAX).is_some(), "the widest interval");
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_a_half() {
        let ms = |failures, random| u64::try_from(pause(failures, random).as_millis()).expect("short");
        assert_eq!([ms(1, 0), ms(2, 0), ms(3, 0)], [2_000, 4_000, 8_000]);
        assert_eq!(ms(1, 999), 2_999);
        assert_eq!(ms(u32::MAX, 0), HOUR_MS);
        assert!(ms(40, u64::MAX) < HOUR_MS + HOUR_MS / 2);
    }

    #[test]
    fn a_time_of_day_has_two_digits_each_and_is_one() {
        assert_eq!("03:30".parse(), Ok(TimeOfDay(210)));
        assert_eq!("23:59".parse(), Ok(TimeOfDay(1_439)));
        for wrong in ["", "3:30", "24:00", "12:60", "12", "12:00:00", "+1:00", "ab:cd"] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
    }
}
