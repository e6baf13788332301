//! The tree of a target: its data directory, WAL's directory and the tablespaces', each written beneath a handle of its own.
//!
//! Promises: everything goes through `seawall_store::durable`, so no symbolic link is followed; modes are those a server accepts
//! (0700 and 0600, or 0750 and 0640 with group access) whatever the backup says; files belong to the owner asked for.
//! Deliberately does not decide what is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall_pg::Version;
use seawall_store::durable::{DirHandle, DurableError, EntryKind, FileHandle, MadeDirs, ensure_dir};

use super::names::Spot;
use super::tablespaces::PlacedTablespace;

/// What a tree is made of.
#[derive(Debug, Clone)]
pub struct TreeSpec {
    /// The data directory.
    pub data_directory: PathBuf,
    /// WAL's own directory; `pg_wal` becomes a link to it.
    pub wal_directory: Option<PathBuf>,
    /// The tablespaces.
    pub tablespaces: Vec<PlacedTablespace>,
    /// The server's version.
    pub version: Version,
    /// Whether the group may read (`data_directory_mode` 0750).
    pub group_access: bool,
    /// User and group of all files; none for those of the process.
    pub owner: Option<(u32, u32)>,
}

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum TreeError {
    #[error("the backup has files of tablespace {oid}, which it does not list")]
    UnknownTablespace { oid: u32 },
    #[error("{spot:?} does not belong beneath the data directory")]
    NotInTree { spot: Spot },
    #[error("{} is a {found:?} where the backup has something else", .name.display())]
    InTheWay { name: PathBuf, found: EntryKind },
    #[error("the target cannot be written")]
    Local(#[from] DurableError),
}

/// An open target.
#[derive(Debug)]
pub struct TargetTree {
    data: DirHandle,
    wal: Option<DirHandle>,
    /// None for one inside the data directory.
    tablespaces: BTreeMap<u32, Option<DirHandle>>,
    tablespace_directory: String,
    directory_mode: u32,
    owner: Option<(u32, u32)>,
}

impl TargetTree {
    /// Makes the roots and the links to them. What is there already stays.
    pub fn open(spec: &TreeSpec) -> Result<Self, TreeError> {
        let directory_mode = if spec.group_access { 0o750 } else { 0o700 };
        let mut tree = Self {
            data: ensure_dir(&spec.data_directory, directory_mode)?,
            wal: None,
            tablespaces: BTreeMap::new(),
            tablespace_directory: spec.version.tablespace_directory(),
            directory_mode,
            owner: spec.owner,
        };
        tree.adopt(&tree.data)?;
        tree.open_wal(spec)?;
        tree.open_tablespaces(spec)?;
        Ok(tree)
    }

    fn open_wal(&mut self, spec: &TreeSpec) -> Result<(), TreeError> {
        match &spec.wal_directory {
            Some(directory) => {
                let wal = ensure_dir(directory, self.directory_mode)?;
                self.adopt(&wal)?;
                self.link(&self.data, Path::new("pg_wal"), directory)?;
                self.wal = Some(wal);
            }
            None => self.ensure(&self.data, Path::new("pg_wal"))?,
        }
        for name in spec.version.facts().wal_directories {
            let (dir, name) = self.place(&Spot::Wal(PathBuf::from(name)))?;
            self.ensure(dir, &name)?;
        }
        Ok(())
    }

    fn open_tablespaces(&mut self, spec: &TreeSpec) -> Result<(), TreeError> {
        self.ensure(&self.data, Path::new("pg_tblspc"))?;
        for placed in &spec.tablespaces {
            let oid = placed.tablespace.oid;
            let name = Path::new("pg_tblspc").join(oid.to_string());
            let root = match &placed.directory {
                Some(directory) => {
                    let root = ensure_dir(directory, self.directory_mode)?;
                    self.adopt(&root)?;
                    self.link(&self.data, &name, directory)?;
                    Some(root)
                }
                None => {
                    self.ensure(&self.data, &name)?;
                    None
                }
            };
            self.tablespaces.insert(oid, root);
        }
        Ok(())
    }

    /// Gives a directory the mode and owner that a server wants.
    fn adopt(&self, dir: &DirHandle) -> Result<(), TreeError> {
        dir.set_mode(self.directory_mode)?;
        if let Some((uid, gid)) = self.owner {
            dir.set_owner(uid, gid)?;
        }
        Ok(())
    }

    /// A directory that may be there already.
    fn ensure(&self, dir: &DirHandle, name: &Path) -> Result<(), TreeError> {
        match dir.make_dir(name, self.directory_mode) {
            Ok(()) => {}
            Err(DurableError::AlreadyExists { .. }) => match dir.metadata(name)?.kind {
                EntryKind::Dir => {}
                found => return Err(TreeError::InTheWay { name: name.to_owned(), found }),
            },
            // Its parent is a directory that the backup does not list by itself.
            Err(error) if error.is_not_found() => {
                drop(dir.ensure_dirs(name, self.directory_mode, &MadeDirs::default())?);
            }
            Err(error) => return Err(error.into()),
        }
        self.adopt(&dir.open_dir(name)?)
    }

    /// A link that may be there already, pointing elsewhere.
    fn link(&self, dir: &DirHandle, name: &Path, target: &Path) -> Result<(), TreeError> {
        match dir.metadata(name) {
            Ok(facts) if facts.kind == EntryKind::Symlink => {
                if dir.read_link(name)? == target {
                    return Ok(());
                }
                dir.remove_file(name)?;
            }
            Ok(facts) => return Err(TreeError::InTheWay { name: name.to_owned(), found: facts.kind }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(dir.symlink(name, target)?)
    }

    /// The handle beneath which a spot lies, and its name there.
    fn place(&self, spot: &Spot) -> Result<(&DirHandle, PathBuf), TreeError> {
        match spot {
            Spot::Data(name) => Ok((&self.data, name.clone())),
            Spot::Wal(name) => Ok(match &self.wal {
                Some(wal) => (wal, name.clone()),
                None => (&self.data, Path::new("pg_wal").join(name)),
            }),
            Spot::Tablespace { oid, name } => match self.tablespaces.get(oid) {
                Some(Some(root)) => Ok((root, name.clone())),
                Some(None) => Ok((&self.data, Path::new("pg_tblspc").join(oid.to_string()).join(name))),
                None => Err(TreeError::UnknownTablespace { oid: *oid }),
            },
            Spot::Root | Spot::External(_) | Spot::OwnFile => {
                Err(TreeError::NotInTree { spot: spot.clone() })
            }
        }
    }

    /// Makes a directory; one that is there stays.
    pub fn make_dir(&self, spot: &Spot) -> Result<(), TreeError> {
        let (dir, name) = self.place(spot)?;
        self.ensure(dir, &name)
    }

    /// Makes a symbolic link as the backup has it.
    pub fn make_link(&self, spot: &Spot, target: &Path) -> Result<(), TreeError> {
        let (dir, name) = self.place(spot)?;
        self.link(dir, &name, target)
    }

    /// Makes a file of this length, all zeros (a hole); `mode` counts as far as a server accepts it.
    pub fn make_file(&self, spot: &Spot, mode: u32, size_bytes: u64) -> Result<FileHandle, TreeError> {
        let (dir, name) = self.place(spot)?;
        let file = dir.create_file(&name, self.file_mode(mode))?;
        self.finish_file(&file, size_bytes)?;
        Ok(file)
    }

    /// Opens a file that is there and gives it this length and mode; `None` when there is none.
    pub fn reuse_file(
        &self,
        spot: &Spot,
        mode: u32,
        size_bytes: u64,
    ) -> Result<Option<FileHandle>, TreeError> {
        let (dir, name) = self.place(spot)?;
        match dir.metadata(&name) {
            Err(error) if error.is_not_found() => return Ok(None),
            Ok(facts) if facts.kind == EntryKind::File && facts.links == 1 => {}
            // A second name would change with it, wherever it is.
            Ok(facts) if facts.kind == EntryKind::File || facts.kind == EntryKind::Symlink => {
                dir.remove_file(&name)?;
                return Ok(None);
            }
            Ok(facts) => return Err(TreeError::InTheWay { name, found: facts.kind }),
            Err(error) => return Err(error.into()),
        }
        let file = dir.open_file(&name)?;
        file.set_mode(self.file_mode(mode))?;
        self.finish_file(&file, size_bytes)?;
        Ok(Some(file))
    }

    fn finish_file(&self, file: &FileHandle, size_bytes: u64) -> Result<(), TreeError> {
        if let Some((uid, gid)) = self.owner {
            file.set_owner(uid, gid)?;
        }
        Ok(file.set_len(size_bytes)?)
    }

    /// Opens a file made before.
    pub fn open_file(&self, spot: &Spot) -> Result<FileHandle, TreeError> {
        let (dir, name) = self.place(spot)?;
        Ok(dir.open_file(&name)?)
    }

    fn file_mode(&self, mode: u32) -> u32 {
        let allowed = if self.directory_mode == 0o750 { 0o640 } else { 0o600 };
        (mode & allowed) | 0o600
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &DirHandle {
        &self.data
    }

    /// User and group of all files.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// The tablespaces that have directories of their own.
    pub fn tablespace_roots(&self) -> impl Iterator<Item = (u32, &DirHandle)> {
        self.tablespaces.iter().filter_map(|(oid, root)| Some((*oid, root.as_ref()?)))
    }

    /// The directory of this version in a tablespace, such as `PG_17_202406281`.
    #[must_use]
    pub fn tablespace_directory(&self) -> &str {
        &self.tablespace_directory
    }

    /// WAL's directory.
    pub fn wal(&self) -> Result<DirHandle, TreeError> {
        Ok(match &self.wal {
            Some(wal) => wal.again()?,
            None => self.data.open_dir("pg_wal")?,
        })
    }

    /// For tests: sees every durable step in the data directory.
    #[cfg(test)]
    pub(super) fn watch(&mut self, watch: std::sync::Arc<dyn seawall_store::durable::Watch>) {
        if let Ok(data) = self.data.again() {
            self.data = data.watched(watch);
        }
    }

    /// Every root beneath which files lie.
    pub fn roots(&self) -> impl Iterator<Item = &DirHandle> {
        let spaces = self.tablespaces.values().filter_map(Option::as_ref);
        std::iter::once(&self.data).chain(self.wal.as_ref()).chain(spaces)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::target::names::spot;
    use crate::target::tablespaces::Tablespace;

    fn spec(scratch: &Path) -> TreeSpec {
        let space = |oid, directory: Option<PathBuf>| PlacedTablespace {
            tablespace: Tablespace { oid, name: format!("s{oid}"), location: directory.clone() },
            directory,
        };
        TreeSpec {
            data_directory: scratch.join("data"),
            wal_directory: Some(scratch.join("wal")),
            tablespaces: vec![space(16400, Some(scratch.join("fast"))), space(16401, None)],
            version: Version::from_major(17).unwrap(),
            group_access: false,
            owner: None,
        }
    }

    fn write(tree: &TargetTree, path: &str) {
        let file = tree.make_file(&spot(path.as_bytes()).unwrap(), 0o666, 10).unwrap();
        file.write_at(b"x", 9).unwrap();
    }

    #[test]
    fn every_file_lies_beneath_its_own_root() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = TargetTree::open(&spec(scratch.path())).unwrap();
        for dir in ["base", "base/5", "pg_tblspc/16400/PG_17_1", "pg_tblspc/16401/PG_17_1"] {
            tree.make_dir(&spot(dir.as_bytes()).unwrap()).unwrap();
        }
        for path in
            ["base/5/1", "pg_wal/archive_status/x", "pg_tblspc/16400/PG_17_1/1", "pg_tblspc/16401/PG_17_1/1"]
        {
            write(&tree, path);
            assert_eq!(
                fs::read(scratch.path().join("data").join(path)).unwrap(),
                b"\0\0\0\0\0\0\0\0\0x",
                "{path}"
            );
        }
        assert!(scratch.path().join("fast/PG_17_1/1").exists());
        assert!(scratch.path().join("wal/archive_status/x").exists());
        assert!(scratch.path().join("wal/summaries").is_dir());
        assert_eq!(
            fs::read_link(scratch.path().join("data/pg_tblspc/16400")).unwrap(),
            scratch.path().join("fast")
        );
        let mode =
            |path: &str| fs::metadata(scratch.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("data"), mode("data/base/5"), mode("data/base/5/1")), (0o700, 0o700, 0o600));
    }

    #[test]
    fn a_link_in_the_target_is_not_written_through() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let tree = TargetTree::open(&spec(scratch.path())).unwrap();
        tree.make_link(&Spot::Data("base".into()), &outside).unwrap();
        assert!(tree.make_file(&Spot::Data("base/1".into()), 0o600, 1).is_err());
        assert!(tree.make_dir(&Spot::Data("base/5".into())).is_err());
        assert!(!outside.join("1").exists() && !outside.join("5").exists());
    }

    #[test]
    fn a_file_with_a_second_name_is_not_changed_in_place() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = TargetTree::open(&spec(scratch.path())).unwrap();
        write(&tree, "one");
        let elsewhere = scratch.path().join("elsewhere");
        fs::hard_link(scratch.path().join("data/one"), &elsewhere).unwrap();
        assert!(tree.reuse_file(&Spot::Data("one".into()), 0o600, 3).unwrap().is_none());
        assert_eq!(fs::metadata(elsewhere).unwrap().len(), 10);
        write(&tree, "one");
        assert!(tree.reuse_file(&Spot::Data("one".into()), 0o600, 3).unwrap().is_some());
        assert_eq!(fs::metadata(scratch.path().join("data/one")).unwrap().len(), 3);
    }

    #[test]
    fn a_tablespace_that_is_not_listed_has_no_place() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = TargetTree::open(&spec(scratch.path())).unwrap();
        let unknown = tree.make_dir(&Spot::Tablespace { oid: 9, name: "x".into() });
        assert!(matches!(unknown, Err(TreeError::UnknownTablespace { oid: 9 })));
    }
}
