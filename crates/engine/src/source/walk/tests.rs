//! The walk over made-up data directories; real ones are walked in `tests/real_source_files.rs`.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::*;

fn version() -> Version {
    Version::from_major(17).unwrap()
}

/// A data directory with the fewest things a walk needs.
fn data_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["global", "base/1", "pg_tblspc", "pg_wal/archive_status", "pg_replslot"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    for (name, bytes) in [("global/pg_control", 8192), ("PG_VERSION", 3), ("base/1/1259", 16384)] {
        std::fs::write(directory.path().join(name), vec![0; bytes]).unwrap();
    }
    directory
}

fn walked(directory: &Path) -> Vec<WalkEntry> {
    Walk::new(directory, version()).unwrap().collect::<Result<_, _>>().unwrap()
}

fn paths(entries: &[WalkEntry]) -> Vec<String> {
    entries.iter().map(|entry| text::shown_bytes(&entry.path)).collect()
}

fn find<'a>(entries: &'a [WalkEntry], path: &str) -> &'a WalkEntry {
    entries.iter().find(|entry| entry.path == path.as_bytes()).unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn every_path_comes_once_in_bytewise_order_with_its_decision() {
    let directory = data_directory();
    std::fs::write(directory.path().join("base/1-x"), b"y").unwrap();
    std::fs::write(directory.path().join("pg_wal/000000010000000000000001"), b"y").unwrap();
    std::fs::write(directory.path().join("postmaster.pid"), b"1").unwrap();
    let entries = walked(directory.path());
    assert_eq!(
        paths(&entries),
        [
            "PG_VERSION",
            "base",
            "base/1",
            "base/1-x",
            "base/1/1259",
            "global",
            "global/pg_control",
            "pg_replslot",
            "pg_tblspc",
            "pg_wal",
            "postmaster.pid"
        ]
    );
    assert_eq!(find(&entries, "global/pg_control").rule, CopyRule::CopyLast);
    assert_eq!(find(&entries, "pg_wal").rule, CopyRule::EmptyDirectory(&["archive_status", "summaries"]));
    assert_eq!(find(&entries, "postmaster.pid").rule, CopyRule::Skip(SkipReason::OfRunningServer));
    assert_eq!(find(&entries, "base/1/1259").size_bytes, 16384);
    assert!(find(&entries, "base/1/1259").is_copied_file());
}

#[test]
fn names_that_are_no_text_stay_as_they_are() {
    let directory = data_directory();
    let name = OsStr::from_bytes(b"base/1/\xff\x1b[31m\n");
    std::fs::write(directory.path().join(name), b"x").unwrap();
    let entries = walked(directory.path());
    assert!(entries.iter().any(|entry| entry.path == name.as_bytes() && entry.is_copied_file()));
}

#[test]
fn unlogged_relations_are_left_out_and_their_init_fork_is_kept() {
    let directory = data_directory();
    for name in ["16384", "16384.1", "16384_fsm", "16384_init", "16385"] {
        std::fs::write(directory.path().join("base/1").join(name), b"").unwrap();
    }
    let entries = walked(directory.path());
    let skipped = CopyRule::Skip(SkipReason::Unlogged);
    for name in ["16384", "16384.1", "16384_fsm"] {
        assert_eq!(find(&entries, &format!("base/1/{name}")).rule, skipped, "{name}");
    }
    assert_eq!(find(&entries, "base/1/16384_init").rule, CopyRule::Copy);
    assert_eq!(find(&entries, "base/1/16385").rule, CopyRule::Copy);
}

#[test]
fn tablespaces_are_walked_through_their_links_and_other_versions_are_not() {
    let (directory, elsewhere) = (data_directory(), tempfile::tempdir().unwrap());
    let ours = format!("{}/5", version().tablespace_directory());
    for name in [ours.as_str(), "PG_14_202107181/5", "lost+found"] {
        std::fs::create_dir_all(elsewhere.path().join(name)).unwrap();
    }
    std::fs::write(elsewhere.path().join(&ours).join("77"), b"").unwrap();
    std::fs::write(elsewhere.path().join("PG_14_202107181/5/77"), b"").unwrap();
    symlink(elsewhere.path(), directory.path().join("pg_tblspc/16400")).unwrap();
    let in_place = format!("pg_tblspc/16401/{ours}");
    std::fs::create_dir_all(directory.path().join(&in_place)).unwrap();
    let entries = walked(directory.path());
    let link = find(&entries, "pg_tblspc/16400");
    assert!(matches!(link.rule, CopyRule::Tablespace { in_place: false, .. }));
    assert_eq!(link.link_target.as_deref(), Some(elsewhere.path().as_os_str().as_bytes()));
    assert!(matches!(find(&entries, "pg_tblspc/16401").rule, CopyRule::Tablespace { in_place: true, .. }));
    assert!(find(&entries, &format!("pg_tblspc/16400/{ours}/77")).is_copied_file());
    find(&entries, &in_place);
    let other = find(&entries, "pg_tblspc/16400/PG_14_202107181");
    assert_eq!(other.rule, CopyRule::Skip(SkipReason::OtherVersion));
    assert!(!paths(&entries).iter().any(|path| path.contains("PG_14_202107181/")));
}

