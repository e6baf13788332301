//! Retention on a real server: what is condemned leaves after its grace and no earlier, what is kept restores, and only who has the
//! right to prune decides. The store's clock is that of files, so files are made older instead of waiting.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::regions::{Damage, objects};
use crate::support::{Site, json, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context, Failure, Result};
use serde_json::Value;

const SUM: &str = "SELECT md5(string_agg(n || body, ',' ORDER BY n)) FROM kept";

/// Makes everything that is stored older.
fn age(site: &Site, hours: u64) -> Result<()> {
    for region in ["one", "two"] {
        let root = site.region(region);
        for object in objects(&root, "")? {
            older(&root.join(object), Duration::from_secs(hours * 3600))?;
        }
    }
    Ok(())
}

fn older(path: &Path, by: Duration) -> Result<()> {
    let file = std::fs::File::open(path).context(|| format!("opening {}", path.display()))?;
    let modified: SystemTime = file.metadata()?.modified()?;
    file.set_modified(modified - by).context(|| format!("making {} older", path.display()))
}

/// Adds the keys and the rules to the settings.
fn settings(site: &Site, rules: &str, key: bool) -> Result<()> {
    let home = site.home().path().display().to_string();
    let keys = if key {
        format!("[repository]\nprune_key_file = \"{home}/prune.key\"\n")
    } else {
        "[repository]\n".to_owned()
    };
    let text = site.settings_text().replace("[repository]\n", &keys);
    write_file(&site.settings(), format!("{text}[retention]\n{rules}\n"), 0o600)
}

fn kept(report: &Value) -> Vec<String> {
    let backups = report["backups"].as_array().cloned().unwrap_or_default();
    let kept = backups.iter().filter(|one| one["keep"].as_array().is_some_and(|keep| !keep.is_empty()));
    kept.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
}

fn manifests(site: &Site, region: &str) -> Result<Vec<String>> {
    let names = objects(&site.region(region), "/manifest/")?;
    Ok(names.iter().filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned())).collect())
}

/// Four backups, a day apart, each of another state; their ids and sums.
fn four_days(site: &Site) -> Result<Vec<(String, String)>> {
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n")?;
    let mut days = Vec::new();
    for day in 0..4 {
        site.server.execute(&format!("UPDATE kept SET body = md5(body) WHERE n % 7 = {day}"))?;
        let report = site.backup(&[])?;
        let id = report["backup"].as_str().ok_or_else(|| Failure::new(format!("no backup in {report}")))?;
        days.push((id.to_owned(), site.server.value(SUM)?));
        site.archive_all()?;
        age(site, 24)?;
    }
    Ok(days)
}

fn prune_key(site: &Site) -> Result<()> {
    let (output, identity) = (site.home().path().join("prune.key"), site.identity("first"));
    let line = ["key", "add-writer", "--right", "prune", "--label", "keeper", "--json"];
    let mut line: Vec<std::ffi::OsString> = line.into_iter().map(Into::into).collect();
    line.extend(["--output".into(), output.into(), "--identity".into(), identity.into()]);
    let added = json(&site.seawall(line)?.expect_code(0)?)?;
    assert_eq!(added["rights"], serde_json::json!(["prune"]));
    Ok(())
}

