//! The source's questions and the backup session, on a real server of each version, as the least-privileged role.

use std::time::Duration;

use seawall_engine::source::facts::{Contents, ManagedService};
use seawall_engine::source::{
    ConnectOptions, Connection, Credentials, Facts, SessionError, StartOptions, Started, grants, read_control,
};
use seawall_engine::{Error, Kind};
use seawall_pg::{Lsn, Timeline, Version};
use seawall_store::world::World;
use seawall_testkit::{Failure, Layout, Result, Server, StopMode, majors};

/// One test for each major, so that they run side by side and each takes a second or two.
macro_rules! on_each_major {
    ($($name:ident)*) => { $(mod $name {
        #[test]
        fn real_14() -> seawall_testkit::Result<()> { super::on(14, super::$name) }
        #[test]
        fn real_15() -> seawall_testkit::Result<()> { super::on(15, super::$name) }
        #[test]
        fn real_16() -> seawall_testkit::Result<()> { super::on(16, super::$name) }
        #[test]
        fn real_17() -> seawall_testkit::Result<()> { super::on(17, super::$name) }
        #[test]
        fn real_18() -> seawall_testkit::Result<()> { super::on(18, super::$name) }
    })* };
}

on_each_major! {
    facts_are_complete_for_the_least_privileged_role
    a_backup_starts_and_stops
    a_promotion_in_the_middle_is_told_apart
}

fn on<F: Future<Output = Result<()>>>(major: u16, test: fn(u16) -> F) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test(major))
}

fn options(server: &Server, role: &str) -> ConnectOptions {
    let conninfo = format!("host={} user={role} dbname=postgres", server.socket_directory().display());
    ConnectOptions { conninfo, credentials: Credentials::default() }
}

/// Makes exactly the role that `init` shows.
fn make_role(server: &Server) -> Result<ConnectOptions> {
    let version = Version::from_major(u32::from(server.major()))?;
    for statement in grants::role_sql(version, "seawall", &[]) {
        server.execute(&statement)?;
    }
    Ok(options(server, "seawall"))
}

fn start_options() -> StartOptions {
    StartOptions { label: r"a 'test' \ $2".into(), fast_checkpoint: true, deadline: Duration::from_secs(60) }
}

async fn started(options: &ConnectOptions) -> Result<Started> {
    let connection = Connection::open(options).await?;
    Ok(Started::start(connection, &start_options(), &World::system()).await?)
}

async fn facts_are_complete_for_the_least_privileged_role(major: u16) -> Result<()> {
    let server = Server::builder(major)
        .layout(Layout::Debian)
        .archive_command("true")
        .setting("shared_preload_libraries", "auto_explain")
        .start()?;
    server.execute(
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i; ANALYZE t; CREATE UNLOGGED TABLE \"u'\"()",
    )?;
    server.execute("CREATE DATABASE \"closed db\"")?;
    server.execute("REVOKE CONNECT ON DATABASE \"closed db\" FROM PUBLIC")?;
    server.execute("CREATE DATABASE broken")?;
    server.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'")?;
    server.execute_in("template1", "CREATE EXTENSION pgcrypto")?;
    server.execute("SELECT pg_create_physical_replication_slot('slot')")?;
    server.execute("BEGIN; CREATE TABLE p (i int); PREPARE TRANSACTION 'prepared one'")?;
    let options = make_role(&server)?;
    let connection = Connection::open(&options).await?;
    assert!(grants::missing(&connection).await?.is_empty(), "{major}");
    let facts = Facts::gather(&connection, &options).await?;
    check_facts(&facts, &server)?;
    Ok(())
}

