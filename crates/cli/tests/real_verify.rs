//! `seawall verify` on a real backup with a parent, and WAL, in two regions: what it calls good is restored, what is spoiled is named, and
//! what it says mends does.

use std::path::Path;

use crate::support::regions::{Damage, objects};
use crate::support::{Site, json, says};
use seawall_testkit::workload::{Options, Workload};
use seawall_testkit::{Failure, Result, StopMode, majors};
use serde_json::Value;

const MAJOR: u16 = 17;

/// A site with two backups, the second naming what the first stored, and a few segments of WAL behind them.
fn site() -> Result<Site> {
    site_and_first().map(|(site, _)| site)
}

/// The same, and the id of the first backup.
fn site_and_first() -> Result<(Site, String)> {
    let site = Site::plain(MAJOR)?;
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n")?;
    let first = site.backup(&[])?["backup"].as_str().unwrap_or_default().to_owned();
    site.server.execute("UPDATE kept SET body = md5(body) WHERE n % 1000 = 0")?;
    site.backup(&[])?;
    for round in 0..3 {
        site.server.execute(&format!("CREATE TABLE round{round} AS SELECT 1 AS one"))?;
        site.archive_all()?;
    }
    Ok((site, first))
}

/// `seawall verify --json ...` with the first identity, ending with this code.
fn verify(site: &Site, code: i32, more: &[&str]) -> Result<Value> {
    let identity = site.identity("first").display().to_string();
    let line = ["verify", "--json", "--identity", &identity].into_iter().chain(more.iter().copied());
    json(&site.seawall(line)?.expect_code(code)?)
}

fn findings(report: &Value) -> Vec<(String, String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|finding| (text(finding, "id"), text(finding, "region"), text(finding, "object")))
        .collect()
}

fn unread(report: &Value) -> u64 {
    let regions = report["regions"].as_array().into_iter().flatten();
    let kinds = regions.flat_map(|region| region["kinds"].as_array().into_iter().flatten());
    kinds.map(|kind| kind["objects"].as_u64().unwrap_or(0) - kind["read"].as_u64().unwrap_or(0)).sum()
}

#[test]
fn what_a_full_verification_calls_good_is_restored() -> Result<()> {
    let site = site()?;
    let report = verify(&site, 0, &["--full"])?;
    assert_eq!((report["ended"].as_str(), unread(&report)), (Some("complete"), 0), "{report}");
    assert_eq!(report["not_checked"], serde_json::json!([]), "{report}");
    for region in report["regions"].as_array().into_iter().flatten() {
        assert!(region["pages"].as_u64() > Some(1000) && region["pages_unjudged"] == 0, "{region}");
        assert_eq!((&region["orphans"]["objects"], &region["leftovers"]), (&0.into(), &0.into()), "{region}");
    }
    let server = site.restored(&["--latest"])?;
    assert_eq!(server.value("SELECT count(*) FROM kept")?, "20000");
    // A host that writes has no private key, and says so.
    let as_host = json(&site.seawall(["verify", "--full", "--json"])?.expect_code(0)?)?;
    assert!(as_host["not_checked"][0].as_str().unwrap_or_default().contains("private key"), "{as_host}");
    assert_eq!(as_host["regions"][0]["pages"], 0, "{as_host}");
    let quick = site.seawall(["verify"])?.expect_code(0)?;
    assert!(quick.stdout.contains("nothing wrong was found: quick verification of demo"), "{}", quick.stdout);
    verify(&site, 0, &["--sample", "50%"])?;
    Ok(())
}

#[test]
fn damage_is_named_with_what_it_endangers_and_the_command_that_mends_it_does() -> Result<()> {
    let (site, first) = site_and_first()?;
    let (one, two) = (site.region("one"), site.region("two"));
    let pack = objects(&one, &format!("/{first}/pack/"))?.swap_remove(0);
    let pack_name = pack.display().to_string();
    Damage::Flipped.apply(&one.join(&pack))?;
    // Nothing of its size or name is wrong, so only reading finds it; and only in its own region.
    verify(&site, 0, &[])?;
    verify(&site, 0, &["--full", "--region", "two"])?;
    let report = verify(&site, 1, &["--full"])?;
    assert_eq!(
        findings(&report),
        [("verify.damaged".to_owned(), "one".to_owned(), pack_name.clone())],
        "{report}"
    );
    assert_eq!(report["findings"][0]["endangers"]["backups"].as_array().map(Vec::len), Some(2), "{report}");
    restores_say_the_same(&site, &first)?;
    mend(&site, &report)?;
    // Healed: nothing is overwritten, and the region serves it alone again.
    let report = verify(&site, 0, &["--full"])?;
    let healed = [&report["healed"][0]["object"], &report["healed"][0]["region"], &report["healed"][1]];
    assert_eq!(healed, [&Value::from(pack_name.clone()), &"one".into(), &Value::Null], "{report}");
    site.restore(&site.new_directory(), &["--backup", &first, "--immediate", "--region", "one"])?
        .expect_code(0)?;
    // A segment that is gone: a hole there, with the points behind it.
    let segment = objects(&two, "/wal/")?
        .into_iter()
        .filter(|name| name.to_string_lossy().ends_with(|c: char| c.is_ascii_hexdigit()))
        .nth(2);
    let segment = segment.ok_or_else(|| Failure::new("too few segments"))?;
    Damage::Removed.apply(&two.join(&segment))?;
    let report = verify(&site, 1, &[])?;
    let hole = ("verify.wal-hole".to_owned(), "two".to_owned(), segment.display().to_string());
    assert_eq!(findings(&report), [hole], "{report}");
    mend(&site, &report)?;
    let said = site.seawall(["verify"])?;
    says(said, 0, &[]).map(drop)
}

