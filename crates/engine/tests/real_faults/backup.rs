//! Every store call of a backup fails in turn.

use std::collections::HashMap;

use seawall_engine::backup::BackupReport;
use seawall_store::faulty::{CallKind, CallRecord, Fault, Rule};

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
    fn rule(self, point: &Point) -> Rule {
        let rule = Rule::new(match self {
            Self::After => Fault::FailAfter,
            Self::Before | Self::Gone => Fault::FailBefore,
        });
        let rule = rule.on(point.kind).named(&point.folder).after(point.earlier).times(1);
        if matches!(self, Self::Gone) { rule.for_good() } else { rule }
    }
}

/// One call of a backup, told by what is the same in the next backup: names carry random ids, and how often the arrival of
/// WAL is asked for differs.
#[derive(Debug, Clone)]
struct Point {
    kind: CallKind,
    /// A part of the name.
    folder: String,
    /// Calls of this kind into this folder that come before it.
    earlier: u64,
}

/// Every call that comes in every backup; of the questions for WAL the first.
fn points(calls: &[CallRecord]) -> Vec<Point> {
    let mut earlier: HashMap<(CallKind, String), u64> = HashMap::new();
    let mut points = Vec::new();
    for call in calls {
        let folder = folder(&call.name);
        let count = earlier.entry((call.kind, folder.clone())).or_default();
        let comes_again = folder == "/wal/" && *count > 0;
        if !comes_again {
            points.push(Point { kind: call.kind, folder, earlier: *count });
        }
        *count += 1;
    }
    points
}

/// The last directory of a name that says what kind of thing it is.
fn folder(name: &str) -> String {
    let kinds =
        ["/pack/", "/map/", "/manifest/", "/intent/", "/wal/", "/adopt/", "/key/", "writer/", "seawall.json"];
    let whole = format!("{name}/");
    let found = kinds.iter().find(|kind| whole.contains(**kind)).map(|kind| kind.trim_end_matches('/'));
    // A prefix that is listed has no slash at its end.
    found.map_or_else(
        || name.to_owned(),
        |kind| if name.contains(&format!("{kind}/")) { format!("{kind}/") } else { kind.to_owned() },
    )
}

#[tokio::test]
async fn a_backup_survives_a_failing_call_or_says_what_is_wrong() {
    sweep(4).await;
}

#[tokio::test]
#[ignore = "every call takes many minutes: the deep profile runs it"]
async fn a_backup_survives_each_failing_call_or_says_what_is_wrong() {
    sweep(usize::MAX).await;
}

async fn sweep(most: usize) {
    let bench = Bench::new().await;
    let calls = undisturbed(&bench).await;
    let points = points(&calls);
    println!("a backup makes {} calls to each region, {} of them in every backup", calls.len(), points.len());
    let (mut rounds, mut left_out) = (0, 0);
    for way in [Way::Before, Way::After, Way::Gone] {
        for index in chosen(points.len(), most) {
            left_out += u64::from(round(&bench, way, &points[index]).await);
            rounds += 1;
        }
    }
    println!("{rounds} rounds, in {left_out} the region was left out");
    assert!(left_out > 0, "no fault had any effect");
}

async fn undisturbed(bench: &Bench) -> Vec<CallRecord> {
    let repo = bench.repo("undisturbed");
    bench.change();
    let (repository, store) = repo.disturbed_host(None, bench.world()).await;
    let report = bench.back_up(&repository.unwrap(), &repo).await.unwrap();
    assert!(report.left_out.is_empty() && report.way.parent.is_some());
    for region in BOTH {
        bench.restores_from(&repo, region, report.backup).await;
    }
    bench.remove(&repo);
    store.calls()
}

/// A backup whose region fails at this point; whether it was left out.
async fn round(bench: &Bench, way: Way, point: &Point) -> bool {
    let context = format!("{way:?} at {point:?}");
    let repo = bench.repo("round");
    let before = repo.manifests(FAULTY);
    bench.change();
    let (repository, store) = repo.disturbed_host(Some(way.rule(point)), bench.world()).await;
    let taken = match repository {
        Ok(repository) => bench.back_up(&repository, &repo).await,
        Err(error) => Err(error),
    };
    println!("{context}: {}", words(&taken));
    // Reads go to the faster region, and a busy machine can make that the other one for a moment.
    assert!(store.faults_met() > 0 || point.kind == CallKind::Get, "{context}: the fault was not met");
    let report = taken.unwrap_or_else(|error| {
        panic!("{context}: a region that fails must not keep a backup from the other: {error:?}")
    });
    is_true(&report, &repo, &context);
    whatever_is_listed_is_whole(bench, &repo, &before, &context).await;
    next_succeeds(bench, &repo, &context).await;
    bench.remove(&repo);
    !report.left_out.is_empty()
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
