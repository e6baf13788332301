//! A thousand simulated days of backups under the real planner: what a restore reads, and what everything kept takes.
//!
//! Holds the bounds of `seawall_repo::compact`: read at most 1.6 times the pages of the newest backup, space at most
//! 2.2 times the distinct pages of all backups kept (30 daily, 12 weekly, 12 of four weeks). Prints the figures; run it
//! with `--nocapture`. Simulates packs of 32 pages: the granularity of frames below that changes nothing, since a
//! restore joins near frames of a well-used pack anyway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its figures are read"
)]

use std::time::Duration;

use seawall_repo::compact::{
    BackupWork, CompactionRule, PackInUse, ParentCandidate, ParentRule, Temperature, Tier, choose_parent,
    plan,
};
use seawall_repo::id::BackupId;
use seawall_repo::pack::PackId;

const DAYS: u16 = 1_000;
const PAGES: usize = 8_000;
const PAGES_PER_PACK: u32 = 32;
const READ_MAX: f64 = 1.6;
const SPACE_MAX: f64 = 2.2;
const NO_PACK: u32 = u32::MAX;

/// SplitMix64: the same figures on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
enum Workload {
    /// 1 % of the pages a day, anywhere.
    Uniform,
    /// Page number k is written in proportion to 1/k: 3 % draws, about 1.8 % of the pages a day.
    Zipf,
    /// Grows by 0.2 % a day; a few changes among the newest twentieth.
    Append,
    /// Once a week a tenth is rewritten in one piece; 0.1 % anywhere every day.
    Batch,
    /// 8 % of the pages a day, anywhere.
    Heavy,
}

impl Workload {
    /// The pages written on a day; those past the end make the cluster grow.
    fn writes(self, day: u16, pages: usize, dice: &mut Dice) -> Vec<usize> {
        let scattered = |count: usize, dice: &mut Dice| (0..count).map(|_| dice.below(pages)).collect();
        match self {
            Self::Uniform => scattered(pages / 100, dice),
            Self::Heavy => scattered(pages * 8 / 100, dice),
            Self::Zipf => (0..pages * 3 / 100)
                .map(|_| (pages as f64).powf(dice.unit()) as usize * 7_919 % pages)
                .collect(),
            Self::Append => {
                let grown = pages + pages / 500;
                let late = (0..pages / 1_000).map(|_| grown - 1 - dice.below(pages / 20)).collect::<Vec<_>>();
                (pages..grown).chain(late).collect()
            }
            Self::Batch => {
                let first = dice.below(pages - pages / 10);
                let batch = if day % 7 == 3 { first..first + pages / 10 } else { 0..0 };
                batch.chain(scattered(pages / 1_000, dice)).collect()
            }
        }
    }
}

/// One backup: for each page the day of its content and the pack that holds it.
struct Backup {
    day: u16,
    content: Vec<u16>,
    packs: Vec<u32>,
}

fn tier(day: u16) -> Tier {
    match day {
        day if day % 28 == 0 => Tier::Monthly,
        day if day % 7 == 0 => Tier::Weekly,
        _ => Tier::Daily,
    }
}

fn is_kept(backup: &Backup, today: u16) -> bool {
    let age = today - backup.day;
    let tier = tier(backup.day);
    age < 30 || (tier >= Tier::Weekly && age < 12 * 7) || (tier == Tier::Monthly && age < 12 * 28)
}

#[derive(Default)]
struct Packs {
    pages_stored: Vec<u32>,
    born: Vec<u16>,
    marks: Vec<u32>,
    round: u32,
}

impl Packs {
    /// Puts one page into the pack `open`, or into a new one when that is full or none is open.
    fn store(&mut self, open: &mut u32, today: u16) -> u32 {
        if *open == NO_PACK || self.pages_stored[*open as usize] >= PAGES_PER_PACK {
            *open = self.pages_stored.len() as u32;
            self.pages_stored.push(0);
            self.born.push(today);
        }
        self.pages_stored[*open as usize] += 1;
        *open
    }

    fn age(&self, pack: u32, today: u16) -> Duration {
        Duration::from_secs(u64::from(today - self.born[pack as usize]) * 24 * 3600)
    }

