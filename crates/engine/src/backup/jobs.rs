//! From paths to pieces of work: every path of the cluster, in order, beside what the parent has at the same path.
//!
//! Promises: jobs come in the order of paths, so that the collector writes blocks as results arrive; a large file is cut
//! at leaves (4,096 pages), small ones are batched. Deliberately reads no file.

use std::cmp::Ordering;
use std::sync::Arc;

use seawall_pg::copy_rules::{CopyRule, EntryKind};
use seawall_repo::map::file_block::{EntryKind as StoredKind, FileEntry, LeafChains, leaf_count};

use crate::source::WalkEntry;
use crate::source::walk::WalkError;

/// Files up to this size are batched.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// A batch ends at so many bytes or entries.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_ENTRIES: usize = 512;

/// A file to be read.
#[derive(Debug)]
pub(super) struct FileWork {
    /// Its number in this backup: what ties stored runs to it.
    pub(super) number: u32,
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// What the parent has of it: the chains of its leaves.
    pub(super) parent: Vec<LeafChains>,
    /// Its length in the parent, in bytes; none if the parent has no file there.
    pub(super) parent_bytes: Option<u64>,
}

/// One path of a batch.
#[derive(Debug)]
pub(super) enum Item {
    File(Arc<FileWork>),
    Other(FileEntry),
}

/// A piece of work for one worker.
#[derive(Debug)]
pub(super) enum Work {
    /// Leaf `leaf` of a large file.
    Leaf { file: Arc<FileWork>, leaf: u32 },
    /// Some small files and what lies between them.
    Batch(Vec<Item>),
}

/// A path to be backed up.
#[derive(Debug)]
pub(super) struct SourcePath {
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) kind: SourceKind,
}

#[derive(Debug)]
pub(super) enum SourceKind {
    File { size: u64 },
    Other(StoredKind),
}

/// What the backup stores of a walked path; more than one where an emptied directory has directories inside.
pub(super) fn of_walk(entry: WalkEntry) -> Vec<SourcePath> {
    let mode = entry.mode & 0o7777;
    let one = |path, kind| vec![SourcePath { path, mode, kind }];
    match &entry.rule {
        CopyRule::Skip(_) | CopyRule::CopyLast => Vec::new(),
        CopyRule::EmptyDirectory(inside) => {
            let mut paths = one(entry.path.clone(), SourceKind::Other(StoredKind::EmptyDirectory));
            paths.extend(inside.iter().map(|name| SourcePath {
                path: [entry.path.as_slice(), b"/", name.as_bytes()].concat(),
                mode,
                kind: SourceKind::Other(StoredKind::EmptyDirectory),
            }));
            paths
        }
        CopyRule::Tablespace { in_place: false, .. } => {
            let target = entry.link_target.unwrap_or_default();
            // A link has no bits of its own; those of what it leads to are put back on the directory.
            one(entry.path, SourceKind::Other(StoredKind::Link { target }))
        }
        CopyRule::Copy | CopyRule::Follow | CopyRule::Tablespace { in_place: true, .. } => {
            match entry.leads_to {
                Some(EntryKind::File) => one(entry.path, SourceKind::File { size: entry.size_bytes }),
                Some(EntryKind::Directory) => one(entry.path, SourceKind::Other(StoredKind::Directory)),
                _ => Vec::new(),
            }
        }
    }
}

/// Merges two sorted streams of paths (the data directory's and the files outside it) into one.
pub(super) struct Merged<A: Iterator, B: Iterator> {
    walk: std::iter::Peekable<A>,
    external: std::iter::Peekable<B>,
}

impl<A, B> Merged<A, B>
where
    A: Iterator<Item = Result<SourcePath, WalkError>>,
    B: Iterator<Item = SourcePath>,
{
    pub(super) fn new(walk: A, external: B) -> Self {
        Self { walk: walk.peekable(), external: external.peekable() }
    }
}

impl<A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = Result<SourcePath, WalkError>>,
    B: Iterator<Item = SourcePath>,
{
    type Item = Result<SourcePath, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let outside_first = match (self.walk.peek(), self.external.peek()) {
            (Some(Ok(inside)), Some(outside)) => outside.path < inside.path,
            (None, Some(_)) => true,
            _ => false,
        };
        if outside_first { self.external.next().map(Ok) } else { self.walk.next() }
    }
}

/// Gives what the parent has at a path; asked in rising order of paths.
pub(super) trait ParentFiles {
    /// The parent's next entry; none behind the last.
    fn next_entry(&mut self) -> crate::Result<Option<FileEntry>>;
}

/// Cuts paths into work.
pub(super) struct Jobs<P> {
    parent: Option<P>,
    /// The parent's entry that was read ahead.
    ahead: Option<FileEntry>,
    files: u32,
    batch: Vec<Item>,
    batch_bytes: u64,
}

impl<P: ParentFiles> Jobs<P> {
    pub(super) fn new(parent: Option<P>) -> Self {
        Self { parent, ahead: None, files: 0, batch: Vec::new(), batch_bytes: 0 }
    }

