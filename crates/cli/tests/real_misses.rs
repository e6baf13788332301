//! What other tools miss or hide: pages and segments that are damaged or gone. Each must be told by name, with the exit code
//! that says whose turn it is, and before anything is written where nothing should be.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::support::regions::{Damage, objects};
use crate::support::{Site, json, recovered, says};
use seawall_testkit::{Result, StopMode};

const MAJOR: u16 = 17;

/// A site with a table of a few hundred pages.
fn site(major: u16) -> Result<Site> {
    let site = Site::plain(major)?;
    site.server
        .execute("CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n")?;
    Ok(site)
}

fn kept_is_whole(server: &seawall_testkit::Server) -> Result<()> {
    let wrong = "SELECT count(*) FILTER (WHERE body = md5(n::text)) || ' of ' || count(*) FROM kept";
    assert_eq!(server.value(wrong)?, "20000 of 20000");
    Ok(())
}

/// One bit of a page of the table, on disk, under the server's feet.
fn spoil_page(site: &Site, page: u64) -> Result<String> {
    site.server.execute("CHECKPOINT")?;
    let path = site.server.value("SELECT pg_relation_filepath('kept')")?;
    let file =
        std::fs::File::options().read(true).write(true).open(site.server.data_directory().join(&path))?;
    let (mut byte, place) = ([0], page * 8192 + 5000);
    file.read_exact_at(&mut byte, place)?;
    file.write_all_at(&[byte[0] ^ 0x10], place)?;
    Ok(path)
}

#[test]
fn a_corrupt_page_is_named_by_backup_list_show_and_restore() -> Result<()> {
    for major in [14, 18] {
        let site = site(major)?;
        let path = spoil_page(&site, 7)?;
        let backup = site.seawall(["backup", "--json"])?.expect_code(1)?;
        let report = json(&backup)?;
        assert_eq!(report["damaged_pages"], 1, "{report}");
        assert_eq!(report["findings"][0]["id"], "backup.damaged-page", "{report}");
        says(backup, 1, &[&path])?;
        site.archive_all()?;
        let list = site.seawall(["list"])?.expect_code(1)?;
        assert!(list.stdout.contains("DAMAGED PAGES: 1"), "{}", list.stdout);
        let show = json(&site.seawall(["show", "latest", "--json"])?.expect_code(1)?)?;
        assert!(show["damaged_pages"].to_string().contains(&path), "{}", show["damaged_pages"]);
        let page = site.seawall(["show", "latest"])?.expect_code(1)?;
        assert!(page.stdout.contains(&format!("{path} page 7")), "{}", page.stdout);
        let restored = site.restore(&site.new_directory(), &["--latest"])?;
        assert!(restored.stdout.contains("1 DAMAGED PAGES"), "{} {}", restored.stdout, restored.stderr);
        // The next backup builds on this one and must not forget.
        let next = json(&site.seawall(["backup", "--json"])?.expect_code(1)?)?;
        assert_eq!(next["damaged_pages"], 1, "{next}");
    }
    Ok(())
}

