//! What a backup or an archive should hold, as a text of one line an entry: kind, mode, size, BLAKE3, path, target.
//!
//! The hash stands for the bytes. Promises one spelling for one tree, so that listings are compared as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Lines by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing(BTreeMap<Vec<u8>, String>);

impl Listing {
    /// A file; a mode of 0 where none is kept (WAL).
    pub(crate) fn file(&mut self, path: &[u8], mode: u32, content: &[u8]) {
        let hash = blake3::hash(content).to_hex();
        self.add(path, format!("file {mode:04o} {} {hash} {}", content.len(), path.escape_ascii()));
    }

    /// A directory that is backed up.
    pub(crate) fn directory(&mut self, path: &[u8], mode: u32) {
        self.add(path, format!("directory {mode:04o} {}", path.escape_ascii()));
    }

    /// A directory to be created empty.
    pub(crate) fn empty(&mut self, path: &[u8], mode: u32) {
        self.add(path, format!("empty {mode:04o} {}", path.escape_ascii()));
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &[u8], mode: u32, target: &[u8]) {
        self.add(path, format!("link {mode:04o} {} {}", path.escape_ascii(), target.escape_ascii()));
    }

    fn add(&mut self, path: &[u8], line: String) {
        assert!(self.0.insert(path.to_vec(), line).is_none(), "{} twice", path.escape_ascii());
    }

    /// The text that is kept.
    pub(crate) fn print(&self) -> String {
        self.0.values().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        })
    }

    /// The listing kept in a version's folder.
    pub(crate) fn load(version: &str, name: &str) -> Kept {
        let path = super::region::root().join(version).join("expected").join(name);
        Kept(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Keeps it; where it was kept before, it must be the same.
    pub(crate) fn keep(&self, version: &str, name: &str) {
        let folder = super::region::root().join(version).join("expected");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        if path.exists() {
            Self::load(version, name).assert_same(self, name);
        }
        std::fs::write(path, self.print()).unwrap();
    }
}

/// A listing that was kept.
pub(crate) struct Kept(String);

impl Kept {
    /// Fails at the first line that differs.
    pub(crate) fn assert_same(&self, found: &Listing, what: &str) {
        let found = found.print();
        for (wanted, found) in self.0.lines().zip(found.lines()) {
            assert_eq!(found, wanted, "{what}");
        }
        assert_eq!(found.lines().count(), self.0.lines().count(), "{what}: entries");
    }
}
