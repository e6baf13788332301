//! What a backup needs comes before its manifest, and what no backup uses is not spread: on a repository with an object of every kind.

use std::sync::Arc;

use super::{SyncOptions, SyncReport, sync};
use crate::monitor::Silent;
use crate::verify::tests::ground::{Ground, Objects};

async fn synced(ground: &Ground) -> SyncReport {
    let repository = ground.bench.as_host("db1").await.unwrap();
    sync(&repository, &SyncOptions::default(), Arc::new(Silent)).await.unwrap()
}

/// The objects of a region that belong to backups: manifests, packs, maps.
fn is_of_backups(name: &str) -> bool {
    name.contains("/manifest/") || name.contains("/backup/")
}

fn without_backups(objects: &Objects) -> Objects {
    objects
        .iter()
        .filter(|(name, _)| !is_of_backups(name))
        .map(|(name, bytes)| (name.clone(), bytes.clone()))
        .collect()
}

fn damaged(bytes: &[u8]) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes.into()
}

#[tokio::test]
async fn a_manifest_stays_out_of_a_region_that_cannot_get_all_it_needs() {
    let mut ground = Ground::full().await;
    let north = ground.objects().await.swap_remove(0);
    let of = |number: usize| ground.backups[number].to_string();
    let (older, younger) = (of(0), of(1));
    let mut tried = 0;
    for (name, bytes) in &north {
        let owner = [&older, &younger].into_iter().find(|id| name.contains(&format!("/backup/{id}/")));
        // The older one's WAL is segment 3.
        let is_wal = name.ends_with("/000000010000000000000003");
        let Some(owner) = owner.or(is_wal.then_some(&older)) else { continue };
        let (mut worse, mut south) = (north.clone(), without_backups(&north));
        worse.insert(name.clone(), damaged(bytes));
        south.remove(name);
        ground.lay(&[worse, south]).await;
        let report = synced(&ground).await;
        assert!(report.has_findings(), "{name}");
        let there = ground.objects().await.swap_remove(1);
        let has = |id: &str| there.keys().any(|held| held.contains(&format!("/manifest/{id}")));
        assert!(!has(owner), "{name} is lacking, and the manifest is there");
        // What the older one lacks may be of no use to the younger; the other way round nothing is lost.
        assert!(owner == &older || has(&older), "{name}");
        tried += 1;
    }
    assert!(tried >= 5, "packs and maps of two backups, and a segment: {tried}");
    ground.lay(&[north.clone(), without_backups(&north)]).await;
    assert!(!synced(&ground).await.has_findings());
    let there = ground.objects().await.swap_remove(1);
    assert!(north.keys().filter(|name| is_of_backups(name)).all(|name| there.contains_key(name)));
}

#[tokio::test]
async fn what_a_backup_left_that_never_came_to_be_is_not_spread() {
    let mut ground = Ground::full().await;
    let mut north = ground.objects().await.swap_remove(0);
    let (older, younger) = (ground.backups[0].to_string(), ground.backups[1].to_string());
    north.retain(|name, _| !name.contains(&format!("/manifest/{younger}")));
    ground.lay(&[north.clone(), without_backups(&north)]).await;
    synced(&ground).await;
    let there = ground.objects().await.swap_remove(1);
    let count = |id: &str| there.keys().filter(|name| name.contains(&format!("/backup/{id}/"))).count();
    assert!(count(&older) >= 2, "{:?}", there.keys());
    assert_eq!(count(&younger), 0, "{:?}", there.keys());
}
