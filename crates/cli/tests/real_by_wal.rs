//! Backups that read only what WAL says has changed: page by page they hold what a scan of everything would, on each major, whatever
//! happened meanwhile; where WAL cannot tell, every page is read, and the reason is said.

use std::time::Duration;

use crate::support::by_wal::{by_wal, count, nothing_is_missed};
use crate::support::regions::{Damage, objects};
use crate::support::{Site, recovered};
use seawall_testkit::workload::{Options, SETTINGS, Workload};
use seawall_testkit::{Failure, Result, Server, StopMode, majors, oracles};

fn site(major: u16) -> Result<Site> {
    // With checksums, changes of hints are in WAL too: then pages are equal to the last bit.
    let mut builder =
        Server::builder(major).archive_command("false").data_checksums(true).tablespace("apart");
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    // Not a relation's, and written whenever it pleases.
    Site::new(builder.setting("track_commit_timestamp", "off").start()?)
}

/// What WAL describes in ways of its own, beside the writers' work.
fn do_everything(site: &Site, round: u32) -> Result<()> {
    let server = &site.server;
    let table = format!("round{round}");
    for statement in [
        format!(
            "CREATE TABLE {table} (n int PRIMARY KEY, body text, tags int[], at point, during int4range)"
        ),
        format!(
            "INSERT INTO {table} SELECT n, repeat(md5(n::text), 40), ARRAY[n, n % 7], point(n, n), int4range(n, n + 5) FROM generate_series(1, 4000) n"
        ),
        format!("CREATE INDEX ON {table} USING hash (body)"),
        format!("CREATE INDEX ON {table} USING gin (tags)"),
        format!("CREATE INDEX ON {table} USING gist (during)"),
        format!("CREATE INDEX ON {table} USING spgist (at)"),
        format!("CREATE INDEX ON {table} USING brin (n)"),
        format!("DELETE FROM {table} WHERE n > 2000"),
        format!("VACUUM (FREEZE) {table}"),
        // Cut by the vacuum, then longer again.
        format!(
            "INSERT INTO {table} SELECT n, 'again', ARRAY[n], point(n, 0), int4range(n, n + 1) FROM generate_series(2001, 9000) n"
        ),
        format!("CREATE UNLOGGED TABLE {table}_unlogged AS SELECT * FROM {table}"),
        format!("ALTER TABLE {table}_unlogged SET LOGGED"),
        format!("ALTER TABLE {table} SET TABLESPACE apart"),
        format!("CREATE TABLE {table}_cut AS SELECT n FROM generate_series(1, 30000) n"),
        format!("TRUNCATE {table}_cut"),
        format!("INSERT INTO {table}_cut SELECT generate_series(1, 100)"),
        format!("CREATE TABLE {table}_gone AS SELECT n FROM generate_series(1, 30000) n"),
        format!("DROP TABLE {table}_gone"),
        format!("CREATE DATABASE {table}_database TABLESPACE apart"),
        format!("REINDEX TABLE {table}"),
        format!("VACUUM FULL {table}_cut"),
        format!("CREATE SEQUENCE {table}_sequence"),
        format!("SELECT count(nextval('{table}_sequence')) FROM generate_series(1, 100)"),
    ] {
        server.execute(&statement)?;
    }
    server.execute_in(
        &format!("{table}_database"),
        "CREATE TABLE inside AS SELECT n FROM generate_series(1, 3000) n",
    )?;
    if round > 1 {
        server.execute(&format!("DROP DATABASE round{}_database", round - 1))?;
    }
    if server.major() >= 15 {
        let copied = format!("CREATE DATABASE {table}_copied STRATEGY FILE_COPY TABLESPACE apart");
        server.execute(&copied)?;
    }
    Ok(())
}

