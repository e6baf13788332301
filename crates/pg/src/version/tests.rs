//! Tests of the version table and of how versions are recognised.

use std::collections::BTreeSet;

use super::*;

#[test]
fn rows_rise_and_are_told_apart() {
    let majors: Vec<_> = Version::all().map(Version::major).collect();
    assert_eq!(majors, [14, 15, 16, 17, 18]);
    let distinct = |of: fn(&VersionFacts) -> u64| {
        Version::all().map(|version| of(version.facts())).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct(|row| u64::from(row.wal_magic)), 5);
    assert_eq!(distinct(|row| u64::from(row.catalog_version)), 5);
}

#[test]
fn rows_of_one_control_version_have_one_layout() {
    for a in Version::all() {
        for b in Version::all().filter(|b| b.facts().control_version == a.facts().control_version) {
            assert_eq!(format!("{:?}", a.facts().control_layout), format!("{:?}", b.facts().control_layout));
        }
    }
}

#[test]
fn versions_are_read_from_every_source() {
    let server = ServerVersion::from_number(170_011).unwrap();
    assert_eq!(server.to_string(), "17.11");
    assert_eq!(server.version.tablespace_directory(), "PG_17_202406281");
    assert_eq!(Version::from_pg_version_file(b"14\n").unwrap().major(), 14);
    assert_eq!(Version::from_pg_version_file(b"18").unwrap().major(), 18);
    assert_eq!(Version::from_control(1300, 202_209_061).unwrap().major(), 15);
    assert_eq!(Version::from_wal_magic(0xD113).unwrap().major(), 16);
    assert_eq!(Version::from_wal_magic(0xD120), None);
}

#[test]
fn unknown_versions_are_refused_with_advice() {
    assert_eq!(
        Version::from_major(19).unwrap_err().to_string(),
        "PostgreSQL 19 is not supported; this release knows 14, 15, 16, 17, 18; a newer release of seawall may know it"
    );
    assert_eq!(
        ServerVersion::from_number(130_020).unwrap_err().to_string(),
        "PostgreSQL 13 is not supported; this release knows 14, 15, 16, 17, 18; \
         upgrade the cluster, or keep its present backup tool until then"
    );
    assert_eq!(Version::from_pg_version_file(b"9.6\n"), Err(VersionError::Unsupported { major: 9 }));
    assert_eq!(ServerVersion::from_number(u32::MAX), Err(VersionError::Unsupported { major: 429_496 }));
    assert_eq!(
        Version::from_control(1700, 202_404_021).unwrap_err().to_string(),
        "pg_control version 1700 with catalog version 202404021 belongs to no release of PostgreSQL that this \
         release knows (14, 15, 16, 17, 18); it may come from a newer version, a beta or a fork"
    );
    for bad in [&b""[..], b"17.1", b"017", b"seventeen", b"17\n\n", b"\xff\xff"] {
        assert!(
            matches!(Version::from_pg_version_file(bad), Err(VersionError::NotAVersion { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn version_is_stored_as_its_major_number() {
    let version = Version::from_major(16).unwrap();
    assert_eq!(serde_json::to_string(&version).unwrap(), "16");
    assert_eq!(serde_json::from_str::<Version>("16").unwrap(), version);
    assert!(serde_json::from_str::<Version>("19").is_err());
}

#[test]
fn backup_statements_never_ask_for_the_exclusive_mode() {
    let oldest = &Version::from_major(14).unwrap().facts().backup_api;
    assert!(oldest.start_sql.ends_with("$2::boolean, false)::text"));
    assert!(oldest.stop_sql.ends_with("pg_stop_backup(false, $1::boolean)"));
    for version in Version::all() {
        let api = &version.facts().backup_api;
        let name = |function: &'static str| function.split('(').next().unwrap();
        assert!(api.start_sql.contains(name(api.start_function)));
        assert!(api.stop_sql.contains(name(api.stop_function)));
    }
}

#[test]
fn recovery_settings_are_sorted_and_change_where_releases_did() {
    let has = |major, name| Version::from_major(major).unwrap().facts().recovery_settings.contains(&name);
    for version in Version::all() {
        assert!(version.facts().recovery_settings.is_sorted());
    }
    assert!(!has(14, "recovery_prefetch") && has(15, "recovery_prefetch"));
    assert!(has(15, "promote_trigger_file") && !has(16, "promote_trigger_file"));
    assert!(!has(16, "sync_replication_slots") && has(17, "sync_replication_slots"));
}
