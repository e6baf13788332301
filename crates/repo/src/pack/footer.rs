//! What a pack's footer says of its frames: which pages of which files each holds, with their digests.
//!
//! Promises that what is decoded keeps the limits of a frame and names only paths that pass `check_path`, in memory
//! proportional to the input. The encoder takes frames as they are sealed, so that a builder never holds them twice.
//! Deliberately apart from the footer's table of frames (lengths, encoding), which every kind of object has: `object`.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::FRAME_PLAIN_BYTES_MAX;
use crate::keys::{PAGE_DIGEST_BYTES, PageDigest};
use crate::map::path::{PathProblem, check_path};
use crate::map::place::PAGE_BYTES;

/// Least bytes of a path and of a slot: what a count is checked against.
const PATH_BYTES_MIN: usize = 2;
const SLOT_BYTES_MIN: usize = 4 + PAGE_DIGEST_BYTES;

/// Highest page number: that of the last byte of the largest file.
const PAGE_MAX: u64 = i64::MAX as u64 / PAGE_BYTES as u64;

/// Consecutive pages of one file within a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Index into the paths.
    pub path: u32,
    /// The first page, counted in the file.
    pub first_page: u64,
    /// Bytes of the last page, 1 to 8,192; the others are whole.
    pub last_page_bytes: u16,
    /// One digest a page.
    pub digests: Vec<PageDigest>,
}

impl Slot {
    /// Bytes in the plain frame.
    pub fn plain_bytes(&self) -> usize {
        self.digests.len().saturating_sub(1) * PAGE_BYTES + usize::from(self.last_page_bytes)
    }
}

/// The contents of a pack's footer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackContents {
    /// Paths, named by slots.
    pub paths: Vec<Vec<u8>>,
    /// The slots of each frame, in the order of its plain bytes.
    pub frames: Vec<Vec<Slot>>,
}

/// Why the contents of a footer are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// Its bytes make no sense.
    #[error("damaged list of pages")]
    Damaged(#[from] DecodeError),
    /// A path that must not be.
    #[error("refused path {}: {problem}", path.escape_ascii())]
    Path {
        /// Which, or its beginning.
        path: Vec<u8>,
        /// Why.
        problem: PathProblem,
    },
    /// A frame whose slots add up to something else than its plain length.
    #[error("frame {frame} of {plain_length} bytes should hold {listed} bytes of pages")]
    Length {
        /// Which.
        frame: usize,
        /// Its plain length.
        plain_length: u64,
        /// Bytes of its slots.
        listed: u64,
    },
}

