//! WAL as a stream of records: which bytes make a record, which blocks it names, what it means.
//!
//! Promises: pure and streaming (bytes in, borrowed records out through a callback); a record is handed out only when its
//! header, its link to the record before, its CRC and the sum of its parts are right, which is what the server's own reader
//! asks (`src/backend/access/transam/xlogreader.c`); memory follows the bytes really given, up to the bounds stated in
//! [`assembly`], never a length that was read; what is beyond a bound is told as missing.
//! Deliberately does not fetch segments, and does not know names: WAL has numbers only.
//!
//! ```text
//! segment ── walk ──▶ pages ──▶ records ──▶ blocks (which pages change) and images (what they then hold)
//!                       │          └──────▶ meaning (commits, files, databases, checkpoints, rows)
//!                       └ edge: the piece of a record that goes on in another segment, joined later
//! ```

pub mod assembly;
pub mod block;
pub mod edge;
pub mod image;
pub mod meaning;
pub mod page_fault;
mod pglz;
pub mod record;
pub mod resource_manager;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod walk;

pub use assembly::{Keep, MAIN_DATA_BYTES_KEPT};
pub use block::{BlockRef, BlockRefs, ImageCompression, ImageHeader, LayoutFault, RelationId};
pub use edge::{JoinFault, Joiner, Piece, Unfinished};
pub use image::{ImageFault, ImageRebuilder};
pub use meaning::{Meaning, MeaningFault, PgTime};
pub use page_fault::PageFault;
pub use record::{MainData, Record, RecordFault, RecordHeader};
pub use walk::{Continuation, RecordAt, WalEnded, WalWalk, Walked};

use crate::control::ControlFile;
use crate::segment::WalSegmentSize;
use crate::system_identifier::SystemIdentifier;
use crate::version::Version;

/// Which WAL is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOf {
    /// The version that wrote it.
    pub version: Version,
    /// The cluster that wrote it.
    pub system: SystemIdentifier,
    /// The size of its segments.
    pub size: WalSegmentSize,
}

impl WalOf {
    /// That of the cluster whose `pg_control` this is.
    pub fn by(control: &ControlFile) -> Self {
        Self { version: control.version, system: control.system_identifier, size: control.wal_segment_size }
    }
}

#[cfg(test)]
mod tests;
