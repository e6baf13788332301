//! Segments in `pg_wal` beside what the regions hold under their names: the same files, or those of another server.
//!
//! A name says nothing about whose WAL it is: two servers that were promoted from one backup write the same timeline. Promises: "the
//! same" is said only where the keyed digest in the signed head is that of the file at hand; a file that was removed or recycled
//! meanwhile is no conflict. Deliberately reads heads only: whether the stored bytes are good is `verify`'s question.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_pg::{SegmentName, WalFileName, WalSegmentSize};
use seawall_repo::envelope::Head;
use seawall_repo::error::ObjectError;
use seawall_repo::id::Generation;
use seawall_repo::keys::{Digest, DigestKey};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::OpenHead;
use seawall_store::Region;

use super::conflict::{OtherCopy, created};
use crate::error::{Error, Result};
use crate::repository::Repository;

/// First read of a head: holds all of it, but of a segment in many parts.
const HEAD_READ_BYTES: u64 = 4096;
/// What is read at once of a file.
const READ_BYTES: usize = 1 << 20;

/// Where segments are compared. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    pub(crate) repository: Repository,
    pub(crate) place: Place,
    /// `pg_wal`.
    pub(crate) directory: PathBuf,
    pub(crate) size: WalSegmentSize,
    /// Files that were read for one region are not read again for the next one.
    known: Arc<Mutex<Known>>,
}

/// The digest of each file that was read, with keys of a generation.
type Known = HashMap<(SegmentName, Option<Generation>), (FileStamp, Digest)>;

/// What changes when something is written to a file, or another takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// What a region holds under a segment's name.
#[derive(Debug)]
pub(crate) enum Held {
    /// The same file, or one that cannot be compared any more because this server has let its own go.
    Ours,
    /// That of another server.
    Other(Error),
    /// Nothing.
    Nothing,
    /// What that is cannot be said, and why.
    Unknown(String),
}

impl Beside {
    /// Compares the segments in `directory`, which is `pg_wal`.
    pub(crate) fn new(
        repository: Repository,
        place: Place,
        directory: PathBuf,
        size: WalSegmentSize,
    ) -> Self {
        Self { repository, place, directory, size, known: Arc::default() }
    }

    /// What `region` holds under the segment's name.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(crate) async fn held(&self, region: &Region, segment: SegmentName) -> Result<Held> {
        let name = Named::Wal { place: self.place.clone(), file: WalFileName::Segment(segment) }.into();
        let head = match self.head(region, &name).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Held::Nothing),
            Err(why) => return Ok(Held::Unknown(why)),
        };
        let repository = &self.repository;
        let generation = head.generation();
        let Some(key) = repository.keys().digest_key(generation, repository.trust().repository()) else {
            return Ok(Held::Unknown(format!("this host has no keys of the generation of {name}")));
        };
        match self.digest(segment, generation, key).await? {
            Some(digest) if digest != *head.head().plain_digest() => {
                let other = OtherCopy::of(repository, region, &head);
                let other = other.map_err(|error| crate::repository::object_error(&error))?;
                Ok(Held::Other(other.error(repository)))
            }
            _ => Ok(Held::Ours),
        }
    }

    /// The segment that the server hands over next: the first of those that wait.
    pub(crate) fn next_to_archive(&self) -> Option<SegmentName> {
        let waiting = std::fs::read_dir(self.directory.join("archive_status")).ok()?;
        let names = waiting.filter_map(|entry| {
            let name = entry.ok()?.file_name();
            match name.to_str()?.strip_suffix(".ready")?.parse().ok()? {
                WalFileName::Segment(segment) => Some(segment),
                _ => None,
            }
        });
        names.min()
    }

    /// The believed head of a region's copy; none where there is none.
    async fn head(
        &self,
        region: &Region,
        name: &ObjectName,
    ) -> std::result::Result<Option<OpenHead>, String> {
        let trust = self.repository.trust();
        let created = created(&self.repository, region, name).await;
        let mut length = HEAD_READ_BYTES;
        loop {
            let bytes = match region.get_prefix(name.as_str(), length).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error.chain()),
            };
            let unbelieved = |error: ObjectError| format!("{name} cannot be believed: {error}");
            let needs =
                Head::needs(&bytes).map_err(|error| unbelieved(ObjectError::new(name, error.into())))? as u64;
            if needs <= length {
                return OpenHead::open(name, &bytes, trust, created).map(Some).map_err(unbelieved);
            }
            length = needs;
        }
    }

    /// The digest of the segment in `pg_wal`; none where it is not there any more.
    async fn digest(
        &self,
        segment: SegmentName,
        generation: Option<Generation>,
        key: DigestKey,
    ) -> Result<Option<Digest>> {
        let path = self.directory.join(WalFileName::Segment(segment).to_string());
        let known = self.known().get(&(segment, generation)).copied();
        if let Some((stamp, digest)) = known
            && std::fs::metadata(&path).is_ok_and(|now| FileStamp::of(&now) == stamp)
        {
            return Ok(Some(digest));
        }
        let bytes = self.size.bytes();
        let unreadable = {
            let path = path.clone();
            move |error: std::io::Error| {
                Error::source_side("archive.unreadable", format!("cannot read {}", path.display()))
                    .because(error)
            }
        };
        let work = tokio::task::spawn_blocking(move || digest_of(&path, bytes, &key));
        let digest =
            work.await.map_err(|panic| Error::bug("archive.digest", "a reading thread ended").because(panic));
        let digest = digest?.map_err(unreadable)?;
        if let Some(known) = digest {
            self.known().insert((segment, generation), known);
        }
        Ok(digest.map(|(_, digest)| digest))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of a file of that many bytes that stays under its name meanwhile, and what it was then.
fn digest_of(path: &Path, bytes: u64, key: &DigestKey) -> std::io::Result<Option<(FileStamp, Digest)>> {
    let or_gone = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return or_gone(error),
    };
    let opened = FileStamp::of(&file.metadata()?);
    if opened.bytes != bytes {
        return Ok(None);
    }
    let mut hasher = key.hasher();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(room) = buffer.get_mut(..length) else { break };
        file.read_exact(room)?;
        hasher.update(room);
        left -= length as u64;
    }
    // A recycled file is written anew under another name.
    match std::fs::metadata(path) {
        Ok(now) if (now.dev(), now.ino()) == (opened.device, opened.inode) => {
            Ok(Some((opened, hasher.finish())))
        }
        Ok(_) => Ok(None),
        Err(error) => or_gone(error),
    }
}

#[cfg(test)]
mod tests;
