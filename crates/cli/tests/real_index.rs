//! Indexes of segments against PostgreSQL's own WAL summaries (17 and later; 14 to 16 have none, and no other oracle): over the same WAL,
//! limit for limit and page for page.
//!
//! Summaries end at redo points and indexes with segments. So each round of work lies between two checkpoints, each alone with what
//! `pg_waldump` says names no page between it and the segment's edge.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use crate::support::{Site, json};
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Failure, Result, Server};
use serde_json::Value;

const SEGMENT_BYTES: u64 = 1 << 20;
/// How often a checkpoint is tried until nothing else is written beside it.
const TRIES: usize = 10;

/// Tablespace, database, file number, fork.
type Fork = (u32, u32, u32, String);
/// The limit, and pages below it.
type Changed = (Option<u32>, BTreeSet<u32>);

fn lsn(text: &str) -> Result<u64> {
    let halves = text.split_once('/').and_then(|(high, low)| {
        Some((u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?))
    });
    halves.map(|(high, low)| high << 32 | low).ok_or_else(|| Failure::new(format!("{text} is no position")))
}

fn shown(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| Failure::new(format!("{text} is no number")))
}

/// How many references to pages `pg_waldump` sees in a stretch of WAL.
fn references(server: &Server, from: u64, to: u64) -> Result<usize> {
    // No record begins within the header of a segment's first page.
    let from = from.max(from - from % SEGMENT_BYTES + 40);
    if from >= to {
        return Ok(0);
    }
    let script = format!(
        "'{}' -b -p '{}' -s {} -e {}",
        server.binaries().program("pg_waldump").display(),
        server.data_directory().join("pg_wal").display(),
        shown(from),
        shown(to),
    );
    let text = run_as_server_user(Command::new("/bin/sh").args(["-c", &script]))?;
    Ok(text.matches("blkref #").count())
}

fn checkpoint(server: &Server) -> Result<u64> {
    server.execute("CHECKPOINT")?;
    lsn(&server.value("SELECT redo_lsn FROM pg_control_checkpoint()")?)
}

/// A checkpoint at the beginning of a segment, with no page named before it: its redo point.
fn begin(site: &Site) -> Result<u64> {
    for _ in 0..TRIES {
        site.archive_all()?;
        let redo = checkpoint(&site.server)?;
        if references(&site.server, redo - redo % SEGMENT_BYTES, redo)? == 0 {
            return Ok(redo);
        }
    }
    Err(Failure::new("something was written before each checkpoint"))
}

/// A checkpoint at the end of a segment, with no page named behind it: its redo point.
fn end(site: &Site) -> Result<u64> {
    for _ in 0..TRIES {
        let redo = checkpoint(&site.server)?;
        let switch = lsn(&site.server.value("SELECT pg_switch_wal()")?)?;
        if redo / SEGMENT_BYTES == switch / SEGMENT_BYTES && references(&site.server, redo, switch)? == 0 {
            // What follows is in the next segment; the switched one must be archived.
            site.archive_all()?;
            return Ok(redo);
        }
    }
    Err(Failure::new("something was written behind each checkpoint"))
}

