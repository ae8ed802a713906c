//! Which time zone an airport keeps, and what its clocks show at a moment. All data is in the binary: nothing depends on the
//! machine. Never reads a clock.

use std::sync::LazyLock;

use farerush_engine::flight::{FlightDefinition, TimeZoneName, Timestamp};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::time::{self, Day};

/// The zone of a flight that has none of its own and starts where no zone is known: only flights of before there were
/// zones can be one.
const UNKNOWN: &str = "UTC";
/// The last moment for which the calendar library has an offset: a day before the year 9999 ends.
const LAST_OFFSET_MS: i64 = 253_402_207_200_000;
const AIRPORTS: &str = include_str!("../../data/airports.txt");
/// Codes of three letters.
const CODES: usize = 26 * 26 * 26;

/// For each code, one more than the place of its zone among all zones, or 0 if it is no airport's.
struct Airports {
    zones: Vec<&'static str>,
    places: Box<[u16; CODES]>,
}

static TABLE: LazyLock<Airports> = LazyLock::new(|| {
    let mut table = Airports { zones: Vec::new(), places: Box::new([0; CODES]) };
    for line in AIRPORTS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        table.zones.extend(words.next());
        let place = u16::try_from(table.zones.len()).unwrap_or(0);
        for code in words.filter_map(number_of) {
            table.places[code] = place;
        }
    }
    table
});

fn number_of(code: &str) -> Option<usize> {
    let [a, b, c] = *code.as_bytes() else { return None };
    [a, b, c].into_iter().try_fold(0, |number, letter| {
        letter.is_ascii_uppercase().then(|| number * 26 + usize::from(letter - b'A'))
    })
}

/// The zone that an airport keeps, by its IATA code in upper case; `None` if it is not known.
pub fn of_airport(code: &str) -> Option<&'static str> {
    let table = &*TABLE;
    let place = table.places[number_of(code)?];
    table.zones.get(usize::from(place).checked_sub(1)?).copied()
}

/// A zone by its IANA name, in either case: the name as it is kept.
pub fn named(name: &str) -> Result<TimeZoneName, String> {
    let wrong = || "must be the IANA name of a time zone, such as Asia/Taipei".to_owned();
    // `Factory` and `Etc/Unknown` say that there is none.
    let zone = find(name).filter(|zone| !zone.is_unknown() && zone.iana_name() != Some("Factory"));
    zone.as_ref()
        .and_then(TimeZone::iana_name)
        .and_then(|name| TimeZoneName::new(name).ok())
        .ok_or_else(wrong)
}

fn find(name: &str) -> Option<TimeZone> {
    // The bundled database keeps what it has parsed, so that this is a look-up.
    TimeZoneDatabase::bundled().get(name).ok()
}

/// The zone of a flight's origin: its own; of flights of before there were zones, that of the airport as far as it is known.
pub fn of_flight(definition: &FlightDefinition) -> &str {
    match &definition.origin_time_zone {
        Some(zone) => zone.as_str(),
        None => of_airport(&definition.origin).unwrap_or(UNKNOWN),
    }
}

/// What the clocks at a flight's origin show when it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    at: Timestamp,
    offset_minutes: i16,
}

impl LocalTime {
    /// When this flight leaves.
    pub fn of_departure(definition: &FlightDefinition) -> Self {
        Self::at(definition.departs_at, of_flight(definition))
    }

    /// This moment in this zone; in UTC if there is no such zone.
    pub fn at(at: Timestamp, zone: &str) -> Self {
        let millis = at.as_millis().clamp(0, LAST_OFFSET_MS);
        let offset = jiff::Timestamp::from_millisecond(millis)
            .ok()
            .and_then(|at| Some(find(zone)?.to_offset(at).seconds()))
            .unwrap_or(0);
        // RFC 3339 has no seconds in an offset, and no place has had any since 1972.
        Self { at, offset_minutes: i16::try_from(offset / 60).unwrap_or(0) }
    }

    /// The day that the calendar there shows: the service day.
    pub fn day(self) -> Day {
        time::day_of(self.shown())
    }

    /// RFC 3339 with the offset: `2027-03-01T06:30:00.000+08:00`.
    pub fn text(self) -> String {
        let mut text = time::text(self.shown());
        text.pop();
        let minutes = self.offset_minutes.unsigned_abs();
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
        text
    }

    /// Whether its day has a year of four digits, there as in UTC.
    pub fn is_writable(self) -> bool {
        time::is_writable(self.shown())
    }

