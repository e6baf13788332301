//! What a restored cluster becomes beside a plain copy: a standby, the successor of a dead server, an old directory brought up to
//! date; and a backup that was taken from a standby.
//!
//! Each case shows first that it can fail: what shall come back is not there by any other way.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::support::regions::objects;
use crate::support::standby::{backup_of, copied, settings_of, streams};
use crate::support::{RECOVERY_LIMIT, Site, json, recovered, says};
use seawall_testkit::identity::{make_directory, write_file};
use seawall_testkit::workload::{Options, SETTINGS, Workload, judge};
use seawall_testkit::{Context, Failure, Result, Server, StopMode, oracles};
use serde_json::Value;

/// A site with rows up to 1000 in a backup.
fn backed_up(major: u16) -> Result<Site> {
    let site = Site::plain(major)?;
    site.server.execute("CREATE TABLE kept (n bigint PRIMARY KEY, body text)")?;
    add_rows(&site.server, 1, 1000)?;
    site.backup(&[])?;
    Ok(site)
}

fn add_rows(server: &Server, first: u32, last: u32) -> Result<()> {
    let rows = format!("SELECT n, md5(n::text) FROM generate_series({first}, {last}) n");
    server.execute(&format!("INSERT INTO kept {rows}"))
}

/// How many rows there are; each must be whole and none missing in the middle.
fn rows(server: &Server) -> Result<u32> {
    let told =
        "SELECT count(*) || ' ' || max(n) || ' ' || count(*) FILTER (WHERE body = md5(n::text)) FROM kept";
    let told = server.value(told)?;
    let count: u32 = told.split(' ').next().unwrap_or_default().parse()?;
    if told == format!("{count} {count} {count}") {
        return Ok(count);
    }
    Err(Failure::new(format!("rows, highest, whole: {told}")))
}

fn number(report: &Value, pointer: &str) -> Result<u64> {
    let found = report.pointer(pointer).and_then(Value::as_u64);
    found.ok_or_else(|| Failure::new(format!("no {pointer} in {report}")))
}

fn timeline(server: &Server) -> Result<String> {
    Ok(server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?.chars().take(8).collect())
}

/// Restores as a standby of the site's server and starts it there.
fn standby_of(site: &Site, directory: &Path) -> Result<Server> {
    let socket = site.server.socket_directory();
    let primary = format!("host={} port=5432 user=postgres application_name=restored", socket.display());
    site.restore(directory, &["--standby", &primary])?.expect_code(0)?;
    let mut standby = Server::existing(site.server.major(), directory)?;
    standby.start()?;
    streams(&mut standby)?;
    Ok(standby)
}

fn becomes_a_standby(major: u16) -> Result<()> {
    let site = backed_up(major)?;
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    let mut standby = standby_of(&site, &site.new_directory())?;
    assert_eq!(standby.value("SELECT pg_is_in_recovery()")?, "t");
    assert_eq!(
        site.server.value("SELECT state FROM pg_stat_replication WHERE application_name = 'restored'")?,
        "streaming"
    );
    // From here on nothing comes by the archive.
    site.server.set("archive_command", "false")?;
    add_rows(&site.server, 2001, 3000)?;
    standby.wait_for("the streamed rows", RECOVERY_LIMIT, |one| Ok(rows(one).is_ok_and(|is| is == 3000)))?;
    standby.promote()?;
    add_rows(&standby, 3001, 3500)?;
    assert_eq!((rows(&standby)?, rows(&site.server)?), (3500, 3000));
    assert_eq!(timeline(&standby)?, "00000002");
    assert_eq!(standby.value("SHOW archive_mode")?, "off", "a copy does not archive into the lineage");
    oracles::amcheck(&standby)
}

#[test]
fn a_restored_standby_streams_and_can_be_promoted_14() -> Result<()> {
    becomes_a_standby(14)
}

#[test]
fn a_restored_standby_streams_and_can_be_promoted_18() -> Result<()> {
    becomes_a_standby(18)
}

/// Everything beneath a directory: size, time of change and digest of each file.
fn listing(directory: &Path) -> Result<BTreeMap<PathBuf, (u64, i64, i64, String)>> {
    let mut all = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).context(|| format!("listing {}", next.display()))? {
            let path = entry?.path();
            let found = std::fs::symlink_metadata(&path)?;
            let content = if found.is_file() { std::fs::read(&path)? } else { Vec::new() };
            if found.is_dir() {
                left.push(path.clone());
            }
            let digest = blake3::hash(&content).to_hex().to_string();
            all.insert(path, (found.len(), found.mtime(), found.mtime_nsec(), digest));
        }
    }
    Ok(all)
}

