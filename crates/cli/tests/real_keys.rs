//! Keys that change while a cluster lives: a passphrase beside the identities, a second generation of keys.

use std::path::Path;
use std::process::Command;

use crate::support::{Site, json, recovered, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Outcome, Result, Server, bins, oracles};
use serde_json::Value;

const WORDS: &str = "seven correct horses stay stapled here";

/// A file that the user `seawall` runs as can read, and nobody else.
fn secret(site: &Site, name: &str, text: &str) -> Result<String> {
    let file = site.home().path().join(name);
    write_file(&file, text, 0o600)?;
    Ok(file.display().to_string())
}

/// A restore without `--identity`: by what is given.
fn restore_with(site: &Site, directory: &Path, more: &[&str]) -> Result<Outcome> {
    let mut line: Vec<String> =
        vec!["restore".into(), "-D".into(), directory.display().to_string(), "--latest".into()];
    line.extend(["--server-binaries".into(), site.server.binaries().directory.display().to_string()]);
    line.extend(more.iter().map(|word| (*word).to_owned()));
    site.seawall(line)
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || count(*) FILTER (WHERE body = md5(n::text)) FROM kept")
}

fn add_rows(site: &Site, first: u32, last: u32) -> Result<()> {
    let rows = format!("SELECT n, md5(n::text) FROM generate_series({first}, {last}) n");
    site.server.execute(&format!("INSERT INTO kept {rows}"))
}

fn with_rows(major: u16) -> Result<Site> {
    let site = Site::plain(major)?;
    site.server.execute("CREATE TABLE kept (n int PRIMARY KEY, body text)")?;
    add_rows(&site, 1, 1000)?;
    Ok(site)
}

fn rescue(site: &Site, words: &[&str]) -> Result<Outcome> {
    let about = std::fs::read_to_string(site.region("one").join("seawall.json"))?;
    let about: Value = serde_json::from_str(about.lines().next().unwrap_or_default())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/rescue.py").canonicalize()?;
    let mut command = Command::new(bins::rescue_python()?);
    command
        .arg(script)
        .arg(site.region("one"))
        .args(["--owner", about["owner"].as_str().unwrap_or_default()]);
    bins::run(command.args(words))
}

#[test]
fn a_passphrase_alone_restores_and_recovers() -> Result<()> {
    let site = with_rows(17)?;
    site.backup(&[])?;
    let (first, file) =
        (site.identity("first").display().to_string(), secret(&site, "words", &format!("{WORDS}\n"))?);
    let add = ["key", "add-passphrase", "--identity", &first, "--new-passphrase-file", &file, "--json"];
    let added = json(&site.seawall(add)?.expect_code(0)?)?;
    assert_eq!(
        (added["made"].as_array().map(Vec::len), &added["passphrases"]),
        (Some(2), &1.into()),
        "{added}"
    );
    let again = json(&site.seawall(add)?.expect_code(0)?)?;
    assert_eq!(again["made"], serde_json::json!([]), "{again}");
    // Somebody who comes later takes nothing away from it.
    let third = site.home().path().join("third").display().to_string();
    let made = json(&site.seawall(["key", "generate", "--output", &third, "--json"])?.expect_code(0)?)?;
    let recipient = made["recipient"].as_str().unwrap_or_default();
    site.seawall(["key", "add-recipient", recipient, "--passphrase-file", &file])?.expect_code(0)?;
    let shown = json(&site.seawall(["key", "show", "--passphrase-file", &file, "--json"])?.expect_code(0)?)?;
    assert_eq!(
        (&shown["generations"][0]["passphrases"], &shown["owner_key"]["opens"]),
        (&1.into(), &true.into())
    );
    add_rows(&site, 1001, 2000)?;
    site.archive_all()?;
    let wrong = secret(&site, "wrong", "seven wrong horses stay stapled here\n")?;
    let refused = restore_with(&site, &site.new_directory(), &["--passphrase-file", &wrong])?;
    let refused = says(refused, 2, &["the passphrase"])?;
    assert!(!refused.stderr.contains("stapled"), "{}", refused.stderr);
    let directory = site.new_directory();
    restore_with(&site, &directory, &["--passphrase-file", &file])?.expect_code(0)?;
    // Recovery fetches WAL by the passphrase, too.
    let server = recovered(Server::existing(17, &directory)?)?;
    assert_eq!(rows(&server)?, "2000 2000");
    let listed = rescue(&site, &["--passphrase-file", &file, "list"])?.expect_code(0)?;
    assert!(listed.stdout.starts_with("demo "), "{}", listed.stdout);
    let none = rescue(&site, &["--passphrase-file", &wrong, "list"])?;
    says(none, 1, &["nothing given opens the keys"]).map(drop)
}

#[test]
fn a_passphrase_that_is_weak_open_to_others_or_several_lines_is_refused() -> Result<()> {
    let site = Site::plain(17)?;
    let first = site.identity("first").display().to_string();
    let short = secret(&site, "short", "hunter2\n")?;
    let lines = secret(&site, "lines", &format!("{WORDS}\nand more\n"))?;
    let open = secret(&site, "open", WORDS)?;
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    for (file, id) in [
        (short, "keys.passphrase-weak"),
        (lines, "keys.passphrase-unusable"),
        (open, "keys.readable-by-others"),
    ] {
        let line = ["key", "add-passphrase", "--identity", &first, "--new-passphrase-file", &file];
        let refused = says(site.seawall(line)?, 2, &[id])?;
        assert!(
            !refused.stderr.contains("hunter2") && !refused.stderr.contains("horses"),
            "{}",
            refused.stderr
        );
    }
    // There is no terminal here.
    says(site.seawall(["key", "add-passphrase", "--identity", &first])?, 2, &["keys.passphrase-missing"])
        .map(drop)
}

