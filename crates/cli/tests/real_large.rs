//! What is large: segments of 1 GB, which go in parts, and a relation of several files. Memory must not grow with either.
//!
//! Ignored in the normal suite; the deep profile runs them.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::support::Site;
use seawall_testkit::identity::as_server_user;
use seawall_testkit::{Failure, Result, Server, bins, oracles};

const MAJOR: u16 = 18;
/// What the design allows on four cores.
const MEMORY_MAX_KIB: u64 = 256 * 1024;

/// Runs `seawall` in `here`; the largest resident set it was seen to have, KiB.
fn peak(site: &Site, here: &Path, line: &[OsString]) -> Result<u64> {
    let mut command = Command::new(bins::seawall_path()?);
    command.arg("-c").arg(site.settings()).args(line);
    let mut child = as_server_user(&mut command)?.current_dir(here).spawn()?;
    let mut peak = 0;
    loop {
        peak = peak.max(resident(&child));
        if let Some(status) = child.try_wait()? {
            let ended_well = status.success();
            return if ended_well { Ok(peak) } else { Err(Failure::new(format!("{line:?}: {status}"))) };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The largest so far; 0 once it has ended.
fn resident(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
#[ignore = "writes gigabytes of WAL: the deep profile runs it"]
fn segments_of_a_gigabyte_go_in_parts_in_bounded_memory() -> Result<()> {
    let builder = Server::builder(MAJOR).wal_segment_mebibytes(1024).setting("max_wal_size", "4GB");
    let site = Site::new(builder.setting("min_wal_size", "2GB").archive_command("false").start()?)?;
    let archiving = site.server.value("SHOW archive_command")?;
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 1000) n")?;
    site.backup(&[])?;
    // Noise, so that a segment is as large in the repository as it can be.
    site.server.set("archive_command", "false")?;
    site.server.execute("CREATE EXTENSION pgcrypto")?;
    let segment = site.server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?;
    site.server.execute(
        "CREATE TABLE noise AS SELECT gen_random_bytes(1000) AS body FROM generate_series(1, 600000)",
    )?;
    site.server.execute("INSERT INTO kept SELECT n, md5(n::text) FROM generate_series(1001, 2000) n")?;
    site.server.execute("SELECT pg_switch_wal()")?;
    let data = site.server.data_directory().to_owned();
    let path = format!("pg_wal/{segment}");
    let pushed = peak(&site, &data, &words(&["wal", "push", &path]))?;
    let target = site.home().path().join("fetched");
    let identity = site.identity("first");
    let mut line = words(&["wal", "fetch", "--identity"]);
    line.extend([identity.into(), segment.clone().into(), target.clone().into()]);
    let fetched = peak(&site, &data, &line)?;
    println!("a segment of 1 GiB: push at most {pushed} KiB, fetch at most {fetched} KiB");
    assert!(std::fs::read(&target)? == std::fs::read(data.join(&path))?, "{segment} came back different");
    assert!(pushed < MEMORY_MAX_KIB && fetched < MEMORY_MAX_KIB, "push {pushed} KiB, fetch {fetched} KiB");
    site.server.set("archive_command", &archiving)?;
    site.archive_all()?;
    let server = site.restored(&["--latest"])?;
    assert_eq!(server.value("SELECT count(*) FILTER (WHERE body = md5(n::text)) FROM kept")?, "2000");
    assert_eq!(server.value("SELECT count(*) FROM noise")?, "600000");
    Ok(())
}

#[test]
#[ignore = "writes gigabytes of rows: the deep profile runs it"]
fn a_relation_of_several_files_comes_back() -> Result<()> {
    let site = Site::plain(MAJOR)?;
    let rows = "SELECT n, repeat(md5(n::text), 30) AS body FROM generate_series(1, 1200000) n";
    site.server.execute(&format!("CREATE TABLE large AS {rows}"))?;
    site.server.execute("CREATE INDEX ON large (n)")?;
    let bytes: u64 = site.server.value("SELECT pg_relation_size('large')")?.parse()?;
    assert!(bytes > 1 << 30, "{bytes}");
    let data = site.server.data_directory().to_owned();
    let full = peak(&site, &data, &words(&["backup", "--full"]))?;
    site.server.execute("UPDATE large SET body = 'changed' WHERE n % 1000 = 0")?;
    let next = peak(&site, &data, &words(&["backup"]))?;
    site.archive_all()?;
    println!("a relation of {bytes} bytes: full backup at most {full} KiB, the next {next} KiB");
    assert!(full < MEMORY_MAX_KIB && next < MEMORY_MAX_KIB, "full {full} KiB, next {next} KiB");
    let server = site.restored(&["--latest"])?;
    let told = "SELECT count(*) FILTER (WHERE body = 'changed') || ' ' || \
                count(*) FILTER (WHERE body = repeat(md5(n::text), 30)) FROM large";
    assert_eq!(server.value(told)?, "1200 1198800");
    oracles::amcheck(&server)
}
