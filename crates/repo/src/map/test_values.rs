//! Values for the tests of maps: places in frames, leaves of random content.

use proptest::prelude::*;

use crate::compress::Encoding;
use crate::id::BackupId;
use crate::map::chain::LeafPages;
use crate::map::node::NodeRef;
use crate::map::place::{FramePlace, LEAF_PAGES, PAGE_BYTES};
use crate::object::FrameAt;
use crate::pack::PackId;

/// Backup number `number`.
pub(crate) fn backup(number: u8) -> BackupId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    BackupId::from_bytes(bytes).unwrap()
}

/// A frame of 32 pages.
pub(crate) fn frame(pack: u8, frame: u32) -> FramePlace {
    FramePlace {
        pack: PackId { backup: backup(pack % 3), number: pack.into() },
        at: FrameAt {
            number: frame,
            offset: u64::from(frame) * 100_000,
            stored_len: 90_000,
            plain_len: 32 * PAGE_BYTES as u32,
            encoding: if frame.is_multiple_of(2) { Encoding::Zstd } else { Encoding::Raw },
        },
    }
}

/// A step that a backup can make on a leaf.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Store { first: usize, pages: usize, pack: u8, frame: u32, page_in_frame: usize },
    Zeros { first: usize, pages: usize },
    Truncate { pages: usize },
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..LEAF_PAGES, 1..32usize, 0..5u8, 0..40u32, 0..32usize).prop_map(
            |(first, pages, pack, frame, page_in_frame)| {
                let pages = pages.min(32 - page_in_frame).min(LEAF_PAGES - first);
                Step::Store { first, pages, pack, frame, page_in_frame }
            }
        ),
        1 => (0..LEAF_PAGES, 0..500usize).prop_map(|(first, pages)| Step::Zeros { first, pages }),
        1 => (0..LEAF_PAGES).prop_map(|pages| Step::Truncate { pages }),
    ]
}

/// What a plain array would hold: frame identity and offset of each page.
pub(crate) type Plain = Vec<Option<(PackId, u32, u32)>>;

pub(crate) fn plain_of(leaf: &LeafPages) -> Plain {
    (0..LEAF_PAGES)
        .map(|page| leaf.place(page).map(|(place, offset)| (place.pack, place.at.number, offset)))
        .collect()
}

/// Takes a step on a leaf and on a plain array.
pub(crate) fn take_step(step: &Step, leaf: &mut LeafPages, plain: &mut Plain) {
    match *step {
        Step::Store { first, pages, pack, frame: number, page_in_frame } => {
            let place = frame(pack, number);
            leaf.set(first, pages, &place, (page_in_frame * PAGE_BYTES) as u32);
            for page in 0..pages {
                plain[first + page] =
                    Some((place.pack, number, ((page_in_frame + page) * PAGE_BYTES) as u32));
            }
        }
        Step::Zeros { first, pages } => {
            leaf.set_zeros(first, pages);
            plain.iter_mut().skip(first).take(pages).for_each(|slot| *slot = None);
        }
        Step::Truncate { pages } => {
            leaf.truncate(pages);
            plain.iter_mut().skip(pages).for_each(|slot| *slot = None);
        }
    }
}

pub(crate) fn any_node_ref() -> impl Strategy<Value = NodeRef> {
    (any::<u8>(), any::<u32>(), any::<u32>(), 0..500_000u32, 1..500_000u32).prop_map(
        |(number, map, frame, offset, length)| NodeRef { backup: backup(number), map, frame, offset, length },
    )
}