impl PackContents {
    /// The written form.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = ContentsWriter::default();
        self.paths.iter().for_each(|path| writer.path(path));
        self.frames.iter().for_each(|slots| writer.frame(slots));
        writer.into_bytes()
    }

    /// Reads the contents of a footer whose table lists frames of these plain lengths.
    pub fn decode(contents: &[u8], plain_lengths: &[u32]) -> Result<Self, ContentsError> {
        let mut from = Reader::new(contents);
        let count = from.count(PATH_BYTES_MIN)?;
        let paths = (0..count).map(|_| read_path(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let frames = plain_lengths.iter().map(|_| read_frame(paths.len(), &mut from));
        let frames = frames.collect::<Result<Vec<_>, _>>()?;
        from.finish()?;
        for (frame, (slots, plain_length)) in frames.iter().zip(plain_lengths).enumerate() {
            let listed = slots.iter().map(|slot| slot.plain_bytes() as u64).sum();
            let plain_length = u64::from(*plain_length);
            if listed != plain_length {
                return Err(ContentsError::Length { frame, plain_length, listed });
            }
        }
        Ok(Self { paths, frames })
    }
}

fn read_path(from: &mut Reader<'_>) -> Result<Vec<u8>, ContentsError> {
    let path = from.bytes()?;
    let shown = || path.iter().take(80).copied().collect();
    check_path(path).map_err(|problem| ContentsError::Path { path: shown(), problem })?;
    Ok(path.to_vec())
}

fn read_frame(paths: usize, from: &mut Reader<'_>) -> Result<Vec<Slot>, DecodeError> {
    let count = from.count(SLOT_BYTES_MIN)?;
    (0..count).map(|_| read_slot(paths, from)).collect()
}

fn read_slot(paths: usize, from: &mut Reader<'_>) -> Result<Slot, DecodeError> {
    let path = from.varint_u32("index of a path")?;
    if path as usize >= paths {
        return Err(from.invalid("a slot names a path that is not in the list"));
    }
    let first_page = from.varint_in("first page of a slot", 0, PAGE_MAX)?;
    let pages_max = (FRAME_PLAIN_BYTES_MAX / PAGE_BYTES) as u64;
    let pages = from.varint_in("pages of a slot", 1, pages_max)?;
    let last = from.varint_in("bytes of a last page", 1, PAGE_BYTES as u64)?;
    let digests = (0..pages).map(|_| from.array()).collect::<Result<_, _>>()?;
    // At most 8,192.
    Ok(Slot { path, first_page, last_page_bytes: last as u16, digests })
}

/// Writes contents frame by frame.
#[derive(Debug, Default)]
pub(super) struct ContentsWriter {
    paths: Writer,
    path_count: usize,
    frames: Writer,
}

impl ContentsWriter {
    /// Adds the next path; its index is the number of paths before it.
    pub(super) fn path(&mut self, path: &[u8]) {
        self.paths.bytes(path);
        self.path_count += 1;
    }

    /// Adds the next frame.
    pub(super) fn frame(&mut self, slots: &[Slot]) {
        self.frames.count(slots.len());
        for slot in slots {
            self.frames.varint(slot.path.into());
            self.frames.varint(slot.first_page);
            self.frames.count(slot.digests.len());
            self.frames.varint(slot.last_page_bytes.into());
            slot.digests.iter().for_each(|digest| self.frames.raw(digest));
        }
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.paths.len() + self.frames.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut all = Writer::with_capacity(self.len() + 10);
        all.count(self.path_count);
        all.raw(self.paths.as_slice());
        all.raw(self.frames.as_slice());
        all.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn lengths(contents: &PackContents) -> Vec<u32> {
        contents
            .frames
            .iter()
            .map(|slots| slots.iter().map(Slot::plain_bytes).sum::<usize>() as u32)
            .collect()
    }

    #[test]
    fn contents_have_the_documented_bytes() {
        let slot = Slot { path: 0, first_page: 300, last_page_bytes: 5, digests: vec![[1; 16], [2; 16]] };
        let contents = PackContents { paths: vec![b"base/1".to_vec()], frames: vec![vec![slot], vec![]] };
        let expected = [&[1, 6][..], b"base/1", &[1, 0, 0xac, 0x02, 2, 5], &[1; 16], &[2; 16], &[0]].concat();
        assert_eq!(contents.encode(), expected);
        assert_eq!(PackContents::decode(&expected, &[8_197, 0]), Ok(contents));
        let wrong = ContentsError::Length { frame: 0, plain_length: 8_198, listed: 8_197 };
        assert_eq!(PackContents::decode(&expected, &[8_198, 0]), Err(wrong));
    }

    #[test]
    fn damaged_counts_and_hostile_paths_are_refused() {
        let refused = |contents: &[u8]| PackContents::decode(contents, &[8_192]).unwrap_err();
        assert!(matches!(refused(&[0xff, 0xff, 0x7f]), ContentsError::Damaged(_)));
        assert!(matches!(refused(&[1, 2, b'.', b'.', 0]), ContentsError::Path { .. }));
        assert!(matches!(refused(&[0, 0xff, 0x7f]), ContentsError::Damaged(_)));
        let slot = |path: u8, pages: u8, last: [u8; 2]| {
            [&[1, 1, b'a', 1, path, 0, pages], &last[..], &[1; 16]].concat()
        };
        assert!(PackContents::decode(&slot(0, 1, [0x80, 0x40]), &[8_192]).is_ok());
        assert!(matches!(refused(&slot(1, 1, [0x80, 0x40])), ContentsError::Damaged(_)));
        assert!(matches!(refused(&slot(0, 0, [0x80, 0x40])), ContentsError::Damaged(_)));
        assert!(matches!(refused(&slot(0, 2, [0x80, 0x40])), ContentsError::Damaged(_)));
        assert!(matches!(refused(&slot(0, 1, [0x81, 0x40])), ContentsError::Damaged(_)));
    }

    fn any_slot() -> impl Strategy<Value = Slot> {
        (0..3u32, 0..=PAGE_MAX, 1..=8_192u16, vec(any::<PageDigest>(), 1..6)).prop_map(
            |(path, first_page, last_page_bytes, digests)| Slot {
                path,
                first_page,
                last_page_bytes,
                digests,
            },
        )
    }

    proptest! {
        #[test]
        fn contents_round_trip(frames in vec(vec(any_slot(), 0..4), 0..6)) {
            let paths = vec![b"PG_VERSION".to_vec(), b"base/1/2".to_vec(), b"x\xff".to_vec()];
            let contents = PackContents { paths, frames };
            prop_assert_eq!(PackContents::decode(&contents.encode(), &lengths(&contents)), Ok(contents));
        }

        #[test]
        fn hostile_contents_are_read_or_refused(bytes in vec(any::<u8>(), 0..300), frames in 0..4usize) {
            drop(PackContents::decode(&bytes, &vec![8_192; frames]));
        }
    }
}
