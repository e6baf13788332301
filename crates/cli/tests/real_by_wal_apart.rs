//! Backups by WAL where servers part and meet: of a standby whose start lies inside a segment, and of a server that `pg_rewind` put onto
//! another one's way. Page by page they hold what a scan of everything would; what lies apart is never built on.

use crate::support::by_wal::{found_nothing, nothing_is_missed};
use crate::support::standby::{backup_of, copied, follow, follows, settings_of};
use crate::support::{RECOVERY_LIMIT, Site, recovered, says};
use seawall_testkit::identity::{run_as_server_user, write_file};
use seawall_testkit::{Result, Server, StopMode, majors, oracles};
use serde_json::Value;

/// A server whose pages are equal to the last bit where WAL told everything.
fn site(major: u16) -> Result<Site> {
    let mut builder = Server::builder(major).archive_command("false").data_checksums(true);
    for (name, value) in [("autovacuum", "off"), ("track_commit_timestamp", "off"), ("wal_keep_size", "1GB")]
    {
        builder = builder.setting(name, value);
    }
    let site = Site::new(builder.start()?)?;
    site.server.execute("CREATE TABLE kept (n int PRIMARY KEY, branch text, body text)")?;
    site.server.execute(
        "INSERT INTO kept SELECT n, 'both', repeat(md5(n::text), 8) FROM generate_series(1, 12000) n",
    )?;
    site.server.execute("VACUUM kept")?;
    Ok(site)
}

/// Changes of every kind that WAL tells in ways of its own: rows, a cut with what comes behind it, files that come and go.
fn works(server: &Server, branch: &str, part: u32) -> Result<()> {
    let set = format!("branch = '{branch}', body = md5(body)");
    for statement in [
        format!("UPDATE kept SET {set} WHERE n % 7 = {part}"),
        "DELETE FROM kept WHERE n > 6000".to_owned(),
        "VACUUM (FREEZE) kept".to_owned(),
        format!("INSERT INTO kept SELECT n, '{branch}', repeat('x', 700) FROM generate_series(6001, 7000) n"),
        format!("CREATE TABLE of_{branch} AS SELECT n FROM generate_series(1, 20000) n"),
        format!("CREATE TABLE gone_{branch} AS SELECT n FROM generate_series(1, 3000) n"),
        format!("DROP TABLE gone_{branch}"),
    ] {
        server.execute(&statement)?;
    }
    Ok(())
}

fn sum(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(hashtext(n || branch || body)::bigint) FROM kept")
}

fn id(report: &Value) -> String {
    report["backup"].as_str().unwrap_or_default().to_owned()
}

/// Where a position lies in its segment of 16 MiB.
fn in_segment(report: &Value, key: &str) -> Result<u64> {
    let text = report[key].as_str().unwrap_or_default();
    let low = text.split_once('/').map_or("", |(_, low)| low);
    Ok(u64::from_str_radix(low, 16)? % (16 << 20))
}

/// A backup begins where the last restartpoint began: on a standby that is anywhere.
fn a_standby_starts_inside_a_segment(major: u16) -> Result<()> {
    let site = site(major)?;
    let mut standby = copied(&site, "standby")?;
    let settings = settings_of(&site, &standby, "standby")?;
    let first = backup_of(&site, &settings, &[])?;
    assert_eq!(first["way"], "full", "{first}");
    for (round, part) in [("one", 1), ("two", 2)] {
        works(&site.server, round, part)?;
        follows(&site, &mut standby)?;
        let report = backup_of(&site, &settings, &[])?;
        assert_eq!(report["way"], "wal", "{report}");
        // Behind the message that was written at the segment's beginning.
        assert!(in_segment(&report, "start")? > 3000, "{report}");
    }
    let last = backup_of(&site, &settings, &[])?;
    let scan = backup_of(&site, &settings, &["--scan"])?;
    assert_eq!(last["way"], "wal", "{last}");
    found_nothing(&site, &last, &scan)?;
    site.archive_all()?;
    let restored = site.restored(&["--backup", &id(&last), "--immediate"])?;
    assert_eq!(sum(&restored)?, sum(&site.server)?);
    oracles::amcheck(&restored)?;
    oracles::visibility(&restored)
}