    /// Pages stored in the packs of a list that names some many times. Marks packs instead of sorting the list: this
    /// is most of what the model does.
    fn stored_in(&mut self, used: impl Iterator<Item = u32>) -> u64 {
        self.round += 1;
        self.marks.resize(self.pages_stored.len(), 0);
        let mut pages = 0;
        for pack in used {
            let mark = &mut self.marks[pack as usize];
            if *mark != self.round {
                *mark = self.round;
                pages += u64::from(self.pages_stored[pack as usize]);
            }
        }
        pages
    }
}

struct Model {
    content: Vec<u16>,
    packs: Packs,
    backups: Vec<Backup>,
    /// Scratch of `compact`: the pages in each pack. Empty between backups.
    pages_of: Vec<Vec<u32>>,
    rule: CompactionRule,
    parent_rule: ParentRule,
    change_per_day: f64,
}

fn pack_id(number: u32) -> PackId {
    PackId { backup: BackupId::from_bytes([0; 16]).unwrap(), number }
}

fn backup_id(day: u16) -> BackupId {
    BackupId::from_bytes((u128::from(day) << 64).to_le_bytes()).unwrap()
}

impl Model {
    fn new(rule: CompactionRule, parent_rule: ParentRule) -> Self {
        let mut packs = Packs::default();
        let mut open = NO_PACK;
        let places = (0..PAGES).map(|_| packs.store(&mut open, 0)).collect();
        let first = Backup { day: 0, content: vec![0; PAGES], packs: places };
        let content = first.content.clone();
        Self {
            content,
            packs,
            backups: vec![first],
            pages_of: Vec::new(),
            rule,
            parent_rule,
            change_per_day: 0.0,
        }
    }

    fn parent_index(&self, today: u16) -> usize {
        let candidates: Vec<_> = self
            .backups
            .iter()
            .map(|b| ParentCandidate { backup: backup_id(b.day), tier: tier(b.day) })
            .collect();
        let choice = choose_parent(&candidates, tier(today), self.change_per_day, &self.parent_rule).unwrap();
        candidates.iter().position(|candidate| candidate.backup == choice.backup).unwrap()
    }

    /// Takes a backup; returns pages changed and pages rewritten.
    fn back_up(&mut self, today: u16) -> (u64, u64) {
        let parent = self.parent_index(today);
        let days = u32::from(today - self.backups[parent].day);
        let (mut places, changed) = self.store_changes(parent, today);
        if days == 1 {
            self.change_per_day = changed as f64 / places.len() as f64;
        }
        let since_parent = Duration::from_secs(24 * 3600) * days;
        let rewritten = self.compact(&mut places, BackupWork { pages_changed: changed, since_parent }, today);
        self.backups.push(Backup { day: today, content: self.content.clone(), packs: places });
        self.backups.retain(|backup| is_kept(backup, today));
        (changed, rewritten)
    }

    fn store_changes(&mut self, parent: usize, today: u16) -> (Vec<u32>, u64) {
        let Self { content, packs, backups, .. } = self;
        let parent = &backups[parent];
        let mut places = parent.packs.clone();
        places.resize(content.len(), NO_PACK);
        let (mut hot, mut cold, mut changed) = (NO_PACK, NO_PACK, 0);
        for (page, place) in places.iter_mut().enumerate() {
            if parent.content.get(page) == Some(&content[page]) {
                continue;
            }
            let known = *place != NO_PACK && packs.born[*place as usize] > 0;
            let age = known.then(|| packs.age(*place, today));
            let open = match Temperature::of_changed_page(age) {
                Temperature::Hot => &mut hot,
                Temperature::Cold => &mut cold,
            };
            *place = packs.store(open, today);
            changed += 1;
        }
        (places, changed)
    }

    fn compact(&mut self, places: &mut [u32], work: BackupWork, today: u16) -> u64 {
        let Self { packs, pages_of, .. } = self;
        pages_of.resize(packs.pages_stored.len(), Vec::new());
        let mut used = Vec::new();
        for (page, &place) in places.iter().enumerate() {
            let pages = &mut pages_of[place as usize];
            if pages.is_empty() {
                used.push(place);
            }
            pages.push(page as u32);
        }
        let in_use: Vec<_> = used
            .iter()
            .map(|&pack| PackInUse {
                pack: pack_id(pack),
                pages_in_use: pages_of[pack as usize].len() as u64,
                pages_stored: packs.pages_stored[pack as usize].into(),
                age: packs.age(pack, today),
            })
            .collect();
        let plan = plan(&in_use, work, &self.rule);
        let mut open = NO_PACK;
        for planned in plan.rewrites() {
            for &page in &pages_of[planned.pack.number as usize] {
                places[page as usize] = packs.store(&mut open, today);
            }
        }
        used.iter().for_each(|pack| pages_of[*pack as usize].clear());
        plan.rewrite_pages
    }

