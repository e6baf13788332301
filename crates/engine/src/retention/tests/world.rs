//! Random histories: lineages, timelines, holes, wrong clocks, floods, doubled and missing backups, in zones with odd clocks.

use std::collections::BTreeMap;

use seawall_pg::{History, HistoryFile, Lsn, SegmentNo, Switch, SystemIdentifier, Timeline, WalSegmentSize};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use seawall_store::RegionName;

use crate::retention::{Input, Lineage, Point, Policy, Span, WalMap, WalRun};

pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 24 * HOUR;
const MIB: u64 = 1 << 20;

/// SplitMix64: the same history for the same number.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1).unsigned_abs()).cast_signed()
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

pub(super) fn at(seconds: i64) -> Time {
    Time::from_micros(seconds * 1_000_000).unwrap()
}

pub(super) fn civil(text: &str) -> Time {
    at(text.parse::<jiff::Timestamp>().unwrap().as_second())
}

pub(super) fn system(number: u64) -> SystemId {
    SystemIdentifier(7_000 + number)
}

pub(super) fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

pub(super) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(super) fn id(seconds: u64, number: u64) -> BackupId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seconds.to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    BackupId::from_bytes(bytes).unwrap()
}

/// The WAL of one system: each segment and when it was stored.
pub(super) type Segments = BTreeMap<(Timeline, u64), Time>;

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) points: Vec<Point>,
    pub(super) lineages: Vec<Lineage>,
    pub(super) histories: BTreeMap<(SystemId, Timeline), History>,
    pub(super) segments: BTreeMap<SystemId, Segments>,
    pub(super) wal: BTreeMap<SystemId, WalMap>,
    pub(super) policy: Policy,
    pub(super) now: Time,
    pub(super) regions: Vec<RegionName>,
}

impl World {
    pub(super) fn empty(now: Time, policy: Policy) -> Self {
        Self {
            points: Vec::new(),
            lineages: Vec::new(),
            histories: BTreeMap::new(),
            segments: BTreeMap::new(),
            wal: BTreeMap::new(),
            policy,
            now,
            regions: vec![region("north"), region("south")],
        }
    }

    pub(super) fn input(&self) -> Input<'_> {
        Input {
            points: &self.points,
            lineages: &self.lineages,
            histories: &self.histories,
            wal: &self.wal,
            policy: &self.policy,
            now: self.now,
            regions: &self.regions,
        }
    }

    /// Makes the map of WAL from its segments: runs of contiguous numbers stored on one day.
    pub(super) fn map_wal(&mut self) {
        self.wal = self.segments.iter().map(|(system, segments)| (*system, map_of(segments))).collect();
    }

    /// Makes the map with a run for each segment.
    pub(super) fn map_each_segment(&mut self) {
        self.map_wal();
        for (system, map) in &mut self.wal {
            map.timelines.clear();
            for ((timeline, number), stored) in &self.segments[system] {
                let number = SegmentNo(*number);
                let run = WalRun { first: number, last: number, first_stored: *stored, last_stored: *stored };
                map.timelines.entry(*timeline).or_default().push(run);
            }
        }
    }

    pub(super) fn random(number: u64) -> Self {
        let mut dice = Dice::new(number);
        // Ends in weeks in which clocks were turned, a day was left out, a leap day passed.
        let ends = [
            ("Europe/Berlin", "2026-10-25T02:30:00Z"),
            ("Europe/Berlin", "2026-03-29T03:10:00Z"),
            ("America/Sao_Paulo", "2018-11-04T03:30:00Z"),
            ("America/Sao_Paulo", "2018-02-18T03:30:00Z"),
            ("Pacific/Apia", "2011-12-31T12:00:00Z"),
            ("Asia/Kolkata", "2024-03-01T00:00:00Z"),
            ("UTC", "2027-01-03T12:00:00Z"),
        ];
        let (zone, end) = *dice.pick(&ends);
        let now = civil(end).micros() / 1_000_000 + dice.between(-3 * DAY, 20 * DAY);
        let mut world = Self::empty(at(now), policy(&mut dice, zone));
        let days = *dice.pick(&[3, 20, 60, 200]);
        let begin = now - days * DAY;
        let systems = dice.below(3) + 1;
        for number in 0..systems {
            let last = number + 1 == systems;
            let from = begin + (now - begin) * number.cast_signed() / systems.cast_signed();
            let overlap = dice.between(0, 3) * DAY;
            let to =
                if last { now } else { (from + (now - begin) / systems.cast_signed() + overlap).min(now) };
            if !dice.chance(5) {
                let after = number.checked_sub(1).filter(|_| dice.chance(85)).map(system);
                world.lineages.push(Lineage { system: system(number), after, adopted: at(from) });
            }
            Life { world: &mut world, dice: &mut dice, system: system(number), lsn: 3 * MIB, branches: 1 }
                .live(from, to, days);
        }
        world.map_wal();
        world
    }
}

pub(super) fn map_of(segments: &Segments) -> WalMap {
    let size = WalSegmentSize::new(1 << 20).unwrap();
    let mut timelines: BTreeMap<Timeline, Vec<WalRun>> = BTreeMap::new();
    for ((timeline, number), stored) in segments {
        let runs = timelines.entry(*timeline).or_default();
        let day = |time: Time| time.seconds() / 86_400;
        match runs.last_mut() {
            Some(run) if run.last.0 + 1 == *number && day(run.first_stored) == day(*stored) => {
                run.last = SegmentNo(*number);
                run.first_stored = run.first_stored.min(*stored);
                run.last_stored = run.last_stored.max(*stored);
            }
            _ => runs.push(WalRun {
                first: SegmentNo(*number),
                last: SegmentNo(*number),
                first_stored: *stored,
                last_stored: *stored,
            }),
        }
    }
    WalMap { size, timelines }
}

