//! Moments as the outside writes them: RFC 3339 in UTC, with milliseconds.
//! Never reads a clock.

use std::fmt;

use farerush_engine::flight::Timestamp;

/// Length of a moment as it is written: `2026-12-24T08:30:00.000Z`.
pub const CHARS: usize = 24;

/// A day, in milliseconds.
pub const DAY_MS: i64 = 86_400_000;
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

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Day {
    /// Its first moment in UTC.
    pub fn start(self) -> Timestamp {
        Timestamp::from_millis(days_since_1970(self) * DAY_MS)
    }
}

/// Whether a moment is one of the years 1 to 9999, so that it can be written.
pub fn is_writable(at: Timestamp) -> bool {
    (FIRST_MS..=LAST_MS).contains(&at.as_millis())
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

/// What is said about a text that is no moment.
const NO_MOMENT: &str = "must be an RFC 3339 time with seconds and an offset, such as 2026-12-24T08:30:00Z or \
                         2026-12-24T16:30:00+08:00";

/// Reads a moment: RFC 3339, and nothing that only resembles it, in the years 1970 to 9999. Finer than milliseconds is cut
/// off. `t` and `z` may be small, as the RFC has it. A leap second is refused: no moment in here could tell it from the
/// second after it.
///
/// Every time that comes from outside is read here, so that all of them are written the same way.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let (day, millis_of_day, offset_minutes) = parts(text.as_bytes()).ok_or_else(|| NO_MOMENT.to_owned())?;
    if text.as_bytes()[17..19] == *b"60" {
        return Err("must not be in a leap second: write the second before or after it".to_owned());
    }
    let millis = days_since_1970(day) * DAY_MS + millis_of_day - offset_minutes * 60_000;
    if !(0..=LAST_MS).contains(&millis) {
        return Err("must be in the years 1970 to 9999".to_owned());
    }
    Ok(Timestamp::from_millis(millis))
}

/// `2026-12-24T08:30:00.123+08:00` as its day, the milliseconds of that day and the offset in minutes.
fn parts(text: &[u8]) -> Option<(Day, i64, i64)> {
    let day = day_in(text.get(..10)?)?;
    let clock = text.get(10..19)?;
    if !matches!(clock[0], b'T' | b't') || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let (hour, minute) = (number(&clock[1..3], 23)?, number(&clock[4..6], 59)?);
    let second = number(&clock[7..9], 60)?;
    let mut rest = &text[19..];
    let mut millis = 0;
    if let Some((b'.', fraction)) = rest.split_first() {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for place in 0..3 {
            millis = millis * 10 + fraction[..digits].get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        rest = &fraction[digits..];
    }
    let offset_minutes = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let minutes = 60 * number(hours, 23)? + number(&[*tens, *ones], 59)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some((day, ((hour * 60 + minute) * 60 + second) * 1000 + millis, offset_minutes))
}

/// `2026-12-24`, if there is such a day.
fn day_in(text: &[u8]) -> Option<Day> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = u16::try_from(number(&text[..4], 9999)?).ok()?;
    let month = u8::try_from(number(&text[5..7], 12)?).ok()?;
    let day = u8::try_from(number(&text[8..], 31)?).ok()?;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        0 => return None,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    (year >= 1 && (1..=last).contains(&day)).then_some(Day { year, month, day })
}

/// A number of nothing but digits, up to `max`.
fn number(digits: &[u8], max: i64) -> Option<i64> {
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    (number <= max).then_some(number)
}

