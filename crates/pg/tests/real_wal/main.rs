//! WAL of real servers of every supported major, read record for record as `pg_waldump` of the same version prints it.

#![expect(clippy::expect_used, clippy::panic, reason = "a panic in a test is a test's way of failing")]

mod ours;
mod waldump;
mod workload;

use std::collections::BTreeSet;
use std::path::PathBuf;

use seawall_pg::wal::WalOf;
use seawall_pg::{Lsn, SegmentName, SystemIdentifier, Version, WalSegmentSize};
use seawall_testkit::{Result, Server, StopMode, majors};

/// How the server of a major is set up: between them they have every segment size, level and compression that matters.
struct SetUp {
    segment_mebibytes: u32,
    wal_level: &'static str,
    compression: &'static str,
}

fn set_up(major: u16) -> SetUp {
    let (segment_mebibytes, wal_level, compression) = match major {
        14 => (16, "replica", "on"),
        15 => (4, "replica", "lz4"),
        16 => (16, "logical", "zstd"),
        17 => (1, "replica", "pglz"),
        _ => (1, "logical", "lz4"),
    };
    SetUp { segment_mebibytes, wal_level, compression }
}

/// A stopped server and the WAL it left.
pub(crate) struct Left {
    pub(crate) server: Server,
    pub(crate) of: WalOf,
    pub(crate) wal: PathBuf,
    pub(crate) names: Vec<SegmentName>,
}

impl Left {
    pub(crate) fn first(&self) -> Lsn {
        self.names[0].first_lsn(self.of.size).expect("of this size")
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = Vec<u8>> {
        self.names.iter().map(|name| std::fs::read(self.wal.join(name.to_string())).expect("a segment"))
    }
}

/// Runs the workload and stops the server.
fn leave(major: u16) -> Result<Left> {
    let set_up = set_up(major);
    let mut server = Server::builder(major)
        .wal_segment_mebibytes(set_up.segment_mebibytes)
        .setting("wal_level", set_up.wal_level)
        .setting("wal_keep_size", "4GB")
        .setting("max_wal_size", "4GB")
        .setting("wal_compression", if major == 14 { "on" } else { "off" })
        .setting("autovacuum", "off")
        .start()?;
    let has = server.value(&format!(
        "SELECT '{}' = ANY(enumvals) FROM pg_settings WHERE name = 'wal_compression'",
        set_up.compression
    ))?;
    // A build without the library keeps its pages as they are; the programs that tests fetch have all of them.
    if major > 14 && has == "t" {
        server.set("wal_compression", set_up.compression)?;
    }
    workload::run(&mut server)?;
    let system = server.value("SELECT system_identifier FROM pg_control_system()")?;
    let last: SegmentName =
        server.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?.parse().expect("a segment");
    server.stop(StopMode::Fast)?;
    let wal = server.data_directory().join("pg_wal");
    let of = WalOf {
        version: Version::from_major(u32::from(major)).expect("supported"),
        system: system.parse::<SystemIdentifier>().expect("a system identifier"),
        size: WalSegmentSize::new(set_up.segment_mebibytes << 20).expect("a power of two"),
    };
    let mut names: Vec<SegmentName> = std::fs::read_dir(&wal)?
        .filter_map(|entry| entry.ok()?.file_name().to_string_lossy().parse().ok())
        // The shutdown checkpoint may have gone on into the next one.
        .filter(|name| *name <= last.next(of.size).expect("a next one"))
        .collect();
    names.sort();
    Ok(Left { server, of, wal, names })
}

#[test]
fn records_blocks_images_and_times_are_those_pg_waldump_tells() -> Result<()> {
    for major in majors() {
        let left = leave(major)?;
        let found = ours::read(&left);
        let told = waldump::read(&left)?;
        compare_records(major, &found, &told);
        compare_completions(major, &found, &told);
        let saved = waldump::saved_pages(&left)?;
        compare_images(major, &found, saved.as_ref());
        compare_kinds(major, &found.kinds);
        ours::compare_segments_alone(&left, &found);
        println!(
            "{major}: {} records, {} blocks, {} images, {} segments, {} lost records; {:?}",
            found.records.len(),
            found.records.iter().map(|record| record.blocks.len()).sum::<usize>(),
            found.images.len(),
            left.names.len(),
            found.walked.overwritten,
            found.kinds
        );
    }
    Ok(())
}

fn compare_records(major: u16, found: &ours::Found, told: &waldump::Told) {
    for (number, (ours, theirs)) in found.records.iter().zip(&told.records).enumerate() {
        assert_eq!(ours, theirs, "{major}, record {number}");
    }
    assert_eq!(found.records.len(), told.records.len(), "{major}: {:?}", found.walked.ended);
    assert!(found.records.len() > 20_000, "{major}: too little was written");
}

fn compare_completions(major: u16, found: &ours::Found, told: &waldump::Told) {
    for (ours, theirs) in found.completions.iter().zip(&told.completions) {
        assert_eq!(ours, theirs, "{major}");
    }
    assert_eq!(found.completions.len(), told.completions.len(), "{major}");
    assert!(found.completions.iter().any(|done| done.relations > 600), "{major}: no large drop");
    assert!(found.completions.iter().any(|done| done.subxacts.len() > 64), "{major}: no subtransactions");
}

fn compare_images(major: u16, found: &ours::Found, saved: Option<&waldump::SavedPages>) {
    assert!(found.images.len() > 100, "{major}: {}", found.images.len());
    let Some(saved) = saved else { return };
    for (key, page) in &found.images {
        let theirs = saved.get(key).unwrap_or_else(|| panic!("{major}: pg_waldump has no {key:?}"));
        assert!(theirs.as_slice() == page.as_slice(), "{major}: {key:?} differs");
    }
    assert_eq!(saved.len(), found.images.len(), "{major}");
}

/// Everything that the workload does must have been understood as what it is.
fn compare_kinds(major: u16, kinds: &BTreeSet<String>) {
    let mut wanted = vec![
        "commit",
        "abort",
        "prepare",
        "commit prepared",
        "abort prepared",
        "assignment",
        "commit with origin",
        "storage create",
        "storage truncate",
        "database by copy",
        "database drop",
        "tablespace create",
        "tablespace drop",
        "relation map",
        "checkpoint shutdown",
        "checkpoint online",
        "switch",
        "backup end",
        "restore point",
        "parameter change",
        "next oid",
        "pages",
        "insert",
        "multi insert",
        "delete",
        "update",
        "hot update",
        "lock",
        "inplace",
        "sequence",
        "message",
        "transactional message",
        "image for comparison",
        "overwritten",
    ];
    if major >= 15 {
        wanted.extend(["database by pages", "dropped statistics"]);
    }
    if major >= 17 {
        wanted.push("checkpoint redo");
    }
    if set_up(major).wal_level == "logical" {
        wanted.extend(["truncate for decoding", "top-level transaction"]);
    }
    let compression = set_up(major).compression;
    let compression = if compression == "on" { "pglz" } else { compression };
    wanted.push(compression);
    let missing: Vec<_> = wanted.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "{major}: never seen: {missing:?}");
}