#[test]
fn a_tablespace_inside_the_data_directory_is_copied_once() {
    let directory = data_directory();
    let file = format!("spaces/a/{}/5/77", version().tablespace_directory());
    std::fs::create_dir_all(directory.path().join(&file).parent().unwrap()).unwrap();
    std::fs::write(directory.path().join(&file), b"x").unwrap();
    symlink(directory.path().join("spaces/a"), directory.path().join("pg_tblspc/16400")).unwrap();
    let entries = walked(directory.path());
    let copies = entries.iter().filter(|entry| entry.path.ends_with(b"/5/77") && entry.is_copied_file());
    assert_eq!(copies.count(), 1);
    let inside = format!("spaces/a/{}", version().tablespace_directory());
    assert_eq!(find(&entries, &inside).rule, CopyRule::Skip(SkipReason::TablespaceInside));
}

#[test]
fn links_elsewhere_are_followed_and_pg_wal_is_not() {
    let (directory, elsewhere) = (data_directory(), tempfile::tempdir().unwrap());
    std::fs::create_dir(elsewhere.path().join("log")).unwrap();
    std::fs::write(elsewhere.path().join("log/today"), b"words").unwrap();
    symlink(elsewhere.path().join("log"), directory.path().join("log")).unwrap();
    std::fs::remove_dir_all(directory.path().join("pg_wal")).unwrap();
    symlink(elsewhere.path(), directory.path().join("pg_wal")).unwrap();
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    let entries = walked(directory.path());
    assert_eq!(find(&entries, "log/today").size_bytes, 5);
    assert!(matches!(find(&entries, "pg_wal").rule, CopyRule::EmptyDirectory(_)));
    assert!(!paths(&entries).iter().any(|path| path.starts_with("pg_wal/")));
    let finding = find(&entries, "dangling").finding().unwrap();
    assert_eq!(finding.what, "dangling is a link that leads nowhere and is not in the backup");
}

#[test]
fn a_name_that_would_be_restored_elsewhere_ends_the_walk() {
    let directory = data_directory();
    std::fs::create_dir(directory.path().join("@external")).unwrap();
    let error = Error::from(Walk::new(directory.path(), version()).unwrap().find_map(Result::err).unwrap());
    assert_eq!(error.id(), "source.reserved-name");
}

#[test]
fn links_that_lead_back_and_tablespaces_that_are_gone_end_the_walk() {
    let directory = data_directory();
    symlink(directory.path().join("base"), directory.path().join("base/1/up")).unwrap();
    let error = Walk::new(directory.path(), version()).unwrap().find_map(Result::err).unwrap();
    assert!(matches!(error, WalkError::Loop { .. }), "{error}");
    std::fs::remove_file(directory.path().join("base/1/up")).unwrap();
    symlink("/nonexistent/space", directory.path().join("pg_tblspc/16400")).unwrap();
    let mut walk = Walk::new(directory.path(), version()).unwrap();
    let error = Error::from(walk.find_map(Result::err).unwrap());
    assert_eq!(error.id(), "source.tablespace-missing");
    assert!(error.to_string().contains("/nonexistent/space"));
    assert!(walk.next().is_none(), "nothing follows an error");
}

#[test]
fn sockets_and_pipes_are_findings_and_the_server_s_own_is_not() {
    let directory = data_directory();
    let _user = std::os::unix::net::UnixListener::bind(directory.path().join("mine.sock")).unwrap();
    let _server = std::os::unix::net::UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
    let entries = walked(directory.path());
    let findings: Vec<Finding> = entries.iter().filter_map(WalkEntry::finding).collect();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].what.starts_with("mine.sock is a socket"));
}

#[test]
fn what_vanishes_while_walking_is_counted() {
    let directory = data_directory();
    std::fs::create_dir(directory.path().join("base/2")).unwrap();
    let mut walk = Walk::new(directory.path(), version()).unwrap();
    assert_eq!(walk.next().unwrap().unwrap().path, b"PG_VERSION");
    assert_eq!(walk.next().unwrap().unwrap().path, b"base");
    assert_eq!(walk.next().unwrap().unwrap().path, b"base/1");
    std::fs::remove_dir_all(directory.path().join("base/1")).unwrap();
    std::fs::remove_dir_all(directory.path().join("base/2")).unwrap();
    assert_eq!(walk.next().unwrap().unwrap().path, b"global");
    assert_eq!(walk.vanished(), 2);
}

#[test]
fn group_access_is_seen() {
    let directory = data_directory();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(Walk::new(directory.path(), version()).unwrap().root_mode(), 0o750);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn order_is_that_of_sorted_full_paths(names in proptest::collection::btree_set(r"[!-\-a-c]{1,3}(/[!-\-a-c]{1,3}){0,3}", 1..30)) {
        let directory = data_directory();
        for name in &names {
            let path = directory.path().join("base/1").join(name);
            // A name may be both a file and a directory's; the first one wins.
            if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
                std::fs::write(path, b"").unwrap();
            }
        }
        let found: Vec<Vec<u8>> = walked(directory.path()).into_iter().map(|entry| entry.path).collect();
        let mut sorted = found.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(found, sorted);
    }
}
