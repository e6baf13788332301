//! The source of a backup: the server's word and the cluster's files, read and never written.
//!
//! Promises: nothing here changes the server beyond starting and stopping a backup; whatever cannot be read is an
//! error or a finding, never silently left out. Deliberately not here: what is stored of it (`backup`).

mod cache;
mod conninfo;
mod files;
pub(crate) mod rows;

pub mod connect;
pub mod control;
pub mod external;
pub mod facts;
pub mod grants;
pub mod libc;
pub mod password;
pub mod priority;
pub mod read;
pub mod relations;
pub mod session;
pub mod walk;

pub use connect::{ConnectError, ConnectOptions, Connection, QueryError};
pub use conninfo::ConninfoError;
pub use control::{ControlReadError, ReadControl, read_control};
pub use external::{External, ExternalError, ExternalFile, ExternalKind, find_external};
pub use facts::Facts;
pub use files::{EXTERNAL_PREFIX, owner_name};
pub use password::{Credentials, Password, PasswordError};
pub use priority::{Niceness, NicenessError, lower_this_thread};
pub use read::{
    FixedCeiling, LsnCeiling, MadeFiles, PageRules, RUN_PAGES_MAX, ReadError, Reader, RunRead, SourceFile,
};
pub use relations::RelationLists;
pub use session::{LsnBound, SessionError, StartOptions, Started, Stopped};
pub use walk::{Walk, WalkEntry, WalkError};
