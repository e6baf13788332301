//! `debug` looks inside each kind of object: records as `pg_waldump` tells them, tables that fit to what was backed up, and nothing that
//! a database chose obeyed by the terminal.

use std::process::Command;

use crate::support::regions::objects;
use crate::support::{Site, documented, json, says};
use seawall_testkit::identity::run_as_server_user;
use seawall_testkit::{Failure, Outcome, Result, Server};
use serde_json::Value;

/// The documents of a command that prints one a line.
fn lines(text: &str) -> Result<Vec<Value>> {
    let values = text.lines().map(|line| {
        let value: Value = serde_json::from_str(line).map_err(|error| Failure::new(error.to_string()))?;
        documented::check(["debug", "wal"], &value).map_err(Failure::new)?;
        Ok(value)
    });
    values.collect()
}

/// What `pg_waldump` tells of the records in a segment: position, the one before, transaction, manager, length.
fn told(site: &Site, segment: &str) -> Result<Vec<[String; 5]>> {
    let script = format!(
        "'{}' '{}' 2>/dev/null; true",
        site.server.binaries().program("pg_waldump").display(),
        site.server.data_directory().join("pg_wal").join(segment).display(),
    );
    let text = run_as_server_user(Command::new("/bin/sh").args(["-c", &script]))?;
    let between = |line: &str, from: &str, to: &str| {
        let behind = line.split_once(from).map(|(_, behind)| behind.trim_start())?;
        Some(behind.split(to).next()?.trim().to_owned())
    };
    let records = text.lines().filter(|line| line.starts_with("rmgr: ")).map(|line| {
        let length = between(line, "len (rec/tot):", ", tx")
            .and_then(|both| Some(both.split_once('/')?.1.trim().to_owned()));
        let found = (|| {
            Some([
                between(line, "lsn: ", ",")?,
                between(line, "prev ", ",")?,
                between(line, "tx:", ",")?,
                between(line, "rmgr: ", " ")?,
                length?,
            ])
        })();
        found.ok_or_else(|| Failure::new(line.to_owned()))
    });
    records.collect()
}

/// Positions without leading zeros, as 18 and earlier print them differently.
fn plain(lsn: &str) -> String {
    let halves: Vec<&str> = lsn.split('/').map(|half| half.trim_start_matches('0')).collect();
    halves.join("/")
}

#[test]
fn each_kind_of_object_is_shown() -> Result<()> {
    let site = Site::plain(17)?;
    let server = &site.server;
    server.set("wal_keep_size", "1GB")?;
    server
        .execute("CREATE TABLE kept AS SELECT n, repeat('x', 500) AS body FROM generate_series(1, 5000) n")?;
    site.archive_all()?;
    let segment = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() + 100)")?;
    server.execute("CREATE TABLE gone AS SELECT n FROM generate_series(1, 100) n")?;
    server.execute("UPDATE kept SET n = n + 1 WHERE n <= 50")?;
    server.execute("DROP TABLE gone")?;
    server.execute("SELECT pg_create_restore_point(E'before\\x1b[31m it\\u202e')")?;
    site.archive_all()?;
    let records = records_are_pg_waldumps(&site, &segment)?;
    what_a_database_chose_is_not_obeyed(&site, &segment)?;
    the_index_tells_what_was_done(&site, &segment, records)?;
    what_is_not_there_is_said(&site, &segment)
}

