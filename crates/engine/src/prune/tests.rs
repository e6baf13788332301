//! Pruning in memory: who may, what a taken host can do, graces, undoing, holds, shortened rules, regions away, locks, and a fault at
//! every store call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use seawall_pg::{Lsn, SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::condemned::{Condemned, Hold, HoldOn, Tombstone};
use seawall_repo::event::Event;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::ObjectStore as _;
use seawall_store::faulty::{CallKind, Fault, Rule};

use super::{PruneOptions, PruneReport, RetentionRules, prune, undo};
use crate::archive::testing::Bench;
use crate::backup::testing::{At, Dice, Fate, mini_backup};
use crate::events::record_id;
use crate::hold;
use crate::monitor::Silent;
use crate::repository::Repository;
use crate::retention::{Policy, Span};

pub(crate) fn rules(daily: u32) -> RetentionRules {
    let policy = Policy { daily, ..Policy::default() };
    RetentionRules { policy, shrink_delay: Span::seconds(0), grace: Span::hours(24) }
}

pub(crate) fn hours(bench: &Bench, hours: u64) {
    bench.world.clock.sleep_blocking(Duration::from_secs(hours * 3600));
}

/// Two regions with a backup a day.
pub(crate) async fn days(days: u64) -> (Bench, Vec<BackupId>) {
    let bench = Bench::with(2, 1).await;
    let mut ids = Vec::new();
    for day in 0..days {
        ids.push(backup(&bench, 10 + day * 3).await);
        hours(&bench, 24);
    }
    (bench, ids)
}

/// One backup whose WAL begins with this segment.
pub(crate) async fn backup(bench: &Bench, first: u64) -> BackupId {
    for number in first..first + 3 {
        let name = SegmentName::new(Timeline::FIRST, SegmentNo(number), bench.size).unwrap();
        let name: ObjectName = Named::Wal { place: bench.place(), file: WalFileName::Segment(name) }.into();
        for store in &bench.memories {
            store.put(&name.as_str().into(), name.to_string().into()).await.unwrap();
        }
    }
    let start = SegmentNo(first).first_lsn(bench.size).unwrap();
    let (timeline, size) = (Timeline::FIRST, bench.size);
    let at = At { timeline, start: Lsn(start.0 + 40), stop: Lsn(start.0 + size.bytes() + 80), size };
    let repository = bench.as_host("db1").await.unwrap();
    mini_backup(&repository, &bench.place(), at, Fate::default(), &Dice::new(first)).await.unwrap().unwrap()
}

pub(crate) async fn pruner(bench: &Bench) -> Repository {
    bench.as_host("pruner").await.unwrap()
}

pub(crate) async fn pruned(bench: &Bench, rules: &RetentionRules) -> PruneReport {
    prune(&pruner(bench).await, rules, PruneOptions::default(), Arc::new(Silent)).await.unwrap()
}

pub(crate) async fn planned(bench: &Bench, rules: &RetentionRules) -> PruneReport {
    let options = PruneOptions { dry_run: true, at: None };
    prune(&pruner(bench).await, rules, options, Arc::new(Silent)).await.unwrap()
}

pub(crate) fn kept(report: &PruneReport) -> BTreeSet<BackupId> {
    report.backups.iter().filter(|one| one.decision.is_kept()).map(|one| one.decision.id).collect()
}

pub(crate) async fn names(bench: &Bench, region: usize) -> BTreeSet<String> {
    bench.memories[region].list(None).map(|meta| meta.unwrap().location.to_string()).collect().await
}

pub(crate) async fn manifests(bench: &Bench, region: usize) -> BTreeSet<String> {
    names(bench, region).await.into_iter().filter(|name| name.contains("/manifest/")).collect()
}

#[tokio::test]
async fn nothing_leaves_before_the_grace_is_over_and_then_only_what_no_rule_keeps() {
    let (bench, ids) = days(8).await;
    let before = names(&bench, 0).await;
    let planned = planned(&bench, &rules(3)).await;
    assert_eq!(names(&bench, 0).await, before, "a dry run writes nothing");
    let first = pruned(&bench, &rules(3)).await;
    assert_eq!(kept(&planned), kept(&first));
    assert_eq!(kept(&first), ids[5..].iter().copied().collect());
    assert_eq!((first.let_go(), first.tombstones.len()), (5, 1));
    hours(&bench, 23);
    let early = pruned(&bench, &rules(3)).await;
    assert!(early.regions.iter().all(|region| region.deleted.is_empty()));
    assert_eq!(manifests(&bench, 0).await.len(), 8);
    hours(&bench, 2);
    let due = pruned(&bench, &rules(3)).await;
    assert!(
        due.regions.iter().all(|region| region.deleted.manifests == 5 && region.left == 0),
        "{:?}",
        due.regions
    );
    for region in 0..2 {
        assert_eq!(manifests(&bench, region).await.len(), 3);
    }
    let wal = |names: &BTreeSet<String>| names.iter().filter(|name| name.contains("/wal/")).count();
    let left = names(&bench, 1).await;
    assert!(wal(&left) < wal(&before) && wal(&left) >= 6, "{left:?}");
    hours(&bench, 48);
    assert!(pruned(&bench, &rules(3)).await.condemned.manifests == 0);
}

