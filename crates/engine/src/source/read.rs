//! Reading the files of a running server, for the threads that do a backup's work. Blocking.
//!
//! Promises: a file is as long as it was when the walk (or the opening) saw it. What it has lost since is read as zeros
//! and counted: for relations that is what the server's own base backup does, because recovery replays the truncation;
//! for any other file the caller keeps only what was there. What it has gained since is not read: WAL has it.
//! A vanished file is `None`. Any other failure is an error that names the file: a backup with an unread file is none.
//! Each page of a relation is checked by `seawall_pg::page_check`, with its re-reads.
//! Deliberately not here: deciding what a broken page means for the backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, pread};
use seawall_pg::page_check::{BrokenPage, PAGE_READS_MAX};
use seawall_pg::{
    Lsn, PAGE_BYTES, Page, PageContext, PageHeader, PageRead, PageVerdict, RelationFile, check_page,
};
use seawall_store::Bandwidth;
use seawall_store::world::Clock;

use super::cache::CacheCare;
use super::files::{on_disk, unreadable};
use super::session::{LsnBound, SessionError};
use crate::error::Error;
use crate::monitor::Finding;
use crate::text;

/// Pages that are read at once at most, by convention of the callers: 256 KiB.
pub const RUN_PAGES_MAX: usize = 32;

const PAGE_BYTES_U64: u64 = 8192;

/// How new a page may claim to be.
pub trait LsnCeiling: Send + Sync + std::fmt::Debug {
    /// A bound, fresh enough to cover `page` if anything covers it. Asked after the page was read.
    fn covering(&self, page: Lsn) -> Result<Lsn, SessionError>;
}

impl LsnCeiling for LsnBound {
    fn covering(&self, page: Lsn) -> Result<Lsn, SessionError> {
        self.covering_blocking(page)
    }
}

/// A bound that does not move: the end of WAL of a server that is stopped.
#[derive(Clone, Copy, Debug)]
pub struct FixedCeiling(pub Lsn);

impl LsnCeiling for FixedCeiling {
    fn covering(&self, _page: Lsn) -> Result<Lsn, SessionError> {
        Ok(self.0)
    }
}

/// What is needed to judge pages.
#[derive(Clone, Debug)]
pub struct PageRules {
    /// Where the backup started.
    pub backup_start: Lsn,
    /// Whether the cluster has page checksums (`pg_control`).
    pub checksums: bool,
    /// Pages in one file of a relation (`pg_control`).
    pub relation_segment_blocks: u32,
    /// How new a page may be.
    pub ceiling: Arc<dyn LsnCeiling>,
}

/// Opens files of one data directory; shared by all workers.
#[derive(Clone, Debug)]
pub struct Reader {
    data_directory: PathBuf,
    rules: PageRules,
    clock: Arc<dyn Clock>,
    limit: Option<Bandwidth>,
    made: MadeFiles,
}

/// Files that are made for the backup and lie in no directory, by their paths in it.
pub type MadeFiles = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// Where the bytes of a file are.
#[derive(Debug)]
enum Bytes {
    Disk {
        file: OwnedFd,
        cache: CacheCare,
    },
    /// In memory, under the file's path.
    Made(MadeFiles),
}

/// A file being read by one worker. Several workers may have the same file open.
#[derive(Debug)]
pub struct SourceFile<'a> {
    reader: &'a Reader,
    path: Vec<u8>,
    bytes: Bytes,
    size_bytes: u64,
    /// The number of the first block in the whole fork, for a relation's file.
    first_block: Option<u32>,
}

