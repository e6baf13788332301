//! Putting a fetched file where the server waits for it.
//!
//! Promises: under the target's name stands nothing, or the whole checked file: it is written beside it and renamed. A file
//! that was not finished is removed; only a killed process leaves one, under a name that the server does not know.
//! Deliberately does not sync: the server reads it right away, and after a crash asks for it again.

use std::path::{Path, PathBuf};

use seawall_store::World;
use seawall_store::durable::{DirHandle, FileHandle, Result as DurableResult};

use crate::archive::read::Sink;
use crate::error::{Error, Result};

/// As PostgreSQL makes files in its directory.
const MODE: u32 = 0o600;

/// A file on its way to its name.
#[derive(Debug)]
pub(super) struct Arriving {
    dir: DirHandle,
    temp: PathBuf,
    name: PathBuf,
    target: PathBuf,
    file: FileHandle,
    written: u64,
    arrived: bool,
}

impl Arriving {
    /// Begins one for `target`.
    pub(super) fn begin(target: &Path, world: &World) -> Result<Self> {
        let number = world.random.next_u64().map_err(|error| {
            Error::bug("archive.no-randomness", "no name for a temporary file").because(error)
        })?;
        let begin = || -> DurableResult<Self> {
            let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
            let dir = DirHandle::open(parent.unwrap_or(Path::new(".")))?;
            let name = PathBuf::from(target.file_name().unwrap_or_default());
            let mut temp = name.clone().into_os_string();
            temp.push(format!(".seawall-{number:016x}"));
            let temp = PathBuf::from(temp);
            let file = dir.create_file(&temp, MODE)?;
            Ok(Self { dir, temp, name, target: target.to_owned(), file, written: 0, arrived: false })
        };
        begin().map_err(|error| unwritable(target, error))
    }

    /// Gives it its name.
    pub(super) fn arrive(mut self) -> Result<u64> {
        self.dir.rename(&self.temp, &self.name).map_err(|error| unwritable(&self.target, error))?;
        self.arrived = true;
        Ok(self.written)
    }
}

impl Sink for Arriving {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(bytes, self.written).map_err(|error| unwritable(&self.target, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.arrived {
            // The error that led here is on its way to the caller; the server ignores what may be left.
            let _left: DurableResult<()> = self.dir.remove_file(&self.temp);
        }
    }
}

fn unwritable(target: &Path, error: seawall_store::durable::DurableError) -> Error {
    Error::source_side("archive.target-unwritable", format!("cannot write {}", target.display()))
        .hint("is there space, and does seawall run as the owner of the data directory?")
        .because(error)
}
