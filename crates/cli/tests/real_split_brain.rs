//! Two servers that each take themselves for the primary, at work on one repository: nothing of one gets into the other's backups or
//! recoveries, the conflict is told with both writers, and each branch comes back as itself.

use std::path::Path;

use crate::support::branch::{Branch, add_rows, rows};
use crate::support::regions::objects;
use crate::support::{RECOVERY_LIMIT, Site, json, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Result, Server, StopMode, majors};

/// A site with a backup and rows behind it; where the branches part is named.
fn before_the_split(major: u16) -> Result<Site> {
    let site = Site::plain(major)?;
    site.server.execute("CREATE TABLE kept (branch text, n int, body text, PRIMARY KEY (branch, n))")?;
    add_rows(&site.server, "before", 4000)?;
    site.backup(&[])?;
    add_rows(&site.server, "later", 1000)?;
    site.server.execute("SELECT pg_create_restore_point('fork')")?;
    Ok(site)
}

/// Both go on to timeline 2, and the first archives the segment with the fork and the one behind it before the second does anything.
fn both_promoted(major: u16) -> Result<(Site, Branch, Branch)> {
    let mut site = before_the_split(major)?;
    site.archive_all()?;
    site.server.stop(StopMode::Immediate)?;
    let mut one = Branch::restored(&site, "one")?;
    let two = Branch::restored(&site, "two")?;
    for (branch, name) in [(&one, "one"), (&two, "two")] {
        add_rows(&branch.server, name, 300)?;
    }
    one.archives()?;
    one.switch()?;
    add_rows(&one.server, "one more", 200)?;
    let last = one.switch()?;
    one.has_archived(&last)?;
    assert!(last.starts_with("00000002"), "{last}");
    Ok((site, one, two))
}

const SHARED: &str = "before 4000, later 1000";

/// What a restore along a timeline brings back.
fn restored(site: &Site, more: &[&str]) -> Result<String> {
    rows(&site.restored(&[&["--latest"], more].concat())?)
}

fn two_promoted_from_one_backup(major: u16) -> Result<()> {
    let (site, one, mut two) = both_promoted(major)?;
    two.archives()?;
    // What the second has in the segments of the same names is none of what the archive tells.
    for way in [&[][..], &["--scan"], &["--full"]] {
        says(two.backup(way)?, 4, &["archive.conflict", "(one)", "(two)"])?;
    }
    let told = "SELECT failed_count > 0 FROM pg_stat_archiver";
    two.server.wait_for("a refusal", RECOVERY_LIMIT, |server| Ok(server.value(told)? == "t"))?;
    let log = two.server.log();
    assert!(log.contains("archive.conflict") && log.contains("(one)") && log.contains("(two)"), "{log}");
    let made = json(&one.backup(&[])?.expect_code(0)?)?;
    assert_eq!(made["way"], "wal", "{made}");
    let branch_one = format!("{SHARED}, one 300, one more 200");
    assert_eq!(restored(&site, &["--timeline", "2"])?, branch_one);
    assert_eq!(restored(&site, &[])?, branch_one);
    // The second is still whole. WAL of its directory is not taken for what follows on the first one's.
    assert_eq!(rows(&two.server)?, format!("{SHARED}, two 300"));
    two.server.stop(StopMode::Fast)?;
    let directory = two.server.data_directory().display().to_string();
    let refused = site.restore(&site.new_directory(), &["--latest", "--salvage-wal", &directory])?;
    says(refused, 4, &["archive.conflict", "(one)", "salvaged from", &directory])?;
    Ok(())
}

