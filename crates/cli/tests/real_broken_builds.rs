//! Would the judges notice a broken build? A restore that is right passes them; each of these, spoiled as a defective `seawall`
//! would spoil it, does not: an old page, an old visibility map, recovery that stops late, a segment that never came.
//!
//! What is put in has valid checksums and was once true, so only content can tell.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::support::regions::{Damage, objects};
use crate::support::{RECOVERY_LIMIT, Site, recovered};
use seawall_testkit::workload::{Ledger, Options, SETTINGS, Target, Workload, judge};
use seawall_testkit::{Failure, Result, Server, StopMode, oracles};

const MAJOR: u16 = 17;
const PAGE: usize = 8192;

/// A site that worked before and after its backup.
struct Past {
    site: Site,
    ledger: Ledger,
    /// The backup with which all targets begin.
    first: String,
    first_stop: String,
}

fn work() -> Result<Past> {
    let mut builder = Server::builder(MAJOR).archive_command("false").setting("autovacuum", "off");
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    let site = Site::new(builder.start()?)?;
    let options = Options { writers: 4, databases: false, ..Options::default() };
    let workload = Workload::start(&site.server, options)?;
    workload.wait_for_commits(80)?;
    let taken = site.backup(&[])?;
    let text = |name: &str| taken[name].as_str().unwrap_or_default().to_owned();
    let (first, first_stop) = (text("backup"), text("stop"));
    workload.wait_for_commits(120)?;
    let ledger = workload.finish(&site.server)?;
    site.archive_all()?;
    Ok(Past { site, ledger, first, first_stop })
}

impl Past {
    /// The end of everything, restored, started and stopped in order: its directory is what a build would have made.
    fn stopped_at_the_end(&self) -> Result<Server> {
        stopped(self.site.restored(&["--latest"])?)
    }

    /// The same cluster as it was when the backup ended.
    fn stopped_at_the_backup(&self) -> Result<Server> {
        stopped(self.site.restored(&["--backup", &self.first, "--immediate"])?)
    }

    /// Starts a stopped server again and lets the ledger judge it by what it should hold at the target.
    fn judge_again(&self, mut server: Server, target: &Target) -> Result<()> {
        server.start()?;
        judge(server, &self.ledger.expected_at(target)?)
    }
}

fn stopped(mut server: Server) -> Result<Server> {
    server.stop(StopMode::Fast)?;
    Ok(server)
}

/// The judges' complaint; that they have none fails.
fn complaint(judged: Result<()>, what: &str) -> Result<String> {
    match judged {
        Ok(()) => Err(Failure::new(format!("nobody noticed {what}"))),
        Err(failure) => Ok(failure.text().to_owned()),
    }
}

fn path_of(past: &Past, relation: &str) -> Result<PathBuf> {
    let asked = format!("SELECT pg_relation_filepath('{relation}')");
    Ok(past.site.server.value(&asked)?.into())
}

fn page(file: &Path, number: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; PAGE];
    std::fs::File::open(file)?.read_exact_at(&mut bytes, number * PAGE as u64)?;
    Ok(bytes)
}

/// Puts the first page from `first` on that differs back to what it was; which.
fn put_an_old_page_in(old: &Path, new: &Path, first: u64) -> Result<u64> {
    let pages = std::fs::metadata(old)?.len().min(std::fs::metadata(new)?.len()) / PAGE as u64;
    for number in first..pages {
        let before = page(old, number)?;
        if before.iter().any(|byte| *byte != 0) && before != page(new, number)? {
            std::fs::File::options().write(true).open(new)?.write_all_at(&before, number * PAGE as u64)?;
            return Ok(number);
        }
    }
    Err(Failure::new(format!("no page of {} changed", new.display())))
}

#[test]
fn an_old_page_of_a_table_or_an_index_is_noticed() -> Result<()> {
    let past = work()?;
    let old = past.stopped_at_the_backup()?;
    past.judge_again(past.stopped_at_the_end()?, &Target::Latest)?;
    // An index from page 1 on: a B-tree finds its way from an old root too, so an old metapage breaks nothing.
    for (relation, first) in [("ledger_entry", 0), ("ledger_entry_pkey", 1), ("ledger_account", 0)] {
        let new = past.stopped_at_the_end()?;
        let path = path_of(&past, relation)?;
        put_an_old_page_in(&old.data_directory().join(&path), &new.data_directory().join(&path), first)?;
        // Nothing but content can tell: the page is whole.
        oracles::checksums(new.binaries(), new.data_directory())?;
        complaint(past.judge_again(new, &Target::Latest), relation)?;
    }
    Ok(())
}

