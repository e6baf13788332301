//! Walking and reading the files of real servers: their layouts, their broken pages, and what changes meanwhile.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_engine::source::external::ExternalKind;
use seawall_engine::source::{
    ConnectOptions, Connection, Credentials, FixedCeiling, PageRules, RUN_PAGES_MAX, Reader, StartOptions,
    Started, Walk, WalkEntry, WalkError, find_external, read_control,
};
use seawall_engine::{Error, source::Facts};
use seawall_pg::page_check::{BrokenPage, BrokenReason};
use seawall_pg::{CopyRule, EntryKind, Lsn, PAGE_BYTES, SkipReason, Version};
use seawall_store::world::World;
use seawall_testkit::identity::server_user;
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
    debian_s_layout_is_walked_whole_and_found_good
    a_wrong_byte_is_found_and_named
    reading_while_the_server_works_finds_no_page_broken
    tablespaces_in_place_and_group_access_are_seen
    debian_s_configuration_is_found_outside
}

fn on<F: Future<Output = Result<()>>>(major: u16, test: fn(u16) -> F) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test(major))
}

fn version(server: &Server) -> Result<Version> {
    Ok(Version::from_major(u32::from(server.major()))?)
}

fn walked(server: &Server) -> Result<Vec<WalkEntry>> {
    Ok(Walk::new(server.data_directory(), version(server)?)?.collect::<std::result::Result<_, _>>()?)
}

fn paths(entries: &[WalkEntry]) -> BTreeSet<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

/// The reader of a stopped server: nothing may be newer than its last checkpoint.
fn reader_of_stopped(server: &Server) -> Result<Reader> {
    let world = World::system();
    let control = read_control(server.data_directory(), &*world.clock)?.file;
    let rules = PageRules {
        backup_start: control.checkpoint_lsn,
        checksums: control.data_checksums(),
        relation_segment_blocks: control.relation_segment_blocks,
        ceiling: Arc::new(FixedCeiling(Lsn(control.checkpoint_lsn.0 + 8192))),
    };
    Ok(Reader::new(server.data_directory(), rules, world.clock, None))
}

/// Broken pages with the files they are in.
type Broken = Vec<(String, BrokenPage)>;

/// Reads every file of the walk in runs. Bytes read, files that were gone, broken pages with their files.
fn read_all(reader: &Reader, entries: &[WalkEntry]) -> Result<(u64, u64, Broken)> {
    let mut buffer = vec![0; RUN_PAGES_MAX * PAGE_BYTES];
    let (mut bytes, mut gone, mut broken) = (0, 0, Vec::new());
    for entry in entries.iter().filter(|entry| entry.is_copied_file()) {
        let Some(mut file) = reader.open(&entry.path, Some(entry.size_bytes))? else {
            gone += 1;
            continue;
        };
        let mut offset = 0;
        loop {
            let run = file.read_run(offset, &mut buffer)?;
            if run.bytes == 0 {
                break;
            }
            offset += u64::try_from(run.bytes)?;
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            broken.extend(run.broken.into_iter().map(|page| (name.clone(), page)));
        }
        bytes += offset;
    }
    Ok((bytes, gone, broken))
}

async fn debian_s_layout_is_walked_whole_and_found_good(major: u16) -> Result<()> {
    let mut server = Server::builder(major).layout(Layout::Debian).start()?;
    server.execute("CREATE TABLE a TABLESPACE ts1 AS SELECT generate_series(1, 20000) AS i")?;
    server.execute("CREATE UNLOGGED TABLE b TABLESPACE ts2 AS SELECT generate_series(1, 1000) AS i")?;
    server.execute("VACUUM a")?;
    let a = server.value("SELECT pg_relation_filepath('a')")?;
    let b = server.value("SELECT pg_relation_filepath('b')")?;
    server.stop(StopMode::Fast)?;
    let entries = walked(&server)?;
    let all = paths(&entries);
    for expected in
        [&a, &format!("{a}_vm"), &format!("{a}_fsm"), &b, &format!("{b}_init"), &"pg_wal".to_owned()]
    {
        assert!(all.contains(expected), "{major}: {expected}");
    }
    assert!(!all.contains("postgresql.conf") && !all.iter().any(|path| path.starts_with("pg_wal/")));
    let rule = |path: &str| {
        entries.iter().find(|entry| entry.path == path.as_bytes()).map(|entry| entry.rule.clone())
    };
    assert_eq!(rule(&b), Some(CopyRule::Skip(SkipReason::Unlogged)));
    assert_eq!(rule(&format!("{b}_init")), Some(CopyRule::Copy));
    let links =
        entries.iter().filter(|entry| matches!(entry.rule, CopyRule::Tablespace { in_place: false, .. }));
    assert_eq!(links.count(), 2);
    let (bytes, gone, broken) = read_all(&reader_of_stopped(&server)?, &entries)?;
    let planned: u64 =
        entries.iter().filter(|entry| entry.is_copied_file()).map(|entry| entry.size_bytes).sum();
    assert_eq!((bytes, gone, broken), (planned, 0, vec![]), "{major}");
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    Ok(())
}

