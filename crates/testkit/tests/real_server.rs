//! The test kit's own promises about servers, on every supported major.

use std::process::Command;
use std::time::Duration;

use seawall_testkit::identity::{run_as_server_user, server_user};
use seawall_testkit::{Binaries, Layout, Locale, Result, Server, StopMode, majors};

#[test]
fn a_plain_server_of_each_major_starts_answers_and_restarts() -> Result<()> {
    for major in majors() {
        let mut server = Server::builder(major).setting("work_mem", "3MB").start()?;
        assert_eq!(server.value("SHOW server_version_num")?[..2], major.to_string());
        assert_eq!(server.value("SHOW work_mem")?, "3MB");
        assert_eq!(server.value("SHOW listen_addresses")?, "");
        assert_eq!(server.value("SHOW data_checksums")?, "on");
        server.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")?;
        server.restart()?;
        assert_eq!(server.value("SELECT n FROM kept")?, "7");
        server.stop(StopMode::Fast)?;
    }
    Ok(())
}

#[test]
fn no_process_of_a_server_is_root_and_none_survives_it() -> Result<()> {
    let server = Server::builder(18).start()?;
    let pid = server.pid().expect("it was started");
    let owner = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let uid = owner
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|rest| rest.split_whitespace().next());
    assert_eq!(uid, Some(server_user()?.uid.to_string().as_str()));
    assert_ne!(uid, Some("0"));
    let place = server.scratch().path().to_owned();
    drop(server);
    assert!(!place.exists(), "{} is left", place.display());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the postmaster is left");
    Ok(())
}

#[test]
fn every_way_to_stop_ends_all_processes_and_keeps_what_was_committed() -> Result<()> {
    let mut server = Server::builder(17).start()?;
    server.execute("CREATE TABLE kept (n int)")?;
    for (n, mode) in [(1, StopMode::Kill), (2, StopMode::Immediate), (3, StopMode::Fast)] {
        server.execute(&format!("INSERT INTO kept VALUES ({n})"))?;
        server.stop(mode)?;
        server.start()?;
        assert_eq!(server.value("SELECT count(*) FROM kept")?, n.to_string(), "after {mode:?}");
    }
    Ok(())
}

