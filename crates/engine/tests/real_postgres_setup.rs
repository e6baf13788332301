//! PostgreSQL's side of `init` on real servers: role and settings made, made again without a change, refused elsewhere.

use seawall_engine::postgres_setup::{self, ArchivingWanted, Change, RoleWanted, SetupOptions};
use seawall_engine::source::{ConnectOptions, Connection, Credentials, Facts, grants, read_control};
use seawall_store::world::World;
use seawall_testkit::{Result, Server, majors};

fn connect(server: &Server, rest: &str) -> ConnectOptions {
    let conninfo = format!("host={} {rest}", server.socket_directory().display());
    ConnectOptions { conninfo, credentials: Credentials::default() }
}

fn options(server: &Server) -> Result<SetupOptions> {
    let user = server.value("SELECT current_user")?;
    let control = read_control(server.data_directory(), &*World::system().clock)?;
    Ok(SetupOptions {
        administrator: connect(server, &format!("user={user} dbname=template1")),
        role: Some(RoleWanted { name: "sea \"wall".to_owned(), database: "postgres".to_owned() }),
        archiving: Some(ArchivingWanted { command: "test -n 'it''s' && true %p".to_owned() }),
        system: control.file.system_identifier,
        system_user: "postgres".to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_role_and_archiving_are_made_once() -> Result<()> {
    for major in [majors().first().copied(), majors().last().copied()].into_iter().flatten() {
        let mut server = Server::builder(major).start()?;
        server.execute("ALTER SYSTEM SET archive_mode = off")?;
        server.execute("CREATE DATABASE closed")?;
        server.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")?;
        let (options, world) = (options(&server)?, World::system());
        let plan = postgres_setup::plan(&options).await?;
        assert!(plan.needs_restart() && plan.role.len() == 7, "{major}: {plan:?}");
        let report = postgres_setup::run(plan, &options, &world).await?;
        assert_eq!(report.overridden, Vec::<&str>::new(), "{major}");
        // Before the restart: nothing is left to set, and what waits is told.
        let waiting = postgres_setup::plan(&options).await?;
        assert!(waiting.is_empty() && waiting.needs_restart(), "{major}: {waiting:?}");
        assert!(waiting.settings.iter().all(|difference| difference.change == Change::InFiles));
        server.restart()?;
        let done = postgres_setup::plan(&options).await?;
        assert!(done.is_empty() && done.settings.is_empty(), "{major}: {done:?}");
        let as_role = connect(&server, "user='sea \"wall' dbname=postgres");
        let connection = Connection::open(&as_role).await?;
        assert_eq!(grants::missing(&connection).await?, [], "{major}");
        let facts = Facts::gather(&connection, &as_role).await?;
        assert_eq!((facts.archiving.mode.as_str(), facts.archiving.timeout_seconds), ("on", 60), "{major}");
        assert_eq!(facts.archiving.command, "test -n 'it''s' && true %p");
        server.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() FROM \"sea \"\"wall\"")?;
        let again = postgres_setup::plan(&options).await?;
        assert_eq!(again.role.len(), 1, "{major}: {again:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_a_server_of_another_data_directory_is_refused() -> Result<()> {
    let Some(major) = majors().last().copied() else { return Ok(()) };
    let server = Server::builder(major).start()?;
    let mut options = options(&server)?;
    options.system = "1".parse()?;
    let error = postgres_setup::plan(&options).await.expect_err("another cluster");
    assert_eq!(error.id(), "init.other-server");
    assert_eq!(server.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'sea%'")?, "0");
    Ok(())
}