/// Whatever is told while a backup runs stands in its report too and changes its exit code.
#[test]
fn what_cannot_be_a_database_file_is_in_the_report_and_the_exit_code() -> Result<()> {
    let site = site(MAJOR)?;
    let socket = site.server.data_directory().join("base/left.socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket)?;
    for line in [&["backup", "--json"][..], &["backup", "--json", "--dry-run"]] {
        let told = says(site.seawall(line.iter().copied())?, 1, &["source.not-a-file", "base/left.socket"])?;
        let report = json(&told)?;
        assert_eq!(report["findings"][0]["id"], "source.not-a-file", "{report}");
        assert_eq!(report["findings"][1], serde_json::Value::Null, "told once: {report}");
    }
    std::fs::remove_file(&socket)?;
    site.backup(&[])?;
    Ok(())
}

/// Segments of WAL after a backup, archived: their names, oldest first, without the last.
fn segments_after_backup(site: &Site) -> Result<Vec<String>> {
    site.backup(&[])?;
    let mut names = Vec::new();
    for round in 0..4 {
        names.push(site.server.value("SELECT pg_walfile_name(pg_current_wal_lsn())")?);
        site.server.execute(&format!("CREATE TABLE round{round} AS SELECT 1 AS one"))?;
        site.archive_all()?;
    }
    names.pop();
    Ok(names)
}

/// Spoils every object of this segment in a region.
fn spoil_segment(site: &Site, region: &str, segment: &str, damage: Damage) -> Result<()> {
    let region = site.region(region);
    for object in objects(&region, segment)? {
        damage.apply(&region.join(object))?;
    }
    Ok(())
}

#[test]
fn a_segment_missing_everywhere_is_named_before_anything_is_written() -> Result<()> {
    let site = site(MAJOR)?;
    let segments = segments_after_backup(&site)?;
    let missing = segments[1].as_str();
    spoil_segment(&site, "one", missing, Damage::Removed)?;
    spoil_segment(&site, "two", missing, Damage::Removed)?;
    let directory = site.new_directory();
    let refused = says(site.restore(&directory, &["--latest"])?, 4, &["restore.wal-hole", missing])?;
    assert!(!directory.exists(), "nothing is written");
    let after_the_hole = site.server.value("SELECT pg_current_wal_flush_lsn() - 1")?;
    says(site.restore(&directory, &["--lsn", &after_the_hole])?, 4, &[missing])?;
    assert!(!directory.exists(), "nothing is written");
    let server = follow_hint(&site, &refused.stderr, &directory)?;
    kept_is_whole(&server)?;
    assert_eq!(
        server.value("SELECT to_regclass('round0') IS NOT NULL AND to_regclass('round2') IS NULL")?,
        "t"
    );
    Ok(())
}

/// Types the command that a refusal suggests for the last point before a hole, word for word.
fn follow_hint(site: &Site, said: &str, directory: &Path) -> Result<seawall_testkit::Server> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("hint: ").filter(|line| line.contains(" restore ")));
    let line = line.ok_or_else(|| seawall_testkit::Failure::new(format!("no command in {said}")))?;
    let mut shell = std::process::Command::new("sh");
    seawall_testkit::bins::run(seawall_testkit::identity::as_server_user(shell.args(["-c", line]))?)?
        .expect_code(0)?;
    recovered(seawall_testkit::Server::existing(site.server.major(), directory)?)
}

/// Which region is read first is not promised, so only a segment that was tried there is told of; the data is promised.
#[test]
fn segments_spoiled_in_one_region_come_from_the_other() -> Result<()> {
    let site = site(MAJOR)?;
    let segments = segments_after_backup(&site)?;
    for (segment, damage) in segments.iter().zip([Damage::Removed, Damage::Flipped, Damage::Truncated]) {
        spoil_segment(&site, "one", segment, damage)?;
    }
    let directory = site.new_directory();
    let restored = site.restore(&directory, &["--latest"])?;
    assert!(matches!(restored.code, Some(0 | 1)), "{} {}", restored.stdout, restored.stderr);
    let server = recovered(seawall_testkit::Server::existing(MAJOR, &directory)?)?;
    kept_is_whole(&server)?;
    assert_eq!(server.value("SELECT to_regclass('round3') IS NOT NULL")?, "t");
    let alone = site.restore(&site.new_directory(), &["--latest", "--region", "one"])?;
    says(alone, 4, &["restore.wal-hole", &segments[0]]).map(drop)
}

/// Objects of a backup of each kind, one of each.
fn kinds_of_objects(region: &Path) -> Result<Vec<PathBuf>> {
    ["/manifest/", "/map/", "/pack/"]
        .into_iter()
        .map(|kind| Ok(objects(region, kind)?.swap_remove(0)))
        .collect()
}

