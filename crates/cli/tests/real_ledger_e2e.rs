//! The product's main job, judged transaction by transaction: eight writers at work, backups meanwhile, every segment archived
//! by `seawall`, then restores to targets of every kind, each compared with what the ledger says was committed.
//!
//! `SEAWALL_TEST_TARGETS` is how many targets each major is restored to, beside the end of WAL.

use crate::support::Site;
use seawall_testkit::workload::{Ledger, Options, SETTINGS, Target, Workload, judge};
use seawall_testkit::{Context, Failure, Result, Server, majors};
use serde_json::Value;

/// Targets for each major when nobody says otherwise.
const TARGETS: usize = 3;
/// Targets of the deep variant.
const DEEP_TARGETS: usize = 200;

/// A site that worked while three backups were taken.
struct Past {
    site: Site,
    ledger: Ledger,
    /// Where the first backup ended.
    first_stop: String,
    /// The first backup: every target lies behind it.
    first: String,
}

fn work(major: u16, commits: u64) -> Result<Past> {
    let mut builder = Server::builder(major).archive_command("false");
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    let site = Site::new(builder.start()?)?;
    let workload = Workload::start(&site.server, Options { seed: u64::from(major), ..Options::default() })?;
    workload.wait_for_commits(commits / 5)?;
    let first = site.backup(&["--full"])?;
    workload.wait_for_commits(commits / 5)?;
    let second = site.backup(&[])?;
    assert_eq!(text(&second, "parent")?, text(&first, "backup")?, "a backup builds on the one before");
    assert_eq!(text(&second, "way")?, "wal", "{second}");
    workload.wait_for_commits(commits / 5)?;
    site.server.execute("SELECT pg_create_restore_point('before the third')")?;
    let third = site.backup(&[])?;
    assert_eq!(text(&third, "parent")?, text(&second, "backup")?, "a backup builds on the one before");
    assert_eq!(text(&third, "way")?, "wal", "{third}");
    workload.wait_for_commits(commits / 5)?;
    let ledger = workload.finish(&site.server)?;
    site.archive_all()?;
    Ok(Past { first_stop: text(&first, "stop")?, first: text(&first, "backup")?, site, ledger })
}

impl Past {
    /// What to type for a target. Where a transaction or a named point lies is not known, so those go with a backup.
    fn arguments(&self, target: &Target) -> Vec<String> {
        let mut arguments = target.arguments();
        if matches!(target, Target::Xid { .. } | Target::RestorePoint(_)) {
            arguments.extend(["--backup".to_owned(), self.first.clone()]);
        }
        arguments
    }
}

fn text(report: &Value, name: &str) -> Result<String> {
    let value = report.get(name).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| Failure::new(format!("no {name} in {report}")))
}

fn restores_hold_what_the_ledger_says(major: u16, count: usize, commits: u64) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    let past = work(major, commits)?;
    let after = past.first_stop.parse().map_err(|_| Failure::new("no LSN"))?;
    let mut targets = different(&past.ledger.targets(after, count * 4, u64::from(major))?, count);
    targets.extend([Target::RestorePoint("before the third".to_owned()), Target::Latest]);
    for target in &targets {
        let expected = past.ledger.expected_at(target)?;
        let arguments = past.arguments(target);
        let line: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = past.site.restored(&line).context(|| format!("PostgreSQL {major}, {target:?}"))?;
        judge(server, &expected).context(|| format!("PostgreSQL {major}, {target:?}"))?;
    }
    Ok(())
}

/// `count` of the targets, first of kinds that are not there yet.
fn different(targets: &[Target], count: usize) -> Vec<Target> {
    let mut chosen: Vec<Target> = Vec::with_capacity(count);
    for target in targets {
        let kind = std::mem::discriminant(target);
        if chosen.len() < count && chosen.iter().all(|other| std::mem::discriminant(other) != kind) {
            chosen.push(target.clone());
        }
    }
    let rest: Vec<Target> = targets.iter().filter(|target| !chosen.contains(target)).cloned().collect();
    chosen.extend(rest.into_iter().take(count.saturating_sub(chosen.len())));
    chosen
}

fn wanted(default: usize) -> Result<usize> {
    match std::env::var("SEAWALL_TEST_TARGETS") {
        Ok(number) => Ok(number.parse()?),
        Err(_) => Ok(default),
    }
}

macro_rules! each_major {
    ($($name:ident $deep:ident $major:literal)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            restores_hold_what_the_ledger_says($major, wanted(TARGETS)?, 400)
        }

        #[test]
        #[ignore = "takes many minutes: the deep profile runs it"]
        fn $deep() -> Result<()> {
            restores_hold_what_the_ledger_says($major, wanted(DEEP_TARGETS)?, 5_000)
        }
    )*};
}

each_major! {
    restores_of_14_hold_what_the_ledger_says deep_restores_of_14 14
    restores_of_15_hold_what_the_ledger_says deep_restores_of_15 15
    restores_of_16_hold_what_the_ledger_says deep_restores_of_16 16
    restores_of_17_hold_what_the_ledger_says deep_restores_of_17 17
    restores_of_18_hold_what_the_ledger_says deep_restores_of_18 18
}
