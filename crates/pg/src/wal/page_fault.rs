//! Whether a page of WAL is the one that should stand at its place.
//!
//! Promises: each page is held against its address, its cluster, the segment size and the timeline of the page before.

use crate::lsn::Lsn;
use crate::page::{PAGE_BYTES, PAGE_BYTES_U32};
use crate::system_identifier::SystemIdentifier;
use crate::timeline::Timeline;
use crate::wal_page::{SHORT_HEADER_BYTES, WalPageError, WalPageHeader};

use super::WalOf;

/// Why bytes are not the WAL page that should stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PageFault {
    #[error(transparent)]
    Header(#[from] WalPageError),
    #[error("its header says {found}")]
    OtherAddress { found: Lsn },
    #[error("its header is of the wrong length for its place in the segment")]
    WrongHeaderLength,
    #[error("it belongs to system {found}")]
    ForeignSystem { found: SystemIdentifier },
    #[error("it is of timeline {found}, the page before of {before}")]
    EarlierTimeline { before: Timeline, found: Timeline },
    #[error("the record from the page before does not go on there")]
    NotContinued,
    #[error("it is cut off")]
    Short,
}

/// Whether a page was never written: its header is zeros.
pub(super) fn is_unwritten(page: &[u8]) -> bool {
    page.first_chunk::<SHORT_HEADER_BYTES>().is_some_and(|header| header.iter().all(|byte| *byte == 0))
}

/// The header of the page at `address`, checked. `before` is the timeline of the page before, where there was one.
pub(super) fn checked_header(
    of: &WalOf,
    address: Lsn,
    page: &[u8],
    before: Option<Timeline>,
) -> Result<WalPageHeader, PageFault> {
    if page.len() < PAGE_BYTES {
        return Err(PageFault::Short);
    }
    let header = WalPageHeader::decode(page, of.version)?;
    if header.address != address {
        return Err(PageFault::OtherAddress { found: header.address });
    }
    if header.long.is_some() != (of.size.offset_of(address) == 0) {
        return Err(PageFault::WrongHeaderLength);
    }
    if let Some(long) = header.long {
        if long.system_identifier != of.system {
            return Err(PageFault::ForeignSystem { found: long.system_identifier });
        }
        if long.segment_bytes != of.size.bytes_u32() {
            let (expected, found) = (of.size, long.segment_bytes);
            return Err(WalPageError::WrongSegmentSize { expected, found }.into());
        }
        if long.block_bytes != PAGE_BYTES_U32 {
            return Err(WalPageError::WrongBlockSize { found: long.block_bytes }.into());
        }
    }
    match before {
        Some(before) if header.timeline < before => {
            Err(PageFault::EarlierTimeline { before, found: header.timeline })
        }
        _ => Ok(header),
    }
}