/// Segments over 32 MiB lie in parts: their records are told as if they did not.
#[test]
fn a_segment_in_parts_is_shown_whole() -> Result<()> {
    let builder = Server::builder(17).archive_command("false").wal_segment_mebibytes(64);
    let site = Site::new(builder.setting("wal_keep_size", "1GB").start()?)?;
    let server = &site.server;
    server
        .execute("CREATE TABLE kept AS SELECT n, repeat('x', 500) AS body FROM generate_series(1, 5000) n")?;
    site.archive_all()?;
    let segment = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() + 100)")?;
    // Records in the second part, too.
    let filler =
        "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) FROM generate_series(1, 40)";
    server.execute(&format!("SELECT count(*) FROM ({filler}) filler"))?;
    server.execute("UPDATE kept SET n = n + 1 WHERE n <= 50")?;
    server.execute("CREATE TABLE gone AS SELECT n FROM generate_series(1, 100) n")?;
    server.execute("DROP TABLE gone")?;
    server.execute("SELECT pg_create_restore_point('before')")?;
    site.archive_all()?;
    assert!(!objects(&site.region("one"), &format!("{segment}.p1"))?.is_empty());
    let records = records_are_pg_waldumps(&site, &segment)?;
    the_index_tells_what_was_done(&site, &segment, records)
}

/// `debug wal` with the first identity.
fn wal(site: &Site, segment: &str, more: &[&str]) -> Result<Outcome> {
    let key = site.identity("first").display().to_string();
    site.seawall(["debug", "wal", segment, "--identity", &key].iter().chain(more).copied())
}

/// How many there are.
fn records_are_pg_waldumps(site: &Site, segment: &str) -> Result<usize> {
    let read = |more: &[&str]| wal(site, segment, more);
    let documents = lines(&read(&["--json"])?.expect_code(0)?.stdout)?;
    let (end, records) = documents.split_last().ok_or_else(|| Failure::new("nothing was printed"))?;
    let ours: Vec<[String; 5]> = records
        .iter()
        .map(|line| {
            let record = &line["record"];
            let text =
                |key: &str| record[key].as_str().map_or_else(|| record[key].to_string(), str::to_owned);
            [plain(&text("lsn")), plain(&text("previous")), text("xid"), text("manager"), text("length")]
        })
        .collect();
    let theirs: Vec<[String; 5]> = told(site, segment)?
        .into_iter()
        .map(|[lsn, previous, xid, manager, length]| [plain(&lsn), plain(&previous), xid, manager, length])
        .collect();
    assert!(ours.len() > 50, "{} records", ours.len());
    assert_eq!(ours, theirs);
    assert_eq!(end["end"]["postgresql"], 17, "{end}");
    assert_eq!(end["end"]["records"].as_u64(), Some(ours.len() as u64), "{end}");

    // A local file tells the same; filters choose.
    let local = site.server.data_directory().join("pg_wal").join(segment).display().to_string();
    let here = lines(&site.seawall(["debug", "wal", &local, "--json"])?.expect_code(0)?.stdout)?;
    assert_eq!(here.split_last().map(|(_, records)| records), Some(records));
    let commits = lines(&read(&["--json", "--rmgr", "transaction"])?.expect_code(0)?.stdout)?;
    assert_eq!(commits.len(), theirs.iter().filter(|record| record[3] == "Transaction").count() + 1);
    let xid = ours.iter().map(|record| record[2].clone()).find(|xid| xid != "0").unwrap_or_default();
    let of_xid = lines(&read(&["--json", "--xid", &xid])?.expect_code(0)?.stdout)?;
    assert_eq!(of_xid.len(), ours.iter().filter(|record| record[2] == xid).count() + 1);
    let few = lines(&read(&["--json", "--limit", "3"])?.expect_code(0)?.stdout)?;
    assert_eq!((few.len(), &few[3]["end"]["ended"]), (4, &Value::Null));

    Ok(ours.len())
}