fn every_page_is_as_a_scan_finds_it(major: u16) -> Result<()> {
    let mut site = site(major)?;
    let options =
        Options { seed: u64::from(major) + 70, writers: 4, survives_disconnects: true, ..Options::default() };
    assert_eq!(site.backup(&[])?["way"], "full");
    let workload = Workload::start(&site.server, options)?;
    for round in 1..=2 {
        workload.wait_for_commits(60)?;
        do_everything(&site, round)?;
        by_wal(&site, &[])?;
    }
    workload.wait_for_commits(60)?;
    workload.finish(&site.server)?;
    nothing_is_missed(&site)?;
    // A crash, and a shutdown.
    for (round, mode) in [(3, StopMode::Immediate), (4, StopMode::Fast)] {
        do_everything(&site, round)?;
        site.server.stop(mode)?;
        site.server.start()?;
        nothing_is_missed(&site)?;
    }
    Ok(())
}

macro_rules! each_major {
    ($($name:ident $only_index:ident $major:literal)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            every_page_is_as_a_scan_finds_it($major)
        }

        #[test]
        fn $only_index() -> Result<()> {
            index_only_scans_are_right($major)
        }
    )*};
}

each_major! {
    pages_of_14_are_as_a_scan_finds_them index_only_scans_of_14_are_right_after_a_restore 14
    pages_of_15_are_as_a_scan_finds_them index_only_scans_of_15_are_right_after_a_restore 15
    pages_of_16_are_as_a_scan_finds_them index_only_scans_of_16_are_right_after_a_restore 16
    pages_of_17_are_as_a_scan_finds_them index_only_scans_of_17_are_right_after_a_restore 17
    pages_of_18_are_as_a_scan_finds_them index_only_scans_of_18_are_right_after_a_restore 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}

/// One page in a hundred of a large table changes: at most 3 % of the bytes are read.
#[test]
fn what_is_read_follows_what_changed() -> Result<()> {
    let site = Site::plain(17)?;
    // Four rows a page, and room for their new versions: what changes is as much as is updated.
    site.server.execute("CREATE TABLE large (n int, body text) WITH (fillfactor = 50)")?;
    site.server.execute("INSERT INTO large SELECT n, repeat('x', 900) FROM generate_series(1, 200000) n")?;
    site.server.execute("VACUUM (FREEZE) large")?;
    let first = site.backup(&[])?;
    let bytes = count(&first, "bytes")?;
    assert!(bytes > 400_000_000, "{first}");
    site.server.execute("UPDATE large SET body = repeat('y', 900) WHERE n BETWEEN 50001 AND 52000")?;
    let second = by_wal(&site, &[])?;
    let (read, changed) = (count(&second, "read")?, count(&second, "changed_pages")?);
    // No less than what the update touched, or the test shows nothing.
    assert!(changed >= 500 && read >= 500 * 8192, "{second}");
    assert!(read * 100 <= bytes * 3, "{read} of {bytes} read: {second}");
    println!("{read} of {bytes} bytes read");
    site.archive_all()?;
    let sum = "SELECT count(*) || ' ' || sum(hashtext(n || body)::bigint) FROM large";
    let restored = site.restored(&["--immediate"])?;
    assert_eq!(restored.value(sum)?, site.server.value(sum)?);
    Ok(())
}

/// Records that clear a bit of a visibility map name no page of the map (14 to 16, and before minor releases of August 2026 all): an
/// index-only scan right after a restore to the backup, with nothing replayed that changes a row, must not believe an old map.
fn index_only_scans_are_right(major: u16) -> Result<()> {
    let site = site(major)?;
    site.server.set("autovacuum", "off")?;
    let rows = "SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n";
    site.server.execute(&format!("CREATE TABLE mapped AS {rows}; CREATE INDEX ON mapped (n)"))?;
    site.server.execute("VACUUM mapped")?;
    site.backup(&[])?;
    site.server.execute("DELETE FROM mapped WHERE n % 500 = 0")?;
    site.server.execute("UPDATE mapped SET n = n + 100000 WHERE n % 700 = 1")?;
    let report = by_wal(&site, &[])?;
    site.archive_all()?;
    let backup = report["backup"].as_str().unwrap_or_default();
    let directory = site.new_directory();
    let space = format!("apart={}.space", directory.display());
    let line = ["--backup", backup, "--immediate", "--tablespace", &space];
    site.restore(&directory, &line)?.expect_code(0)?;
    let restored = recovered(Server::existing(major, &directory)?)?;
    let only_index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    let explained = format!("{only_index}; EXPLAIN SELECT count(n) FROM mapped WHERE n > 0");
    assert!(restored.query(&explained)?.concat().concat().contains("Index Only Scan"));
    let counted =
        restored.value(&format!("{only_index}; SELECT count(n) || ' ' || sum(n) FROM mapped WHERE n > 0"))?;
    // By hand: 20,000 rows without 40; 29 of them went up by 100,000.
    let (gone, moved) =
        ((1..=20_000_u64).filter(|n| n % 500 == 0), (1..=20_000_u64).filter(|n| n % 700 == 1));
    let sum = 20_000 * 20_001 / 2 - gone.sum::<u64>() + moved.count() as u64 * 100_000;
    assert_eq!(counted, format!("19960 {sum}"));
    oracles::visibility(&restored)
}