    /// Takes the next path; the work that is ready by then.
    pub(super) fn push(&mut self, path: SourcePath) -> crate::Result<Vec<Work>> {
        let SourceKind::File { size } = path.kind else {
            let SourceKind::Other(kind) = path.kind else { return Ok(Vec::new()) };
            self.batch.push(Item::Other(FileEntry { path: path.path, mode: path.mode, kind }));
            return Ok(self.full_batch());
        };
        let (parent, parent_bytes) = match self.parent_of(&path.path)? {
            Some((leaves, bytes)) => (leaves, Some(bytes)),
            None => (Vec::new(), None),
        };
        let number = self.files;
        let file =
            Arc::new(FileWork { number, path: path.path, mode: path.mode, size, parent, parent_bytes });
        self.files = self.files.saturating_add(1);
        if size <= SMALL_BYTES_MAX {
            self.batch_bytes = self.batch_bytes.saturating_add(size);
            self.batch.push(Item::File(file));
            return Ok(self.full_batch());
        }
        let mut work: Vec<Work> = self.finish().into_iter().collect();
        let leaves = u32::try_from(leaf_count(size)).unwrap_or(u32::MAX);
        work.extend((0..leaves).map(|leaf| Work::Leaf { file: Arc::clone(&file), leaf }));
        Ok(work)
    }

    /// What is left.
    pub(super) fn finish(&mut self) -> Option<Work> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        (!batch.is_empty()).then_some(Work::Batch(batch))
    }

    fn full_batch(&mut self) -> Vec<Work> {
        let full = self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_ENTRIES;
        if full { self.finish().into_iter().collect() } else { Vec::new() }
    }

    /// The chains and the length of the parent's file at this path; none if it has none there.
    fn parent_of(&mut self, path: &[u8]) -> crate::Result<Option<(Vec<LeafChains>, u64)>> {
        let Some(parent) = &mut self.parent else { return Ok(None) };
        loop {
            if self.ahead.is_none() {
                self.ahead = parent.next_entry()?;
            }
            let Some(entry) = &self.ahead else { return Ok(None) };
            match entry.path.as_slice().cmp(path) {
                Ordering::Less => self.ahead = None,
                Ordering::Greater => return Ok(None),
                Ordering::Equal => {
                    return Ok(match self.ahead.take().map(|entry| entry.kind) {
                        Some(StoredKind::File { leaves, size }) => Some((leaves, size)),
                        _ => None,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Listed(std::vec::IntoIter<FileEntry>);

    impl ParentFiles for Listed {
        fn next_entry(&mut self) -> crate::Result<Option<FileEntry>> {
            Ok(self.0.next())
        }
    }

    fn file(path: &str, size: u64) -> SourcePath {
        SourcePath { path: path.into(), mode: 0o600, kind: SourceKind::File { size } }
    }

    fn parents(paths: &[&str]) -> Listed {
        let chains = || LeafChains {
            locations: seawall_repo::map::file_block::Chain::Inline(vec![1]),
            digests: seawall_repo::map::file_block::Chain::Inline(vec![2]),
        };
        let entry = |path: &&str| FileEntry {
            path: path.as_bytes().to_vec(),
            mode: 0o600,
            kind: StoredKind::File { size: 1, leaves: vec![chains()] },
        };
        Listed(paths.iter().map(entry).collect::<Vec<_>>().into_iter())
    }

    fn items(work: Vec<Work>) -> Vec<(String, usize)> {
        let mut seen = Vec::new();
        for piece in work {
            match piece {
                Work::Leaf { file, leaf } => {
                    seen.push((format!("{}:{leaf}", String::from_utf8_lossy(&file.path)), file.parent.len()));
                }
                Work::Batch(items) => seen.extend(items.into_iter().filter_map(|item| match item {
                    Item::File(file) => {
                        Some((String::from_utf8_lossy(&file.path).into_owned(), file.parent.len()))
                    }
                    Item::Other(_) => None,
                })),
            }
        }
        seen
    }

    #[test]
    fn every_file_meets_what_the_parent_has_at_its_path() {
        let mut jobs = Jobs::new(Some(parents(&["a", "c", "d"])));
        let mut work = Vec::new();
        for path in ["a", "b", "d", "e"] {
            work.extend(jobs.push(file(path, 10)).unwrap());
        }
        work.extend(jobs.finish());
        let named = |name: &str, leaves| (name.to_owned(), leaves);
        assert_eq!(items(work), [named("a", 1), named("b", 0), named("d", 1), named("e", 0)]);
    }

    #[test]
    fn a_large_file_is_cut_at_leaves_and_keeps_its_place_among_small_ones() {
        let mut jobs: Jobs<Listed> = Jobs::new(None);
        let mut work = Vec::new();
        for (path, size) in [("a", 1), ("b", 64 << 20), ("c", 1)] {
            work.extend(jobs.push(file(path, size)).unwrap());
        }
        work.extend(jobs.finish());
        let names: Vec<String> = items(work).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b:0", "b:1", "c"]);
    }

    #[test]
    fn files_outside_the_data_directory_stand_where_their_path_sorts() {
        let walk = ["PG_VERSION", "base"].into_iter().map(|path| Ok(file(path, 1)));
        let external = std::iter::once(file("@external/etc/x.conf", 1));
        let paths: Vec<Vec<u8>> = Merged::new(walk, external).map(|path| path.unwrap().path).collect();
        assert_eq!(paths, [b"@external/etc/x.conf".to_vec(), b"PG_VERSION".to_vec(), b"base".to_vec()]);
    }
}
