//! What verify found damaged, sync heals, and verify is content: every kind of object, spoiled in every way that is no conflict.
//!
//! Each cell: another region serves, verify names the copy and records it, sync puts a heal copy beside it and changes nothing else, verify
//! takes it for a note, and the region then stands alone.

use std::sync::Arc;

use seawall_repo::layout::{Named, ObjectName};
use seawall_store::RegionName;

use super::copies::{By, copies};
use super::ground::{As, Ground, Objects, options};
use super::matrix::{Damage, KINDS, Spoiler, object_and_sibling};
use crate::monitor::{Collecting, Silent};
use crate::repository::Repository;
use crate::sync::{Heal, SyncOptions, SyncReport, sync};
use crate::verify::{Depth, VerifyReport, verify};

async fn synced(ground: &Ground, heal: &[Heal], dry_run: bool) -> SyncReport {
    let host = ground.bench.as_host("db1").await.unwrap();
    let options = SyncOptions { heal: heal.to_vec(), dry_run, ..SyncOptions::default() };
    sync(&host, &options, Arc::new(Silent)).await.unwrap()
}

/// Verifies, and remembers.
async fn verified(ground: &Ground, depth: Depth) -> VerifyReport {
    let (reader, host) =
        (ground.bench.as_reader().await.unwrap(), ground.bench.as_host("db1").await.unwrap());
    verify(&reader, Some(&host), &options(depth), Arc::new(Collecting::default())).await.unwrap()
}

/// Healed, and damaged as far as anybody knew, in the first region.
fn healed(report: &SyncReport) -> (u64, u64) {
    let kind = report.regions[0].kind("heal");
    (kind.copied, kind.lacking)
}

/// What a reader and verify say of the first region alone, the other gone for good.
async fn alone(ground: &mut Ground, north: Objects) -> VerifyReport {
    let both = std::mem::take(&mut ground.bench.stores);
    ground.lay(&[north]).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    ground.bench.stores = both;
    report
}

fn without_events(objects: &Objects) -> Objects {
    objects
        .clone()
        .into_iter()
        .filter(|(name, _)| !name.contains("/event/") || name.contains("/heal/"))
        .collect()
}

#[tokio::test]
async fn what_verify_finds_damaged_sync_heals_and_the_region_stands_alone() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    let signer = ground.host.writer().unwrap().id().to_string();
    let other = copies(&mut ground, &sound[0], By::Entitled).await;
    let unentitled = copies(&mut ground, &sound[0], By::Unentitled).await;
    let forged = copies(&mut ground, &sound[0], By::Stranger).await;
    let mut spoiler = Spoiler { ground: &mut ground, other, unentitled, forged };
    let (mut cells, mut wrong) = (0, Vec::new());
    for (kind, part, _) in KINDS {
        let Some((name, sibling)) = object_and_sibling(&sound[0], part, &signer) else { continue };
        for damage in Damage::HEALED {
            let Some(Some(spoiled)) = spoiler.spoil(&sound[0], &name, &sibling, damage) else { continue };
            let mut north = sound[0].clone();
            north.insert(name.clone(), spoiled);
            spoiler.ground.lay(&[north.clone(), sound[1].clone()]).await;
            cells += 1;
            let cell =
                cell(spoiler.ground, &name, &without_events(&north), damage == Damage::FlippedBody).await;
            wrong.extend(cell.err().map(|why| format!("{kind} {damage:?}: {why}")));
        }
    }
    assert!(cells > 150, "{cells}");
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
}