/// What one read of a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRead {
    /// Bytes of the buffer that are filled: less than the buffer only at the file's end.
    pub bytes: usize,
    /// How many of those, at their end, are zeros because the file was truncated meanwhile.
    pub missing: usize,
    /// Pages that are broken on disk.
    pub broken: Vec<BrokenPage>,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ReadError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} is not an ordinary file any more", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} has a number that no relation's file can have", path.display())]
    Segment { path: PathBuf },
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Reader {
    /// A reader of this data directory; `limit` bounds what all its files together read a second.
    #[must_use]
    pub fn new(
        data_directory: &Path,
        rules: PageRules,
        clock: Arc<dyn Clock>,
        limit: Option<Bandwidth>,
    ) -> Self {
        Self { data_directory: data_directory.to_owned(), rules, clock, limit, made: MadeFiles::default() }
    }

    /// With these files beside those of the data directory.
    #[must_use]
    pub fn with_made(self, made: MadeFiles) -> Self {
        Self { made, ..self }
    }

    /// Opens a file by its path in the backup; `None` when it is not there any more. `size_bytes` is the size to
    /// read, for all workers that share the file; without it, the size now.
    pub fn open(&self, path: &[u8], size_bytes: Option<u64>) -> Result<Option<SourceFile<'_>>, ReadError> {
        if let Some(made) = self.made.get(path) {
            return Ok(Some(SourceFile {
                reader: self,
                path: path.to_vec(),
                bytes: Bytes::Made(Arc::clone(&self.made)),
                size_bytes: made.len() as u64,
                first_block: None,
            }));
        }
        let place = on_disk(&self.data_directory, path);
        let first_block = match RelationFile::parse(path) {
            Some(relation) => {
                let first = relation.first_block(self.rules.relation_segment_blocks);
                Some(first.ok_or_else(|| ReadError::Segment { path: place.clone() })?)
            }
            None => None,
        };
        let file = match open_quietly(&place) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io_error("open", &place, error)),
        };
        let (kind, size_now) = look_at(&file, &place)?;
        if kind != FileType::RegularFile {
            return Err(ReadError::NotAFile { path: place });
        }
        let cache = CacheCare::new(&file);
        let size_bytes = size_bytes.unwrap_or(size_now);
        let bytes = Bytes::Disk { file, cache };
        let mut opened = SourceFile { reader: self, path: path.to_vec(), bytes, size_bytes, first_block };
        opened.settle_last_page(&place)?;
        Ok(Some(opened))
    }
}

