//! Looks for accidents. Reads only; commits nothing.

use seawall_pg::wal::WalOf;
use seawall_pg::{History, Lsn, SegmentName, SegmentNo, Timeline, Version, WalSegmentSize};
use seawall_repo::layout::Place;
use seawall_repo::time::Time;
use seawall_repo::wal_index::SegmentIndex;

use super::judge::{Judge, Wanted};
use super::names::{Names, Snapshot};
use super::reach::Reach;
use super::read;
use super::report::{Candidate, FindReport, NotAsked, SnapshotLine};
use crate::archive::chapters::{Untold, WalSays, Whose};
use crate::archive::inventory::{self, WalInventories};
use crate::backup::requests;
use crate::error::{Error, Kind, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::{BackupEntry, Repository};

/// Lists of names that are used at most.
const SNAPSHOTS_MAX: usize = 4;
/// Findings of one kind that are listed.
const FINDINGS_MAX: usize = 50;

/// One end of what is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// By the server's clock at commit.
    Time(Time),
    /// By position.
    Lsn(Lsn),
}

/// Where and what to look for.
#[derive(Debug, Clone)]
pub struct FindOptions {
    /// What.
    pub wanted: Wanted,
    /// From where.
    pub since: Bound,
    /// To where; the end of what was archived where unset.
    pub until: Option<Bound>,
    /// On the way to which timeline; the newest where unset.
    pub timeline: Option<Timeline>,
    /// Candidates that are told; those that weigh most.
    pub limit: usize,
}

/// Looks.
///
/// # Errors
/// There is no backup, no such timeline, or no region that answers.
pub async fn run(
    repository: &Repository,
    options: &FindOptions,
    monitor: &dyn Monitor,
) -> Result<FindReport> {
    monitor.phase("listing backups and WAL", None);
    let catalog = repository.catalog().await?;
    let mut findings = catalog.refused;
    let newest = catalog.backups.last().ok_or_else(|| {
        Error::data("repository.no-backup", "there is no backup, so no moment can be recovered to")
            .hint("take one with: seawall backup")
    })?;
    let (place, size) = (newest.place.clone(), newest.header.segment_size);
    let backups: Vec<&BackupEntry> = catalog.backups.iter().filter(|entry| entry.place == place).collect();
    let wal = inventory::load(repository, &place, size).await?;
    findings.extend(wal.findings.clone());
    let timeline = options.timeline.or_else(|| wal.merged.timelines.keys().max().copied());
    let timeline = timeline.unwrap_or(newest.header.timeline);
    let history = wal.histories.get(&timeline).ok_or_else(|| {
        Error::data("find.no-history", format!("nobody knows the way to timeline {timeline}"))
            .hint("seawall status shows the timelines; name another one with --timeline")
    })?;
    let version = Version::from_major(u32::from(newest.header.postgresql)).ok();
    let of = version.map(|version| WalOf { version, system: place.system, size });
    let way = Way { repository, place: &place, wal: &wal, history, size, of };
    let (first, last) = way.range(&backups, options).await?;

    monitor.phase("reading the names of relations", None);
    let names = way.names(&backups, first, &mut findings).await?;
    let snapshots = names.snapshots.iter().map(line).collect();
    let wanted = wanted(options);
    let mut judge = Judge::new(names, &wanted);
    let segments = way.read(first, last, &mut judge, &mut findings, monitor).await?;
    judge.finish();
    way.name_from_wal(&mut judge, &wanted, &mut findings).await?;
    way.begin_of_drops(&mut judge.candidates, &mut findings).await?;
    let reach = Reach::new(&backups, &wal, history, size);
    for candidate in &mut judge.candidates {
        candidate.from_backup = reach.backup(candidate.target.lsn);
    }
    findings.extend(repository.take_findings());

    let (candidates, cut) = limited(judge.candidates, options.limit);
    let (from, to) = way.span(first, last);
    Ok(FindReport {
        cluster: place.cluster.to_string(),
        system: place.system.to_string(),
        timeline,
        other_timelines: wal.merged.timelines.len() > 1,
        from,
        to,
        segments,
        transactions: judge.transactions,
        candidates,
        candidates_more: judge.candidates_more + cut,
        events: judge.events,
        events_more: judge.events_more,
        snapshots,
        requests: requests(repository.regions()),
        findings,
    })
}