#[tokio::test]
async fn a_backup_that_was_stopped_for_half_a_day_does_not_commit() {
    let (bench, ids) = days(2).await;
    let repository = bench.as_host("db1").await.unwrap();
    let start = SegmentNo(13).first_lsn(bench.size).unwrap();
    let (timeline, size) = (Timeline::FIRST, bench.size);
    let at = At { timeline, start: Lsn(start.0 + 50), stop: Lsn(start.0 + 90), size };
    for (frozen, commits) in [(13, false), (5, true)] {
        let fate = Fate { frozen, ..Fate::default() };
        let taken = mini_backup(&repository, &bench.place(), at, fate, &Dice::new(frozen)).await;
        match taken {
            Ok(id) => assert!(commits && id.is_some(), "{frozen} hours"),
            Err(error) => assert!(!commits && error.id() == "backup.intent-lost", "{frozen} hours: {error}"),
        }
    }
    assert_eq!(manifests(&bench, 0).await.len(), ids.len() + 1);
}

#[tokio::test]
async fn who_only_writes_neither_condemns_nor_holds_nor_takes_back() {
    let (bench, ids) = days(5).await;
    let host = bench.as_host("db1").await.unwrap();
    let may_not = "keys.no-right-to-prune";
    let run = prune(&host, &rules(2), PruneOptions::default(), Arc::new(Silent)).await;
    assert_eq!(run.unwrap_err().id(), may_not);
    assert_eq!(undo(&host, None, "x").await.unwrap_err().id(), may_not);
    let (on, by) = (HoldOn::Everything, "mallory".to_owned());
    let new = hold::NewHold { on, reason: "mine".to_owned(), until: None, by };
    assert_eq!(hold::add(&host, new).await.unwrap_err().id(), may_not);
    // It signs such records all the same, with a program of its own: nobody believes them.
    let before = planned(&bench, &rules(2)).await;
    forge_decisions(&bench, &host, &ids).await;
    let after = planned(&bench, &rules(2)).await;
    assert_eq!((kept(&before), before.condemned), (kept(&after), after.condemned));
    assert!(after.waiting.is_empty() && after.holds.is_empty());
    let told = after.findings.iter().filter(|finding| finding.id == "prune.record-refused").count();
    assert_eq!(told, 2, "{:?}", after.findings);
}

