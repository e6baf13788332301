//! Deleting an object, and the directories that it leaves empty.
//!
//! Promises: the name is gone from disk before `Ok`; a missing object is the positive "not found". Directories made
//! empty are taken away as far as they are empty; a put that loses its directory that way makes it again.
//! Does not do: removing the root.

use super::Inner;
use super::root::{LocalError, file_name};
use crate::durable::{DirHandle, EntryKind};
use object_store::path::Path;
use std::path::Path as FsPath;

pub(super) fn delete(inner: &Inner, location: &Path) -> Result<(), LocalError> {
    let name = file_name(location)?;
    let path = inner.root.path().join(&name);
    let root = inner.root.open()?;
    match root.metadata(&name) {
        Ok(facts) if facts.kind == EntryKind::File => {}
        Ok(_) => return Err(LocalError::NotAnObject { path, what: "not an ordinary file" }),
        Err(error) if error.is_not_found() => return Err(LocalError::Absent { path }),
        Err(error) => return Err(error.into()),
    }
    match root.remove_file(&name) {
        Err(error) if error.is_not_found() => return Err(LocalError::Absent { path }),
        removed => removed?,
    }
    sync_holder(&root, &name)?;
    remove_empty(&root, &name);
    Ok(())
}

fn sync_holder(root: &DirHandle, name: &FsPath) -> Result<(), LocalError> {
    let synced = match name.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => root.open_dir(parent).and_then(|dir| dir.sync()),
        _ => root.sync(),
    };
    match synced {
        // Another deletion took the empty directory away, which takes the name away with it.
        Err(error) if error.is_not_found() => Ok(()),
        synced => Ok(synced?),
    }
}

/// Goes up from `name` while directories are empty. An empty directory means nothing to anybody, so a refusal
/// (not empty, in use, not allowed) just ends the walk.
fn remove_empty(root: &DirHandle, name: &FsPath) {
    for dir in name.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        if root.remove_dir(dir).is_err() {
            break;
        }
    }
}
