//! Resource managers: the parts of the server that write records, by number (`src/include/access/rmgrlist.h`).

/// `XLOG`: checkpoints, switches, whole pages.
pub const XLOG: u8 = 0;
/// `Transaction`.
pub const TRANSACTION: u8 = 1;
/// `Storage`: files of relations.
pub const STORAGE: u8 = 2;
/// `Database`.
pub const DATABASE: u8 = 4;
/// `Tablespace`.
pub const TABLESPACE: u8 = 5;
/// `RelMap`: files of the catalogs that have no entry in `pg_class`.
pub const RELATION_MAP: u8 = 7;
/// `Heap2`.
pub const HEAP2: u8 = 9;
/// `Heap`.
pub const HEAP: u8 = 10;
/// `Sequence`.
pub const SEQUENCE: u8 = 15;
/// `LogicalMessage`.
pub const LOGICAL_MESSAGE: u8 = 21;

/// The names that `pg_waldump` prints, by number.
const NAMES: [&str; 22] = [
    "XLOG",
    "Transaction",
    "Storage",
    "CLOG",
    "Database",
    "Tablespace",
    "MultiXact",
    "RelMap",
    "Standby",
    "Heap2",
    "Heap",
    "Btree",
    "Hash",
    "Gin",
    "Gist",
    "Sequence",
    "SPGist",
    "BRIN",
    "CommitTs",
    "ReplicationOrigin",
    "Generic",
    "LogicalMessage",
];

/// The name that `pg_waldump` prints for a resource manager of PostgreSQL's own; `None` for one of an extension.
pub fn name(number: u8) -> Option<&'static str> {
    NAMES.get(usize::from(number)).copied()
}
