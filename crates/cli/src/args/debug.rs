//! `seawall debug`.

use clap::{Args, Subcommand};
use seawall_engine::debug::{self, RecordFilter, SegmentName, SegmentRange, WalFolder};
use seawall_engine::words::{BackupId, SystemIdentifier};

use super::place::{PlaceArgs, backup_id};

const INDEX_EXAMPLES: &str = "\
Examples:
  seawall debug index 000000010000002A0000005F
  seawall debug index 000000010000002A0000005F 000000010000002A00000063     what those five say together
  seawall debug index 000000010000002A0000005F --json | jq '.changes[]'";

const CHAPTER_EXAMPLES: &str = "\
Examples:
  seawall debug chapter 000000010000002A
  seawall debug chapter 000000010000002A --json | jq '.segments[].commits'

A chapter is a cache, made after a backup from the indexes of a full folder. There is none for a folder that is not full, or that no
backup passed by yet.";

const WAL_EXAMPLES: &str = "\
Examples:
  seawall debug wal 000000010000002A0000005F --identity ops.key
  seawall debug wal 000000010000002A0000005F --identity ops.key --rmgr transaction
  seawall debug wal /var/lib/postgresql/17/main/pg_wal/000000010000002A00000060 --xid 771 --limit 20

Every record whose links and CRC are right; behind them, why they end there. Which version of PostgreSQL wrote the file is read from its
first page. With --json one object a line: records, then the end.";

const MANIFEST_EXAMPLES: &str = "\
Example:
  seawall debug manifest 20310504T020000Z-0123456789abcdef

What it says of the server and its databases: seawall show";

const MAP_EXAMPLES: &str = "\
Example:
  seawall debug map 20310504T020000Z-0123456789abcdef 0";

const PACK_EXAMPLES: &str = "\
Example:
  seawall debug pack 20310504T020000Z-0123456789abcdef 0";

/// Look inside objects of the repository, and files of WAL
#[derive(Debug, Clone, Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    pub command: DebugCommand,
}

/// Into what.
#[derive(Debug, Clone, Subcommand)]
pub enum DebugCommand {
    Index(IndexArgs),
    Chapter(ChapterArgs),
    Wal(WalArgs),
    Manifest(ManifestArgs),
    Map(MapArgs),
    Pack(PackArgs),
}

/// Which of a cluster's system identifiers.
#[derive(Debug, Clone, Args)]
pub struct SystemArgs {
    /// System identifier, where the cluster has had several [default: the newest that has such an object]
    #[arg(long, value_name = "ID", value_parser = system)]
    pub system: Option<SystemIdentifier>,
}

/// The index of a segment, or of a range joined: changes by fork, edges, commits, marks, transactions
#[derive(Debug, Clone, Args)]
#[command(after_help = INDEX_EXAMPLES)]
pub struct IndexArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub system: SystemArgs,
    /// The segment, as PostgreSQL names it
    #[arg(value_name = "SEGMENT", value_parser = segment)]
    pub segment: SegmentName,
    /// The last segment of a range that begins with the first
    #[arg(value_name = "LAST", value_parser = segment)]
    pub last: Option<SegmentName>,
}

impl IndexArgs {
    /// Which segments.
    #[must_use]
    pub fn range(&self) -> SegmentRange {
        SegmentRange { from: self.segment, to: self.last.unwrap_or(self.segment) }
    }
}

/// A chapter: what the segments of a full folder say, and the pages they changed together
#[derive(Debug, Clone, Args)]
#[command(after_help = CHAPTER_EXAMPLES)]
pub struct ChapterArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub system: SystemArgs,
    /// The folder: the first 16 digits of its segments' names
    #[arg(value_name = "FOLDER", value_parser = folder)]
    pub folder: WalFolder,
}

/// The records of a segment: of the archive, or of a local file
#[derive(Debug, Clone, Args)]
#[command(after_help = WAL_EXAMPLES)]
pub struct WalArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub system: SystemArgs,
    /// A segment's name, read from the archive, or a path with a `/` in it
    #[arg(value_name = "SEGMENT|FILE")]
    pub what: String,
    /// Only records of this resource manager, by pg_waldump's name or by number
    #[arg(long, value_name = "NAME", value_parser = manager)]
    pub rmgr: Option<u8>,
    /// Only records that this transaction or subtransaction wrote
    #[arg(long, value_name = "N")]
    pub xid: Option<u32>,
    /// At most so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

impl WalArgs {
    /// Which records.
    #[must_use]
    pub fn filter(&self) -> RecordFilter {
        RecordFilter { manager: self.rmgr, xid: self.xid, limit: self.limit }
    }
}

/// A manifest's tables: blocks of files, packs, other backups used
#[derive(Debug, Clone, Args)]
#[command(after_help = MANIFEST_EXAMPLES)]
pub struct ManifestArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub system: SystemArgs,
    /// The backup's id
    #[arg(value_name = "BACKUP", value_parser = backup_id)]
    pub backup: BackupId,
}

/// A map: its frames, nodes, and where pages lie
#[derive(Debug, Clone, Args)]
#[command(after_help = MAP_EXAMPLES)]
pub struct MapArgs {
    #[command(flatten)]
    pub object: NumberedArgs,
}

/// A pack's footer: its frames, and the pages in each
#[derive(Debug, Clone, Args)]
#[command(after_help = PACK_EXAMPLES)]
pub struct PackArgs {
    #[command(flatten)]
    pub object: NumberedArgs,
}

/// One of the maps or packs of a backup.
#[derive(Debug, Clone, Args)]
pub struct NumberedArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub system: SystemArgs,
    /// The backup that wrote it
    #[arg(value_name = "BACKUP", value_parser = backup_id)]
    pub backup: BackupId,
    /// Which of the backup's, from 0
    #[arg(value_name = "NUMBER")]
    pub number: u32,
}

fn segment(text: &str) -> Result<SegmentName, String> {
    text.parse().map_err(|_| "wanted the name of a segment, such as 000000010000002A0000005F".to_owned())
}

fn folder(text: &str) -> Result<WalFolder, String> {
    text.parse()
        .map_err(|_| "wanted the first 16 digits of segments' names, such as 000000010000002A".to_owned())
}

fn system(text: &str) -> Result<SystemIdentifier, String> {
    text.parse().map_err(|_| {
        "wanted a system identifier, such as 7312345678901234567; pg_controldata shows it".to_owned()
    })
}

fn manager(text: &str) -> Result<u8, String> {
    let found = debug::resource_manager(text);
    found.ok_or_else(|| {
        "wanted a resource manager, such as Transaction, Heap or Btree, or its number".to_owned()
    })
}
