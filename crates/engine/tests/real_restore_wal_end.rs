//! The last record of real WAL, on every supported major, as `pg_waldump` tells it.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::path::Path;

use seawall_engine::restore::wal_end::{WalEnd, WalOf, WalWalk};
use seawall_pg::{SegmentName, SystemIdentifier, Version, WalSegmentSize};
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Result, Server, majors};

#[test]
fn the_last_record_and_commit_of_real_segments_are_those_pg_waldump_prints() -> Result<()> {
    for major in majors() {
        let server =
            Server::builder(major).wal_segment_mebibytes(1).setting("wal_keep_size", "512MB").start()?;
        server.execute("CREATE TABLE t (n int, filler text)")?;
        server.execute("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 6000) n")?;
        server.execute("SELECT pg_switch_wal()")?;
        server.execute("INSERT INTO t SELECT n, repeat('y', 900) FROM generate_series(1, 3000) n")?;
        server.execute("CHECKPOINT")?;
        server.execute("DELETE FROM t WHERE n < 50")?;
        let of = WalOf {
            version: Version::from_major(u32::from(major)).expect("supported"),
            system: system(&server)?,
            size: WalSegmentSize::new(1 << 20).expect("a power of two"),
        };
        let wal = server.data_directory().join("pg_wal");
        let current: SegmentName =
            server.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?.parse().expect("a segment");
        let names = names_up_to(&wal, current)?;
        assert!(names.len() > 5, "{major}: {names:?}");
        compare(&server, &of, &wal, &names)?;
        // From any segment on the walk finds the same end.
        let all = walk(&of, &wal, &names)?;
        for from in (1..names.len()).step_by(3) {
            let some = walk(&of, &wal, &names[from..])?;
            if some.last.is_some() {
                assert_eq!(some.last, all.last, "{major} from {}", names[from]);
            }
        }
    }
    Ok(())
}

fn system(server: &Server) -> Result<SystemIdentifier> {
    let text = server.value("SELECT system_identifier FROM pg_control_system()")?;
    Ok(text.parse().expect("a system identifier"))
}

fn names_up_to(wal: &Path, current: SegmentName) -> Result<Vec<SegmentName>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(wal)? {
        if let Ok(name) = entry?.file_name().to_string_lossy().parse::<SegmentName>() {
            names.push(name);
        }
    }
    names.retain(|name| *name <= current);
    names.sort();
    Ok(names)
}

fn walk(of: &WalOf, wal: &Path, names: &[SegmentName]) -> Result<WalEnd> {
    let mut walk = WalWalk::new(*of, names[0].number(of.size).expect("of this size"));
    for name in names {
        walk.segment(&std::fs::read(wal.join(name.to_string()))?);
    }
    Ok(walk.finish())
}

/// The last record that `pg_waldump` prints, for each beginning of the list of segments.
fn compare(server: &Server, of: &WalOf, wal: &Path, names: &[SegmentName]) -> Result<()> {
    for upto in (1..=names.len()).rev().step_by(4) {
        let found = walk(of, wal, &names[..upto])?;
        let end = names[upto - 1].range(of.size).expect("of this size").end;
        let start = names[0].first_lsn(of.size).expect("of this size");
        // pg_waldump ends with an error where WAL ends before the end it was given; what it printed counts.
        let script = format!(
            "'{}' -p '{}' -s {start} -e {end} 2>/dev/null; true",
            server.binaries().directory.join("pg_waldump").display(),
            wal.display(),
        );
        let told = run_as_server_user(std::process::Command::new("/bin/sh").args(["-c", &script]))?;
        // The end may cut a record that goes on in a later segment: pg_waldump prints it, and it is not whole here.
        let whole = told.lines().filter(|line| !line.starts_with("pg_waldump")).rev();
        let lsn = |line: &str| {
            line.split("lsn: ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned)
        };
        let last_two: Vec<String> = whole.filter_map(lsn).take(2).collect();
        let ours = found.last.expect("a record").start;
        let theirs: Vec<_> = last_two.iter().map(|text| text.parse().expect("an LSN")).collect();
        assert!(
            theirs.contains(&ours),
            "{} up to {}: {ours} against {last_two:?}",
            server.major(),
            names[upto - 1]
        );
        if upto == names.len() {
            assert_eq!(Some(&ours), theirs.first(), "{}", server.major());
        } else if found.last.expect("a record").end <= end && Some(&ours) != theirs.first() {
            // Only a record that crosses the end may be missing.
            assert_eq!(found.ended, seawall_engine::restore::wal_end::WalEnded::WithTheSegments);
        }
        commit_time(server, &told, &found, upto == names.len());
    }
    Ok(())
}

fn commit_time(server: &Server, told: &str, found: &WalEnd, complete: bool) {
    let commits = told.lines().filter(|line| line.contains("desc: COMMIT ") || line.contains("desc: ABORT "));
    if complete && commits.count() > 0 {
        let ours = found.latest_commit.expect("a commit time").to_string();
        let ours = ours.replace('T', " ");
        let ours = ours.trim_end_matches('Z');
        assert!(told.contains(ours), "{}: no commit at {ours}", server.major());
    }
}
