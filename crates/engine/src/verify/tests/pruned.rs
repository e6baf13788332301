//! After pruning: what was let go by the rules is no hole, what they keep and is gone is one, and who does not know the rules is told
//! everything.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use seawall_store::ObjectStore as _;

use super::ground::{As, Ground, options};
use crate::monitor::Silent;
use crate::prune::{PruneOptions, RetentionRules, prune};
use crate::retention::{Policy, Span};
use crate::verify::{Depth, VerifyReport};

fn hours(ground: &Ground, hours: u64) {
    ground.bench.world.clock.sleep_blocking(Duration::from_secs(hours * 3600));
}

/// Ten days with a backup and three segments each, pruned to the first of the year and the last two.
async fn ten_days() -> Ground {
    ten_days_by(0).await
}

async fn ten_days_by(pitr: u32) -> Ground {
    let mut ground = Ground::with_time(1).await;
    for day in 0..10 {
        ground.segment(1, 2 + 3 * day).await;
        ground.backup(2 + 3 * day, &[(b"PG_VERSION", (day + 1).to_le_bytes().to_vec())]).await;
        for more in 1..3 {
            ground.segment(1, 2 + 3 * day + more).await;
        }
        hours(&ground, 24);
    }
    for _ in 0..3 {
        pruned(&ground, pitr).await;
        hours(&ground, 25);
    }
    ground
}

async fn pruned(ground: &Ground, pitr: u32) {
    let policy =
        Policy { yearly: 1, daily: 1, pitr: (pitr > 0).then(|| Span::days(pitr)), ..Policy::default() };
    let rules = RetentionRules { policy, shrink_delay: Span::seconds(0), grace: Span::hours(24) };
    let pruner = ground.bench.as_host("pruner").await.unwrap();
    prune(&pruner, &rules, PruneOptions::default(), Arc::new(Silent)).await.unwrap();
}

async fn names(ground: &Ground, region: usize, part: &str) -> Vec<String> {
    let all = ground.bench.memories[region].list(None).map(|meta| meta.unwrap().location.to_string());
    let mut all: Vec<String> = all.collect().await;
    all.retain(|name| name.contains(part));
    all
}

async fn delete(ground: &Ground, region: usize, part: &str) {
    for name in names(ground, region, part).await {
        ground.bench.memories[region].delete(&name.as_str().into()).await.unwrap();
    }
}

fn said(report: &VerifyReport) -> Vec<(&'static str, String, String)> {
    let of = |finding: &crate::verify::VerifyFinding| {
        let file = finding.object.rsplit('/').next().unwrap_or_default().to_owned();
        (finding.id, finding.region.to_string(), file)
    };
    report.findings.iter().map(of).collect()
}

fn segment(number: u64) -> String {
    format!("0000000100000000{number:08X}")
}

#[tokio::test]
async fn what_pruning_left_is_no_finding_with_its_tombstones_and_without() {
    let ground = ten_days().await;
    assert_eq!(names(&ground, 0, "/manifest/").await.len(), 2, "the first of the year and the last");
    let segments = names(&ground, 0, "/wal/").await.len();
    assert!(segments < 12, "{segments} segments");
    for tombstones in [true, false] {
        if !tombstones {
            delete(&ground, 0, "/tombstone/").await;
            delete(&ground, 1, "/tombstone/").await;
        }
        for depth in [Depth::Quick, Depth::Full] {
            let report = ground.verify(As::Reader, &options(depth)).await;
            assert_eq!(said(&report), [], "{depth:?}, tombstones: {tombstones}");
        }
    }
}

#[tokio::test]
async fn a_hole_in_what_the_rules_keep_is_found_behind_what_they_let_go() {
    let ground = ten_days().await;
    delete(&ground, 0, "/tombstone/").await;
    delete(&ground, 1, "/tombstone/").await;
    // The last backup lies in segment 29, and leads on to 31.
    delete(&ground, 0, &segment(30)).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [("verify.wal-hole", "north".to_owned(), segment(30))]);
    let [window] = report.findings[0].endangers.windows.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!((window.from.0 >> 20, window.to.0 >> 20), (30, 32));
    // What makes the first of the year consistent is asked for, however old.
    delete(&ground, 0, &segment(2)).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    let both = [2, 30].map(|number| ("verify.wal-hole", "north".to_owned(), segment(number)));
    assert_eq!(said(&report), both);
    assert_eq!(report.findings[0].endangers.backups, ground.backups[..1]);
}

/// What was stored last says how far the window has moved on, not the clock of who asks.
#[tokio::test]
async fn a_hole_in_the_window_is_found_by_a_host_whose_clock_is_years_ahead() {
    let ground = ten_days_by(6).await;
    delete(&ground, 0, "/tombstone/").await;
    delete(&ground, 1, "/tombstone/").await;
    hours(&ground, 3 * 365 * 24);
    assert_eq!(said(&ground.verify(As::Reader, &options(Depth::Quick)).await), []);
    // Between the backups in 26 and 29.
    delete(&ground, 0, &segment(28)).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [("verify.wal-hole", "north".to_owned(), segment(28))]);
}

/// Where nothing leads through a gap that was let go, only what stands behind it reaches on.
#[tokio::test]
async fn a_lost_backup_is_not_made_up_for_by_one_before_a_gap() {
    let ground = ten_days().await;
    let last = ground.backups[9].to_string();
    let pack = names(&ground, 0, &format!("/{last}/pack/")).await;
    assert_eq!(pack.len(), 1);
    delete(&ground, 0, &pack[0]).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [("verify.missing", "north".to_owned(), "0".to_owned())]);
    let endangers = &report.findings[0].endangers;
    assert_eq!(
        (endangers.backups.as_slice(), endangers.windows.len()),
        (&ground.backups[9..], 1),
        "{endangers:?}"
    );
}

#[tokio::test]
async fn who_cannot_read_the_rules_is_told_every_gap() {
    let ground = ten_days().await;
    pruned(&ground, 1).await;
    delete(&ground, 0, "/tombstone/").await;
    delete(&ground, 1, "/tombstone/").await;
    let missing = |number: u32| ("verify.missing", "north".to_owned(), number.to_string());
    let hole = |region: &str| ("verify.wal-hole", region.to_owned(), segment(3));
    // The newest cannot be read: what it asks for is not known, whatever an older one says.
    let newest = names(&ground, 1, "/policy/").await.remove(1);
    ground.bench.memories[0].put(&newest.as_str().into(), "{}\n{}\n".into()).await.unwrap();
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [hole("north"), ("verify.damaged", "north".to_owned(), "2".to_owned())]);
    delete(&ground, 0, &newest).await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [missing(2)], "the older one says enough");
    delete(&ground, 0, "/policy/").await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), [hole("north"), missing(1), missing(2)]);
    // In no region: nobody knows.
    delete(&ground, 1, "/policy/").await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), ["north", "south"].map(hole));
}

/// Rules that grew ask for what older ones let go: its tombstone says so, and stays for it.
#[tokio::test]
async fn rules_that_grew_make_no_damage_of_what_was_let_go() {
    let ground = ten_days().await;
    for _ in 0..3 {
        pruned(&ground, 400).await;
        hours(&ground, 100 * 24);
    }
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report), []);
    delete(&ground, 0, "/tombstone/").await;
    delete(&ground, 1, "/tombstone/").await;
    let report = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert_eq!(said(&report).len(), 2, "the tombstones were what explained it");
}