#[test]
fn a_server_ends_when_its_test_process_is_killed() -> Result<()> {
    // This test runs itself: the inner one starts a server, says where, and waits to be killed.
    if std::env::var_os("SEAWALL_TESTKIT_INNER").is_some() {
        let server = Server::builder(18).start()?;
        println!("\ninner: {} {}", server.pid().expect("started"), server.scratch().path().display());
        std::thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let mut inner = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_server_ends_when_its_test_process_is_killed", "--nocapture"])
        .env("SEAWALL_TESTKIT_INNER", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let said = std::io::BufRead::lines(std::io::BufReader::new(inner.stdout.take().expect("piped")))
        .map_while(std::result::Result::ok)
        .find_map(|line| line.strip_prefix("inner: ").map(str::to_owned))
        .expect("the inner test says where its server is");
    inner.kill()?;
    inner.wait()?;
    let (pid, place) = said.split_once(' ').expect("two words");
    for _ in 0..200 {
        if !std::path::Path::new(place).exists() && !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server {pid} or its directory {place} is still there");
}

#[test]
fn debian_layout_keeps_configuration_wal_and_tablespaces_elsewhere() -> Result<()> {
    for major in majors() {
        let mut server = Server::builder(major).layout(Layout::Debian).setting("work_mem", "3MB").start()?;
        let files = server.files().clone();
        assert!(!files.data_directory.join("postgresql.conf").exists());
        assert!(!files.data_directory.join("pg_hba.conf").exists());
        assert!(files.data_directory.join("pg_wal").is_symlink());
        assert_eq!(server.value("SHOW work_mem")?, "3MB", "the setting stands in conf.d");
        assert_eq!(server.value("SHOW config_file")?, files.config_file.display().to_string());
        assert_eq!(
            server.value("SHOW hba_file")?,
            files.config_directory.join("pg_hba.conf").display().to_string()
        );
        let spaces =
            "SELECT string_agg(spcname, ' ' ORDER BY spcname) FROM pg_tablespace WHERE spcname LIKE 'ts%'";
        assert_eq!(server.value(spaces)?, "ts1 ts2");
        server.execute("CREATE TABLE away (n int) TABLESPACE ts2; INSERT INTO away VALUES (1)")?;
        server.restart()?;
        assert_eq!(server.value("SELECT n FROM away")?, "1");
    }
    Ok(())
}

#[test]
fn options_of_initdb_arrive() -> Result<()> {
    for major in majors() {
        let server = Server::builder(major)
            .data_checksums(false)
            .wal_segment_mebibytes(1)
            .group_access()
            .locale(Locale::CUtf8)
            .tablespace("a \"b\" ü")
            .start()?;
        assert_eq!(server.value("SHOW data_checksums")?, "off");
        assert_eq!(server.value("SHOW wal_segment_size")?, "1MB");
        assert_eq!(server.value("SHOW data_directory_mode")?, "0750");
        assert_eq!(server.value("SELECT datcollate FROM pg_database WHERE datname = 'postgres'")?, "C.UTF-8");
        assert_eq!(server.value("SELECT spcname FROM pg_tablespace WHERE oid >= 16384")?, "a \"b\" ü");
    }
    Ok(())
}

#[test]
fn icu_is_the_provider_where_a_build_has_it_and_else_refused_in_words() -> Result<()> {
    for major in majors() {
        let builder = Server::builder(major).locale(Locale::Icu("en-US".to_owned()));
        if major >= 15 && Binaries::find_with_icu(major)?.is_some() {
            let server = builder.start()?;
            assert_eq!(
                server.value("SELECT datlocprovider FROM pg_database WHERE datname = 'postgres'")?,
                "i"
            );
        } else {
            let failure = builder.start().expect_err("no ICU");
            assert!(failure.text().contains("ICU"), "{failure}");
        }
    }
    Ok(())
}

#[test]
fn servers_share_an_identity_unless_a_fresh_one_is_asked_for() -> Result<()> {
    let identity = |server: &Server| -> Result<String> {
        let told = run_as_server_user(
            server.binaries().command("pg_controldata").arg("-D").arg(server.data_directory()),
        )?;
        let line = told.lines().find(|line| line.starts_with("Database system identifier"));
        Ok(line.expect("pg_controldata names it").to_owned())
    };
    let one = Server::builder(16).build()?;
    let two = Server::builder(16).build()?;
    let fresh = Server::builder(16).fresh_identity().build()?;
    assert_eq!(identity(&one)?, identity(&two)?);
    assert_ne!(identity(&one)?, identity(&fresh)?);
    Ok(())
}

#[test]
fn a_standby_is_an_existing_directory_that_can_be_promoted() -> Result<()> {
    let primary = Server::builder(18).start()?;
    primary.execute("CREATE TABLE kept AS SELECT 1 AS n")?;
    let scratch = seawall_testkit::Scratch::new()?;
    let copy = scratch.path().join("standby");
    let mut basebackup = primary.binaries().command("pg_basebackup");
    basebackup
        .args(["-c", "fast", "-X", "stream", "-R", "-d", &primary.connection_string("postgres"), "-D"])
        .arg(&copy);
    run_as_server_user(&mut basebackup)?;
    let mut standby = Server::existing(18, &copy)?;
    standby.start()?;
    assert_eq!(standby.value("SELECT pg_is_in_recovery()")?, "t");
    standby.promote()?;
    assert_eq!(standby.value("SELECT count(*) FROM kept")?, "1");
    assert_eq!(standby.value("SELECT timeline_id FROM pg_control_checkpoint()")?, "2");
    Ok(())
}

#[test]
fn a_failed_start_tells_the_end_of_the_log() {
    let mut server =
        Server::builder(18).setting("shared_buffers", "many").build().expect("files can be made");
    let failure = server.start().expect_err("a wrong setting");
    assert!(failure.text().contains("invalid value for parameter"), "{failure}");
}
