//! Moments of a ledger as people name them: a position, or a time.

use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment. `1234` is a position, `1764000000000ms` and `2026-11-24T12:00:00Z` are times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    /// After this record.
    Position(u64),
    /// After everything that was recorded up to this time, in milliseconds since 1970.
    Time(u64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let since_1970 = |time: OffsetDateTime| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok();
        let position = digits(text).map(Self::Position);
        let ms = || text.strip_suffix("ms").and_then(digits).map(Self::Time);
        let date = || OffsetDateTime::parse(text, &Rfc3339).ok().and_then(since_1970).map(Self::Time);
        position.or_else(ms).or_else(date).ok_or_else(|| {
            format!("expected a position (1234) or a time (2026-11-24T12:00:00Z or 1764000000000ms), got {text:?}")
        })
    }
}

/// A time for people, to the millisecond.
pub(super) fn shown(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ms}ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_position_and_a_time_says_that_it_is_one() {
        for (text, moment) in [
            ("0", Moment::Position(0)),
            ("1234", Moment::Position(1234)),
            ("1764000000000", Moment::Position(1_764_000_000_000)),
            ("1764000000000ms", Moment::Time(1_764_000_000_000)),
            ("1970-01-01T00:00:00Z", Moment::Time(0)),
            ("2026-11-24T12:00:00.5Z", Moment::Time(1_795_521_600_500)),
            ("2026-11-24T13:00:00+01:00", Moment::Time(1_795_521_600_000)),
        ] {
            assert_eq!(text.parse(), Ok(moment));
        }
        for wrong in
            ["", "ms", "-1", "yesterday", "2026-11-24", "2026-02-29T00:00:00Z", "1969-12-31T23:59:59Z", "1.5ms"]
        {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        assert_eq!(shown(1_795_521_600_500), "2026-11-24T12:00:00.5Z");
        assert_eq!(shown(u64::MAX), "18446744073709551615ms");
    }
}
