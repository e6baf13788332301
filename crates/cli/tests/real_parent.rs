//! `backup --parent`: the backup that was named is built on, and one that cannot be is refused with the reason.

use crate::support::regions::{Damage, objects};
use crate::support::{Site, json, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Failure, Result};
use serde_json::Value;

fn id_of(report: &Value) -> Result<String> {
    let id = report["backup"].as_str();
    id.map(str::to_owned).ok_or_else(|| Failure::new(format!("no backup in {report}")))
}

/// Three states of a table; a backup of each of the first two.
fn two_backups(site: &Site) -> Result<[String; 2]> {
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 5000) n")?;
    let first = id_of(&site.backup(&[])?)?;
    site.server.execute("UPDATE kept SET body = md5(body) WHERE n % 3 = 0")?;
    let second = id_of(&site.backup(&[])?)?;
    site.server.execute("UPDATE kept SET body = md5(body) WHERE n % 5 = 0")?;
    Ok([first, second])
}

#[test]
fn the_named_backup_is_built_on_and_not_the_newest() -> Result<()> {
    let site = Site::plain(17)?;
    let [first, second] = two_backups(&site)?;
    let preview =
        json(&site.seawall(["backup", "--parent", &first, "--dry-run", "--json"])?.expect_code(0)?)?;
    assert_eq!((&preview["way"], &preview["parent"]), (&"wal".into(), &first.as_str().into()), "{preview}");
    let third = site.backup(&["--parent", &first])?;
    assert_eq!((&third["way"], &third["parent"]), (&"wal".into(), &first.as_str().into()), "{third}");
    let show = json(&site.seawall(["show", "latest", "--json"])?.expect_code(0)?)?;
    assert_eq!(show["header"]["parent"], first.as_str(), "{show}");
    let uses = show["uses"].to_string();
    assert!(uses.contains(&first) && !uses.contains(&second), "{uses}");
    // Without a word the newest is built on again.
    assert_eq!(site.backup(&[])?["parent"], third["backup"]);
    site.archive_all()?;
    let sum = "SELECT md5(string_agg(n || body, ',' ORDER BY n)) FROM kept";
    let server = site.restored(&["--immediate", "--backup", &id_of(&third)?])?;
    assert_eq!(server.value(sum)?, site.server.value(sum)?);
    Ok(())
}

#[test]
fn a_backup_that_cannot_be_built_on_is_refused_with_the_reason() -> Result<()> {
    let site = Site::plain(17)?;
    let [first, second] = two_backups(&site)?;
    let before = objects(&site.region("one"), "/pack/")?;
    let with = |parent: &str| site.seawall(["backup", "--parent", parent]);
    let unknown = "20310504T020000Z-0123456789abcdef";
    says(with(unknown)?, 2, &["backup.parent-unfit", "there is no backup", unknown, "seawall list"])?;
    let manifest = objects(&site.region("two"), "/manifest/")?
        .into_iter()
        .find(|name| name.to_string_lossy().contains(&first))
        .map(|name| site.region("two").join(name))
        .ok_or_else(|| Failure::new("the first backup has no manifest in region two"))?;
    let whole = std::fs::read(&manifest)?;
    Damage::Removed.apply(&manifest)?;
    let reason = format!("backup {first} is not in every region of this backup");
    says(with(&first)?, 2, &["backup.parent-unfit", &reason, "leave --parent away"])?;
    says(with("latest")?, 2, &["wanted an id such as"])?;
    assert_eq!(objects(&site.region("one"), "/pack/")?, before, "nothing was stored");
    write_file(&manifest, &whole, 0o600)?;
    assert_eq!(site.backup(&["--parent", &second])?["parent"], second.as_str());
    Ok(())
}