/// `deep`: at every depth, and once more.
async fn cell(ground: &mut Ground, name: &str, north: &Objects, deep: bool) -> Result<(), String> {
    let original = ObjectName::parse(name).unwrap();
    // A running backup says it again itself; nobody heals its word.
    if matches!(original.named(), Named::Intent { .. }) {
        let report = verified(ground, Depth::Full).await;
        let done = synced(ground, &[Heal::Object(original)], false).await;
        return (report.findings.len() == 1 && healed(&done) == (0, 0))
            .then_some(())
            .ok_or(format!("{done:?}"));
    }
    let report = verified(ground, Depth::Stored).await;
    let said: Vec<_> = report.findings.iter().map(|one| (one.object.as_str(), one.mend.as_str())).collect();
    let [(object, mend)] = said[..] else { return Err(format!("verify said {said:?}")) };
    if object != name || !mend.ends_with(&format!("seawall sync --heal {name}")) {
        return Err(format!("verify said {said:?}"));
    }
    if deep {
        let planned = synced(ground, &[], true).await;
        if healed(&planned) != (0, 1) || planned.has_findings() {
            return Err(format!("planned {planned:?}"));
        }
    }
    let done = synced(ground, &[], false).await;
    if healed(&done) != (1, 1) || done.has_findings() {
        return Err(format!("synced {done:?}"));
    }
    let now = ground.objects().await;
    let copy = original.heal(1).unwrap().to_string();
    let mut wanted = north.clone();
    wanted.insert(copy.clone(), now[1][name].clone());
    if without_events(&now[0]) != wanted {
        return Err("something else was changed in the region".to_owned());
    }
    let depths = if deep { &[Depth::Full, Depth::Stored, Depth::Quick][..] } else { &[Depth::Full] };
    for depth in depths.iter().copied() {
        let report = verified(ground, depth).await;
        let noted = report
            .healed
            .iter()
            .all(|one| one.object == name && one.by == copy && one.region.as_str() == "north");
        if report.has_findings() || !noted || (depth != Depth::Quick && report.healed.len() != 1) {
            return Err(format!("{depth:?} afterwards: {:?} {:?}", report.findings, report.healed));
        }
    }
    if !deep {
        return Ok(());
    }
    let again = synced(ground, &[Heal::Object(original)], false).await;
    if healed(&again) != (0, 0) || again.has_findings() {
        return Err(format!("again {again:?}"));
    }
    let report = alone(ground, now[0].clone()).await;
    if report.has_findings() || report.healed.len() != 1 {
        return Err(format!("alone: {:?} {:?}", report.findings, report.healed));
    }
    Ok(())
}

/// Two contents that are both what somebody signed who may: nobody but a person can say which it should be.
#[tokio::test]
async fn a_conflict_is_never_healed() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    let other = copies(&mut ground, &sound[0], By::Entitled).await;
    let name = sound[0].keys().find(|name| name.ends_with("/000000010000000000000004")).unwrap();
    let asked = [Heal::Object(ObjectName::parse(name).unwrap())];
    // Whole, and with its body damaged: the head still says whose content it was.
    let mut damaged = other[name].to_vec();
    let last = damaged.len() - 40;
    damaged[last] ^= 1;
    for (spoiled, findings) in [(other[name].clone(), vec![]), (damaged.into(), vec!["sync.conflict"])] {
        let mut north = sound[0].clone();
        north.insert(name.clone(), spoiled);
        ground.lay(&[north.clone(), sound[1].clone()]).await;
        let report = synced(&ground, &asked, false).await;
        let ids: Vec<_> = report.findings.iter().map(|one| one.id).collect();
        assert_eq!((healed(&report), ids), ((0, 0), findings));
        let now = ground.objects().await;
        assert_eq!(
            [without_events(&now[0]), without_events(&now[1])],
            [without_events(&north), without_events(&sound[1])]
        );
    }
}

