//! Tests of leaves, patches and chains, against plain arrays.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::map::diff::{Update, digest_update, location_update};
use crate::map::file_block::Chain;
use crate::map::node::NodeRef;
use crate::map::test_values::{Plain, any_step, backup, frame, plain_of, take_step};

/// The nodes of a leaf over several backups, and the chain that names them.
struct History {
    chain: Option<Chain>,
    nodes: Vec<Vec<u8>>,
}

impl History {
    fn new() -> Self {
        Self { chain: None, nodes: Vec::new() }
    }

    fn take(&mut self, update: Update) {
        let named = |node: &[u8]| NodeRef {
            backup: backup(0),
            map: 0,
            frame: 0,
            offset: 0,
            length: node.len() as u32,
        };
        match update {
            Update::Keep => {}
            Update::Inline(node) => {
                self.chain = Some(Chain::Inline(node.clone()));
                self.nodes = vec![node];
            }
            Update::Leaf(node) => {
                self.chain = Some(Chain::Nodes(vec![named(&node)]));
                self.nodes = vec![node];
            }
            Update::Patch(node) => {
                let Some(Chain::Nodes(members)) = &mut self.chain else { panic!("a patch over no leaf") };
                members.push(named(&node));
                self.nodes.push(node);
            }
        }
    }

    fn assert_rule(&self) {
        let patches: usize = self.nodes.iter().skip(1).map(Vec::len).sum();
        assert!(self.nodes.len() <= PATCHES_MAX + 1);
        assert!(patches * 4 <= self.nodes[0].len());
    }
}

/// Found by fuzzing. Whoever signed such a map is wrong, and what is read by it does not open; the written form still holds what was read.
#[test]
fn a_frame_of_which_two_members_say_different_lengths_stays_told_twice() {
    let long = frame(0, 5);
    let mut short = long;
    short.at.plain_len = PAGE_BYTES as u32;
    let extent = |first, frame, offset| Extent { first, pages: 1, source: Source::Frame { frame, offset } };
    let extents = vec![extent(0, 0, 0), extent(1, 1, PAGE_BYTES as u32)];
    let node = LocationNode { is_patch: false, frames: vec![short, long], extents };
    let pages = resolve_locations(&[node.encode()]).unwrap();
    let again = resolve_locations(&[pages.to_leaf().encode()]).unwrap();
    assert!(again == pages && again.place(1) == Some((&long, PAGE_BYTES as u32)));
}

#[test]
fn a_leaf_has_the_documented_bytes() {
    let mut pages = LeafPages::default();
    pages.set(1, 2, &frame(0, 5), 8_192);
    let mut expected = vec![1, 1];
    expected.extend([0; 16]);
    // Pack 0; one frame: pack index, number, offset 500,000, stored 90,000, plain 262,144, raw; one extent.
    expected.extend([0, 1, 0, 5, 0xa0, 0xc2, 0x1e, 0x90, 0xbf, 0x05, 0x80, 0x80, 0x10, 0]);
    expected.extend([1, 1, 2, 1, 0x80, 0x40]);
    assert_eq!(pages.to_leaf().encode(), expected);

    let mut newer = pages.clone();
    newer.set_zeros(2, 1);
    assert_eq!(newer.to_patch(&pages).unwrap().encode(), [2, 0, 0, 1, 2, 1, 0]);
}

#[test]
fn digests_have_the_documented_bytes() {
    let pages = DigestPages::new(vec![[7; 16], ZERO_PAGE, [9; 16], ZERO_PAGE]);
    let mut expected = vec![3, 3];
    expected.extend([[7; 16], [0; 16], [9; 16]].concat());
    assert_eq!(pages.to_leaf().encode(), expected);
    let newer = DigestPages::new(vec![[7; 16], [1; 16], [9; 16], [2; 16]]);
    let patch = newer.to_patch(&pages).unwrap().encode();
    assert_eq!(patch, [&[4, 2, 1][..], &[1; 16], &[1], &[2; 16]].concat());
}

