//! Each operation with no more than its role's rights, as the files beneath `config/iam/google` give them; the simulator refuses the rest,
//! and each role is seen to use all that it is given. What is shown here alone is *simulated*.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::rights::{InBuckets, ROLES, of_role, with};
use crate::support::{json, recovered, says};
use seawall_gcsim::Operation;
use seawall_testkit::{Context as _, Failure, Result, Server};
use serde_json::json as value;

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn advance(place: &InBuckets) -> Result<()> {
    let by = Duration::from_secs(25 * 3600);
    place.clouds().iter().try_for_each(|cloud| cloud.advance(by).context(|| "the clock".to_owned()))
}

fn deleted(place: &InBuckets) -> Result<u64> {
    let mut deleted = 0;
    for cloud in place.clouds() {
        let counted = cloud.counters().context(|| "counters".to_owned())?;
        let gone = counted.iter().filter(|one| one.operation == Operation::ObjectDelete && one.status == 204);
        deleted += gone.map(|one| one.count.requests).sum::<u64>();
    }
    Ok(deleted)
}

/// `init` was with the writer's rights, too.
fn writes(place: &InBuckets) -> Result<String> {
    let site = &place.site;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 5000) g")?;
    let first = site.backup(&["--full"])?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    site.archive_all()?;
    advance(place)?;
    site.backup(&["--full"])?;
    site.archive_all()?;
    json(&site.seawall(["sync", "--json"])?.expect_code(0)?)?;
    json(&site.seawall(["check", "--archive", "--json"])?.expect_code(0)?)?;
    let id = first["backup"].as_str().map(str::to_owned);
    id.ok_or_else(|| Failure::new(format!("no backup in {first}")))
}

fn prunes(place: &InBuckets, keeper: &Path, backup: &str) -> Result<()> {
    let held = json(&with(keeper, ["hold", "add", backup, "--reason", "a test", "--json"])?.expect_code(0)?)?;
    let hold = held["hold"].as_str().ok_or_else(|| Failure::new(format!("no hold in {held}")))?;
    with(keeper, ["hold", "release", hold, "--reason", "over"])?.expect_code(0)?;
    // The newest day has to be reached from a backup before it.
    advance(place)?;
    let condemned = json(&with(keeper, ["prune", "--json"])?.expect_code(1)?)?;
    assert!(condemned["tombstones"].as_array().is_some_and(|all| !all.is_empty()), "{condemned}");
    advance(place)?;
    // A key that may prune does not help where the login may not delete.
    let text = std::fs::read_to_string(keeper)?.replace("pruner.token.json", "writer.token.json");
    let taken = place.site.home().path().join("taken.toml");
    seawall_testkit::identity::write_file(&taken, text, 0o600)?;
    says(with(&taken, ["prune"])?, 1, &["prune.locked", "storage.objects.delete"])?;
    assert_eq!(deleted(place)?, 0);
    with(keeper, ["prune", "--json"])?.expect_code(1)?;
    assert!(deleted(place)? > 0);
    Ok(())
}

fn reads(place: &InBuckets, settings: &Path) -> Result<Server> {
    for line in [
        &["list", "--json"][..],
        &["status", "--json"],
        &["wal", "status", "--json"],
        &["key", "show", "--json"],
    ] {
        json(&with(settings, line.iter().copied())?)?;
    }
    let directory = place.site.new_directory();
    with(settings, place.site.restore_line(&directory, &["--latest"]))?.expect_code(0)?;
    let server = &place.site.server;
    let restored = recovered(Server::existing(server.major(), &directory)?.with_binaries(server.binaries()))?;
    says(with(settings, ["backup"])?, 6, &["storage.objects.create"])?;
    Ok(restored)
}

fn observes(place: &InBuckets, settings: &Path) -> Result<()> {
    let identity = place.site.identity("first").into_os_string();
    let line = ["verify", "--json", "--full", "--identity"].map(OsString::from);
    json(&with(settings, line.into_iter().chain([identity]))?)?;
    let seen = json(&with(settings, ["status", "--json"])?)?;
    assert_ne!(seen["verdict"], "not-recoverable", "{seen}");
    Ok(())
}

/// What each token needed and had, in all regions.
fn used(place: &InBuckets) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cloud in place.clouds() {
        for (token, rights) in cloud.rights_used().context(|| "rights".to_owned())? {
            all.entry(token).or_default().extend(rights);
        }
    }
    Ok(all)
}

#[test]
fn real_each_operation_runs_with_its_roles_rights_and_each_role_uses_all_of_them() -> Result<()> {
    let off = value!({ "softDeletePolicy": { "retentionDurationSeconds": "0" } });
    let place = InBuckets::new(&off, "")?;
    let settings: BTreeMap<&str, PathBuf> =
        ROLES.into_iter().map(|role| Ok((role, place.settings_of(role, "")?))).collect::<Result<_>>()?;
    let logins = ROLES.into_iter().map(|role| Ok((role, of_role(role)?))).collect::<Result<Vec<_>>>()?;
    place.allow(logins)?;
    let first = writes(&place)?;
    let wanted = rows(&place.site.server)?;
    let keeper = place.pruner("within = \"12h\"\nmin_backups = 1\nshrink_delay = \"0s\"")?;
    prunes(&place, &keeper, &first)?;
    assert_eq!(rows(&reads(&place, &settings["reader"])?)?, wanted);
    observes(&place, &settings["observer"])?;
    let used = used(&place)?;
    for role in ROLES {
        assert_eq!(used.get(role), Some(&of_role(role)?), "what {role}.yaml gives and what was used");
    }
    Ok(())
}