#[test]
fn objects_spoiled_in_one_region_come_from_the_other() -> Result<()> {
    let site = site(MAJOR)?;
    site.backup(&[])?;
    site.archive_all()?;
    let region = site.region("one");
    for object in kinds_of_objects(&region)? {
        let whole = std::fs::read(region.join(&object))?;
        for damage in Damage::ALL {
            damage.apply(&region.join(&object))?;
            let directory = site.new_directory();
            let restored = site.restore(&directory, &["--latest"])?;
            let said = format!("{damage:?} {}: {} {}", object.display(), restored.stdout, restored.stderr);
            // 1 where the spoiled copy was tried first, and then it is told which.
            assert!(
                restored.code == Some(0)
                    || (restored.code == Some(1) && restored.stderr.contains("region one")),
                "{said}"
            );
            if damage == Damage::Flipped {
                let server = recovered(seawall_testkit::Server::existing(MAJOR, &directory)?)?;
                kept_is_whole(&server)?;
            }
            says(site.restore(&site.new_directory(), &["--latest", "--region", "one"])?, 4, &[])?;
            put_back(&region.join(&object), &whole)?;
            std::fs::remove_dir_all(&directory)?;
        }
    }
    site.restore(&site.new_directory(), &["--latest"])?.expect_code(0).map(drop)
}

fn put_back(path: &Path, content: &[u8]) -> Result<()> {
    seawall_testkit::identity::write_file(path, content, 0o600)
}

#[test]
fn objects_spoiled_everywhere_are_named_and_the_code_is_4() -> Result<()> {
    let site = site(MAJOR)?;
    site.backup(&[])?;
    site.archive_all()?;
    let regions = [site.region("one"), site.region("two")];
    for object in kinds_of_objects(&regions[0])? {
        let whole = std::fs::read(regions[0].join(&object))?;
        let name = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for damage in Damage::ALL {
            for region in &regions {
                damage.apply(&region.join(&object))?;
            }
            let only_manifest_gone =
                damage == Damage::Removed && object.to_string_lossy().contains("/manifest/");
            let directory = site.new_directory();
            let refused = site.restore(&directory, &["--latest"])?;
            let words: &[&str] = if only_manifest_gone { &["restore.no-backup"] } else { &[&name] };
            says(refused, 4, words)?;
            assert!(!directory.join("global/pg_control").exists(), "no server can start on half a restore");
            for region in &regions {
                put_back(&region.join(&object), &whole)?;
            }
        }
    }
    Ok(())
}

#[test]
fn two_swapped_packs_are_not_believed() -> Result<()> {
    let site = site(MAJOR)?;
    site.backup(&["--full"])?;
    site.backup(&["--full"])?;
    site.archive_all()?;
    for name in ["one", "two"] {
        let region = site.region(name);
        let packs = objects(&region, "/pack/")?;
        let (first, last) = (region.join(&packs[0]), region.join(&packs[packs.len() - 1]));
        let aside = region.with_extension("aside");
        std::fs::rename(&first, &aside)?;
        std::fs::rename(&last, &first)?;
        std::fs::rename(&aside, &last)?;
    }
    says(site.restore(&site.new_directory(), &["--latest"])?, 4, &["pack"]).map(drop)
}

#[test]
fn a_directory_of_a_running_server_is_never_touched() -> Result<()> {
    let mut site = site(MAJOR)?;
    site.backup(&[])?;
    site.archive_all()?;
    let directory = site.server.data_directory().to_owned();
    says(site.restore(&directory, &["--latest"])?, 5, &["restore.target-in-use"])?;
    says(site.restore(&directory, &["--latest", "--delta"])?, 5, &["restore.target-in-use"])?;
    kept_is_whole(&site.server)?;
    site.server.stop(StopMode::Fast)?;
    says(site.restore(&directory, &["--latest"])?, 2, &["restore.target-not-empty"]).map(drop)
}
