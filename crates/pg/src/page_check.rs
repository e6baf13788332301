//! Whether a page read during an online backup is good: one decision, without reading or waiting.
//!
//! Promises: never calls a page broken on one look, because a page may be read while the server writes it; never
//! lets a page pass only because its LSN claims that it is new, which PostgreSQL's own base backup does.
//!
//! Why a changed page needs no check: recovery starts at the backup's start, and the first change after it put a
//! full image of the page into WAL. Whatever was read is overwritten before anyone looks at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::page::{Page, PageHeader, is_zero, page_checksum};

/// How often a page that looks wrong is read before it is called broken.
pub const PAGE_READS_MAX: u32 = 5;

/// One read of a page.
#[derive(Clone, Copy, Debug)]
pub enum PageRead<'a> {
    /// Its bytes.
    Bytes(&'a Page),
    /// The file ended before the end of this page.
    EndOfFile,
}

/// What the decision needs to know beside the bytes.
#[derive(Clone, Copy, Debug)]
pub struct PageContext {
    /// The block's number in the whole fork, not in its file.
    pub block: u32,
    /// Where the backup started (the redo position that the start function returned).
    pub backup_start: Lsn,
    /// No page can be newer than this: the server's insert position (on a standby: replay position), asked for
    /// *after* the page was read. An old value is safe: it only causes another read.
    pub insert_lsn: Lsn,
    /// Whether the cluster has page checksums.
    pub checksums: bool,
    /// Which read of this page this is, counted from 1.
    pub attempt: u32,
}

/// What to do with the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageVerdict {
    /// Take it.
    Fine(FineReason),
    /// Wait this long, ask for the insert position, read it again.
    ReadAgain(Duration),
    /// It is broken: take it, report it, and mark the backup.
    Broken(BrokenPage),
}

/// Why a page is fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FineReason {
    /// Every byte is zero: allocated but never used.
    Zero,
    /// Its checksum is right.
    Checksum,
    /// It was changed after the backup started, so recovery will overwrite it.
    ChangedSinceStart,
    /// The cluster has no checksums, so nothing can be said.
    Unchecked,
    /// The file was truncated meanwhile; recovery knows.
    Truncated,
}

/// A page that is broken, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenPage {
    /// The block's number in the whole fork.
    pub block: u32,
    /// The checksum that the page carries.
    pub stored: u16,
    /// The checksum that its content gives.
    pub computed: u16,
    /// The LSN that the page carries.
    pub lsn: Lsn,
    /// In which way it is broken.
    pub reason: BrokenReason,
}

/// In which way a page is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrokenReason {
    /// The checksum is wrong.
    Checksum,
    /// The checksum is wrong, and the LSN lies beyond all WAL.
    LsnInFuture,
    /// The header says that the page was never used, but it is not empty.
    NewButNotEmpty,
}

/// Decides on one read of a page.
pub fn check_page(read: PageRead<'_>, context: &PageContext) -> PageVerdict {
    let PageRead::Bytes(page) = read else {
        return PageVerdict::Fine(FineReason::Truncated);
    };
    let header = PageHeader::decode(page);
    // Empty pages nearly always show it in the header, so full ones are not searched.
    if header.is_new() && is_zero(page) {
        return PageVerdict::Fine(FineReason::Zero);
    }
    if !context.checksums {
        return PageVerdict::Fine(FineReason::Unchecked);
    }
    let is_newer = header.lsn >= context.backup_start;
    if is_newer && header.lsn <= context.insert_lsn && !header.is_new() {
        return PageVerdict::Fine(FineReason::ChangedSinceStart);
    }
    let computed = page_checksum(page, context.block);
    if computed == header.checksum && !header.is_new() {
        return PageVerdict::Fine(FineReason::Checksum);
    }
    if context.attempt < PAGE_READS_MAX {
        return PageVerdict::ReadAgain(pause_after(context.attempt));
    }
    let reason = match (header.is_new(), is_newer) {
        (true, _) => BrokenReason::NewButNotEmpty,
        (false, true) => BrokenReason::LsnInFuture,
        (false, false) => BrokenReason::Checksum,
    };
    PageVerdict::Broken(BrokenPage {
        block: context.block,
        stored: header.checksum,
        computed,
        lsn: header.lsn,
        reason,
    })
}

/// 1, 4, 16, 64 ms: a write of 8 KiB is over long before the last of them, even on a busy machine.
fn pause_after(attempt: u32) -> Duration {
    Duration::from_millis(4u64.saturating_pow(attempt.saturating_sub(1)))
}