/// A tombstone on everything and a hold on everything, signed by a writer without the right.
async fn forge_decisions(bench: &Bench, host: &Repository, ids: &[BackupId]) {
    let (place, set) = (bench.place(), host.regions().set());
    let (id, written) = (record_id(host).unwrap(), crate::backup::now(&bench.world).unwrap());
    let stone = Tombstone {
        tombstone: id,
        cluster: place.cluster.clone(),
        system: place.system,
        regions: vec!["north".to_owned(), "south".to_owned()],
        grace: 0,
        segment_size: Some(bench.size),
        condemned: Condemned { manifests: ids.to_vec(), ..Condemned::default() },
        written,
        host: "db1".to_owned(),
    };
    host.put_record(&set, &Named::Tombstone { place: place.clone(), id }.into(), &stone).await.unwrap();
    let (cluster, reason, by) = (place.cluster.clone(), "mine".to_owned(), "mallory".to_owned());
    let hold = Hold { hold: id, cluster, on: HoldOn::Everything, reason, until: None, by, written };
    host.put_record(&set, &Named::Hold { place, id }.into(), &hold).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_forged_backups_moves_nothing_that_was_there() {
    let (bench, _ids) = days(40).await;
    let rules = RetentionRules {
        policy: Policy { daily: 10, weekly: 3, monthly: 2, last: 2, ..Policy::default() },
        shrink_delay: Span::seconds(0),
        grace: Span::hours(24),
    };
    let before = kept(&planned(&bench, &rules).await);
    assert!(before.len() > 10 && before.len() < 20);
    let host = bench.as_host("db1").await.unwrap();
    for number in 0..60_u64 {
        forge_backup(&bench, &host, number).await;
    }
    let flooded = planned(&bench, &rules).await;
    let after = kept(&flooded);
    let lost: Vec<_> = before.difference(&after).collect();
    // The flood is of one new day: as with any new day, the oldest of ten may be over.
    assert!(lost.len() <= 1, "{lost:?}");
    let forged = after.difference(&before).count();
    assert!(forged < 60, "most of the flood leaves: {forged} stay");
}

/// A manifest with a time of its own choosing: years back, years ahead, or now; every third one is empty.
async fn forge_backup(bench: &Bench, host: &Repository, number: u64) {
    let now = crate::backup::now(&bench.world).unwrap();
    let year = 365 * 86_400_000_000_i64;
    let claimed = match number % 4 {
        0 => now.micros() - year * i64::try_from(number % 9).unwrap(),
        1 => now.micros() + year,
        2 => now.micros() - 86_400_000_000 * i64::try_from(number).unwrap(),
        _ => now.micros(),
    };
    let claimed = seawall_repo::time::Time::from_micros(claimed).unwrap();
    let start = SegmentNo(10).first_lsn(bench.size).unwrap().0;
    let (timeline, size) = (Timeline::FIRST, bench.size);
    let at = At { timeline, start: Lsn(start + 40), stop: Lsn(start + 48), size };
    crate::backup::testing::forged(host, &bench.place(), at, claimed, number.is_multiple_of(3))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_waits_can_be_taken_back_and_held() {
    let (bench, ids) = days(6).await;
    pruned(&bench, &rules(2)).await;
    let repository = pruner(&bench).await;
    let undone = undo(&repository, None, "a mistake").await.unwrap();
    assert_eq!(undone.tombstones.len(), 1);
    assert_eq!(undo(&repository, None, "again").await.unwrap_err().id(), "prune.nothing-to-undo");
    hours(&bench, 30);
    let again = pruned(&bench, &rules(2)).await;
    assert!(again.regions.iter().all(|region| region.deleted.is_empty()), "a new grace begins");
    let on = HoldOn::Backups(vec![ids[0]]);
    let (reason, by) = ("audit".to_owned(), "ops".to_owned());
    let held = hold::add(&repository, hold::NewHold { on, reason, until: None, by }).await.unwrap();
    hours(&bench, 30);
    let report = pruned(&bench, &rules(2)).await;
    assert!(kept(&report).contains(&ids[0]));
    assert_eq!(manifests(&bench, 0).await.len(), 3, "{:?}", report.regions);
    let listed = hold::list(&repository).await.unwrap();
    assert!(listed.holds.len() == 1 && listed.holds[0].in_force && listed.holds[0].reason == "audit");
    hold::release(&repository, held.hold, "over", "ops").await.unwrap();
    let twice = hold::release(&repository, held.hold, "over", "ops").await;
    assert_eq!(twice.unwrap_err().id(), "hold.unknown");
    pruned(&bench, &rules(2)).await;
    hours(&bench, 30);
    pruned(&bench, &rules(2)).await;
    assert_eq!(manifests(&bench, 0).await.len(), 2);
}

#[tokio::test]
async fn a_hold_that_was_seen_and_is_damaged_keeps_everything() {
    let (bench, ids) = days(5).await;
    let repository = pruner(&bench).await;
    let on = HoldOn::Backups(vec![ids[0]]);
    let (reason, by) = ("audit".to_owned(), "ops".to_owned());
    let held = hold::add(&repository, hold::NewHold { on, reason, until: None, by }).await.unwrap();
    pruned(&bench, &rules(2)).await;
    let name = Named::Hold { place: bench.place(), id: held.hold }.to_name();
    for store in &bench.memories {
        store.put(&name.as_str().into(), "{}\n{}\n".into()).await.unwrap();
    }
    let report = planned(&bench, &rules(2)).await;
    assert_eq!((report.let_go(), report.condemned.manifests), (0, 0), "{:?}", report.kept_back);
    assert!(report.has_findings());
}

#[tokio::test]
async fn a_look_at_a_later_day_shows_what_will_have_left_and_changes_nothing() {
    let (bench, ids) = days(6).await;
    let before = names(&bench, 0).await;
    let now = crate::backup::now(&bench.world).unwrap();
    let later = seawall_repo::time::Time::from_micros(now.micros() + 20 * 86_400_000_000);
    let look = |at| async move {
        let options = PruneOptions { dry_run: true, at };
        prune(&pruner(&bench).await, &rules(4), options, Arc::new(Silent))
            .await
            .map(|report| (kept(&report), bench))
    };
    let (then, bench) = look(later).await.unwrap();
    assert!(then.len() < 4 && !then.contains(&ids[2]), "{then:?}");
    assert_eq!(kept(&planned(&bench, &rules(4)).await).len(), 4);
    assert_eq!(names(&bench, 0).await, before);
}

/// With rules as they were a gap lies where nothing is kept; rules that grew ask for what is gone.
#[tokio::test]
async fn a_tombstone_stays_while_it_explains_a_gap_that_the_rules_ask_about() {
    for (pitr, stays) in [(None, false), (Some(Span::days(1_000)), true)] {
        let (bench, _ids) = days(6).await;
        let yearly = |yearly, pitr| RetentionRules {
            policy: Policy { yearly, daily: 1, pitr, ..Policy::default() },
            shrink_delay: Span::seconds(0),
            grace: Span::hours(24),
        };
        let stones =
            |names: BTreeSet<String>| names.iter().filter(|name| name.contains("/tombstone/")).count();
        // Those that name intents alone are given up after another hundred days.
        let days = 24;
        let steps = [(0, None), (30, None), (30, None), (100 * days, pitr), (30, pitr), (100 * days, pitr)];
        for (hours_on, pitr) in steps {
            hours(&bench, hours_on);
            pruned(&bench, &yearly(1, pitr)).await;
        }
        assert_eq!(manifests(&bench, 0).await.len(), 2, "the first of the year and the last");
        assert_eq!(stones(names(&bench, 0).await) > 0, stays, "{pitr:?}");
        for hours_on in [0, 30, 100 * 24, 30] {
            hours(&bench, hours_on);
            pruned(&bench, &yearly(0, None)).await;
        }
        assert_eq!((manifests(&bench, 0).await.len(), stones(names(&bench, 0).await)), (1, 0));
    }
}

#[tokio::test]
async fn shortened_rules_wait() {
    let (bench, _ids) = days(10).await;
    let long = RetentionRules { shrink_delay: Span::days(3), ..rules(8) };
    let short = RetentionRules { shrink_delay: Span::days(3), ..rules(2) };
    assert_eq!(pruned(&bench, &long).await.kept(), 8);
    let soon = pruned(&bench, &short).await;
    assert_eq!(soon.kept(), 8);
    assert!(soon.shrinking_until.is_some());
    hours(&bench, 3 * 24 + 1);
    let late = pruned(&bench, &short).await;
    assert_eq!(late.shrinking_until, None);
    assert!(late.kept() < 5, "{}", late.kept());
}

#[tokio::test]
async fn a_region_that_is_away_is_condemned_nothing_and_follows_when_it_is_back() {
    let (bench, _ids) = days(6).await;
    bench.memories[1].set_away(true);
    let report = pruned(&bench, &rules(2)).await;
    assert!(report.findings.iter().any(|finding| finding.id == "prune.region-unreached"));
    hours(&bench, 30);
    pruned(&bench, &rules(2)).await;
    assert_eq!(manifests(&bench, 0).await.len(), 2);
    bench.memories[1].set_away(false);
    assert_eq!(manifests(&bench, 1).await.len(), 6);
    // What north let go is in the listing again; it is condemned in both, and leaves south after a grace of its own.
    pruned(&bench, &rules(2)).await;
    assert_eq!(manifests(&bench, 1).await.len(), 6);
    hours(&bench, 30);
    pruned(&bench, &rules(2)).await;
    assert_eq!((manifests(&bench, 0).await.len(), manifests(&bench, 1).await.len()), (2, 2));
}

#[tokio::test]
async fn a_lock_delays_and_is_told() {
    let (mut bench, _ids) = days(5).await;
    pruned(&bench, &rules(2)).await;
    hours(&bench, 30);
    bench.fresh_faults();
    bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::Delete).named("/manifest/").for_good());
    let locked = pruned(&bench, &rules(2)).await;
    let north = &locked.regions[0];
    assert!(
        north.left > 0 && north.deleted.packs.objects == 0,
        "packs stay as long as a manifest does: {north:?}"
    );
    assert!(locked.findings.iter().any(|finding| finding.id == "prune.not-deleted"), "{:?}", locked.findings);
    assert_eq!((manifests(&bench, 0).await.len(), manifests(&bench, 1).await.len()), (5, 2));
    bench.fresh_faults();
    let free = pruned(&bench, &rules(2)).await;
    assert_eq!((free.regions[0].left, manifests(&bench, 0).await.len()), (0, 2));
}

