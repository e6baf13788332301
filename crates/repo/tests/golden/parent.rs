//! What the next backup of a golden repository needs of the one before it.

use std::collections::HashMap;

use seawall_repo::id::BackupId;
use seawall_repo::keys::PageDigest;
use seawall_repo::map::{Chain, DigestPages, LeafChains, LeafPages, NodeRef, ZERO_PAGE};
use seawall_repo::usage::PackUsage;

/// A leaf as the last backup left it.
#[derive(Clone)]
pub(crate) struct OldLeaf {
    pub(crate) places: LeafPages,
    pub(crate) digests: DigestPages,
    pub(crate) chains: LeafChains,
}

/// The newest backup, as the next one needs it.
#[derive(Default, Clone)]
pub(crate) struct Parent {
    pub(crate) id: Option<BackupId>,
    pub(crate) leaves: HashMap<(Vec<u8>, usize), OldLeaf>,
    pub(crate) blocks: HashMap<Vec<u8>, NodeRef>,
    pub(crate) usage: PackUsage,
}

pub(crate) fn backups_of(chains: &LeafChains) -> Vec<BackupId> {
    let of = |chain: &Chain| match chain {
        Chain::Inline(_) => Vec::new(),
        Chain::Nodes(nodes) => nodes.iter().map(|node| node.backup).collect(),
    };
    [of(&chains.locations), of(&chains.digests)].concat()
}

/// Stretches of pages, none of zeros, that differ from the older leaf.
pub(crate) fn changed(digests: &[PageDigest], old: Option<&DigestPages>) -> Vec<std::ops::Range<usize>> {
    let is_changed =
        |page: usize| digests[page] != ZERO_PAGE && old.is_none_or(|old| old.digest(page) != digests[page]);
    let mut stretches: Vec<std::ops::Range<usize>> = Vec::new();
    for page in (0..digests.len()).filter(|page| is_changed(*page)) {
        match stretches.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => stretches.push(page..page + 1),
        }
    }
    stretches
}