#[test]
fn damaged_counts_and_limits_are_refused() {
    let with = |bytes: &[u8]| LocationNode::decode(bytes).is_err();
    assert!(with(&[1, 0xff, 0xff, 0xff, 0x7f]), "packs");
    assert!(with(&[1, 0, 0xff, 0xff, 0x7f]), "frames");
    assert!(with(&[1, 0, 0, 0xff, 0xff, 0x7f]), "extents");
    assert!(with(&[1, 0, 0, 1, 0, 1, 1, 0]), "a frame that is not there");
    assert!(with(&[1, 0, 0, 1, 0, 0, 0]), "no pages");
    assert!(with(&[1, 0, 0, 1, 0x80, 0x20, 1, 0]), "beyond the leaf");
    assert!(with(&[1, 0, 0, 1, 1, 0x80, 0x20, 0]), "across the end of the leaf");
    assert!(with(&[1, 0, 0, 0, 0]), "left over");
    assert!(with(&[3, 0]) && with(&[9, 0, 0, 0]), "another type");
    let with = |bytes: &[u8]| DigestNode::decode(bytes).is_err();
    assert!(with(&[3, 2]) && with(&[4, 2]) && with(&[1, 0]));
    assert!(with(&[&[3, 0x81, 0x20][..], &[1; 16 * 4_097]].concat()), "4,097 digests");
    assert!(with(&[&[4, 1, 0x80, 0x20][..], &[1; 16]].concat()), "page 4,096");
}

#[test]
fn an_extent_must_lie_within_its_frame() {
    let mut pages = LeafPages::default();
    pages.set(0, 32, &frame(0, 0), 0);
    let node = pages.to_leaf();
    assert!(LocationNode::decode(&node.encode()).is_ok());
    let mut long = node.clone();
    long.extents[0].pages = 33;
    assert!(LocationNode::decode(&long.encode()).is_err());
    let mut late = node;
    late.extents[0].source = Source::Frame { frame: 0, offset: 8_192 };
    assert!(LocationNode::decode(&late.encode()).is_err());
}

#[test]
fn chains_begin_with_a_leaf_and_hold_at_most_four_patches() {
    let leaf = LeafPages::default().to_leaf().encode();
    let patch = vec![2, 0, 0, 0];
    let order = |members: &[&Vec<u8>]| resolve_locations(members).unwrap_err();
    assert_eq!(order(&[]), ChainError::Length { members: 0 });
    assert_eq!(order(&[&leaf; 6]), ChainError::Length { members: 6 });
    assert_eq!(order(&[&patch]), ChainError::Order { member: 0, found: "patch" });
    assert_eq!(order(&[&leaf, &patch, &leaf]), ChainError::Order { member: 2, found: "leaf" });
    assert!(matches!(order(&[&leaf, &vec![]]), ChainError::Member { member: 1, .. }));
    assert!(resolve_locations(&[&leaf, &patch, &patch, &patch, &patch]).is_ok());
    assert_eq!(resolve_digests(&[[4, 0]]), Err(ChainError::Order { member: 0, found: "patch" }));
}

