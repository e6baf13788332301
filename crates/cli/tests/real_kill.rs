//! `kill -9` at random moments of `backup`, `wal push` and `restore` on a real server, as the out-of-memory killer does it.
//!
//! What must hold after each kill: everything that was listed is listed and restores; nothing half done is listed, served or
//! startable; the same command, given again, succeeds. `SEAWALL_TEST_KILLS` is how many kills each operation meets,
//! `SEAWALL_TEST_SEED` repeats the moments of an earlier run.

#![expect(clippy::print_stdout, reason = "the seed and the counts are part of what the test says")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::support::{RECOVERY_LIMIT, Site, json, recovered};
use seawall_testkit::identity::make_directory;
use seawall_testkit::workload::Random;
use seawall_testkit::{Context, Failure, Outcome, Result, Server, majors, run, seawall};
use serde_json::Value;

/// Kills of each operation when nobody says otherwise.
const KILLS: usize = 4;
/// Kills of the deep variant.
const DEEP_KILLS: usize = 200;

#[test]
fn a_killed_backup_is_not_listed_and_takes_nothing_with_it() -> Result<()> {
    kill_backups(kills(KILLS)?)
}

#[test]
fn a_killed_push_stores_all_of_a_segment_or_none() -> Result<()> {
    kill_pushes(kills(KILLS)?)
}

#[test]
fn a_killed_restore_leaves_no_cluster_and_goes_on() -> Result<()> {
    kill_restores(kills(KILLS)?)
}

#[test]
#[ignore = "hundreds of kills: the deep profile runs it"]
fn hundreds_of_killed_backups() -> Result<()> {
    kill_backups(kills(DEEP_KILLS)?)
}

#[test]
#[ignore = "hundreds of kills: the deep profile runs it"]
fn hundreds_of_killed_pushes() -> Result<()> {
    kill_pushes(kills(DEEP_KILLS)?)
}

#[test]
#[ignore = "hundreds of kills: the deep profile runs it"]
fn hundreds_of_killed_restores() -> Result<()> {
    kill_restores(kills(DEEP_KILLS)?)
}

fn kills(default: usize) -> Result<usize> {
    match std::env::var("SEAWALL_TEST_KILLS") {
        Ok(number) => Ok(number.parse()?),
        Err(_) => Ok(default),
    }
}

/// A site with a table of which each round adds one row, and the choice of moments.
struct Range {
    site: Site,
    random: Random,
    /// How long the operation takes when it is left alone.
    usual: Duration,
    rows: u64,
    killed: u32,
}

impl Range {
    fn new() -> Result<Self> {
        let seed = match std::env::var("SEAWALL_TEST_SEED") {
            Ok(named) => named.parse()?,
            Err(_) => u64::from(std::process::id()),
        };
        println!("SEAWALL_TEST_SEED={seed}");
        let major = *majors().last().ok_or_else(|| Failure::new("no major to test"))?;
        let site = Site::plain(major)?;
        site.server.execute("CREATE TABLE kept (n bigint, filler text)")?;
        Ok(Self { site, random: Random::new(seed), usual: Duration::ZERO, rows: 0, killed: 0 })
    }

    fn add_row(&mut self) -> Result<()> {
        self.rows += 1;
        let filler = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 2000))";
        self.site.server.execute(&format!("INSERT INTO kept VALUES ({}, {filler})", self.rows))
    }

    /// Starts the command, kills it at a random moment of its usual time (or a little later), and waits for its end.
    fn kill(&mut self, line: &[&str]) -> Result<Ended> {
        let moment = Duration::from_micros(
            self.random.below(u64::try_from(self.usual.as_micros() * 11 / 10).unwrap_or(u64::MAX)),
        );
        let settings = self.site.settings();
        let words = ["-c".as_ref(), settings.as_os_str()].into_iter().chain(line.iter().map(AsRef::as_ref));
        let mut child = seawall(words)?
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .context(|| format!("starting {line:?}"))?;
        std::thread::sleep(moment);
        child.kill()?;
        let status = child.wait()?;
        if status.code().is_none() {
            self.killed += 1;
        } else {
            // It had ended by then: on a machine that has become faster later moments would miss it, too.
            self.usual = self.usual.min(moment);
        }
        Ok(Ended { context: format!("{line:?} killed after {moment:?}, {status}"), done: status.success() })
    }

    /// Runs the command to its end and remembers how long that takes.
    fn run(&mut self, line: &[&str]) -> Result<Outcome> {
        let outcome = self.site.seawall(line.iter().copied())?.expect_code(0)?;
        self.usual = if self.usual.is_zero() { outcome.took } else { self.usual.min(outcome.took) };
        Ok(outcome)
    }

    /// A sweep in which hardly any process was killed shows nothing.
    fn assert_killed(&self, wanted: usize) {
        println!("{} of {wanted} were killed before their end", self.killed);
        assert!(self.killed as usize * 2 >= wanted, "only {} of {wanted} were killed", self.killed);
    }
}