/// What PostgreSQL's summaries say of the WAL between two redo points.
fn summarized(server: &Server, from: u64, to: u64) -> Result<BTreeMap<Fork, Changed>> {
    let (from, to) = (shown(from), shown(to));
    for attempt in 0.. {
        let reached = server.value("SELECT summarized_lsn FROM pg_get_wal_summarizer_state()")?;
        if lsn(&reached)? >= lsn(&to)? {
            break;
        }
        if attempt == 600 {
            return Err(Failure::new(format!("WAL is summarized up to {reached}, not {to}")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let files = format!(
        "pg_available_wal_summaries() s WHERE s.tli = 1 AND s.start_lsn >= '{from}' AND s.end_lsn <= '{to}'"
    );
    let mut at = lsn(&from)?;
    for row in server.query(&format!("SELECT s.start_lsn, s.end_lsn FROM {files} ORDER BY s.start_lsn"))? {
        let (Some(start), Some(end)) = (row.first(), row.get(1)) else { continue };
        assert_eq!(lsn(start)?, at, "summaries follow each other and begin and end with the round");
        at = lsn(end)?;
    }
    assert_eq!(at, lsn(&to)?, "summaries end with the round");
    let contents = format!(
        "SELECT c.reltablespace, c.reldatabase, c.relfilenode, c.relforknumber, c.relblocknumber, c.is_limit_block \
         FROM (SELECT s.tli, s.start_lsn, s.end_lsn FROM {files}) s, \
              LATERAL pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) c"
    );
    let mut forks: BTreeMap<Fork, Changed> = BTreeMap::new();
    for row in server.query(&contents)? {
        let [tablespace, database, file, fork, page, is_limit] = row.as_slice() else {
            return Err(Failure::new(format!("{row:?}")));
        };
        let fork = ["main", "fsm", "vm", "init"].get(number(fork)? as usize).copied().unwrap_or("none");
        let key = (number(tablespace)?, number(database)?, number(file)?, fork.to_owned());
        let (limit, pages) = forks.entry(key).or_default();
        let page = number(page)?;
        if is_limit == "t" {
            *limit = Some(limit.map_or(page, |limit| limit.min(page)));
        } else {
            pages.insert(page);
        }
    }
    // Ours lists no page from the limit on: they were new when they were written again (FORMAT §9.1).
    for (limit, pages) in forks.values_mut() {
        pages.retain(|page| limit.is_none_or(|limit| *page < limit));
    }
    Ok(forks)
}

/// What the indexes of the segments from one position to another say together.
fn indexed(site: &Site, from: u64, to: u64) -> Result<BTreeMap<Fork, Changed>> {
    let name = |lsn: u64| site.server.value(&format!("SELECT pg_walfile_name('{}')", shown(lsn)));
    let (first, last) = (name(from)?, name(to)?);
    let index = json(&site.seawall(["debug", "index", &first, &last, "--json"])?.expect_code(0)?)?;
    assert!(index["untold"].is_null(), "{first} to {last}: {}", index["untold"]);
    let mut forks = BTreeMap::new();
    for fork in index["changes"].as_array().into_iter().flatten() {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let get = |key: &str| number(&fork[key]).ok_or_else(|| Failure::new(format!("no {key}: {fork}")));
        let mut pages = BTreeSet::new();
        for run in fork["runs"].as_array().into_iter().flatten() {
            let (Some(first), Some(last)) = (number(&run["first"]), number(&run["last"])) else {
                return Err(Failure::new(format!("no run: {fork}")));
            };
            pages.extend(first..=last);
        }
        let key = (
            get("tablespace")?,
            get("database")?,
            get("number")?,
            fork["fork"].as_str().unwrap_or_default().to_owned(),
        );
        forks.insert(key, (number(&fork["limit"]), pages));
    }
    Ok(forks)
}

#[track_caller]
fn compare(site: &Site, from: u64, to: u64) -> Result<BTreeMap<Fork, Changed>> {
    let (ours, theirs) = (indexed(site, from, to)?, summarized(&site.server, from, to)?);
    let keys: BTreeSet<&Fork> = ours.keys().chain(theirs.keys()).collect();
    for key in keys {
        assert_eq!(ours.get(key), theirs.get(key), "{key:?}: the index, and the summaries");
    }
    Ok(ours)
}

/// Everything that makes or cuts files, and work beside it.
fn work(server: &Server, round: u32) -> Result<()> {
    let table = format!("round{round}");
    for statement in [
        format!("CREATE TABLE {table} (n int PRIMARY KEY, body text, tags int[])"),
        format!(
            "INSERT INTO {table} SELECT n, repeat(md5(n::text), 20), ARRAY[n, n % 7] FROM generate_series(1, 4000) n"
        ),
        format!("CREATE INDEX ON {table} USING hash (body)"),
        format!("CREATE INDEX ON {table} USING gin (tags)"),
        format!("CREATE INDEX ON {table} USING brin (n)"),
        format!("UPDATE {table} SET body = 'short' WHERE n % 10 = 0"),
        format!("DELETE FROM {table} WHERE n > 1000"),
        format!("VACUUM (FREEZE) {table}"),
        format!(
            "INSERT INTO {table} SELECT n, repeat(md5(n::text), 20), ARRAY[n] FROM generate_series(4001, 6000) n"
        ),
        format!("CREATE TABLE {table}_cut AS SELECT n FROM generate_series(1, 20000) n"),
        format!("TRUNCATE {table}_cut"),
        format!("INSERT INTO {table}_cut SELECT generate_series(1, 100)"),
        format!("CREATE TABLE {table}_gone AS SELECT n FROM generate_series(1, 20000) n"),
        format!("DROP TABLE {table}_gone"),
        format!("CREATE UNLOGGED TABLE {table}_unlogged AS SELECT n FROM generate_series(1, 100) n"),
        format!("CREATE DATABASE {table}_pages STRATEGY WAL_LOG"),
        format!("CREATE DATABASE {table}_copied STRATEGY FILE_COPY"),
        format!("ALTER TABLE {table} SET TABLESPACE apart"),
    ] {
        server.execute(&statement)?;
    }
    server.execute_in(
        &format!("{table}_pages"),
        "CREATE TABLE inside AS SELECT n FROM generate_series(1, 3000) n",
    )?;
    if round > 0 {
        let before = round - 1;
        server.execute(&format!("DROP DATABASE round{before}_pages"))?;
        server.execute(&format!("DELETE FROM round{before} WHERE n > 500"))?;
        server.execute(&format!("VACUUM round{before}"))?;
        server.execute(&format!("INSERT INTO round{before}_cut SELECT generate_series(1, 5000)"))?;
    }
    // The transaction is given up: its file goes with the abort.
    let undone =
        format!("BEGIN; CREATE TABLE {table}_undone AS SELECT n FROM generate_series(1, 500) n; ROLLBACK");
    undone.split("; ").try_fold(server.connect("postgres")?, |mut client, statement| {
        client.batch_execute(statement).map_err(|error| Failure::new(error.to_string()))?;
        Ok::<_, Failure>(client)
    })?;
    Ok(())
}

fn indexes_are_the_summaries(major: u16) -> Result<()> {
    let mut site = Site::new(
        Server::builder(major)
            .archive_command("false")
            .wal_segment_mebibytes(1)
            .tablespace("apart")
            .setting("summarize_wal", "on")
            .setting("wal_keep_size", "4GB")
            .setting("max_wal_size", "4GB")
            .setting("autovacuum", "off")
            .start()?,
    )?;
    // Files that are there before: what cuts them tells a limit that is not 0.
    work(&site.server, 0)?;
    let mut rounds = Vec::new();
    for round in 1..=3 {
        let from = begin(&site)?;
        work(&site.server, round)?;
        if round == 2 {
            site.server.restart()?;
            site.server.execute("UPDATE round2 SET tags = ARRAY[n] WHERE n % 5 = 0")?;
        }
        let to = end(&site)?;
        rounds.push((from, to));
        let changes = compare(&site, from, to)?;
        let limits: Vec<u32> = changes.values().filter_map(|(limit, _)| *limit).collect();
        let (new, cut) = (
            limits.iter().filter(|limit| **limit == 0).count(),
            limits.iter().filter(|limit| **limit > 0).count(),
        );
        let pages: usize = changes.values().map(|(_, pages)| pages.len()).sum();
        let databases = changes.keys().filter(|(_, _, file, _)| *file == 0).count();
        let told = format!(
            "{major}, round {round}: {new} files made or dropped, {cut} cut, {pages} pages, {databases} databases"
        );
        assert!(new > 20 && cut > 0 && pages > 100 && databases >= 3, "too little: {told}");
    }
    // All rounds joined, and what lies between them.
    let (Some((from, _)), Some((_, to))) = (rounds.first(), rounds.last()) else { return Ok(()) };
    compare(&site, *from, *to)?;
    Ok(())
}

#[test]
fn indexes_of_17_are_its_summaries() -> Result<()> {
    indexes_are_the_summaries(17)
}

#[test]
fn indexes_of_18_are_its_summaries() -> Result<()> {
    indexes_are_the_summaries(18)
}
