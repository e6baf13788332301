//! Digest leaves and patches: the written form of the digests of a leaf's pages.
//!
//! Promises one digest a page and pages in order. Kept apart from locations because only a backup that compares every
//! page reads them; deliberately knows no key: digests are made elsewhere.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::keys::{PAGE_DIGEST_BYTES, PageDigest};
use crate::map::node::NodeKind;
use crate::map::place::LEAF_PAGES;

/// A digest leaf, or a patch over one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestNode {
    /// Digests from page 0 on; pages past its end are of zeros.
    Leaf(Vec<PageDigest>),
    /// Pages, counted in the leaf and rising, with their new digests.
    Patch(Vec<(u16, PageDigest)>),
}

impl DigestNode {
    /// The written form.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        match self {
            Self::Leaf(digests) => {
                to.u8(NodeKind::DigestLeaf.to_byte());
                to.count(digests.len());
                digests.iter().for_each(|digest| to.raw(digest));
            }
            Self::Patch(entries) => {
                to.u8(NodeKind::DigestPatch.to_byte());
                to.count(entries.len());
                let mut next = 0;
                for (page, digest) in entries {
                    to.varint(u64::from(page.saturating_sub(next)));
                    to.raw(digest);
                    next = page + 1;
                }
            }
        }
        to.into_bytes()
    }

    /// Reads a whole node of either type.
    pub fn decode(node: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(node);
        let decoded = match NodeKind::read(&mut from)? {
            NodeKind::DigestLeaf => Self::Leaf(read_leaf(&mut from)?),
            NodeKind::DigestPatch => Self::Patch(read_patch(&mut from)?),
            _ => return Err(from.invalid("not a digest leaf or patch")),
        };
        from.finish()?;
        Ok(decoded)
    }
}

fn read_leaf(from: &mut Reader<'_>) -> Result<Vec<PageDigest>, DecodeError> {
    let count = from.count(PAGE_DIGEST_BYTES)?;
    if count > LEAF_PAGES {
        return Err(from.invalid("a digest leaf of more pages than a leaf has"));
    }
    (0..count).map(|_| from.array()).collect()
}

fn read_patch(from: &mut Reader<'_>) -> Result<Vec<(u16, PageDigest)>, DecodeError> {
    let count = from.count(PAGE_DIGEST_BYTES + 1)?;
    let mut entries = Vec::with_capacity(count.min(LEAF_PAGES));
    let mut next = 0u64;
    for _ in 0..count {
        // With every page named nothing is left, and the gap has no allowed value.
        let left = (LEAF_PAGES as u64).checked_sub(next + 1);
        let left = left.ok_or_else(|| from.invalid("a digest patch of more pages than a leaf has"))?;
        let page = next + from.varint_in("gap before a digest", 0, left)?;
        next = page + 1;
        let fit = u16::try_from(page).map_err(|_| from.invalid("page number too large"))?;
        entries.push((fit, from.array()?));
    }
    Ok(entries)
}