async fn a_wrong_byte_is_found_and_named(major: u16) -> Result<()> {
    let mut server = Server::builder(major).start()?;
    server.execute("CREATE TABLE t AS SELECT generate_series(1, 20000) AS i")?;
    let path = server.value("SELECT pg_relation_filepath('t')")?;
    server.stop(StopMode::Fast)?;
    let file =
        std::fs::OpenOptions::new().read(true).write(true).open(server.data_directory().join(&path))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 40 * 8192 + 8000)?;
    file.write_all_at(&[byte[0] ^ 1], 40 * 8192 + 8000)?;
    let (_, _, broken) = read_all(&reader_of_stopped(&server)?, &walked(&server)?)?;
    assert_eq!(broken.len(), 1, "{major}: {broken:?}");
    let (name, page) = &broken[0];
    assert_eq!((name, page.block, page.reason), (&path, 40, BrokenReason::Checksum), "{major}");
    Ok(())
}

async fn reading_while_the_server_works_finds_no_page_broken(major: u16) -> Result<()> {
    let server = Server::builder(major).setting("shared_buffers", "1MB").start()?;
    server.execute("CREATE TABLE t (i int PRIMARY KEY, w text); INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 20000) AS i")?;
    let conninfo = server.connection_string("postgres");
    let options = ConnectOptions { conninfo, credentials: Credentials::default() };
    let start = StartOptions {
        label: "t".into(),
        fast_checkpoint: true,
        deadline: std::time::Duration::from_secs(60),
    };
    let started = Started::start(Connection::open(&options).await?, &start, &World::system()).await?;
    let rules = PageRules {
        backup_start: started.start_lsn(),
        checksums: true,
        relation_segment_blocks: 131_072,
        ceiling: Arc::new(started.lsn_bound()),
    };
    let reader = Reader::new(server.data_directory(), rules, World::system().clock, None);
    let reading = tokio::task::spawn_blocking({
        let (root, version) = (server.data_directory().to_owned(), version(&server)?);
        move || (0..3).map(|_| read_once(&reader, &root, version)).collect::<Result<Vec<_>>>()
    });
    while !reading.is_finished() {
        server.execute("UPDATE t SET w = repeat('y', 200) WHERE i % 7 = 0; CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone; CHECKPOINT")?;
    }
    assert!(reading.await??.iter().all(Vec::is_empty), "{major}");
    started.stop().await?;
    Ok(())
}

fn read_once(reader: &Reader, root: &Path, version: Version) -> Result<Broken> {
    let entries: Vec<WalkEntry> = Walk::new(root, version)?.collect::<std::result::Result<_, _>>()?;
    Ok(read_all(reader, &entries)?.2)
}

