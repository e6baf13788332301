//! `wal status` and `wal ack-hole` on real servers: a segment that is lost, acknowledged, a backup behind it; then a promotion.

use std::ffi::OsString;
use std::time::Duration;

use crate::support::regions::{Damage, objects};
use crate::support::{Site, documented, json, recovered, says};
use seawall_testkit::{Failure, Result, Server, StopMode, majors};
use serde_json::Value;

fn rows(server: &Server, from: u32) -> Result<()> {
    server.execute(&format!("INSERT INTO t SELECT generate_series({from}, {from} + 99)"))
}

/// Archives a segment with rows of its own; its name.
fn segment(site: &Site, from: u32) -> Result<String> {
    rows(&site.server, from)?;
    let name = site.server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?;
    site.archive_all()?;
    Ok(name)
}

/// Gone from both regions, and from the server.
fn lose(site: &Site, name: &str) -> Result<()> {
    for region in ["one", "two"] {
        let found = objects(&site.region(region), "/wal/")?;
        let object = found.into_iter().find(|object| object.ends_with(name));
        let object = object.ok_or_else(|| Failure::new(format!("{name} is not in region {region}")))?;
        Damage::Removed.apply(&site.region(region).join(object))?;
    }
    let local = site.server.data_directory().join("pg_wal").join(name);
    match std::fs::remove_file(local) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(error.to_string())),
        _ => Ok(()),
    }
}

fn status(site: &Site, code: i32) -> Result<Value> {
    let value = json(&site.seawall(["wal", "status", "--json"])?.expect_code(code)?)?;
    documented::check(["wal", "status"], &value).map_err(Failure::new)?;
    Ok(value)
}