fn check_facts(facts: &Facts, server: &Server) -> Result<()> {
    let control = read_control(server.data_directory(), &*World::system().clock)?;
    assert_eq!(facts.system_identifier, control.file.system_identifier);
    assert_eq!(facts.server.version.major(), server.major());
    assert_eq!((facts.timeline, facts.in_recovery), (Timeline::FIRST, false));
    assert_eq!(facts.files.data_directory, server.data_directory());
    assert_eq!(facts.files.config_file, server.files().config_file);
    assert_eq!(facts.files.hba_file, server.files().config_directory.join("pg_hba.conf"));
    assert_eq!(facts.wal_segment_size, control.file.wal_segment_size);
    assert_eq!(facts.minimums, control.file.minimums);
    assert_eq!((facts.block_bytes, facts.data_checksums.as_str()), (8192, "on"));
    assert_eq!((facts.archiving.mode.as_str(), facts.archiving.command.as_str()), ("on", "true"));
    assert_eq!(facts.archiving.library.is_some(), server.major() >= 15);
    assert_eq!(facts.preload_libraries, ["auto_explain"]);
    let places: Vec<_> =
        facts.tablespaces.iter().map(|space| (space.name.clone(), space.location.clone())).collect();
    assert_eq!(places, server.files().tablespaces);
    assert_eq!(facts.replication_slots.len(), 1);
    assert_eq!(facts.prepared_transactions[0].identifier, "prepared one");
    assert_eq!(facts.managed_service, None);
    facts.refuse_managed_service()?;
    check_databases(facts)
}