/// Archiving breaks, rows are committed in this many segments, and the server dies with them.
fn dies_with_rows_that_were_not_archived(site: &mut Site, segments: u32) -> Result<()> {
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    site.server.set("archive_command", "false")?;
    for number in 1..segments {
        add_rows(&site.server, 1901 + number * 100, 2000 + number * 100)?;
        site.server.execute("SELECT pg_switch_wal()")?;
    }
    add_rows(&site.server, 1901 + segments * 100, 3000)?;
    site.server.stop(StopMode::Immediate)
}

fn salvages(major: u16) -> Result<()> {
    let mut site = backed_up(major)?;
    dies_with_rows_that_were_not_archived(&mut site, 3)?;
    let old = site.server.data_directory().to_owned();
    let before = listing(&old)?;
    assert_eq!(rows(&site.restored(&["--latest"])?)?, 2000, "the archive alone has no more");
    let directory = site.new_directory();
    let line = ["--latest", "--salvage-wal", &old.to_string_lossy(), "--json"];
    let report = json(&site.restore(&directory, &line)?.expect_code(0)?)?;
    assert!(number(&report, "/salvaged_segments")? >= 3, "{report}");
    let server = recovered(Server::existing(major, &directory)?)?;
    assert_eq!(rows(&server)?, 3000, "the very last commit");
    oracles::amcheck(&server)?;
    assert!(listing(&old)? == before, "the old directory is only read");
    Ok(())
}

#[test]
fn wal_of_a_dead_server_brings_back_its_last_commit_14() -> Result<()> {
    salvages(14)
}

#[test]
fn wal_of_a_dead_server_brings_back_its_last_commit_18() -> Result<()> {
    salvages(18)
}

/// Pages of the table overwritten, its index deleted, a foreign file and a foreign directory added.
fn damage(directory: &Path, table: &str, index: &str) -> Result<()> {
    let file = std::fs::File::options().write(true).open(directory.join(table))?;
    for page in [0, 3, 4] {
        file.write_all_at(&[0x5a; 8192], page * 8192)?;
    }
    std::fs::remove_file(directory.join(index)).context(|| format!("removing {index}"))?;
    write_file(&directory.join("base/999999"), "foreign", 0o600)?;
    make_directory(&directory.join("base/4294/inner"))?;
    write_file(&directory.join("base/4294/inner/file"), "foreign", 0o600)
}

fn brought_up_to_date(site: &Site, more: &[&str]) -> Result<Server> {
    let directory = site.server.data_directory();
    let mut line = vec!["--latest", "--delta", "--json"];
    line.extend(more);
    let report = json(&site.restore(directory, &line)?.expect_code(0)?)?;
    let (all, kept) = (number(&report, "/transferred/bytes")?, number(&report, "/transferred/bytes_kept")?);
    let written = number(&report, "/transferred/bytes_written")?;
    assert!(kept > all / 2, "most of it is kept: {}", report["transferred"]);
    assert!(written >= 3 * 8192 && written < all / 2, "{}", report["transferred"]);
    assert!(number(&report, "/transferred/removed")? >= 4, "{}", report["transferred"]);
    assert!(!directory.join("base/999999").exists() && !directory.join("base/4294").exists());
    recovered(Server::existing(site.server.major(), directory)?)
}

fn brings_up_to_date(major: u16) -> Result<()> {
    let mut site = backed_up(major)?;
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    site.server.set("archive_command", "false")?;
    add_rows(&site.server, 2001, 3000)?;
    let table = site.server.value("SELECT pg_relation_filepath('kept')")?;
    let index = site.server.value("SELECT pg_relation_filepath('kept_pkey')")?;
    site.server.stop(StopMode::Immediate)?;
    let directory = site.server.data_directory().to_owned();
    damage(&directory, &table, &index)?;
    // The old directory's pg_wal has the only copy of a thousand rows.
    let refused = site.restore(&directory, &["--latest", "--delta"])?;
    let aside = PathBuf::from(format!("{}.old", directory.display()));
    says(refused, 2, &["restore.wal-would-be-lost", &format!("--salvage-wal {}", aside.display())])?;
    make_directory(&aside)?;
    std::fs::rename(directory.join("pg_wal"), aside.join("pg_wal"))?;
    let mut server = brought_up_to_date(&site, &["--salvage-wal", &aside.to_string_lossy()])?;
    assert_eq!(rows(&server)?, 3000);
    oracles::amcheck(&server)?;
    server.stop(StopMode::Fast)?;
    damage(&directory, &table, &index)?;
    says(site.restore(&directory, &["--latest", "--delta"])?, 2, &["restore.wal-would-be-lost"])?;
    let mut server = brought_up_to_date(&site, &["--discard-wal"])?;
    assert_eq!(rows(&server)?, 2000, "what was archived, and nothing of the later life");
    oracles::amcheck(&server)?;
    server.stop(StopMode::Fast)?;
    oracles::checksums(server.binaries(), &directory)
}

