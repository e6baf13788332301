//! Heal copies stay and go with their originals, and stand for them where those are gone.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use seawall_repo::layout::{Named, ObjectName};

use super::tests::{days, hours, kept, names, planned, pruned, rules};
use crate::archive::testing::Bench;

/// Copies of all that pruning may delete, in the first region.
async fn healed(bench: &Bench) {
    for name in names(bench, 0).await {
        let name = ObjectName::parse(&name).unwrap();
        put_copy(bench, &name).await;
    }
}

async fn put_copy(bench: &Bench, name: &ObjectName) {
    let goes = matches!(
        name.named(),
        Named::Manifest { .. } | Named::Pack { .. } | Named::Map { .. } | Named::Wal { .. }
    );
    if let Some(copy) = name.heal(1).filter(|_| goes) {
        let store = &bench.memories[0];
        let bytes = store.get(&name.as_str().into()).await.unwrap().bytes().await.unwrap();
        store.put(&copy.as_str().into(), bytes.into()).await.unwrap();
    }
}

async fn take_away(bench: &Bench, name: &str) {
    for store in &bench.memories {
        store.delete(&name.into()).await.unwrap();
    }
}

fn originals(names: &BTreeSet<String>) -> BTreeSet<String> {
    names.iter().filter_map(|name| Some(ObjectName::parse(name)?.healed()?.to_string())).collect()
}

#[tokio::test]
async fn heal_copies_go_with_their_originals_and_the_others_stay() {
    let (bench, ids) = days(8).await;
    healed(&bench).await;
    let before = names(&bench, 0).await;
    // Of one that stays and of one that leaves only the heal copy is left.
    let pack = |id: &seawall_repo::id::BackupId| {
        before
            .iter()
            .find(|name| name.contains(&format!("backup/{id}/pack/")) && !name.contains("/heal/"))
            .unwrap()
            .clone()
    };
    let (leaves, stays) = (pack(&ids[1]), pack(&ids[7]));
    take_away(&bench, &leaves).await;
    take_away(&bench, &stays).await;
    let plan = planned(&bench, &rules(3)).await;
    assert_eq!(kept(&plan), ids[5..].iter().copied().collect(), "a heal copy is as good as its original");
    let first = pruned(&bench, &rules(3)).await;
    assert!(first.findings.is_empty(), "{:?}", first.findings);
    hours(&bench, 25);
    let done = pruned(&bench, &rules(3)).await;
    assert!(done.regions[0].deleted.heals.objects > 10, "{:?}", done.regions);
    assert_eq!((done.regions[0].left, done.regions[1].deleted.heals.objects), (0, 0));
    let after = names(&bench, 0).await;
    let mut left = originals(&after);
    assert!(left.remove(&stays) && !left.contains(&leaves), "{left:?}");
    let there = |name: &&String| before.contains(*name) && originals(&before).contains(*name);
    assert_eq!(
        left,
        after.iter().filter(there).cloned().collect(),
        "each stays exactly as long as its original"
    );
    assert!(after.len() < before.len());
    hours(&bench, 25);
    let nothing = pruned(&bench, &rules(3)).await;
    assert_eq!((nothing.condemned.manifests, nothing.condemned.packs.objects), (0, 0));
}

/// A sync that had looked before may heal what a prune takes away meanwhile.
#[tokio::test]
async fn a_heal_copy_that_comes_after_its_original_has_gone_goes_with_the_next_prune() {
    let (bench, ids) = days(6).await;
    let before = names(&bench, 0).await;
    let gone =
        |name: &&String| name.contains(&ids[0].to_string()) || name.ends_with("00000001000000000000000A");
    let late: Vec<ObjectName> =
        before.iter().filter(gone).map(|name| ObjectName::parse(name).unwrap()).collect();
    let kinds = [late.iter().any(|name| matches!(name.named(), Named::Manifest { .. })), late.len() >= 4];
    assert_eq!(kinds, [true, true], "{late:?}");
    let mut bytes = Vec::new();
    for name in &late {
        bytes.push(bench.memories[0].get(&name.as_str().into()).await.unwrap().bytes().await.unwrap());
    }
    for _ in 0..2 {
        pruned(&bench, &rules(2)).await;
        hours(&bench, 25);
    }
    let left = names(&bench, 0).await;
    let goes =
        |name: &ObjectName| !left.contains(name.as_str()) && !matches!(name.named(), Named::Intent { .. });
    for (name, bytes) in late.iter().zip(bytes).filter(|(name, _)| goes(name)) {
        let copy = name.heal(1).unwrap();
        bench.memories[0].put(&copy.as_str().into(), bytes.into()).await.unwrap();
    }
    assert!(originals(&names(&bench, 0).await).len() >= 3);
    let plan = planned(&bench, &rules(2)).await;
    assert!(plan.backups.iter().all(|one| one.decision.id != ids[0]), "a heal copy makes no backup exist");
    for _ in 0..3 {
        let report = pruned(&bench, &rules(2)).await;
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        hours(&bench, 25);
    }
    assert_eq!(originals(&names(&bench, 0).await), BTreeSet::new());
}
