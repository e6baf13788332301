//! A standby beside a site's server, as most are made, with settings as on its own host.

#![allow(dead_code, reason = "each test binary uses the part it needs")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_testkit::identity::{run_as_server_user, write_file};
use seawall_testkit::{Result, Server, run_seawall};
use serde_json::Value;

use super::{RECOVERY_LIMIT, Site, json};

/// Waits until WAL comes from the primary.
pub(crate) fn streams(standby: &mut Server) -> Result<()> {
    let streams = "SELECT status = 'streaming' FROM pg_stat_wal_receiver";
    standby.wait_for("streaming", RECOVERY_LIMIT, |one| Ok(one.value(streams).is_ok_and(|is| is == "t")))
}

/// Waits until all that the primary has written is replayed.
pub(crate) fn follows(site: &Site, standby: &mut Server) -> Result<()> {
    let written = site.server.value("SELECT pg_current_wal_flush_lsn()")?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    standby.wait_for("replay", RECOVERY_LIMIT, |one| Ok(one.value(&replayed).is_ok_and(|is| is == "t")))
}

/// Settings as on the host of another server of the cluster: its directory and its socket, the same repository.
pub(crate) fn settings_of(site: &Site, server: &Server, name: &str) -> Result<PathBuf> {
    let of = |server: &Server| {
        [server.data_directory(), &server.socket_directory()].map(|path| path.display().to_string())
    };
    let text = of(&site.server)
        .into_iter()
        .zip(of(server))
        .fold(site.settings_text(), |text, (from, to)| text.replace(&from, &to));
    let path = site.home().path().join(format!("{name}.toml"));
    write_file(&path, text, 0o600)?;
    Ok(path)
}

/// A standby by `pg_basebackup`, with its primary's settings.
pub(crate) fn copied(site: &Site, name: &str) -> Result<Server> {
    let directory = site.home().path().join(name);
    let mut copy = site.server.binaries().command("pg_basebackup");
    copy.args(["--checkpoint=fast", "--port=5432", "--username=postgres", "--pgdata"]);
    copy.arg(&directory).arg("--host").arg(site.server.socket_directory());
    run_as_server_user(&mut copy)?;
    follow(&directory, &site.server)?;
    let mut standby = Server::existing(site.server.major(), &directory)?;
    standby.start()?;
    streams(&mut standby)?;
    Ok(standby)
}

/// Makes a stopped server's directory a standby of `primary`.
pub(crate) fn follow(directory: &Path, primary: &Server) -> Result<()> {
    write_file(&directory.join("standby.signal"), "", 0o600)?;
    let socket = primary.socket_directory();
    let line = format!("primary_conninfo = 'host={} port=5432 user=postgres'\n", socket.display());
    let auto = directory.join("postgresql.auto.conf");
    write_file(&auto, std::fs::read_to_string(&auto)? + &line, 0o600)
}

/// A backup of a standby without a finding, with the primary at work: its checkpoints and its segments are what the standby waits for.
/// Each checkpoint is inside a segment, and none of this changes a page of a relation.
pub(crate) fn backup_of(site: &Site, settings: &Path, more: &[&str]) -> Result<Value> {
    let line = ["-c".as_ref(), settings.as_os_str(), "backup".as_ref(), "--json".as_ref()];
    let line: Vec<_> = line.into_iter().chain(more.iter().map(AsRef::as_ref)).collect();
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| run_seawall(&line));
        while !backup.is_finished() {
            site.server.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 3000))")?;
            site.server.execute("CHECKPOINT")?;
            site.server.execute("SELECT pg_switch_wal()")?;
            std::thread::sleep(Duration::from_millis(300));
        }
        let ended = backup.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        json(&ended?.expect_code(0)?)
    })
}
