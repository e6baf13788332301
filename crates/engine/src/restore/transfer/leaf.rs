//! One leaf of a file: which of its pages have to be fetched.
//!
//! Promises: pure but for reading the target; a page counts as right only when its digest is the backup's.

use std::sync::Arc;

use seawall_repo::keys::DigestKey;
use seawall_repo::map::chain::{DigestPages, LeafPages, ZERO_PAGE};
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_store::durable::{DurableError, FileHandle};

/// What comparing a leaf with the target gave.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    /// Bytes that were right already.
    pub(super) kept: u64,
}

/// Pages read at once while comparing: few enough to be hashed from the CPU's cache.
const PAGES_AT_ONCE: usize = 32;

/// Takes the pages that the target has right out of `pages`, and makes those zero that should be.
pub(super) fn compare(
    file: &FileHandle,
    leaf: u32,
    size: u64,
    pages: &mut LeafPages,
    digests: &DigestPages,
    key: &Arc<DigestKey>,
) -> Result<Compared, DurableError> {
    let mut compared = Compared::default();
    let first_byte = u64::from(leaf) * LEAF_PAGES as u64 * PAGE_BYTES as u64;
    let in_leaf = size.saturating_sub(first_byte).min((LEAF_PAGES * PAGE_BYTES) as u64);
    let mut buffer = vec![0; PAGES_AT_ONCE * PAGE_BYTES];
    let mut done = 0u64;
    while done < in_leaf {
        let wanted = usize::try_from(in_leaf - done).unwrap_or(usize::MAX).min(buffer.len());
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        let had = file.read_at(chunk, first_byte + done)?;
        for (index, page) in chunk.get(..had).unwrap_or_default().chunks(PAGE_BYTES).enumerate() {
            let number = usize::try_from(done).unwrap_or(usize::MAX) / PAGE_BYTES + index;
            let wanted = digests.digest(number);
            if digest_of(page, key) == wanted {
                pages.set_zeros(number, 1);
                compared.kept += page.len() as u64;
            } else if wanted == ZERO_PAGE {
                file.make_zero(first_byte + (number * PAGE_BYTES) as u64, page.len() as u64)?;
            }
        }
        done += wanted as u64;
    }
    Ok(compared)
}

/// A page's digest as digest leaves hold it.
pub(super) fn digest_of(page: &[u8], key: &DigestKey) -> [u8; 16] {
    if page.iter().all(|byte| *byte == 0) { ZERO_PAGE } else { key.page_digest(page) }
}

#[cfg(test)]
mod tests {
    use seawall_repo::compress::Encoding;
    use seawall_repo::id::{BackupId, RepositoryId};
    use seawall_repo::map::place::FramePlace;
    use seawall_repo::object::FrameAt;
    use seawall_repo::pack::PackId;
    use seawall_store::durable::DirHandle;

    use super::*;

    fn page(fill: u8) -> Vec<u8> {
        vec![fill; PAGE_BYTES]
    }

    #[test]
    fn right_pages_are_kept_wrong_ones_left_and_zeros_made() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DirHandle::open(scratch.path()).unwrap();
        let file = dir.create_file("f", 0o600).unwrap();
        // In the target: right, wrong, not zero where zero should be, right, and a short last page that is right.
        let there = [page(1), page(9), page(9), page(4), vec![5; 100]].concat();
        file.write_at(&there, 0).unwrap();
        let key = Arc::new(DigestKey::plain(&RepositoryId::from_bytes([1; 16])));
        let wanted = [page(1), page(2), page(0), page(4), vec![5; 100]];
        let digests = DigestPages::new(wanted.iter().map(|page| digest_of(page, &key)).collect());
        let at =
            FrameAt { number: 0, offset: 0, stored_len: 99, plain_len: 5 * 8192, encoding: Encoding::Raw };
        let pack = PackId { backup: BackupId::from_bytes([0; 16]).unwrap(), number: 0 };
        let mut pages = LeafPages::default();
        pages.set(0, 2, &FramePlace { pack, at }, 0);
        pages.set(3, 2, &FramePlace { pack, at }, 3 * 8192);
        let compared = compare(&file, 0, there.len() as u64, &mut pages, &digests, &key).unwrap();
        assert_eq!(compared.kept, 2 * 8192 + 100);
        let left: Vec<_> = pages.extents().map(|extent| (extent.first, extent.pages)).collect();
        assert_eq!(left, [(1, 1)]);
        let mut third = page(7);
        file.read_at(&mut third, 2 * 8192).unwrap();
        assert_eq!(third, page(0));
    }
}
