//! Dates of header fields, in the three forms of RFC 9110 section 5.6.7. Pure.
//!
//! Case does not matter (RFC 9111 section 4.2: dates in the wild differ in it), everything else
//! does: a date that is nearly right may have been meant otherwise. The name of the weekday says
//! nothing that the day does not, so that a wrong one is let pass.

use crate::clock::UnixMillis;

/// Reads a date; `None` where it is malformed, impossible or before 1970.
///
/// A year of two digits from 70 on is of the last century. That is what every other reader makes
/// of it, and within the fifty years that the RFC asks for until 2069 at the latest.
#[must_use]
pub fn parse(text: &[u8]) -> Option<UnixMillis> {
    let parts: Vec<_> = text.split(|byte| *byte == b' ').take(PARTS_MAX).collect();
    let (day, month, year, time) = match parts.as_slice() {
        [weekday, day, month, year, time, zone] if is_named(weekday, b",", 3) => {
            if !zone.eq_ignore_ascii_case(b"GMT") {
                return None;
            }
            (number(day, 2)?, *month, number(year, 4)?, *time)
        }
        [weekday, date, time, zone] if zone.eq_ignore_ascii_case(b"GMT") => {
            let (day, month, year) = dashed(date)?;
            if !is_named(weekday, b",", usize::MAX) {
                return None;
            }
            (day, month, year, *time)
        }
        [weekday, month, b"", day, time, year] if is_named(weekday, b"", 3) => {
            (number(day, 1)?, *month, number(year, 4)?, *time)
        }
        [weekday, month, day, time, year] if is_named(weekday, b"", 3) => {
            (number(day, 2)?, *month, number(year, 4)?, *time)
        }
        _ => return None,
    };
    let days = days_since_epoch(year, month, day)?;
    let seconds = days
        .checked_mul(SECONDS_OF_DAY)?
        .checked_add(clock(time)?)?;
    Some(UnixMillis(seconds.checked_mul(1000)?))
}

/// `06-Nov-94`.
fn dashed(date: &[u8]) -> Option<(u64, &[u8], u64)> {
    let parts: Vec<_> = date.split(|byte| *byte == b'-').take(4).collect();
    let [day, month, year] = parts.as_slice() else {
        return None;
    };
    let year = number(year, 2)?;
    let century = if year < FIRST_YEAR % 100 { 2000 } else { 1900 };
    Some((number(day, 2)?, month, century + year))
}

/// Whether a part is a weekday, shortened to so many letters, and then this mark.
fn is_named(part: &[u8], mark: &[u8], letters: usize) -> bool {
    let Some(name) = part.strip_suffix(mark) else {
        return false;
    };
    WEEKDAYS
        .iter()
        .map(|weekday| weekday.get(..letters).unwrap_or(weekday))
        .any(|weekday| name.eq_ignore_ascii_case(weekday))
}

/// `08:49:37`, as seconds of the day. A leap second is a second too many there.
fn clock(time: &[u8]) -> Option<u64> {
    let parts: Vec<_> = time.split(|byte| *byte == b':').take(4).collect();
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn days_since_epoch(year: u64, month: &[u8], day: u64) -> Option<u64> {
    let years = year.checked_sub(FIRST_YEAR)?;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let mut days = years * 365 + leap_days(year - 1) - leap_days(FIRST_YEAR - 1);
    for (name, length) in MONTHS {
        let length = length + u64::from(is_leap && name == b"Feb");
        if name.eq_ignore_ascii_case(month) {
            return (1..=length).contains(&day).then(|| days + day - 1);
        }
        days += length;
    }
    None
}

fn number(text: &[u8], digits: usize) -> Option<u64> {
    if text.len() != digits {
        return None;
    }
    crate::http::fields::digits(text)
}

/// One more than any form has.
const PARTS_MAX: usize = 7;

/// The first year that a moment can lie in.
const FIRST_YEAR: u64 = 1970;

const SECONDS_OF_DAY: u64 = 86_400;

const WEEKDAYS: [&[u8]; 7] = [
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
    b"Sunday",
];

/// Names of the months, with the days that they have in most years.
const MONTHS: [(&[u8], u64); 12] = [
    (b"Jan", 31),
    (b"Feb", 28),
    (b"Mar", 31),
    (b"Apr", 30),
    (b"May", 31),
    (b"Jun", 30),
    (b"Jul", 31),
    (b"Aug", 31),
    (b"Sep", 30),
    (b"Oct", 31),
    (b"Nov", 30),
    (b"Dec", 31),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};

    use super::*;

    #[test]
    fn dates_are_read_in_three_forms_and_in_any_case() {
        let cases = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("sUN, 06 nOV 1994 08:49:37 gmt", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thursday, 18-Aug-50 02:01:18 GMT", Some(2_544_400_878)),
            ("Thu, 18 Aug 2050 02:01:18 GMT", Some(2_544_400_878)),
            // The day was a Monday.
            ("Thu Aug  8 02:01:18 2050", Some(2_543_536_878)),
            ("Thu Aug 18 02:01:18 2050", Some(2_544_400_878)),
            ("Tue, 19 Jan 2038 14:14:08 GMT", Some(2_147_523_248)),
            ("Sun, 21 Nov 2286 04:46:39 GMT", Some(10_000_039_599)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Thu, 29 Feb 1900 00:00:00 GMT", None),
            ("Thu, 29 Feb 2001 00:00:00 GMT", None),
            ("Thu, 31 Apr 2050 02:01:18 GMT", None),
            ("Thu, 00 Aug 2050 02:01:18 GMT", None),
            ("Thu, 18 Aug 2050 24:01:18 GMT", None),
            ("Thu, 18 Aug 2050 02:60:18 GMT", None),
            ("Thu, 18 Aug 2050 02:01:18 UTC", None),
            ("Thu, 18 Aug 2050 02:01:18 AEST", None),
            ("Thu, 18 Aug 2050 02:01:18", None),
            ("Thu, 18 Aug 50 02:01:18 GMT", None),
            ("Thu 18 Aug 2050 02:01:18 GMT", None),
            ("Thu, 18  Aug 2050 02:01:18 GMT", None),
            ("Thu,  18 Aug 2050 02:01:18 GMT", None),
            ("Thu, 18-Aug-2050 02:01:18 GMT", None),
            ("Thu, 18 Aug 2050 02.01.18 GMT", None),
            ("Thu, 18 Aug 2050 2:01:18 GMT", None),
            ("Thu, 8 Aug 2050 02:01:18 GMT", None),
            ("Thu, 18 August 2050 02:01:18 GMT", None),
            ("Xyz, 18 Aug 2050 02:01:18 GMT", None),
            ("Thursda, 18-Aug-50 02:01:18 GMT", None),
            ("Thu Aug 8 02:01:18 2050", None),
            ("Sun, 31 Dec 1969 23:59:59 GMT", None),
            ("0", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let got = parse(text.as_bytes());
            assert_eq!(
                got,
                expected.map(|secs: u64| UnixMillis(secs * 1000)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..253_402_300_800_u64) {
            let moment = UnixMillis::default().after(Duration::from_secs(seconds));
            let text = httpdate::fmt_http_date(moment.to_system_time());
            assert_eq!(parse(text.as_bytes()), Some(moment));
        }

        #[test]
        fn any_text_is_read_without_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            assert!(parse(&text).is_none_or(|moment| moment.0.is_multiple_of(1000)));
        }
    }
}
