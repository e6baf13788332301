//! Corners of pruning in memory: a parent that is gone before a backup gives its word, backups that use more than a header lists, what was taken
//! back or held while a region was away, a bucket's lock, and WAL of a lineage that never had a backup.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use seawall_pg::{Lsn, SegmentName, SegmentNo, SystemIdentifier, Timeline, WalFileName};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::condemned::HoldOn;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::records::Adoption;
use seawall_repo::wal_object::{Indexed, WalFacts, WalSealer};

use super::tests::{backup, days, hours, kept, manifests, names, planned, pruned, pruner, rules};
use super::undo;
use crate::archive::testing::{Bench, SYSTEM};
use crate::backup::testing::{At, may_build_on, of_many};
use crate::hold;
use crate::repository::WorldEntropy;

/// The process was stopped between choosing its parent and giving its word; meanwhile the parent was condemned, deleted, and every word
/// about it said: no tombstone names it any more, only its absence tells.
#[tokio::test]
async fn a_parent_that_was_pruned_before_the_word_was_given_is_not_built_on() {
    let (bench, ids) = days(2).await;
    let host = bench.as_host("db1").await.unwrap();
    let parent = host.manifest(&bench.place(), ids[1]).await.unwrap();
    may_build_on(&host, &bench.place(), &parent).await.unwrap();
    for later in 0..2 {
        backup(&bench, 30 + later * 3).await;
        hours(&bench, 24);
    }
    pruned(&bench, &rules(1)).await;
    let refused = may_build_on(&host, &bench.place(), &parent).await.unwrap_err();
    assert_eq!(refused.id(), "backup.parent-condemned", "its tombstone names it");
    for _ in 0..3 {
        hours(&bench, 25);
        pruned(&bench, &rules(1)).await;
    }
    let standing = super::standing(&host, &bench.place()).await.unwrap();
    let manifest = Named::Manifest { place: bench.place(), backup: ids[1] };
    assert!(!standing.names(&manifest), "no tombstone stands");
    assert!(!ids.iter().any(|id| standing.names_maps_of(*id)), "none on a map either");
    assert!(!names(&bench, 0).await.contains(manifest.to_name().as_str()));
    let refused = may_build_on(&host, &bench.place(), &parent).await.unwrap_err();
    assert_eq!(refused.id(), "backup.parent-condemned");
}

fn at(bench: &Bench, segment: u64) -> At {
    let start = SegmentNo(segment).first_lsn(bench.size).unwrap().0;
    At { timeline: Timeline::FIRST, start: Lsn(start + 40), stop: Lsn(start + 80), size: bench.size }
}

fn part(bench: &Bench, backup: BackupId, is_pack: bool) -> String {
    let place = bench.place();
    let named = match is_pack {
        true => Named::Pack { place, backup, number: 0 },
        false => Named::Map { place, backup, number: 0 },
    };
    named.to_name().to_string()
}

/// A header lists 64 of the backups that one uses; what the others hold is as safe, also when the body cannot be read.
#[tokio::test]
async fn what_a_backup_uses_of_more_than_64_others_stays() {
    let bench = Bench::with(1, 1).await;
    let mut others = Vec::new();
    for number in 0..80 {
        others.push(backup(&bench, 10 + number * 3).await);
        hours(&bench, 24);
    }
    others.sort_unstable();
    let host = bench.as_host("db1").await.unwrap();
    // Each has a pack of its own; the ones that a parent's pages were taken from alone do not count here.
    let with_pack: Vec<BackupId> = {
        let names = names(&bench, 0).await;
        others.iter().copied().filter(|id| names.contains(&part(&bench, *id, true))).collect()
    };
    let last = of_many(&host, &bench.place(), at(&bench, 249), &with_pack).await.unwrap();
    let manifest = host.manifest(&bench.place(), last).await.unwrap();
    assert!(manifest.header.uses_more && with_pack.len() > 64, "{} others", with_pack.len());
    let beyond = *with_pack.last().unwrap();
    assert!(!manifest.header.uses.contains(&beyond));
    hours(&bench, 24);
    for _ in 0..3 {
        pruned(&bench, &rules(1)).await;
        hours(&bench, 30);
    }
    assert_eq!(manifests(&bench, 0).await.len(), 1, "only the last one is left");
    let there = names(&bench, 0).await;
    for other in &with_pack {
        assert!(
            there.contains(&part(&bench, *other, true)) && there.contains(&part(&bench, *other, false)),
            "{other}"
        );
    }
    may_build_on(&host, &bench.place(), &manifest).await.unwrap();
    // A tombstone on a map that only the body names.
    condemn_map(&bench, beyond).await;
    let refused = may_build_on(&host, &bench.place(), &manifest).await.unwrap_err();
    assert_eq!(refused.id(), "backup.parent-condemned");
    // Its body spoiled, nobody can say what it uses: everything stays.
    let name = Named::Manifest { place: bench.place(), backup: last }.to_name();
    let path = name.as_str().into();
    let bytes = bench.memories[0].get(&path).await.unwrap().bytes().await.unwrap();
    let mut spoiled = bytes.to_vec();
    let end = spoiled.len() - 40;
    spoiled[end] ^= 1;
    bench.memories[0].put(&path, spoiled.into()).await.unwrap();
    hours(&bench, 30);
    let report = planned(&bench, &rules(1)).await;
    assert_eq!(
        (report.condemned.packs.objects, report.condemned.maps.objects),
        (0, 0),
        "{:?}",
        report.kept_back
    );
    assert!(report.kept_back.iter().any(|why| why.contains(&last.to_string())), "{:?}", report.kept_back);
}

