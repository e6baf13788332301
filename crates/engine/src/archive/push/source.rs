//! The file that PostgreSQL hands over, as it lies on disk.
//!
//! Promises: the name is one of the four kinds, the file is an ordinary one, and its length is that of its kind before a
//! byte is taken; `pg_control` of the same data directory says whose it is. What is read is exactly as long as was asked.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_pg::{ControlFile, Timeline, WalFileName};
use seawall_repo::compress::{CompressedFrame, Compression};
use seawall_repo::keys::{Digest, DigestKey};
use seawall_repo::wal_object::PART_BYTES;
use seawall_store::World;
use seawall_store::world::Clock;

use super::stream::{ReadFault, Stretch};
use crate::error::{Error, Result};
use crate::source::read_control;

/// History files have a line for each switch; longer ones are none.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// A WAL file that is to be stored.
#[derive(Debug)]
pub(super) struct WalSource {
    pub(super) data_directory: PathBuf,
    pub(super) path: PathBuf,
    pub(super) file: WalFileName,
    pub(super) control: ControlFile,
    pub(super) bytes: u64,
    pub(super) clock: Arc<dyn Clock>,
}

impl WalSource {
    /// Looks at the file that `path` names, from the data directory where it is relative.
    pub(super) fn look(data_directory: &Path, path: &Path, world: &World) -> Result<Self> {
        let file = name_of(path)?;
        let path = data_directory.join(path);
        let control = read_control(data_directory, world.clock.as_ref())?.file;
        let metadata = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        if !metadata.is_file() {
            return Err(Error::source_side(
                "archive.not-a-file",
                format!("{} is not an ordinary file", path.display()),
            ));
        }
        let source = Self {
            data_directory: data_directory.to_owned(),
            path,
            file,
            control,
            bytes: metadata.len(),
            clock: Arc::clone(&world.clock),
        };
        source.check_length()?;
        Ok(source)
    }

    fn check_length(&self) -> Result<()> {
        let wanted = match self.file {
            WalFileName::Segment(_) | WalFileName::Partial(_) => self.control.wal_segment_size.bytes(),
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_)
                if self.bytes <= TEXT_BYTES_MAX =>
            {
                return Ok(());
            }
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => TEXT_BYTES_MAX,
        };
        if self.bytes == wanted {
            return Ok(());
        }
        Err(self
            .refused("it has the wrong length")
            .fact("length", format!("{} bytes", self.bytes))
            .fact("wanted", format!("{wanted} bytes")))
    }

    /// An error: the file is not what its name says, and is not stored.
    pub(super) fn refused(&self, why: impl std::fmt::Display) -> Error {
        Error::source_side("archive.refused", format!("{} is not archived: {why}", self.file))
            .fact("file", self.path.display())
            .hint("nothing was stored; compare the file with pg_control: is it left from another cluster, or from another life of this one?")
    }

    /// Whether it goes into parts.
    pub(super) fn is_parted(&self) -> bool {
        self.bytes > PART_BYTES as u64
    }

    /// Where a part lies: `PART_BYTES` from `part` times as many, fewer at the end. A file that is not in parts is part 0.
    fn extent_of(&self, part: u32) -> (u64, u64) {
        let from = u64::from(part) * PART_BYTES as u64;
        (from, self.bytes.saturating_sub(from).min(PART_BYTES as u64))
    }

    /// Reads the file, or one part of it, once; `each` gets its bytes in order. Its frames, compressed, and how many bytes they hold.
    pub(super) fn read_through(
        &self,
        part: u32,
        compression: Compression,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(Vec<CompressedFrame<'static>>, u64)> {
        let (from, bytes) = self.extent_of(part);
        let file = std::fs::File::open(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let frames = Stretch { file: &file, from, bytes }.read(compression, each);
        let frames = frames.map_err(|fault| match fault {
            ReadFault::Io(error) => unreadable(&self.path, error),
            ReadFault::Bug(error) => error,
        })?;
        Ok((frames, bytes))
    }

    /// The file, or one part of it.
    pub(super) fn read_part(&self, part: u32) -> Result<Vec<u8>> {
        let read = || {
            let (from, length) = self.extent_of(part);
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            std::fs::File::open(&self.path)?.read_exact_at(&mut bytes, from)?;
            Ok(bytes)
        };
        read().map_err(|error| unreadable(&self.path, error))
    }

    /// The first bytes of the file.
    pub(super) fn read_first(&self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = std::fs::File::open(&self.path).and_then(|file| file.read_exact_at(&mut bytes, 0));
        read.map_err(|error| unreadable(&self.path, error)).map(|()| bytes)
    }

    /// How many parts it has; one for a file that lies in one object.
    pub(super) fn parts(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(PART_BYTES as u64)).unwrap_or(u32::MAX).max(1)
    }

    /// The digest of the whole file, part by part.
    pub(super) fn digest(&self, key: &DigestKey) -> Result<Digest> {
        let mut hasher = key.hasher();
        for part in 0..self.parts() {
            hasher.update(&self.read_part(part)?);
        }
        Ok(hasher.finish())
    }

    /// The digest of one part.
    pub(super) fn digest_part(&self, key: &DigestKey, part: u32) -> Result<Digest> {
        self.read_part(part).map(|bytes| key.digest(&bytes))
    }

    /// The history file of a timeline beside this file; none if there is none.
    pub(super) fn history_beside(&self, timeline: Timeline) -> io::Result<Option<Vec<u8>>> {
        let path = self.path.with_file_name(WalFileName::TimelineHistory(timeline).to_string());
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(metadata) if metadata.len() > TEXT_BYTES_MAX => Err(io::Error::other("it is too long")),
            Ok(_) => std::fs::read(&path).map(Some),
        }
    }
}

fn name_of(path: &Path) -> Result<WalFileName> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.parse().map_err(|error| {
        Error::usage("archive.name", format!("{} is no file of WAL", path.display()))
            .hint("the setting is: archive_command = 'seawall wal push %p'")
            .because(error)
    })
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::source_side("archive.unreadable", format!("cannot read {}", path.display()))
        .hint("a path that is not absolute is taken from the data directory, where PostgreSQL runs archive_command")
        .because(error)
}
