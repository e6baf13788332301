//! Looks for accidents. Reads only; commits nothing.

use futures::StreamExt as _;
use seawall_pg::wal::WalOf;
use seawall_pg::{History, Lsn, SegmentName, SegmentNo, Timeline, Version, WalSegmentSize};
use seawall_repo::layout::Place;
use seawall_repo::time::Time;
use seawall_repo::wal_index::Begins;

use super::dropped_database;
use super::judge::{Judge, Operation, Wanted};
use super::names::{Names, Snapshot};
use super::read::{self, Says};
use super::report::{Candidate, FindReport, NotAsked, SnapshotLine};
use crate::archive::inventory::{self, WalInventories};
use crate::backup::requests;
use crate::error::{Error, Kind, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::{BackupEntry, Repository};

/// Segments that are read at the same time.
const AHEAD: usize = 8;
/// Segments before the one in which a database's files go in which its dropping may have begun: a checkpoint lies between.
const DROP_SEGMENTS: u64 = 4;
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
    let way = Way { repository, place: &place, wal: &wal, history, size };
    let (first, last) = way.range(&backups, options).await?;

    monitor.phase("reading the names of relations", None);
    let names = way.names(&backups, first, &mut findings).await?;
    let snapshots = names.snapshots.iter().map(line).collect();
    let wanted = wanted(options);
    let mut judge = Judge::new(names, &wanted);
    let segments = way.read(first, last, &mut judge, &mut findings, monitor).await?;
    judge.finish();
    way.begin_of_drops(&mut judge.candidates, newest.header.postgresql, &mut findings).await?;
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
struct Way<'a> {
    repository: &'a Repository,
    place: &'a Place,
    wal: &'a WalInventories,
    history: &'a History,
    size: WalSegmentSize,
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
            if let Ok((index, _)) = read::says(self.repository, self.place, segment).await?.what
                && let Some(commits) = index.commits
            {
                return Ok(Some((number, commits.latest)));
            }
        }
        Ok(None)
    }

    fn name(&self, number: SegmentNo) -> Option<SegmentName> {
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

    /// Puts the target of each dropped database before all that cannot be taken back.
    async fn begin_of_drops(
        &self,
        candidates: &mut [Candidate],
        major: u16,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let dropped = candidates.iter_mut().filter(|one| one.operation == Operation::DropDatabase);
        for candidate in dropped {
            let why = match self.marked(candidate, major).await {
                Ok(Ok(Some(lsn))) => {
                    candidate.hint = Some(format!(
                        "ends before the database was marked as invalid, at {lsn}, not before its files went, at {}: what \
                         committed between the two is lost with it",
                        candidate.lsn
                    ));
                    candidate.target.lsn = lsn;
                    continue;
                }
                // Nothing was written before: an older minor release.
                Ok(Ok(None)) => continue,
                Ok(Err(why)) => why,
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => error.to_string(),
            };
            candidate.hint = Some(
                "where it began could not be read: if the restored database is invalid, end some transactions earlier"
                    .to_owned(),
            );
            told(
                findings,
                "find.not-looked-at",
                format!("where DROP DATABASE at {} began: {why}", candidate.lsn),
            );
        }
        Ok(())
    }

    async fn marked(
        &self,
        candidate: &Candidate,
        major: u16,
    ) -> Result<std::result::Result<Option<Lsn>, String>> {
        let Ok(version) = Version::from_major(u32::from(major)) else {
            return Ok(Err(format!("PostgreSQL {major} is not known")));
        };
        if !self.repository.opens_content() {
            return Ok(Err("records are content, which the keys at hand do not open".to_owned()));
        }
        let of = WalOf { version, system: self.place.system, size: self.size };
        let number = self.size.segment_of(candidate.lsn);
        let before = SegmentNo(number.0.saturating_sub(DROP_SEGMENTS));
        let mut segments: Vec<SegmentName> = Vec::new();
        for number in numbers(before, number) {
            match self.name(number) {
                Some(name) => segments.push(name),
                None => segments.clear(),
            }
        }
        let database = candidate.database.unwrap_or_default();
        let repository = self.repository;
        dropped_database::marked(repository, self.place, of, &segments, database, candidate.lsn).await.map(Ok)
    }

    /// Reads all segments in order; how many could be looked at.
    async fn read(
        &self,
        first: SegmentNo,
        last: SegmentNo,
        judge: &mut Judge<'_>,
        findings: &mut Vec<Finding>,
        monitor: &dyn Monitor,
    ) -> Result<u64> {
        let count = last.0.saturating_sub(first.0).saturating_add(1);
        monitor.phase("reading what segments say", Some(count.saturating_mul(self.size.bytes())));
        let mut reading = futures::stream::iter(numbers(first, last))
            .map(|number| async move {
                let Some(segment) = self.name(number) else { return Ok((number, None)) };
                read::says(self.repository, self.place, segment).await.map(|says| (number, Some(says)))
            })
            .buffered(AHEAD)
            .boxed_local();
        let (mut segments, mut hole) = (0, Hole::default());
        let mut begun = false;
        while let Some(one) = reading.next().await {
            let (number, says) = one?;
            monitor.advance(self.size.bytes());
            let Some(Says { segment, what }) = says else {
                hole.add(number);
                continue;
            };
            hole.close(self, findings);
            match what {
                Ok((index, transactions)) => {
                    segments += 1;
                    let untold = !index.untold.is_empty() || (begun && index.begins == Begins::UnknownRest);
                    if untold {
                        told(
                            findings,
                            "find.untold",
                            format!("what a record that goes on in segment {segment} did is told by none"),
                        );
                    }
                    judge.segment(&index.marks, &transactions);
                }
                Err(why) => told(
                    findings,
                    "find.not-looked-at",
                    format!("segment {segment} was not looked at: {why}"),
                ),
            }
            begun = true;
        }
        hole.close(self, findings);
        Ok(segments)
    }
}

/// Segments that are not there, one after the other.
#[derive(Default)]
struct Hole(Option<(SegmentNo, SegmentNo)>);

impl Hole {
    fn add(&mut self, number: SegmentNo) {
        self.0 = Some(self.0.map_or((number, number), |(first, _)| (first, number)));
    }

    fn close(&mut self, way: &Way<'_>, findings: &mut Vec<Finding>) {
        let Some((first, last)) = self.0.take() else { return };
        let name = |number| {
            let timeline = way.history.timeline_of_segment(number, way.size);
            SegmentName::new(timeline, number, way.size)
                .map_or_else(|_| number.0.to_string(), |name| name.to_string())
        };
        let what = format!("WAL is missing: segments {} to {} were not looked at", name(first), name(last));
        told(findings, "find.hole", what);
    }
}

fn told(findings: &mut Vec<Finding>, id: &'static str, what: String) {
    if findings.iter().filter(|known| known.id == id).count() < FINDINGS_MAX {
        let hint =
            "what happened there can be read with: seawall debug wal SEGMENT --identity FILE".to_owned();
        findings.push(Finding { id, what, hint: Some(hint) });
    }
}

fn numbers(first: SegmentNo, last: SegmentNo) -> impl DoubleEndedIterator<Item = SegmentNo> + Clone {
    (first.0..=last.0).map(SegmentNo)
}
