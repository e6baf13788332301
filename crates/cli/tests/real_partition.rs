//! A partition: two servers promoted from one backup onto one timeline, each of which reaches one region alone. Both archive and back up. When
//! it ends the conflict is told with both writers, nothing is replaced and nothing spreads, and each branch comes back as itself.
//!
//! The regions are simulators: what only they show is *simulated*.

use std::collections::BTreeMap;

use crate::support::branch::{Branch, add_rows, rows};
use crate::support::clouds::{Cloud, Two};
use crate::support::{RECOVERY_LIMIT, Site, json, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Failure, Outcome, Result, Server, StopMode, majors};
use serde_json::Value;

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";
const SHARED: &str = "before 4000, later 1000";

/// A partition that is over: what either side did alone.
struct Partition {
    place: Two,
    /// It reached region one, and archived two segments more than the other.
    one: Branch,
    /// It reached region two.
    two: Branch,
    /// What each holds.
    rows: [String; 2],
    /// Their backups of the time alone.
    backups: [String; 2],
    /// Who they are, as objects name them.
    writers: [String; 2],
}

/// The settings of a host from now on: with the endpoint of a region it does not reach, or with all as they are.
fn reaches(branch: &Branch, text: &str, not: Option<&Cloud>) -> Result<()> {
    let text = not.map_or_else(|| text.to_owned(), |cloud| text.replace(&cloud.endpoint(), NOWHERE));
    write_file(&branch.settings, text, 0o600)
}

/// A branch works alone: rows, a backup that says which region it lacks, rows, `more` segments behind it.
fn works_alone(branch: &mut Branch, name: &str, way: &[&str], more: u32) -> Result<String> {
    branch.archives()?;
    add_rows(&branch.server, name, 300)?;
    let last = branch.switch()?;
    branch.has_archived(&last)?;
    let report = json(&branch.backup(way)?.expect_code(1)?)?;
    for round in 1..=more {
        add_rows(&branch.server, &format!("{name} {round}"), 200)?;
        let last = branch.switch()?;
        branch.has_archived(&last)?;
        assert!(last.starts_with("00000002"), "{last}");
    }
    Ok(report["backup"].as_str().unwrap_or_default().to_owned())
}

/// The id of the writer with this label, from a message that names it.
fn writer(text: &str, label: &str) -> Result<String> {
    let (before, _) = text.split_once(&format!(" ({label})")).ok_or_else(|| Failure::new(text))?;
    Ok(before.rsplit(' ').next().unwrap_or_default().to_owned())
}

impl Partition {
    fn over(major: u16) -> Result<Self> {
        let mut place = Two::start(Server::builder(major), "ack_degrade = \"1s\"\n")?;
        let site = &mut place.site;
        site.server.execute("CREATE TABLE kept (branch text, n int, body text, PRIMARY KEY (branch, n))")?;
        add_rows(&site.server, "before", 4000)?;
        site.backup(&[])?;
        add_rows(&site.server, "later", 1000)?;
        site.server.execute("SELECT pg_create_restore_point('fork')")?;
        site.archive_all()?;
        site.server.stop(StopMode::Immediate)?;
        let (mut one, mut two) = (Branch::restored(site, "one")?, Branch::restored(site, "two")?);
        let [text_one, text_two] =
            [&one, &two].map(|branch| std::fs::read_to_string(&branch.settings).unwrap_or_default());
        reaches(&one, &text_one, Some(&place.two))?;
        reaches(&two, &text_two, Some(&place.one))?;
        let backups = [works_alone(&mut one, "one", &["--full"], 4)?, works_alone(&mut two, "two", &[], 2)?];
        let rows = [rows(&one.server)?, rows(&two.server)?];
        assert_eq!(rows[1], format!("{SHARED}, two 300, two 1 200, two 2 200"));
        // Whoever archives from now on meets the other's: see `the_conflict_is_told`.
        for branch in [&one, &two] {
            branch.server.set("archive_command", "false")?;
        }
        reaches(&one, &text_one, None)?;
        reaches(&two, &text_two, None)?;
        let told = two.backup(&["--full"])?;
        let told = says(told, 4, &["archive.conflict", "(one)", "(two)"])?.stderr;
        let writers = [writer(&told, "one")?, writer(&told, "two")?];
        Ok(Self { place, one, two, rows, backups, writers })
    }

    fn site(&self) -> &Site {
        &self.place.site
    }

    fn objects(&self) -> Result<[BTreeMap<String, String>; 2]> {
        Ok([self.place.one.objects()?, self.place.two.objects()?])
    }

    /// What a restore brings back, or why it was refused or stopped.
    fn comes_back(&self, line: &[&str]) -> Result<std::result::Result<String, String>> {
        let directory = self.site().new_directory();
        let outcome = self.site().restore(&directory, line)?;
        // With 1 it is done, and says that objects are in one region alone.
        if !matches!(outcome.code, Some(0 | 1)) {
            return Ok(Err(outcome.stderr));
        }
        let mut server = Server::existing(self.site().server.major(), &directory)?;
        server.spawn()?;
        let end = server.wait_for_end_of_recovery(RECOVERY_LIMIT);
        if end.is_err() && server.ended()?.is_some() {
            return Ok(Err(server.log()));
        }
        end?;
        Ok(Ok(rows(&server)?))
    }

