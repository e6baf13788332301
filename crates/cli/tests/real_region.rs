//! Regions that come and go beneath a running server: one is added, one is lost and made anew, one is back after a hundred days; each then
//! stands alone. The buckets are simulators: what only they show is *simulated*.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::clouds::Cloud;
use crate::support::regions::objects;
use crate::support::{Site, json};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Server, majors};
use serde_json::Value;

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn backup_of(report: &Value) -> Result<String> {
    let found = report["backup"].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("no backup in {report}")))
}

/// A site on two directories that acknowledges WAL without a region after a second.
fn site(major: u16) -> Result<Site> {
    let site = Site::in_regions(Server::builder(major).archive_command("false").start()?, |home| {
        let region = |name| {
            format!("[[repository.region]]\nname = \"{name}\"\nurl = \"file://{}/{name}\"\n", home.display())
        };
        Ok(format!("ack_degrade = \"1s\"\n{}", ["one", "two"].map(region).concat()))
    })?;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 50000) g")?;
    Ok(site)
}

/// What is written while a region is away: WAL, and a backup that says so.
fn meanwhile(site: &Site) -> Result<String> {
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 700) g")?;
    site.archive_all()?;
    let report = json(&site.seawall(["backup", "--full", "--json"])?.expect_code(1)?)?;
    site.archive_all()?;
    backup_of(&report)
}

#[test]
fn real_a_region_that_was_lost_and_made_anew_is_filled_and_stands_alone() -> Result<()> {
    for major in majors() {
        let site = site(major)?;
        site.backup(&["--full"])?;
        site.archive_all()?;
        std::fs::remove_dir_all(site.region("two"))?;
        meanwhile(&site)?;
        let planned =
            json(&site.seawall(["region", "rejoin", "two", "--dry-run", "--json"])?.expect_code(0)?)?;
        assert_eq!((&planned["found"], site.region("two").exists()), (&"empty".into(), false), "{planned}");
        // While it is not there nothing else may leave.
        let drained = json(&site.seawall(["region", "drain", "one", "--json"])?.expect_code(1)?)?;
        assert_eq!(drained["may_leave"], false, "{drained}");
        let done = json(&site.seawall(["region", "rejoin", "two", "--json"])?.expect_code(0)?)?;
        assert_eq!(done["sync"]["regions"][0]["region"], "two", "{done}");
        // Pushes try a region that was away every 30 s; what went without it meanwhile comes with the next sync.
        site.archive_all()?;
        site.seawall(["sync"])?.expect_code(0)?;
        let drained = json(&site.seawall(["region", "drain", "one", "--json"])?.expect_code(0)?)?;
        assert_eq!(
            (&drained["may_leave"], &drained["others"][0]["lacking"]),
            (&true.into(), &0.into()),
            "{drained}"
        );
        let identity = site.identity("first").display().to_string();
        site.seawall(["verify", "--full", "--region", "two", "--identity", &identity])?.expect_code(0)?;
        let wanted = rows(&site.server)?;
        std::fs::remove_dir_all(site.region("one"))?;
        let restored = site.restored(&["--latest", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}: region two alone");
    }
    Ok(())
}

/// Everything there now was stored so many days ago.
fn age(region: &Path, days: u64) -> Result<()> {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for object in objects(region, "")? {
        let file = std::fs::File::options().append(true).open(region.join(&object));
        file.and_then(|file| file.set_modified(then)).context(|| object.display().to_string())?;
    }
    Ok(())
}

#[test]
fn real_a_region_that_is_back_after_a_hundred_days_brings_nothing_back() -> Result<()> {
    for major in majors() {
        let site = site(major)?;
        let pruned = backup_of(&site.backup(&["--full"])?)?;
        site.archive_all()?;
        let away = site.region("away");
        std::fs::rename(site.region("two"), &away)?;
        let kept = meanwhile(&site)?;
        age(&away, 101)?;
        age(&site.region("one"), 100)?;
        // Pruned since, and the tombstone forgotten as well.
        let gone = objects(&site.region("one"), &format!("/manifest/{pruned}"))?.swap_remove(0);
        std::fs::remove_file(site.region("one").join(&gone))?;
        std::fs::rename(&away, site.region("two"))?;
        for command in [&["sync"][..], &["region", "rejoin", "two"], &["region", "add", "two", "--dry-run"]] {
            let refused = site.seawall(command.iter().copied())?.expect_code(4)?;
            assert!(refused.stderr.contains("away-too-long"), "{refused:?}");
        }
        assert!(!site.region("one").join(&gone).exists());
        // The old place stays as it is; the region gets another.
        let text = site.settings_text().replace("/two\"", "/two-anew\"");
        write_file(&site.settings(), text, 0o600)?;
        json(&site.seawall(["region", "rejoin", "two", "--json"])?.expect_code(0)?)?;
        let listed = json(&site.seawall(["list", "--json"])?.expect_code(0)?)?.to_string();
        assert!(listed.contains(&kept) && !listed.contains(&pruned), "{listed}");
        let wanted = rows(&site.server)?;
        let restored = site.restored(&["--latest", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}: the new place alone");
        assert!(site.region("two").join(&gone).exists(), "nothing was deleted");
    }
    Ok(())
}

#[test]
fn real_a_bucket_is_added_and_another_leaves() -> Result<()> {
    for major in majors() {
        let mut one = Cloud::start("one", "europe-west3", None)?;
        let two = Cloud::start("two", "europe-north1", Some(30 * 86_400))?;
        let server = Server::builder(major).archive_command("false").start()?;
        let mut token = None;
        let site = Site::in_regions(server, |home| {
            let file = home.join("token.json");
            write_file(&file, r#"{"type": "fixed_token", "token": "one-for-all"}"#, 0o600)?;
            let settings = one.settings(&file);
            token = Some(file);
            Ok(settings)
        })?;
        site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 50000) g")?;
        site.backup(&["--full"])?;
        site.archive_all()?;
        let alone = site.seawall(["region", "drain", "one"])?.expect_code(2)?;
        assert!(alone.stderr.contains("region.the-only-one"), "{alone:?}");
        let token = token.ok_or_else(|| Failure::new("no token"))?;
        let text = format!("{}{}", site.settings_text(), two.settings(&token));
        write_file(&site.settings(), text, 0o600)?;
        let planned = json(&site.seawall(["region", "add", "two", "--dry-run", "--json"])?.expect_code(0)?)?;
        assert!(planned["found"] == "empty" && planned["objects"].as_u64() > Some(10), "{planned}");
        json(&site.seawall(["region", "add", "two", "--json"])?.expect_code(0)?)?;
        // From now on both get everything.
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 900) g")?;
        site.archive_all()?;
        site.backup(&[])?;
        site.archive_all()?;
        site.seawall(["region", "drain", "one"])?.expect_code(0)?;
        let wanted = rows(&site.server)?;
        one.kill()?;
        let restored = site.restored(&["--latest", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}: region two alone");
    }
    Ok(())
}
