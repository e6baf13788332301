//! The WAL archive: what PostgreSQL hands over, and what recovery gets back.
//!
//! [`push`] is the `archive_command`, [`fetch`] the `restore_command`; [`plan_file`] is what a restore leaves for the second.
//! [`inventory`] lists what there is, [`chapters`] reads what it says.

mod beside;
pub(crate) mod chapters;
mod conflict;
pub mod fetch;
pub(crate) mod index;
pub mod inventory;
mod place;
pub mod plan_file;
pub mod push;
mod read;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use beside::{Beside, Held};
pub use place::adopted;
pub(crate) use read::{each_piece, small};
