//! The table itself, and what its columns mean.
//!
//! Sources: `src/include/catalog/pg_control.h`, `catversion.h`, `access/xlog_internal.h` and
//! `src/backend/utils/cache/relmapper.c` of each release branch; for WAL `access/xlogrecord.h`, `xact.h`, `xlog_internal.h`,
//! `rmgr.h` and `commands/dbcommands_xlog.h`.

use crate::wal::ImageCompression;

/// Everything that is particular to one major version.
#[derive(Debug)]
pub struct VersionFacts {
    /// The major number.
    pub major: u16,
    /// `PG_CONTROL_VERSION`.
    pub control_version: u32,
    /// `CATALOG_VERSION_NO` of the release; constant over its minor releases.
    pub catalog_version: u32,
    /// `XLOG_PAGE_MAGIC`: the first two bytes of each WAL page.
    pub wal_magic: u16,
    /// Where the fields of `pg_control` stand that move between versions.
    pub control_layout: ControlLayout,
    /// How a backup is started and stopped over SQL.
    pub backup_api: BackupApi,
    /// Directories to be made in an empty `pg_wal`.
    pub wal_directories: &'static [&'static str],
    /// The length of `pg_filenode.map`, in bytes.
    pub relation_map_bytes: u64,
    /// Whether `initdb` switches page checksums on unless told otherwise.
    pub data_checksums_by_default: bool,
    /// What `archive_library` does beside `archive_command`.
    pub archive_library: ArchiveLibrary,
    /// The predefined role that may run CHECKPOINT, where there is one.
    pub checkpoint_role: Option<&'static str>,
    /// Every setting that steers recovery or a standby. What a backed-up configuration says about them
    /// belongs to the old server's life, so a restore has to decide on each.
    pub recovery_settings: &'static [&'static str],
    /// What WAL records look like.
    pub wal: WalFacts,
}

/// What differs in WAL records. All else is the same in all rows.
#[derive(Debug)]
pub struct WalFacts {
    /// The bits of a page image's header.
    pub image_bits: ImageBits,
    /// Whether extensions may have resource managers of their own (128 to 255).
    pub custom_resource_managers: bool,
    /// The length of a dropped statistics entry in commits and aborts, in bytes; `None` where there are none.
    pub dropped_stats_bytes: Option<usize>,
    /// `info` of the record that makes a database page by page, where there is one.
    pub database_create_by_pages: Option<u8>,
    /// `info` of the record that drops a database.
    pub database_drop: u8,
    /// Whether an online checkpoint begins with a record of its own at its redo position.
    pub checkpoint_redo_record: bool,
    /// Whether the record that ends recovery says `wal_level`.
    pub end_of_recovery_wal_level: bool,
    /// Whether an update in place carries invalidation messages.
    pub inplace_invalidations: bool,
}

/// Bits of `bimg_info` in the header of a page image. The hole's is 1 in all versions.
#[derive(Debug)]
pub struct ImageBits {
    /// Replay puts the image in place.
    pub apply: u8,
    /// The ways to be compressed.
    pub compression: &'static [(u8, ImageCompression)],
}

/// Byte offsets in `pg_control` that differ between versions. All others are the same in all rows.
#[derive(Debug)]
pub struct ControlLayout {
    /// `checkPointCopy.wal_level`, which older versions do not have.
    pub checkpoint_wal_level: Option<usize>,
    /// `default_char_signedness`, which older versions do not have.
    pub default_char_signedness: Option<usize>,
    /// `mock_authentication_nonce`, 32 bytes.
    pub nonce: usize,
    /// `crc`, over all bytes before it. The structure is four bytes longer than this, padded to eight.
    pub crc: usize,
}

/// The functions of the low-level backup interface.
#[derive(Debug)]
pub struct BackupApi {
    /// The start function with its argument types, as GRANT wants it.
    pub start_function: &'static str,
    /// The stop function with its argument types, as GRANT wants it.
    pub stop_function: &'static str,
    /// Starts a backup. `$1` text: label, `$2` boolean: fast checkpoint. One row, one column: LSN as text.
    pub start_sql: &'static str,
    /// Ends it, in the same session. `$1` boolean: wait for the archiver. One row, all text: stop LSN, content of
    /// `backup_label`, content of `tablespace_map`, and the server's clock right after the stop in microseconds since 1970: every
    /// commit below the stop LSN is older than that.
    pub stop_sql: &'static str,
}

/// What becomes of `archive_command` when `archive_library` is set as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveLibrary {
    /// There is no such setting.
    Absent,
    /// The library is used and the command silently ignored.
    Wins,
    /// The server refuses to have both.
    Conflicts,
}

/// `pg_start_backup`: the last argument asks for the exclusive mode, which leaves `backup_label` in the live
/// directory and is never used here.
const START_BACKUP_WITH_MODES: BackupApi = BackupApi {
    start_function: "pg_catalog.pg_start_backup(text, boolean, boolean)",
    stop_function: "pg_catalog.pg_stop_backup(boolean, boolean)",
    start_sql: "SELECT pg_catalog.pg_start_backup($1::text, $2::boolean, false)::text",
    stop_sql: "SELECT lsn::text, labelfile, spcmapfile, \
         (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint::text FROM pg_catalog.pg_stop_backup(false, $1::boolean)",
};

