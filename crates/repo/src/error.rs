//! What can be wrong with an object, always together with the object's name.
//!
//! Promises: a person reads which object and what about it; a program tells the cases apart by [`Fault`].

use crate::bytes::DecodeError;
use crate::compress::CompressError;
use crate::envelope::{HeadError, HeaderFault};
use crate::id::Generation;
use crate::layout::ObjectName;
use crate::seal::Section;
use crate::signed::SignedError;
use crate::trust::TrustError;
use crate::wrapped::WrapError;

/// An object that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct ObjectError {
    /// The object's name.
    pub name: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl ObjectError {
    /// `fault` of the object `name`.
    pub fn new(name: &ObjectName, fault: Fault) -> Self {
        Self { name: name.to_string(), fault }
    }
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Its signer.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Its text.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// Its wrapped keys.
    #[error(transparent)]
    Wrapped(#[from] WrapError),
    /// Another kind of object than its name says.
    #[error("is another kind of object than its name says")]
    OtherKind,
    /// The body is not the one that was signed.
    #[error("body is damaged")]
    BodyDamaged,
    /// Content that is another than the digest says.
    #[error("plain content is not the one its digest names")]
    PlainDigest,
    /// The meta key of its generation is not at hand.
    #[error("needs the cluster's meta key of generation {generation}")]
    NeedsMetaKey {
        /// Which keys.
        generation: Generation,
    },
    /// The cluster's secret of its generation is not at hand: a host that writes never has it.
    #[error("content can only be opened with an identity (keys of generation {generation})")]
    NeedsIdentity {
        /// Which keys.
        generation: Generation,
    },
    /// The object key does not unwrap.
    #[error("object key does not open with the cluster's secret of generation {generation}")]
    ObjectKey {
        /// Which keys.
        generation: Generation,
    },
    /// A sealing that does not open.
    #[error("{section} does not open: damaged, from another place, or sealed with another key")]
    Sealing {
        /// Where.
        section: Section,
    },
    /// A sealing that opens but does not decompress.
    #[error("{section}: {source}")]
    Decompress {
        /// Where.
        section: Section,
        /// What is wrong.
        #[source]
        source: CompressError,
    },
    /// A payload that opens but is not as documented.
    #[error("{section}: {source}")]
    Decode {
        /// Where.
        section: Section,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// Fewer bytes than needed were handed over.
    #[error("{section} needs {wanted} bytes, there are {there}")]
    ShortRange {
        /// Where.
        section: Section,
        /// Bytes needed.
        wanted: u64,
        /// Bytes there.
        there: u64,
    },
    /// More content than the reader is ready to hold.
    #[error("holds {plain} bytes of content, at most {most} are read")]
    TooMuch {
        /// Bytes of content.
        plain: u64,
        /// How many would do.
        most: usize,
    },
    /// A header whose fields are not those of its kind.
    #[error("header: {reason}")]
    KindHeader {
        /// What is wrong.
        reason: String,
    },
}

impl From<HeaderFault> for Fault {
    fn from(fault: HeaderFault) -> Self {
        Self::Head(fault.into())
    }
}