/// A server that removes each segment as soon as it is archived: what lies across the ends of segments is known all the same.
#[test]
fn segments_that_are_gone_before_the_next_is_full_hide_nothing() -> Result<()> {
    let mut builder = Server::builder(18).archive_command("false").data_checksums(true);
    for (name, value) in [("wal_recycle", "off"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")] {
        builder = builder.setting(name, value);
    }
    let site = Site::new(builder.start()?)?;
    site.server.execute("CREATE TABLE filled (n int, body text)")?;
    site.backup(&[])?;
    for _ in 0..24 {
        // A third of a segment, so that segments end anywhere.
        site.server.execute(
            "INSERT INTO filled SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 18000) n",
        )?;
        std::thread::sleep(Duration::from_millis(150));
        site.server.execute("CHECKPOINT")?;
    }
    let kept = std::fs::read_dir(site.server.data_directory().join("pg_wal"))?.count();
    assert!(kept < 8, "{kept} files are still in pg_wal: this server keeps too much to test anything");
    by_wal(&site, &[])?;
    nothing_is_missed(&site)
}

/// What WAL cannot tell is read, and the report says why.
#[test]
fn where_wal_cannot_tell_every_page_is_read_and_the_reason_said() -> Result<()> {
    let mut site = site(17)?;
    site.server.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 5000) n")?;
    let scanned = |site: &Site, why: &str| -> Result<()> {
        let report = site.backup(&[])?;
        let reason = report["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(report["way"], "scan", "{report}");
        assert!(reason.contains("every page is read") && reason.contains(why), "{reason}");
        Ok(())
    };
    site.backup(&[])?;
    // A segment is gone, from the archive and from pg_wal.
    site.server.execute("UPDATE kept SET n = n + 1")?;
    let segment = site.server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?;
    site.archive_all()?;
    for _ in 0..3 {
        site.server.execute("UPDATE kept SET n = n + 1")?;
        site.archive_all()?;
    }
    for region in ["one", "two"] {
        let found = objects(&site.region(region), "/wal/")?;
        let object = found.into_iter().find(|name| name.ends_with(&segment));
        let object = object.ok_or_else(|| Failure::new(format!("{segment} is not in region {region}")))?;
        Damage::Removed.apply(&site.region(region).join(object))?;
    }
    std::fs::remove_file(site.server.data_directory().join("pg_wal").join(&segment))
        .map_err(|error| Failure::new(error.to_string()))?;
    scanned(&site, &segment)?;
    by_wal(&site, &[])?;
    // WAL that did not tell of every change.
    for (level, senders) in [("minimal", "0"), ("replica", "10")] {
        let mode = if level == "minimal" { "off" } else { "on" };
        for (name, value) in [("wal_level", level), ("max_wal_senders", senders), ("archive_mode", mode)] {
            site.server.set(name, value)?;
        }
        site.server.restart()?;
        if level == "minimal" {
            site.server.execute("CREATE TABLE quiet AS SELECT n FROM generate_series(1, 5000) n")?;
        }
    }
    scanned(&site, "wal_level was minimal")?;
    by_wal(&site, &[])?;
    nothing_is_missed(&site)
}
