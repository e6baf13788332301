//! Files with credentials.
//!
//! Promises: one that everybody can read, or that others can change, is refused; its content is in no message and is wiped.

use super::open::BucketError;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

const BYTES_MAX: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, BucketError> {
    let unusable = |why: String| BucketError::File { path: path.to_owned(), why };
    let mode = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?.mode() & 0o7777;
    // A group may read: that is how containers are handed secrets.
    if mode & 0o037 != 0 {
        return Err(unusable(format!(
            "it holds secrets and others can reach it (mode {mode:04o}): chmod 600 it"
        )));
    }
    let bytes = crate::durable::read_whole(path, BYTES_MAX).map_err(|error| unusable(error.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_secret| unusable("it is not UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_others_reach_is_refused_and_its_content_is_in_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        std::fs::write(&path, "hidden").unwrap();
        let read = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            super::read(&path).map(|text| text.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(read(0o600).unwrap(), "hidden");
        assert_eq!(read(0o440).unwrap(), "hidden");
        for mode in [0o604, 0o620, 0o666] {
            let said = read(mode).unwrap_err();
            assert!(said.contains("others can reach it") && !said.contains("hidden"), "{said}");
        }
    }
}