fn policy(dice: &mut Dice, zone: &str) -> Policy {
    let mut count = |most: u64| {
        if dice.chance(50) { u32::try_from(dice.below(most + 1)).unwrap() } else { 0 }
    };
    let (last, hourly, daily) = (count(5), count(30), count(20));
    let (weekly, monthly, yearly, min_backups) = (count(6), count(4), count(2), count(4));
    let mut span =
        |percent: u64, days: u64| dice.chance(percent).then(|| Span::seconds(dice.below(days * 86_400) + 1));
    let (within, pitr) = (span(30, 20), span(60, 40));
    Policy {
        last,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        within,
        pitr,
        max_age: None,
        min_backups,
        zone: zone.to_owned(),
    }
}

/// One lineage as it grows.
struct Life<'w> {
    world: &'w mut World,
    dice: &'w mut Dice,
    system: SystemId,
    lsn: u64,
    branches: u32,
}

impl Life<'_> {
    fn live(mut self, from: i64, to: i64, days: i64) {
        let mut now = from;
        let mut on = timeline(1);
        let usual = (days * DAY / 40).clamp(HOUR, 2 * DAY);
        while now < to {
            self.write(on, now);
            if self.dice.chance(60) {
                self.backup(on, now);
            }
            if self.dice.chance(3) {
                // Everything doubled: a host that runs its timer twice, or worse.
                for _ in 0..self.dice.below(6) {
                    self.backup(on, now + self.dice.clone().between(0, 600));
                }
            }
            if self.dice.chance(4) {
                on = self.branch(on, now);
            } else if self.dice.chance(3) && on != timeline(1) {
                // The old branch goes on beside the new one.
                self.write(timeline(1), now);
                self.backup(timeline(1), now);
            }
            // Now and then nothing at all happens for a while.
            let pause = if self.dice.chance(3) { days * DAY / 10 } else { 0 };
            now += self.dice.between(usual / 4, usual) + pause;
        }
    }

    fn segments(&mut self) -> &mut Segments {
        self.world.segments.entry(self.system).or_default()
    }

    /// Archives up to a few segments; sometimes one is lost, sometimes it comes late.
    fn write(&mut self, on: Timeline, now: i64) {
        for _ in 0..self.dice.below(4) {
            let number = self.lsn / MIB;
            self.lsn += MIB;
            if self.dice.chance(96) {
                let late = if self.dice.chance(3) { self.dice.between(0, 3 * DAY) } else { 0 };
                let stored = at((now + late).min(self.world.now.seconds().cast_signed()));
                self.segments().insert((on, number), stored);
            }
        }
    }

    fn branch(&mut self, from: Timeline, now: i64) -> Timeline {
        self.branches += 1;
        let new = timeline(self.branches);
        let back = if self.dice.chance(30) { self.dice.below(5) * MIB } else { 0 };
        self.lsn = self.lsn.saturating_sub(back).max(4 * MIB) + self.dice.below(MIB);
        let mut switches: Vec<Switch> = Vec::new();
        let parent = self.world.histories.get(&(self.system, from)).cloned().unwrap_or(History::root(from));
        for (left, _, position) in parent.switches() {
            switches.push(Switch { parent: left, at: position, reason: String::new() });
        }
        // A branch does not begin before its parent did.
        let begin = switches.last().map_or(Lsn(0), |switch| switch.at);
        self.lsn = self.lsn.max(begin.0);
        switches.push(Switch { parent: from, at: Lsn(self.lsn), reason: String::new() });
        if self.dice.chance(95) {
            let history = History::from_file(&HistoryFile { timeline: new, switches });
            self.world.histories.insert((self.system, new), history);
        }
        let number = self.lsn / MIB;
        self.segments().insert((new, number), at(now));
        self.lsn = (number + 1) * MIB;
        new
    }

    fn backup(&mut self, on: Timeline, now: i64) {
        let start = self.lsn + self.dice.below(MIB);
        let length = self.dice.below(3);
        let first = start / MIB;
        for number in first..=first + length {
            if self.dice.chance(97) {
                self.segments().insert((on, number), at(now));
            }
        }
        let stop = (first + length) * MIB + self.dice.below(MIB - 2) + 2;
        let stop = stop.max(start + 1);
        if !self.dice.chance(15) {
            self.lsn = (stop / MIB + 1) * MIB;
        }
        let end = self.world.now.seconds().cast_signed();
        let stored = (now + self.dice.between(0, 2 * HOUR)).min(end);
        let claimed = match self.dice.below(25) {
            0 => stored + self.dice.between(-400 * DAY, 400 * DAY),
            1 => stored + self.dice.between(-10 * DAY, 10 * DAY),
            _ => stored - self.dice.between(0, HOUR),
        };
        let missing = (first..=(stop - 1) / MIB).any(|number| !self.segments().contains_key(&(on, number)));
        let unfit = match self.dice.below(14) {
            _ if missing => Some("WAL is missing".to_owned()),
            0 => Some("1 damaged page".to_owned()),
            _ => None,
        };
        let regions = self.world.regions.clone().into_iter().filter(|_| self.dice.chance(90)).collect();
        let holds = if self.dice.chance(2) { vec!["court".to_owned()] } else { Vec::new() };
        self.world.points.push(Point {
            id: id(stored.unsigned_abs(), self.dice.roll()),
            system: self.system,
            timeline: on,
            start: Lsn(start),
            stop: Lsn(stop),
            stop_timeline: on,
            stored: at(stored),
            claimed: at(claimed),
            oldest_bytes: None,
            unfit,
            regions,
            holds,
        });
    }
}
