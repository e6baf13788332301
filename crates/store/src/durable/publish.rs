//! Whole files under final names: created once, or replaced, in one step and on disk.
//!
//! The order that carries the promise: content into a temporary file, content synced, name given (a link or a rename
//! that refuses to replace), temporary name removed, directory synced. A crash between any two leaves either nothing
//! under the final name or all of it. Does not do: making directories.

use super::dir::exists_as_such;
use super::direct;
use super::temp::{Temp, refuse_temp_name};
use super::{Action, DirHandle, DurableError, Result, Step, check_relative, io_error};
use crate::world::Random;
use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with};
use rustix::io::Errno;
use std::path::Path;

impl DirHandle {
    /// Creates `name` with the concatenation of `pieces` and permission bits `mode`; on disk before `Ok`.
    ///
    /// # Errors
    /// [`DurableError::AlreadyExists`] when the name is taken: what stands there was not touched, but has been synced,
    /// so that a caller who finds it equal may rely on it.
    pub fn create_new(
        &self,
        name: impl AsRef<Path>,
        pieces: &[&[u8]],
        mode: u32,
        random: &dyn Random,
    ) -> Result<()> {
        let (holder, leaf) = self.holder_of(name.as_ref())?;
        let dir = holder.as_ref().unwrap_or(self);
        if dir.exists(&leaf)? {
            return Err(dir.sync_existing(&leaf));
        }
        let mut temp = dir.write_temp(pieces, mode, random)?;
        match dir.link_new(&mut temp, &leaf) {
            Err(DurableError::AlreadyExists { .. }) => {
                // Over NFS the answer to a link that was made can be lost and the repeated request refused.
                if temp.file.metadata()?.links < 2 {
                    return Err(dir.sync_existing(&leaf));
                }
                temp.remove()?;
            }
            linked => linked?,
        }
        dir.sync()
    }

    /// Puts the concatenation of `pieces` under `name` in place of whatever file was there; on disk before `Ok`.
    pub fn replace(
        &self,
        name: impl AsRef<Path>,
        pieces: &[&[u8]],
        mode: u32,
        random: &dyn Random,
    ) -> Result<()> {
        let (holder, leaf) = self.holder_of(name.as_ref())?;
        let dir = holder.as_ref().unwrap_or(self);
        let mut temp = dir.write_temp(pieces, mode, random)?;
        let target = dir.path().join(&leaf);
        dir.step(Action::Publish, &Step::Rename(dir.path().join(temp.name()), target.clone()))?;
        renameat(&dir.fd, temp.name(), &dir.fd, &leaf).map_err(io_error(Action::Publish, &target))?;
        temp.gone();
        dir.sync()
    }

    /// The directory that holds `name` (`None`: this one) and the last part of it.
    fn holder_of(&self, name: &Path) -> Result<(Option<Self>, std::path::PathBuf)> {
        check_relative(name)?;
        refuse_temp_name(name)?;
        let leaf = name.file_name().ok_or_else(|| DurableError::UnsafeName { name: name.to_owned() })?;
        let holder = match name.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Some(self.open_dir(parent)?),
            _ => None,
        };
        Ok((holder, leaf.into()))
    }

    fn exists(&self, leaf: &Path) -> Result<bool> {
        match self.metadata(leaf) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_temp(&self, pieces: &[&[u8]], mode: u32, random: &dyn Random) -> Result<Temp<'_>> {
        let temp = Temp::create(self, mode, random)?;
        let direct = direct::write(&temp.file, pieces)?;
        let mut offset: u64 = 0;
        for piece in pieces {
            let end = offset + piece.len() as u64;
            let skip = usize::try_from(direct.saturating_sub(offset)).unwrap_or(usize::MAX);
            if let Some(rest) = piece.get(skip..).filter(|rest| !rest.is_empty()) {
                temp.file.write_at(rest, offset.max(direct))?;
            }
            offset = end;
        }
        temp.file.sync()?;
        Ok(temp)
    }

    /// Gives the finished file its final name, which must be free, and takes the temporary one away.
    fn link_new(&self, temp: &mut Temp<'_>, leaf: &Path) -> Result<()> {
        let target = self.path().join(leaf);
        self.step(Action::Publish, &Step::Link(self.path().join(temp.name()), target.clone()))?;
        match linkat(&self.fd, temp.name(), &self.fd, leaf, AtFlags::empty()) {
            Ok(()) => return temp.remove(),
            // File systems without hard links (FAT, some FUSE and SMB mounts); a rename that does not replace will do.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
            Err(errno) => return Err(exists_as_such(io_error(Action::Publish, &target)(errno), &target)),
        }
        renameat_with(&self.fd, temp.name(), &self.fd, leaf, RenameFlags::NOREPLACE)
            .map_err(io_error(Action::Publish, &target))
            .map_err(|error| exists_as_such(error, &target))?;
        temp.gone();
        Ok(())
    }

    /// The name is taken. Its maker may not have synced yet, or have died before it could: do it for them.
    fn sync_existing(&self, leaf: &Path) -> DurableError {
        let synced = self.open_read(leaf).and_then(|file| file.sync()).and_then(|()| self.sync());
        match synced {
            Ok(()) => DurableError::AlreadyExists { path: self.path().join(leaf) },
            Err(error) => error,
        }
    }
}
