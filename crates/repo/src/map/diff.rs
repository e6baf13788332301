//! How a changed leaf is written: named again, patched, or anew.
//!
//! The rule: at most four patches, and a leaf is written anew when its patches together would exceed a quarter of it.
//! So a chain is at most 1.25 leaves to read, and the patches written over a leaf before it is written anew are bounded
//! by what writing it costs. Nodes of up to 256 bytes stand in the file block itself: most files are small.
//!
//! Promises that the chain after the update resolves to the new pages. Deliberately decides from lengths alone: what
//! the older members hold is in the resolved older leaf.

use crate::map::chain::{DigestPages, LeafPages, PATCHES_MAX};
use crate::map::file_block::Chain;

/// Largest node that stands in the file block instead of in a map frame of its own.
pub const INLINE_BYTES_MAX: usize = 256;

/// What to write for a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Nothing: the older chain says it all.
    Keep,
    /// This patch: append the node, and its reference to the older chain.
    Patch(Vec<u8>),
    /// This leaf: append the node; its reference is the chain.
    Leaf(Vec<u8>),
    /// This leaf, small enough to be the chain itself.
    Inline(Vec<u8>),
}

/// What to write for `new` where the parent has `older` under a chain (`None`: it has no such leaf).
pub fn location_update(older: Option<(&Chain, &LeafPages)>, new: &LeafPages) -> Update {
    match older {
        None => leaf_or_inline(new.to_leaf().encode()),
        Some((chain, pages)) => match new.to_patch(pages) {
            None => Update::Keep,
            Some(patch) => patch_or_leaf(chain, patch.encode(), || new.to_leaf().encode()),
        },
    }
}

/// As [`location_update`], for digests.
pub fn digest_update(older: Option<(&Chain, &DigestPages)>, new: &DigestPages) -> Update {
    match older {
        None => leaf_or_inline(new.to_leaf().encode()),
        Some((chain, pages)) => match new.to_patch(pages) {
            None => Update::Keep,
            Some(patch) => patch_or_leaf(chain, patch.encode(), || new.to_leaf().encode()),
        },
    }
}

fn patch_or_leaf(chain: &Chain, patch: Vec<u8>, leaf: impl FnOnce() -> Vec<u8>) -> Update {
    let Chain::Nodes(nodes) = chain else { return leaf_or_inline(leaf()) };
    let Some((oldest, patches)) = nodes.split_first() else { return leaf_or_inline(leaf()) };
    let patch_bytes: u64 = patches.iter().map(|node| u64::from(node.length)).sum();
    let together = patch_bytes + patch.len() as u64;
    if patches.len() < PATCHES_MAX && together * 4 <= u64::from(oldest.length) {
        Update::Patch(patch)
    } else {
        leaf_or_inline(leaf())
    }
}

fn leaf_or_inline(leaf: Vec<u8>) -> Update {
    if leaf.len() <= INLINE_BYTES_MAX { Update::Inline(leaf) } else { Update::Leaf(leaf) }
}