async fn condemn_map(bench: &Bench, backup: BackupId) {
    use seawall_repo::condemned::{Condemned, NumberedOf, Tombstone};
    let pruner = pruner(bench).await;
    let (place, id) = (bench.place(), crate::events::record_id(&pruner).unwrap());
    let stone = Tombstone {
        tombstone: id,
        cluster: place.cluster.clone(),
        system: place.system,
        regions: vec!["north".to_owned()],
        grace: 86_400,
        segment_size: None,
        condemned: Condemned {
            maps: vec![NumberedOf { backup, numbers: vec![(0, 0)] }],
            ..Condemned::default()
        },
        written: crate::backup::now(&bench.world).unwrap(),
        host: "keeper".to_owned(),
    };
    pruner.put_record(&pruner.regions().set(), &Named::Tombstone { place, id }.into(), &stone).await.unwrap();
}

/// A region that was away hears of it when the command is repeated; until then it is told, and afterwards it obeys also when it is asked alone.
#[tokio::test]
async fn what_was_taken_back_while_a_region_was_away_is_taken_back_there_too() {
    for repeated in [true, false] {
        let (bench, ids) = days(6).await;
        pruned(&bench, &rules(2)).await;
        let repository = pruner(&bench).await;
        bench.memories[1].set_away(true);
        let undone = undo(&repository, None, "a mistake").await.unwrap();
        assert_eq!(undone.tombstones.len(), 1);
        assert!(
            undone.findings.iter().any(|finding| finding.id == "prune.region-unreached"),
            "{:?}",
            undone.findings
        );
        bench.memories[1].set_away(false);
        if repeated {
            let again = undo(&pruner(&bench).await, None, "a mistake").await.unwrap();
            assert_eq!((&again.tombstones, again.findings.len()), (&undone.tombstones, 0));
            let twice = undo(&pruner(&bench).await, None, "a mistake").await.unwrap_err();
            assert_eq!(twice.id(), "prune.nothing-to-undo");
        }
        hours(&bench, 30);
        // Asked alone, south goes by what it knows itself.
        bench.memories[0].set_away(true);
        pruned(&bench, &rules(2)).await;
        let left = if repeated { ids.len() } else { 2 };
        assert_eq!(manifests(&bench, 1).await.len(), left, "repeated: {repeated}");
        bench.memories[0].set_away(false);
        assert_eq!(manifests(&bench, 0).await.len(), ids.len());
    }
}

/// Of a backup whose manifest cannot be read nobody knows what it uses. While a region is away that may have a good copy, with which sync
/// heals, nothing is condemned; where every region was asked, the backup is lost, and its WAL is nobody's.
#[tokio::test]
async fn nothing_is_condemned_while_a_region_is_away_that_may_heal_a_manifest() {
    let (bench, ids) = days(6).await;
    let manifest = Named::Manifest { place: bench.place(), backup: ids[3] }.to_name();
    for lost in [false, true] {
        let store = &bench.memories[1];
        let path = manifest.as_str().into();
        let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        bytes[150] ^= 0x10;
        store.spoil(&path, bytes).await.unwrap();
        if lost {
            bench.memories[0].delete(&path).await.unwrap();
        }
        bench.memories[0].set_away(!lost);
        let report = pruned(&bench, &rules(2)).await;
        bench.memories[0].set_away(false);
        let told = report.kept_back.iter().any(|why| why.contains("which may have a good copy"));
        let nothing = report.newly_condemned == 0 && report.condemned.wal.objects == 0;
        assert_eq!((nothing, told), (!lost, !lost), "lost: {lost}: {report:?}");
    }
}

