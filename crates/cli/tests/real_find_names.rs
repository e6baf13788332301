//! `find` where lists and indexes do not reach: names of relations that came and went between two backups are read from WAL, segments
//! without an index by their records, and a moment that no backup leads to gets no command.

use crate::support::{Site, json};
use seawall_testkit::{Result, Server, StopMode, majors};
use serde_json::Value;

fn find(site: &Site, code: i32, more: &[&str]) -> Result<Value> {
    let key = site.identity("first").display().to_string();
    let line = ["find", "--json", "--since", "0/0", "--identity", &key];
    json(&site.seawall(line.iter().chain(more).copied())?.expect_code(code)?)
}

/// Operations, each with the names of what it was done to and how they are known.
fn told(found: &Value) -> Vec<String> {
    let candidates = found["candidates"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let relation =
        |one: &Value| format!("{}.{} {}", text(&one["schema"]), text(&one["name"]), text(&one["basis"]));
    let relations = |one: &Value| -> Vec<String> {
        one["relations"].as_array().into_iter().flatten().map(relation).collect()
    };
    candidates
        .iter()
        .map(|one| format!("{} {}", text(&one["operation"]), relations(one).join(", ")))
        .collect()
}

/// Tables with an index and TOAST that are made, worked on and dropped with no backup between.
fn comes_and_goes(server: &Server) -> Result<()> {
    for statement in [
        "CREATE TABLE short (n int PRIMARY KEY, body text)",
        "INSERT INTO short SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n",
        "DELETE FROM short WHERE n <= 12000",
        "REINDEX TABLE short",
        "TRUNCATE short",
        "INSERT INTO short SELECT n, 'again' FROM generate_series(1, 15000) n",
        "UPDATE short SET body = 'changed'",
        "VACUUM FULL short",
        "DELETE FROM short",
        "CREATE SCHEMA apart CREATE TABLE inside (n int)",
        "CREATE TABLE older.beside (n int)",
        "DROP TABLE older.beside",
        "DROP TABLE short",
        "DROP TABLE apart.inside",
        "DROP SCHEMA apart",
        "CREATE INDEX stays_i ON stays (n)",
        "DROP INDEX stays_i",
    ] {
        server.execute(statement)?;
    }
    Ok(())
}

fn names_are_read_from_wal(major: u16) -> Result<()> {
    let site = Site::plain(major)?;
    site.server.execute("CREATE TABLE stays AS SELECT n FROM generate_series(1, 100) n")?;
    site.server.execute("CREATE SCHEMA older")?;
    site.backup(&[])?;
    // Now the row is in a record, now in the image of the page that it went to.
    for _ in 0..2 {
        site.server.execute("CHECKPOINT")?;
        comes_and_goes(&site.server)?;
    }
    site.backup(&[])?;
    site.archive_all()?;
    let once = [
        "delete public.short wal",
        "truncate public.short wal",
        "update public.short wal",
        "delete public.short wal",
        "drop older.beside wal",
        "drop public.short wal",
        "drop apart.inside wal",
    ];
    let found = find(&site, 0, &[])?;
    assert_eq!(told(&found), [once, once].concat(), "{found}");
    let only = find(&site, 0, &["--table", "short", "--op", "drop"])?;
    assert_eq!(told(&only), ["drop public.short wal"; 2], "{only}");
    let none = find(&site, 0, &["--table", "shorter"])?;
    assert_eq!(told(&none), [""; 0], "{none}");
    // Without an identity there is nothing but numbers.
    let blind = json(&site.seawall(["find", "--json", "--since", "0/0"])?.expect_code(1)?)?;
    let drops = told(&blind).into_iter().filter(|one| one.starts_with("drop")).count();
    assert!(drops >= 4 && !blind.to_string().contains("short"), "{blind}");
    Ok(())
}

#[test]
fn names_of_what_came_and_went_between_two_lists_are_read_from_wal() -> Result<()> {
    majors().into_iter().try_for_each(names_are_read_from_wal)
}

#[test]
fn a_moment_before_the_oldest_backup_gets_no_command() -> Result<()> {
    let site = Site::plain(17)?;
    for statement in ["CREATE TABLE early (n int)", "INSERT INTO early VALUES (1)", "DROP TABLE early"] {
        site.server.execute(statement)?;
    }
    site.server.execute("CREATE TABLE late AS SELECT generate_series(1, 1000) AS n")?;
    let backup = site.backup(&[])?;
    site.server.execute("DROP TABLE late")?;
    site.archive_all()?;
    let found = find(&site, 0, &["--op", "drop"])?;
    let from: Vec<&Value> =
        found["candidates"].as_array().into_iter().flatten().map(|one| &one["from_backup"]).collect();
    assert_eq!(from, [&Value::Null, &backup["backup"]], "{found}");
    let key = site.identity("first").display().to_string();
    let line = ["find", "--since", "0/0", "--op", "drop", "--identity", &key];
    let page = site.seawall(line)?.expect_code(0)?.stdout;
    let commands = page.lines().filter(|line| line.contains(" restore ")).count();
    assert_eq!(commands, 1, "{page}");
    assert!(page.contains("cannot be recovered to: no backup that is left leads there"), "{page}");
    // Nobody can choose it, either.
    let refused = site.seawall(["restore", "-D", "/nowhere/at/all", "--identity", &key])?.expect_code(2)?;
    assert_eq!(refused.stderr.matches("--lsn").count(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot be recovered to"), "{}", refused.stderr);
    Ok(())
}

/// The last segment of a dead server ends before it is full, so it has no index; what stands in it is told all the same.
#[test]
fn a_segment_without_an_index_is_told_and_read() -> Result<()> {
    let mut site = Site::plain(17)?;
    site.server.execute("CREATE TABLE orders AS SELECT n FROM generate_series(1, 5000) n")?;
    site.server.execute("CREATE TABLE kept (n int)")?;
    site.backup(&[])?;
    site.archive_all()?;
    site.server.set("archive_command", "false")?;
    site.server.execute("INSERT INTO kept VALUES (1)")?;
    site.server.execute("DROP TABLE orders")?;
    site.server.execute("INSERT INTO kept VALUES (2)")?;
    site.server.stop(StopMode::Immediate)?;
    let old = site.server.data_directory().display().to_string();
    site.restore(&site.new_directory(), &["--latest", "--successor", "--salvage-wal", &old])?
        .expect_code(0)?;
    let found = find(&site, 1, &["--op", "drop"])?;
    assert_eq!(told(&found), ["drop public.orders backup-before"], "{found}");
    let findings = found["findings"].as_array().cloned().unwrap_or_default();
    assert!(
        findings.iter().any(|one| one["id"] == "find.no-index"
            && one["what"].as_str().is_some_and(|what| what.contains("its records were read"))),
        "{findings:?}"
    );
    let lsn = found["candidates"][0]["target"]["lsn"].as_str().unwrap_or_default();
    let server = site.restored(&["--lsn", lsn, "--before"])?;
    assert_eq!(server.value("SELECT count(*) || ' ' || (SELECT sum(n) FROM kept) FROM orders")?, "5000 1");
    Ok(())
}
