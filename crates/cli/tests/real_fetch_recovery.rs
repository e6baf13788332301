//! A recovery whose archive fails in the middle must stop and wait, and never promote: an outage is not the end of WAL.
//!
//! Each case restores, spoils what `restore_command` needs, starts the server, sees it end without promoting, puts the thing
//! back, and sees the same directory recover whole.

use std::path::{Path, PathBuf};

use crate::support::regions::{Damage, objects};
use crate::support::{RECOVERY_LIMIT, Site, recovered};
use seawall_testkit::{Failure, Result, Server};

/// A site with a backup and segments behind it; the last of these names.
fn site(major: u16) -> Result<(Site, String)> {
    let site = Site::plain(major)?;
    site.backup(&[])?;
    let mut last = String::new();
    for round in 0..3 {
        last = site.server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?;
        site.server.execute(&format!("CREATE TABLE round{round} AS SELECT 1 AS one"))?;
        site.archive_all()?;
    }
    Ok((site, last))
}

/// The server on this directory ends by itself, still in recovery.
fn must_not_promote(major: u16, directory: &Path, case: &str) -> Result<()> {
    let mut server = Server::existing(major, directory)?;
    server.spawn()?;
    let status = server.wait_for_exit(RECOVERY_LIMIT)?;
    let log = server.log();
    if status.success()
        || log.contains("selected new timeline ID")
        || log.contains("archive recovery complete")
    {
        return Err(Failure::new(format!("{case}: ended with {status}, and its log says\n{log}")));
    }
    assert!(directory.join("recovery.signal").exists(), "{case}: recovery goes on at the next start");
    Ok(())
}

fn recovers_whole(major: u16, directory: &Path, case: &str) -> Result<()> {
    let server = recovered(Server::existing(major, directory)?)?;
    assert_eq!(server.value("SELECT to_regclass('round2') IS NOT NULL")?, "t", "{case}");
    Ok(())
}

fn spoiled_everywhere(site: &Site, segment: &str, damage: Damage) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut kept = Vec::new();
    for region in [site.region("one"), site.region("two")] {
        for object in objects(&region, segment)? {
            let path = region.join(object);
            kept.push((path.clone(), std::fs::read(&path)?));
            damage.apply(&path)?;
        }
    }
    Ok(kept)
}

fn segments_that_fail(major: u16) -> Result<()> {
    let (site, last) = site(major)?;
    for damage in Damage::ALL {
        let case = format!("PostgreSQL {major}, {last} {damage:?}");
        let directory = site.new_directory();
        site.restore(&directory, &["--latest"])?.expect_code(0)?;
        let kept = spoiled_everywhere(&site, &last, damage)?;
        must_not_promote(major, &directory, &case)?;
        for (path, content) in kept {
            seawall_testkit::identity::write_file(&path, content, 0o600)?;
        }
        recovers_whole(major, &directory, &case)?;
    }
    Ok(())
}

/// The only file in the data directory that `restore_command` names as its plan.
fn plan_file(directory: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains("seawall") && name.contains("plan") {
            found.push(path);
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(Failure::new(format!("expected one plan file, found {found:?}"))),
    }
}

fn plans_that_fail(major: u16) -> Result<()> {
    let (site, _) = site(major)?;
    let directory = site.new_directory();
    site.restore(&directory, &["--latest"])?.expect_code(0)?;
    let plan = plan_file(&directory)?;
    let whole = std::fs::read(&plan)?;
    for damage in Damage::ALL {
        let case = format!("PostgreSQL {major}, plan file {damage:?}");
        damage.apply(&plan)?;
        must_not_promote(major, &directory, &case)?;
        seawall_testkit::identity::write_file(&plan, &whole, 0o600)?;
    }
    let identity = site.identity("first");
    let aside = identity.with_extension("aside");
    std::fs::rename(&identity, &aside)?;
    must_not_promote(major, &directory, "the identity is gone")?;
    std::fs::rename(&aside, &identity)?;
    recovers_whole(major, &directory, "all is back")
}

#[test]
fn a_spoiled_segment_never_promotes_14() -> Result<()> {
    segments_that_fail(14)
}

#[test]
fn a_spoiled_segment_never_promotes_18() -> Result<()> {
    segments_that_fail(18)
}

#[test]
fn a_spoiled_plan_or_a_lost_identity_never_promotes_14() -> Result<()> {
    plans_that_fail(14)
}

#[test]
fn a_spoiled_plan_or_a_lost_identity_never_promotes_18() -> Result<()> {
    plans_that_fail(18)
}