const BACKUP_START: BackupApi = BackupApi {
    start_function: "pg_catalog.pg_backup_start(text, boolean)",
    stop_function: "pg_catalog.pg_backup_stop(boolean)",
    start_sql: "SELECT pg_catalog.pg_backup_start($1::text, $2::boolean)::text",
    stop_sql: "SELECT lsn::text, labelfile, spcmapfile, \
         (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint::text FROM pg_catalog.pg_backup_stop($1::boolean)",
};

const CONTROL_1300: ControlLayout =
    ControlLayout { checkpoint_wal_level: None, default_char_signedness: None, nonce: 256, crc: 288 };
const CONTROL_1700: ControlLayout =
    ControlLayout { checkpoint_wal_level: Some(60), default_char_signedness: None, nonce: 256, crc: 288 };
const CONTROL_1800: ControlLayout = ControlLayout {
    checkpoint_wal_level: Some(60),
    default_char_signedness: Some(256),
    nonce: 257,
    crc: 292,
};

const WAL_14: WalFacts = WalFacts {
    image_bits: ImageBits { apply: 0x04, compression: &[(0x02, ImageCompression::Pglz)] },
    custom_resource_managers: false,
    dropped_stats_bytes: None,
    database_create_by_pages: None,
    database_drop: 0x10,
    checkpoint_redo_record: false,
    end_of_recovery_wal_level: false,
    inplace_invalidations: false,
};
const IMAGE_BITS_15: ImageBits = ImageBits {
    apply: 0x02,
    compression: &[
        (0x04, ImageCompression::Pglz),
        (0x08, ImageCompression::Lz4),
        (0x10, ImageCompression::Zstd),
    ],
};
const WAL_15: WalFacts = WalFacts {
    image_bits: IMAGE_BITS_15,
    custom_resource_managers: true,
    dropped_stats_bytes: Some(12),
    database_create_by_pages: Some(0x10),
    database_drop: 0x20,
    ..WAL_14
};
const WAL_17: WalFacts = WalFacts {
    image_bits: IMAGE_BITS_15,
    checkpoint_redo_record: true,
    end_of_recovery_wal_level: true,
    ..WAL_15
};
const WAL_18: WalFacts = WalFacts {
    image_bits: IMAGE_BITS_15,
    dropped_stats_bytes: Some(16),
    inplace_invalidations: true,
    ..WAL_17
};

const RECOVERY_14: &[&str] = &[
    "archive_cleanup_command",
    "hot_standby",
    "hot_standby_feedback",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];
const RECOVERY_15: &[&str] = &[
    "archive_cleanup_command",
    "hot_standby",
    "hot_standby_feedback",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_prefetch",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];
const RECOVERY_16: &[&str] = &[
    "archive_cleanup_command",
    "hot_standby",
    "hot_standby_feedback",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_prefetch",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];
const RECOVERY_17: &[&str] = &[
    "archive_cleanup_command",
    "hot_standby",
    "hot_standby_feedback",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_prefetch",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "sync_replication_slots",
];

pub(super) static TABLE: [VersionFacts; 5] = [
    VersionFacts {
        major: 14,
        control_version: 1300,
        catalog_version: 202_107_181,
        wal_magic: 0xD10D,
        control_layout: CONTROL_1300,
        backup_api: START_BACKUP_WITH_MODES,
        wal_directories: &["archive_status"],
        relation_map_bytes: 512,
        data_checksums_by_default: false,
        archive_library: ArchiveLibrary::Absent,
        checkpoint_role: None,
        recovery_settings: RECOVERY_14,
        wal: WAL_14,
    },
    VersionFacts {
        major: 15,
        control_version: 1300,
        catalog_version: 202_209_061,
        wal_magic: 0xD110,
        control_layout: CONTROL_1300,
        backup_api: BACKUP_START,
        wal_directories: &["archive_status"],
        relation_map_bytes: 512,
        data_checksums_by_default: false,
        archive_library: ArchiveLibrary::Wins,
        checkpoint_role: Some("pg_checkpoint"),
        recovery_settings: RECOVERY_15,
        wal: WAL_15,
    },
    VersionFacts {
        major: 16,
        control_version: 1300,
        catalog_version: 202_307_071,
        wal_magic: 0xD113,
        control_layout: CONTROL_1300,
        backup_api: BACKUP_START,
        wal_directories: &["archive_status"],
        relation_map_bytes: 524,
        data_checksums_by_default: false,
        archive_library: ArchiveLibrary::Conflicts,
        checkpoint_role: Some("pg_checkpoint"),
        recovery_settings: RECOVERY_16,
        wal: WAL_15,
    },
    VersionFacts {
        major: 17,
        control_version: 1700,
        catalog_version: 202_406_281,
        wal_magic: 0xD116,
        control_layout: CONTROL_1700,
        backup_api: BACKUP_START,
        wal_directories: &["archive_status", "summaries"],
        relation_map_bytes: 524,
        data_checksums_by_default: false,
        archive_library: ArchiveLibrary::Conflicts,
        checkpoint_role: Some("pg_checkpoint"),
        recovery_settings: RECOVERY_17,
        wal: WAL_17,
    },
    VersionFacts {
        major: 18,
        control_version: 1800,
        catalog_version: 202_506_291,
        wal_magic: 0xD118,
        control_layout: CONTROL_1800,
        backup_api: BACKUP_START,
        wal_directories: &["archive_status", "summaries"],
        relation_map_bytes: 524,
        data_checksums_by_default: true,
        archive_library: ArchiveLibrary::Conflicts,
        checkpoint_role: Some("pg_checkpoint"),
        recovery_settings: RECOVERY_17,
        wal: WAL_18,
    },
];