/// The region with the only backups is away, and what was archived since is in the other alone: the way on from those backups.
#[tokio::test]
async fn nothing_is_condemned_while_all_backups_are_in_a_region_that_is_away() {
    let (bench, ids) = days(4).await;
    for id in &ids {
        let manifest = Named::Manifest { place: bench.place(), backup: *id }.to_name();
        bench.memories[0].delete(&manifest.as_str().into()).await.unwrap();
    }
    let wal = |names: BTreeSet<String>| {
        names.into_iter().filter(|name| name.contains("/wal/")).collect::<BTreeSet<_>>()
    };
    let before = wal(names(&bench, 0).await);
    for away in [true, false] {
        bench.memories[1].set_away(away);
        for _ in 0..2 {
            let report = pruned(&bench, &rules(2)).await;
            let told = report.kept_back.iter().any(|why| why.contains("which may have some"));
            assert_eq!(told, away, "{report:?}");
            hours(&bench, 25);
        }
        let left = wal(names(&bench, 0).await);
        assert_eq!(
            left == before,
            away,
            "two of four backups keep their WAL when they can be seen: {left:?}"
        );
    }
}

/// A region that was away when a hold was added gets it from the next prune, and so its release; asked alone before that, it knows of none.
#[tokio::test]
async fn a_hold_and_its_release_reach_a_region_that_was_away_with_the_next_prune() {
    for given_on in [true, false] {
        let (bench, ids) = days(6).await;
        let repository = pruner(&bench).await;
        bench.memories[1].set_away(true);
        let on = HoldOn::Backups(vec![ids[0]]);
        let (reason, by) = ("audit".to_owned(), "ops".to_owned());
        let held = hold::add(&repository, hold::NewHold { on, reason, until: None, by }).await.unwrap();
        assert_eq!(held.findings[0].id, "hold.region-unreached");
        bench.memories[1].set_away(false);
        if given_on {
            pruned(&bench, &rules(2)).await;
        }
        bench.memories[0].set_away(true);
        pruned(&bench, &rules(2)).await;
        hours(&bench, 30);
        pruned(&bench, &rules(2)).await;
        assert_eq!(manifests(&bench, 1).await.len(), if given_on { 3 } else { 2 }, "given on: {given_on}");
        bench.memories[0].set_away(false);
        assert!(kept(&pruned(&bench, &rules(2)).await).contains(&ids[0]), "the other region has both");

        bench.memories[1].set_away(true);
        hold::release(&pruner(&bench).await, held.hold, "over", "ops").await.unwrap();
        bench.memories[1].set_away(false);
        pruned(&bench, &rules(2)).await;
        let released = Named::HoldReleased { place: bench.place(), id: held.hold }.to_name();
        assert!(names(&bench, 1).await.contains(released.as_str()));
    }
}

#[tokio::test]
async fn a_bucket_s_lock_delays_says_until_when_and_is_waited_for() {
    let (bench, _ids) = days(5).await;
    pruned(&bench, &rules(2)).await;
    hours(&bench, 30);
    let before = names(&bench, 0).await.into_iter().filter(|name| !name.contains("/event/")).count();
    let until = crate::backup::now(&bench.world).unwrap().micros() + 90 * 3_600_000_000;
    let until = seawall_repo::time::Time::from_micros(until).unwrap();
    let words = format!("the object is subject to the bucket's retention policy until {until}");
    bench.memories[0].lock_until(until.micros(), &words);
    for _ in 0..3 {
        let locked = pruned(&bench, &rules(2)).await;
        let [north, south] = locked.regions.as_slice() else { panic!("{:?}", locked.regions) };
        assert!(north.left > 0 && north.deleted.is_empty(), "{north:?}");
        assert_eq!((north.locked_until, south.locked_until), (Some(until), None));
        let told = locked.findings.iter().find(|finding| finding.id == "prune.locked").unwrap();
        assert!(told.hint.as_deref().unwrap().contains(&format!("until {until}")), "{told:?}");
        assert_eq!((manifests(&bench, 0).await.len(), manifests(&bench, 1).await.len()), (5, 2));
        hours(&bench, 24);
    }
    let there = names(&bench, 0).await.into_iter().filter(|name| !name.contains("/event/")).count();
    assert!(there >= before, "nothing of the locked region left");
    hours(&bench, 24);
    let free = pruned(&bench, &rules(2)).await;
    assert_eq!((free.regions[0].left, free.regions[0].locked_until), (0, None));
    assert_eq!(manifests(&bench, 0).await.len(), 2);
}

