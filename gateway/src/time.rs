//! Moments as the outside writes them: RFC 3339 in UTC, with milliseconds.
//! Never reads a clock.

use farerush_engine::flight::Timestamp;

/// Length of a moment as it is written: `2026-12-24T08:30:00.000Z`.
pub const CHARS: usize = 24;

const DAY_MS: i64 = 86_400_000;
/// 0001-01-01T00:00:00Z and the last millisecond of the year 9999, the moments that have four digits for the year.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// A day of the calendar (proleptic Gregorian, UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Year, 1 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
}

/// The day of a moment (moments before year 1 or after 9999 count as the first or last one).
#[expect(clippy::cast_possible_truncation, reason = "clamped to four-digit years")]
pub fn day_of(at: Timestamp) -> Day {
    // Days since 0000-03-01, so that the leap day is the last of its year; eras of 400 years have 146,097 days.
    let days = at.as_millis().clamp(FIRST_MS, LAST_MS).div_euclid(DAY_MS) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
    let year = (era * 400 + year_of_era + i64::from(month <= 2)) as u16;
    Day { year, month, day }
}

/// Writes a moment into `text`.
#[expect(clippy::cast_possible_truncation, reason = "each part has its few digits")]
pub fn write(at: Timestamp, text: &mut [u8; CHARS]) {
    let millis = at.as_millis().clamp(FIRST_MS, LAST_MS);
    let day = day_of(at);
    let of_day = millis.rem_euclid(DAY_MS) as u32;
    let mut put = |start: usize, digits: usize, mut number: u32| {
        for place in (start..start + digits).rev() {
            text[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, u32::from(day.year));
    put(5, 2, u32::from(day.month));
    put(8, 2, u32::from(day.day));
    put(11, 2, of_day / 3_600_000);
    put(14, 2, of_day / 60_000 % 60);
    put(17, 2, of_day / 1000 % 60);
    put(20, 3, of_day % 1000);
    for (place, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')] {
        text[place] = mark;
    }
}

/// A moment as text.
pub fn text(at: Timestamp) -> String {
    let mut text = [0; CHARS];
    write(at, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads a moment: RFC 3339 with an offset, years 1970 to 9999; finer than milliseconds is cut off.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp =
        text.parse().map_err(|_| "must be a time such as 2026-12-24T08:30:00Z".to_owned())?;
    let millis = at.as_millisecond();
    if !(0..=LAST_MS).contains(&millis) {
        return Err("must be in the years 1970 to 9999".to_owned());
    }
    Ok(Timestamp::from_millis(millis))
}

/// Reads a day, `2026-12-24`: its first moment and the first one after it, in UTC.
pub fn parse_day(text: &str) -> Result<(Timestamp, Timestamp), String> {
    let message = || "must be a date such as 2026-12-24".to_owned();
    if text.len() != 10 {
        return Err(message());
    }
    let start = parse(&format!("{text}T00:00:00Z")).map_err(|_| message())?;
    Ok((start, start.plus_millis(DAY_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_a_calendar_library_writes_it() {
        let mut millis = FIRST_MS;
        while millis <= LAST_MS {
            let at = jiff::Timestamp::from_millisecond(millis).unwrap();
            let expected = format!("{at:.3}");
            assert_eq!(text(Timestamp::from_millis(millis)), expected);
            // A stride that meets every day of the year and every hour, in the end.
            millis += 12_345_678_987 / 2;
        }
    }

    #[test]
    fn every_day_around_leap_years_is_right() {
        for start in ["1999-12-31", "2000-02-27", "2024-02-27", "2100-02-27", "2026-12-30"] {
            for day in 0..5 {
                let at = Timestamp::from_millis(parse_day(start).unwrap().0.as_millis() + day * DAY_MS);
                let expected = format!("{:.3}", jiff::Timestamp::from_millisecond(at.as_millis()).unwrap());
                assert_eq!(text(at), expected);
            }
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for moment in ["2026-12-24T08:30:00.123Z", "1970-01-01T00:00:00.000Z", "9999-12-29T23:59:59.999Z"] {
            assert_eq!(text(parse(moment).unwrap()), moment);
        }
        assert_eq!(text(parse("2026-12-24T08:30:00+08:00").unwrap()), "2026-12-24T00:30:00.000Z");
    }

    #[test]
    fn nonsense_is_no_moment() {
        for text in [
            "",
            "tomorrow",
            "2026-12-24",
            "2026-13-24T00:00:00Z",
            "2026-12-24T08:30:00",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["2026-12-2", "2026-02-30", "2026-12-24T0", "20261224  "] {
            assert!(parse_day(text).is_err(), "{text}");
        }
    }
}
