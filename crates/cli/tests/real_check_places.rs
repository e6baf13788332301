//! `check` of buckets: rights that are lacking and rights that are too many, places, residency. What is shown here alone is
//! *simulated*.

use crate::support::json;
use crate::support::rights::{InBuckets, of_role};
use seawall_gcsim::Operation;
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Result};
use serde_json::{Value, json as value};

/// The writer's own rights, with some more and without some.
fn rights(place: &InBuckets, more: &[&str], without: &[&str]) -> Result<()> {
    let mut rights = of_role("writer")?;
    rights.retain(|right| !without.contains(&right.as_str()));
    rights.extend(more.iter().map(|right| (*right).to_owned()));
    place.allow([("writer", rights)])
}

/// With more settings, for one check.
fn check(place: &InBuckets, more: &str, code: i32) -> Result<Value> {
    let text = place.site.settings_text().replace("[repository]\n", &format!("[repository]\n{more}"));
    write_file(&place.site.settings(), text, 0o600)?;
    json(&place.site.seawall(["check", "--json"])?.expect_code(code)?)
}

/// The findings' or notes' ids with the regions that they name.
fn told(report: &Value, list: &str) -> Vec<(String, bool, bool)> {
    let all = report[list].as_array().cloned().unwrap_or_default();
    let names = |what: &str, region: &str| what.contains(&format!("region {region}"));
    let of = all.iter().map(|one| {
        let what = one["what"].as_str().unwrap_or_default();
        (one["id"].as_str().unwrap_or_default().to_owned(), names(what, "one"), names(what, "two"))
    });
    of.collect()
}

fn is_in_order(report: &Value, text: &str) -> bool {
    report["in_order"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|line| line.as_str().is_some_and(|line| line.contains(text)))
}

#[test]
fn real_check_proves_rights_and_says_where_buckets_are_and_touches_nothing() -> Result<()> {
    let place = InBuckets::new(&value!({ "softDeletePolicy": { "retentionDurationSeconds": "0" } }), "")?;
    place.site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
    place.site.backup(&["--full"])?;
    place.site.archive_all()?;
    for cloud in place.clouds() {
        cloud.reset_counters().context(|| "counters".to_owned())?;
    }
    rights(&place, &[], &[])?;
    let fine = check(&place, "", 0)?;
    assert_eq!((told(&fine, "findings"), told(&fine, "notes")), (vec![], vec![]), "{fine}");
    for line in [
        "region one: bucket acme-dr in europe-west3 (a region), project ",
        "create, read and list, and not delete",
    ] {
        assert!(is_in_order(&fine, line), "{line}: {fine}");
    }

    rights(&place, &["storage.objects.delete", "storage.buckets.update"], &[])?;
    let many = check(&place, "", 1)?;
    let wanted = [true, true, false, false].map(|one| ("check.right-too-many".to_owned(), one, !one));
    assert_eq!(told(&many, "findings"), wanted, "{many}");

    rights(&place, &[], &["storage.objects.create"])?;
    let few = check(&place, "", 1)?;
    let wanted = [true, false].map(|one| ("check.right-missing".to_owned(), one, !one));
    assert_eq!(told(&few, "findings"), wanted, "{few}");

    rights(&place, &[], &["storage.buckets.get"])?;
    let silent = check(&place, "", 0)?;
    let wanted = [true, false].map(|one| ("check.not-told".to_owned(), one, !one));
    assert_eq!(told(&silent, "notes"), wanted, "{silent}");

    nothing_was_touched(&place)?;
    residency(&place)
}

/// Nothing was put and nothing deleted: what was tried was refused, or there was no such object.
fn nothing_was_touched(place: &InBuckets) -> Result<()> {
    for cloud in place.clouds() {
        let counted = cloud.counters().context(|| "counters".to_owned())?;
        let changes = [Operation::ObjectPut, Operation::ObjectDelete, Operation::BucketPatch];
        let done = counted.iter().filter(|one| changes.contains(&one.operation) && one.status < 300);
        assert_eq!(done.count(), 0, "{counted:?}");
        assert!(
            counted.iter().any(|one| one.operation == Operation::ObjectDelete && one.status == 404),
            "{counted:?}"
        );
    }
    rights(place, &[], &[])?;
    let identity = place.site.identity("first").into_os_string();
    let line = ["verify", "--json", "--full", "--identity"].map(std::ffi::OsString::from);
    json(&place.site.seawall(line.into_iter().chain([identity]))?.expect_code(0)?)?;
    Ok(())
}

fn residency(place: &InBuckets) -> Result<()> {
    let both = check(place, "residency = [\"europe-west3\", \"EUROPE-NORTH1\"]\n", 0)?;
    assert_eq!(told(&both, "findings"), []);
    let one = check(place, "residency = [\"europe-west3\"]\n", 1)?;
    assert_eq!(told(&one, "findings"), [("check.residency".to_owned(), false, true)], "{one}");
    rights(place, &[], &["storage.buckets.get"])?;
    let unknown = check(place, "residency = [\"europe-west3\"]\n", 1)?;
    let wanted = [true, false].map(|one| ("check.residency".to_owned(), one, !one));
    assert_eq!(told(&unknown, "findings"), wanted, "{unknown}");
    Ok(())
}
