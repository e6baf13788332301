//! Bringing a whole directory tree to disk at the end of a restore.
//!
//! Promises: after `Ok` every file and every name beneath the directory is on disk, or was found on another file
//! system that was synced too. Does not do: following symbolic links; the caller syncs what they lead to.

use super::{Action, DirHandle, EntryKind, Result, Step, io_error};
use rustix::io::Errno;
use std::path::PathBuf;

impl DirHandle {
    /// Syncs everything beneath: each file, then each directory. Sure everywhere; slow with many files.
    pub fn sync_tree(&self) -> Result<()> {
        let mut dirs = vec![PathBuf::new()];
        while let Some(below) = dirs.pop() {
            let opened = if below.as_os_str().is_empty() { self.again()? } else { self.open_dir(&below)? };
            for entry in opened.entries()? {
                match entry.kind {
                    EntryKind::Dir => dirs.push(below.join(&entry.name)),
                    EntryKind::File => opened.open_read(&entry.name)?.sync()?,
                    EntryKind::Symlink | EntryKind::Other => {}
                }
            }
            opened.sync()?;
        }
        Ok(())
    }

    /// Syncs the file system this directory is on, all of it (`syncfs(2)`): one call whatever the number of files.
    /// Mounts beneath are other file systems; call it for each. Linux reports write errors here since 5.8.
    pub fn sync_file_system(&self) -> Result<()> {
        self.step(Action::Sync, &Step::SyncDir(self.path().to_owned()))?;
        match rustix::fs::syncfs(&self.fd) {
            Err(Errno::NOSYS) => self.sync_tree(),
            answer => answer.map_err(io_error(Action::Sync, self.path())),
        }
    }
}