#[test]
fn a_full_leaf_is_patched_for_small_changes_and_rewritten_for_large_ones() {
    let mut pages = LeafPages::default();
    (0..128).for_each(|number| pages.set(number as usize * 32, 32, &frame(0, number), 0));
    let mut history = History::new();
    history.take(location_update(None, &pages));
    for round in 0..PATCHES_MAX {
        let older = pages.clone();
        pages.set(round * 50, 3, &frame(1, round as u32), 0);
        let update = location_update(history.chain.as_ref().map(|chain| (chain, &older)), &pages);
        assert!(matches!(update, Update::Patch(_)), "{round}");
        history.take(update);
    }
    let chain = history.chain.as_ref().unwrap();
    assert_eq!(location_update(Some((chain, &pages)), &pages), Update::Keep);
    let older = pages.clone();
    pages.set_zeros(7, 1);
    assert!(matches!(location_update(Some((chain, &older)), &pages), Update::Leaf(_)), "a fifth patch");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_of_a_leaf_resolves_like_a_plain_array(backups in vec(vec(any_step(), 0..40), 1..12)) {
        let mut pages = LeafPages::default();
        let mut plain: Plain = vec![None; LEAF_PAGES];
        let mut history = History::new();
        for steps in &backups {
            let older = pages.clone();
            steps.iter().for_each(|step| take_step(step, &mut pages, &mut plain));
            let update = location_update(history.chain.as_ref().map(|chain| (chain, &older)), &pages);
            history.take(update);
            history.assert_rule();
            let resolved = resolve_locations(&history.nodes).unwrap();
            prop_assert_eq!(&plain_of(&resolved), &plain);
            prop_assert_eq!(plain_of(&pages), plain_of(&resolved));
            pages = resolved;
        }
    }

    #[test]
    fn any_history_of_digests_resolves_like_a_plain_array(
        backups in vec(vec((0..LEAF_PAGES, 1..60usize, 0..4u8), 0..8), 1..10),
    ) {
        let mut plain = vec![ZERO_PAGE; LEAF_PAGES];
        let mut history = History::new();
        for steps in &backups {
            let older = DigestPages::new(plain.clone());
            for &(first, pages, value) in steps {
                plain.iter_mut().skip(first).take(pages).for_each(|digest| *digest = [value; 16]);
            }
            let newer = DigestPages::new(plain.clone());
            history.take(digest_update(history.chain.as_ref().map(|chain| (chain, &older)), &newer));
            history.assert_rule();
            let resolved = resolve_digests(&history.nodes).unwrap();
            prop_assert!((0..LEAF_PAGES).all(|page| resolved.digest(page) == plain[page]));
        }
    }

    #[test]
    fn leaves_and_patches_round_trip(steps in vec(any_step(), 0..60), more in vec(any_step(), 0..20)) {
        let (mut pages, mut plain) = (LeafPages::default(), vec![None; LEAF_PAGES]);
        steps.iter().for_each(|step| take_step(step, &mut pages, &mut plain));
        let leaf = pages.to_leaf();
        prop_assert_eq!(LocationNode::decode(&leaf.encode()), Ok(leaf));
        let older = pages.clone();
        more.iter().for_each(|step| take_step(step, &mut pages, &mut plain));
        if let Some(patch) = pages.to_patch(&older) {
            prop_assert_eq!(LocationNode::decode(&patch.encode()), Ok(patch));
        }
    }

    #[test]
    fn hostile_nodes_are_decoded_or_refused(kind in 0..6u8, bytes in vec(any::<u8>(), 0..200)) {
        let node = [&[kind][..], &bytes].concat();
        if let Ok(decoded) = LocationNode::decode(&node) {
            prop_assert!(decoded.frames.len() + decoded.extents.len() <= node.len());
            prop_assert_eq!(LocationNode::decode(&decoded.encode()), Ok(decoded));
        }
        if let Ok(decoded) = DigestNode::decode(&node) {
            prop_assert_eq!(decoded.encode(), node);
        }
    }

    #[test]
    fn a_damaged_leaf_is_decoded_or_refused(
        steps in vec(any_step(), 1..20), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let (mut pages, mut plain) = (LeafPages::default(), vec![None; LEAF_PAGES]);
        steps.iter().for_each(|step| take_step(step, &mut pages, &mut plain));
        let mut node = pages.to_leaf().encode();
        let at = at.index(node.len());
        node[at] ^= 1 << bit;
        if let Ok(decoded) = LocationNode::decode(&node) {
            prop_assert!(decoded.extents.iter().all(|e| usize::from(e.first + e.pages) <= LEAF_PAGES));
        }
    }
}