/// A restore from the spoiled region alone fails where verify found damage, and one from the other goes through.
fn restores_say_the_same(site: &Site, backup: &str) -> Result<()> {
    let from = |region| {
        site.restore(&site.new_directory(), &["--backup", backup, "--immediate", "--region", region])
    };
    says(from("one")?, 4, &["repository.object-damaged"])?;
    from("two")?.expect_code(0).map(drop)
}

/// Types what the only finding says, word for word.
fn mend(site: &Site, report: &Value) -> Result<()> {
    let words = report["findings"][0]["mend"].as_str().unwrap_or_default();
    let (_, command) =
        words.split_once("seawall ").ok_or_else(|| Failure::new(format!("no command in {words}")))?;
    site.seawall(command.split(' '))?.expect_code(0).map(drop)
}

#[test]
fn budgeted_runs_together_read_everything_once() -> Result<()> {
    let site = site()?;
    let (mut runs, mut read, mut links) = (0, 0, 0);
    loop {
        runs += 1;
        let report = verify(&site, 0, &["--full", "--budget", "1MiB"])?;
        let kinds = report["regions"][0]["kinds"].as_array().cloned().unwrap_or_default();
        let content = kinds.iter().filter(|kind| kind["kind"] == "packs" || kind["kind"] == "wal");
        read += content.map(|kind| kind["read"].as_u64().unwrap_or(0)).sum::<u64>();
        links += report["regions"][0]["links"].as_u64().unwrap_or(0);
        let event =
            report["event"].as_str().ok_or_else(|| Failure::new(format!("not remembered: {report}")))?;
        assert!(site.region("one").join(event).exists(), "{event}");
        if report["ended"] == "complete" {
            break;
        }
        assert!(report["place"]["after"].is_string() && runs < 50, "{report}");
    }
    let region = site.region("one");
    let there = objects(&region, "/pack/")?.len() + objects(&region, "/wal/")?.len();
    assert!(runs > 1, "one run was enough");
    assert_eq!(read, there as u64, "each once, in {runs} runs");
    // Also those over the places where a run ended and the next began.
    assert_eq!(links, segments(&site)? as u64 - 1, "each link once, in {runs} runs");
    spoil_and_find(&site, &region)
}

/// The round after the last one begins at the beginning again.
fn spoil_and_find(site: &Site, region: &Path) -> Result<()> {
    let first = objects(region, "/map/")?.swap_remove(0);
    Damage::Flipped.apply(&region.join(&first))?;
    let report = verify(site, 1, &["--full", "--budget", "1MiB"])?;
    assert_eq!(
        findings(&report),
        [("verify.damaged".to_owned(), "one".to_owned(), first.display().to_string())],
        "{report}"
    );
    Ok(())
}

/// Records over the edges of segments, switches, writers at work when the power fails, and a server that goes on behind that: every
/// index that was stored on the way says what its segment's records say.
fn every_stored_index_is_what_the_records_say(major: u16) -> Result<()> {
    let mut site = Site::plain(major)?;
    site.backup(&[])?;
    for round in 1..=2 {
        let options = Options { writers: 4, ..Options::default() };
        let workload = if round == 1 { Some(Workload::start(&site.server, options)?) } else { None };
        site.server.execute(&format!(
            "CREATE TABLE bulk{round} AS SELECT n, repeat(md5(n::text), 20) AS body FROM generate_series(1, 60000) n"
        ))?;
        site.server.execute("SELECT pg_switch_wal()")?;
        if let Some(workload) = &workload {
            workload.wait_for_commits(100)?;
        }
        site.server.stop(StopMode::Kill)?;
        drop(workload);
        site.server.start()?;
        site.archive_all()?;
    }
    let report = verify(&site, 0, &["--full"])?;
    assert_eq!((report["ended"].as_str(), unread(&report)), (Some("complete"), 0), "{report}");
    let segments = segments(&site)?;
    assert!(segments >= 8, "{segments} segments of WAL");
    // Who has no private key knows links by indexes alone: each segment has one, and each goes on where the one before it ends.
    let as_host = json(&site.seawall(["verify", "--full", "--json"])?.expect_code(0)?)?;
    for report in [report, as_host] {
        for region in report["regions"].as_array().into_iter().flatten() {
            assert_eq!(region["links"], segments - 1, "{report}");
        }
        let not_checked = report["not_checked"].to_string();
        assert!(!not_checked.contains("has no index"), "{not_checked}");
    }
    Ok(())
}

/// How many segments are archived.
fn segments(site: &Site) -> Result<usize> {
    let names = objects(&site.region("one"), "/wal/")?;
    let is_segment = |name: &&std::path::PathBuf| name.file_name().is_some_and(|name| name.len() == 24);
    Ok(names.iter().filter(is_segment).count())
}

macro_rules! each_major {
    ($($name:ident $major:literal)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            every_stored_index_is_what_the_records_say($major)
        }
    )*};
}

each_major! {
    every_stored_index_is_what_the_records_say_14 14
    every_stored_index_is_what_the_records_say_15 15
    every_stored_index_is_what_the_records_say_16 16
    every_stored_index_is_what_the_records_say_17 17
    every_stored_index_is_what_the_records_say_18 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
