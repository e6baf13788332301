//! From the plain frames of a map object to nodes.
//!
//! Promises a node or an error that says why not; deliberately opens nothing: `object` gives the plain frame.

use crate::map::node::{NodeKind, NodeRef};

/// Why a reference does not lead to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The frame ends before the node does.
    #[error("node at {offset} of {length} bytes lies beyond its frame of {frame_bytes} bytes")]
    BeyondFrame {
        /// Where the node should begin.
        offset: u32,
        /// Its bytes.
        length: u32,
        /// Bytes of the plain frame.
        frame_bytes: usize,
    },
    /// The node is of another type than what is looked for.
    #[error("node of type {found} where {wanted:?} was looked for")]
    Kind {
        /// Its first byte.
        found: u8,
        /// What was looked for.
        wanted: NodeKind,
    },
}

/// The node that `reference` names in the plain frame it lies in.
pub fn slice_node<'a>(plain_frame: &'a [u8], reference: &NodeRef) -> Result<&'a [u8], NodeError> {
    let NodeRef { offset, length, .. } = *reference;
    let beyond = NodeError::BeyondFrame { offset, length, frame_bytes: plain_frame.len() };
    let behind = plain_frame.get(offset as usize..).ok_or(beyond)?;
    behind.get(..length as usize).filter(|node| !node.is_empty()).ok_or(beyond)
}

/// As [`slice_node`], and the node must be of this kind.
pub fn slice_node_of<'a>(
    plain_frame: &'a [u8],
    reference: &NodeRef,
    wanted: NodeKind,
) -> Result<&'a [u8], NodeError> {
    let node = slice_node(plain_frame, reference)?;
    match node.first() {
        Some(byte) if NodeKind::from_byte(*byte) == Some(wanted) => Ok(node),
        first => Err(NodeError::Kind { found: first.copied().unwrap_or_default(), wanted }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BackupId;

    #[test]
    fn nodes_are_cut_out_and_references_beyond_the_frame_refused() {
        let backup = BackupId::from_bytes([0; 16]).unwrap();
        let at = |offset, length| NodeRef { backup, map: 0, frame: 0, offset, length };
        let frame = [9, 3, 0, 9];
        assert_eq!(slice_node(&frame, &at(1, 2)), Ok(&[3, 0][..]));
        assert_eq!(slice_node_of(&frame, &at(1, 2), NodeKind::DigestLeaf), Ok(&[3, 0][..]));
        let wanted = NodeKind::FileBlock;
        assert_eq!(slice_node_of(&frame, &at(1, 2), wanted), Err(NodeError::Kind { found: 3, wanted }));
        for (offset, length) in [(1, 4), (4, 1), (5, 1), (u32::MAX, u32::MAX), (1, 0)] {
            assert!(slice_node(&frame, &at(offset, length)).is_err(), "{offset} {length}");
        }
    }
}
