//! The ledger against recovery by PostgreSQL itself: a base backup and archived WAL, restored to targets of every kind.
//!
//! If these fail, the ledger is wrong, for nothing of seawall's takes part.

use std::path::Path;
use std::time::Duration;

use postgres::types::PgLsn;
use seawall_testkit::identity::{run_as_server_user, write_file};
use seawall_testkit::workload::{Ledger, Options, SETTINGS, Target, Workload, judge};
use seawall_testkit::{Context, Failure, Result, Scratch, Server, StopMode, majors};

/// A server that worked, with a base backup of its first seconds and all its WAL.
struct Past {
    server: Server,
    backup: std::path::PathBuf,
    archive: std::path::PathBuf,
    backup_end: PgLsn,
    ledger: Ledger,
}

fn work(major: u16, commits: u64) -> Result<Past> {
    let mut builder = Server::builder(major).archive_command("false");
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    let server = builder.start()?;
    let archive = server.scratch().directory("archive")?;
    server.set("archive_command", &format!("cp %p {}/%f", archive.display()))?;
    let workload = Workload::start(&server, Options::default())?;
    workload.wait_for_commits(commits / 4)?;
    let backup = server.scratch().path().join("backup");
    let mut basebackup = server.binaries().command("pg_basebackup");
    basebackup
        .args(["-c", "fast", "-X", "none", "-d", &server.connection_string("postgres"), "-D"])
        .arg(&backup);
    run_as_server_user(&mut basebackup)?;
    let backup_end = server.value("SELECT pg_current_wal_insert_lsn()")?;
    let backup_end = backup_end.parse().map_err(|_| Failure::new("no LSN"))?;
    workload.wait_for_commits(commits / 2)?;
    server.execute("SELECT pg_create_restore_point('half way')")?;
    workload.wait_for_commits(commits / 4)?;
    let ledger = workload.finish(&server)?;
    wait_for_archiving(&server)?;
    Ok(Past { server, backup, archive, backup_end, ledger })
}

fn wait_for_archiving(server: &Server) -> Result<()> {
    let last = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
    server.execute("SELECT pg_switch_wal()")?;
    for _ in 0..600 {
        if server.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")? >= last {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Failure::new(format!("{last} was not archived: {}", server.log())))
}

fn restore(past: &Past, target: &Target, scratch: &Scratch, number: usize) -> Result<Server> {
    let directory = scratch.path().join(format!("restored{number}"));
    run_as_server_user(std::process::Command::new("cp").arg("-a").arg(&past.backup).arg(&directory))?;
    let mut settings =
        format!("\nrestore_command = 'cp {}/%f %p'\narchive_mode = off\n", past.archive.display());
    settings.push_str("recovery_target_action = promote\n");
    for (name, value) in target.settings() {
        settings.push_str(&format!("{name} = '{value}'\n"));
    }
    append(&directory.join("postgresql.conf"), &settings)?;
    write_file(&directory.join("recovery.signal"), "", 0o600)?;
    let mut server = Server::existing(past.server.major(), &directory)?;
    server.spawn()?;
    server.wait_for_end_of_recovery(Duration::from_secs(120))?;
    Ok(server)
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut content = std::fs::read_to_string(path)?;
    content.push_str(text);
    write_file(path, content, 0o600)
}

fn recovery_holds_what_the_ledger_says(major: u16) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    let past = work(major, 300)?;
    let (committed, rolled_back, unknown) = past.ledger.counts();
    assert!(
        committed >= 300 && rolled_back > 0 && unknown == 0,
        "{committed} committed, {rolled_back} rolled back, {unknown} unknown"
    );
    past.ledger.expected_now()?.check(&past.server)?;
    let mut targets = past.ledger.targets(past.backup_end, 3, u64::from(major))?;
    targets.push(Target::RestorePoint("half way".to_owned()));
    let scratch = Scratch::new()?;
    for (number, target) in targets.iter().enumerate() {
        let expected = past.ledger.expected_at(target)?;
        let server = restore(&past, target, &scratch, number)?;
        judge(server, &expected).context(|| format!("PostgreSQL {major}, {target:?}"))?;
    }
    Ok(())
}

#[test]
fn recovery_of_14_holds_what_the_ledger_says() -> Result<()> {
    recovery_holds_what_the_ledger_says(14)
}

#[test]
fn recovery_of_15_holds_what_the_ledger_says() -> Result<()> {
    recovery_holds_what_the_ledger_says(15)
}

#[test]
fn recovery_of_16_holds_what_the_ledger_says() -> Result<()> {
    recovery_holds_what_the_ledger_says(16)
}

#[test]
fn recovery_of_17_holds_what_the_ledger_says() -> Result<()> {
    recovery_holds_what_the_ledger_says(17)
}

#[test]
fn recovery_of_18_holds_what_the_ledger_says() -> Result<()> {
    recovery_holds_what_the_ledger_says(18)
}

#[test]
fn every_kind_of_difference_is_found_and_named() -> Result<()> {
    let server = Server::builder(18).setting(SETTINGS[0].0, SETTINGS[0].1).start()?;
    let workload = Workload::start(&server, Options { seed: 7, ..Options::default() })?;
    workload.wait_for_commits(300)?;
    let ledger = workload.finish(&server)?;
    let expected = ledger.expected_now()?;
    expected.check(&server)?;
    let damages = [
        ("DELETE FROM ledger_entry WHERE number = (SELECT max(number) FROM ledger_entry)", "transactions by"),
        ("INSERT INTO ledger_entry VALUES (99999999, 0, '')", "too much"),
        ("DELETE FROM ledger_part WHERE ctid = (SELECT max(ctid) FROM ledger_part)", "parts of transactions"),
        (
            "UPDATE ledger_part SET body = 'x' WHERE ctid = (SELECT max(ctid) FROM ledger_part)",
            "parts with wrong content",
        ),
        ("UPDATE ledger_account SET balance = balance + 1 WHERE account = 3", "sum of balances"),
        ("CREATE TABLE ledger_own_0_0 AS SELECT 1::bigint AS n, md5('1') AS body", "rows of writers' tables"),
        ("SELECT lo_from_bytea(77, '\\x00')", "large objects"),
        (
            "SELECT lo_put(oid, 0, '\\x00') FROM (SELECT max(oid) AS oid FROM pg_largeobject_metadata) o",
            "large objects with wrong content",
        ),
    ];
    for (damage, named) in damages {
        server.execute(damage)?;
        let failure = expected.check(&server).expect_err(damage);
        assert!(failure.text().contains(named), "after {damage}: {failure}");
    }
    Ok(())
}

#[test]
fn a_workload_survives_kills_and_wal_decides_what_committed() -> Result<()> {
    let mut server = Server::builder(17).setting(SETTINGS[0].0, SETTINGS[0].1).start()?;
    let options = Options { survives_disconnects: true, databases: false, ..Options::default() };
    let workload = Workload::start(&server, options)?;
    for mode in [StopMode::Kill, StopMode::Immediate] {
        workload.wait_for_commits(100)?;
        server.stop(mode)?;
        server.start()?;
    }
    workload.wait_for_commits(100)?;
    let ledger = workload.finish(&server)?;
    ledger.expected_now()?.check(&server)
}