fn what_a_database_chose_is_not_obeyed(site: &Site, segment: &str) -> Result<()> {
    let text = wal(site, segment, &[])?.expect_code(0)?.stdout;
    assert!(text.contains("restore point \"before\\u{1b}[31m it\\u{202e}\""), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
    let text = site.seawall(["debug", "index", segment])?.expect_code(0)?.stdout;
    assert!(
        text.contains("before\\u{1b}[31m it\\u{202e}") && !text.contains(['\u{1b}', '\u{202e}']),
        "{text}"
    );

    Ok(())
}

fn the_index_tells_what_was_done(site: &Site, segment: &str, records: usize) -> Result<()> {
    let index = json(&site.seawall(["debug", "index", segment, "--json"])?.expect_code(0)?)?;
    assert_eq!(index["records"].as_u64(), Some(records as u64), "{index}");
    let file: u64 = site.server.value("SELECT pg_relation_filenode('kept')")?.parse().unwrap_or(0);
    let changes = index["changes"].as_array().cloned().unwrap_or_default();
    let kept = changes.iter().find(|fork| fork["number"] == file && fork["fork"] == "main");
    assert!(kept.is_some_and(|fork| fork["limit"].is_null() && fork["pages"].as_u64() > Some(2)), "{kept:?}");
    let updated = index["activity"].as_array().into_iter().flatten().find(|one| one["number"] == file);
    assert_eq!(updated.map(|one| one["updated"].clone()), Some(50.into()), "{updated:?}");
    let ended = index["transactions"].as_array().cloned().unwrap_or_default();
    assert!(
        ended.iter().any(|one| one["dropped_files"].as_array().is_some_and(|files| !files.is_empty())),
        "{ended:?}"
    );
    assert!(index["marks"].as_array().into_iter().flatten().any(|mark| mark["what"] == "restore-point"));

    Ok(())
}

/// Nor what is not meant.
fn what_is_not_there_is_said(site: &Site, segment: &str) -> Result<()> {
    says(
        site.seawall(["debug", "index", "0000000100000FFF00000001"])?,
        4,
        &["0000000100000FFF00000001 is in no region"],
    )?;
    says(
        site.seawall(["debug", "index", segment, "000000020000000000000001"])?,
        2,
        &["no range of one timeline"],
    )?;
    says(site.seawall(["debug", "wal", "00000002.history"])?, 2, &["holds no records"])?;
    says(site.seawall(["debug", "wal", "/etc/hostname"])?, 4, &["cannot be read as WAL"])?;
    says(
        site.seawall(["debug", "index", segment, "--system", "12345"])?,
        2,
        &["no system identifier of cluster demo"],
    )?;
    says(wal(site, segment, &["--rmgr", "heapish"])?, 2, &["wanted a resource manager"])?;
    Ok(())
}

#[test]
fn a_backup_is_followed_from_its_manifest_to_its_packs() -> Result<()> {
    let site = Site::plain(17)?;
    site.server.execute(
        "CREATE TABLE kept AS SELECT n, repeat('x', 500) AS body FROM generate_series(1, 50000) n",
    )?;
    let file = site.server.value("SELECT pg_relation_filepath('kept')")?;
    let pages: u64 = site.server.value("SELECT pg_relation_size('kept') / 8192")?.parse().unwrap_or(0);
    let report = site.backup(&[])?;
    let backup = report["backup"].as_str().unwrap_or_default();
    let shown =
        |words: &[&str]| json(&site.seawall(words.iter().chain(&["--json"]).copied())?.expect_code(0)?);
    let manifest = shown(&["debug", "manifest", backup])?;
    assert_eq!(manifest["header"]["backup"], report["backup"]);
    assert!(manifest["label"].as_str().is_some_and(|label| label.contains("START WAL LOCATION")));
    let entries: u64 =
        manifest["blocks"].as_array().into_iter().flatten().filter_map(|row| row["entries"].as_u64()).sum();
    assert!(entries > 900, "{entries} entries");

    // The maps name the table's pages, and the packs they name hold them.
    let mut in_maps = 0;
    for number in 0..manifest["header"]["maps"].as_u64().unwrap_or(0) {
        let map = shown(&["debug", "map", backup, &number.to_string()])?;
        let nodes = map["nodes"].as_array().cloned().unwrap_or_default();
        let blocks = nodes.iter().filter(|node| node["kind"] == "file-block").count();
        assert_eq!(blocks, manifest["blocks"].as_array().map_or(0, Vec::len));
        let extents =
            nodes.iter().filter(|node| node["path"] == file.as_str() && node["kind"] == "location-leaf");
        in_maps += extents
            .flat_map(|node| node["extents"].as_array().cloned().unwrap_or_default())
            .map(|extent| extent["pages"].as_u64().unwrap_or(0))
            .sum::<u64>();
        site.seawall(["debug", "map", backup, &number.to_string()])?.expect_code(0)?;
    }
    // A table is made longer by many pages at once; those behind the last row are zeros, and lie nowhere.
    assert!((pages - 100..=pages).contains(&in_maps), "{in_maps} of {pages} pages");
    let mut in_packs = 0;
    for row in manifest["packs"].as_array().into_iter().flatten() {
        let number = row["pack"].to_string();
        let pack = shown(&["debug", "pack", backup, &number])?;
        let paths = pack["paths"].as_array().cloned().unwrap_or_default();
        let at = paths.iter().position(|path| *path == file.as_str());
        let slots = pack["frames"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|frame| frame["slots"].as_array().cloned().unwrap_or_default());
        let all: Vec<Value> = slots.collect();
        let count = |slot: &Value| slot["pages"].as_u64().unwrap_or(0);
        assert_eq!(row["pages_stored"].as_u64(), Some(all.iter().map(count).sum()), "pack {number}");
        in_packs +=
            all.iter().filter(|slot| slot["path"].as_u64() == at.map(|at| at as u64)).map(count).sum::<u64>();
        let text = site.seawall(["debug", "pack", backup, &number])?.expect_code(0)?.stdout;
        assert!(at.is_none() || text.contains(&file), "{text}");
    }
    assert_eq!(in_packs, in_maps, "pages of the table in packs, and in maps");
    says(site.seawall(["debug", "pack", backup, "99999"])?, 4, &["is in no region"])?;
    a_few_changed_pages_are_shown_as_a_patch(&site, &file)?;
    let text = site.seawall(["debug", "manifest", backup])?.expect_code(0)?.stdout;
    assert!(text.contains("backup_label") && text.contains("blocks of files"), "{text}");
    Ok(())
}

/// What the next backup changes of a large leaf lies over it: places of the pages that changed, and no others.
fn a_few_changed_pages_are_shown_as_a_patch(site: &Site, file: &str) -> Result<()> {
    // Many pages here and there first: a leaf of few words is written anew sooner than patched.
    site.server.execute("UPDATE kept SET body = repeat('y', 500) WHERE n % 150 = 0")?;
    site.server.execute("VACUUM (FREEZE) kept")?;
    site.backup(&[])?;
    // By their places: a scan would prune pages and set hints on its way.
    site.server.execute("UPDATE kept SET body = repeat('z', 500) WHERE ctid IN ('(50,2)', '(2000,2)')")?;
    let report = site.backup(&[])?;
    let backup = report["backup"].as_str().unwrap_or_default();
    let map = json(&site.seawall(["debug", "map", backup, "0", "--json"])?.expect_code(0)?)?;
    let nodes = map["nodes"].as_array().cloned().unwrap_or_default();
    let of_table: Vec<&Value> = nodes.iter().filter(|node| node["path"] == file).collect();
    let kinds: Vec<&str> = of_table.iter().filter_map(|node| node["kind"].as_str()).collect();
    assert!(kinds.contains(&"location-patch") && kinds.contains(&"digest-patch"), "{kinds:?}");
    let patch = of_table.iter().find(|node| node["kind"] == "location-patch");
    let extents = patch.and_then(|node| node["extents"].as_array()).cloned().unwrap_or_default();
    let pages: u64 = extents.iter().filter_map(|extent| extent["pages"].as_u64()).sum();
    // Two rows and their new versions.
    assert!((2..=8).contains(&pages), "{pages} pages: {patch:?}");
    let text = site.seawall(["debug", "map", backup, "0"])?.expect_code(0)?.stdout;
    assert!(text.contains("patch") && text.contains(file), "{text}");
    Ok(())
}
