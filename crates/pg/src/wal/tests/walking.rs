//! What was written is found again: any records, any lengths, any segment size, switches and lost records in between.

use proptest::prelude::*;

use super::*;

fn any_block(id: u8) -> impl Strategy<Value = BlockSpec> {
    let fork = prop::sample::select(vec![Fork::Main, Fork::Fsm, Fork::Vm, Fork::Init]);
    let image = prop::option::of((1u16..8000, any::<bool>()).prop_map(|(hole, apply)| ImageSpec {
        bytes: vec![0xAB; 8192 - usize::from(hole)],
        hole_offset: 100,
        hole_length: hole.min(8192 - 100),
        apply,
        compression: None,
    }));
    let image = image.prop_map(|image| {
        image.map(|mut image| {
            image.bytes.truncate(8192 - usize::from(image.hole_length));
            image.bytes.resize(8192 - usize::from(image.hole_length), 7);
            image
        })
    });
    (1u32..4, fork, any::<u32>(), any::<bool>(), image, prop::collection::vec(any::<u8>(), 0..60)).prop_map(
        move |(number, fork, block, will_init, image, data)| BlockSpec {
            id,
            relation: relation(number),
            fork,
            block,
            will_init,
            image,
            data,
        },
    )
}

fn any_record() -> impl Strategy<Value = RecordSpec> {
    let blocks = (0usize..5).prop_flat_map(|n| (0..n as u8).map(|i| any_block(i * 3)).collect::<Vec<_>>());
    let length = prop_oneof![8 => 0usize..300, 2 => 0usize..9000, 1 => 0usize..400_000];
    let parts = (any::<u32>(), 0u8..22, any::<u8>(), blocks, any::<Option<u16>>(), any::<Option<u32>>());
    (parts, length, any::<u8>()).prop_map(|((xid, rmgr, info, blocks, origin, top_xid), length, fill)| {
        // A switch would end the segment; it has its own way in.
        let info = if rmgr == 0 && info & 0xF0 == 0x40 { 0 } else { info };
        let main = (0..length).map(|i| fill.wrapping_add(i as u8)).collect();
        RecordSpec { xid, rmgr, info, blocks, origin, top_xid, main }
    })
}

#[derive(Debug, Clone)]
enum Step {
    Record(RecordSpec),
    Switch,
    Lost(RecordSpec, usize),
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    // Now and then so many that a segment's end lies within what is left of it.
    let pages = prop_oneof![3 => 0usize..4, 1 => 100usize..300];
    let lost = (any_record(), pages).prop_map(|(mut spec, pages)| {
        spec.main.resize(spec.main.len().max((pages + 3) * 8192), 3);
        Step::Lost(spec, pages)
    });
    let step = prop_oneof![12 => any_record().prop_map(Step::Record), 1 => Just(Step::Switch), 1 => lost];
    prop::collection::vec(step, 1..60)
}

/// What a written record must be seen as.
pub(super) fn expected(spec: &RecordSpec, start: Lsn, prev: Lsn, of: &WalOf) -> (Lsn, u32, Lsn, u32) {
    (start, spec.body(of).len() as u32 + 24, prev, spec.xid)
}

