//! Objects: built in one piece in memory, read in as small pieces as wanted.
//!
//! Promises FORMAT §5 with encoder ([`build`]) and decoder ([`read`]) over the one footer ([`footer`]).

pub mod build;
pub mod footer;
pub mod key_ring;
pub mod read;

pub use build::{BuildError, ObjectBuilder, SealedObject};
pub use footer::{Footer, FrameAt};
pub use key_ring::KeyRing;
pub use read::{FrameBuffers, FrameOpener, OpenHead, WholeObject};

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
