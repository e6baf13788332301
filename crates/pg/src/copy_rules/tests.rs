//! Tests of what is copied, path by path.

use proptest::prelude::*;

use super::*;

fn rules() -> CopyRules {
    CopyRules::new(Version::from_major(17).unwrap(), [&b"ts/inside/"[..]])
}

fn decide(path: &str, kind: EntryKind) -> CopyRule {
    rules().decide(path.as_bytes(), kind, &|init| init.number.get() == 666).rule
}

fn file(path: &str) -> CopyRule {
    decide(path, EntryKind::File)
}

fn directory(path: &str) -> CopyRule {
    decide(path, EntryKind::Directory)
}

#[test]
fn what_recovery_needs_is_copied() {
    for path in [
        "PG_VERSION",
        "postgresql.conf",
        "postgresql.auto.conf",
        "pg_hba.conf",
        "pg_xact/0000",
        "pg_twophase/00000337",
        "pg_multixact/offsets/0000",
        "pg_logical/replorigin_checkpoint",
        "pg_stat/pgstat.stat",
        "base/5/16384",
        "base/5/16384_vm",
        "base/5/16384.1",
        "base/5/666_init",
        "base/5/666_init.1",
        "base/5/PG_VERSION",
        "base/5/pg_filenode.map",
        "base/5/12345_foo",
        "global/1262",
        "log/postgresql.log",
        "backup_label.old",
        "standby.signal",
        "core",
        "pg_tblspc/16400/PG_17_202406281/5/16500",
        "pg_tblspc/README",
        "my/pg_wal/000",
        "my/pg_notify/x",
        "PG_17_202406281/x",
    ] {
        assert_eq!(file(path), CopyRule::Copy, "{path}");
    }
    for path in
        ["base", "base/5", "pg_tblspc", "pg_tblspc/16400/PG_17_202406281", "log", "my/pg_wal", "ts/inside"]
    {
        assert_eq!(directory(path), CopyRule::Copy, "{path}");
    }
}

#[test]
fn control_file_comes_last() {
    assert_eq!(file("global/pg_control"), CopyRule::CopyLast);
    assert_eq!(file("base/5/pg_control"), CopyRule::Copy);
}

#[test]
fn some_directories_are_left_empty_even_as_links() {
    for kind in [EntryKind::Directory, EntryKind::Symlink] {
        assert_eq!(decide("pg_wal", kind), CopyRule::EmptyDirectory(&["archive_status", "summaries"]));
        for name in [
            "pg_replslot",
            "pg_dynshmem",
            "pg_notify",
            "pg_serial",
            "pg_snapshots",
            "pg_stat_tmp",
            "pg_subtrans",
        ] {
            assert_eq!(decide(name, kind), CopyRule::EmptyDirectory(&[]), "{name}");
        }
    }
    let inside = CopyRule::Skip(SkipReason::InsideEmptyDirectory);
    assert_eq!(file("pg_wal/000000010000000000000001"), inside);
    assert_eq!(directory("pg_replslot/standby1"), inside);
    let before_17 = CopyRules::new(Version::from_major(16).unwrap(), []);
    let decision = before_17.decide(b"pg_wal", EntryKind::Directory, &|_| false);
    assert_eq!(decision.rule, CopyRule::EmptyDirectory(&["archive_status"]));
}

#[test]
fn names_of_the_running_server_are_left_out_everywhere() {
    for (name, reason) in [
        ("postmaster.pid", SkipReason::OfRunningServer),
        ("postmaster.opts", SkipReason::OfRunningServer),
        ("backup_label", SkipReason::OfOtherBackup),
        ("tablespace_map", SkipReason::OfOtherBackup),
        ("backup_manifest", SkipReason::OfOtherBackup),
        ("postgresql.auto.conf.tmp", SkipReason::Temporary),
        ("current_logfiles.tmp", SkipReason::Temporary),
        (".DS_Store", SkipReason::Temporary),
        ("pg_internal.init", SkipReason::Temporary),
        ("pg_internal.init.4711", SkipReason::Temporary),
        ("pgsql_tmp4711.0", SkipReason::Temporary),
    ] {
        assert_eq!(file(name), CopyRule::Skip(reason), "{name}");
        assert_eq!(file(&format!("base/5/{name}")), CopyRule::Skip(reason), "{name}");
    }
    assert_eq!(directory("base/pgsql_tmp"), CopyRule::Skip(SkipReason::Temporary));
    assert_eq!(directory("backup_label"), CopyRule::Copy);
}

