//! Little-endian fields out of foreign bytes: `None` where the bytes end too early, never a panic.

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// A decimal number as PostgreSQL writes it in names: digits only, no sign, no leading zero, above zero.
pub(crate) fn plain_number(digits: &[u8]) -> Option<u32> {
    let starts_well = digits.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    let text = std::str::from_utf8(digits).ok()?;
    if !starts_well || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_end_are_absent() {
        assert_eq!(u32_at(&[1, 0, 0, 0], 0), Some(1));
        assert_eq!(u32_at(&[1, 0, 0, 0], 1), None);
        assert_eq!(u64_at(&[], usize::MAX), None);
        assert_eq!(u8_at(&[7], 0), Some(7));
        assert_eq!(u16_at(&[1, 2], 0), Some(0x0201));
    }

    #[test]
    fn plain_numbers_have_one_spelling() {
        assert_eq!(plain_number(b"16384"), Some(16384));
        assert_eq!(plain_number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"0", b"01", b"+1", b"-1", b"4294967296", b"1 ", b"1a"] {
            assert_eq!(plain_number(bad), None, "{bad:?}");
        }
    }
}
