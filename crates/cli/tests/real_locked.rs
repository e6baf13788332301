//! Buckets in which nothing can be deleted or replaced for some days: everything works, and what is condemned leaves when it may. What is
//! shown here alone is *simulated*.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::support::json;
use crate::support::rights::{InBuckets, of_role, with};
use seawall_gcsim::{Answer, Fault, Operation, When};
use seawall_testkit::{Context as _, Result, Server};
use serde_json::{Value, json as value};

const DAY: u64 = 24 * 3600;
const LOCK_DAYS: u64 = 8;

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn advance(place: &InBuckets, hours: u64) -> Result<()> {
    let by = Duration::from_secs(hours * 3600);
    place.clouds().iter().try_for_each(|cloud| cloud.advance(by).context(|| "the clock".to_owned()))
}

fn locked_place() -> Result<InBuckets> {
    let bucket = value!({
        "retentionPolicy": { "retentionPeriod": (LOCK_DAYS * DAY).to_string() },
        "softDeletePolicy": { "retentionDurationSeconds": "0" },
    });
    let place = InBuckets::new(&bucket, "ack_degrade = \"1s\"\n")?;
    for cloud in place.clouds() {
        cloud.lock_bucket("acme-dr").context(|| "locking".to_owned())?;
    }
    place.allow([("writer", of_role("writer")?), ("pruner", of_role("pruner")?)])?;
    Ok(place)
}

/// A backup that region two refuses, which sync brings there afterwards.
fn backup_without_two(place: &InBuckets) -> Result<()> {
    let answer = Answer { status: 503, reason: None, message: None, retry_after: None };
    let when = When { operations: vec![Operation::ObjectPut], ..When::default() };
    place
        .two
        .fault(when, Fault { answer: Some(answer), ..Fault::default() })
        .context(|| "a fault".to_owned())?;
    json(&place.site.seawall(["backup", "--json"])?.expect_code(1)?)?;
    place.site.archive_all()?;
    place.two.release_all().context(|| "healing".to_owned())?;
    let synced = json(&place.site.seawall(["sync", "--json"])?.expect_code(0)?)?;
    let two = synced["regions"].as_array().into_iter().flatten().find(|region| region["region"] == "two");
    assert!(
        two.is_some_and(|two| two["kinds"].as_array().is_some_and(|kinds| !kinds.is_empty())),
        "{synced}"
    );
    Ok(())
}

fn prune(settings: &Path, code: i32) -> Result<Value> {
    json(&with(settings, ["prune", "--json"])?.expect_code(code)?)
}

fn backups(place: &InBuckets) -> Result<usize> {
    let listed = json(&place.site.seawall(["list", "--json"])?.expect_code(0)?)?;
    Ok(listed["backups"].as_array().map_or(0, Vec::len))
}

fn deleted(place: &InBuckets) -> Result<usize> {
    let mut deleted = 0;
    for cloud in place.clouds() {
        let counted = cloud.counters().context(|| "counters".to_owned())?;
        let gone = counted.iter().filter(|one| one.operation == Operation::ObjectDelete && one.status == 204);
        deleted += gone.map(|one| one.count.requests as usize).sum::<usize>();
    }
    Ok(deleted)
}

/// Whether such a finding says this.
fn finds(report: &Value, id: &str, what: &str) -> bool {
    let says = |one: &Value| one["what"].as_str().is_some_and(|text| text.contains(what));
    report["findings"].as_array().into_iter().flatten().any(|one| one["id"] == id && says(one))
}

