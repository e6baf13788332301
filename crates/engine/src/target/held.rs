//! What a target holds already, file by file.
//!
//! Promises: nothing is followed out of a root, and nothing is changed; what cannot be looked at counts as not there, so that the
//! room needed is rather too large than too small.

use std::collections::BTreeMap;
use std::path::Path;

use seawall_store::durable::{DirHandle, EntryKind};

use super::names::Spot;
use super::preflight::PreflightError;
use super::tablespaces::PlacedTablespace;

/// The roots of an older life of a cluster; none by default.
#[derive(Debug, Default)]
pub struct Held {
    data: Option<DirHandle>,
    tablespaces: BTreeMap<u32, DirHandle>,
}

impl Held {
    /// Opens what is there.
    pub fn open(data_directory: &Path, placed: &[PlacedTablespace]) -> Result<Self, PreflightError> {
        let mut held = Self { data: open_if_there(data_directory)?, tablespaces: BTreeMap::new() };
        for placed in placed {
            let root = placed.directory.as_deref().map(open_if_there).transpose()?.flatten();
            held.tablespaces.extend(root.map(|root| (placed.tablespace.oid, root)));
        }
        Ok(held)
    }

    /// The length of the file at this spot that a restore would write into; 0 where there is none.
    #[must_use]
    pub fn bytes(&self, spot: &Spot) -> u64 {
        let found = match spot {
            Spot::Data(name) => self.data.as_ref().map(|data| data.metadata(name)),
            Spot::Tablespace { oid, name } => match self.tablespaces.get(oid) {
                Some(root) => Some(root.metadata(name)),
                None => {
                    let inside = Path::new("pg_tblspc").join(oid.to_string()).join(name);
                    self.data.as_ref().map(|data| data.metadata(inside))
                }
            },
            // WAL is emptied first, and the rest is written anew.
            Spot::Wal(_) | Spot::Root | Spot::External(_) | Spot::OwnFile => None,
        };
        // One with a second name is written anew, beside it.
        let reused =
            found.and_then(Result::ok).filter(|file| file.kind == EntryKind::File && file.links == 1);
        reused.map_or(0, |file| file.size_bytes)
    }
}

fn open_if_there(path: &Path) -> Result<Option<DirHandle>, PreflightError> {
    match DirHandle::open(path) {
        Err(error) if error.is_not_found() => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::target::tablespaces::Tablespace;

    fn placed(oid: u32, directory: Option<&Path>) -> PlacedTablespace {
        let tablespace =
            Tablespace { oid, name: format!("ts{oid}"), location: directory.map(Path::to_owned) };
        PlacedTablespace { tablespace, directory: directory.map(Path::to_owned) }
    }

    #[test]
    fn only_files_that_would_be_written_into_count() {
        let scratch = tempfile::tempdir().unwrap();
        let (data, space) = (scratch.path().join("data"), scratch.path().join("space"));
        for dir in [data.join("base/5"), data.join("pg_tblspc/8/PG_17/5"), space.join("PG_17/5")] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(data.join("base/5/1"), [0; 100]).unwrap();
        fs::write(data.join("base/5/2"), [0; 100]).unwrap();
        fs::hard_link(data.join("base/5/2"), scratch.path().join("second name")).unwrap();
        std::os::unix::fs::symlink(data.join("base/5/1"), data.join("base/5/3")).unwrap();
        fs::write(space.join("PG_17/5/1"), [0; 70]).unwrap();
        fs::write(data.join("pg_tblspc/8/PG_17/5/1"), [0; 80]).unwrap();
        let held = Held::open(&data, &[placed(7, Some(&space)), placed(8, None)]).unwrap();
        let in_data = |name: &str| held.bytes(&Spot::Data(name.into()));
        assert_eq!(in_data("base/5/1"), 100);
        assert_eq!((in_data("base/5/2"), in_data("base/5/3"), in_data("base/5/4")), (0, 0, 0));
        assert_eq!(in_data("base/5"), 0, "a directory is no file");
        let in_space = |oid| held.bytes(&Spot::Tablespace { oid, name: "PG_17/5/1".into() });
        assert_eq!((in_space(7), in_space(8)), (70, 80));
        assert_eq!(
            Held::open(&scratch.path().join("missing"), &[]).unwrap().bytes(&Spot::Data("x".into())),
            0
        );
    }
}