/// The old primary lives on, on its own timeline; the fork lies inside a segment that both archive, each under its own name.
fn the_old_primary_lives_on(major: u16) -> Result<()> {
    let site = before_the_split(major)?;
    // The fork is archived, and the old primary goes on in the segment behind it.
    site.archive_all()?;
    let mut new = Branch::restored(&site, "new")?;
    let key = site.home().path().join("writer.key");
    let old_settings = site.settings();
    assert!(key.exists() && old_settings.exists());
    new.archives()?;
    let mut backups = Vec::new();
    for round in 1..=2 {
        add_rows(&site.server, &format!("old {round}"), 300)?;
        add_rows(&new.server, &format!("new {round}"), 200)?;
        for report in [site.backup(&[])?, json(&new.backup(&[])?.expect_code(0)?)?] {
            assert_eq!(report["way"], "wal", "{report}");
            backups.push(report);
        }
    }
    assert_eq!(backups[2]["parent"], backups[0]["backup"], "{backups:?}");
    assert_eq!(backups[3]["parent"], backups[1]["backup"], "{backups:?}");
    add_rows(&site.server, "old end", 100)?;
    add_rows(&new.server, "new end", 100)?;
    site.archive_all()?;
    let last = new.switch()?;
    new.has_archived(&last)?;
    let old_rows = format!("{SHARED}, old 1 300, old 2 300, old end 100");
    let new_rows = "before 4000, later 1000, new 1 200, new 2 200, new end 100".to_owned();
    assert_eq!(rows(&site.server)?, old_rows);
    assert_eq!(restored(&site, &["--timeline", "1"])?, old_rows);
    assert_eq!(restored(&site, &["--timeline", "2"])?, new_rows);
    // From the backup before the fork, too.
    for (timeline, rows) in [("1", &old_rows), ("2", &new_rows)] {
        let first = json(&site.seawall(["list", "--json"])?.expect_code(0)?)?;
        let all = first["backups"].as_array().cloned().unwrap_or_default();
        let first = all.iter().filter_map(|one| one["backup"].as_str()).min().unwrap_or_default().to_owned();
        assert_eq!(&restored(&site, &["--timeline", timeline, "--backup", &first])?, rows);
    }
    // Each timeline goes on in itself, and the second where it left the first.
    let report = json(&site.seawall(["verify", "--full", "--json"])?.expect_code(0)?)?;
    let names = objects(&site.region("one"), "/wal/")?;
    let segments = names.iter().filter(|name| name.file_name().is_some_and(|name| name.len() == 24)).count();
    assert_eq!(report["regions"][0]["links"], segments - 1, "{report}");
    Ok(())
}

/// The archive has the fork's segment of one server, and behind it one of the other: pushed by hand, after the archiver could not.
fn a_mixed_archive(major: u16) -> Result<(Site, Branch, String)> {
    let mut site = before_the_split(major)?;
    site.archive_all()?;
    site.server.stop(StopMode::Immediate)?;
    let mut one = Branch::restored(&site, "one")?;
    let two = Branch::restored(&site, "two")?;
    add_rows(&one.server, "one", 300)?;
    add_rows(&two.server, "two", 200)?;
    one.archives()?;
    let fork = one.switch()?;
    one.has_archived(&fork)?;
    assert_eq!(two.switch()?, fork);
    add_rows(&two.server, "two", 0)?;
    add_rows(&two.server, "two more", 200)?;
    let behind = two.switch()?;
    assert!(behind > fork, "{behind}");
    let mut push = std::process::Command::new(seawall_testkit::bins::seawall_path()?);
    push.arg("-c").arg(&two.settings).args(["wal", "push"]).arg(format!("pg_wal/{behind}"));
    let push = seawall_testkit::identity::as_server_user(&mut push)?.current_dir(two.server.data_directory());
    seawall_testkit::bins::run(push)?.expect_code(0)?;
    Ok((site, one, behind))
}

