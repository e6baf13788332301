//! Sizes, durations and times for people. Every function is pure; what a machine reads goes out as plain numbers.

use std::time::Duration;

use jiff::Timestamp;
use seawall_engine::words::Time;

/// A size in binary units with three significant digits: `512 B`, `1.5 KiB`, `32 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 9.95) + usize::from(value < 99.5);
    let digits = format!("{value:.decimals$}");
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits} {}", UNITS.get(unit).copied().unwrap_or("EiB"))
}

/// A duration with its two largest units: `4 s`, `2 min 30 s`, `3 d 4 h`; below ten seconds with tenths, below one in ms.
#[must_use]
pub fn duration(duration: Duration) -> String {
    if duration < Duration::from_millis(1) && !duration.is_zero() {
        return "under 1 ms".to_owned();
    }
    if duration < Duration::from_secs(1) {
        return format!("{} ms", duration.as_millis());
    }
    if duration < Duration::from_millis(9_950) {
        let text = format!("{:.1}", duration.as_secs_f64());
        return format!("{} s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, length)| seconds >= *length).unwrap_or(3);
    let mut rest = seconds;
    let mut parts = Vec::with_capacity(2);
    for (name, length) in units.iter().skip(first).take(2) {
        if rest / length > 0 {
            parts.push(format!("{} {name}", rest / length));
        }
        rest %= length;
    }
    parts.join(" ")
}

/// A moment as RFC 3339 in UTC, with as many digits of a second as it has.
#[must_use]
pub fn time(time: Time) -> String {
    Timestamp::from_microsecond(time.micros()).map_or_else(|_| time.to_string(), |moment| moment.to_string())
}

/// How long ago something was: `3 min ago`, or `in 3 min` when the other clock is ahead.
#[must_use]
pub fn ago(then: Time, now: Time) -> String {
    let micros = now.micros().saturating_sub(then.micros());
    let text = duration(Duration::from_micros(micros.unsigned_abs()));
    if micros < 0 { format!("in {text}") } else { format!("{text} ago") }
}

/// A number with thin groups: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            (1_048_575, "1 MiB"),
            (123_456_789, "118 MiB"),
            (5_476_083_302, "5.1 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(size(bytes), wanted, "{bytes}");
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (4_250, "4.2 s"),
            (9_960, "10 s"),
            (59_600, "1 min"),
            (150_000, "2 min 30 s"),
            (3_600_000, "1 h"),
            (86_400_000 + 60_000, "1 d"),
            (97_200_000, "1 d 3 h"),
        ];
        for (millis, wanted) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), wanted, "{millis}");
        }
        assert_eq!(duration(Duration::from_micros(20)), "under 1 ms");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let at = |micros| time(Time::from_micros(micros).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_500_000), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn a_clock_that_is_behind_is_not_hidden() {
        let at = |micros| Time::from_micros(micros).unwrap();
        assert_eq!(ago(at(0), at(90_000_000)), "1 min 30 s ago");
        assert_eq!(ago(at(90_000_000), at(0)), "in 1 min 30 s");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(counted(1, "file", "files"), "1 file");
    }
}