fn ids(report: &Value) -> Vec<&str> {
    report["findings"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect()
}

/// Windows of all regions together.
fn together(report: &Value) -> Vec<Value> {
    let windows = report["systems"][0]["windows"].as_array().cloned().unwrap_or_default();
    windows.into_iter().filter(|window| window["region"].is_null()).collect()
}

/// A key file with the right to prune, in the settings.
fn prune_key(site: &Site) -> Result<()> {
    let output = site.home().path().join("prune.key");
    let mut line: Vec<OsString> =
        ["key", "add-writer", "--right", "prune", "--label", "keeper"].into_iter().map(Into::into).collect();
    line.extend(["--output".into(), (&output).into(), "--identity".into(), site.identity("first").into()]);
    site.seawall(line)?.expect_code(0)?;
    let key = format!("[repository]\nprune_key_file = \"{}\"\n", output.display());
    let text = site.settings_text().replace("[repository]\n", &key);
    std::fs::write(site.settings(), text).map_err(|error| Failure::new(error.to_string()))
}

fn a_lost_segment_is_told_acknowledged_and_left_behind(major: u16) -> Result<()> {
    let mut site = Site::plain(major)?;
    site.server.execute("CREATE TABLE t (n int)")?;
    site.backup(&[])?;
    let names = (0..4).map(|round| segment(&site, round * 100)).collect::<Result<Vec<_>>>()?;
    let sound = status(&site, 0)?;
    let windows = together(&sound);
    assert_eq!((windows.len(), windows[0]["current"].as_bool()), (1, Some(true)), "{sound}");
    assert!(windows[0]["last_commit"].is_string() && sound["server"]["position"].is_string(), "{sound}");
    assert_eq!(sound["systems"][0]["windows"].as_array().map(Vec::len), Some(3), "each region has its own");

    lose(&site, &names[1])?;
    let broken = status(&site, 1)?;
    let hole = &broken["systems"][0]["holes"][0];
    assert_eq!(
        (&hole["first"], &hole["last"]),
        (&names[1].as_str().into(), &names[1].as_str().into()),
        "{broken}"
    );
    assert_eq!(ids(&broken), ["wal.hole"], "{broken}");
    let text = site.seawall(["wal", "status"])?.expect_code(1)?;
    assert!(
        text.stdout.contains(&format!("hole: {}", names[1])) && text.stdout.contains("not acknowledged"),
        "{text:?}"
    );
    assert!(text.stderr.contains(&format!("seawall wal ack-hole {}", names[1])), "{text:?}");

    let ack =
        |site: &Site, segment: &str| site.seawall(["wal", "ack-hole", segment, "--reason", "disk lost"]);
    says(ack(&site, &names[1])?, 2, &["keys.no-right-to-prune"])?;
    prune_key(&site)?;
    says(ack(&site, &names[0])?, 2, &["hole.not-one", "region one, two has it"])?;
    says(ack(&site, "0000000100000000000000F0")?, 2, &["hole.not-one", "may still arrive"])?;
    let done = ack(&site, &names[1])?.expect_code(0)?;
    assert!(done.stdout.contains(&names[1]) && done.stdout.contains("next: seawall backup"), "{done:?}");
    says(ack(&site, &names[1])?, 2, &["hole.known"])?;
    let acknowledged = status(&site, 0)?;
    assert_eq!(
        acknowledged["systems"][0]["holes"][0]["acknowledged"]["reason"], "disk lost",
        "{acknowledged}"
    );
    let quick = json(&site.seawall(["verify", "--quick", "--json"])?.expect_code(0)?)?;
    assert!(ids(&quick).is_empty(), "{quick}");

    // A backup makes a window behind it.
    site.backup(&[])?;
    site.archive_all()?;
    let behind = status(&site, 0)?;
    let windows = together(&behind);
    assert_eq!((windows.len(), windows[1]["current"].as_bool()), (2, Some(true)), "{behind}");
    let whole = json(&site.seawall(["status", "--json"])?.expect_code(0)?)?;
    assert!(ids(&whole).is_empty(), "{whole}");

    // Another one, acknowledged with the backup in one command.
    let lost = segment(&site, 500)?;
    segment(&site, 600)?;
    lose(&site, &lost)?;
    let line = ["wal", "ack-hole", &lost, "--reason", "again", "--backup", "--json"];
    let taken = json(&site.seawall(line)?.expect_code(0)?)?;
    assert!(taken["backup"]["backup"].is_string(), "{taken}");
    site.archive_all()?;
    assert_eq!(together(&status(&site, 0)?).len(), 3);
    promoted(&mut site)
}

/// The server is lost, and goes on elsewhere as a new timeline.
fn promoted(site: &mut Site) -> Result<()> {
    rows(&site.server, 1000)?;
    site.archive_all()?;
    site.server.stop(StopMode::Immediate)?;
    let place = site.new_directory();
    site.restore(&place, &["--latest", "--successor"])?.expect_code(0)?;
    let server =
        recovered(Server::existing(site.server.major(), &place)?.with_binaries(site.server.binaries()))?;
    rows(&server, 2000)?;
    server.execute("SELECT pg_switch_wal()")?;
    let mut archived = String::new();
    for _ in 0..1200 {
        archived = server.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")?;
        if archived.starts_with("00000002") && !archived.contains('.') {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(archived.starts_with("00000002"), "{archived}");
    let report = status(site, 0)?;
    let timelines = &report["systems"][0]["timelines"];
    assert_eq!((&timelines[0]["timeline"], &timelines[0]["current"]), (&1.into(), &false.into()), "{report}");
    assert_eq!(
        (&timelines[1]["timeline"], &timelines[1]["parent"], &timelines[1]["current"]),
        (&2.into(), &1.into(), &true.into()),
        "{report}"
    );
    assert!(timelines[1]["fork"].is_string(), "{report}");
    let text = site.seawall(["wal", "status"])?.expect_code(0)?.stdout;
    assert!(
        text.contains("└ timeline 2, left timeline 1 at") && text.contains("(current)") && text.contains('█'),
        "{text}"
    );
    assert!(text.lines().all(|line| !line.chars().any(char::is_control)), "{text}");
    let one = json(
        &site.seawall(["wal", "status", "--timeline", "2", "--region", "one", "--json"])?.expect_code(0)?,
    )?;
    assert_eq!(one["systems"][0]["timelines"].as_array().map(Vec::len), Some(1), "{one}");
    says(site.seawall(["wal", "status", "--timeline", "9"])?, 4, &["wal-status.no-timeline"])?;
    // The database's host is gone, and one region with it.
    let url = format!("file://{}", site.region("two").display());
    let about = std::fs::read_to_string(site.region("two").join("seawall.json"));
    let about = about.map_err(|error| Failure::new(error.to_string()))?;
    let about: Value = serde_json::from_str(about.lines().next().unwrap_or_default())
        .map_err(|error| Failure::new(error.to_string()))?;
    let owner = about["owner"].as_str().unwrap_or_default();
    let mut line: Vec<OsString> =
        ["wal", "status", "--json", "--from", &url, "--owner", owner, "--cluster", "demo", "--identity"]
            .into_iter()
            .map(Into::into)
            .collect();
    line.push(site.identity("first").into());
    let away = json(&seawall_testkit::run_seawall(line)?.expect_code(0)?)?;
    assert!(away["server"].is_null() && !together(&away).is_empty(), "{away}");
    Ok(())
}

macro_rules! each_major {
    ($($name:ident $major:literal)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            a_lost_segment_is_told_acknowledged_and_left_behind($major)
        }
    )*};
}

each_major! {
    a_lost_segment_is_told_acknowledged_and_left_behind_14 14
    a_lost_segment_is_told_acknowledged_and_left_behind_15 15
    a_lost_segment_is_told_acknowledged_and_left_behind_16 16
    a_lost_segment_is_told_acknowledged_and_left_behind_17 17
    a_lost_segment_is_told_acknowledged_and_left_behind_18 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
