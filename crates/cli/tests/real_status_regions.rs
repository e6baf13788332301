//! What `status` says of each region: its own windows, what it lacks, how fast it answers, when it was verified; also while one hangs and when
//! the database host is gone. Each region is a process of its own. What is shown here alone is *simulated*.

use std::ffi::OsString;

use crate::support::clouds::Two;
use crate::support::json;
use seawall_testkit::{Failure, Result, Server, StopMode, majors};
use serde_json::{Value, json as value};

fn status(place: &Two) -> Result<Value> {
    json(&place.site.seawall(["status", "--json"])?)
}

fn of<'a>(status: &'a Value, region: &str) -> Result<&'a Value> {
    let mut regions = status["regions"].as_array().into_iter().flatten();
    let found = regions.find(|known| known["region"] == region);
    found.ok_or_else(|| Failure::new(format!("no region {region} in {status}")))
}

fn verify(place: &Two, code: i32, more: &[&str]) -> Result<()> {
    let mut line: Vec<OsString> = ["verify", "--json", "--full"].iter().chain(more).map(Into::into).collect();
    line.extend(["--identity".into(), place.site.identity("first").into_os_string()]);
    json(&place.site.seawall(line)?.expect_code(code)?).map(drop)
}

/// Each region stored the last segment at a time of its own.
fn timeless(windows: &Value) -> Value {
    let mut windows = windows.clone();
    for window in windows.as_array_mut().into_iter().flatten() {
        window["to_time"] = Value::Null;
    }
    windows
}

/// Nothing is lacking, and it would do by itself.
fn is_whole(status: &Value, region: &str) -> Result<()> {
    let known = of(status, region)?;
    assert_eq!(known["lag"], value!({ "objects": 0, "bytes": 0, "seconds": 0 }), "{region}: {status}");
    assert_eq!(timeless(&known["windows"]), timeless(&status["windows"]), "{region}: {status}");
    assert!(known["latency_ms"].is_u64(), "{region}: {status}");
    Ok(())
}

#[test]
fn real_status_tells_of_each_region_by_itself_and_waits_for_none_that_hangs() -> Result<()> {
    let major = majors().last().copied().ok_or_else(|| Failure::new("no server"))?;
    let place = Two::start(Server::builder(major), "ack_degrade = \"1s\"\n")?;
    let site = &place.site;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 5000) g")?;
    site.backup(&["--full"])?;
    site.archive_all()?;
    let before = status(&place)?;
    for region in ["one", "two"] {
        is_whole(&before, region)?;
        assert_eq!(of(&before, region)?["verified"], Value::Null);
    }
    verify(&place, 0, &[])?;

    place.two.stop()?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    json(&site.seawall(["backup", "--full", "--json"])?.expect_code(1)?)?;
    site.archive_all()?;
    let hanging = status(&place)?;
    let two = of(&hanging, "two")?;
    assert!(
        two["unreached"].is_string() && two["lag"].is_null() && two["windows"] == value!([]),
        "{hanging}"
    );
    assert_eq!(two["verified"]["depth"], "full", "{hanging}");
    is_whole(&hanging, "one")?;

    place.two.go_on()?;
    let behind = status(&place)?;
    is_whole(&behind, "one")?;
    let two = of(&behind, "two")?;
    let lag = &two["lag"];
    assert!(lag["objects"].as_u64() > Some(2) && lag["bytes"].as_u64() > Some(100_000), "{behind}");
    assert_eq!(two["windows"].as_array().map(Vec::len), Some(1), "{behind}");
    assert_eq!(
        (&two["windows"][0]["backups"], &of(&behind, "one")?["windows"][0]["backups"]),
        (&value!(1), &value!(2))
    );
    // What is verified now is told for the region that was read, and of the other what was told before.
    verify(&place, 0, &["--region", "one"])?;
    let planned = json(&site.seawall(["sync", "--json"])?.expect_code(0)?)?;
    assert!(planned.is_object());

    let mut place = place;
    place.site.server.stop(StopMode::Immediate)?;
    let after = status(&place)?;
    for region in ["one", "two"] {
        is_whole(&after, region)?;
    }
    let at = |region: &str| -> Result<String> { Ok(of(&after, region)?["verified"]["at"].to_string()) };
    assert!(at("one")? > at("two")?, "{after}");
    Ok(())
}