/// The bounds as the judge takes them.
fn wanted(options: &FindOptions) -> Wanted {
    let mut wanted = options.wanted.clone();
    match options.since {
        Bound::Time(time) => wanted.since = Some(time),
        Bound::Lsn(lsn) => wanted.since_lsn = Some(lsn),
    }
    match options.until {
        Some(Bound::Time(time)) => wanted.until = Some(time),
        Some(Bound::Lsn(lsn)) => wanted.until_lsn = Some(lsn),
        None => {}
    }
    wanted
}

/// Those that weigh most, and of these the newest; in the order of WAL again.
fn limited(mut all: Vec<Candidate>, limit: usize) -> (Vec<Candidate>, u64) {
    if all.len() <= limit {
        return (all, 0);
    }
    all.sort_by_key(|candidate| std::cmp::Reverse((candidate.weight, candidate.lsn)));
    let cut = all.split_off(limit).len() as u64;
    all.sort_by_key(|candidate| candidate.lsn);
    (all, cut)
}

fn line(snapshot: &Snapshot) -> SnapshotLine {
    let coverage = &snapshot.coverage;
    let databases = coverage.databases.iter();
    SnapshotLine {
        backup: snapshot.backup,
        taken: coverage.taken,
        relations: databases.clone().map(|one| one.relations).sum(),
        left_out: databases.clone().map(|one| one.left_out).sum(),
        not_asked: databases
            .filter_map(|one| Some(NotAsked { database: one.name.clone(), reason: one.not_asked.clone()? }))
            .collect(),
    }
}

/// The WAL on the way to a timeline.
pub(super) struct Way<'a> {
    pub(super) repository: &'a Repository,
    pub(super) place: &'a Place,
    pub(super) wal: &'a WalInventories,
    pub(super) history: &'a History,
    pub(super) size: WalSegmentSize,
    /// As whom records are read; none of a server that is not known.
    pub(super) of: Option<WalOf>,
}