fn same_content(found: &Seen, spec: &RecordSpec) {
    assert_eq!((found.header.rmgr, found.header.info), (spec.rmgr, spec.info));
    assert_eq!((found.origin, found.top_xid), (spec.origin, spec.top_xid));
    assert_eq!(found.main_length as usize, spec.main.len());
    assert_eq!(found.main, spec.main);
    assert_eq!(found.blocks.len(), spec.blocks.len());
    for (found, spec) in found.blocks.iter().zip(&spec.blocks) {
        assert_eq!(
            (found.0, found.1, found.2, found.3, found.4),
            (spec.id, spec.relation, spec.fork, spec.block, spec.will_init)
        );
        let image = spec.image.as_ref().map(|image| ImageHeader {
            length: image.bytes.len() as u16,
            hole_offset: image.hole_offset,
            hole_length: image.hole_length,
            apply: image.apply,
            compression: None,
        });
        assert_eq!((found.5, usize::from(found.6)), (image, spec.data.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_written_is_found_again(major in 14u32..19, steps in any_steps(), keep_all: bool, piece in 1usize..200) {
        let mut writer = writer(major);
        let mut written = Vec::new();
        let (mut switches, mut losses) = (0, 0);
        for step in &steps {
            let prev = writer.previous;
            match step {
                Step::Record(spec) => written.push((writer.record(spec), prev, spec.clone())),
                Step::Switch => {
                    written.push((writer.switch(), prev, RecordSpec { xid: 0, ..RecordSpec::of(0, 0x40, &[]) }));
                    switches += 1;
                }
                Step::Lost(spec, pages) => {
                    let (lost, told) = writer.lost(spec, *pages);
                    let main = [lost.0.to_le_bytes(), [0; 8]].concat();
                    written.push((told, prev, RecordSpec { xid: 0, ..RecordSpec::of(0, 0xD0, &main) }));
                    losses += 1;
                }
            }
        }
        let end = writer.position();
        let keep = if keep_all { Keep::Everything } else { Keep::Meaning };
        let segments = writer.segments();
        let (found, walked) = walk_all(writer.of, 5, &segments, keep);
        prop_assert_eq!(found.len(), written.len());
        for (found, (start, prev, spec)) in found.iter().zip(&written) {
            let got = (found.start, found.header.total, found.header.prev, found.header.xid);
            prop_assert_eq!(got, expected(spec, *start, *prev, &writer.of));
            same_content(found, spec);
            let payload: Vec<u8> = spec.blocks.iter().flat_map(|block| {
                [block.image.as_ref().map_or(&[][..], |image| &image.bytes), &block.data].concat()
            }).collect();
            if keep_all || found.payload.is_some() {
                prop_assert_eq!(found.payload.as_ref(), Some(&payload));
            }
        }
        prop_assert_eq!(walked.records as usize, written.len());
        prop_assert_eq!(walked.overwritten, losses);
        prop_assert_eq!(walked.switched.is_some(), switches > 0);
        prop_assert_eq!(walked.unfinished.is_none(), true);
        let ends_with_segment = writer.of.size.offset_of(end) == 0;
        let ended = if ends_with_segment { WalEnded::WithTheSegments } else { WalEnded::NothingWritten { at: end } };
        prop_assert_eq!(&walked.ended, &ended);

        // In pieces of any number of pages the walk is the same.
        let mut streamed = WalWalk::new(writer.of, Lsn(5 << 20), keep);
        let mut again = Vec::new();
        for bytes in segments.concat().chunks(piece * 8192) {
            streamed.take(bytes, &mut |record| again.push(seen(record)));
        }
        prop_assert_eq!(&again, &found);
        prop_assert_eq!(streamed.finish(), walked);

        let alone = edges::one_by_one(writer.of, &segments);
        prop_assert_eq!(edges::without_payload(alone), edges::without_payload(found));
    }
}

#[test]
fn main_data_beyond_its_bound_is_told_as_cut() {
    let mut writer = writer(17);
    let spec = RecordSpec::of(21, 0, &vec![5; (1 << 20) + 9]);
    writer.record(&spec);
    let after = writer.record(&RecordSpec::of(10, 0, &[1]));
    let (found, walked) = walk_all(writer.of, 5, &writer.segments(), Keep::Meaning);
    assert_eq!((found[0].main.len(), found[0].main_length), (MAIN_DATA_BYTES_KEPT, (1 << 20) + 9));
    assert_eq!(walked.last.unwrap().start, after);
}

#[test]
fn many_images_in_one_record_are_kept_only_when_asked_for() {
    let mut writer = writer(18);
    let image =
        ImageSpec { bytes: vec![9; 8192], hole_offset: 0, hole_length: 0, apply: true, compression: None };
    let blocks = (0..33).map(|id| BlockSpec { image: Some(image.clone()), ..block(id, 4, u32::from(id)) });
    let spec = RecordSpec { blocks: blocks.collect(), main: vec![1, 2, 3], ..RecordSpec::of(0, 0xB0, &[]) };
    writer.record(&spec);
    for (keep, kept) in [(Keep::Meaning, None), (Keep::Everything, Some(33 * 8192))] {
        let (found, _) = walk_all(writer.of, 5, &writer.segments(), keep);
        assert_eq!(found[0].payload.as_ref().map(Vec::len), kept);
        assert_eq!((found[0].blocks.len(), found[0].main.as_slice()), (33, &[1, 2, 3][..]));
    }
}
