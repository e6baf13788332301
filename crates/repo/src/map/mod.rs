//! Maps: which frame of which pack holds each page of a file, and what each page's digest is.
//!
//! A file is covered by leaves of 4,096 pages. A backup writes a leaf anew, patches an older one, or names the older
//! one again; so what a backup adds to the maps follows what changed, and any backup is read without its parents'
//! manifests. Promises FORMAT §7, written and read side by side, in memory that does not grow with files or pages.
//! Deliberately fetches nothing: whoever reads a chain brings the bytes of its nodes.

pub mod builder;
pub mod chain;
pub mod diff;
pub mod digest_leaf;
pub mod file_block;
pub mod inverse;
pub mod leaf;
pub mod node;
pub mod path;
pub mod place;
pub mod reader;
#[cfg(test)]
pub(crate) mod test_values;

pub use builder::{MAP_BYTES_TARGET, MapBuilder, MapError, MapHeader};
pub use chain::{ChainError, DigestPages, LeafPages, ZERO_PAGE, resolve_digests, resolve_locations};
pub use diff::{Update, digest_update, location_update};
pub use digest_leaf::DigestNode;
pub use file_block::{
    Chain, EntryKind, FileBlock, FileBlockBuilder, FileBlockError, FileBlockReader, FileEntry, LeafChains,
    leaf_count,
};
pub use inverse::{BAND_BYTES, Band, FrameRead, InversePlanner, Joining, Piece, Read};
pub use leaf::{Extent, LocationNode, Source};
pub use node::{NodeKind, NodeRef};
pub use path::{PathProblem, check_path, check_target};
pub use place::{FramePlace, LEAF_PAGES, PAGE_BYTES};
pub use reader::{NodeError, slice_node, slice_node_of};
