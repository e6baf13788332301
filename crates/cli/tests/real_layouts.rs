//! Clusters as they are found in the wild: Debian's layout, other segment sizes, no checksums, group access, odd names.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Site, recovered};
use seawall_testkit::{Layout, Result, Server, ServerBuilder};

/// Names that break tools: spaces, quotes, UTF-8, a backslash, shell's words.
const NAMES: [&str; 4] = ["two words", "it''s $HOME `x`", "Grüße 雪", "back\\slash;-- x"];

fn archiving(builder: ServerBuilder) -> Result<Site> {
    let site = Site::new(builder.archive_command("false").start()?)?;
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 5000) n")?;
    Ok(site)
}

fn kept_is_whole(server: &Server) -> Result<()> {
    let wrong = "SELECT count(*) FILTER (WHERE body = md5(n::text)) || ' of ' || count(*) FROM kept";
    assert_eq!(server.value(wrong)?, "5000 of 5000");
    Ok(())
}

fn comes_back(site: &Site) -> Result<Server> {
    site.backup(&[])?;
    site.server.execute("CREATE TABLE after_backup AS SELECT 1 AS one")?;
    site.archive_all()?;
    let server = site.restored(&["--latest"])?;
    kept_is_whole(&server)?;
    assert_eq!(server.value("SELECT one FROM after_backup")?, "1");
    Ok(server)
}

#[test]
fn other_segment_sizes_come_back() -> Result<()> {
    for (major, mebibytes) in [(15, 1), (18, 64)] {
        let site = archiving(Server::builder(major).wal_segment_mebibytes(mebibytes))?;
        let server = comes_back(&site)?;
        assert_eq!(server.value("SHOW wal_segment_size")?, format!("{mebibytes}MB"));
    }
    Ok(())
}

#[test]
fn a_cluster_without_checksums_comes_back() -> Result<()> {
    let site = archiving(Server::builder(18).data_checksums(false))?;
    let server = comes_back(&site)?;
    assert_eq!(server.value("SHOW data_checksums")?, "off");
    Ok(())
}

#[test]
fn group_access_comes_back() -> Result<()> {
    let site = archiving(Server::builder(16).group_access())?;
    let server = comes_back(&site)?;
    let mode = std::fs::metadata(server.data_directory())?.permissions().mode() & 0o777;
    assert_eq!(format!("{mode:o}"), "750");
    Ok(())
}

#[test]
fn odd_names_come_back() -> Result<()> {
    let site = archiving(Server::builder(17))?;
    for name in NAMES {
        let name = name.replace("''", "'");
        site.server.execute(&format!("CREATE DATABASE \"{name}\""))?;
        site.server.execute_in(&name, &format!("CREATE TABLE \"{name}\" AS SELECT 7 AS seven"))?;
    }
    let server = comes_back(&site)?;
    for name in NAMES {
        let name = name.replace("''", "'");
        assert_eq!(server.value_in(&name, &format!("SELECT seven FROM \"{name}\""))?, "7");
    }
    Ok(())
}

#[test]
fn debian_s_layout_comes_back_with_its_tablespaces_elsewhere() -> Result<()> {
    let site = archiving(Server::builder(17).layout(Layout::Debian))?;
    site.server.execute("CREATE TABLE first TABLESPACE ts1 AS SELECT generate_series(1, 500) AS n")?;
    site.server.execute("CREATE TABLE second TABLESPACE ts2 AS SELECT generate_series(1, 700) AS n")?;
    site.backup(&[])?;
    site.archive_all()?;
    let directory = site.new_directory();
    let (first, second) = (site.home().path().join("new1"), site.home().path().join("new2"));
    let (map1, map2) = (format!("ts1={}", first.display()), format!("ts2={}", second.display()));
    let line = ["--latest", "--tablespace", &map1, "--tablespace", &map2];
    let restored = site.restore(&directory, &line)?;
    assert!(matches!(restored.code, Some(0 | 1)), "{} {}", restored.stdout, restored.stderr);
    let server = recovered(Server::existing(17, &directory)?)?;
    kept_is_whole(&server)?;
    assert_eq!(
        server.value("SELECT (SELECT count(*) FROM first) || ' ' || (SELECT count(*) FROM second)")?,
        "500 700"
    );
    let places = server.query(
        "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname IN ('ts1', 'ts2') ORDER BY spcname",
    )?;
    let wanted = [first, second].map(|path| vec![path.display().to_string()]);
    assert_eq!(places, wanted);
    Ok(())
}
