//! Where golden folders lie, and a region's objects as a map from name to bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall_repo::layout::ObjectName;

/// The folder of all golden folders.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The folder of one repository: `region/`, identities, the owner's public key.
pub(crate) fn folder(version: &str, flavour: &str) -> PathBuf {
    root().join(version).join(flavour)
}

/// Every object of a region. A name that this version does not know is a failure: the folder holds what it wrote.
pub(crate) fn load(region: &Path) -> BTreeMap<ObjectName, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in files_below(region) {
        let text = path.strip_prefix(region).unwrap().to_str().unwrap();
        let name = ObjectName::parse(text).unwrap_or_else(|| panic!("{text} is not an object's name"));
        found.insert(name, std::fs::read(&path).unwrap());
    }
    assert!(!found.is_empty(), "{} holds nothing", region.display());
    found
}

/// Writes one object, once.
pub(crate) fn put(region: &Path, name: &ObjectName, bytes: &[u8]) {
    let path = region.join(name.as_str());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(!path.exists(), "{name} is written twice");
    std::fs::write(path, bytes).unwrap();
}

/// Bytes of all files below.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    files_below(folder).iter().map(|path| path.metadata().unwrap().len()).sum()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
