//! Times as people write them (RFC 3339, UTC). Pure arithmetic: no clock, no time zones.

const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970 as RFC 3339, to the millisecond.
pub fn rfc3339(ms: u64) -> String {
    let (mut days, in_day) = (ms / DAY_MS, ms % DAY_MS);
    let mut year = 1970_u64;
    // At most a few hundred steps before times that nobody means; those are written as the last one.
    while days >= days_of(year) && year < 9_999 {
        days -= days_of(year);
        year += 1;
    }
    let mut month = 1_u64;
    while month < 12 && days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", days.min(30) + 1, in_day % 1_000)
}

/// Reads a time: milliseconds since 1970, a date (`2026-11-24`), or RFC 3339 in UTC (`2026-11-24T10:00:00Z`).
pub fn parse(text: &str) -> Result<u64, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| expected(text));
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let numbers = |text: &str, by: char| text.split(by).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    let date = numbers(date, '-').map_err(|_| expected(text))?;
    let time = time.strip_suffix('Z').ok_or_else(|| expected(text))?;
    let (time, millis) = time.split_once('.').unwrap_or((time, "0"));
    let millis = format!("{millis:0<3}").get(..3).and_then(|text| text.parse::<u64>().ok());
    let time = numbers(time, ':').map_err(|_| expected(text))?;
    let (&[year, month, day], &[hour, minute, second], Some(millis)) = (date.as_slice(), time.as_slice(), millis)
    else {
        return Err(expected(text));
    };
    let good = (1970..=9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !good {
        return Err(expected(text));
    }
    let years: u64 = (1970..year).map(days_of).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Ok((years + months + day - 1) * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1_000 + millis)
}

fn expected(text: &str) -> String {
    format!("expected a time like 2026-11-24, 2026-11-24T10:00:00Z or milliseconds since 1970, got {text:?}")
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back_also_at_the_ends_of_days_months_and_leap_years() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (DAY_MS - 1, "1970-01-01T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
            assert_eq!(parse(text), Ok(ms));
        }
        assert_eq!(parse("2026-11-24"), Ok(1_795_478_400_000));
        assert_eq!(parse("1795478400000"), Ok(1_795_478_400_000));
        assert_eq!(parse("2026-11-24T01:02:03.5Z"), Ok(1_795_478_400_000 + 3_723_500));
        for wrong in ["", "yesterday", "2026-02-29", "2026-13-01", "2026-11-24T24:00:00Z", "2026-11-24T10:00:00", "-5"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
