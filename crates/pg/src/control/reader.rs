//! Reading `pg_control` while the server runs, without the reading.
//!
//! The server writes the file with one call, but a reader may still see old and new bytes mixed. PostgreSQL's own
//! tools (`src/common/controldata_utils.c`) read again up to ten times, ten milliseconds apart, and give up early
//! when two reads are wrong in the same way, because then the file is damaged and not in motion.

use std::time::Duration;

use super::{ControlError, ControlFile};

/// How often a file with a wrong checksum is read at most.
pub const READ_ATTEMPTS_MAX: u32 = 10;
/// How long to wait between two reads.
pub const READ_PAUSE: Duration = Duration::from_millis(10);

/// Decides on each read of `pg_control` in turn. The caller reads and sleeps.
#[derive(Debug, Default)]
pub struct ControlReader {
    attempts: u32,
    /// Stored and computed checksum of the read before.
    previous: Option<(u32, u32)>,
}

/// What to do with a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRead {
    /// The bytes are whole: these exact bytes may be stored.
    Whole(ControlFile),
    /// Perhaps torn: wait [`READ_PAUSE`] and read again.
    ReadAgain,
    /// No further read will help.
    Failed(ControlError),
}

impl ControlReader {
    /// Before the first read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the bytes just read.
    pub fn accept(&mut self, bytes: &[u8]) -> ControlRead {
        self.attempts = self.attempts.saturating_add(1);
        let error = match ControlFile::decode(bytes) {
            Ok(file) => return ControlRead::Whole(file),
            Err(error) => error,
        };
        let ControlError::Checksum { stored, computed } = error else {
            return ControlRead::Failed(error);
        };
        let same_again = self.previous.replace((stored, computed)) == Some((stored, computed));
        if same_again || self.attempts >= READ_ATTEMPTS_MAX {
            return ControlRead::Failed(error);
        }
        ControlRead::ReadAgain
    }
}
