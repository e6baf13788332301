//! The pages of a pack's frame: against the digests of the pack's footer, and relation pages against their own checksums.
//!
//! Promises: a page that its backup already knew to be damaged is told apart from one that is found now. Deliberately judges checksums
//! only where the backup that wrote the pack says whether there are any and since when pages may be torn.

use std::collections::BTreeSet;
use std::sync::Arc;

use seawall_pg::page_check::{PAGE_READS_MAX, PageContext, PageRead, PageVerdict, check_page};
use seawall_pg::relation::RelationFile;
use seawall_pg::{Lsn, PAGE_BYTES};
use seawall_repo::keys::DigestKey;
use seawall_repo::pack::{PackContents, Slot};

/// What the backup that wrote a pack says of its pages.
#[derive(Debug, Clone)]
pub(super) struct PageFacts {
    pub(super) checksums: bool,
    pub(super) start: Lsn,
    /// No page can be newer than the end of its backup.
    pub(super) stop: Lsn,
    pub(super) relation_segment_blocks: u32,
    /// Damaged pages that the manifest lists: path, and block in the whole fork.
    pub(super) known: Arc<BTreeSet<(Vec<u8>, u64)>>,
    /// Whether the manifest lists all it counted.
    pub(super) known_all: bool,
}

/// What was seen in the frames of one pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PagesSeen {
    pub(super) pages: u64,
    /// Of them relation pages whose checksum could not be judged: the backup that wrote them is gone.
    pub(super) unjudged: u64,
    /// Damaged, and known to be.
    pub(super) known: u64,
    /// Damaged otherwise: how many, and the first in words.
    pub(super) broken: u64,
    pub(super) first_broken: Option<String>,
    /// Pages that are not those of their digests: how many, and the first in words.
    pub(super) other: u64,
    pub(super) first_other: Option<String>,
}

/// Looks at one frame.
pub(super) fn look(
    plain: &[u8],
    slots: &[Slot],
    contents: &PackContents,
    digest_key: &DigestKey,
    facts: Option<&PageFacts>,
    seen: &mut PagesSeen,
) {
    let mut rest = plain;
    for slot in slots {
        let (bytes, behind) = rest.split_at_checked(slot.plain_bytes()).unwrap_or((rest, &[]));
        rest = behind;
        let path = contents.paths.get(slot.path as usize).map_or(&[][..], Vec::as_slice);
        let relation = Relation::of(path, facts);
        for ((page, digest), number) in bytes.chunks(PAGE_BYTES).zip(&slot.digests).zip(slot.first_page..) {
            seen.pages += 1;
            if digest_key.page_digest(page) != *digest {
                seen.other += 1;
                seen.first_other
                    .get_or_insert_with(|| format!("page {number} of {}", crate::text::shown_bytes(path)));
            }
            relation.judge(page, number, path, seen);
        }
    }
}

/// Whether and how the pages of a path are judged.
enum Relation<'f> {
    No,
    Unjudged,
    Yes { first_block: u32, facts: &'f PageFacts },
}

impl<'f> Relation<'f> {
    fn of(path: &[u8], facts: Option<&'f PageFacts>) -> Self {
        let Some(relation) = RelationFile::parse(path) else { return Self::No };
        let Some(facts) = facts else { return Self::Unjudged };
        match relation.first_block(facts.relation_segment_blocks) {
            Some(first_block) if facts.checksums => Self::Yes { first_block, facts },
            _ => Self::No,
        }
    }

    fn judge(&self, page: &[u8], number: u64, path: &[u8], seen: &mut PagesSeen) {
        let (first_block, facts) = match self {
            Self::No => return,
            Self::Unjudged => {
                seen.unjudged += 1;
                return;
            }
            Self::Yes { first_block, facts } => (*first_block, facts),
        };
        let Ok(page) = page.try_into() else { return };
        let block = first_block.wrapping_add(u32::try_from(number).unwrap_or(u32::MAX));
        let context = PageContext {
            block,
            backup_start: facts.start,
            insert_lsn: facts.stop,
            checksums: true,
            attempt: PAGE_READS_MAX,
        };
        let PageVerdict::Broken(broken) = check_page(PageRead::Bytes(page), &context) else { return };
        if !facts.known_all || facts.known.contains(&(path.to_vec(), u64::from(block))) {
            seen.known += 1;
        } else {
            seen.broken += 1;
            seen.first_broken.get_or_insert_with(|| format!("{}, {broken}", crate::text::shown_bytes(path)));
        }
    }
}
