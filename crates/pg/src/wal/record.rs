//! A record: its fixed header, and the view of its parts that everything else reads.
//!
//! Promises: borrowed, nothing is copied; the parts add up to the length in the header, or there is no [`Record`].
//! Layout: `src/include/access/xlogrecord.h`.

use crate::lsn::Lsn;
use crate::version::Version;

use super::block::{BlockRefs, Layout, LayoutFault};

/// The fixed header, in bytes (`SizeOfXLogRecord`).
pub const RECORD_HEADER_BYTES: usize = 24;
/// The part of the header that the CRC covers; it is added behind the rest of the record.
const HEADER_CRC_BYTES: usize = 20;
/// `XLogRecordMaxSize` is 1020 MiB; versions before 16 did not hold themselves to it.
pub const RECORD_BYTES_MAX: u32 = 1 << 30;

/// The last of PostgreSQL's own resource managers in all supported versions (`RM_LOGICALMSG_ID`).
const RMGR_LAST: u8 = 21;
/// The first number that an extension may take (`RM_MIN_CUSTOM_ID`).
const RMGR_CUSTOM_FIRST: u8 = 128;

/// The fixed header of a record (`XLogRecord`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The length of the record without the page headers within it, this header included.
    pub total: u32,
    /// The transaction, or the subtransaction, that wrote it; zero for none.
    pub xid: u32,
    /// Where the record before it begins.
    pub prev: Lsn,
    /// The upper half belongs to the resource manager, the lower half to WAL itself.
    pub info: u8,
    /// The resource manager: which part of the server it belongs to.
    pub rmgr: u8,
    /// CRC-32C of the rest of the record and then of the header before this field.
    pub crc: u32,
}

/// Why bytes are not the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum RecordFault {
    #[error("it claims a length of {bytes} bytes")]
    Length { bytes: u32 },
    #[error("it says that the record before it begins at {found}")]
    Link { found: Lsn },
    #[error("it says that it belongs to resource manager {found}, which there is not")]
    ResourceManager { found: u8 },
    #[error("its checksum does not fit")]
    Checksum,
    #[error(transparent)]
    Layout(#[from] LayoutFault),
}

/// Main data: what a record says beside its blocks, as far as it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MainData<'a> {
    /// The beginning of it; all of it unless it is cut.
    pub bytes: &'a [u8],
    /// How long it is in the record.
    pub length: u32,
}

/// A record whose parts are known.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it begins.
    pub start: Lsn,
    /// Where its last byte ends, before alignment.
    pub end: Lsn,
    /// Its fixed header.
    pub header: RecordHeader,
    pub(super) version: Version,
    pub(super) layout: Layout,
    pub(super) headers: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
    pub(super) main: &'a [u8],
}

impl RecordHeader {
    /// Reads a header.
    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            x0,
            x1,
            x2,
            x3,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
            p7,
            info,
            rmgr,
            _,
            _,
            c0,
            c1,
            c2,
            c3,
        ] = *bytes;
        Self {
            total: u32::from_le_bytes([t0, t1, t2, t3]),
            xid: u32::from_le_bytes([x0, x1, x2, x3]),
            prev: Lsn(u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7])),
            info,
            rmgr,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// What can be told of a record at `start` from its header alone. `previous` is where the record before begins, where
    /// that is known; else anything before `start` will do.
    pub fn check(&self, version: Version, start: Lsn, previous: Option<Lsn>) -> Result<(), RecordFault> {
        check_length(self.total)?;
        if previous.map_or(self.prev >= start, |previous| previous != self.prev) {
            return Err(RecordFault::Link { found: self.prev });
        }
        let custom = self.rmgr >= RMGR_CUSTOM_FIRST && version.facts().wal.custom_resource_managers;
        if self.rmgr > RMGR_LAST && !custom {
            return Err(RecordFault::ResourceManager { found: self.rmgr });
        }
        Ok(())
    }
}

/// Whether a record can have this length.
pub(super) fn check_length(total: u32) -> Result<(), RecordFault> {
    let fits = (RECORD_HEADER_BYTES as u32..=RECORD_BYTES_MAX).contains(&total);
    fits.then_some(()).ok_or(RecordFault::Length { bytes: total })
}

/// The CRC of a record with this header, `body` being the CRC of everything behind it.
pub(super) fn crc_with_header(body: u32, header: &[u8; RECORD_HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(body, header.first_chunk::<HEADER_CRC_BYTES>().map_or(&[], |covered| covered))
}

impl<'a> Record<'a> {
    /// Reads a record out of its bytes, header first, without page headers. They may be cut anywhere behind the headers of
    /// its parts: what is not there is then told as missing. The CRC is not checked ([`Self::crc_fits`]).
    pub fn parse(version: Version, start: Lsn, end: Lsn, bytes: &'a [u8]) -> Result<Self, RecordFault> {
        let (header, body) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>().ok_or(LayoutFault::Cut)?;
        let header = RecordHeader::decode(header);
        header.check(version, start, None)?;
        Self::with_body(version, start, end, header, body)
    }

    /// Whether the CRC of a whole record (header first, no page headers) is right; a cut one's is not.
    pub fn crc_fits(bytes: &[u8]) -> bool {
        bytes.split_first_chunk::<RECORD_HEADER_BYTES>().is_some_and(|(header, body)| {
            crc_with_header(crc32c::crc32c(body), header) == RecordHeader::decode(header).crc
        })
    }

    pub(super) fn with_body(
        version: Version,
        start: Lsn,
        end: Lsn,
        header: RecordHeader,
        body: &'a [u8],
    ) -> Result<Self, RecordFault> {
        let length = header.total.saturating_sub(RECORD_HEADER_BYTES as u32);
        let body = body.get(..length as usize).unwrap_or(body);
        let layout = Layout::read(body, length, &version.facts().wal)?;
        let headers = body.get(..layout.headers as usize).ok_or(LayoutFault::Cut)?;
        let behind = body.get(layout.headers as usize..).unwrap_or_default();
        let payload = behind.get(..layout.payload as usize);
        let main = payload.and_then(|payload| behind.get(payload.len()..)).unwrap_or_default();
        Ok(Self { start, end, header, version, layout, headers, payload, main })
    }

    /// The version that wrote it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The blocks it changes, in order.
    pub fn blocks(&self) -> BlockRefs<'a> {
        BlockRefs::new(self)
    }

    /// How many blocks it changes.
    pub fn block_count(&self) -> u8 {
        self.layout.blocks
    }

    /// What it says beside its blocks.
    pub fn main_data(&self) -> MainData<'a> {
        MainData { bytes: self.main, length: self.layout.main }
    }

    /// The replication origin it was written for.
    pub fn origin(&self) -> Option<u16> {
        self.layout.origin
    }

    /// The top-level transaction, which the first record of a subtransaction names where `wal_level` is logical.
    pub fn top_xid(&self) -> Option<u32> {
        self.layout.top_xid
    }

    /// The part of `info` that belongs to the resource manager.
    pub fn operation(&self) -> u8 {
        self.header.info & 0xF0
    }
}

impl<'a> MainData<'a> {
    /// All of it, where nothing is missing.
    pub fn whole(&self) -> Option<&'a [u8]> {
        (self.bytes.len() == self.length as usize).then_some(self.bytes)
    }
}