    /// The moment at which clocks in UTC show what the clocks there do.
    fn shown(self) -> Timestamp {
        self.at.plus_millis(i64::from(self.offset_minutes) * 60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(at: &str, zone: &str) -> String {
        LocalTime::at(time::parse(at).unwrap(), zone).text()
    }

    #[test]
    fn every_airport_of_the_table_has_a_zone_that_there_is() {
        let mut count = 0;
        for line in AIRPORTS.lines().filter(|line| !line.starts_with('#')) {
            let (zone, codes) = line.split_once(' ').unwrap();
            assert_eq!(named(zone).as_ref().map(TimeZoneName::as_str), Ok(zone));
            for code in codes.split(' ') {
                assert_eq!(of_airport(code), Some(zone), "{code}");
                count += 1;
            }
        }
        assert!(count > 7_500, "{count} airports");
        let busy = [
            ("TPE", "Asia/Taipei"),
            ("TSA", "Asia/Taipei"),
            ("KHH", "Asia/Taipei"),
            ("NRT", "Asia/Tokyo"),
            ("LHR", "Europe/London"),
            ("JFK", "America/New_York"),
            ("KTM", "Asia/Kathmandu"),
            ("CXI", "Pacific/Kiritimati"),
            ("PPG", "Pacific/Pago_Pago"),
            ("CJS", "America/Ciudad_Juarez"),
            ("URC", "Asia/Shanghai"),
        ];
        for (code, zone) in busy {
            assert_eq!(of_airport(code), Some(zone), "{code}");
        }
        for code in ["QQQ", "LON", "tpe", "", "TP", "TPEX", "T1E", "臺"] {
            assert_eq!(of_airport(code), None, "{code}");
        }
    }

    #[test]
    fn a_zone_is_named_as_the_database_has_it() {
        for (given, kept) in [
            ("Asia/Taipei", "Asia/Taipei"),
            ("asia/taipei", "Asia/Taipei"),
            ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("UTC", "UTC"),
            ("Etc/GMT+12", "Etc/GMT+12"),
        ] {
            assert_eq!(named(given).as_ref().map(TimeZoneName::as_str), Ok(kept), "{given}");
        }
        let long = "A".repeat(1000);
        for none in [
            "",
            "Taipei",
            "Asia/Nowhere",
            "+08:00",
            "UTC+8",
            "CST6CDT,M3.2.0",
            "Etc/Unknown",
            "Factory",
            "../UTC",
            " Asia/Taipei",
            &long,
        ] {
            assert!(named(none).unwrap_err().contains("Asia/Taipei"), "{none}");
        }
    }

    #[test]
    fn clocks_show_what_the_law_of_the_place_says_also_where_they_are_turned() {
        for (at, zone, expected) in [
            ("2027-02-28T22:30:00Z", "Asia/Taipei", "2027-03-01T06:30:00.000+08:00"),
            ("2027-03-01T00:30:00Z", "Asia/Kathmandu", "2027-03-01T06:15:00.000+05:45"),
            // Clocks go from 02:00 to 03:00: there is no half past two.
            ("2027-03-14T06:59:59Z", "America/New_York", "2027-03-14T01:59:59.000-05:00"),
            ("2027-03-14T07:00:00Z", "America/New_York", "2027-03-14T03:00:00.000-04:00"),
            // And from 02:00 back to 01:00: half past one comes twice, told apart by the offset.
            ("2027-11-07T05:30:00Z", "America/New_York", "2027-11-07T01:30:00.000-04:00"),
            ("2027-11-07T06:30:00Z", "America/New_York", "2027-11-07T01:30:00.000-05:00"),
            // Half an hour of summer time.
            ("2027-07-01T00:00:00Z", "Australia/Lord_Howe", "2027-07-01T10:30:00.000+10:30"),
            ("2027-01-01T00:00:00Z", "Australia/Lord_Howe", "2027-01-01T11:00:00.000+11:00"),
            ("2027-03-01T10:00:00Z", "Pacific/Kiritimati", "2027-03-02T00:00:00.000+14:00"),
            ("2027-03-01T10:59:59.999Z", "Pacific/Pago_Pago", "2027-02-28T23:59:59.999-11:00"),
            ("2027-03-01T11:00:00Z", "Pacific/Pago_Pago", "2027-03-01T00:00:00.000-11:00"),
            ("2027-03-01T08:30:00Z", "UTC", "2027-03-01T08:30:00.000+00:00"),
            ("2027-03-01T08:30:00Z", "Gone/Since", "2027-03-01T08:30:00.000+00:00"),
        ] {
            assert_eq!(local(at, zone), expected, "{at} {zone}");
            // It is the same moment, and one that can be sent back.
            assert_eq!(time::parse(expected), time::parse(at), "{at} {zone}");
        }
        let last = time::parse("9999-12-31T23:59:59.999Z").unwrap();
        assert!(LocalTime::at(last, "America/New_York").is_writable());
        assert!(!LocalTime::at(last, "Asia/Taipei").is_writable());
    }

    #[test]
    fn the_service_day_changes_at_midnight_there_and_not_in_utc() {
        let day = |at: &str, zone: &str| LocalTime::at(time::parse(at).unwrap(), zone).day().to_string();
        for (at, zone, expected) in [
            ("2027-02-28T15:59:59.999Z", "Asia/Taipei", "2027-02-28"),
            ("2027-02-28T16:00:00Z", "Asia/Taipei", "2027-03-01"),
            ("2027-02-28T09:59:59.999Z", "Pacific/Kiritimati", "2027-02-28"),
            ("2027-02-28T10:00:00Z", "Pacific/Kiritimati", "2027-03-01"),
            ("2027-03-01T10:59:59.999Z", "Pacific/Pago_Pago", "2027-02-28"),
            ("2028-03-01T10:00:00Z", "Pacific/Pago_Pago", "2028-02-29"),
        ] {
            assert_eq!(day(at, zone), expected, "{at} {zone}");
        }
    }
}