/// All of a table visible in an old backup, rows changed meanwhile: the old map says "visible to all" of pages that are not.
#[test]
fn an_old_visibility_map_is_noticed() -> Result<()> {
    let past = work()?;
    let server = &past.site.server;
    let rows = "SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n";
    server.execute(&format!("CREATE TABLE mapped AS {rows}; CREATE INDEX ON mapped (n)"))?;
    server.execute("VACUUM mapped")?;
    let old = past.site.backup(&[])?;
    server.execute("DELETE FROM mapped WHERE n % 500 = 0")?;
    past.site.archive_all()?;
    let map = PathBuf::from(format!("{}_vm", path_of(&past, "mapped")?.display()));
    let old = old["backup"].as_str().unwrap_or_default().to_owned();
    let old = stopped(past.site.restored(&["--backup", &old, "--immediate"])?)?;
    // A look at the right one marks what is dead in its index, so the spoiled one is a restore of its own.
    let right = past.site.restored(&["--latest"])?;
    assert_eq!(rows_by_index_alone(&right)?, 19_960);
    judge(right, &past.ledger.expected_now()?)?;
    let mut new = past.stopped_at_the_end()?;
    put_an_old_page_in(&old.data_directory().join(&map), &new.data_directory().join(&map), 0)?;
    oracles::checksums(new.binaries(), new.data_directory())?;
    new.start()?;
    assert_eq!(rows_by_index_alone(&new)?, 20_000, "an index-only scan believes the map");
    complaint(oracles::visibility(&new), "an old visibility map").map(drop)
}

fn rows_by_index_alone(server: &Server) -> Result<u64> {
    let only_index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    Ok(server.value(&format!("{only_index}; SELECT count(n) FROM mapped WHERE n > 0"))?.parse()?)
}

#[test]
fn recovery_that_stops_one_commit_late_is_noticed() -> Result<()> {
    let past = work()?;
    let after = past.first_stop.parse().map_err(|_| Failure::new("no LSN"))?;
    let attempts = past.ledger.attempts();
    let entered = |xid: &u32| attempts.get(xid).is_some_and(|attempt| attempt.entered);
    let ends = past.ledger.wal().ends.iter().filter(|end| end.committed && end.lsn > after);
    let commits: Vec<_> = ends.filter(|end| entered(&end.xid)).collect();
    let [.., early, late, _] = commits.as_slice() else { return Err(Failure::new("too few commits")) };
    let (early, late) =
        (Target::Lsn { at: early.lsn, inclusive: true }, Target::Lsn { at: late.lsn, inclusive: true });
    let restored = |target: &Target| {
        let arguments = target.arguments();
        past.site.restored(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    judge(restored(&early)?, &past.ledger.expected_at(&early)?)?;
    let said = complaint(judge(restored(&late)?, &past.ledger.expected_at(&early)?), "a commit too many")?;
    assert!(said.contains("transactions by index: 1 too much"), "{said}");
    let said = complaint(judge(restored(&early)?, &past.ledger.expected_at(&late)?), "a commit too few")?;
    assert!(said.contains("transactions by index: 1 missing"), "{said}");
    Ok(())
}

/// The last segment with a commit of the ledger in it is gone after the restore, and a defective build answers "no such file".
#[test]
fn a_segment_that_never_came_is_noticed() -> Result<()> {
    let past = work()?;
    let last = past.ledger.wal().ends.iter().rev().find(|end| end.committed);
    let last = last.ok_or_else(|| Failure::new("no commit"))?.lsn;
    let segment = past.site.server.value(&format!("SELECT pg_walfile_name('{last}'::pg_lsn + 1)"))?;
    let whole = past.site.new_directory();
    past.site.restore(&whole, &["--latest"])?.expect_code(0)?;
    let refused = past.site.new_directory();
    past.site.restore(&refused, &["--latest"])?.expect_code(0)?;
    let believed = past.site.new_directory();
    past.site.restore(&believed, &["--latest"])?.expect_code(0)?;
    judge(recovered(Server::existing(MAJOR, &whole)?)?, &past.ledger.expected_now()?)?;
    for region in [past.site.region("one"), past.site.region("two")] {
        for object in objects(&region, &segment)? {
            Damage::Removed.apply(&region.join(object))?;
        }
    }
    // As it is: the server ends by itself and does not open.
    let mut server = Server::existing(MAJOR, &refused)?;
    server.spawn()?;
    assert!(!server.wait_for_exit(RECOVERY_LIMIT)?.success(), "{}", server.log());
    assert!(refused.join("recovery.signal").exists() && !server.log().contains("selected new timeline"));
    // As a build that takes the end of what it finds for the end of WAL: it opens, and the ledger complains.
    takes_any_end_for_the_end(&believed)?;
    let opened = recovered(Server::existing(MAJOR, &believed)?)?;
    let said = complaint(judge(opened, &past.ledger.expected_now()?), "a lost segment")?;
    assert!(said.contains("missing"), "{said}");
    Ok(())
}

/// The recovery settings of a build without the two guards: no proven target, and 1 for whatever went wrong.
fn takes_any_end_for_the_end(directory: &Path) -> Result<()> {
    let path = directory.join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&path)?;
    let command = text.lines().rev().find_map(|line| line.strip_prefix("restore_command = '"));
    let command = command.and_then(|line| line.strip_suffix('\''));
    let command = command.ok_or_else(|| Failure::new(format!("no restore_command in {text}")))?;
    let careless = format!("{text}restore_command = '{command} || exit 1'\nrecovery_target_lsn = ''\n");
    seawall_testkit::identity::write_file(&path, careless, 0o600)
}
