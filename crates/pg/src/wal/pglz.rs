//! PostgreSQL's own compression, the way back only (`src/common/pg_lzcompress.c`).
//!
//! Promises: writes into the room given and nowhere else, whatever the input says; all input is used and all room is filled, or
//! it is no such stream.
//!
//! The stream is groups of one control byte and eight things, told apart by its bits, the lowest first: 0 is a byte to be taken
//! as it is, 1 is two or three bytes that name a length and how far back to copy from.

/// Decompresses into exactly `out`; false where the input is not what gives that.
pub(super) fn decompress(mut input: &[u8], out: &mut [u8]) -> bool {
    let mut at = 0usize;
    while let Some((control, rest)) = input.split_first() {
        input = rest;
        for bit in 0..8u8 {
            if input.is_empty() || at == out.len() {
                break;
            }
            let step = if control >> bit & 1 == 0 {
                literal(&mut input, out, at)
            } else {
                copy(&mut input, out, at)
            };
            match step {
                Some(count) => at = at.saturating_add(count),
                None => return false,
            }
        }
        if at == out.len() {
            break;
        }
    }
    at == out.len() && input.is_empty()
}

fn literal(input: &mut &[u8], out: &mut [u8], at: usize) -> Option<usize> {
    let (byte, rest) = input.split_first()?;
    *out.get_mut(at)? = *byte;
    *input = rest;
    Some(1)
}

/// Copies from what is already there; source and target may overlap, which repeats.
fn copy(input: &mut &[u8], out: &mut [u8], at: usize) -> Option<usize> {
    let ([first, second], mut rest) = input.split_first_chunk::<2>()?;
    let mut length = usize::from(first & 0x0F).saturating_add(3);
    let back = usize::from(first & 0xF0) << 4 | usize::from(*second);
    if length == 18 {
        let (more, after) = rest.split_first()?;
        length = length.saturating_add(usize::from(*more));
        rest = after;
    }
    *input = rest;
    let from = at.checked_sub(back).filter(|_| back > 0)?;
    let length = length.min(out.len().saturating_sub(at));
    let mut done = 0usize;
    while done < length {
        // What lies between source and target, which grows with each turn.
        let piece = at.saturating_add(done).saturating_sub(from).min(length.saturating_sub(done));
        out.copy_within(from..from.saturating_add(piece), at.saturating_add(done));
        done = done.saturating_add(piece);
    }
    Some(length)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plainest compressor that uses every kind of tag.
    pub(in crate::wal) fn compress(plain: &[u8]) -> Vec<u8> {
        let (mut out, mut control_at, mut bits) = (Vec::new(), 0, 8);
        let mut at = 0;
        while at < plain.len() {
            if bits == 8 {
                (control_at, bits) = (out.len(), 0);
                out.push(0);
            }
            let longest = (1..=at.min(4095))
                .map(|back| {
                    let same = plain[at..].iter().zip(&plain[at - back..]).take(273);
                    (same.take_while(|(a, b)| a == b).count(), back)
                })
                .max_by_key(|(length, back)| (*length, usize::MAX - back));
            match longest {
                Some((length, back)) if length >= 3 => {
                    out[control_at] |= 1 << bits;
                    out.push(((back >> 4) & 0xF0) as u8 | length.saturating_sub(3).min(15) as u8);
                    out.push(back as u8);
                    if length >= 18 {
                        out.push((length - 18) as u8);
                    }
                    at += length;
                }
                _ => {
                    out.push(plain[at]);
                    at += 1;
                }
            }
            bits += 1;
        }
        out
    }

    #[test]
    fn streams_that_are_wrong_are_refused() {
        let mut out = [0; 4];
        assert!(decompress(&[0, 1, 2, 3, 4], &mut out));
        assert_eq!(out, [1, 2, 3, 4]);
        assert!(decompress(&[2, 7, 0x00, 1], &mut out));
        assert_eq!(out, [7; 4]);
        for (bad, why) in [
            (&[][..], "nothing"),
            (&[0, 1, 2, 3], "too short"),
            (&[0, 1, 2, 3, 4, 5], "too long"),
            (&[1, 0, 1], "back before the start"),
            (&[2, 7, 0x00, 0], "back by nothing"),
            (&[2, 7, 0x00], "half a tag"),
            (&[2, 7, 0x0F, 1], "no length"),
        ] {
            assert!(!decompress(bad, &mut out), "{why}");
        }
        assert!(decompress(&[], &mut []));
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(runs in prop::collection::vec((0u8..4, 1usize..400), 0..20)) {
            let plain: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
            let mut out = vec![0xEE; plain.len()];
            prop_assert!(decompress(&compress(&plain), &mut out));
            prop_assert_eq!(out, plain);
        }

        #[test]
        fn any_bytes_stay_within_bounds(input: Vec<u8>, room in 0usize..9000) {
            decompress(&input, &mut vec![0; room]);
        }
    }
}
