//! Listing level by level, for stores that do not list in the order of names.
//!
//! A store that keeps objects as files lists a folder where its own name stands (`a/x` before `a-b`), and begins "after a name" by
//! the same order. Promises: the order of names whatever the order within a level; names up to and with `offset` are left out; one
//! level's names in memory at a time for each level of depth. Costs a request for each folder.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};
use std::sync::Arc;

enum Entry {
    Object(ObjectMeta),
    Folder(Path),
}

impl Entry {
    /// Where it stands among its siblings: what lies in a folder has a slash behind the folder's name.
    fn key(&self) -> String {
        match self {
            Self::Object(meta) => meta.location.to_string(),
            Self::Folder(path) => format!("{path}/"),
        }
    }
}

struct Walk {
    driver: Arc<dyn ObjectStore>,
    after: Option<String>,
    /// Folders whose level is still to be asked for, and what was found, the next one last.
    left: Vec<Entry>,
    /// The level to begin with, until it was asked for.
    root: Option<Option<Path>>,
}

/// Everything beneath `prefix` behind `after`, in the order of names.
pub(super) fn walk(
    driver: Arc<dyn ObjectStore>,
    prefix: Option<&Path>,
    after: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let after = after.map(ToString::to_string);
    let walk = Walk { driver, after, left: Vec::new(), root: Some(prefix.cloned()) };
    stream::try_unfold(walk, Walk::next).boxed()
}

impl Walk {
    async fn next(mut self) -> Result<Option<(ObjectMeta, Self)>> {
        if let Some(root) = self.root.take() {
            self.enter(root.as_ref()).await?;
        }
        while let Some(entry) = self.left.pop() {
            match entry {
                Entry::Object(meta) => return Ok(Some((meta, self))),
                Entry::Folder(path) => self.enter(Some(&path)).await?,
            }
        }
        Ok(None)
    }

    async fn enter(&mut self, folder: Option<&Path>) -> Result<()> {
        let level = self.driver.list_with_delimiter(folder).await?;
        let objects = level.objects.into_iter().map(Entry::Object);
        let folders = level.common_prefixes.into_iter().map(Entry::Folder);
        let mut found: Vec<(String, Entry)> = objects
            .chain(folders)
            .map(|entry| (entry.key(), entry))
            .filter(|(key, _)| self.is_wanted(key))
            .collect();
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        self.left.extend(found.into_iter().map(|(_, entry)| entry));
        Ok(())
    }

    /// Whether it, or something in it, is behind the name to begin after.
    fn is_wanted(&self, key: &str) -> bool {
        let Some(after) = &self.after else { return true };
        key > after.as_str() || (key.ends_with('/') && after.starts_with(key))
    }
}