#[test]
fn a_damaged_old_directory_is_brought_up_to_date_14() -> Result<()> {
    brings_up_to_date(14)
}

#[test]
fn a_damaged_old_directory_is_brought_up_to_date_18() -> Result<()> {
    brings_up_to_date(18)
}

/// Ends the segment and waits until the new timeline's one is archived; nothing may have failed on the way.
fn archives_without_a_failure(server: &mut Server) -> Result<()> {
    let last = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
    assert!(last.starts_with("00000002"), "{last}");
    server.execute("SELECT pg_switch_wal()")?;
    let told = "SELECT coalesce(last_archived_wal, '-') || ' ' || failed_count FROM pg_stat_archiver";
    server.wait_for("archiving", RECOVERY_LIMIT, |server| {
        let told = server.value(told)?;
        if told.ends_with(" 0") {
            return Ok(told.get(..24).is_some_and(|name| name >= last.as_str()));
        }
        Err(Failure::new(format!("archiving failed: {told}\n{}", server.log())))
    })
}

/// The dead server's directory makes room for its successor; where it is now.
fn moved_away(site: &Site) -> Result<PathBuf> {
    let old = site.home().path().join("dead");
    std::fs::rename(site.server.data_directory(), &old)?;
    Ok(old)
}

/// A later restore goes on to the new timeline and finds all of its rows.
fn is_followed(site: &Site, expected: u32) -> Result<()> {
    let directory = site.new_directory();
    let report = json(&site.restore(&directory, &["--latest", "--json"])?.expect_code(0)?)?;
    assert_eq!(number(&report, "/plan/timeline")?, 2, "{report}");
    let after = recovered(Server::existing(site.server.major(), &directory)?)?;
    assert_eq!((rows(&after)?, timeline(&after)?.as_str()), (expected, "00000003"));
    oracles::amcheck(&after)
}

#[test]
fn a_successor_goes_on_where_the_archive_ends() -> Result<()> {
    let mut site = backed_up(17)?;
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    site.server.stop(StopMode::Immediate)?;
    moved_away(&site)?;
    let place = site.server.data_directory().to_owned();
    site.restore(&place, &["--latest", "--successor"])?.expect_code(0)?;
    let mut server = recovered(Server::existing(17, &place)?)?;
    assert_eq!(server.value("SHOW archive_mode")?, "on");
    add_rows(&server, 2001, 2500)?;
    archives_without_a_failure(&mut server)?;
    objects(&site.region("one"), "wal/00000002.history")?;
    is_followed(&site, 2500)
}

fn succeeds_a_server_with_unarchived_wal(major: u16) -> Result<()> {
    let mut site = backed_up(major)?;
    let archiving = site.server.value("SHOW archive_command")?;
    dies_with_rows_that_were_not_archived(&mut site, 3)?;
    let old = moved_away(&site)?;
    let before = listing(&old)?;
    let place = site.server.data_directory().to_owned();
    let line = ["--latest", "--successor", "--json", "--salvage-wal", &old.to_string_lossy()];
    // Recovery ends with a checkpoint that recycles what was replayed: the restore itself archives it, or nobody ever could.
    let report = json(&site.restore(&place, &line)?.expect_code(0)?)?;
    assert_eq!(report["not_archived"], serde_json::json!([]), "{report}");
    assert!(listing(&old)? == before, "the old directory is only read");
    let mut server = recovered(Server::existing(major, &place)?)?;
    server.set("archive_command", &archiving)?;
    add_rows(&server, 3001, 3500)?;
    archives_without_a_failure(&mut server)?;
    for region in [site.region("one"), site.region("two")] {
        objects(&region, "wal/00000002.history")?;
        // The dead server's last segment, in which the new timeline begins.
        objects(&region, ".partial")?;
    }
    is_followed(&site, 3500)
}

#[test]
fn a_successor_archives_its_new_timeline_and_restores_follow_it_14() -> Result<()> {
    succeeds_a_server_with_unarchived_wal(14)
}

#[test]
fn a_successor_archives_its_new_timeline_and_restores_follow_it_18() -> Result<()> {
    succeeds_a_server_with_unarchived_wal(18)
}