/// How a command ended that was to be killed.
struct Ended {
    context: String,
    /// It was faster than the kill.
    done: bool,
}

fn listed(site: &Site) -> Result<Vec<String>> {
    let report = json(&site.seawall(["list", "--json"])?.expect_code(0)?)?;
    let backups = report.get("backups").and_then(Value::as_array).cloned().unwrap_or_default();
    backups
        .iter()
        .map(|one| {
            let id = one.get("backup").and_then(Value::as_str).map(str::to_owned);
            let regions = one.get("regions").and_then(Value::as_array).map_or(0, Vec::len);
            // A kill between the two regions' commits may leave one; whoever lists is told which.
            assert!(regions >= 1, "{one}");
            id.ok_or_else(|| Failure::new(format!("no id in {one}")))
        })
        .collect()
}

fn rows_of(server: &Server) -> Result<u64> {
    let found = server.value("SELECT count(*) || ' ' || coalesce(max(n), 0) FROM kept")?;
    let rows: u64 = found.split(' ').next().unwrap_or_default().parse()?;
    assert_eq!(found, format!("{rows} {rows}"), "rows are missing in the middle");
    Ok(rows)
}

/// Restores a backup to its end and finds exactly the rows it was taken with.
fn assert_restores(site: &Site, backup: &str, rows: u64) -> Result<()> {
    let server = site.restored(&["--backup", backup, "--immediate"])?;
    assert_eq!(rows_of(&server)?, rows, "backup {backup}");
    let directory = server.data_directory().to_owned();
    drop(server);
    Ok(std::fs::remove_dir_all(directory)?)
}

fn kill_backups(kills: usize) -> Result<()> {
    let mut range = Range::new()?;
    let mut committed: BTreeMap<String, u64> = BTreeMap::new();
    let (mut adopted, mut late) = (0, 0);
    take(&mut range, &mut committed)?;
    for round in 0..kills {
        range.add_row()?;
        let ended = range.kill(&["backup", "--full"])?;
        let mut new = listed(&range.site)?;
        new.retain(|id| !committed.contains_key(id));
        let lost: Vec<_> = {
            let now = listed(&range.site)?;
            committed.keys().filter(|id| !now.contains(id)).cloned().collect()
        };
        assert!(lost.is_empty(), "{}: no longer listed: {lost:?}", ended.context);
        assert!(new.len() <= 1 && (!ended.done || new.len() == 1), "{}: {new:?}", ended.context);
        for id in new {
            // Listed, so it was whole when the process ended.
            late += u32::from(!ended.done);
            assert_restores(&range.site, &id, range.rows).context(|| ended.context.clone())?;
            committed.insert(id, range.rows);
        }
        adopted += take(&mut range, &mut committed).context(|| ended.context.clone())?;
        let (id, rows) =
            if round % 2 == 0 { committed.last_key_value() } else { committed.first_key_value() }
                .ok_or_else(|| Failure::new("nothing was committed"))?;
        assert_restores(&range.site, id, *rows).context(|| ended.context.clone())?;
    }
    println!("{adopted} packs of killed backups were taken over; {late} kills came behind the commit");
    range.assert_killed(kills);
    for (id, rows) in committed.iter().rev().take(2) {
        assert_restores(&range.site, id, *rows)?;
    }
    Ok(())
}

/// Takes a backup undisturbed; how many packs of an interrupted one it took over.
fn take(range: &mut Range, committed: &mut BTreeMap<String, u64>) -> Result<u64> {
    range.add_row()?;
    let report = json(&range.run(&["backup", "--full", "--json"])?)?;
    let id = report.get("backup").and_then(Value::as_str).ok_or_else(|| Failure::new("no id"))?;
    assert!(listed(&range.site)?.iter().any(|known| known == id));
    committed.insert(id.to_owned(), range.rows);
    Ok(report.get("adopted_packs").and_then(Value::as_u64).unwrap_or_default())
}