impl std::fmt::Display for BrokenPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { block, stored, computed, lsn, reason } = self;
        match reason {
            BrokenReason::Checksum => {
                write!(
                    f,
                    "block {block}: checksum {stored:04X}, but its content gives {computed:04X} (LSN {lsn})"
                )
            }
            BrokenReason::LsnInFuture => write!(
                f,
                "block {block}: checksum {stored:04X}, but its content gives {computed:04X}, \
                 and its LSN {lsn} lies beyond the end of WAL"
            ),
            BrokenReason::NewButNotEmpty => {
                write!(f, "block {block}: its header says that it was never used, but it is not empty")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::PAGE_BYTES;

    const START: Lsn = Lsn(0x0700_0028);
    const INSERT: Lsn = Lsn(0x0800_0000);

    fn context(attempt: u32) -> PageContext {
        PageContext { block: 3, backup_start: START, insert_lsn: INSERT, checksums: true, attempt }
    }

    /// A page as the server leaves it, checksum for block 3 included.
    fn good(lsn: Lsn) -> Page {
        let mut page: Page = std::array::from_fn(|i| (i * 13) as u8);
        let (high, low) = lsn.halves();
        page[..4].copy_from_slice(&high.to_le_bytes());
        page[4..8].copy_from_slice(&low.to_le_bytes());
        page[10..20].copy_from_slice(&[0, 0, 24, 0, 0, 0x20, 0, 0x20, 4, 0x20]);
        let checksum = page_checksum(&page, 3);
        page[8..10].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    fn damaged(lsn: Lsn) -> Page {
        let mut page = good(lsn);
        page[5000] ^= 0x10;
        page
    }

    fn first_and_last(page: &Page) -> (PageVerdict, PageVerdict) {
        let check = |attempt| check_page(PageRead::Bytes(page), &context(attempt));
        (check(1), check(PAGE_READS_MAX))
    }

    fn reason(verdict: PageVerdict) -> BrokenReason {
        let PageVerdict::Broken(broken) = verdict else { panic!("{verdict:?}") };
        broken.reason
    }

    #[test]
    fn good_pages_are_fine_at_once() {
        let of = |page: &Page| check_page(PageRead::Bytes(page), &context(1));
        assert_eq!(of(&[0; PAGE_BYTES]), PageVerdict::Fine(FineReason::Zero));
        assert_eq!(of(&good(Lsn(0x100))), PageVerdict::Fine(FineReason::Checksum));
        assert_eq!(of(&good(START)), PageVerdict::Fine(FineReason::ChangedSinceStart));
        assert_eq!(check_page(PageRead::EndOfFile, &context(2)), PageVerdict::Fine(FineReason::Truncated));
    }

    #[test]
    fn page_changed_since_start_may_be_torn() {
        for lsn in [START, Lsn(START.0 + 1), INSERT] {
            let verdict = first_and_last(&damaged(lsn)).0;
            assert_eq!(verdict, PageVerdict::Fine(FineReason::ChangedSinceStart), "{lsn}");
        }
    }

    #[test]
    fn old_page_with_a_wrong_checksum_is_read_again_and_then_broken() {
        let page = damaged(Lsn(START.0 - 1));
        let pauses: Vec<_> = (1..PAGE_READS_MAX)
            .map(|attempt| check_page(PageRead::Bytes(&page), &context(attempt)))
            .collect();
        let expected = [1, 4, 16, 64].map(|ms| PageVerdict::ReadAgain(Duration::from_millis(ms)));
        assert_eq!(pauses, expected);
        assert_eq!(reason(first_and_last(&page).1), BrokenReason::Checksum);
    }

    #[test]
    fn lsn_beyond_all_wal_hides_nothing() {
        let (first, last) = first_and_last(&damaged(Lsn(INSERT.0 + 1)));
        assert!(matches!(first, PageVerdict::ReadAgain(_)));
        assert_eq!(reason(last), BrokenReason::LsnInFuture);
        // The server went on meanwhile: with the new insert position the same page is a young one.
        let later = PageContext { insert_lsn: Lsn(INSERT.0 + 1), ..context(2) };
        let again = check_page(PageRead::Bytes(&damaged(Lsn(INSERT.0 + 1))), &later);
        assert_eq!(again, PageVerdict::Fine(FineReason::ChangedSinceStart));
        // A right checksum proves the page, whatever its LSN (pages of a timeline that was left have such).
        assert_eq!(first_and_last(&good(Lsn(INSERT.0 + 1))).0, PageVerdict::Fine(FineReason::Checksum));
    }

    #[test]
    fn new_page_with_content_is_broken_whatever_its_lsn() {
        for lsn in [Lsn(0), START, Lsn::MAX] {
            let mut page = good(lsn);
            page[14..16].fill(0);
            let checksum = page_checksum(&page, 3);
            page[8..10].copy_from_slice(&checksum.to_le_bytes());
            let (first, last) = first_and_last(&page);
            assert!(matches!(first, PageVerdict::ReadAgain(_)), "{lsn}");
            assert_eq!(reason(last), BrokenReason::NewButNotEmpty, "{lsn}");
        }
    }

    #[test]
    fn page_of_another_block_is_broken() {
        let elsewhere = PageContext { block: 4, ..context(PAGE_READS_MAX) };
        let verdict = check_page(PageRead::Bytes(&good(Lsn(0x100))), &elsewhere);
        assert_eq!(reason(verdict), BrokenReason::Checksum);
    }

    #[test]
    fn without_checksums_nothing_is_claimed() {
        let off = PageContext { checksums: false, ..context(1) };
        let of = |page: &Page| check_page(PageRead::Bytes(page), &off);
        assert_eq!(of(&damaged(Lsn(0x100))), PageVerdict::Fine(FineReason::Unchecked));
        assert_eq!(of(&[0; PAGE_BYTES]), PageVerdict::Fine(FineReason::Zero));
    }

    #[test]
    fn report_names_block_and_both_checksums() {
        let PageVerdict::Broken(broken) = first_and_last(&damaged(Lsn(0x100))).1 else { panic!() };
        let expected = format!(
            "block 3: checksum {:04X}, but its content gives {:04X} (LSN 0/100)",
            broken.stored, broken.computed
        );
        assert_eq!(broken.to_string(), expected);
    }

    proptest! {
        #[test]
        fn any_damage_to_an_old_page_is_found(at in 0usize..PAGE_BYTES, flip in 1u8..) {
            let mut page = good(Lsn(0x100));
            page[at] ^= flip;
            let header = PageHeader::decode(&page);
            let looks_new = header.lsn >= START && header.lsn <= INSERT;
            // Sixteen bits miss one change in 65535; then nobody could know.
            let shows = header.is_new() || page_checksum(&page, 3) != header.checksum;
            let verdict = check_page(PageRead::Bytes(&page), &context(PAGE_READS_MAX));
            prop_assert_eq!(matches!(verdict, PageVerdict::Broken(_)), shows && (header.is_new() || !looks_new));
        }
    }
}
