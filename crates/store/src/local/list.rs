//! Listing in the order of names (bytes of the whole name), directory by directory.
//!
//! Promises: an object that was put before the listing began and not deleted since is listed, in order; memory is
//! bounded by the largest directories on one way down, not by the number of objects.
//! Does not do: hiding what should not be there. A symbolic link, device or name that is no name for an object is an
//! error, for behind it an object could be missing. Names beginning with a dot and a volume's `lost+found` are skipped:
//! no object can have such a name.

use super::root::LocalError;
use super::{DurableLocal, Inner, read};
use crate::durable::{DirHandle, Entry, EntryKind};
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use std::os::unix::ffi::OsStrExt;

/// How many objects are looked up in one visit to the blocking threads.
const BATCH: usize = 1024;

/// A name still to be visited, in order; directories carry their trailing `/` so that they sort as what is in them.
struct Walk {
    root: DirHandle,
    /// Names to visit, the next one last.
    pending: Vec<String>,
    offset: Option<String>,
}

pub(super) fn list(
    store: &DurableLocal,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> stream::BoxStream<'static, Result<ObjectMeta>> {
    let store = store.clone();
    let (prefix, offset) = (prefix.cloned(), offset.map(ToString::to_string));
    let start = async move {
        let walk = store.blocking(move |inner| Walk::begin(inner, prefix.as_ref(), offset)).await?;
        Ok::<_, object_store::Error>(stream::try_unfold(walk, move |walk| next_batch(store.clone(), walk)))
    };
    let batches = stream::once(start).flat_map(|started| match started {
        Ok(batches) => batches.boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    });
    batches
        .flat_map(|batch| match batch {
            Ok(objects) => stream::iter(objects).map(Ok).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        })
        .boxed()
}

async fn next_batch(store: DurableLocal, mut walk: Walk) -> Result<Option<(Vec<ObjectMeta>, Walk)>> {
    if walk.pending.is_empty() {
        return Ok(None);
    }
    store
        .blocking(move |_| {
            let mut batch = Vec::new();
            while batch.len() < BATCH && walk.step(&mut batch)? {}
            Ok(Some((batch, walk)))
        })
        .await
}

impl Walk {
    fn begin(inner: &Inner, prefix: Option<&Path>, offset: Option<String>) -> Result<Self, LocalError> {
        let root = inner.root.open()?;
        let mut walk = Self { root, pending: Vec::new(), offset };
        let top = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        if prefix.is_some() {
            crate::name::check_segments(top.trim_end_matches('/'))
                .map_err(|why| LocalError::BadName { why })?;
        }
        walk.open_up(&top)?;
        Ok(walk)
    }

    /// Visits the next name; `false` when there is none left.
    fn step(&mut self, found: &mut Vec<ObjectMeta>) -> Result<bool, LocalError> {
        let Some(name) = self.pending.pop() else { return Ok(false) };
        if name.ends_with('/') {
            self.open_up(&name)?;
        } else {
            match self.root.metadata(&name) {
                Ok(facts) => found.push(read::object_meta(location(&name)?, &facts)),
                // Deleted since its directory was read.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Puts what is in the directory `name` (with trailing `/`, or empty for the root) on the list.
    fn open_up(&mut self, name: &str) -> Result<(), LocalError> {
        let mut names = names_in(&self.root, name)?;
        names.retain(|name| !self.is_passed(name));
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.pending.append(&mut names);
        Ok(())
    }

    /// Whether `name`, and all beneath it, lies at or before the offset.
    fn is_passed(&self, name: &str) -> bool {
        let Some(offset) = &self.offset else { return false };
        name <= offset.as_str() && !(name.ends_with('/') && offset.starts_with(name))
    }
}

/// Whole names of all objects and directories (with trailing `/`) in one directory, unsorted. A missing directory has
/// none: the store has no directories, only names.
fn names_in(root: &DirHandle, below: &str) -> Result<Vec<String>, LocalError> {
    let bare = below.trim_end_matches('/');
    let opened = if bare.is_empty() { root.again() } else { root.open_dir(bare) };
    let entries = match opened.and_then(|dir| dir.entries()) {
        Err(error) if error.is_not_found() && !bare.is_empty() => return Ok(Vec::new()),
        // The prefix is an object, not a directory: nothing is beneath it.
        Err(error) if is_not_a_directory(&error) && !bare.is_empty() => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.name.as_bytes().starts_with(b".") || (bare.is_empty() && entry.name == "lost+found") {
            continue;
        }
        names.push(whole_name(root, below, &entry)?);
    }
    Ok(names)
}

fn is_not_a_directory(error: &crate::durable::DurableError) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOTDIR.raw_os_error())
}

fn whole_name(root: &DirHandle, below: &str, entry: &Entry) -> Result<String, LocalError> {
    let stranger = |what| LocalError::NotAnObject { path: root.path().join(below).join(&entry.name), what };
    let Some(leaf) = entry.name.to_str() else { return Err(stranger("its name is not UTF-8")) };
    match entry.kind {
        EntryKind::Dir => Ok(format!("{below}{leaf}/")),
        EntryKind::File => Ok(format!("{below}{leaf}")),
        EntryKind::Symlink => Err(stranger("a symbolic link")),
        EntryKind::Other => Err(stranger("a device, socket or pipe")),
    }
}

fn location(name: &str) -> Result<Path, LocalError> {
    crate::name::parse_name(name).map_err(|why| LocalError::BadName { why: format!("{name:?}: {why}") })
}

/// One level: objects directly beneath `prefix`, and the next part of deeper names.
pub(super) fn level(inner: &Inner, prefix: Option<&Path>) -> Result<ListResult, LocalError> {
    let root = inner.root.open()?;
    let top = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
    let mut result =
        ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
    let mut names = names_in(&root, &top)?;
    names.sort_unstable();
    for name in names {
        if let Some(dir) = name.strip_suffix('/') {
            result.common_prefixes.push(location(dir)?);
            continue;
        }
        match root.metadata(&name) {
            Ok(facts) => result.objects.push(read::object_meta(location(&name)?, &facts)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(result)
}
