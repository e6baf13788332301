//! The repository as operations use it: opened, believed, read from any region, written to all.
//!
//! What the bytes mean is the crate `repo`'s, where they lie is the crate `store`'s; here the two meet.

mod apart;
mod catalog;
mod entropy;
mod faults;
mod handle;
mod healed;
mod host_keys;
mod host_update;
mod maps;
mod open;
mod places;
mod read;
mod settings;
mod write;

pub(crate) use apart::{Apart, Copy, apart};
pub(crate) use catalog::unlistable;
pub use catalog::{BackupEntry, Catalog, Unreached};
pub use entropy::WorldEntropy;
pub(crate) use faults::is_of_a_stranger;
pub use faults::{not_served, object_error};
pub use handle::Repository;
pub(crate) use handle::{COPY_MISSING, COPY_WRONG};
pub(crate) use healed::{get_any, heal_copies, heal_number};
pub use host_keys::{HostGeneration, HostKeys, refuse_readable_by_others};
pub use host_update::HostUpdate;
pub use maps::Maps;
pub(crate) use open::{believe, list_names, peek};
pub use open::{load_identities, load_passphrase};
pub use places::{Expecting, open_regions, store_error};
pub use read::{From, OBJECT_BYTES_MAX, ObjectReader};
pub use seawall_store::Access;
pub use settings::{Acknowledge, KeyFiles, Levels, RegionSettings, RepositorySettings, Secrets};
pub use write::{put_bytes_everywhere, put_everywhere, reason};
