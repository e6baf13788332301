//! Fresh data directories at the price of a copy.
//!
//! `initdb` takes seconds; its result for given options is kept in the shared directory and copied. Directories made from one
//! template share their system identifier; whoever needs another asks for a fresh one.
//! Promise: a template is complete or absent, also when two test processes make it at once or one is killed.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::identity::{self, run_as_server_user};
use crate::{Binaries, Context, Result};

/// Puts a data directory made by `initdb` with these options at `target`, which must not be there yet.
pub(crate) fn make_data_directory(
    binaries: &Binaries,
    options: &[String],
    fresh: bool,
    target: &Path,
) -> Result<()> {
    if fresh {
        return initdb(binaries, options, target);
    }
    let template = template(binaries, options)?;
    run_as_server_user(
        Command::new("cp").args(["-a", "--reflink=auto", "--sparse=always"]).arg(&template).arg(target),
    )?;
    Ok(())
}

fn template(binaries: &Binaries, options: &[String]) -> Result<PathBuf> {
    let templates = identity::shared_directory()?.join("templates");
    identity::make_directory(&templates)?;
    let text = format!("{}\n{}", binaries.directory.display(), options.join("\n"));
    let place =
        templates.join(format!("{}-{}", binaries.major, &blake3::hash(text.as_bytes()).to_hex()[..16]));
    let lock_path = place.with_extension("lock");
    let lock = std::fs::File::create(&lock_path).context(|| format!("creating {}", lock_path.display()))?;
    identity::give_to_server_user(&lock_path)?;
    rustix::fs::flock(lock.as_fd(), rustix::fs::FlockOperation::LockExclusive)
        .context(|| "waiting for the template's lock")?;
    if place.is_dir() {
        return Ok(place);
    }
    let part = place.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part)
            .context(|| format!("removing what a killed test left: {}", part.display()))?;
    }
    initdb(binaries, options, &part)?;
    std::fs::rename(&part, &place)?;
    Ok(place)
}

fn initdb(binaries: &Binaries, options: &[String], target: &Path) -> Result<()> {
    let mut command = binaries.command("initdb");
    command
        .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"])
        .args(options)
        .arg("-D")
        .arg(target);
    run_as_server_user(&mut command).map(drop)
}
