//! A region that was away is brought up to date, by runs that are killed in their middle too, and then stands alone. Each region is a
//! process of its own. What is shown here alone is *simulated*.

use std::time::Duration;

use crate::support::clouds::Two;
use crate::support::json;
use seawall_gcsim::Operation;
use seawall_testkit::{Context as _, Result, Server, bins, majors};
use serde_json::Value;

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn lacking(report: &Value, region: &str) -> u64 {
    let regions = report["regions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = regions.iter().filter(|known| known["region"] == region);
    let kinds = of.flat_map(|known| known["kinds"].as_array().cloned().unwrap_or_default());
    kinds.filter_map(|kind| kind["lacking"].as_u64()).sum()
}

/// Starts a sync and kills it once the region took so many puts.
fn killed_sync(place: &Two, puts: u64) -> Result<()> {
    let control = place.two.control();
    control.reset_counters().context(|| "counters".to_owned())?;
    let settings = place.site.settings();
    let line = ["-c".into(), settings.into_os_string(), "sync".into()];
    let mut child = bins::seawall(line)?.spawn()?;
    for _ in 0..3000 {
        let done = control.requests(Operation::ObjectPut).context(|| "counters".to_owned())? >= puts;
        if done || child.try_wait()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
fn real_a_region_that_was_away_is_brought_up_to_date_and_stands_alone() -> Result<()> {
    for major in majors() {
        let mut place = Two::start(Server::builder(major), "ack_degrade = \"1s\"\n")?;
        let site = &place.site;
        site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 200000) g")?;
        site.backup(&["--full"])?;
        site.archive_all()?;
        place.two.stop()?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 50000) g")?;
        site.archive_all()?;
        json(&site.seawall(["backup", "--full", "--json"])?.expect_code(1)?)?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
        json(&site.seawall(["backup", "--json"])?.expect_code(1)?)?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 7) g")?;
        site.archive_all()?;
        place.two.go_on()?;
        let wanted = rows(&site.server)?;

        let planned = json(&site.seawall(["sync", "--dry-run", "--json"])?.expect_code(0)?)?;
        assert!(lacking(&planned, "two") > 5 && lacking(&planned, "one") == 0, "{planned}");
        for puts in [1, 3, 6] {
            killed_sync(&place, puts)?;
            // Every backup that a region shows is whole, also then; of WAL a file may be there before the one in front of it.
            let seen = json(&site.seawall(["verify", "--json", "--without-region", "one"])?)?;
            let findings = seen["findings"].as_array().cloned().unwrap_or_default();
            let bad: Vec<&Value> = findings.iter().filter(|one| one["id"] != "verify.wal-hole").collect();
            assert!(bad.is_empty(), "{major}, after {puts} puts: {bad:?}");
        }
        let report = json(&site.seawall(["sync", "--json"])?.expect_code(0)?)?;
        assert!(lacking(&report, "two") > 0, "{report}");
        let again = json(&site.seawall(["sync", "--json"])?.expect_code(0)?)?;
        assert_eq!((lacking(&again, "one"), lacking(&again, "two")), (0, 0), "{again}");
        let identity = site.identity("first").into_os_string();
        let line =
            ["verify", "--json", "--full", "--region", "two", "--identity"].map(std::ffi::OsString::from);
        site.seawall(line.into_iter().chain([identity]))?.expect_code(0)?;
        place.one.kill()?;
        let restored = place.site.restored(&["--latest", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}: region two alone");
    }
    Ok(())
}
