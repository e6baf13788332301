//! Recovery of real servers with the settings and the target that a restore writes, on every supported major.
//!
//! The archive is a directory and the program a shell script with `wal fetch`'s arguments: what is tested is that the server takes the
//! settings, stops behind the very last archived record, and does not open when that record is missing.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall_engine::restore::plan::StopAt;
use seawall_engine::restore::recovery_settings::{Purpose, RecoveryRequest, TargetAction, recovery_settings};
use seawall_engine::restore::wal_end::{WalOf, WalWalk};
use seawall_pg::{SegmentName, SystemIdentifier, Timeline, Version, WalSegmentSize};
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Result, Scratch, Server, majors};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_latest_point_is_reached_on_every_major_and_never_missed_silently() -> Result<()> {
    for major in majors() {
        let scratch = Scratch::new()?;
        let archive = scratch.directory("archive")?;
        let source = source(major, &archive)?;
        let copy = scratch.path().join("copy");
        base_backup(&source, &copy)?;
        write_on(&source)?;
        let names = archived(&archive)?;
        let stop_at = end_of(&source, major, &archive, &names)?;
        let program = fetch_script(&scratch, &archive)?;
        arm(&copy, major, &stop_at, &program)?;
        let short = scratch.path().join("short");
        run_as_server_user(Command::new("cp").arg("-a").arg(&copy).arg(&short))?;

        let mut restored = Server::existing(major, &copy)?;
        restored.spawn()?;
        restored.wait_for_end_of_recovery(LIMIT)?;
        assert_eq!(
            restored.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM kept")?,
            "1 2 3",
            "{major}"
        );
        assert_eq!(restored.value("SHOW archive_mode")?, "off", "{major}");
        assert_eq!(restored.value("SHOW synchronous_standby_names")?, "", "{major}");
        drop(restored);

        // Without the last segment the server must not open: its end of WAL is not the one that was proven.
        fs::remove_file(archive.join(names.last().expect("some").to_string()))?;
        let mut early = Server::existing(major, &short)?;
        early.spawn()?;
        let status = early.wait_for_exit(LIMIT)?;
        assert!(!status.success(), "{major}: {status}");
        assert!(
            early.log().contains("recovery ended before configured recovery target was reached"),
            "{}",
            early.log()
        );
    }
    Ok(())
}

fn source(major: u16, archive: &Path) -> Result<Server> {
    let command = format!("cp %p {}/%f", archive.display());
    let server = Server::builder(major)
        .wal_segment_mebibytes(1)
        .setting("archive_mode", "on")
        .setting("archive_command", &command)
        .setting("synchronous_standby_names", "")
        .start()?;
    server.execute("CREATE TABLE kept (n int)")?;
    server.execute("INSERT INTO kept VALUES (1)")?;
    Ok(server)
}

fn base_backup(source: &Server, copy: &Path) -> Result<()> {
    let mut basebackup = source.binaries().command("pg_basebackup");
    basebackup.args([
        "-c",
        "fast",
        "-X",
        "none",
        "--no-manifest",
        "-d",
        &source.connection_string("postgres"),
        "-D",
    ]);
    run_as_server_user(basebackup.arg(copy))?;
    Ok(())
}

/// Two commits, each in a segment of its own; the second is the last thing that is archived.
fn write_on(source: &Server) -> Result<()> {
    for n in [2, 3] {
        source.execute(&format!("INSERT INTO kept VALUES ({n})"))?;
        let last = source.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
        source.execute("SELECT pg_switch_wal()")?;
        let until = std::time::Instant::now() + LIMIT;
        while source
            .value(&format!("SELECT coalesce(last_archived_wal >= '{last}', false) FROM pg_stat_archiver"))?
            != "t"
        {
            assert!(std::time::Instant::now() < until, "{last} is not archived");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn archived(archive: &Path) -> Result<Vec<SegmentName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(archive)? {
        names.extend(entry?.file_name().to_string_lossy().parse::<SegmentName>());
    }
    names.sort();
    Ok(names)
}

fn end_of(source: &Server, major: u16, archive: &Path, names: &[SegmentName]) -> Result<StopAt> {
    let system: SystemIdentifier =
        source.value("SELECT system_identifier FROM pg_control_system()")?.parse().expect("a number");
    let of = WalOf {
        version: Version::from_major(u32::from(major)).expect("supported"),
        system,
        size: WalSegmentSize::new(1 << 20).expect("a power of two"),
    };
    let last = names.last().expect("some");
    let mut walk = WalWalk::new(of, last.number(of.size).expect("of this size"));
    walk.segment(&fs::read(archive.join(last.to_string()))?);
    let record = walk.finish().last.expect("a record");
    Ok(StopAt::Lsn { lsn: record.start, inclusive: true })
}

/// In a directory whose name wants quoting.
fn fetch_script(scratch: &Scratch, archive: &Path) -> Result<PathBuf> {
    let directory = scratch.directory("it's 100% here")?;
    let program = directory.join("seawall");
    let script = format!(
        "#!/bin/sh\ntest \"$1 $2 $3\" = 'wal fetch --plan' || exit 126\ncp '{}'/\"$5\" \"$6\"\n",
        archive.display()
    );
    fs::write(&program, script)?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

fn arm(copy: &Path, major: u16, stop_at: &StopAt, program: &Path) -> Result<()> {
    let auto = fs::read(copy.join("postgresql.auto.conf"))?;
    let minimums = [("max_connections".to_owned(), 150)];
    let request = RecoveryRequest {
        version: Version::from_major(u32::from(major)).expect("supported"),
        purpose: Purpose::Recover { stop_at: stop_at.clone(), action: TargetAction::Promote },
        timeline: Timeline::FIRST,
        program: program.to_owned(),
        is_successor: false,
        keep_commands: false,
        minimums: &minimums,
        has_in_place_tablespaces: false,
        host_settings: &[],
    };
    let settings = recovery_settings(&auto, &[], &request).expect("writable");
    fs::write(copy.join("postgresql.auto.conf"), settings.auto_conf)?;
    run_as_server_user(Command::new("touch").arg(copy.join(settings.signal_file)))?;
    Ok(())
}