/// Two servers part, the first one writes on, and is then put onto the second one's way, with a backup on either side of where they parted.
fn rewound(major: u16) -> Result<(Site, String, String)> {
    let mut site = site(major)?;
    let before = id(&site.backup(&[])?);
    works(&site.server, "before", 1)?;
    let mut other = copied(&site, "other")?;
    follows(&site, &mut other)?;
    other.promote()?;
    let settings = settings_of(&site, &other, "other")?;
    let command = |settings: &std::path::Path| -> Result<String> {
        let program = seawall_testkit::bins::seawall_path()?;
        Ok(format!("{} -c {} wal push %p", program.display(), settings.display()))
    };
    other.set("archive_command", &command(&settings)?)?;
    works(&site.server, "apart", 2)?;
    let apart = site.backup(&[])?;
    assert_eq!((&apart["way"], &apart["parent"]), (&"wal".into(), &before.as_str().into()), "{apart}");
    works(&site.server, "later", 3)?;
    works(&other, "other", 4)?;
    let last = other.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
    other.execute("SELECT pg_switch_wal()")?;
    let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    other.wait_for("archiving", RECOVERY_LIMIT, |one| Ok(one.value(archived)?.get(..24) >= Some(&last)))?;
    works(&other, "end", 5)?;
    site.server.stop(StopMode::Fast)?;
    let mut rewind = site.server.binaries().command("pg_rewind");
    rewind.arg("--target-pgdata").arg(site.server.data_directory());
    rewind.arg(format!(
        "--source-server=host={} port=5432 user=postgres dbname=postgres",
        other.socket_directory().display()
    ));
    run_as_server_user(&mut rewind)?;
    // It copied the other one's configuration, too.
    let auto = site.server.data_directory().join("postgresql.auto.conf");
    let own = format!("archive_command = '{}'\n", command(&site.settings())?);
    write_file(&auto, std::fs::read_to_string(&auto)? + &own, 0o600)?;
    follow(site.server.data_directory(), &other)?;
    site.server.start()?;
    let written = other.value("SELECT pg_current_wal_flush_lsn()")?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    site.server.wait_for("replay", RECOVERY_LIMIT, |one| Ok(one.value(&replayed)? == "t"))?;
    other.stop(StopMode::Fast)?;
    site.server.promote()?;
    assert_eq!(site.server.value("SELECT count(*) FROM pg_class WHERE relname = 'of_apart'")?, "0");
    Ok((site, before, id(&apart)))
}

fn after_a_rewind(major: u16) -> Result<()> {
    let (site, before, apart) = rewound(major)?;
    let refused = site.seawall(["backup", "--parent", &apart])?;
    says(refused, 2, &["backup.parent-unfit", &apart])?;
    let report = site.backup(&[])?;
    assert_eq!((&report["way"], &report["parent"]), (&"wal".into(), &before.as_str().into()), "{report}");
    nothing_is_missed(&site)?;
    site.archive_all()?;
    let directory = site.new_directory();
    site.restore(&directory, &["--backup", &id(&report), "--latest"])?.expect_code(0)?;
    let restored = recovered(Server::existing(major, &directory)?)?;
    assert_eq!(sum(&restored)?, sum(&site.server)?);
    assert_eq!(restored.value("SELECT count(*) FROM of_end")?, "20000");
    oracles::amcheck(&restored)?;
    oracles::visibility(&restored)
}

macro_rules! each_major {
    ($($standby:ident $rewind:ident $major:literal)*) => {$(
        #[test]
        fn $standby() -> Result<()> {
            a_standby_starts_inside_a_segment($major)
        }

        #[test]
        fn $rewind() -> Result<()> {
            after_a_rewind($major)
        }
    )*};
}

each_major! {
    a_standby_of_14_starts_inside_a_segment a_server_of_14_that_was_rewound_is_backed_up_as_it_is 14
    a_standby_of_15_starts_inside_a_segment a_server_of_15_that_was_rewound_is_backed_up_as_it_is 15
    a_standby_of_16_starts_inside_a_segment a_server_of_16_that_was_rewound_is_backed_up_as_it_is 16
    a_standby_of_17_starts_inside_a_segment a_server_of_17_that_was_rewound_is_backed_up_as_it_is 17
    a_standby_of_18_starts_inside_a_segment a_server_of_18_that_was_rewound_is_backed_up_as_it_is 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