fn retention_of(major: u16) -> Result<()> {
    let site = Site::plain(major)?;
    let days = four_days(&site)?;
    says(site.seawall(["prune", "--dry-run"])?, 2, &["retention.no-rules", "daily = 30"])?;
    settings(&site, "within = \"60h\"", false)?;
    says(site.seawall(["prune"])?, 2, &["keys.no-right-to-prune", "key add-writer --right prune"])?;
    prune_key(&site)?;
    settings(&site, "within = \"60h\"", true)?;

    let planned = json(&site.seawall(["prune", "--dry-run", "--json"])?.expect_code(0)?)?;
    let newest: Vec<String> = days[2..].iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(kept(&planned), newest, "{planned}");
    let shown = site.seawall(["prune", "--dry-run"])?.expect_code(0)?.stdout;
    assert!(shown.contains("2 backups are kept, 2 are condemned") && shown.contains(&days[0].0), "{shown}");
    let why = json(&site.seawall(["prune", "--explain", &days[0].0, "--json"])?.expect_code(0)?)?;
    assert!(why["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{why}");
    let cost = json(&site.seawall(["list", "--cost", "--json"])?.expect_code(0)?)?;
    let size = |rows: &Value| -> u64 {
        rows.as_array().into_iter().flatten().filter_map(|row| row["amount"]["bytes"].as_u64()).sum()
    };
    let packs = objects(&site.region("one"), "/pack/")?;
    let on_disk: u64 =
        packs.iter().filter_map(|pack| Some(site.region("one").join(pack).metadata().ok()?.len())).sum();
    assert_eq!(
        (size(&cost["by_reason"]), size(&cost["by_age"])),
        (on_disk, on_disk),
        "every pack is counted once: {cost}"
    );
    json(&site.seawall(["prune", "--at", "2040-01-01", "--json"])?.expect_code(0)?)?;
    assert_eq!(manifests(&site, "one")?.len(), 4);

    json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    assert_eq!(manifests(&site, "one")?.len(), 4, "nothing leaves in the run that condemns it");
    // Built while much is condemned: it must not lean on it.
    site.server.execute("UPDATE kept SET body = md5(body) WHERE n % 11 = 0")?;
    let fifth = site.backup(&[])?["backup"].as_str().unwrap_or_default().to_owned();
    let fifth_sum = site.server.value(SUM)?;
    site.archive_all()?;
    age(&site, 25)?;
    let carried = json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    assert_eq!(carried["regions"][1]["deleted"]["manifests"], 2, "{carried}");
    let mut left = vec![days[2].0.clone(), days[3].0.clone(), fifth.clone()];
    left.sort();
    for region in ["one", "two"] {
        assert_eq!(manifests(&site, region)?, left);
    }

    for (id, sum) in [&days[3], &(fifth, fifth_sum.clone())] {
        let restored = site.restored(&["--immediate", "--backup", id])?;
        assert_eq!(&restored.value(SUM)?, sum);
    }
    assert_eq!(site.restored(&["--latest"])?.value(SUM)?, fifth_sum);
    let gone = site.restore(&site.new_directory(), &["--immediate", "--backup", &days[0].0])?;
    says(gone, 2, &["restore.backup-unknown", &days[0].0])?;
    holds(&site, &days[2])
}

/// A hold keeps what waits already, and its release lets it go.
fn holds(site: &Site, (id, sum): &(String, String)) -> Result<()> {
    let added = json(&site.seawall(["hold", "add", id, "--reason", "audit 7", "--json"])?.expect_code(0)?)?;
    let hold = added["hold"].as_str().unwrap_or_default().to_owned();
    age(site, 25)?;
    json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    assert!(manifests(site, "two")?.contains(id));
    assert_eq!(&site.restored(&["--immediate", "--backup", id])?.value(SUM)?, sum);
    let listed = json(&site.seawall(["hold", "list", "--json"])?.expect_code(0)?)?;
    assert_eq!(
        (&listed["holds"][0]["in_force"], &listed["holds"][0]["reason"]),
        (&true.into(), &"audit 7".into())
    );
    json(&site.seawall(["hold", "release", &hold, "--reason", "closed", "--json"])?.expect_code(0)?)?;
    json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    let undone = json(&site.seawall(["prune", "--undo", "--json"])?.expect_code(0)?)?;
    assert!(undone["tombstones"].as_array().is_some_and(|stones| !stones.is_empty()), "{undone}");
    age(site, 25)?;
    json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    assert!(manifests(site, "two")?.contains(id), "taken back, and condemned anew: a new grace runs");
    age(site, 25)?;
    json(&site.seawall(["prune", "--json"])?.expect_code(0)?)?;
    assert!(!manifests(site, "two")?.contains(id));
    // Others wait by now.
    site.seawall(["prune", "--undo"])?.expect_code(0)?;
    says(site.seawall(["prune", "--undo"])?, 4, &["prune.nothing-to-undo"])?;
    Ok(())
}

/// `seawall verify --json ...` with the first identity, ending with this code: what it found, and where.
fn verified(site: &Site, code: i32, more: &[&str]) -> Result<Vec<(String, String, String)>> {
    let identity = site.identity("first").display().to_string();
    let line = ["verify", "--json", "--identity", &identity].into_iter().chain(more.iter().copied());
    let report = json(&site.seawall(line)?.expect_code(code)?)?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().cloned().unwrap_or_default();
    Ok(all
        .iter()
        .map(|finding| (text(finding, "id"), text(finding, "region"), text(finding, "object")))
        .collect())
}

/// Segments in a region, in order.
fn segments(site: &Site, region: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut names = objects(&site.region(region), "/wal/")?;
    names.retain(|name| name.file_name().is_some_and(|name| name.len() == 24));
    names.sort();
    Ok(names)
}

/// Between a backup that is held and those that the rules keep all WAL is let go: that is no damage, and what is kept is looked after.
#[test]
fn what_pruning_left_is_verified_as_whole_and_damage_to_it_is_found() -> Result<()> {
    let site = Site::plain(17)?;
    let days = four_days(&site)?;
    prune_key(&site)?;
    settings(&site, "within = \"60h\"", true)?;
    site.seawall(["hold", "add", &days[0].0, "--reason", "audit 7"])?.expect_code(0)?;
    let before = segments(&site, "one")?;
    site.seawall(["prune"])?.expect_code(0)?;
    age(&site, 25)?;
    site.seawall(["prune"])?.expect_code(0)?;
    let left = segments(&site, "one")?;
    assert!(left.contains(&before[0]) && left.len() < before.len(), "{left:?} of {before:?}");
    assert_eq!(manifests(&site, "one")?.len(), 3, "the one that is held and the last two");
    for tombstones in [true, false] {
        if !tombstones {
            for region in ["one", "two"] {
                for stone in objects(&site.region(region), "/tombstone/")? {
                    std::fs::remove_file(site.region(region).join(&stone))
                        .context(|| "removing".to_owned())?;
                }
            }
        }
        assert_eq!(verified(&site, 0, &[])?, []);
        assert_eq!(verified(&site, 0, &["--full"])?, []);
    }
    assert_eq!(site.restored(&["--immediate", "--backup", &days[0].0])?.value(SUM)?, days[0].1);

    let last = left.last().ok_or_else(|| Failure::new("no WAL"))?;
    let second_last = left.len().checked_sub(2).and_then(|at| left.get(at));
    let gone = second_last.ok_or_else(|| Failure::new(format!("only {}", last.display())))?;
    Damage::Removed.apply(&site.region("two").join(gone))?;
    let hole = ("verify.wal-hole".to_owned(), "two".to_owned(), gone.display().to_string());
    assert_eq!(verified(&site, 1, &[])?, std::slice::from_ref(&hole));
    let pack = objects(&site.region("one"), &format!("/{}/pack/", days[0].0))?.swap_remove(0);
    Damage::Flipped.apply(&site.region("one").join(&pack))?;
    let damaged = ("verify.damaged".to_owned(), "one".to_owned(), pack.display().to_string());
    assert_eq!(verified(&site, 1, &["--full"])?, [damaged, hole]);
    Ok(())
}

#[test]
fn retention_of_14() -> Result<()> {
    retention_of(14)
}

#[test]
fn retention_of_18() -> Result<()> {
    retention_of(18)
}
