//! One WAL record taken together from its pieces: header, CRC, and the time of a commit.
//!
//! Promises: takes any bytes; holds the header and the first bytes behind it and nothing else, whatever length the record
//! claims. Layout: `src/include/access/xlogrecord.h`, `xact.h`.

use seawall_pg::Lsn;
use seawall_repo::time::Time;

/// The fixed header, in bytes (`SizeOfXLogRecord`).
const HEADER_BYTES: usize = 24;
/// The part of the header that its CRC covers, and which is added last.
const HEADER_CRC_BYTES: usize = 20;
/// Enough behind the header for the headers of a commit record without blocks, and its time.
const FRONT_BYTES: usize = 64;
/// `XLogRecordMaxSize` is 1020 MiB; older versions did not hold themselves to it.
const RECORD_BYTES_MAX: u32 = 1 << 30;

const RMGR_XLOG: u8 = 0;
const RMGR_XACT: u8 = 1;
const INFO_XLOG_SWITCH: u8 = 0x40;
/// 2000-01-01 in microseconds since 1970: what PostgreSQL counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Why bytes are not the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum RecordFault {
    #[error("it claims a length of {bytes} bytes")]
    Length { bytes: u32 },
    #[error("it says that the record before it begins at {found}")]
    Link { found: Lsn },
    #[error("its checksum does not fit")]
    Checksum,
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) start: Lsn,
    total: u32,
    taken: u32,
    header: [u8; HEADER_BYTES],
    front: [u8; FRONT_BYTES],
    crc: u32,
}

/// What a whole record says that the walk needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) is_switch: bool,
    pub(super) commit_time: Option<Time>,
}

impl Assembly {
    /// Begins with the length that stands at the record's start.
    pub(super) fn begin(start: Lsn, total: u32) -> Result<Self, RecordFault> {
        let fits = (HEADER_BYTES as u32..=RECORD_BYTES_MAX).contains(&total);
        let empty =
            Self { start, total, taken: 0, header: [0; HEADER_BYTES], front: [0; FRONT_BYTES], crc: 0 };
        fits.then_some(empty).ok_or(RecordFault::Length { bytes: total })
    }

    /// Bytes still missing.
    pub(super) fn missing(&self) -> u32 {
        self.total.saturating_sub(self.taken)
    }

    /// Takes the next bytes, at most those that are missing; returns how many it took.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(usize::try_from(self.missing()).unwrap_or(usize::MAX));
        let bytes = bytes.get(..count).unwrap_or(bytes);
        let at = usize::try_from(self.taken).unwrap_or(usize::MAX);
        let into_header = HEADER_BYTES.saturating_sub(at).min(count);
        copy_into(&mut self.header, at, bytes.get(..into_header).unwrap_or_default());
        let body = bytes.get(into_header..).unwrap_or_default();
        copy_into(&mut self.front, at.saturating_sub(HEADER_BYTES), body);
        self.crc = crc32c::crc32c_append(self.crc, body);
        self.taken = self.taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        count
    }

    /// Checks the whole record. `previous` is where the record before it begins, where that is known.
    pub(super) fn finish(&self, previous: Option<Lsn>) -> Result<Whole, RecordFault> {
        let (covered, stored) = self.header.split_at(HEADER_CRC_BYTES);
        let link = Lsn(u64_at(&self.header, 8));
        let links = previous.map_or(link < self.start, |previous| previous == link);
        if !links {
            return Err(RecordFault::Link { found: link });
        }
        if crc32c::crc32c_append(self.crc, covered) != u32_at(stored, 0) {
            return Err(RecordFault::Checksum);
        }
        let [info, rmgr] = [self.header[16], self.header[17]];
        Ok(Whole {
            is_switch: rmgr == RMGR_XLOG && info & 0xF0 == INFO_XLOG_SWITCH,
            commit_time: if rmgr == RMGR_XACT { self.commit_time(info) } else { None },
        })
    }

    /// The time in a commit or abort (also of a prepared transaction): the first eight bytes of the main data.
    fn commit_time(&self, info: u8) -> Option<Time> {
        if !matches!(info & 0x70, 0x00 | 0x20 | 0x30 | 0x40) {
            return None;
        }
        let mut rest = &self.front[..];
        let main = loop {
            let (id, after) = rest.split_first()?;
            match id {
                0xFF => break after.get(1..)?,
                0xFE => break after.get(4..)?,
                0xFD => rest = after.get(2..)?,
                0xFC => rest = after.get(4..)?,
                // A block reference: no server puts one into these records.
                _ => return None,
            }
        };
        let micros = i64::from_le_bytes(*main.first_chunk::<8>()?);
        Time::from_micros(micros.checked_add(POSTGRES_EPOCH_MICROS)?)
    }
}

fn copy_into(target: &mut [u8], at: usize, bytes: &[u8]) {
    let room = target.get_mut(at..).unwrap_or_default();
    room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// The number at `at`, or zero behind the end: callers have the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