impl SourceFile<'_> {
    /// The size to be read, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether it belongs to a relation and so consists of pages with checksums.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        self.first_block.is_some()
    }

    /// A relation's file whose last page is not whole, and did not become so: taken as it is, and said.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let rest = self.size_bytes % PAGE_BYTES_U64;
        if self.first_block.is_none() || rest == 0 {
            return None;
        }
        let what =
            format!("{} ends with {rest} bytes of a page of {PAGE_BYTES}", text::shown_bytes(&self.path));
        let hint = "the disk was full or failing when it was extended? look into the server's log, then rebuild the table or index";
        Some(Finding { id: "source.partial-page", what, hint: Some(hint.to_owned()) })
    }

    /// Reads from `offset`, a multiple of the page's size, into the beginning of `buffer`, and checks the pages.
    /// At or past the end nothing is filled.
    pub fn read_run(&mut self, offset: u64, buffer: &mut [u8]) -> Result<RunRead, ReadError> {
        let left = self.size_bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(RunRead::default());
        };
        let bytes = u64::try_from(wanted).unwrap_or(u64::MAX);
        if let (Some(limit), Bytes::Disk { .. }) = (&self.reader.limit, &self.bytes) {
            limit.take_blocking(bytes);
        }
        if let Bytes::Disk { file, cache } = &mut self.bytes {
            cache.before(file, offset);
        }
        let found = self.fill(offset, buffer)?;
        if let Bytes::Disk { file, cache } = &mut self.bytes {
            cache.after(file, offset, bytes);
        }
        let (there, lost) = buffer.split_at_mut(found);
        lost.fill(0);
        let missing = lost.len();
        let broken = self.check_pages(offset, there)?;
        Ok(RunRead { bytes: wanted, missing, broken })
    }

    /// Reads until `buffer` is full or the file ends; the number of bytes read.
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let file = match &self.bytes {
            Bytes::Disk { file, .. } => file,
            Bytes::Made(made) => return Ok(copy_from(made.get(&self.path), offset, buffer)),
        };
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match pread(file, rest, at) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let place = on_disk(&self.reader.data_directory, &self.path);
                    return Err(io_error("read", &place, error));
                }
            }
        }
        Ok(filled)
    }

    /// Judges every whole page; one that was torn when first read is replaced in the buffer by a whole one.
    fn check_pages(&self, offset: u64, bytes: &mut [u8]) -> Result<Vec<BrokenPage>, ReadError> {
        let Some(first_block) = self.first_block else { return Ok(Vec::new()) };
        let mut broken = Vec::new();
        let (pages, _partial) = bytes.as_chunks_mut::<PAGE_BYTES>();
        let mut at = offset;
        for page in pages {
            let in_file = u32::try_from(at / PAGE_BYTES_U64).unwrap_or(u32::MAX);
            broken.extend(self.check_page(at, first_block.wrapping_add(in_file), page)?);
            at = at.saturating_add(PAGE_BYTES_U64);
        }
        Ok(broken)
    }

    fn check_page(&self, offset: u64, block: u32, page: &mut Page) -> Result<Option<BrokenPage>, ReadError> {
        let rules = &self.reader.rules;
        let mut is_there = true;
        for attempt in 1..=PAGE_READS_MAX {
            let lsn = PageHeader::decode(page).lsn;
            // Only a page that claims to be newer than the backup's start needs to know how new anything can be.
            let asks = rules.checksums && is_there && lsn >= rules.backup_start;
            let insert_lsn = if asks { rules.ceiling.covering(lsn)? } else { rules.backup_start };
            let context = PageContext {
                block,
                backup_start: rules.backup_start,
                insert_lsn,
                checksums: rules.checksums,
                attempt,
            };
            let read = if is_there { PageRead::Bytes(page) } else { PageRead::EndOfFile };
            match check_page(read, &context) {
                PageVerdict::Fine(_) => return Ok(None),
                PageVerdict::Broken(broken) => return Ok(Some(broken)),
                PageVerdict::ReadAgain(pause) => self.reader.clock.sleep_blocking(pause),
            }
            if self.fill(offset, page)? < PAGE_BYTES {
                // Truncated between two looks: from here on it is as if it had never been there.
                page.fill(0);
                is_there = false;
            }
        }
        Ok(None)
    }

    /// The server extends files by whole pages, but a look from outside may come in the middle of it.
    fn settle_last_page(&mut self, place: &Path) -> Result<(), ReadError> {
        let Bytes::Disk { file, .. } = &self.bytes else { return Ok(()) };
        if self.first_block.is_none() {
            return Ok(());
        }
        let whole = self.size_bytes.next_multiple_of(PAGE_BYTES_U64);
        for pause_ms in [1, 4, 16] {
            let (_, size_now) = look_at(file, place)?;
            if whole == self.size_bytes || size_now >= whole {
                self.size_bytes = whole;
                return Ok(());
            }
            self.reader.clock.sleep_blocking(std::time::Duration::from_millis(pause_ms));
        }
        Ok(())
    }
}

/// The bytes of a made file from `offset` on, as many as there are and fit.
fn copy_from(made: Option<&Vec<u8>>, offset: u64, buffer: &mut [u8]) -> usize {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let bytes = made.and_then(|made| made.get(from..)).unwrap_or_default();
    let count = bytes.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..count), bytes.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

/// Opens without leaving an access time where that is allowed (the owner's right), and without waiting for the
/// writer of what turns out to be a pipe.
fn open_quietly(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match open(path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => open(path, flags, Mode::empty()),
        opened => opened,
    }
}

fn look_at(file: &OwnedFd, path: &Path) -> Result<(FileType, u64), ReadError> {
    let stat = fstat(file).map_err(|error| io_error("look at", path, error))?;
    Ok((FileType::from_raw_mode(stat.st_mode), u64::try_from(stat.st_size).unwrap_or(0)))
}

fn io_error(doing: &'static str, path: &Path, error: Errno) -> ReadError {
    ReadError::Io { doing, path: path.to_owned(), source: error.into() }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let what = error.to_string();
        match error {
            ReadError::Io { path, source, .. } => unreadable("source.unreadable", what, &path, source),
            ReadError::NotAFile { .. } | ReadError::Segment { .. } => {
                Self::source_side("source.not-a-file", what)
                    .hint("something other than PostgreSQL writes into the data directory; move it out")
            }
            ReadError::Session(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
