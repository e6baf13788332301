//! Putting an object: directories, then the file, each on disk before the next.
//!
//! Promises: `Ok` only when the object is on disk under its name; "exists" only when the one that exists is.
//! Does not do: cleaning up directories that turn out not to be needed.

use super::root::{LocalError, file_name};
use super::{Inner, read};
use crate::durable::{DirHandle, DurableError};
use object_store::path::Path;
use object_store::{PutPayload, PutResult};

/// How often a directory may vanish (removed empty by a deletion) between being made and being used.
const VANISHED_MAX: usize = 16;

pub(super) fn create(inner: &Inner, location: &Path, payload: &PutPayload) -> Result<PutResult, LocalError> {
    let name = file_name(location)?;
    let pieces: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
    let root = inner.root.open()?;
    let leaf =
        name.file_name().ok_or_else(|| LocalError::BadName { why: "it has no last part".to_owned() })?;
    let mut vanished = 0;
    loop {
        let dir = holder(inner, &root, &name)?;
        match dir.create_new(leaf, &pieces, inner.modes.file, &*inner.world.random) {
            Ok(()) => {
                let e_tag = Some(read::e_tag(&dir.metadata(leaf)?));
                return Ok(PutResult { e_tag, version: None, extensions: Default::default() });
            }
            Err(DurableError::AlreadyExists { path }) => return Err(LocalError::Exists { path }),
            Err(error) if error.is_not_found() && vanished < VANISHED_MAX => vanished += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The directory for `name`, made where it is missing.
fn holder(inner: &Inner, root: &DirHandle, name: &std::path::Path) -> Result<DirHandle, LocalError> {
    let Some(parent) = name.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(root.again()?);
    };
    let mut vanished = 0;
    loop {
        match root.ensure_dirs(parent, inner.modes.dir, &inner.made) {
            Err(error) if error.is_not_found() && vanished < VANISHED_MAX => vanished += 1,
            opened => return Ok(opened?),
        }
    }
}