impl Way<'_> {
    /// The first and the last segment to look at.
    async fn range(&self, backups: &[&BackupEntry], options: &FindOptions) -> Result<(SegmentNo, SegmentNo)> {
        let (oldest, end) = self.ends()?;
        let last = match options.until {
            Some(Bound::Lsn(lsn)) => self.size.segment_of(lsn).min(end),
            _ => end,
        };
        let first = match options.since {
            // One more, by whose numbers it is known which transactions had begun before.
            Bound::Lsn(lsn) => SegmentNo(self.size.segment_of(lsn).0.saturating_sub(1)).max(oldest),
            Bound::Time(time) => self.since(time, backups, oldest, end).await?,
        };
        Ok((first.min(last), last))
    }

    /// The oldest and newest segment on the way.
    fn ends(&self) -> Result<(SegmentNo, SegmentNo)> {
        let mut ends: Option<(SegmentNo, SegmentNo)> = None;
        for span in self.history.spans() {
            let Some(wal) = self.wal.merged.timelines.get(&span.timeline) else { continue };
            for range in wal.segments.as_slice() {
                let serves = |number: &SegmentNo| {
                    self.history.timeline_of_segment(*number, self.size) == span.timeline
                };
                // A range reaches over the end of its timeline by a segment or few.
                let first = numbers(range.first, range.last).find(serves);
                let last = numbers(range.first, range.last).rev().find(serves);
                if let (Some(first), Some(last)) = (first, last) {
                    ends = Some(ends.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
                }
            }
        }
        ends.ok_or_else(|| {
            Error::data("find.no-wal", format!("no WAL was archived on timeline {}", self.history.timeline()))
                .hint("seawall status shows what there is")
        })
    }

    /// The segment to begin with: by halves, from what segments say of their commits. Clocks go back now and then, so one more.
    async fn since(
        &self,
        time: Time,
        backups: &[&BackupEntry],
        oldest: SegmentNo,
        end: SegmentNo,
    ) -> Result<SegmentNo> {
        let before = backups.iter().filter(|entry| {
            entry.header.stopped <= time
                && self.history.timeline_at(entry.header.start) == entry.header.timeline
        });
        let from = before.map(|entry| self.size.segment_of(entry.header.start)).max().unwrap_or(oldest);
        let (mut low, mut high) = (from.clamp(oldest, end), end);
        while low < high {
            let middle = SegmentNo(low.0 + (high.0 - low.0) / 2);
            match self.latest_commit(middle, high).await? {
                Some((at, latest)) if latest < time => low = SegmentNo(at.0 + 1),
                // Nothing there says when it was: all of it is looked at.
                _ => high = middle,
            }
        }
        Ok(SegmentNo(low.0.saturating_sub(1)).max(oldest))
    }

    /// The latest commit in the first segment from `from` on, before `end`, that has one.
    async fn latest_commit(&self, from: SegmentNo, end: SegmentNo) -> Result<Option<(SegmentNo, Time)>> {
        for number in numbers(from, end).take(16) {
            let Some(segment) = self.name(number) else { continue };
            let (repository, place, size) = (self.repository, self.place, self.size);
            let says = WalSays { repository, place, size, whose: Whose::Anyones };
            match says.segment(segment).await {
                Ok(SegmentIndex { commits: Some(commits), .. }) => return Ok(Some((number, commits.latest))),
                Err(Untold::Unread(error)) if error.kind() == Kind::Unavailable => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    pub(super) fn name(&self, number: SegmentNo) -> Option<SegmentName> {
        let timeline = self.history.timeline_of_segment(number, self.size);
        SegmentName::new(timeline, number, self.size).ok().filter(|_| self.wal.merged.has(timeline, number))
    }

    fn span(&self, first: SegmentNo, last: SegmentNo) -> (Lsn, Lsn) {
        (first.first_lsn(self.size).unwrap_or(Lsn(0)), last.last_lsn(self.size))
    }

    /// Lists of the backup before, some in between, and the newest.
    async fn names(
        &self,
        backups: &[&BackupEntry],
        first: SegmentNo,
        findings: &mut Vec<Finding>,
    ) -> Result<Names> {
        if !self.repository.opens_content() {
            findings.push(Finding {
                id: "find.no-names",
                what: "relations are told by number: their names are content, which the keys at hand do not open"
                    .to_owned(),
                hint: Some("bring the identity from the safe: --identity FILE".to_owned()),
            });
            return Ok(Names::default());
        }
        let start = first.first_lsn(self.size).unwrap_or(Lsn(0));
        let on_way = backups
            .iter()
            .filter(|entry| self.history.timeline_at(entry.header.start) == entry.header.timeline);
        let mut chosen: Vec<&BackupEntry> = on_way.copied().collect();
        chosen.sort_by_key(|entry| entry.header.start);
        let earlier = chosen.iter().filter(|entry| entry.header.start <= start).count();
        chosen.drain(..earlier.saturating_sub(1));
        while chosen.len() > SNAPSHOTS_MAX {
            // Both ends stay; what lies between is thinned from the middle.
            chosen.remove(chosen.len() / 2);
        }
        let mut snapshots = Vec::new();
        for entry in chosen {
            match read::lists(self.repository, self.place, entry.id).await {
                Ok(Some(snapshot)) => snapshots.push(snapshot),
                Ok(None) => findings.push(Finding {
                    id: "find.no-list",
                    what: format!("backup {} has no list of names: it is of an older release", entry.id),
                    hint: Some("take a new one: seawall backup".to_owned()),
                }),
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => findings.push(Finding {
                    id: "find.names-unreadable",
                    what: format!("the names in backup {} cannot be read: {error}", entry.id),
                    hint: Some("seawall verify says what is damaged".to_owned()),
                }),
            }
        }
        Ok(Names::new(snapshots))
    }
}

pub(super) fn told(findings: &mut Vec<Finding>, id: &'static str, what: String) {
    if findings.iter().filter(|known| known.id == id).count() < FINDINGS_MAX {
        let hint =
            "what happened there can be read with: seawall debug wal SEGMENT --identity FILE".to_owned();
        findings.push(Finding { id, what, hint: Some(hint) });
    }
}

pub(super) fn numbers(
    first: SegmentNo,
    last: SegmentNo,
) -> impl DoubleEndedIterator<Item = SegmentNo> + Clone {
    (first.0..=last.0).map(SegmentNo)
}