    fn read_factor(&mut self) -> f64 {
        let newest = &self.backups.last().unwrap().packs;
        self.packs.stored_in(newest.iter().copied()) as f64 / newest.len() as f64
    }

    fn space_factor(&mut self) -> f64 {
        let stored =
            self.packs.stored_in(self.backups.iter().flat_map(|backup| backup.packs.iter().copied()));
        // Content only moves forward, so distinct contents of a page are the changes between neighbours.
        let changes = |pair: &[Backup]| {
            let same = pair[0].content.iter().zip(&pair[1].content).filter(|(old, new)| old == new).count();
            pair[1].content.len() - same
        };
        let needed = self.backups[0].content.len() + self.backups.windows(2).map(changes).sum::<usize>();
        stored as f64 / needed as f64
    }
}

/// Factors of what is needed, and pages changed and rewritten over all days, in clusters.
#[derive(Debug)]
struct Figures {
    read_max: f64,
    space_max: f64,
    /// Mean of the last year, when the first full backup no longer counts.
    space_late: f64,
    changed: f64,
    rewritten: f64,
}

fn simulate(workload: Workload, rule: CompactionRule, parent_rule: ParentRule) -> Figures {
    let mut model = Model::new(rule, parent_rule);
    let mut dice = Dice(1);
    let mut figures =
        Figures { read_max: 0.0, space_max: 0.0, space_late: 0.0, changed: 0.0, rewritten: 0.0 };
    for today in 1..=DAYS {
        for page in workload.writes(today, model.content.len(), &mut dice) {
            if page >= model.content.len() {
                model.content.resize(page + 1, today);
            }
            model.content[page] = today;
        }
        let (changed, rewritten) = model.back_up(today);
        let pages = model.content.len() as f64;
        figures.changed += changed as f64 / pages;
        figures.rewritten += rewritten as f64 / pages;
        figures.read_max = figures.read_max.max(model.read_factor());
        if today % 14 == 0 {
            let space = model.space_factor();
            figures.space_max = figures.space_max.max(space);
            figures.space_late += if today > DAYS - 26 * 14 { space / 26.0 } else { 0.0 };
        }
    }
    figures
}

/// The rule without its floor for small clusters: a floor made for packs of 32 MiB would hide the rule at this scale.
fn rule() -> CompactionRule {
    CompactionRule { budget_pages_min: 0, ..CompactionRule::default() }
}

fn assert_bounds(name: &str, workload: Workload) -> Figures {
    let figures = simulate(workload, rule(), ParentRule::default());
    println!("{name}: {figures:.2?}");
    let Figures { read_max, space_max, .. } = figures;
    assert!(read_max <= READ_MAX, "{name}: a restore reads {read_max:.2} times what it needs");
    assert!(space_max <= SPACE_MAX, "{name}: {space_max:.2} times the needed space");
    figures
}

#[test]
fn uniform_changes_stay_within_the_bounds() {
    assert_bounds("uniform", Workload::Uniform);
}

#[test]
fn zipf_changes_stay_within_the_bounds() {
    assert_bounds("zipf", Workload::Zipf);
}

#[test]
fn appends_stay_within_the_bounds() {
    assert_bounds("append", Workload::Append);
}

#[test]
fn weekly_batches_stay_within_the_bounds() {
    assert_bounds("batch", Workload::Batch);
}

#[test]
fn heavy_change_stays_within_the_bounds_and_long_kept_backups_pin_less() {
    let own_tier = assert_bounds("heavy", Workload::Heavy);
    let always_newest = ParentRule { change_per_day_max: f64::INFINITY };
    let newest = simulate(Workload::Heavy, rule(), always_newest);
    println!("heavy, always building on the newest: {newest:.2?}");
    assert!(own_tier.space_late < 0.95 * newest.space_late, "the parent rule saves nothing");
}

#[test]
fn without_compaction_the_bounds_do_not_hold() {
    let off = CompactionRule { rewrite_below: 0.0, ..rule() };
    let figures = simulate(Workload::Zipf, off, ParentRule::default());
    println!("zipf without compaction: {figures:.2?}");
    assert!(figures.read_max > READ_MAX && figures.space_max > SPACE_MAX, "{figures:.2?}");
}
