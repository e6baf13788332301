//! PostgreSQL's own tools as judges of what seawall made.
//!
//! Promises: every judgement is made by a program of the cluster's major version, run as the server's user; a complaint fails
//! with the tool's own words. Deliberately no second opinion of ours mixed in: that is the ledger's part.

use std::collections::BTreeMap;
use std::path::Path;

use crate::identity::run_as_server_user;
use crate::{Binaries, Context, Failure, Result, Server};

/// Every heap and B-tree of every database is sound: `pg_amcheck --all --heapallindexed`.
///
/// # Errors
/// It found something, or could not run.
pub fn amcheck(server: &Server) -> Result<()> {
    let mut command = server.binaries().command("pg_amcheck");
    command.args([
        "--all",
        "--install-missing",
        "--heapallindexed",
        "--jobs=2",
        "--no-password",
        "--username=postgres",
        "--port=5432",
    ]);
    command.arg("--host").arg(server.socket_directory());
    run_as_server_user(&mut command).context(|| "pg_amcheck").map(drop)
}

/// No visibility map says "visible to all" or "frozen" of a page where it is not so, in any database: `pg_visibility`.
///
/// # Errors
/// A map lies, or it could not run.
pub fn visibility(server: &Server) -> Result<()> {
    let databases = "SELECT string_agg(datname, ',') FROM pg_database WHERE datallowconn";
    for database in server.value(databases)?.split(',') {
        server.execute_in(database, "CREATE EXTENSION IF NOT EXISTS pg_visibility")?;
        let wrong = "SELECT coalesce(string_agg(found, ', '), '') FROM (\
             SELECT c.oid::regclass::text || ' ' || t::text AS found FROM pg_class c, pg_check_visible(c.oid) t \
             WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' \
             UNION ALL SELECT c.oid::regclass::text || ' frozen ' || t::text FROM pg_class c, pg_check_frozen(c.oid) t \
             WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p') AS wrong";
        let told = server.value_in(database, wrong)?;
        if !told.is_empty() {
            return Err(Failure::new(format!("visibility maps of {database} lie: {told}")));
        }
    }
    Ok(())
}

/// Every page's checksum is right: `pg_checksums --check`. The server must be stopped in order.
///
/// # Errors
/// It found a wrong page, checksums are off, or it could not run.
pub fn checksums(binaries: &Binaries, data_directory: &Path) -> Result<()> {
    let mut command = binaries.command("pg_checksums");
    command.args(["--check", "-D"]).arg(data_directory);
    run_as_server_user(&mut command).context(|| "pg_checksums").map(drop)
}

/// What `pg_controldata` says, each line split at its colon.
///
/// # Errors
/// It could not run or did not believe the file.
pub fn controldata(binaries: &Binaries, data_directory: &Path) -> Result<BTreeMap<String, String>> {
    let told = run_as_server_user(binaries.command("pg_controldata").arg("-D").arg(data_directory))?;
    let lines = told.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
}

/// One named value of `pg_controldata`.
///
/// # Errors
/// As [`controldata`], or there is no such line.
pub fn controldata_value(binaries: &Binaries, data_directory: &Path, name: &str) -> Result<String> {
    let mut values = controldata(binaries, data_directory)?;
    values.remove(name).ok_or_else(|| Failure::new(format!("pg_controldata has no line `{name}`")))
}

/// The lines of `pg_waldump` for the records from `start` to `end` (LSN texts), found in `wal_directory`.
///
/// # Errors
/// A record is missing or wrong: a hole in WAL ends here.
pub fn waldump(
    binaries: &Binaries,
    wal_directory: &Path,
    timeline: u32,
    start: &str,
    end: &str,
) -> Result<Vec<String>> {
    let mut command = binaries.command("pg_waldump");
    command.arg("--path").arg(wal_directory).args([
        "--timeline",
        &timeline.to_string(),
        "--start",
        start,
        "--end",
        end,
    ]);
    // Without it pg_waldump takes the size of segments from whichever file it meets first, and one made ahead is all zeros.
    command.arg(segment_with(wal_directory, timeline, start, 0)?);
    command.arg(segment_with(wal_directory, timeline, end, 1)?);
    let told = run_as_server_user(&mut command).context(|| "pg_waldump")?;
    Ok(told.lines().map(str::to_owned).collect())
}

/// The name of the segment that holds the byte `before` ahead of `lsn`; its size is that of the segments in the directory.
fn segment_with(wal_directory: &Path, timeline: u32, lsn: &str, before: u64) -> Result<String> {
    let (high, low) = lsn.split_once('/').ok_or_else(|| Failure::new(format!("{lsn} is no LSN")))?;
    let position = (u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?) - before;
    for entry in std::fs::read_dir(wal_directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let size = entry.metadata()?.len().max(1);
            let (high, low) = (position >> 32, (position & u64::from(u32::MAX)) / size);
            return Ok(format!("{timeline:08X}{high:08X}{low:08X}"));
        }
    }
    Err(Failure::new(format!("{} holds no segment", wal_directory.display())))
}

/// A directory in `pg_basebackup`'s form agrees with its `backup_manifest`.
///
/// # Errors
/// `pg_verifybackup` found something, or could not run.
pub fn verifybackup(binaries: &Binaries, backup: &Path) -> Result<()> {
    run_as_server_user(binaries.command("pg_verifybackup").arg("--no-parse-wal").arg(backup))
        .context(|| "pg_verifybackup")
        .map(drop)
}