    /// Each branch, by the region that it reached and by its own backup.
    fn each_branch_comes_back(&self, when: &str) -> Result<()> {
        for (which, without) in ["two", "one"].into_iter().enumerate() {
            for backup in [None, Some(self.backups[which].as_str())] {
                let mut line = vec!["--latest", "--without-region", without];
                line.extend(backup.iter().flat_map(|id| ["--backup", id]));
                let server = self.site().restored(&line)?;
                assert_eq!(rows(&server)?, self.rows[which], "{when}: {line:?}");
            }
        }
        Ok(())
    }

    /// With both regions one branch comes back whole, or nothing does and the reason is told.
    fn nothing_mixed_comes_back(&self, when: &str) -> Result<()> {
        let [one, two] = &self.backups;
        for line in [&["--latest"][..], &["--latest", "--backup", one], &["--latest", "--backup", two]] {
            match self.comes_back(line)? {
                Ok(rows) => assert!(self.rows.contains(&rows), "{when}: {line:?} brings back {rows}"),
                Err(why) => {
                    let told = [
                        "archive.conflict",
                        "archive.broken-link",
                        "archive.two-writers",
                        "restore.two-writers",
                    ];
                    assert!(told.iter().any(|id| why.contains(id)), "{when}: {line:?}: {why}");
                }
            }
        }
        Ok(())
    }

    fn reader(&self, words: &[&str]) -> Result<Outcome> {
        self.site().seawall(words.iter().copied())
    }

    /// The first finding with this id names both writers.
    fn names_both(&self, report: &Value, id: &str) -> Result<()> {
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let found = findings.iter().find(|finding| finding["id"] == id);
        let found = found.ok_or_else(|| Failure::new(format!("no {id} in {report}")))?.to_string();
        for writer in &self.writers {
            assert!(found.contains(writer.as_str()), "{id} does not name {writer}: {found}");
        }
        Ok(())
    }

    fn the_conflict_is_told(&mut self) -> Result<()> {
        let status = json(&self.reader(&["wal", "status", "--json"])?.expect_code(1)?)?;
        self.names_both(&status, "wal.conflict")?;
        let verify = json(&self.reader(&["verify", "--json"])?.expect_code(1)?)?;
        self.names_both(&verify, "verify.conflict")?;
        let sync = json(&self.reader(&["sync", "--json"])?.expect_code(1)?)?;
        self.names_both(&sync, "sync.conflict")
    }

    /// The next segment of the second server has a name that the first one's region holds.
    fn push_tells_it(&mut self) -> Result<()> {
        add_rows(&self.two.server, "two late", 100)?;
        // What its pushes learned while they were alone would keep them from asking that region for half a minute more.
        let memory = self.site().home().path().join("two.key.away");
        if memory.exists() {
            std::fs::remove_file(memory)?;
        }
        self.two.archives()?;
        self.two.switch()?;
        let told = "SELECT failed_count > 0 AND last_failed_wal LIKE '00000002%' FROM pg_stat_archiver";
        let writers = self.writers.clone();
        self.two.server.wait_for("a refusal", RECOVERY_LIMIT, |server| {
            let log = server.log();
            let named = log.contains("archive.conflict")
                && writers.iter().all(|writer| log.contains(writer.as_str()));
            Ok(named && server.value(told)? == "t")
        })
    }
}

/// Nothing that was there is another now.
fn still_there(before: &[BTreeMap<String, String>; 2], now: &[BTreeMap<String, String>; 2]) {
    for (before, now) in before.iter().zip(now) {
        for (name, content) in before {
            assert_eq!(now.get(name), Some(content), "{name} was replaced");
        }
    }
}

fn a_partition_heals_nothing_and_mixes_nothing(major: u16) -> Result<()> {
    let mut partition = Partition::over(major)?;
    let before = partition.objects()?;
    partition.nothing_mixed_comes_back("behind the partition")?;
    partition.the_conflict_is_told()?;
    still_there(&before, &partition.objects()?);
    partition.each_branch_comes_back("after a sync")?;
    partition.nothing_mixed_comes_back("after a sync")?;
    partition.push_tells_it()?;
    still_there(&before, &partition.objects()?);
    partition.nothing_mixed_comes_back("after a push")?;
    // The first one is the primary, says a person, and goes on.
    partition.one.archives()?;
    add_rows(&partition.one.server, "one late", 100)?;
    let last = partition.one.switch()?;
    partition.one.has_archived(&last)?;
    still_there(&before, &partition.objects()?);
    let server = partition.site().restored(&["--latest", "--without-region", "two"])?;
    assert_eq!(rows(&server)?, rows(&partition.one.server)?);
    Ok(())
}

macro_rules! each_major {
    ($($name:ident $major:literal)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            if !majors().contains(&$major) {
                return Ok(());
            }
            a_partition_heals_nothing_and_mixes_nothing($major)
        }
    )*};
}

each_major! {
    a_partition_of_14_is_told_and_each_branch_comes_back 14
    a_partition_of_15_is_told_and_each_branch_comes_back 15
    a_partition_of_16_is_told_and_each_branch_comes_back 16
    a_partition_of_17_is_told_and_each_branch_comes_back 17
    a_partition_of_18_is_told_and_each_branch_comes_back 18
}
