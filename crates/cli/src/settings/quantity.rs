//! Durations and rates as people write them. A number without a unit is refused: "30" has meant minutes to one reader
//! and seconds to the next often enough.

use std::time::Duration;

/// Reads `90s`, `5m`, `1h30m`, `30d`, `500ms`. Units: `ms`, `s`, `m` or `min`, `h`, `d`, `w`, larger ones first.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    let mut unit_before = u64::MAX;
    while !rest.is_empty() {
        let (number, behind) = leading_number(rest)?;
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let millis = unit_millis(unit)?;
        if millis >= unit_before {
            return None;
        }
        unit_before = millis;
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = behind.trim_start();
    }
    (unit_before != u64::MAX).then_some(total)
}

/// Reads `100MiB/s`, `1GB/s`: bytes a second, more than none. `kB`, `MB`, `GB` count in thousands, `KiB`, `MiB`, `GiB` in 1024.
#[must_use]
pub fn rate(text: &str) -> Option<u64> {
    bytes(text.trim().strip_suffix("/s")?).filter(|rate| *rate > 0)
}

/// Reads `512MiB`, `1 GB`, `100B`.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    number.checked_mul(unit_bytes(unit.trim())?)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest.trim_start()))
}

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    })
}

fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_their_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1h30m"), Some(5400.0));
        assert_eq!(seconds("1h 30min"), Some(5400.0));
        assert_eq!(seconds("30d"), Some(2_592_000.0));
        assert_eq!(seconds("250ms"), Some(0.25));
        for bad in
            ["", "30", "s", "1x", "-1s", "1.5h", "1m1h", "1s1s", "99999999999999999999s", "1h30", "1µs"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_tell_thousands_from_1024() {
        assert_eq!(bytes("1 MiB"), Some(1 << 20));
        assert_eq!(bytes("1MB"), Some(1_000_000));
        assert_eq!(rate("10MiB/s"), Some(10 << 20));
        for bad in ["", "10", "MiB", "1mib", "18446744073709551615KiB", "1MiB/h"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(rate("0MiB/s"), None);
        assert_eq!(rate("5MiB"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _read = (duration(&text), bytes(&text), rate(&text));
        }
    }
}
