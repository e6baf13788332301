//! What walking and reading share: naming who may read, and paths that are bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What stands before the path of a file that lies outside the data directory.
pub const EXTERNAL_PREFIX: &[u8] = b"@external";

/// The place on disk of a backup's path: `@external/etc/x` is `/etc/x`, all others are below the data directory.
pub(super) fn on_disk(data_directory: &Path, path: &[u8]) -> PathBuf {
    match path.strip_prefix(EXTERNAL_PREFIX) {
        Some(absolute) if absolute.starts_with(b"/") => PathBuf::from(OsStr::from_bytes(absolute)),
        _ => data_directory.join(OsStr::from_bytes(path)),
    }
}

/// A file that could not be read as an operator needs it: which one, and as whom it can be.
pub(super) fn unreadable(id: &'static str, what: String, path: &Path, cause: std::io::Error) -> Error {
    let denied = cause.kind() == std::io::ErrorKind::PermissionDenied;
    let shown = Error::source_side(id, what);
    let shown = match (denied, nearest_owner(path)) {
        (true, Some(owner)) => {
            let me = user_name(rustix::process::geteuid().as_raw());
            shown.hint(format!("run seawall as {}, the owner, and not as {me}", user_name(owner)))
        }
        (true, None) => shown.hint("run seawall as the owner of the data directory (usually postgres)"),
        (false, _) => shown.hint(
            "look for errors of the disk in the kernel's log; a file that cannot be read fails the backup",
        ),
    };
    shown.because(cause)
}

/// The owner of the file, or of the nearest directory above it that can be asked.
fn nearest_owner(path: &Path) -> Option<u32> {
    path.ancestors().find_map(|place| std::fs::symlink_metadata(place).ok()).map(|metadata| metadata.uid())
}

/// The name of the system user that owns a file, or the nearest directory above it; none where nothing can be asked.
#[must_use]
pub fn owner_name(path: &Path) -> Option<String> {
    nearest_owner(path).map(user_name)
}

/// The name that the local password file has for a user, else the number.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| format!("user number {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_paths_are_absolute_and_others_below_the_data_directory() {
        let data = Path::new("/data");
        assert_eq!(on_disk(data, b"base/1/2"), Path::new("/data/base/1/2"));
        assert_eq!(on_disk(data, b"@external/etc/x"), Path::new("/etc/x"));
        assert_eq!(on_disk(data, b"@externals/x"), Path::new("/data/@externals/x"));
    }

    #[test]
    fn users_are_named() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_000), "user number 4000000000");
    }
}