/// A hold that somebody put on packs keeps them, is told, and keeps nothing of the other region.
fn held_by_somebody(place: &InBuckets, keeper: &Path, backup: &str) -> Result<()> {
    let system = place.site.server.value("SELECT system_identifier FROM pg_control_system()")?;
    let hold = |on: bool| {
        let packs = (0..4).map(|number| format!("pg/demo/{system}/backup/{backup}/pack/{number}"));
        packs.filter(|pack| place.one.hold("acme-dr", pack, on).is_ok()).count()
    };
    assert!(hold(true) > 0, "no pack of {backup}");
    let report = prune(keeper, 1)?;
    assert!(finds(&report, "prune.locked", "under active Temporary hold"), "{report}");
    let left = |name: &str| {
        let of = report["regions"].as_array().into_iter().flatten().find(|region| region["region"] == name);
        of.and_then(|region| region["left"].as_u64())
    };
    assert!(left("one") > Some(0) && left("two") == Some(0), "{report}");
    assert!(hold(false) > 0, "what was held is gone");
    Ok(())
}

#[test]
fn real_the_whole_road_in_locked_buckets_and_prune_says_until_when() -> Result<()> {
    let place = locked_place()?;
    let site = &place.site;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 20000) g")?;
    let mut ids = Vec::new();
    for day in 0..4 {
        site.server.execute(&format!("UPDATE kept SET i = i + 1 WHERE i % 7 = {day}"))?;
        ids.push(site.backup(&[])?["backup"].as_str().unwrap_or_default().to_owned());
        site.archive_all()?;
        // By more than a day, so that the host's clock, which stays, confirms none but the first.
        advance(&place, 26)?;
    }
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    backup_without_two(&place)?;
    let wanted = rows(&site.server)?;

    let keeper = place.pruner("within = \"60h\"\nshrink_delay = \"0s\"")?;
    prune(&keeper, 1)?;
    advance(&place, 25)?;
    let delayed = prune(&keeper, 1)?;
    assert!(finds(&delayed, "prune.locked", "retention policy"), "{delayed}");
    for region in delayed["regions"].as_array().into_iter().flatten() {
        assert!(region["locked_until"].is_string() && region["left"].as_u64() > Some(0), "{region}");
    }
    assert_eq!(deleted(&place)?, 0, "{delayed}");
    assert_eq!(backups(&place)?, 5);
    assert_eq!(rows(&site.restored(&["--latest"])?)?, wanted, "while the lock keeps what is condemned");

    advance(&place, LOCK_DAYS * 24)?;
    held_by_somebody(&place, &keeper, &ids[1])?;
    let carried = prune(&keeper, 1)?;
    for region in carried["regions"].as_array().into_iter().flatten() {
        assert!(region["locked_until"].is_null() && region["left"] == 0, "{region}");
    }
    assert!(deleted(&place)? > 0 && backups(&place)? < 5, "{carried}");
    assert_eq!(rows(&site.restored(&["--latest"])?)?, wanted, "after the lock let go");
    let identity = site.identity("first").into_os_string();
    let line = ["verify", "--json", "--full", "--identity"].map(OsString::from);
    json(&site.seawall(line.into_iter().chain([identity]))?.expect_code(0)?)?;
    Ok(())
}

#[test]
fn real_check_compares_a_lock_with_max_age() -> Result<()> {
    let place = locked_place()?;
    let check = |max_age: &str, code: i32| -> Result<Value> {
        let rules = format!("[retention]\ndaily = 2\nmax_age = \"{max_age}\"\n");
        let settings = place.settings_of("writer", &rules)?;
        // The server archives with the same settings by their own name.
        std::fs::copy(&settings, place.site.settings())?;
        json(&place.site.seawall(["check", "--json"])?.expect_code(code)?)
    };
    let fine = check("20d", 0)?;
    let lines = fine["in_order"].to_string();
    assert!(lines.contains("before they are 8 d old; nobody can lift that"), "{fine}");
    assert!(lines.contains("no stored byte grows older than 21 d"), "{fine}");
    let long = check("5d", 1)?;
    let ids: Vec<&str> =
        long["findings"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    let each = ["check.lock-outlives-max-age", "check.max-age-exceeded"];
    assert_eq!(ids, [each, each].concat(), "{long}");
    Ok(())
}
