//! Tests of the map builder: every node comes back from its reference.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::compress::Decompressor;
use crate::map::reader::slice_node;
use crate::pack::test_world::World;

fn begin(world: &mut World) -> MapBuilder {
    let backup = world.backup();
    MapBuilder::new(&world.sealer, &world.place, backup, 5, &mut world.entropy).unwrap()
}

#[test]
fn nodes_of_no_bytes_or_too_many_are_refused_and_nothing_is_no_map() {
    let mut world = World::plain();
    let mut builder = begin(&mut world);
    assert!(builder.is_empty());
    for bytes in [0, FRAME_PLAIN_BYTES_MAX + 1] {
        let refused = builder.append(&vec![0; bytes], &mut world.compressor);
        assert_eq!(refused, Err(MapError::NodeLength { bytes }));
    }
    builder.append(&vec![1; FRAME_PLAIN_BYTES_MAX], &mut world.compressor).unwrap();
    assert!(!builder.is_empty());
    assert!(begin(&mut world).finish(&world.writer, &mut world.compressor).unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_node_comes_back_from_its_reference(lengths in vec(1..40_000usize, 1..20), encrypted: bool) {
        let mut world = if encrypted { World::encrypted() } else { World::plain() };
        let mut builder = begin(&mut world);
        let nodes: Vec<Vec<u8>> = lengths.iter().zip(0u8..).map(|(length, byte)| vec![byte; *length]).collect();
        let references: Vec<_> =
            nodes.iter().map(|node| builder.append(node, &mut world.compressor).unwrap()).collect();
        let object = builder.finish(&world.writer, &mut world.compressor).unwrap().unwrap();
        let whole = world.open(&object);
        let header: MapHeader = whole.head().header_as().unwrap();
        prop_assert_eq!((header.backup, header.map), (references[0].backup, 5));
        let mut digest = world.sealer.digest_key().hasher();
        let frames: Vec<_> = whole.footer().frames.iter()
            .map(|frame| whole.frame(frame, &mut Decompressor::new().unwrap()).unwrap())
            .collect();
        frames.iter().for_each(|frame| digest.update(frame));
        prop_assert!(whole.head().verify_plain(&digest.finish()).is_ok());
        for (node, reference) in nodes.iter().zip(&references) {
            prop_assert_eq!(slice_node(&frames[reference.frame as usize], reference), Ok(&node[..]));
        }
    }
}
