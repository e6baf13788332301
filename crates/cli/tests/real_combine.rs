//! A restore of a backup by WAL against PostgreSQL's own incremental backup, combined (17 and later): relation files are the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::Site;
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Failure, Result, Server};

const PAGE: usize = 8192;

/// Main and init forks below `base` and `global`, by path.
fn relations(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.join("global")];
    for entry in std::fs::read_dir(directory.join("base"))? {
        folders.push(entry?.path());
    }
    for folder in folders {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = name.strip_suffix("_init").unwrap_or(&name);
            if number.chars().all(|c| c.is_ascii_digit() || c == '.') {
                let place = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
                found.insert(place, std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn is_the_combined_one(major: u16) -> Result<()> {
    // With checksums, hints are in WAL too.
    let site = Site::new(
        Server::builder(major)
            .archive_command("false")
            .data_checksums(true)
            .setting("summarize_wal", "on")
            .setting("autovacuum", "off")
            .start()?,
    )?;
    let server = &site.server;
    let place = server.scratch().directory("combined")?;
    let take = |name: &str, more: &str| {
        let script = format!(
            "'{}' -h '{}' -p 5432 -U postgres -c fast -X none -D '{}' {more}",
            server.binaries().program("pg_basebackup").display(),
            server.socket_directory().display(),
            place.join(name).display(),
        );
        run_as_server_user(Command::new("/bin/sh").args(["-c", &script])).map(drop)
    };
    for statement in [
        "CREATE TABLE large AS SELECT n, repeat('x', 700) AS body FROM generate_series(1, 30000) n",
        "CREATE INDEX ON large (n)",
        "CREATE TABLE cut AS SELECT n FROM generate_series(1, 30000) n",
        "VACUUM (FREEZE)",
    ] {
        server.execute(statement)?;
    }
    site.backup(&[])?;
    take("full", "")?;
    for statement in [
        "UPDATE large SET body = repeat('y', 700) WHERE n BETWEEN 1000 AND 1500",
        "DELETE FROM cut WHERE n > 1000",
        "VACUUM cut",
        "CREATE TABLE new AS SELECT n FROM generate_series(1, 3000) n",
        "CREATE DATABASE another",
        "VACUUM (FREEZE)",
        "CHECKPOINT",
    ] {
        server.execute(statement)?;
    }
    take("incremental", &format!("--incremental='{}/full/backup_manifest'", place.display()))?;
    let report = site.backup(&[])?;
    assert_eq!(report["way"], "wal", "{report}");
    let script = format!(
        "'{}' -o '{place}/result' '{place}/full' '{place}/incremental'",
        server.binaries().program("pg_combinebackup").display(),
        place = place.display(),
    );
    run_as_server_user(Command::new("/bin/sh").args(["-c", &script]))?;
    let directory = site.new_directory();
    site.restore(&directory, &["--immediate"])?.expect_code(0)?;
    let (ours, theirs) = (relations(&directory)?, relations(&place.join("result"))?);
    let (names, theirs_names): (Vec<_>, Vec<_>) = (ours.keys().collect(), theirs.keys().collect());
    assert_eq!(names, theirs_names);
    let mut differ = Vec::new();
    for (name, bytes) in &ours {
        let other = theirs.get(name).ok_or_else(|| Failure::new(name.clone()))?;
        if bytes.len() != other.len() {
            differ.push(format!("{name}: {} and {} bytes", bytes.len(), other.len()));
        }
        let pages = bytes.chunks(PAGE).zip(other.chunks(PAGE)).enumerate();
        differ.extend(pages.filter(|(_, (a, b))| a != b).map(|(page, _)| format!("{name} page {page}")));
    }
    assert!(ours.len() > 600, "{} files", ours.len());
    assert!(differ.is_empty(), "{differ:?}");
    Ok(())
}

#[test]
fn a_restore_by_wal_of_17_is_the_combined_one() -> Result<()> {
    is_the_combined_one(17)
}

#[test]
fn a_restore_by_wal_of_18_is_the_combined_one() -> Result<()> {
    is_the_combined_one(18)
}