/// Days from 1970-01-01 to `day`.
fn days_since_1970(day: Day) -> i64 {
    // As in `day_of`: the year begins in March, eras have 400 years.
    let (month, day_of_month) = (i64::from(day.month), i64::from(day.day));
    let year = i64::from(day.year) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads a day of the years 1970 to 9999, `2026-12-24`.
pub fn parse_day(text: &str) -> Result<Day, String> {
    let message = || "must be a date such as 2026-12-24".to_owned();
    day_in(text.as_bytes()).filter(|day| day.year >= 1970).ok_or_else(message)
}

/// Whole milliseconds.
pub fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
                let at = parse_day(start).unwrap().start().plus_millis(day * DAY_MS);
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
    fn a_moment_is_read_as_rfc_3339_has_it_whatever_its_offset_and_fraction() {
        for (written, expected) in [
            ("2027-03-01T08:30:00Z", "2027-03-01T08:30:00.000Z"),
            ("2027-03-01t08:30:00z", "2027-03-01T08:30:00.000Z"),
            ("2027-03-01T08:30:00.5Z", "2027-03-01T08:30:00.500Z"),
            ("2027-03-01T08:30:00.123999999999Z", "2027-03-01T08:30:00.123Z"),
            ("2027-03-01T08:30:00+08:00", "2027-03-01T00:30:00.000Z"),
            ("2027-03-01T00:30:00+08:00", "2027-02-28T16:30:00.000Z"),
            ("2027-03-01T08:30:00-00:00", "2027-03-01T08:30:00.000Z"),
            ("2027-03-01T08:30:00+23:59", "2027-02-28T08:31:00.000Z"),
            ("2028-02-29T23:59:59.999-11:00", "2028-03-01T10:59:59.999Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(parse(written).map(text), Ok(expected.to_owned()), "{written}");
        }
    }

    #[test]
    fn a_moment_is_read_as_a_calendar_library_reads_it() {
        let mut millis = 0;
        while millis <= LAST_MS {
            let at = Timestamp::from_millis(millis);
            assert_eq!(parse(&text(at)), Ok(at));
            // jiff ends a day before the year does, so that every offset has room.
            if let Ok(theirs) = text(at).parse::<jiff::Timestamp>() {
                assert_eq!(theirs.as_millisecond(), millis);
            }
            millis += 12_345_678_987;
        }
    }

    #[test]
    fn nothing_but_rfc_3339_is_a_moment() {
        for text in [
            "2027-03-01 08:30:00Z",
            "2027-03-01_08:30:00Z",
            "2027-03-01T08:30:00+08:00[Asia/Taipei]",
            "2027-03-01T08:30:00+08:00[Europe/Paris]",
            "2027-03-01T08:30:00Z[UTC]",
            "2027-03-01T08:30:00[UTC]",
            "2027-03-01T08:30:00Z[u-ca=gregory]",
            "20270301T083000Z",
            "20270301T08:30:00Z",
            "2027-03-01T083000Z",
            "2027-03-01T08:30Z",
            "2027-03-01T08Z",
            "2027-03-01T08:30:00",
            "2027-03-01T08:30:00+08",
            "2027-03-01T08:30:00+0800",
            "2027-03-01T08:30:00+08:00:00",
            "2027-03-01T08:30:00+8:00",
            "2027-03-01T08:30:00+24:00",
            "2027-03-01T08:30:00+08:60",
            "2027-03-01T08:30:00 08:00",
            "2027-03-01T08:30:00\u{2212}08:00",
            "2027-03-01T08:30:00,5Z",
            "2027-03-01T08:30:00.Z",
            "2027-03-01T08:30.5Z",
            "2027-03-01T24:00:00Z",
            "2027-03-01T08:60:00Z",
            "2027-03-01T08:30:61Z",
            "2027-02-29T08:30:00Z",
            "2100-02-29T08:30:00Z",
            "2027-00-01T08:30:00Z",
            "2027-03-00T08:30:00Z",
            "2027-04-31T08:30:00Z",
            "2027-W09-1T08:30:00Z",
            "2027-060T08:30:00Z",
            "+002027-03-01T08:30:00Z",
            "0000-03-01T08:30:00Z",
            "27-03-01T08:30:00Z",
            "2027-3-1T8:30:00Z",
            " 2027-03-01T08:30:00Z",
            "2027-03-01T08:30:00Z ",
            "2027-03-01T08:30:00ZZ",
            "２０２７-03-01T08:30:00Z",
            "Mon, 01 Mar 2027 08:30:00 GMT",
            "1798102800",
            "now",
            "",
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains("2026-12-24T08:30:00Z"), "{text}: {refused}");
        }
        let leap_second = parse("2026-12-31T23:59:60Z").expect_err("a leap second");
        assert!(leap_second.contains("leap second"), "{leap_second}");
        for text in ["1969-12-31T23:59:59Z", "1970-01-01T00:30:00+01:00", "9999-12-31T23:59:59-00:01"] {
            assert!(parse(text).expect_err(text).contains("1970 to 9999"), "{text}");
        }
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
        for text in ["2026-12-2", "2026-02-30", "2026-12-24T0", "20261224  ", "1969-12-31"] {
            assert!(parse_day(text).is_err(), "{text}");
        }
    }
}