#[tokio::test]
async fn a_damaged_heal_copy_gets_another_beside_it() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    for part in ["/pack/0", "/000000010000000000000004", "/manifest/", "/key/"] {
        let name = sound[0].keys().find(|name| name.contains(part)).unwrap();
        let original = ObjectName::parse(name).unwrap();
        let spoil = |objects: &mut Objects, name: &str| {
            let mut bytes = objects[name].to_vec();
            let middle = bytes.len() - 20;
            bytes[middle] ^= 1;
            objects.insert(name.to_owned(), bytes.into());
        };
        let mut north = sound[0].clone();
        spoil(&mut north, name);
        ground.lay(&[north, sound[1].clone()]).await;
        assert!(verified(&ground, Depth::Stored).await.has_findings(), "{name}");
        assert_eq!(healed(&synced(&ground, &[], false).await), (1, 1), "{name}");
        let first = original.heal(1).unwrap().to_string();
        let mut now = ground.objects().await;
        spoil(&mut now[0], &first);
        ground.lay(&now).await;
        let report = verified(&ground, Depth::Stored).await;
        let said: Vec<_> = report.findings.iter().map(|one| one.object.clone()).collect();
        assert!(said.contains(name) && said.contains(&first) && said.len() == 2, "{said:?}");
        assert_eq!(healed(&synced(&ground, &[], false).await), (1, 1), "{name}");
        let report = verified(&ground, Depth::Full).await;
        let by: Vec<_> = report.healed.iter().map(|one| one.by.clone()).collect();
        assert_eq!(by, [original.heal(2).unwrap().to_string()], "{:?}", report.findings);
        assert!(!report.has_findings(), "{:?}", report.findings);
        let mut north = ground.objects().await.swap_remove(0);
        assert_eq!(north[&first], now[0][&first], "nothing is overwritten");
        // A third region, made anew, gets it from the heal copy.
        ground
            .lay(&[
                north.clone(),
                Objects::from([("seawall.json".to_owned(), sound[1]["seawall.json"].clone())]),
            ])
            .await;
        let report = synced(&ground, &[], false).await;
        assert!(!report.has_findings(), "{report:?}");
        assert_eq!(ground.objects().await[1][name], sound[1][name]);
        if part == "/key/" {
            continue;
        }
        // Without its original a heal copy is still read, and counted as one that nobody needs.
        north.remove(name);
        let report = alone(&mut ground, north).await;
        assert!(report.regions[0].orphans.objects >= 2, "{:?}", report.regions[0].orphans);
    }
}

#[tokio::test]
async fn two_syncs_at_once_heal_once_and_everything_is_read_when_asked_to() {
    let mut ground = Ground::full().await;
    let sound = ground.objects().await;
    let spoilt: Vec<&String> =
        sound[0].keys().filter(|name| name.contains("/pack/") || name.contains("/wal/")).collect();
    let mut north = sound[0].clone();
    for name in &spoilt {
        north.insert((*name).clone(), bytes::Bytes::from_static(b"rubbish"));
    }
    ground.lay(&[north, sound[1].clone()]).await;
    // Nobody verified, so nobody knows.
    assert_eq!(healed(&synced(&ground, &[], false).await), (0, 0));
    let all = [Heal::All];
    let (one, two) = tokio::join!(synced(&ground, &all, false), synced(&ground, &all, false));
    assert!(!one.has_findings() && !two.has_findings(), "{one:?} {two:?}");
    assert_eq!(healed(&one).0 + healed(&two).0, spoilt.len() as u64, "{one:?} {two:?}");
    let now = ground.objects().await;
    assert_eq!(now[0].keys().filter(|name| name.contains("/heal/")).count(), spoilt.len());
    assert!(!verified(&ground, Depth::Full).await.has_findings());
    let backup = ground.backups[0];
    let north: RegionName = RegionName::new("north").unwrap();
    let reader: Repository = ground.bench.as_reader().await.unwrap().within(&north).unwrap();
    assert!(reader.manifest(&ground.bench.place(), backup).await.is_ok());
}

#[test]
fn what_is_to_be_healed_is_typed_as_it_is_printed() {
    assert_eq!(Heal::parse("all"), Some(Heal::All));
    assert_eq!(Heal::parse("orders/7575/wal/"), Some(Heal::Beneath("orders/7575/wal/".to_owned())));
    let name = ObjectName::parse("orders/7575/wal/0000000A.history").unwrap();
    assert_eq!(Heal::parse(name.as_str()), Some(Heal::Object(name)));
    for nothing in ["", "/", "ALL", "orders", "orders/7575/heal/wal/0000000A.history.1"] {
        assert_eq!(Heal::parse(nothing), None, "{nothing}");
    }
}