/// Rotates and carries the new keys to the host.
fn rotate(site: &Site) -> Result<()> {
    let first = site.identity("first").display().to_string();
    let update = site.home().path().join("update.keys").display().to_string();
    let rotated = json(&site.seawall(["key", "rotate", "--identity", &first, "--json"])?.expect_code(0)?)?;
    assert_eq!((&rotated["generation"], &rotated["completed"]), (&2.into(), &false.into()), "{rotated}");
    let behind = site.seawall(["check"])?;
    assert!(format!("{}{}", behind.stdout, behind.stderr).contains("check.keys-behind"), "{}", behind.stdout);
    let line = ["key", "host-update", "--output", &update, "--identity", &first, "--json"];
    json(&site.seawall(line)?.expect_code(0)?)?;
    let text = std::fs::read_to_string(&update)?;
    let host = site.home().path().join("writer.key");
    let writer: Value = serde_json::from_str(&std::fs::read_to_string(&host)?)?;
    assert!(!text.contains(writer["writer"].as_str().unwrap_or("?")), "no key that signs");
    let accepted = json(&site.seawall(["key", "accept", &update, "--json"])?.expect_code(0)?)?;
    assert_eq!(
        (&accepted["added"], &accepted["generation"]),
        (&serde_json::json!([2]), &2.into()),
        "{accepted}"
    );
    let again = json(&site.seawall(["key", "accept", &update, "--json"])?.expect_code(0)?)?;
    assert_eq!(again["added"], serde_json::json!([]), "{again}");
    // Another key under the same number is not believed: nobody could open what it seals.
    let forged =
        text.replace(text.split("x25519:").last().and_then(|rest| rest.get(..6)).unwrap_or("?"), "AAAAAA");
    let forged = secret(site, "forged.keys", &forged)?;
    says(site.seawall(["key", "accept", &forged])?, 2, &["keys.update-refused"]).map(drop)
}

#[test]
fn a_second_generation_of_keys_begins_with_a_full_backup_and_old_ones_restore() -> Result<()> {
    let site = with_rows(17)?;
    let id = |report: &Value| report["backup"].as_str().unwrap_or_default().to_owned();
    let old = id(&site.backup(&[])?);
    add_rows(&site, 1001, 1500)?;
    site.archive_all()?;
    rotate(&site)?;
    // WAL that was archived before is known again under the new keys.
    add_rows(&site, 1501, 2000)?;
    let full = site.backup(&[])?;
    assert_eq!((&full["way"], &full["parent"]), (&"full".into(), &Value::Null));
    let reason = full["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&old) && reason.contains("another generation of keys"), "{reason}");
    let by_name = site.seawall(["backup", "--parent", &old])?;
    says(by_name, 2, &["backup.parent-unfit", "another generation of keys"])?;
    add_rows(&site, 2001, 2500)?;
    let next = site.backup(&[])?;
    assert_eq!(
        (&next["way"], &next["parent"]),
        (&"wal".into(), &full["backup"]),
        "generation 2 goes on as usual"
    );
    site.archive_all()?;
    // From the old backup on, recovery reads WAL of both generations; each identity opens both.
    for identity in ["first", "second"] {
        let directory = site.new_directory();
        let file = site.identity(identity).display().to_string();
        restore_with(&site, &directory, &["--backup", &old, "--identity", &file])?.expect_code(0)?;
        let server = recovered(Server::existing(17, &directory)?)?;
        assert_eq!(rows(&server)?, "2500 2500");
        oracles::amcheck(&server)?;
    }
    assert_eq!(rows(&site.restored(&["--latest"])?)?, "2500 2500");
    let listed = rescue(&site, &["--identity", &site.identity("second").display().to_string(), "list"])?;
    assert_eq!(listed.expect_code(0)?.stdout.lines().count(), 3);
    Ok(())
}

#[test]
fn who_is_left_out_of_a_generation_reads_the_old_and_not_the_new() -> Result<()> {
    let site = with_rows(17)?;
    let old = site.backup(&[])?;
    let file = |name: &str| site.identity(name).display().to_string();
    let (first, second) = (file("first"), file("second"));
    let recipient = std::fs::read_to_string(&second)?;
    let recipient =
        recipient.split_whitespace().find(|word| word.starts_with("age1")).unwrap_or_default().to_owned();
    let line = ["key", "rotate", "--identity", &first, "--without", &recipient];
    says(site.seawall(line)?, 2, &["keys.one-recipient", "--one-key"])?;
    let rotated = json(&site.seawall(line.iter().chain(&["--one-key", "--json"]).copied())?.expect_code(0)?)?;
    assert_eq!(rotated["still_open_owner_key"], serde_json::json!([recipient]), "{rotated}");
    let update = site.home().path().join("update.keys").display().to_string();
    site.seawall(["key", "host-update", "--output", &update, "--identity", &first])?.expect_code(0)?;
    site.seawall(["key", "accept", &update])?.expect_code(0)?;
    site.backup(&[])?;
    let name = old["backup"].as_str().unwrap_or_default();
    let refused = restore_with(&site, &site.new_directory(), &["--identity", &second])?;
    assert!(!matches!(refused.code, Some(0 | 1)), "{} {}", refused.stdout, refused.stderr);
    // The old backup is still his.
    let line = ["show", name, "--identity", &second, "--json"];
    assert_eq!(json(&site.seawall(line)?)?["header"]["backup"], name);
    Ok(())
}