#[tokio::test]
async fn what_was_deleted_when_and_by_which_rule_is_kept_as_an_event() {
    let (bench, ids) = days(4).await;
    pruned(&bench, &rules(1)).await;
    let names = names(&bench, 0).await;
    let events: Vec<ObjectName> = names
        .iter()
        .filter(|name| name.contains("/event/"))
        .filter_map(|name| ObjectName::parse(name))
        .collect();
    let repository = pruner(&bench).await;
    let mut told = Vec::new();
    for name in events {
        let read = repository.read_whole(&name, |whole, decompressor| {
            let key =
                repository.keys().digest_key(whole.head().generation(), repository.trust().repository());
            Event::open(whole, &key.unwrap(), decompressor)
        });
        told.push(read.await.unwrap().value);
    }
    let ended = told.iter().find(|event| event.what == "prune").unwrap();
    let condemned = ended.detail["condemned"].to_string();
    assert!(condemned.contains(&ids[0].to_string()) && condemned.contains("daily"), "{condemned}");
    assert_eq!(ended.detail["policy"]["daily"], 1);
    assert!(told.iter().any(|event| event.what == "prune-begun"));
}

/// Every store call of a prune that deletes fails once, before or after doing its work: what is there stays whole, and a later run
/// ends what was begun.
#[tokio::test]
async fn a_fault_at_every_call_leaves_everything_whole() {
    let (mut met, mut call) = (0, 0);
    loop {
        call += 1;
        let fault = if call % 2 == 0 { Fault::FailBefore } else { Fault::FailAfter };
        let (mut bench, ids) = days(4).await;
        pruned(&bench, &rules(1)).await;
        hours(&bench, 30);
        bench.fresh_faults();
        bench.stores[0].add(Rule::new(fault).at_call(call).times(2));
        let run = prune(&pruner(&bench).await, &rules(1), PruneOptions::default(), Arc::new(Silent)).await;
        let was_met = bench.stores[0].faults_met() > 0;
        drop(run);
        bench.fresh_faults();
        for _ in 0..3 {
            hours(&bench, 30);
            pruned(&bench, &rules(1)).await;
        }
        for region in 0..2 {
            let left = manifests(&bench, region).await;
            assert!(
                left.len() == 1 && left.iter().all(|name| name.contains(&ids[3].to_string())),
                "call {call}: {left:?}"
            );
        }
        let manifest = bench.as_host("db1").await.unwrap().manifest(&bench.place(), ids[3]).await.unwrap();
        for row in &manifest.body.packs {
            let (place, backup, number) = (bench.place(), row.pack.backup, row.pack.number);
            let pack = Named::Pack { place, backup, number }.to_name();
            assert!(names(&bench, 0).await.contains(pack.as_str()), "call {call}: {pack} is gone");
        }
        if !was_met {
            break;
        }
        met += 1;
    }
    println!("{met} calls of a prune met a fault");
    assert!(met > 30);
}