fn check_databases(facts: &Facts) -> Result<()> {
    let of = |name: &str| {
        let found = facts.databases.iter().find(|database| database.name == name);
        found.ok_or_else(|| Failure::new(format!("no {name} in {:?}", facts.databases)))
    };
    let reason = |name: &str| match &of(name)?.contents {
        Contents::NotAsked { reason } => Ok(reason.clone()),
        Contents::Asked(_) => Err(Failure::new(format!("{name} was asked"))),
    };
    assert_eq!(reason("template0")?, "it does not allow connections");
    assert_eq!(reason("closed db")?, "the role lacks CONNECT on it");
    assert_eq!(reason("broken")?, "its DROP DATABASE was interrupted");
    assert!(of("broken")?.is_invalid);
    assert_eq!((of("postgres")?.encoding.as_str(), of("postgres")?.provider.as_str()), ("UTF8", "libc"));
    let Contents::Asked(inside) = &of("postgres")?.contents else {
        return Err(Failure::new("postgres not asked"));
    };
    assert_eq!((inside.unlogged.count, inside.unlogged.named.clone()), (1, vec!["public.\"u'\"".to_owned()]));
    assert_eq!((inside.row_estimates[0].table.as_str(), inside.row_estimates[0].rows), ("t", 1000));
    let Contents::Asked(template) = &of("template1")?.contents else {
        return Err(Failure::new("template1 not asked"));
    };
    assert!(template.extensions.iter().any(|extension| extension.name == "pgcrypto"));
    assert!(template.libraries.iter().any(|library| library.contains("pgcrypto")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_each_grant_is_needed_and_its_absence_is_named() -> Result<()> {
    let major = *majors().last().ok_or_else(|| Failure::new("no majors"))?;
    let server = Server::builder(major).start()?;
    server.execute("CREATE ROLE bare LOGIN")?;
    let options = options(&server, "bare");
    let connection = Connection::open(&options).await?;
    let missing = grants::missing(&connection).await?;
    let all = grants::grants(connection.server_version().version, "bare");
    assert_eq!(missing, all);
    let error = Started::start(connection, &start_options(), &World::system()).await.expect_err("no grant");
    let error = Error::from(error);
    assert_eq!((error.id(), error.kind()), ("source.refused", Kind::Source));
    assert!(error.hints().iter().any(|hint| hint.contains("seawall check")));
    let error =
        Facts::gather(&Connection::open(&options).await?, &options).await.expect_err("settings are hidden");
    assert!(
        error.to_string().contains("data_directory") || error.to_string().contains("config_file"),
        "{error}"
    );
    Ok(())
}

async fn a_backup_starts_and_stops(major: u16) -> Result<()> {
    let server = Server::builder(major).layout(Layout::Debian).start()?;
    let options = make_role(&server)?;
    let started = started(&options).await?;
    server.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")?;
    let bound = started.lsn_bound();
    assert_eq!(bound.known(), started.start_lsn());
    let now: Lsn = server.value("SELECT pg_current_wal_insert_lsn()")?.parse()?;
    let asked = tokio::task::spawn_blocking(move || bound.covering_blocking(now)).await??;
    assert!(asked >= now);
    started.check().await?;
    let start_lsn = started.start_lsn();
    let (stopped, connection) = started.stop().await?;
    assert_eq!(
        (stopped.start_lsn, stopped.timeline, stopped.on_standby),
        (start_lsn, Timeline::FIRST, false)
    );
    assert!(stopped.stop_lsn > start_lsn);
    let label = String::from_utf8_lossy(&stopped.label).into_owned();
    assert!(label.contains("LABEL: a 'test' \\ $2\n"), "{label}");
    assert_eq!(stopped.tablespace_map.iter().filter(|byte| **byte == b'\n').count(), 2);
    // The connection serves a second backup.
    Started::start(connection, &start_options(), &World::system()).await?.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_that_goes_away_ends_the_backup_with_its_reason() -> Result<()> {
    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Kill] {
        let major = *majors().last().ok_or_else(|| Failure::new("no majors"))?;
        let mut server = Server::builder(major).start()?;
        let options = make_role(&server)?;
        let started = started(&options).await?;
        server.stop(mode)?;
        let lost = tokio::time::timeout(Duration::from_secs(20), started.lost()).await?;
        assert!(matches!(lost, SessionError::Gone { .. }), "{mode:?}: {lost}");
        let error = Error::from(started.stop().await.expect_err("the server is gone"));
        assert_eq!((error.id(), error.kind()), ("source.connection-lost", Kind::Source));
        if mode == StopMode::Fast {
            let words = "terminating connection due to administrator command";
            assert!(lost.to_string().contains(words) && error.to_string().contains(words), "{lost}; {error}");
        }
    }
    Ok(())
}

async fn a_promotion_in_the_middle_is_told_apart(major: u16) -> Result<()> {
    let mut primary = Server::builder(major).fresh_identity().build()?;
    // A cold copy of a stopped server is a standby's data directory.
    primary.start()?;
    let _role = make_role(&primary)?;
    primary.stop(StopMode::Fast)?;
    std::fs::write(primary.data_directory().join("standby.signal"), "")?;
    primary.start()?;
    let options = options(&primary, "seawall");
    let started = started(&options).await?;
    assert!(started.on_standby());
    started.check().await?;
    primary.promote()?;
    assert!(matches!(started.check().await, Err(SessionError::Promoted)), "{major}");
    let Err(error) = started.stop().await else { return Err(Failure::new("a promotion went unnoticed")) };
    assert!(matches!(error, SessionError::Promoted), "{major}: {error}");
    let facts = Facts::gather(&Connection::open(&options).await?, &options).await?;
    assert_eq!(facts.timeline.to_string(), "2", "{major}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_session_that_is_killed_or_a_late_checkpoint_is_an_error_in_words() -> Result<()> {
    let major = *majors().first().ok_or_else(|| Failure::new("no majors"))?;
    let server = Server::builder(major).start()?;
    let options = make_role(&server)?;
    let started = started(&options).await?;
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seawall'",
    )?;
    assert!(matches!(started.stop().await, Err(SessionError::Gone { .. })));

    server.execute("CREATE TABLE t AS SELECT generate_series(1, 100000) AS i")?;
    let slow =
        StartOptions { fast_checkpoint: false, deadline: Duration::from_millis(300), ..start_options() };
    let connection = Connection::open(&options).await?;
    let error = Started::start(connection, &slow, &World::system())
        .await
        .expect_err("a spread checkpoint takes minutes");
    assert!(matches!(error, SessionError::CheckpointLate { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_managed_service_is_refused_in_words_and_its_role_alone_is_not() -> Result<()> {
    let major = *majors().last().ok_or_else(|| Failure::new("no majors"))?;
    let server = Server::builder(major).start()?;
    let options = make_role(&server)?;
    let connection = Connection::open(&options).await?;
    server.execute("CREATE ROLE cloudsqlsuperuser")?;
    assert_eq!(Facts::gather(&connection, &options).await?.managed_service, None);
    server.execute("CREATE DATABASE cloudsqladmin")?;
    let facts = Facts::gather(&connection, &options).await?;
    assert_eq!(facts.managed_service, Some(ManagedService::CloudSql));
    let error = facts.refuse_managed_service().expect_err("refused");
    assert!(error.to_string().starts_with("Google Cloud SQL does not give access"), "{error}");
    Ok(())
}
