//! Writing a data directory: where it may be written, what may be written there, and the order that makes it whole.
//!
//! Promises: nothing is written before the place was found free, large enough and not in use; nothing is written outside the
//! data directory, the tablespaces' and WAL's directories, and (where they are free) the configuration files' own paths; an
//! interrupted restore leaves a directory that no server starts from, because `global/pg_control` comes last.
//! Deliberately knows no repository: bytes come from the caller.

pub mod binaries;
pub mod external;
pub mod finish;
pub mod held;
pub mod names;
pub mod preflight;
pub mod tablespaces;
pub mod tree;