/// A segment of a lineage, with a head that says how long segments are, or spoiled.
async fn archive(bench: &Bench, place: &Place, number: u64, spoiled: bool) {
    let host = bench.as_host("db1").await.unwrap();
    let file = SegmentName::new(Timeline::FIRST, SegmentNo(number), bench.size).unwrap();
    let facts = WalFacts {
        place: place.clone(),
        file: WalFileName::Segment(file),
        segment_size: bench.size,
        host: "db1".to_owned(),
        archived: crate::backup::now(&bench.world).unwrap(),
    };
    let index = Indexed::Not("none".to_owned());
    let (sealer, key) = (host.sealer().unwrap(), host.writer().unwrap());
    let wal = WalSealer { facts: &facts, index: &index, sealer, key };
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let sealed = wal.seal(b"wal", &mut compressor, &mut WorldEntropy::new(&bench.world)).unwrap();
    let name: ObjectName = Named::Wal { place: place.clone(), file: facts.file }.into();
    let bytes = if spoiled { b"spoiled".to_vec() } else { sealed.bytes().to_vec() };
    for store in &bench.memories {
        store.put(&name.as_str().into(), bytes.clone().into()).await.unwrap();
    }
}

async fn adopted(bench: &Bench) -> Place {
    let place = Place { system: SystemIdentifier(SYSTEM.0 + 1), ..bench.place() };
    let (id, owner) = bench.owner.as_ref().unwrap();
    let adoption = Adoption {
        cluster: place.cluster.clone(),
        system: place.system,
        after: Some(SYSTEM),
        adopted: crate::backup::now(&bench.world).unwrap(),
        postgresql: 18,
    };
    bench.put(id, owner, Named::Adoption(place.clone()), &adoption).await;
    place
}

async fn segments(bench: &Bench, place: &Place) -> Vec<u64> {
    let names = names(bench, 0).await.into_iter().filter(|name| name.starts_with(&place.wal()));
    names.map(|name| u64::from_str_radix(&name[name.len() - 8..], 16).unwrap()).collect()
}

#[tokio::test]
async fn wal_of_a_lineage_that_never_had_a_backup_goes_when_it_is_a_week_old() {
    // The first segment's head may be spoiled; where all are, nobody knows how long segments are.
    for (spoiled, all_stay) in [(0, false), (1, false), (40, true)] {
        let (bench, _ids) = days(3).await;
        let place = adopted(&bench).await;
        for number in 0..20 {
            archive(&bench, &place, 100 + number, number < spoiled).await;
            hours(&bench, 24);
        }
        for _ in 0..2 {
            pruned(&bench, &rules(2)).await;
            hours(&bench, 25);
        }
        let left = segments(&bench, &place).await;
        if all_stay {
            assert_eq!(left.len(), 20);
            let why = planned(&bench, &rules(2)).await.kept_back.join("\n");
            assert!(why.contains("nobody says how long its segments are"), "{why}");
            continue;
        }
        let young: Vec<u64> = (100..120).filter(|number| left.contains(number)).collect();
        assert!((6..=9).contains(&left.len()) && young.last() == Some(&119), "{left:?}");
        // When the first backup comes at last, all it needs is there.
        let report = planned(&bench, &rules(2)).await;
        assert_eq!(kept(&report).len(), 2, "the old lineage is as it was");
        hours(&bench, 24 * 12);
        for _ in 0..2 {
            pruned(&bench, &rules(2)).await;
            hours(&bench, 25);
        }
        assert_eq!(segments(&bench, &place).await, [] as [u64; 0]);
    }
}

/// A manifest that cannot be believed may be the one that leads to this WAL.
#[tokio::test]
async fn wal_beside_a_manifest_that_cannot_be_read_stays() {
    let (bench, _ids) = days(3).await;
    let place = adopted(&bench).await;
    archive(&bench, &place, 100, false).await;
    let manifest = Named::Manifest {
        place: place.clone(),
        backup: "20300101T000000Z-0123456789abcdef".parse().unwrap(),
    };
    for store in &bench.memories {
        store.put(&manifest.to_name().as_str().into(), "spoiled".into()).await.unwrap();
    }
    for _ in 0..3 {
        hours(&bench, 24 * 10);
        pruned(&bench, &rules(2)).await;
    }
    assert_eq!(segments(&bench, &place).await, [100]);
}
