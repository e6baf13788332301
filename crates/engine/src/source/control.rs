//! Reading `global/pg_control` while the server may be writing it.
//!
//! Promise: the bytes returned are whole (their checksum is right), so exactly they may be stored.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use seawall_pg::control::{CONTROL_FILE_BYTES, CONTROL_FILE_PATH, READ_PAUSE};
use seawall_pg::{ControlError, ControlFile, ControlRead, ControlReader};
use seawall_store::world::Clock;

use crate::error::Error;

/// A whole `pg_control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadControl {
    /// The bytes as they stood on disk.
    pub bytes: Vec<u8>,
    /// What they say.
    pub file: ControlFile,
}

/// Why `pg_control` could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ControlReadError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be used", path.display())]
    Content { path: PathBuf, source: ControlError },
}

/// Reads `pg_control` of this data directory. Blocks for up to a tenth of a second where reads are torn.
pub fn read_control(data_directory: &Path, clock: &dyn Clock) -> Result<ReadControl, ControlReadError> {
    let path = data_directory.join(CONTROL_FILE_PATH);
    let mut reader = ControlReader::new();
    loop {
        let bytes =
            read_once(&path).map_err(|source| ControlReadError::Read { path: path.clone(), source })?;
        match reader.accept(&bytes) {
            ControlRead::Whole(file) => return Ok(ReadControl { bytes, file }),
            ControlRead::ReadAgain => clock.sleep_blocking(READ_PAUSE),
            ControlRead::Failed(source) => return Err(ControlReadError::Content { path, source }),
        }
    }
}

/// The file is a page long; one byte more is asked for so that a longer one is seen as what it is.
fn read_once(path: &Path) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(CONTROL_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::with_capacity(CONTROL_FILE_BYTES);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > CONTROL_FILE_BYTES {
        return Err(std::io::Error::other(format!("it is longer than {CONTROL_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

impl From<ControlReadError> for Error {
    fn from(error: ControlReadError) -> Self {
        let denied = matches!(&error, ControlReadError::Read { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied);
        let shown = Self::source_side("source.control", error.to_string());
        let shown = if denied {
            shown.hint("run seawall as the owner of the data directory (usually postgres)")
        } else {
            shown.hint("is this the data directory of a PostgreSQL cluster that this release supports?")
        };
        match error {
            ControlReadError::Read { source, .. } => shown.because(source),
            ControlReadError::Content { source, .. } => shown.because(source),
        }
    }
}
