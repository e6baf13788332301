//! The end of a restore: what makes a directory of files a data directory that a server recovers from.
//!
//! Commit point: the rename of `global/pg_control` into place. Before it everything else was brought to disk, with
//! `backup_label`, the signal file and the settings; so a directory with a `pg_control` is whole, and one without it does not
//! start. `tablespace_map` is not written: the links are there already, and with a map the server would make those of the source.

use std::path::{Path, PathBuf};

use seawall_store::World;
use seawall_store::durable::{DirHandle, DurableError};

use super::tree::TargetTree;

/// The name under which `pg_control` waits.
const CONTROL_WAITING: &str = "global/pg_control.restoring";
const CONTROL: &str = "global/pg_control";

/// A small file of the restore's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Its name in the data directory.
    pub name: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// Takes `pg_control` and what an earlier recovery left out of the way: from here on no server starts from the directory.
pub fn disarm(tree: &TargetTree) -> Result<(), DurableError> {
    let data = tree.data();
    let own = [
        CONTROL,
        CONTROL_WAITING,
        "backup_label",
        "backup_label.old",
        "tablespace_map",
        "tablespace_map.old",
        "recovery.signal",
        "standby.signal",
        "recovery.conf",
        "postmaster.pid",
        "postmaster.opts",
    ];
    for name in own {
        match data.remove_file(name) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    match data.open_dir("global") {
        Ok(global) => global.sync()?,
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    data.sync()
}

/// Writes the restore's own files, brings everything to disk, and puts `pg_control` into place.
pub fn arm(tree: &TargetTree, files: &[OwnFile], control: &[u8], world: &World) -> Result<(), DurableError> {
    for file in files {
        tree.data().replace(&file.name, &[&file.content], file.mode, &*world.random)?;
        give(tree, &file.name)?;
    }
    write_control(tree, control)?;
    for root in tree.roots() {
        root.sync_file_system()?;
    }
    // Everything is on disk; only now does the directory become one that starts.
    tree.data().rename(CONTROL_WAITING, CONTROL)?;
    tree.data().open_dir("global")?.sync()
}

fn write_control(tree: &TargetTree, control: &[u8]) -> Result<(), DurableError> {
    let data = tree.data();
    let file = match data.create_file(CONTROL_WAITING, 0o600) {
        Err(DurableError::AlreadyExists { .. }) => {
            data.remove_file(CONTROL_WAITING)?;
            data.create_file(CONTROL_WAITING, 0o600)?
        }
        created => created?,
    };
    file.write_at(control, 0)?;
    if let Some((uid, gid)) = tree.owner() {
        file.set_owner(uid, gid)?;
    }
    file.sync()
}

fn give(tree: &TargetTree, name: &Path) -> Result<(), DurableError> {
    match tree.owner() {
        Some((uid, gid)) => tree.data().open_file(name)?.set_owner(uid, gid),
        None => Ok(()),
    }
}

/// Removes everything in WAL's directory but its subdirectories, which are emptied: WAL of another life would be replayed.
pub fn clear_wal(wal: &DirHandle) -> Result<(), DurableError> {
    use seawall_store::durable::EntryKind;
    for entry in wal.entries()? {
        match entry.kind {
            EntryKind::Dir => {
                let below = wal.open_dir(&entry.name)?;
                for inner in below.entries()? {
                    if inner.kind != EntryKind::Dir {
                        below.remove_file(&inner.name)?;
                    }
                }
            }
            EntryKind::File | EntryKind::Symlink | EntryKind::Other => wal.remove_file(&entry.name)?,
        }
    }
    wal.sync()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use seawall_pg::Version;
    use seawall_store::durable::{Step, Watch};

    use super::*;
    use crate::target::tree::TreeSpec;

    #[derive(Debug, Default)]
    struct Steps(Mutex<Vec<Step>>);

    impl Watch for Steps {
        fn before(&self, step: &Step) -> std::io::Result<()> {
            self.0.lock().unwrap().push(step.clone());
            Ok(())
        }
    }

    fn spec(at: &Path) -> TreeSpec {
        TreeSpec {
            data_directory: at.to_owned(),
            wal_directory: None,
            tablespaces: Vec::new(),
            version: Version::from_major(17).unwrap(),
            group_access: false,
            owner: None,
        }
    }

    #[test]
    fn pg_control_comes_into_place_behind_everything_else() {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path().join("data");
        let steps = Arc::new(Steps::default());
        let mut tree = TargetTree::open(&spec(&at)).unwrap();
        tree.watch(steps.clone());
        fs::create_dir(at.join("global")).unwrap();
        let label = OwnFile { name: "backup_label".into(), content: b"x".to_vec(), mode: 0o600 };
        arm(&tree, &[label], &[7; 8192], &World::seeded(1)).unwrap();
        assert_eq!(fs::read(at.join("global/pg_control")).unwrap(), [7; 8192]);
        let steps = steps.0.lock().unwrap().clone();
        let last = |wanted: &dyn Fn(&Step) -> bool| steps.iter().rposition(wanted).unwrap();
        let named = last(&|step| matches!(step, Step::Rename(_, to) if to.ends_with("global/pg_control")));
        let synced = last(&|step| matches!(step, Step::SyncDir(dir) if *dir == at));
        let written = last(&|step| matches!(step, Step::Write(..)));
        assert!(written < synced && synced < named, "{steps:?}");
        assert!(matches!(steps.last(), Some(Step::SyncDir(dir)) if dir.ends_with("global")), "{steps:?}");
    }

    #[test]
    fn a_disarmed_directory_has_nothing_that_a_server_starts_from() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = TargetTree::open(&spec(scratch.path())).unwrap();
        fs::create_dir(scratch.path().join("global")).unwrap();
        for name in ["global/pg_control", "backup_label.old", "standby.signal", "postmaster.pid"] {
            fs::write(scratch.path().join(name), "x").unwrap();
        }
        disarm(&tree).unwrap();
        for name in ["global/pg_control", "backup_label.old", "standby.signal", "postmaster.pid"] {
            assert!(!scratch.path().join(name).exists(), "{name}");
        }
        disarm(&tree).unwrap();
    }

    #[test]
    fn wal_of_another_life_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("archive_status")).unwrap();
        for name in ["000000010000000000000001", "archive_status/000000010000000000000001.ready", "x.history"]
        {
            fs::write(scratch.path().join(name), "x").unwrap();
        }
        clear_wal(&DirHandle::open(scratch.path()).unwrap()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(scratch.path().join("archive_status")).unwrap().count(), 0);
    }
}
