//! Tests of the inverse planner.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::map::place::PAGE_BYTES;
use crate::map::test_values::{any_step, frame, take_step};

fn leaf(frames: &[(u8, u32)]) -> LeafPages {
    let mut leaf = LeafPages::default();
    for (at, &(pack, number)) in frames.iter().enumerate() {
        leaf.set(at * 32, 32, &frame(pack, number), 0);
    }
    leaf
}

#[test]
fn near_frames_are_read_together_and_far_ones_apart() {
    // Frames of 90,000 bytes begin every 100,000.
    let mut planner = InversePlanner::new(BAND_BYTES);
    assert!(planner.add_leaf(0, 0, &leaf(&[(0, 9), (0, 0), (0, 1)])).is_none());
    assert!(planner.add_leaf(1, 2, &leaf(&[(1, 3), (0, 3)])).is_none());
    let band = planner.take_band().unwrap();
    assert!(planner.take_band().is_none());
    let shape = |joining| {
        let reads = band.reads(joining).map(|read| {
            (
                read.pack.number,
                read.offset,
                read.length,
                read.frames.iter().map(|f| f.place.at.number).collect(),
            )
        });
        reads.collect::<Vec<(u32, u64, u64, Vec<u32>)>>()
    };
    let joining = Joining { gap_bytes_max: 110_000, read_bytes_max: u64::MAX };
    let expected =
        [(0, 0, 390_000, vec![0, 1, 3]), (0, 900_000, 90_000, vec![9]), (1, 300_000, 90_000, vec![3])];
    assert_eq!(shape(joining), expected);
    let short = Joining { read_bytes_max: 190_000, ..joining };
    assert_eq!(shape(short).len(), 4);
    let piece = Piece { file: 1, page: 2 * 4_096 + 32, pages: 32, offset: 0 };
    let reads: Vec<_> = band.reads(joining).collect();
    assert_eq!(reads[0].frames[2].pieces, [piece]);
}

#[test]
fn a_full_band_comes_back_before_the_budget_is_passed() {
    let mut planner = InversePlanner::new(0);
    let mut scattered = LeafPages::default();
    for page in 0..1_500 {
        scattered.set(page * 2, 1, &frame(0, page as u32), 0);
    }
    assert!(planner.add_leaf(0, 0, &scattered).is_none());
    assert!(planner.add_leaf(0, 1, &scattered).is_none());
    let band = planner.add_leaf(0, 2, &scattered).expect("4,096 entries are the least budget");
    assert_eq!(band.entries.len(), 3_000);
    assert_eq!(planner.take_band().unwrap().entries.len(), 1_500);
    assert!(size_of::<Entry>() <= 48);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_page_is_in_exactly_one_read(
        leaves in vec(vec(any_step(), 0..200), 1..8), gap in 0..300_000u64, longest in 0..1_000_000u64,
        side_by_side in 1..6usize,
    ) {
        let joining = Joining { gap_bytes_max: gap, read_bytes_max: longest };
        let (mut wanted, mut given) = (BTreeMap::new(), BTreeMap::new());
        let mut planner = InversePlanner::new(0);
        let mut bands = Vec::new();
        for (number, steps) in (0u32..).zip(&leaves) {
            let (mut pages, mut plain) = (LeafPages::default(), vec![None; LEAF_PAGES]);
            steps.iter().for_each(|step| take_step(step, &mut pages, &mut plain));
            for (page, place) in plain.iter().enumerate() {
                let in_file = u64::from(number / 3) * LEAF_PAGES as u64 + page as u64;
                wanted.extend(place.map(|place| ((number % 3, in_file), place)));
            }
            bands.extend(planner.add_leaf(number % 3, number / 3, &pages));
        }
        bands.extend(planner.take_band());
        for band in &bands {
            let lanes = band.lanes(side_by_side);
            prop_assert!(lanes.len() <= side_by_side);
            for read in lanes.iter().flat_map(|lane| band.reads_of(lane.clone(), joining)) {
                prop_assert!(read.length <= longest.max(90_000));
                for frame in &read.frames {
                    prop_assert_eq!(frame.place.pack, read.pack);
                    prop_assert!(frame.place.at.offset >= read.offset);
                    prop_assert!(frame.place.end() <= read.offset + read.length);
                    for piece in &frame.pieces {
                        for page in 0..u64::from(piece.pages) {
                            let place = (read.pack, frame.place.at.number, piece.offset + page as u32 * PAGE_BYTES as u32);
                            prop_assert!(given.insert((piece.file, piece.page + page), place).is_none());
                        }
                    }
                }
            }
        }
        prop_assert_eq!(given, wanted);
    }
}
