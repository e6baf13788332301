//! The root of a local store: opened anew for every call, and believed only with its marker.
//!
//! Promises: marker and object are looked up through one and the same open directory, so a volume that is unmounted
//! between two calls (or between two steps of one) can never turn into "no such object".
//! Does not do: keeping the directory open between calls, which would make unmounting impossible.

use super::{Expect, MARKER};
use crate::durable::{DirHandle, DurableError, EntryKind, Watch};
use object_store::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// What a local store answers instead of what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The positive answer: root and marker were seen, and there is no such object.
    #[error("no such file: {}", .path.display())]
    Absent {
        /// Where it would be.
        path: PathBuf,
    },
    /// The name is taken; what stands there is on disk.
    #[error("the file exists: {}", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The root directory is not there: not mounted, or never made.
    #[error("the directory {} does not exist; is its volume mounted?", .root.display())]
    RootMissing {
        /// The root.
        root: PathBuf,
    },
    /// The root directory is there but is not a repository: an empty mount point, or not yet founded.
    #[error("the directory {} has no {MARKER}; is its volume mounted, and is it a repository?", .root.display())]
    MarkerMissing {
        /// The root.
        root: PathBuf,
    },
    /// A name that files beneath the root cannot have.
    #[error("{why}")]
    BadName {
        /// What is wrong with it.
        why: String,
    },
    /// Something that no put has made stands where an object is looked for.
    #[error("{} is not an object: {what}", .path.display())]
    NotAnObject {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file ended before what its length had promised.
    #[error("{} ended at byte {at}", .path.display())]
    Short {
        /// Which.
        path: PathBuf,
        /// Where it ended.
        at: u64,
    },
    /// The file system refused.
    #[error(transparent)]
    Durable {
        /// Its answer.
        #[from]
        source: DurableError,
    },
}

impl From<LocalError> for object_store::Error {
    fn from(error: LocalError) -> Self {
        let text = |path: &std::path::Path| path.display().to_string();
        match &error {
            LocalError::Absent { path } => Self::NotFound { path: text(path), source: Box::new(error) },
            LocalError::Exists { path } => Self::AlreadyExists { path: text(path), source: Box::new(error) },
            _ => Self::Generic { store: "file", source: Box::new(error) },
        }
    }
}

/// Where a store's root is and what is expected there.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    expect: Expect,
    watch: Option<Arc<dyn Watch>>,
}

impl Root {
    pub(super) fn new(path: PathBuf, expect: Expect) -> Self {
        Self { path, expect, watch: None }
    }

    pub(super) fn watched(mut self, watch: Arc<dyn Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The root, open, with its marker seen.
    pub(super) fn open(&self) -> Result<DirHandle, LocalError> {
        let dir = match DirHandle::open(&self.path) {
            Err(error) if error.is_not_found() => {
                return Err(LocalError::RootMissing { root: self.path.clone() });
            }
            opened => opened?,
        };
        if self.expect == Expect::Repository {
            match dir.metadata(MARKER) {
                Ok(facts) if facts.kind == EntryKind::File => {}
                Ok(_) => {
                    return Err(LocalError::NotAnObject {
                        path: self.path.join(MARKER),
                        what: "not an ordinary file",
                    });
                }
                Err(error) if error.is_not_found() => {
                    return Err(LocalError::MarkerMissing { root: self.path.clone() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(match &self.watch {
            Some(watch) => dir.watched(Arc::clone(watch)),
            None => dir,
        })
    }
}

/// The path of an object beneath the root.
pub(super) fn file_name(location: &Path) -> Result<PathBuf, LocalError> {
    let name: &str = location.as_ref();
    crate::name::parse_name(name).map_err(|why| LocalError::BadName { why })?;
    Ok(PathBuf::from(name))
}
