//! Chapters on real servers: a backup over a folder of WAL that has one misses nothing that a backup without it finds, and `debug`
//! shows it. Segments of 1 GiB: four make a folder, and what a switch leaves empty compresses to nothing.

use std::process::Command;

use crate::support::regions::objects;
use crate::support::{Site, documented, json};
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Failure, Result, Server, StopMode, majors};
use serde_json::Value;

/// A server whose WAL begins with the last segment of a folder: a backup's start switches to the next one.
fn site(major: u16) -> Result<Site> {
    let mut builder =
        Server::builder(major).archive_command("false").data_checksums(true).wal_segment_mebibytes(1024);
    for (name, value) in [
        ("wal_init_zero", "off"),
        ("wal_recycle", "off"),
        ("min_wal_size", "2GB"),
        ("max_wal_size", "8GB"),
        ("autovacuum", "off"),
    ] {
        builder = builder.setting(name, value);
    }
    let mut server = builder.start()?;
    server.stop(StopMode::Fast)?;
    run_as_server_user(
        Command::new(server.binaries().program("pg_resetwal"))
            .args(["-l", "000000010000000100000003", "-D"])
            .arg(server.data_directory()),
    )?;
    server.start()?;
    Site::new(server)
}

fn count(report: &Value, key: &str) -> Result<u64> {
    report[key].as_u64().ok_or_else(|| Failure::new(format!("no {key} in {report}")))
}

fn a_backup_by_a_chapter_misses_nothing(major: u16) -> Result<()> {
    let site = site(major)?;
    let server = &site.server;
    server.execute(
        "CREATE TABLE kept AS SELECT n, repeat('x', 300) AS body FROM generate_series(1, 40000) n",
    )?;
    server.execute("CREATE INDEX ON kept (n)")?;
    let parent = site.backup(&["--full"])?;
    assert_eq!(count(&parent, "chapters")?, 0, "{parent}");
    let parent = parent["backup"].as_str().unwrap_or_default().to_owned();
    // A folder's worth of segments, each with changes of its own.
    for round in 0..3 {
        server.execute(&format!("UPDATE kept SET body = repeat('y', 300) WHERE n % 4000 = {round}"))?;
        server.execute(&format!("CREATE TABLE round{round} AS SELECT n FROM generate_series(1, 3000) n"))?;
        if round == 1 {
            server.execute("DELETE FROM kept WHERE n > 30000")?;
            server.execute("VACUUM kept")?;
        }
        site.archive_all()?;
    }
    // Nobody has put the chapter yet: its segments are read, and then it is put.
    let without = site.backup(&["--parent", &parent])?;
    let reason = without["reason"].as_str().unwrap_or_default();
    assert_eq!((without["way"].as_str(), count(&without, "chapters")?), (Some("wal"), 1), "{without}");
    assert!(!reason.contains("chapter"), "{reason}");
    for region in ["one", "two"] {
        assert_eq!(objects(&site.region(region), "/chapter/")?.len(), 1);
    }
    server.execute("UPDATE kept SET body = repeat('z', 300) WHERE n % 5000 = 7")?;
    // The same parent: now the folder is told by its chapter.
    let with = site.backup(&["--parent", &parent])?;
    let reason = with["reason"].as_str().unwrap_or_default();
    assert_eq!((with["way"].as_str(), count(&with, "chapters")?), (Some("wal"), 0), "{with}");
    assert!(reason.contains("a whole folder of them by its chapter"), "{reason}");
    // Nothing is written any more: a scan of everything finds nothing that it lacks, but for what looking at the server does.
    let after = site.backup(&[])?;
    let scan = site.backup(&["--scan"])?;
    assert_eq!((&scan["way"], &scan["parent"]), (&"scan".into(), &after["backup"]), "{scan}");
    assert!(count(&scan, "changed_pages")? <= 2, "{scan}");
    let folder = "0000000100000002";
    let shown = json(&site.seawall(["debug", "chapter", folder, "--json"])?.expect_code(0)?)?;
    documented::check(["debug", "chapter"], &shown).map_err(Failure::new)?;
    let segments = shown["segments"].as_array().map(Vec::len);
    assert_eq!(
        (segments, shown["segments"][1]["index"]["begins"]["with"].is_string()),
        (Some(4), true),
        "{shown}"
    );
    site.seawall(["debug", "chapter", folder])?.expect_code(0)?;
    find_tells_the_same_without_chapters(&site)?;
    site.seawall(["verify", "--full"])?.expect_code(0)?;
    site.archive_all()?;
    let sum = "SELECT md5(string_agg(n || body, ',' ORDER BY n)) FROM kept";
    let backup = with["backup"].as_str().unwrap_or_default().to_owned();
    let restored = site.restored(&["--backup", &backup, "--latest"])?;
    assert_eq!(restored.value(sum)?, server.value(sum)?);
    Ok(())
}

/// All numbers in a document together.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Array(all) => all.iter().map(sum).sum(),
        Value::Object(all) => all.values().map(sum).sum(),
        other => other.as_u64().unwrap_or(0),
    }
}

/// What was done is told by the chapter of a folder as its segments tell it, by fewer requests and bytes.
fn find_tells_the_same_without_chapters(site: &Site) -> Result<()> {
    let key = site.identity("first").display().to_string();
    let find =
        || json(&site.seawall(["find", "--json", "--since", "0/0", "--identity", &key])?.expect_code(0)?);
    let requests = |found: &Value| sum(&found["requests"]);
    let with = find()?;
    let deleted = with["candidates"].as_array().into_iter().flatten();
    assert_eq!(
        deleted.filter(|one| one["operation"] == "delete" && one["rows"] == 10_000).count(),
        1,
        "{with}"
    );
    for region in ["one", "two"] {
        let name = objects(&site.region(region), "/chapter/")?.remove(0);
        std::fs::rename(
            site.region(region).join(&name),
            site.home().path().join(format!("chapter-{region}")),
        )?;
    }
    let without = find()?;
    for key in ["candidates", "events", "segments", "transactions"] {
        assert_eq!(with[key], without[key], "{key}");
    }
    assert!(requests(&with) < requests(&without), "{} and {}", requests(&with), requests(&without));
    for region in ["one", "two"] {
        let to = site.region(region).join("demo");
        let system = std::fs::read_dir(&to)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.join("wal").is_dir())
            .ok_or_else(|| Failure::new(format!("{} has no system", to.display())))?;
        let place = system.join("chapter/00000001/0000000100000002");
        std::fs::rename(site.home().path().join(format!("chapter-{region}")), place)?;
    }
    Ok(())
}

macro_rules! each_major {
    ($($name:ident $major:literal)*) => {$(
        #[test]
        #[ignore = "gigabytes of WAL a major: make test-deep runs it"]
        fn $name() -> Result<()> {
            a_backup_by_a_chapter_misses_nothing($major)
        }
    )*};
}

each_major! {
    a_backup_by_a_chapter_misses_nothing_14 14
    a_backup_by_a_chapter_misses_nothing_15 15
    a_backup_by_a_chapter_misses_nothing_16 16
    a_backup_by_a_chapter_misses_nothing_17 17
    a_backup_by_a_chapter_misses_nothing_18 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
