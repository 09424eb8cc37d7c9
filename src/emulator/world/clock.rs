//! Times as the service writes them: microseconds inside, milliseconds and `Z` outside.

const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 of a proleptic Gregorian date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let shifted = (month + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2026-11-22T01:13:27.105Z`: what is below a millisecond is cut off, as the service does.
pub(crate) fn iso(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let millis = rest / 1000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        millis / 3_600_000,
        millis / 60_000 % 60,
        millis / 1000 % 60,
        millis % 1000
    )
}

/// Reads digits; `None` unless there are exactly `count`.
fn digits(text: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = text.split_at_checked(count)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *text = tail;
    Some(head.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn literal(text: &mut &[u8], byte: u8) -> bool {
    let found = text.first() == Some(&byte);
    if found {
        *text = &text[1..];
    }
    found
}

/// Parses the ISO 8601 forms the service accepts: a date, or a date and time with any fraction and
/// an optional offset. `None` for everything else (numbers, words, RFC dates, impossible days).
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = if literal(&mut rest, b'-') { digits(&mut rest, 2)? } else { 1 };
    let day = if literal(&mut rest, b'-') { digits(&mut rest, 2)? } else { 1 };
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let mut micros = days * DAY;
    if literal(&mut rest, b'T') || literal(&mut rest, b' ') {
        micros += time_of_day(&mut rest)?;
        micros -= offset(&mut rest)?;
    }
    rest.is_empty().then_some(micros)
}

fn time_of_day(rest: &mut &[u8]) -> Option<i64> {
    let hour = digits(rest, 2)?;
    let minute = if literal(rest, b':') { digits(rest, 2)? } else { 0 };
    let second = if literal(rest, b':') { digits(rest, 2)? } else { 0 };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = ((hour * 60 + minute) * 60 + second) * 1_000_000;
    if literal(rest, b'.') || literal(rest, b',') {
        let mut unit = 100_000;
        let mut any = false;
        while let Some(digit) = rest.first().filter(|byte| byte.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
            any = true;
            *rest = &rest[1..];
        }
        if !any {
            return None;
        }
    }
    Some(micros)
}

fn offset(rest: &mut &[u8]) -> Option<i64> {
    if rest.is_empty() || literal(rest, b'Z') {
        return Some(0);
    }
    let sign = if literal(rest, b'+') {
        1
    } else if literal(rest, b'-') {
        -1
    } else {
        return None;
    };
    let hours = digits(rest, 2)?;
    literal(rest, b':');
    let minutes = if rest.is_empty() { 0 } else { digits(rest, 2)? };
    Some(sign * (hours * 60 + minutes) * 60_000_000)
}

/// Cuts a client's time to the millisecond the database keeps.
pub(crate) fn to_millis(micros: i64) -> i64 {
    micros.div_euclid(1000) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_recorded_forms() {
        for text in [
            "2026-11-22T01:13:27.105Z",
            "1969-12-31T23:59:59.000Z",
            "1000-01-01T00:00:00.000Z",
            "9999-12-31T23:59:59.000Z",
            "2000-02-29T12:00:00.001Z",
        ] {
            assert_eq!(parse_iso(text).map(iso).as_deref(), Some(text));
        }
        assert_eq!(parse_iso("2020-01-01").map(iso).as_deref(), Some("2020-01-01T00:00:00.000Z"));
        let nanos = parse_iso("2026-11-22T01:09:37.81973349Z").map(iso);
        assert_eq!(nanos.as_deref(), Some("2026-11-22T01:09:37.819Z"));
        assert_eq!(parse_iso("2020-01-01T02:00:00+02:00"), parse_iso("2020-01-01"));
    }

    #[test]
    fn refuses_what_is_not_a_date() {
        for text in ["yesterday", "", "2021-02-29", "2020-13-01", "1577836800000", "2020-01-01T25:00:00Z"] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }
}
