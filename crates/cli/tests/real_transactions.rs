//! Recovery to a transaction by its number: the backup is chosen by what backups know of numbers, and by nobody's guess.

use crate::support::{Site, says};
use seawall_testkit::{Result, Server};

/// A row in a transaction of its own; the transaction's number as a person sees it in a log.
fn row(server: &Server, n: u32) -> Result<String> {
    let insert = format!("INSERT INTO kept VALUES ({n}) RETURNING pg_current_xact_id()::xid");
    server.value(&insert)
}

fn backup(site: &Site) -> Result<String> {
    Ok(site.backup(&[])?["backup"].as_str().unwrap_or_default().to_owned())
}

fn rows(site: &Site, target: &[&str]) -> Result<String> {
    site.restored(target)?.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM kept")
}

#[test]
fn a_transaction_is_reached_from_the_newest_backup_that_ended_before_it() -> Result<()> {
    let site = Site::plain(17)?;
    site.server.execute("CREATE TABLE kept (n int)")?;
    let oldest = row(&site.server, 1)?;
    let first = backup(&site)?;
    let between = row(&site.server, 2)?;
    row(&site.server, 3)?;
    site.server.execute("SELECT pg_create_restore_point('before the second')")?;
    let second = backup(&site)?;
    let behind = row(&site.server, 4)?;
    row(&site.server, 5)?;
    site.archive_all()?;
    assert_eq!(rows(&site, &["--xid", &between])?, "1 2");
    assert_eq!(rows(&site, &["--xid", &between, "--before"])?, "1");
    assert_eq!(rows(&site, &["--xid", &behind])?, "1 2 3 4");
    let told = site.restore(&site.new_directory(), &["--xid", &behind, "--dry-run"])?.expect_code(0)?;
    assert!(told.stdout.contains(&second), "the least to replay: {}", told.stdout);
    // What only a person can know is asked, with what there is to choose from.
    let name = ["--restore-point", "before the second"];
    for (target, why) in [
        (vec!["--xid", &oldest], "before any of these backups"),
        (name.to_vec(), "no index of restore points"),
    ] {
        let refused = site.restore(&site.new_directory(), &target)?;
        let commands = [format!("--backup {second}"), format!("--backup {first}")];
        says(refused, 2, &["restore.backup-needed", why, &commands[0], &commands[1]])?;
    }
    assert_eq!(rows(&site, &[&name[..], &["--backup", &first]].concat())?, "1 2 3");
    Ok(())
}
