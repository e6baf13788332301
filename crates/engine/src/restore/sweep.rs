//! What a brought-up-to-date directory holds beyond the backup, removed.
//!
//! Promises: only beneath the target's own roots, and in a tablespace only in this version's directory; nothing is removed before all
//! paths of the backup are known. Memory is 16 bytes a path. Deliberately leaves WAL to `finish::clear_wal`.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use seawall_store::durable::{DirHandle, DurableError, EntryKind};

use super::transfer::local_error;
use crate::error::Result;
use crate::target::tree::TargetTree;

/// The paths of a backup, as fingerprints.
#[derive(Debug)]
pub struct Belonging {
    is_on: bool,
    paths: HashSet<u128>,
}

impl Belonging {
    /// Collects paths if `is_on`.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        Self { is_on, paths: HashSet::new() }
    }

    /// A path belongs, with every directory above it.
    pub fn add(&mut self, path: &[u8]) {
        if !self.is_on {
            return;
        }
        let mut end = path.len();
        while self.paths.insert(fingerprint(path.get(..end).unwrap_or(path))) {
            match path.get(..end).and_then(|path| path.iter().rposition(|byte| *byte == b'/')) {
                Some(slash) => end = slash,
                None => break,
            }
        }
    }

    /// Removes what does not belong; returns how many names.
    pub fn sweep(&self, tree: &TargetTree) -> Result<u64> {
        let mut removed = 0;
        self.sweep_dir(tree.data(), Path::new(""), &mut removed).map_err(local_error)?;
        for (oid, root) in tree.tablespace_roots() {
            let below = Path::new("pg_tblspc").join(oid.to_string()).join(tree.tablespace_directory());
            match root.open_dir(tree.tablespace_directory()) {
                Ok(dir) => self.sweep_dir(&dir, &below, &mut removed).map_err(local_error)?,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(local_error(error)),
            }
        }
        Ok(removed)
    }

    fn sweep_dir(
        &self,
        dir: &DirHandle,
        at: &Path,
        removed: &mut u64,
    ) -> std::result::Result<(), DurableError> {
        for entry in dir.entries()? {
            let path = at.join(&entry.name);
            if path == Path::new("pg_wal") || is_tablespace_link(&path) {
                continue;
            }
            let belongs = self.paths.contains(&fingerprint(path.as_os_str().as_bytes()));
            match (belongs, entry.kind) {
                (true, EntryKind::Dir) => self.sweep_dir(&dir.open_dir(&entry.name)?, &path, removed)?,
                (true, _) => {}
                (false, EntryKind::Dir) => remove_tree(dir, &PathBuf::from(&entry.name), removed)?,
                (false, _) => {
                    dir.remove_file(&entry.name)?;
                    *removed += 1;
                }
            }
        }
        Ok(())
    }
}

/// `pg_tblspc` and what stands right in it: made by the restore.
fn is_tablespace_link(path: &Path) -> bool {
    path.parent() == Some(Path::new("pg_tblspc"))
}

fn remove_tree(dir: &DirHandle, name: &Path, removed: &mut u64) -> std::result::Result<(), DurableError> {
    let below = dir.open_dir(name)?;
    for entry in below.entries()? {
        match entry.kind {
            EntryKind::Dir => remove_tree(&below, Path::new(&entry.name), removed)?,
            EntryKind::File | EntryKind::Symlink | EntryKind::Other => {
                below.remove_file(&entry.name)?;
                *removed += 1;
            }
        }
    }
    *removed += 1;
    dir.remove_dir(name)
}

/// Two hashes under different beginnings: paths of one backup that clash in both do not happen, and would only leave a file.
fn fingerprint(path: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        path.hash(&mut hasher);
        hasher.finish()
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use seawall_pg::Version;

    use super::*;
    use crate::target::tablespaces::{PlacedTablespace, Tablespace};
    use crate::target::tree::TreeSpec;

    #[test]
    fn only_what_belongs_stays_and_only_in_directories_of_this_cluster() {
        let scratch = tempfile::tempdir().unwrap();
        let fast = scratch.path().join("fast");
        let version = Version::from_major(17).unwrap();
        let tablespace = Tablespace { oid: 16400, name: "fast".into(), location: Some(fast.clone()) };
        let spec = TreeSpec {
            data_directory: scratch.path().join("data"),
            wal_directory: None,
            tablespaces: vec![PlacedTablespace { tablespace, directory: Some(fast.clone()) }],
            version,
            group_access: false,
            owner: None,
        };
        let tree = TargetTree::open(&spec).unwrap();
        let own = version.tablespace_directory();
        let stays =
            ["data/base/5/1", "data/pg_wal/x", "fast/PG_14_202107181/5/1", &format!("fast/{own}/5/1")[..]];
        let goes = [
            "data/base/5/2",
            "data/base/6/1",
            "data/stray",
            "data/pg_replslot/s/state",
            &format!("fast/{own}/5/2")[..],
        ];
        for path in stays.iter().chain(&goes) {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let mut belonging = Belonging::new(true);
        for path in ["base/5/1", "pg_replslot", &format!("pg_tblspc/16400/{own}/5/1")[..]] {
            belonging.add(path.as_bytes());
        }
        assert!(belonging.sweep(&tree).unwrap() >= 5);
        for path in stays {
            assert!(scratch.path().join(path).exists(), "{path}");
        }
        for path in goes {
            assert!(!scratch.path().join(path).exists(), "{path}");
        }
        assert!(scratch.path().join("data/pg_replslot").is_dir());
        assert!(scratch.path().join("data/pg_tblspc/16400").exists());
    }
}