/// The server ends by itself, in recovery, and says why.
fn stops_at(directory: &Path, major: u16, says: &[&str]) -> Result<()> {
    let mut server = Server::existing(major, directory)?;
    server.spawn()?;
    server.wait_for_exit(RECOVERY_LIMIT)?;
    let log = server.log();
    for said in says {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
    let state = server.binaries().command("pg_controldata").arg(directory).output()?;
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(state.contains("in archive recovery"), "promoted: {state}");
    Ok(())
}

/// Without a private key, and with.
fn verify_names_it(site: &Site, behind: &str) -> Result<()> {
    let identity = site.identity("first").display().to_string();
    for line in
        [&["verify", "--full", "--json"][..], &["verify", "--full", "--json", "--identity", &identity]]
    {
        let report = json(&site.seawall(line.iter().copied())?.expect_code(1)?)?;
        let found: Vec<_> = report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|finding| {
                let object = finding["object"].as_str().unwrap_or_default();
                assert!(object.ends_with(behind), "{finding}");
                (finding["id"].as_str().unwrap_or_default(), finding["region"].as_str().unwrap_or_default())
            })
            .collect();
        assert_eq!(found, [("verify.link-broken", "one"), ("verify.link-broken", "two")], "{report}");
        let what = report["findings"][0]["endangers"]["what"].to_string();
        assert!(what.contains("recovery to any point from") && what.contains("on timeline 2"), "{what}");
    }
    Ok(())
}

fn a_broken_link_is_never_handed_over(major: u16) -> Result<()> {
    let (site, _one, behind) = a_mixed_archive(major)?;
    verify_names_it(&site, &behind)?;
    let says = ["archive.broken-link", behind.as_str(), "(one)", "(two)"];
    let planned = site.new_directory();
    site.restore(&planned, &["--latest", "--timeline", "2"])?.expect_code(0)?;
    stops_at(&planned, major, &says)?;
    // By hand: no plan, no target, so the server would promote at what it takes for the end of WAL.
    for signal in ["recovery.signal", "standby.signal"] {
        let directory = site.new_directory();
        site.restore(&directory, &["--standby", "host=/nowhere port=1"])?.expect_code(0)?;
        for name in ["recovery.signal", "standby.signal", "seawall_plan.json"] {
            if directory.join(name).exists() {
                std::fs::remove_file(directory.join(name))?;
            }
        }
        write_file(&directory.join(signal), "", 0o600)?;
        let (program, settings) = (seawall_testkit::bins::seawall_path()?, site.settings());
        let identity = site.identity("first");
        let command = format!(
            "{} -c {} wal fetch --identity {} %f %p",
            program.display(),
            settings.display(),
            identity.display()
        );
        let auto = directory.join("postgresql.auto.conf");
        let more = format!(
            "restore_command = '{command}'\nrecovery_target_timeline = 'latest'\nprimary_conninfo = ''\n"
        );
        write_file(&auto, std::fs::read_to_string(&auto)? + &more, 0o600)?;
        stops_at(&directory, major, &says)?;
    }
    Ok(())
}

macro_rules! each_major {
    ($($two:ident $old:ident $link:ident $major:literal)*) => {$(
        #[test]
        fn $two() -> Result<()> {
            two_promoted_from_one_backup($major)
        }

        #[test]
        fn $old() -> Result<()> {
            the_old_primary_lives_on($major)
        }

        #[test]
        fn $link() -> Result<()> {
            a_broken_link_is_never_handed_over($major)
        }
    )*};
}

each_major! {
    two_promoted_from_one_backup_of_14_are_kept_apart the_old_primary_of_14_lives_on_apart a_broken_link_of_14_is_never_handed_over 14
    two_promoted_from_one_backup_of_15_are_kept_apart the_old_primary_of_15_lives_on_apart a_broken_link_of_15_is_never_handed_over 15
    two_promoted_from_one_backup_of_16_are_kept_apart the_old_primary_of_16_lives_on_apart a_broken_link_of_16_is_never_handed_over 16
    two_promoted_from_one_backup_of_17_are_kept_apart the_old_primary_of_17_lives_on_apart a_broken_link_of_17_is_never_handed_over 17
    two_promoted_from_one_backup_of_18_are_kept_apart the_old_primary_of_18_lives_on_apart a_broken_link_of_18_is_never_handed_over 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