#[test]
fn a_successor_whose_wal_could_not_be_archived_says_what_to_type() -> Result<()> {
    let mut site = backed_up(17)?;
    let archiving = site.server.value("SHOW archive_command")?;
    dies_with_rows_that_were_not_archived(&mut site, 3)?;
    let old = moved_away(&site)?;
    let (key, away) = (site.home().path().join("writer.key"), site.home().path().join("writer.key.away"));
    std::fs::rename(&key, &away)?;
    let place = site.server.data_directory().to_owned();
    let line = ["--latest", "--successor", "--json", "--salvage-wal", &old.to_string_lossy()];
    let told = site.seawall(bare(&site, &site.restore_line(&place, &line))?)?;
    let told = says(told, 1, &["restore.wal-not-archived", "seawall wal push pg_wal/NAME"])?;
    std::fs::rename(&away, &key)?;
    let mut server = recovered(Server::existing(17, &place)?)?;
    server.set("archive_command", &archiving)?;
    add_rows(&server, 3001, 3500)?;
    archives_without_a_failure(&mut server)?;
    let refused = site.restore(&site.new_directory(), &["--latest"])?;
    says(refused, 4, &["restore.wal-hole"])?;
    for name in json(&told)?["not_archived"].as_array().into_iter().flatten() {
        let path = old.join("pg_wal").join(name.as_str().unwrap_or_default());
        pushed_from(&site, &old, &path)?;
    }
    is_followed(&site, 3500)
}

/// The same restore without the settings' key file: what the repository must be known by is given by hand.
fn bare(site: &Site, line: &[std::ffi::OsString]) -> Result<Vec<std::ffi::OsString>> {
    let about = std::fs::read_to_string(site.region("one").join("seawall.json"))?;
    let about: serde_json::Value = serde_json::from_str(about.lines().next().unwrap_or_default())?;
    let owner = about["owner"].as_str().unwrap_or_default().to_owned();
    let from = format!("file://{}", site.region("one").display());
    let mut words = line.to_vec();
    words.extend(["--from", &from, "--owner", &owner, "--cluster", "demo"].map(Into::into));
    Ok(words)
}

/// `wal push pg_wal/NAME`, typed in the dead server's directory.
fn pushed_from(site: &Site, old: &Path, path: &Path) -> Result<()> {
    let name = Path::new("pg_wal").join(path.file_name().unwrap_or_default());
    let mut command = std::process::Command::new(seawall_testkit::bins::seawall_path()?);
    command.arg("-c").arg(site.settings()).args(["wal", "push"]).arg(name);
    let command = seawall_testkit::identity::as_server_user(&mut command)?.current_dir(old);
    seawall_testkit::bins::run(command)?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_successor_in_another_directory_archives_its_own_files() -> Result<()> {
    let mut site = backed_up(17)?;
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    site.server.stop(StopMode::Immediate)?;
    // The settings go on to name the old directory, which is still there.
    let place = site.new_directory();
    site.restore(&place, &["--latest", "--successor"])?.expect_code(0)?;
    let mut server = recovered(Server::existing(17, &place)?)?;
    add_rows(&server, 2001, 2500)?;
    archives_without_a_failure(&mut server)?;
    is_followed(&site, 2500)
}

#[test]
fn a_standby_that_may_succeed_archives_once_it_is_promoted() -> Result<()> {
    let mut site = backed_up(17)?;
    add_rows(&site.server, 1001, 2000)?;
    site.archive_all()?;
    let directory = site.new_directory();
    let primary = format!("host={} port=5432 user=postgres", site.server.socket_directory().display());
    site.restore(&directory, &["--standby", &primary, "--successor"])?.expect_code(0)?;
    let mut standby = Server::existing(17, &directory)?;
    standby.start()?;
    streams(&mut standby)?;
    site.server.stop(StopMode::Immediate)?;
    standby.promote()?;
    add_rows(&standby, 2001, 2500)?;
    archives_without_a_failure(&mut standby)?;
    is_followed(&site, 2500)
}

#[test]
fn a_backup_of_a_streaming_standby_restores_what_the_primary_committed() -> Result<()> {
    let mut builder = Server::builder(17).archive_command("false");
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    let site = Site::new(builder.start()?)?;
    site.backup(&[])?;
    site.archive_all()?;
    let standby = copied(&site, "standby")?;
    let workload = Workload::start(&site.server, Options { writers: 4, ..Options::default() })?;
    workload.wait_for_commits(60)?;
    let report = backup_of(&site, &settings_of(&site, &standby, "standby")?, &[])?;
    let id = report["backup"].as_str().unwrap_or_default().to_owned();
    workload.wait_for_commits(60)?;
    let ledger = workload.finish(&site.server)?;
    site.archive_all()?;
    let shown = json(&site.seawall(["show", &id, "--json"])?.expect_code(0)?)?;
    assert_eq!(shown["header"]["from_standby"], true, "{shown}");
    judge(site.restored(&["--latest", "--backup", &id])?, &ledger.expected_now()?)
}