/// Ten thousand backups over years and two hundred thousand segments: how many calls a dry run makes, printed.
#[tokio::test]
async fn ten_thousand_backups_are_decided_with_one_read_each() {
    let backups = 10_000_u64;
    let mut bench = Bench::with(1, 1).await;
    let host = bench.as_host("db1").await.unwrap();
    for number in 0..backups {
        let start = SegmentNo(10 + number * 20).first_lsn(bench.size).unwrap().0;
        let (timeline, size) = (Timeline::FIRST, bench.size);
        let at = At { timeline, start: Lsn(start + 40), stop: Lsn(start + 80), size };
        let now = crate::backup::now(&bench.world).unwrap();
        crate::backup::testing::forged(&host, &bench.place(), at, now, false).await.unwrap();
        for segment in 0..20 {
            let name =
                SegmentName::new(Timeline::FIRST, SegmentNo(10 + number * 20 + segment), size).unwrap();
            let name: ObjectName =
                Named::Wal { place: bench.place(), file: WalFileName::Segment(name) }.into();
            bench.memories[0].put(&name.as_str().into(), "x".into()).await.unwrap();
        }
        hours(&bench, 3);
    }
    bench.fresh_faults();
    let rules = RetentionRules {
        policy: Policy {
            daily: 30,
            weekly: 12,
            monthly: 12,
            pitr: Some(Span::days(30)),
            ..Policy::default()
        },
        shrink_delay: Span::days(7),
        grace: Span::hours(24),
    };
    let report = planned(&bench, &rules).await;
    let calls = bench.stores[0].count();
    println!("{} kept of {backups}, {calls} calls", report.kept());
    assert!(report.kept() >= 45 && report.kept() < 200, "{}", report.kept());
    assert!(calls < backups + 1_000, "{calls}");
}
