//! Every store call of a backup fails in turn.

use seawall_engine::Kind;
use seawall_engine::backup::BackupReport;
use seawall_store::faulty::{Fault, Rule};

use super::bench::{BOTH, Bench, FAULTY, Repo, chosen};

/// The ways a call fails.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Once, before it does anything.
    Before,
    /// Once, after its work is done.
    After,
    /// From this call on every call: the region is gone.
    Gone,
}

impl Way {
    fn rule(self, call: u64) -> Rule {
        match self {
            Self::Before => Rule::new(Fault::FailBefore).at_call(call),
            Self::After => Rule::new(Fault::FailAfter).at_call(call),
            Self::Gone => Rule::new(Fault::FailBefore).after(call - 1),
        }
    }
}

#[tokio::test]
async fn a_backup_survives_a_failing_call_or_says_what_is_wrong() {
    sweep(4).await;
}

#[tokio::test]
#[ignore = "every call takes many minutes: the deep profile runs it"]
async fn a_backup_survives_each_failing_call_or_says_what_is_wrong() {
    sweep(u64::MAX).await;
}

async fn sweep(most: u64) {
    let bench = Bench::new().await;
    let calls = undisturbed(&bench).await;
    println!("a backup makes {calls} calls to each region");
    let (mut met, mut rounds, mut left_out, mut failed) = (0, 0, 0, 0);
    for way in [Way::Before, Way::After, Way::Gone] {
        for call in chosen(calls, most) {
            let ended = round(&bench, way, call).await;
            rounds += 1;
            met += u64::from(ended.fault_met);
            left_out += u64::from(ended.left_out);
            failed += u64::from(ended.failed);
        }
    }
    println!("{rounds} rounds, {met} met their fault: {left_out} left the region out, {failed} failed");
    // How often the arrival of WAL is asked for differs between runs, so the last calls may not come.
    assert!(met * 10 >= rounds * 8, "only {met} of {rounds} rounds met their fault");
    assert!(left_out > 0, "no fault had any effect");
    assert_eq!(failed, 0, "a region that fails must not keep a backup from the other");
}

async fn undisturbed(bench: &Bench) -> u64 {
    let repo = bench.repo("undisturbed");
    bench.change();
    let (repository, store) = repo.disturbed_host(None, bench.world()).await;
    let report = bench.back_up(&repository.unwrap(), &repo).await.unwrap();
    assert!(report.left_out.is_empty() && report.way.parent.is_some());
    for region in BOTH {
        bench.restores_from(&repo, region, report.backup).await;
    }
    bench.remove(&repo);
    store.count()
}

struct Ended {
    fault_met: bool,
    left_out: bool,
    failed: bool,
}

async fn round(bench: &Bench, way: Way, call: u64) -> Ended {
    let context = format!("{way:?} at call {call}");
    let repo = bench.repo("round");
    let before = repo.manifests(FAULTY);
    bench.change();
    let (repository, store) = repo.disturbed_host(Some(way.rule(call)), bench.world()).await;
    let taken = match repository {
        Ok(repository) => bench.back_up(&repository, &repo).await,
        Err(error) => Err(error),
    };
    let ended = Ended {
        fault_met: store.faults_met() > 0,
        left_out: taken.as_ref().is_ok_and(|report| !report.left_out.is_empty()),
        failed: taken.is_err(),
    };
    println!("{context}: {}", words(&taken));
    match &taken {
        Ok(report) => is_true(report, &repo, &context),
        Err(error) => {
            assert!(error.kind() != Kind::Bug && !error.to_string().is_empty(), "{context}: {error:?}")
        }
    }
    whatever_is_listed_is_whole(bench, &repo, &before, &context).await;
    next_succeeds(bench, &repo, &context).await;
    bench.remove(&repo);
    ended
}

fn words(taken: &seawall_engine::Result<BackupReport>) -> String {
    match taken {
        Ok(report) if report.left_out.is_empty() => "in every region".to_owned(),
        Ok(report) => {
            report.left_out.iter().map(|out| format!("without {}: {}", out.region, out.reason)).collect()
        }
        Err(error) => format!("{} {error}", error.id()),
    }
}

/// Each region is said to have it or to have been left out, and those that have it show it.
fn is_true(report: &BackupReport, repo: &Repo, context: &str) {
    for region in BOTH {
        let has = report.regions.iter().any(|name| name.as_str() == region);
        let lacks = report.left_out.iter().any(|out| out.region.as_str() == region);
        assert!(has != lacks, "{context}: {region} is neither told to have it nor to lack it: {report:?}");
        let shows = repo.manifests(region).contains(&report.backup.to_string());
        assert!(shows || !has, "{context}: {region} is said to have it and does not");
    }
}

async fn whatever_is_listed_is_whole(bench: &Bench, repo: &Repo, before: &[String], context: &str) {
    for region in BOTH {
        let listed = repo.reader(&[region], bench.world()).await.catalog().await.unwrap();
        assert_eq!(listed.refused, [], "{context}");
        assert_eq!(listed.backups.len(), repo.manifests(region).len(), "{context}: in {region}");
        for entry in listed.backups {
            // The one from before is whole in every round; the healthy region goes the undisturbed way.
            if region == FAULTY && !before.contains(&entry.id.to_string()) {
                bench.restores_from(repo, region, entry.id).await;
            }
        }
    }
}

/// Without faults the next backup is in every region, and whole where the fault was.
async fn next_succeeds(bench: &Bench, repo: &Repo, context: &str) {
    let repository = repo.host(bench.world()).await;
    let report = bench.back_up(&repository, repo).await;
    let report = report.unwrap_or_else(|error| panic!("{context}: the next backup failed: {error:?}"));
    assert!(report.left_out.is_empty(), "{context}: {report:?}");
    bench.restores_from(repo, FAULTY, report.backup).await;
}
