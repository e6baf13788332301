//! A taken database host floods the repository: with backups of years ago, of years to come, with empty ones, with tombstones, with holds. Pruned
//! for days beside a twin that nobody flooded, what the twin keeps is kept, and what it lets go is not kept by tombstones and holds of a host
//! without the right.

use std::collections::BTreeSet;

use seawall_pg::{Lsn, SegmentNo, Timeline};
use seawall_repo::condemned::{Condemned, Hold, HoldOn, Tombstone};
use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::time::Time;

use super::RetentionRules;
use super::tests::{days, hours, manifests, planned, pruned};
use crate::archive::testing::Bench;
use crate::backup::testing::{At, forged};
use crate::events::record_id;
use crate::repository::Repository;
use crate::retention::{Policy, Span};

const DAYS: u64 = 16;
const YEAR: i64 = 365 * 86_400_000_000;

fn rules() -> RetentionRules {
    RetentionRules {
        policy: Policy { daily: 6, weekly: 2, monthly: 2, last: 2, min_backups: 3, ..Policy::default() },
        shrink_delay: Span::seconds(0),
        grace: Span::hours(24),
    }
}

/// What a flood is of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flood {
    Backdated,
    FutureDated,
    Empty,
    Tombstones,
    Holds,
}

impl Flood {
    async fn wave(self, bench: &Bench, host: &Repository, ids: &[BackupId], number: i64) {
        let now = crate::backup::now(&bench.world).unwrap().micros();
        match self {
            Self::Backdated => backup(bench, host, now - YEAR / 40 * (number + 1), false).await,
            Self::FutureDated => backup(bench, host, now + YEAR / 40 * (number + 1), false).await,
            Self::Empty => backup(bench, host, now - 86_400_000_000 * (number % 3), true).await,
            Self::Tombstones => tombstone(bench, host, ids).await,
            Self::Holds => hold(bench, host, ids).await,
        }
    }
}

async fn backup(bench: &Bench, host: &Repository, claimed: i64, empty: bool) {
    let start = SegmentNo(10).first_lsn(bench.size).unwrap().0;
    let (timeline, size) = (Timeline::FIRST, bench.size);
    let at = At { timeline, start: Lsn(start + 40), stop: Lsn(start + 48), size };
    forged(host, &bench.place(), at, Time::from_micros(claimed).unwrap(), empty).await.unwrap();
}

async fn tombstone(bench: &Bench, host: &Repository, ids: &[BackupId]) {
    let (place, id) = (bench.place(), record_id(host).unwrap());
    let stone = Tombstone {
        tombstone: id,
        cluster: place.cluster.clone(),
        system: place.system,
        regions: vec!["north".to_owned(), "south".to_owned()],
        grace: 0,
        segment_size: Some(bench.size),
        condemned: Condemned { manifests: ids.to_vec(), ..Condemned::default() },
        written: crate::backup::now(&bench.world).unwrap(),
        host: "db1".to_owned(),
    };
    host.put_record(&host.regions().set(), &Named::Tombstone { place, id }.into(), &stone).await.unwrap();
}

async fn hold(bench: &Bench, host: &Repository, ids: &[BackupId]) {
    let (place, hold) = (bench.place(), record_id(host).unwrap());
    let (cluster, written) = (place.cluster.clone(), crate::backup::now(&bench.world).unwrap());
    let (reason, by) = ("mine".to_owned(), "mallory".to_owned());
    for (on, id) in [(HoldOn::Everything, hold), (HoldOn::Backups(ids.to_vec()), record_id(host).unwrap())] {
        let (cluster, reason, by) = (cluster.clone(), reason.clone(), by.clone());
        let record = Hold { hold: id, cluster, on, reason, until: None, by, written };
        let name = Named::Hold { place: place.clone(), id }.into();
        host.put_record(&host.regions().set(), &name, &record).await.unwrap();
    }
}

/// Which of the honest backups are left after days of pruning: by their place among those taken. Every day of the flood brings another wave, and a
/// new honest backup is taken each day.
async fn left(flood: Option<Flood>) -> BTreeSet<usize> {
    let (bench, mut ids) = days(DAYS).await;
    let host = bench.as_host("db1").await.unwrap();
    pruned(&bench, &rules()).await;
    for day in 0..4 {
        for number in 0..12 {
            if let Some(flood) = flood {
                flood.wave(&bench, &host, &ids, day * 12 + number).await;
            }
        }
        hours(&bench, 12);
        ids.push(super::tests::backup(&bench, 10 + (DAYS + day as u64) * 3).await);
        hours(&bench, 12);
        pruned(&bench, &rules()).await;
    }
    if matches!(flood, Some(Flood::Tombstones | Flood::Holds)) {
        let report = planned(&bench, &rules()).await;
        assert!(report.holds.is_empty(), "{:?}", report.holds);
        let refused = report.findings.iter().filter(|finding| finding.id == "prune.record-refused").count();
        assert!(refused >= 48, "each is told: {refused}");
    }
    let (north, south) = (manifests(&bench, 0).await, manifests(&bench, 1).await);
    assert_eq!(north, south);
    let is_left = |id: &BackupId| north.iter().any(|name| name.contains(&id.to_string()));
    ids.iter().enumerate().filter(|(_, id)| is_left(id)).map(|(index, _)| index).collect()
}

#[tokio::test]
async fn a_flood_moves_no_retention() {
    let twin = left(None).await;
    assert!(twin.len() > 6 && twin.len() < ids_in_all() / 2 + 4, "{twin:?}");
    for flood in [Flood::Backdated, Flood::FutureDated, Flood::Empty, Flood::Tombstones, Flood::Holds] {
        let left = left(Some(flood)).await;
        let lost: Vec<_> = twin.difference(&left).collect();
        assert!(lost.is_empty(), "{flood:?} took away {lost:?}");
        if matches!(flood, Flood::Tombstones | Flood::Holds) {
            assert_eq!(left, twin, "{flood:?} keeps nothing either");
        }
    }
}

fn ids_in_all() -> usize {
    usize::try_from(DAYS).unwrap() + 4
}