async fn tablespaces_in_place_and_group_access_are_seen(major: u16) -> Result<()> {
    let mut server =
        Server::builder(major).group_access().setting("allow_in_place_tablespaces", "on").start()?;
    server.execute("CREATE TABLESPACE here LOCATION ''")?;
    server.execute("CREATE TABLE t TABLESPACE here AS SELECT 1 AS i")?;
    let path = server.value("SELECT pg_relation_filepath('t')")?;
    let oid = server.value("SELECT oid FROM pg_tablespace WHERE spcname = 'here'")?;
    server.stop(StopMode::Fast)?;
    let mut walk = Walk::new(server.data_directory(), version(&server)?)?;
    assert_eq!(walk.root_mode(), 0o750, "{major}");
    let entries: Vec<WalkEntry> = walk.by_ref().collect::<std::result::Result<_, _>>()?;
    let place = format!("pg_tblspc/{oid}");
    let space = entries
        .iter()
        .find(|entry| entry.path == place.as_bytes())
        .ok_or_else(|| Failure::new("no space"))?;
    assert!(matches!(space.rule, CopyRule::Tablespace { in_place: true, .. }));
    assert_eq!((space.kind, space.mode), (EntryKind::Directory, 0o750));
    let file =
        entries.iter().find(|entry| entry.path == path.as_bytes()).ok_or_else(|| Failure::new("no file"))?;
    assert_eq!((file.mode, file.is_copied_file()), (0o640, true));
    Ok(())
}

async fn debian_s_configuration_is_found_outside(major: u16) -> Result<()> {
    let server = Server::builder(major).layout(Layout::Debian).start()?;
    let options = ConnectOptions {
        conninfo: server.connection_string("postgres"),
        credentials: Credentials::default(),
    };
    let facts = Facts::gather(&Connection::open(&options).await?, &options).await?;
    let found = find_external(&facts.files, false)?;
    let directory = format!("@external{}/", server.files().config_directory.display());
    let names: Vec<(String, ExternalKind)> = found
        .files
        .iter()
        .map(|file| (String::from_utf8_lossy(&file.path).replace(&directory, ""), file.kind))
        .collect();
    let expected = [
        ("conf.d/test.conf", ExternalKind::Settings),
        ("environment", ExternalKind::DebianCluster),
        ("pg_hba.conf", ExternalKind::HostBasedAuthentication),
        ("pg_ident.conf", ExternalKind::UserNameMap),
        ("postgresql.conf", ExternalKind::Settings),
        ("start.conf", ExternalKind::DebianCluster),
    ];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)), "{major}");
    assert_eq!(found.findings, []);
    let reader = reader_of_stopped(&server)?;
    let mut file = reader.open(&found.files[4].path, None)?.ok_or_else(|| Failure::new("vanished"))?;
    let mut buffer = vec![0; 256 * 1024];
    let read = file.read_run(0, &mut buffer)?;
    assert_eq!(buffer[..read.bytes], std::fs::read(&server.files().config_file)?);
    Ok(())
}

/// Runs `work` on a thread that may do only what the server's user may do, or `None` where that is not possible here.
fn as_other_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        return Some(work());
    }
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            rustix::thread::set_thread_res_uid(None, rustix::process::Uid::from_raw(uid), None).ok()?;
            Some(work())
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn real_what_may_not_be_read_is_an_error_that_names_it_and_the_right_user() -> Result<()> {
    let major = *majors().last().ok_or_else(|| Failure::new("no majors"))?;
    let server = Server::builder(major).build()?;
    let user = server_user()?;
    let (root, version) = (server.data_directory().to_owned(), version(&server)?);
    let first_error = |root: PathBuf| -> Option<WalkError> {
        as_other_user(user.uid, move || match Walk::new(&root, version) {
            Ok(mut walk) => walk.find_map(std::result::Result::err),
            Err(error) => Some(error),
        })
        .flatten()
    };
    assert!(first_error(root.clone()).is_none(), "its owner may read everything");
    let file = root.join("base/1/1259");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000))?;
    let error = Error::from(first_error(root.clone()).ok_or_else(|| Failure::new("the file was read"))?);
    assert_eq!(error.to_string(), format!("cannot read {}", file.display()));
    assert_eq!(error.id(), "source.unreadable");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    std::fs::set_permissions(root.join("pg_xact"), std::fs::Permissions::from_mode(0o000))?;
    let error =
        Error::from(first_error(root.clone()).ok_or_else(|| Failure::new("the directory was listed"))?);
    assert_eq!(error.to_string(), format!("cannot open {}/", root.join("pg_xact").display()));
    assert!(error.hints()[0].starts_with(&format!("run seawall as {}", user.name)), "{:?}", error.hints());
    std::fs::set_permissions(root.join("pg_xact"), std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}
