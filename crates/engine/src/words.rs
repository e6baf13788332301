//! The small values that cross the engine's edge, under one roof: whoever calls the engine needs these and no other
//! crate of ours.
//!
//! Only value types are named here: nothing that does I/O, and nothing that knows how bytes are stored.

pub use seawall_pg::{Lsn, SystemIdentifier, Timeline};
pub use seawall_repo::condemned::HoldOn;
pub use seawall_repo::id::{BackupId, ClusterName, RecordId, RepositoryId, WriterId};
pub use seawall_repo::identity::{Passphrase, Recipient};
pub use seawall_repo::keys::OwnerPublic;
pub use seawall_repo::seal::Cipher;
pub use seawall_repo::time::Time;
pub use seawall_store::Bandwidth;
pub use seawall_store::RegionName;
pub use seawall_store::durable::read_whole as read_file;
pub use seawall_store::world::World;