#[test]
fn unlogged_and_temporary_relations_are_left_out() {
    for path in
        ["base/5/666", "base/5/666_fsm", "base/5/666_vm", "base/5/666.1", "pg_tblspc/1/PG_17_202406281/5/666"]
    {
        assert_eq!(file(path), CopyRule::Skip(SkipReason::Unlogged), "{path}");
    }
    assert_eq!(file("base/5/t3_16385"), CopyRule::Skip(SkipReason::TemporaryRelation));
    assert_eq!(file("base/5/t3_16385_fsm"), CopyRule::Skip(SkipReason::TemporaryRelation));
    assert_eq!(file("base/5/table"), CopyRule::Copy);
}

#[test]
fn tablespaces_are_found_as_links_and_in_place() {
    let oid = Oid::new(16400).unwrap();
    assert_eq!(decide("pg_tblspc/16400", EntryKind::Symlink), CopyRule::Tablespace { oid, in_place: false });
    assert_eq!(directory("pg_tblspc/16400"), CopyRule::Tablespace { oid, in_place: true });
    assert_eq!(directory("pg_tblspc/16400/PG_16_202307071"), CopyRule::Skip(SkipReason::OtherVersion));
    assert_eq!(file("pg_tblspc/16400/PG_16_202307071/5/1"), CopyRule::Skip(SkipReason::OtherVersion));
    assert_eq!(directory("pg_tblspc/16400/lost+found"), CopyRule::Skip(SkipReason::NotOfTablespace));
}

#[test]
fn tablespace_inside_the_data_directory_is_not_copied_twice() {
    let inside = CopyRule::Skip(SkipReason::TablespaceInside);
    assert_eq!(directory("ts/inside/PG_17_202406281"), inside);
    assert_eq!(file("ts/inside/PG_17_202406281/5/1"), inside);
    // What else lies there belongs to nobody else's walk.
    assert_eq!(file("ts/inside/notes.txt"), CopyRule::Copy);
    assert_eq!(file("ts/inside/PG_17_2024062811"), CopyRule::Copy);
    let at_top = CopyRules::new(Version::from_major(17).unwrap(), [&b""[..]]);
    assert_eq!(at_top.decide(b"PG_17_202406281/5/1", EntryKind::File, &|_| false).rule, inside);
    assert_eq!(at_top.decide(b"base/5/1", EntryKind::File, &|_| false).rule, CopyRule::Copy);
}

#[test]
fn links_and_odd_files() {
    assert_eq!(decide("postgresql.conf", EntryKind::Symlink), CopyRule::Follow);
    assert_eq!(decide("log", EntryKind::Symlink), CopyRule::Follow);
    assert_eq!(decide(".s.PGSQL.5432", EntryKind::Other), CopyRule::Skip(SkipReason::NotAFile));
}

#[test]
fn signal_files_are_remarked() {
    let remark = |path: &str, kind| rules().decide(path.as_bytes(), kind, &|_| false).remark;
    assert_eq!(remark("standby.signal", EntryKind::File), Some(CopyRemark::StandbySignal));
    assert_eq!(remark("recovery.signal", EntryKind::File), Some(CopyRemark::RecoverySignal));
    assert_eq!(remark("log/standby.signal", EntryKind::File), None);
    assert_eq!(remark("PG_VERSION", EntryKind::File), None);
}

proptest! {
    #[test]
    fn every_path_gets_a_decision(bytes: Vec<u8>, top in "[a-z_]{0,12}") {
        let path = [top.as_bytes(), b"/", &bytes].concat();
        for kind in [EntryKind::File, EntryKind::Directory, EntryKind::Symlink, EntryKind::Other] {
            let _ = rules().decide(&path, kind, &|_| true);
            let _ = rules().decide(&bytes, kind, &|_| false);
        }
    }
}