fn kill_pushes(kills: usize) -> Result<()> {
    let mut range = Range::new()?;
    range.site.backup(&[])?;
    let archiving = range.site.server.value("SHOW archive_command")?;
    // From here on only this test pushes, and the server keeps every segment.
    range.site.server.set("archive_command", "false")?;
    let first = next_segment(&mut range)?;
    range.run(&["wal", "push", &first])?;
    for _ in 0..kills * 4 {
        if range.killed as usize >= kills {
            break;
        }
        let segment = next_segment(&mut range)?;
        let ended = range.kill(&["wal", "push", &segment])?;
        assert_all_or_none(&range.site, &segment, ended.done).context(|| ended.context.clone())?;
        range.run(&["wal", "push", &segment]).context(|| ended.context.clone())?;
        assert_all_or_none(&range.site, &segment, true).context(|| ended.context.clone())?;
        assert_all_or_none(&range.site, &first, true).context(|| ended.context.clone())?;
    }
    range.assert_killed(kills);
    range.site.server.set("archive_command", &archiving)?;
    range.site.archive_all()?;
    let server = range.site.restored(&["--latest"])?;
    assert_eq!(rows_of(&server)?, range.rows);
    Ok(())
}

/// Fills and ends a segment; its path.
fn next_segment(range: &mut Range) -> Result<String> {
    range.add_row()?;
    let server = &range.site.server;
    let name = server.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
    server.execute("SELECT pg_switch_wal()")?;
    let path = server.data_directory().join("pg_wal").join(name);
    Ok(path.to_string_lossy().into_owned())
}

/// What is fetched is the segment, or every region says that there is none.
fn assert_all_or_none(site: &Site, segment: &str, must_be_there: bool) -> Result<()> {
    let name = Path::new(segment).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = site.home().directory("fetched")?.join(&name);
    let (at, identity) = (place.to_string_lossy().into_owned(), site.identity("first"));
    let settings = site.settings();
    let (settings, identity) = (settings.to_string_lossy(), identity.to_string_lossy());
    let line = ["-c", &settings, "wal", "fetch", &name, &at, "--identity", &identity];
    // PostgreSQL runs it in the data directory.
    let fetched = run(seawall(line)?.current_dir(site.server.data_directory()))?;
    if !must_be_there && fetched.code == Some(1) {
        assert!(!place.exists());
        return Ok(());
    }
    fetched.expect_code(0)?;
    assert!(
        std::fs::read(&place)? == std::fs::read(segment)?,
        "{name} came back otherwise than it was pushed"
    );
    Ok(std::fs::remove_file(&place)?)
}

fn kill_restores(kills: usize) -> Result<()> {
    let mut range = Range::new()?;
    range.add_row()?;
    range.site.backup(&[])?;
    range.add_row()?;
    range.site.archive_all()?;
    let before = listed(&range.site)?;
    let directory = range.site.new_directory();
    make_directory(&directory)?;
    let line = text(&range.site, &directory, &["--latest"]);
    range.run(&line.iter().map(String::as_str).collect::<Vec<_>>())?;
    for _ in 0..kills {
        std::fs::remove_dir_all(&directory)?;
        let ended = range.kill(&line.iter().map(String::as_str).collect::<Vec<_>>())?;
        let startable = directory.join("global/pg_control").exists();
        assert!(startable || !ended.done, "{}: done, and no cluster", ended.context);
        if !startable {
            let mut server = Server::existing(range.site.server.major(), &directory)?;
            assert!(
                !directory.exists() || server.start().is_err(),
                "{}: a server started on half a cluster",
                ended.context
            );
            let again = text(&range.site, &directory, &["--latest", "--delta"]);
            range.site.seawall(again)?.expect_code(0).context(|| ended.context.clone())?;
        }
        let server = recovered(Server::existing(range.site.server.major(), &directory)?)
            .context(|| format!("{} (within {RECOVERY_LIMIT:?})", ended.context))?;
        assert_eq!(rows_of(&server)?, range.rows, "{}", ended.context);
        assert_eq!(listed(&range.site)?, before, "{}", ended.context);
    }
    range.assert_killed(kills);
    Ok(())
}

fn text(site: &Site, directory: &Path, more: &[&str]) -> Vec<String> {
    let line = site.restore_line(directory, more);
    line.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}
