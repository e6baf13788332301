//! Pieces of records that cross the end of a segment, kept so that neighbours can be joined without reading them again.
//!
//! Promises: a piece holds at most [`PIECE_FRONT_BYTES`] and [`PIECE_BACK_BYTES`] and the CRC of all its bytes, so a joined
//! record is checked whole even where it was not kept whole; what of it was not kept is told as missing.

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::version::Version;

use super::assembly::{Assembly, Keep};
use super::block::LayoutFault;
use super::record::{RECORD_HEADER_BYTES, Record, RecordFault};

/// How many of its first bytes a piece keeps. A segment alone cannot tell whether what it begins with is main data, so this is
/// nearly the bound for main data of a whole record.
pub const PIECE_FRONT_BYTES: usize = (1 << 20) - PIECE_BACK_BYTES;
/// How many of its last bytes: main data stands at the end, behind images.
pub const PIECE_BACK_BYTES: usize = 64 << 10;

/// A part of a record, without page headers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Piece {
    /// How long it is.
    pub bytes: u32,
    /// CRC-32C of all of it.
    pub crc: u32,
    /// Its first bytes.
    pub front: Vec<u8>,
    /// Where in it `back` begins; at or behind the end of `front`.
    pub back_at: u32,
    /// Bytes from there on: main data, or what came last.
    pub back: Vec<u8>,
}

/// The record that goes on in the next segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Where it begins.
    pub start: Lsn,
    /// How many bytes are missing.
    pub missing: u32,
    /// What was there of it.
    pub piece: Piece,
}

/// Why pieces do not make a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum JoinFault {
    #[error("the piece says that {says} bytes are missing before it, and {missing} are")]
    NotContinued { missing: u32, says: u32 },
    #[error("{missing} bytes are still missing")]
    Unfinished { missing: u32 },
    #[error("the record cannot be read from its pieces")]
    Record(#[from] RecordFault),
}

/// Puts a record together from the piece at the end of one segment and those at the starts of the next ones.
#[derive(Debug)]
pub struct Joiner {
    version: Version,
    assembly: Assembly,
    crc: u32,
}

impl Piece {
    /// Adds the bytes that follow.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let room = PIECE_FRONT_BYTES.saturating_sub(self.front.len());
        let (front, back) = bytes.split_at(room.min(bytes.len()));
        self.front.extend_from_slice(front);
        self.back.extend_from_slice(back);
        if self.back.len() > 2 * PIECE_BACK_BYTES {
            self.cut_back();
        }
    }

    /// Settles what is kept of the end.
    pub(super) fn finish(mut self) -> Self {
        self.cut_back();
        self
    }

    fn cut_back(&mut self) {
        let surplus = self.back.len().saturating_sub(PIECE_BACK_BYTES);
        self.back.drain(..surplus);
        self.back_at = self.bytes.saturating_sub(u32::try_from(self.back.len()).unwrap_or(u32::MAX));
    }

    /// Whether every byte of it was kept.
    pub fn is_whole(&self) -> bool {
        self.front.len().saturating_add(self.back.len()) == self.bytes as usize
    }

    /// Hands the piece to an assembly, with gaps where nothing was kept; false where it contradicts itself.
    fn give_to(&self, assembly: &mut Assembly) -> bool {
        let front = u32::try_from(self.front.len()).unwrap_or(u32::MAX);
        let back = u32::try_from(self.back.len()).unwrap_or(u32::MAX);
        let (Some(gap), Some(end)) = (self.back_at.checked_sub(front), self.back_at.checked_add(back)) else {
            return self.back.is_empty() && self.give_front(assembly, front);
        };
        let Some(rest) = self.bytes.checked_sub(end) else { return false };
        assembly.keep(&self.front);
        if gap > 0 {
            assembly.skip(gap);
        }
        assembly.keep(&self.back);
        if rest > 0 {
            assembly.skip(rest);
        }
        true
    }

    fn give_front(&self, assembly: &mut Assembly, front: u32) -> bool {
        let Some(rest) = self.bytes.checked_sub(front) else { return false };
        assembly.keep(&self.front);
        if rest > 0 {
            assembly.skip(rest);
        }
        true
    }
}

impl Unfinished {
    pub(super) fn of(assembly: &Assembly) -> Self {
        let (front, main_at, main) = assembly.kept();
        let back_at = if main.is_empty() { front.len() } else { main_at };
        let back_at = u32::try_from(back_at).unwrap_or(u32::MAX);
        let (bytes, crc) = (assembly.taken(), assembly.crc_of_taken());
        let piece = Piece { bytes, crc, front, back_at, back: main.to_vec() };
        Self { start: assembly.start(), missing: assembly.missing(), piece }
    }
}

impl Joiner {
    /// Begins with the piece at the end of a segment.
    pub fn begin(version: Version, from: &Unfinished) -> Result<Self, JoinFault> {
        let mut assembly = Assembly::new(version, Keep::Meaning);
        let total = from.missing.saturating_add(from.piece.bytes);
        assembly.begin(from.start, total)?;
        let mut joiner = Self { version, assembly, crc: 0 };
        joiner.give(&from.piece)?;
        Ok(joiner)
    }

    /// How many bytes are missing.
    pub fn missing(&self) -> u32 {
        self.assembly.missing()
    }

    /// Adds the piece at the start of the next segment, whose first page says that `remaining` bytes were missing.
    pub fn add(&mut self, remaining: u32, piece: &Piece) -> Result<(), JoinFault> {
        let missing = self.missing();
        if remaining != missing || piece.bytes > missing {
            return Err(JoinFault::NotContinued { missing, says: remaining });
        }
        self.give(piece)
    }

    fn give(&mut self, piece: &Piece) -> Result<(), JoinFault> {
        self.crc = crc32c::crc32c_combine(self.crc, piece.crc, piece.bytes as usize);
        let fits = piece.give_to(&mut self.assembly);
        fits.then_some(()).ok_or(JoinFault::Record(RecordFault::Layout(LayoutFault::Cut)))
    }

    /// The record, once nothing is missing; `end` is where its last byte ends.
    pub fn finish(&mut self, end: Lsn) -> Result<Record<'_>, JoinFault> {
        let missing = self.missing();
        if missing > 0 {
            return Err(JoinFault::Unfinished { missing });
        }
        let (front, _, _) = self.assembly.kept();
        let header = front.first_chunk::<RECORD_HEADER_BYTES>().ok_or(RecordFault::from(LayoutFault::Cut))?;
        if let Some(header) = self.assembly.header() {
            header.check(self.version, self.assembly.start(), None)?;
        }
        // The CRC in the record is of the body alone, so the header's part is taken out of the CRC of everything.
        let body = (self.assembly.taken() as usize).saturating_sub(RECORD_HEADER_BYTES);
        let body_crc = self.crc ^ crc32c::crc32c_combine(crc32c::crc32c(header), 0, body);
        Ok(self.assembly.finish_with(end, body_crc)?)
    }
}
