//! Every command's JSON, from a cluster that has something of everything, is what `docs/JSON.md` describes.
//!
//! The check itself is in `support::json`; here each command and each shape of a target is printed once.

use std::ffi::OsString;

use crate::support::{Site, json};
use seawall_testkit::{Layout, Outcome, Result, Server};
use serde_json::Value;

/// A server with a slot, a subscription, a prepared transaction, an unlogged table, tablespaces, files outside PGDATA.
fn site() -> Result<Site> {
    let site = Site::new(Server::builder(17).layout(Layout::Debian).archive_command("false").start()?)?;
    for statement in [
        "CREATE TABLE kept TABLESPACE ts1 AS SELECT generate_series(1, 500) AS n",
        "ANALYZE kept",
        "CREATE UNLOGGED TABLE fleeting (n int)",
        "SELECT pg_create_physical_replication_slot('follower')",
        "CREATE SUBSCRIPTION news CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
        "BEGIN; INSERT INTO kept VALUES (0); PREPARE TRANSACTION 'undecided'",
    ] {
        site.server.execute(statement)?;
    }
    Ok(site)
}

fn print(site: &Site, line: &[&str]) -> Result<Value> {
    json(&site.seawall(line.iter().copied().chain(["--json"]))?.expect_code(0)?)
}

fn restore(site: &Site, more: &[&str]) -> Result<Value> {
    json(&restored(site, &[more, &["--json"]].concat())?)
}

fn restored(site: &Site, more: &[&str]) -> Result<Outcome> {
    let (first, second) = (site.home().path().join("new1"), site.home().path().join("new2"));
    let moved = [format!("ts1={}", first.display()), format!("ts2={}", second.display())];
    let mut line = site.restore_line(&site.new_directory(), more);
    line.extend(moved.iter().flat_map(|moved| ["--tablespace".into(), OsString::from(moved)]));
    site.seawall(line)?.expect_code(0)
}

#[test]
fn what_backups_print_is_described() -> Result<()> {
    let site = site()?;
    print(&site, &["backup", "--dry-run"])?;
    let backup = print(&site, &["backup"])?;
    assert!(backup["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{backup}");
    let list = print(&site, &["list"])?;
    assert_eq!(list["backups"][0]["backup"], backup["backup"], "{list}");
    let show = print(&site, &["show", "latest"])?;
    for shown in ["tablespaces", "slots", "subscriptions", "prepared", "unlogged", "row_estimates"] {
        assert!(show[shown].as_array().is_some_and(|list| !list.is_empty()), "{shown}: {show}");
    }
    Ok(())
}

#[test]
fn what_restores_print_is_described() -> Result<()> {
    let site = site()?;
    site.backup(&[])?;
    let lsn = site.server.value("SELECT pg_create_restore_point('here')")?;
    let xid = site.server.value("SELECT pg_current_xact_id()")?;
    let now =
        site.server.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")?;
    site.server.execute("CREATE TABLE later (n int)")?;
    site.archive_all()?;
    let targets: [&[&str]; 6] = [
        &["--lsn", &lsn],
        &["--xid", &xid, "--before"],
        &["--at", &now],
        &["--restore-point", "here"],
        &["--immediate", "--timeline", "1"],
        &["--latest"],
    ];
    for target in targets {
        let preview = restore(&site, &[target, &["--dry-run"]].concat())?;
        assert!(preview["stop_at"].is_object() || preview["stop_at"] == "immediate", "{preview}");
    }
    let standby = restore(&site, &["--standby", "host=nowhere", "--dry-run"])?;
    assert_eq!(standby["stop_at"], Value::Null, "{standby}");
    let done = restore(&site, &["--latest", "--bandwidth", "1GiB/s"])?;
    assert!(done["neutralised"].as_array().is_some_and(|list| !list.is_empty()), "{done}");
    assert!(print(&site, &["status"])?["windows"][0]["from"].is_string());
    Ok(())
}

#[test]
fn a_restore_says_what_became_of_the_configuration_and_why() -> Result<()> {
    let site = Site::plain(17)?;
    site.server.set("primary_conninfo", "host=old password=hunter2")?;
    site.backup(&[])?;
    site.archive_all()?;
    let said = site.restore(&site.new_directory(), &["--latest"])?.expect_code(0)?.stdout;
    for wanted in
        ["archive_mode = 'off' instead of 'on' (", "): a copy that archives would be taken for the original"]
    {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(said.contains("primary_conninfo = '' instead of 'host=old password=********'"), "{said}");
    assert!(!said.contains("switched off") && !said.contains("hunter2"), "{said}");
    Ok(())
}

#[test]
fn what_keys_and_settings_print_is_described() -> Result<()> {
    let site = Site::plain(17)?;
    let file = |name: &str| site.home().path().join(name).display().to_string();
    let (third, second_host) = (file("third"), file("second-host.key"));
    let identity = ["--identity", &file("first")];
    let generated = print(&site, &["key", "generate", "--output", &third])?;
    let recipient = generated["recipient"].as_str().unwrap_or_default();
    print(&site, &[&["key", "add-recipient", recipient], &identity[..]].concat())?;
    let line = ["key", "add-writer", "--label", "second host", "--output", &second_host];
    let added = print(&site, &[&line, &identity[..]].concat())?;
    let writer = added["writer"].as_str().unwrap_or_default();
    print(&site, &[&["key", "revoke-writer", writer, "--reason", "gone"], &identity[..]].concat())?;
    let shown = print(&site, &[&["key", "show"], &identity[..]].concat())?;
    assert!(shown["writers"].to_string().contains("gone"), "{shown}");
    print(&site, &["init", "--dry-run"])?;
    print(&site, &["config", "check"])?;
    let settings = print(&site, &["config", "show"])?;
    assert_eq!(settings["clusters"][0]["name"], "demo", "{settings}");
    Ok(())
}
