//! Tests of file blocks: round trip, order, hostile paths, borders that stay.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::map::test_values::{any_node_ref, backup};

fn read_all(node: &[u8]) -> Result<Vec<FileEntry>, FileBlockError> {
    let mut reader = FileBlockReader::new(node)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn directory(path: &[u8]) -> FileEntry {
    FileEntry { path: path.to_vec(), mode: 0o700, kind: EntryKind::Directory }
}

fn any_chain() -> impl Strategy<Value = Chain> {
    prop_oneof![
        vec(any::<u8>(), 1..40).prop_map(Chain::Inline),
        vec(any_node_ref(), 1..=PATCHES_MAX + 1).prop_map(Chain::Nodes),
    ]
}

fn any_kind() -> impl Strategy<Value = EntryKind> {
    let leaves = vec((any_chain(), any_chain()), 0..4);
    let file = (leaves, 0..u64::from(u32::MAX)).prop_map(|(chains, rest)| {
        let leaf_bytes = (LEAF_PAGES * PAGE_BYTES) as u64;
        let leaves: Vec<_> =
            chains.into_iter().map(|(locations, digests)| LeafChains { locations, digests }).collect();
        let size = (leaves.len() as u64 * leaf_bytes).saturating_sub(rest % leaf_bytes);
        EntryKind::File { size, leaves }
    });
    prop_oneof![
        4 => file,
        1 => Just(EntryKind::Directory),
        1 => Just(EntryKind::EmptyDirectory),
        1 => "[/a-z.]{1,20}".prop_map(|target| EntryKind::Link { target: target.into_bytes() }),
    ]
}

/// Entries of any kind under rising paths.
fn any_entries() -> impl Strategy<Value = Vec<FileEntry>> {
    vec(("[a-c]{1,3}(/[a-c0-9]{1,4}){0,3}", 0..=0o7777u32, any_kind()), 0..30).prop_map(|drawn| {
        let by_path: std::collections::BTreeMap<_, _> =
            drawn.into_iter().map(|(path, mode, kind)| (path.into_bytes(), (mode, kind))).collect();
        by_path.into_iter().map(|(path, (mode, kind))| FileEntry { path, mode, kind }).collect()
    })
}

/// All blocks of these entries.
fn blocks(entries: &[FileEntry]) -> Vec<FileBlock> {
    let mut builder = FileBlockBuilder::default();
    let mut blocks: Vec<_> =
        entries.iter().filter_map(|entry| builder.push(entry).expect("good entries")).collect();
    blocks.extend(builder.finish());
    blocks
}

#[test]
fn a_block_has_the_documented_bytes() {
    let chain =
        |offset| Chain::Nodes(vec![NodeRef { backup: backup(0), map: 1, frame: 2, offset, length: 4 }]);
    let leaves = vec![LeafChains { locations: chain(3), digests: Chain::Inline(vec![3, 0]) }];
    let entries = [
        directory(b"base"),
        FileEntry { path: b"base/1".to_vec(), mode: 0o600, kind: EntryKind::File { size: 5, leaves } },
        FileEntry { path: b"basf".to_vec(), mode: 0o777, kind: EntryKind::Link { target: b"/x".to_vec() } },
    ];
    let mut expected = vec![5, 1];
    expected.extend([0; 16]);
    expected.extend(b"\x03\x00\x04base\x01\xc0\x03");
    expected.extend(b"\x04\x02/1\x00\x80\x03\x05\x01\x00\x01\x02\x03\x04\x00\x02\x03\x00");
    expected.extend(b"\x03\x01f\x02\xff\x03\x02/x");
    let built = blocks(&entries);
    assert_eq!(built.len(), 1);
    assert_eq!(built[0].node, expected);
    assert_eq!((built[0].entries, &built[0].first_path[..]), (3, &b"base"[..]));
    assert_eq!(read_all(&expected).unwrap(), entries);
}

#[test]
fn hostile_blocks_are_refused() {
    let path = |text: &[u8]| [&[5, 0, 1, 0, text.len() as u8][..], text, &[1, 0]].concat();
    assert!(read_all(&path(b"base")).is_ok());
    for hostile in [&b"/etc"[..], b"../x", b"a/../../x", b"a\0", b"a//b", b"."] {
        assert!(matches!(read_all(&path(hostile)), Err(FileBlockError::Path { .. })), "{hostile:?}");
    }
    assert!(read_all(&path(b"")).is_err());
    let twice = b"\x05\x00\x02\x00\x02ab\x01\x00\x02\x00\x01\x00";
    assert!(matches!(read_all(twice), Err(FileBlockError::Order { .. })));
    let falling = b"\x05\x00\x02\x00\x01b\x01\x00\x00\x01a\x01\x00";
    assert!(matches!(read_all(falling), Err(FileBlockError::Order { .. })));
    let prefix_beyond = b"\x05\x00\x02\x00\x01a\x01\x00\x02\x01a\x01\x00";
    assert!(matches!(read_all(prefix_beyond), Err(FileBlockError::Damaged(_))));
    let huge_file = b"\x05\x00\x01\x00\x01a\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00";
    assert!(matches!(read_all(huge_file), Err(FileBlockError::Damaged(_))));
    let many_entries = b"\x05\x00\xff\xff\xff\x7f";
    assert!(matches!(read_all(many_entries), Err(FileBlockError::Damaged(_))));
    let left_over = [&path(b"base")[..], b"x"].concat();
    assert!(matches!(read_all(&left_over), Err(FileBlockError::Damaged(_))));
}

#[test]
fn the_builder_refuses_what_the_reader_would() {
    let mut builder = FileBlockBuilder::default();
    builder.push(&directory(b"b")).unwrap();
    assert!(matches!(builder.push(&directory(b"b")), Err(FileBlockError::Order { .. })));
    assert!(matches!(builder.push(&directory(b"../c")), Err(FileBlockError::Path { .. })));
    let kind = EntryKind::File { size: 1, leaves: vec![] };
    let entry = FileEntry { path: b"c".to_vec(), mode: 0o600, kind };
    let error = builder.push(&entry).unwrap_err();
    assert_eq!(error.to_string(), "file c of 1 bytes has 0 leaves or a chain of a wrong length");
    assert_eq!(builder.finish().unwrap().entries, 1);
    assert_eq!(builder.finish(), None);
}

#[test]
fn a_new_file_leaves_most_blocks_as_they_were() {
    let entries: Vec<_> = (0..20_000).map(|n| directory(format!("base/5/{n:06}").as_bytes())).collect();
    let before = blocks(&entries);
    assert!(before.len() > 5, "{}", before.len());
    let mut grown = entries;
    grown.insert(7_000, directory(b"base/5/006999_fsm"));
    let after = blocks(&grown);
    let same = after.iter().filter(|block| before.contains(block)).count();
    assert!(same + 2 >= before.len(), "{same} of {} blocks stayed", before.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_round_trip(entries in any_entries()) {
        let mut read = Vec::new();
        for block in blocks(&entries) {
            let entries = read_all(&block.node).unwrap();
            prop_assert_eq!(entries.len(), block.entries);
            prop_assert_eq!(&entries[0].path, &block.first_path);
            read.extend(entries);
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn hostile_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        drop(read_all(&[&[5][..], &bytes].concat()));
    }

    #[test]
    fn a_damaged_block_gives_only_good_paths(entries in any_entries(), at in any::<prop::sample::Index>(), byte: u8) {
        for block in blocks(&entries) {
            let mut node = block.node;
            let at = at.index(node.len());
            node[at] = byte;
            let Ok(mut reader) = FileBlockReader::new(&node) else { continue };
            while let Ok(Some(entry)) = reader.next_entry() {
                prop_assert_eq!(check_path(&entry.path), Ok(()));
            }
        }
    }
}
