//! Databases and tablespaces that come and go between backups that build on each other.
//!
//! `CREATE DATABASE` copies files without writing their pages to WAL, or page by page, and leaves different traces; `DROP` takes
//! files away under a backup's parent. Restored to points before and after each, every database holds exactly its rows.

use crate::support::{Site, recovered};
use seawall_testkit::{Result, Server, StopMode};

/// What a server has: databases of this test with their rows, and tablespaces.
fn found(server: &Server) -> Result<Vec<String>> {
    let named = "datname LIKE 'made%' OR datname = 'pattern'";
    let names = server.query(&format!("SELECT datname FROM pg_database WHERE {named} ORDER BY 1"))?;
    let mut all = Vec::new();
    for name in names.into_iter().flatten() {
        let whole = "count(*) FILTER (WHERE body = md5(n::text))";
        let rows = server.value_in(&name, &format!("SELECT {whole} || '/' || count(*) FROM kept"))?;
        all.push(format!("{name} {rows}"));
    }
    let spaces = server.query("SELECT spcname FROM pg_tablespace WHERE spcname LIKE 'space%'")?;
    all.extend(spaces.into_iter().flatten());
    Ok(all)
}

/// A named point, and what the server had there.
struct Point {
    name: &'static str,
    had: Vec<String>,
}

/// Commits what a step did, names the point behind it and writes down what there is.
fn point(site: &Site, name: &'static str) -> Result<Point> {
    site.server.execute(&format!("SELECT pg_create_restore_point('{name}')"))?;
    Ok(Point { name, had: found(&site.server)? })
}

fn create_statement(major: u16, name: &str, strategy: &str, more: &str) -> String {
    let strategy = if major >= 15 { format!("STRATEGY {strategy}") } else { String::new() };
    format!("CREATE DATABASE {name} TEMPLATE pattern {strategy} {more}")
}

fn add_rows(server: &Server, database: &str, first: u32, last: u32) -> Result<()> {
    let rows = format!("SELECT n, md5(n::text) FROM generate_series({first}, {last}) n");
    server.execute_in(database, &format!("INSERT INTO kept {rows}"))
}

/// A backup that builds on `parent`; its id.
fn backup(site: &Site, parent: Option<&str>) -> Result<String> {
    let report = site.backup(&[])?;
    assert_eq!(report["parent"].as_str(), parent, "{report}");
    Ok(report["backup"].as_str().unwrap_or_default().to_owned())
}

/// Databases made in each way, dropped and made again, and a tablespace that lives between two backups.
fn history(major: u16) -> Result<(Site, [String; 3], Vec<Point>)> {
    let site = Site::plain(major)?;
    site.server.execute("CREATE DATABASE pattern")?;
    site.server.execute_in("pattern", "CREATE TABLE kept (n bigint PRIMARY KEY, body text)")?;
    add_rows(&site.server, "pattern", 1, 3000)?;
    let first = backup(&site, None)?;
    let mut points = vec![point(&site, "nothing yet")?];
    for (name, strategy) in [("made_by_wal", "wal_log"), ("made_by_copy", "file_copy")] {
        site.server.execute(&create_statement(major, name, strategy, ""))?;
        add_rows(&site.server, name, 3001, 3500)?;
    }
    points.push(point(&site, "both made")?);
    let space = site.home().directory("space")?;
    site.server.execute(&format!("CREATE TABLESPACE space1 LOCATION '{}'", space.display()))?;
    site.server.execute(&create_statement(major, "made_elsewhere", "file_copy", "TABLESPACE space1"))?;
    add_rows(&site.server, "made_elsewhere", 3001, 4000)?;
    points.push(point(&site, "one elsewhere")?);
    let second = backup(&site, Some(&first))?;
    site.server.execute("DROP DATABASE made_by_wal")?;
    site.server.execute("DROP DATABASE made_elsewhere")?;
    site.server.execute("DROP TABLESPACE space1")?;
    points.push(point(&site, "two dropped")?);
    site.server.execute(&create_statement(major, "made_by_wal", "wal_log", ""))?;
    points.push(point(&site, "one made again")?);
    let third = backup(&site, Some(&second))?;
    site.server.execute("DROP DATABASE made_by_copy")?;
    points.push(point(&site, "one more dropped")?);
    site.archive_all()?;
    Ok((site, [first, second, third], points))
}

/// Restores to a point with the tablespace in a directory of its own, and finds what was there.
fn comes_back(site: &Site, backup: &str, to: &Point, has_space: bool) -> Result<()> {
    let directory = site.new_directory();
    let space = format!("space1={}.space", directory.display());
    let mut line = vec!["--backup", backup, "--restore-point", to.name];
    if has_space {
        line.extend(["--tablespace", &space]);
    }
    site.restore(&directory, &line)?.expect_code(0)?;
    let server = recovered(Server::existing(site.server.major(), &directory)?)?;
    assert_eq!(found(&server)?, to.had, "backup {backup} to {}", to.name);
    drop(server);
    Ok(std::fs::remove_dir_all(&directory)?)
}

fn databases_come_and_go(major: u16) -> Result<()> {
    let (mut site, [first, second, third], points) = history(major)?;
    for to in &points[..2] {
        comes_back(&site, &first, to, false)?;
    }
    // The second backup holds the tablespace, so its restore puts it elsewhere; replay takes it away again.
    for to in &points[3..5] {
        comes_back(&site, &second, to, true)?;
    }
    comes_back(&site, &third, &points[5], false)?;
    // Replayed from the beginning the tablespace is made and dropped where it was: not beside a server that has it.
    site.server.stop(StopMode::Fast)?;
    comes_back(&site, &first, &points[2], false)?;
    comes_back(&site, &first, &points[5], false)
}

#[test]
fn databases_and_a_tablespace_come_and_go_14() -> Result<()> {
    databases_come_and_go(14)
}

#[test]
fn databases_and_a_tablespace_come_and_go_15() -> Result<()> {
    databases_come_and_go(15)
}

#[test]
fn databases_and_a_tablespace_come_and_go_18() -> Result<()> {
    databases_come_and_go(18)
}
