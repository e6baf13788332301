//! The tree as the rules see it: text files, and which lines of them go into the product.
//!
//! Promise: build output, caches and version control are not looked at. Inline test modules stand at the end of a file
//! (house style), so a file's production part ends where the first begins.

use std::fmt;
use std::path::{Path, PathBuf};

/// Something a rule does not like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// A text file, its path from the root of the tree.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn complaint(&self, line: usize, text: impl Into<String>) -> Complaint {
        Complaint { path: self.path.clone(), line, text: text.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_script(&self) -> bool {
        self.path.ends_with(".sh") || self.path == ".ci/run"
    }

    pub(crate) fn is_crate_manifest(&self) -> bool {
        self.path.starts_with("crates/") && self.path.ends_with("/Cargo.toml")
    }

    /// Sources of the binary: not tests, not the test kit, not the simulator, not examples.
    pub(crate) fn is_product(&self) -> bool {
        self.is_rust()
            && self.path.contains("/src/")
            && !self.is_test_code()
            && !["crates/testkit/", "crates/gcsim/"].iter().any(|kit| self.path.starts_with(kit))
    }

    fn is_test_code(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        ["tests.rs", "testing.rs"].contains(&name)
            || name.starts_with("test_")
            || ["/tests/", "/benches/", "/examples/"].iter().any(|part| self.path.contains(part))
    }

    /// Lines that go into the product, numbered from 1.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_test_module = |at: usize| {
            let next = lines.get(at + 1).unwrap_or(&"").trim_start();
            lines[at].trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
        };
        let end = (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len());
        let end = if self.is_test_code() { 0 } else { end };
        lines.into_iter().take(end).enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Production lines without comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.production()
            .map(|(number, line)| (number, without_comment(line)))
            .filter(|(_, line)| !line.is_empty())
    }
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line).trim_end() }
}

/// Every text file of the tree.
pub(crate) fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    assert!(found.len() > 20, "the tree was not found");
    found
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<Source>) {
    let entries =
        std::fs::read_dir(directory).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut paths: Vec<PathBuf> = entries.unwrap_or_default();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let relative = format!("{prefix}{name}");
        if path.is_dir() && !path.is_symlink() {
            if !["target", ".git", ".cache", "__pycache__", "corpus", "artifacts"].contains(&name.as_str()) {
                collect(&path, &format!("{relative}/"), found);
            }
        } else if is_text_name(&name) {
            // A file that vanishes while this runs (an editor's) is not part of the tree.
            if let Ok(text) = std::fs::read_to_string(&path) {
                found.push(Source { path: relative, text });
            }
        }
    }
}

fn is_text_name(name: &str) -> bool {
    let endings = [".rs", ".toml", ".md", ".sh", ".py", ".yml", ".conf", ".txt", ".sql"];
    endings.iter().any(|ending| name.ends_with(ending)) || ["Makefile", "run"].contains(&name)
}

#[test]
fn production_ends_where_the_test_module_begins() {
    let file =
        Source::new("crates/x/src/a.rs", "//! a\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
    assert_eq!(file.production().count(), 3);
    let beside = Source::new("crates/x/src/a.rs", "//! a\n#[cfg(test)]\nmod tests;\nfn a() {} // why\n");
    assert_eq!(
        beside.code().map(|(_, line)| line).collect::<Vec<_>>(),
        ["#[cfg(test)]", "mod tests;", "fn a() {}"]
    );
    assert_eq!(Source::new("crates/x/src/a/tests.rs", "fn a() {}").production().count(), 0);
}
