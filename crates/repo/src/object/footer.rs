//! The footer: the table of an object's frames, and the contents that belong to the kind.
//!
//! Promises: a decoded table fills the body exactly; no frame overlaps another or leaves the body.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::{Encoding, FRAME_PLAIN_BYTES_MAX};
use crate::seal::TAG_BYTES;

/// Bytes behind the footer: its stored length and the number of frames.
pub(crate) const TRAILER_BYTES: usize = 8;

/// Where a frame lies in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameAt {
    /// Its number, from 0.
    pub number: u32,
    /// Where it begins, in bytes from the beginning of the body.
    pub offset: u64,
    /// Its bytes as stored, with the tag.
    pub stored_len: u32,
    /// Its bytes when opened.
    pub plain_len: u32,
    /// How its payload is written.
    pub encoding: Encoding,
}

/// An opened footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// All frames in their order.
    pub frames: Vec<FrameAt>,
    /// What belongs to the kind.
    pub contents: Vec<u8>,
}

/// The plain footer of `frames`, which lie one after the other.
pub(crate) fn encode(frames: &[FrameAt], contents: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(16 + 8 * frames.len() + contents.len());
    writer.count(frames.len());
    for frame in frames {
        writer.varint(u64::from(frame.stored_len));
        writer.varint(u64::from(frame.plain_len));
        writer.u8(frame.encoding.to_u8());
    }
    writer.raw(contents);
    writer.into_bytes()
}

/// Reads a plain footer. `frames` is their number as the trailer says, the table must fill the body from `from` to `to`.
pub(crate) fn decode(plain: &[u8], frames: u32, from: u64, to: u64) -> Result<Footer, DecodeError> {
    let mut reader = Reader::new(plain);
    let count = reader.count(3)?;
    if count as u64 != u64::from(frames) {
        return Err(reader.invalid("another number of frames than behind the footer"));
    }
    let mut table = Vec::with_capacity(count);
    let mut offset = from;
    for number in 0..frames {
        let frame = decode_frame(&mut reader, number, offset)?;
        offset = offset.saturating_add(u64::from(frame.stored_len));
        table.push(frame);
    }
    if offset != to {
        return Err(reader.invalid("frames do not fill the body"));
    }
    Ok(Footer { frames: table, contents: reader.rest().to_vec() })
}

fn decode_frame(reader: &mut Reader<'_>, number: u32, offset: u64) -> Result<FrameAt, DecodeError> {
    let stored_len = reader.varint_in("stored length", TAG_BYTES as u64, u64::from(u32::MAX))?;
    let plain_len = reader.varint_in("plain length", 0, FRAME_PLAIN_BYTES_MAX as u64)?;
    let encoding = Encoding::from_u8(reader.u8()?).ok_or_else(|| reader.invalid("unknown encoding"))?;
    // Both are bounded by `varint_in`.
    Ok(FrameAt { number, offset, stored_len: stored_len as u32, plain_len: plain_len as u32, encoding })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(lengths: &[(u32, u32, bool)], from: u64) -> Vec<FrameAt> {
        let mut offset = from;
        let numbered = lengths.iter().zip(0..);
        let frames = numbered.map(|(&(stored, plain_len, zstd), number)| {
            let encoding = if zstd { Encoding::Zstd } else { Encoding::Raw };
            let frame = FrameAt { number, offset, stored_len: stored + 16, plain_len, encoding };
            offset += u64::from(frame.stored_len);
            frame
        });
        frames.collect()
    }

    #[test]
    fn tables_that_do_not_fill_the_body_are_refused() {
        let frames = table(&[(10, 10, false), (20, 99, true)], 7);
        let plain = encode(&frames, b"contents");
        let read = |count, from, to| decode(&plain, count, from, to);
        assert_eq!(read(2, 7, 69), Ok(Footer { frames, contents: b"contents".to_vec() }));
        for (count, from, to) in [(1, 7, 69), (3, 7, 69), (2, 7, 68), (2, 7, 70), (2, 8, 69)] {
            assert!(read(count, from, to).is_err(), "{count} {from} {to}");
        }
        assert!(decode(&[1, 15, 0, 0], 1, 0, 15).is_err(), "shorter than a tag");
        assert!(decode(&[1, 16, 0, 2], 1, 0, 16).is_err(), "unknown encoding");
        assert!(decode(&[1, 16, 0x81, 0x80, 0x40, 0], 1, 0, 16).is_err(), "over 1 MiB of plain");
    }

    proptest! {
        #[test]
        fn footers_round_trip(
            lengths in proptest::collection::vec((0..2_000_000u32, 0..=FRAME_PLAIN_BYTES_MAX as u32, any::<bool>()), 0..40),
            from in 0..1_000_000u64, contents: Vec<u8>,
        ) {
            let frames = table(&lengths, from);
            let to = from + frames.iter().map(|frame| u64::from(frame.stored_len)).sum::<u64>();
            let read = decode(&encode(&frames, &contents), frames.len() as u32, from, to);
            prop_assert_eq!(read, Ok(Footer { frames, contents }));
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>, frames: u32, from: u64, to: u64) {
            drop(decode(&bytes, frames, from, to));
        }
    }
}
