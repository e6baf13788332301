//! A backup without a server: the words, checks and the manifest of a real one around pages that nobody reads.
//!
//! For models of what happens between backups, prunes and everything else in one repository. Promises: intents, the choice of a
//! parent, what is condemned, the last look and the manifest are the code that real backups run; packs and maps are signed and hold their names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use seawall_pg::{Lsn, Timeline, WalSegmentSize};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::manifest::{Manifest, ManifestBody, ManifestHeader, Way};
use seawall_repo::object::ObjectBuilder;
use seawall_repo::pack::PackId;
use seawall_repo::seal::Protection;
use seawall_repo::usage::PackRow;
use seawall_store::world::{Random as _, SeededRandom};
use seawall_store::{DetachReason, RegionSet};

use super::intent::{SharedWord, Word};
use super::{adopt, condemned, now};
use crate::error::Result;
use crate::monitor::Silent;
use crate::repository::{Repository, WorldEntropy, put_everywhere};

/// Pages of the cluster, of which each lies in some pack.
const PAGES: usize = 6;

/// Numbers that follow from a seed.
pub(crate) struct Dice(SeededRandom);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.next_u64().unwrap() % end.max(1)
    }

    pub(crate) fn one_in(&self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// The WAL that such a backup lies on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) timeline: Timeline,
    pub(crate) start: Lsn,
    pub(crate) stop: Lsn,
    pub(crate) size: WalSegmentSize,
}

/// How far such a backup comes, and how long it takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    /// It ends without a word after so many steps.
    pub(crate) dies_after: Option<u64>,
    /// Hours that its process is stopped when it has looked around and given no word yet.
    pub(crate) early: u64,
    /// Hours that its process is stopped before it stores anything, its word given: all that it puts comes late.
    pub(crate) late: u64,
    /// Hours that it works, its word renewed.
    pub(crate) works: u64,
    /// Hours that its process is stopped, in the middle.
    pub(crate) frozen: u64,
    /// Whether its pages are damaged.
    pub(crate) damaged: bool,
}

thread_local! {
    /// How many backups of this thread stand between their last look and their manifest, and mounts between two reads. A process that is stopped right there for
    /// a day can commit what was pruned meanwhile; it says so itself afterwards, and retention finds such a backup wanting.
    static COMMITTING: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Lets hours pass, as soon as no backup is about to commit.
pub(crate) async fn pass(repository: &Repository, hours: u64) {
    while COMMITTING.get() > 0 {
        futures::pending!();
    }
    repository.world().clock.sleep(Duration::from_secs(3600 * hours)).await;
}

struct Died;

struct Steps(Option<u64>);

impl Steps {
    fn one(&mut self) -> std::result::Result<(), Died> {
        match &mut self.0 {
            Some(0) => Err(Died),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Takes one. None where it died on the way.
pub(crate) async fn mini_backup(
    repository: &Repository,
    place: &Place,
    at: At,
    fate: Fate,
    dice: &Dice,
) -> Result<Option<BackupId>> {
    let mut steps = Steps(fate.dies_after);
    match mini(repository, place, at, fate, dice, &mut steps).await {
        Ok(done) => done.map(Some),
        Err(Died) => Ok(None),
    }
}

#[expect(clippy::too_many_lines, reason = "the steps of a backup, one after the other")]
async fn mini(
    repository: &Repository,
    place: &Place,
    at: At,
    fate: Fate,
    dice: &Dice,
    steps: &mut Steps,
) -> std::result::Result<Result<BackupId>, Died> {
    macro_rules! tried {
        ($result:expr) => {
            match $result {
                Ok(value) => value,
                Err(error) => return Ok(Err(error)),
            }
        };
    }
    let set = repository.regions().set();
    let started = tried!(now(repository.world()));
    let backup = BackupId::new(started.seconds(), &mut WorldEntropy::new(repository.world())).unwrap();
    let catalog = tried!(repository.catalog().await);
    let before = tried!(crate::prune::standing(repository, place).await);
    let everywhere = |entry: &&crate::repository::BackupEntry| {
        set.attached().iter().all(|region| entry.regions.contains(region.name()))
            && entry.place == *place
            && condemned::can_be_parent(&before, place, &entry.header)
    };
    let fits = catalog.backups.iter().filter(everywhere);
    let parent = fits.max_by_key(|entry| (entry.header.start, entry.header.stop)).filter(|_| !dice.one_in(6));
    let parent = match parent {
        Some(entry) => Some(tried!(repository.manifest(place, entry.id).await)),
        None => None,
    };
    let committed: Vec<BackupId> = catalog.backups.iter().map(|entry| entry.id).collect();
    let orphans = tried!(adopt::find_orphans(repository, &set, place, &committed).await);
    let mut word = Word {
        place: place.clone(),
        backup,
        uses: parent
            .iter()
            .flat_map(|parent| std::iter::once(parent.header.backup).chain(parent.body.uses.iter().copied()))
            .collect(),
        adopts: orphans.clone(),
        host: "model".to_owned(),
        number: 0,
    };
    steps.one()?;
    pass(repository, fate.early).await;
    tried!(word.give(repository, &set).await);
    let standing = tried!(condemned::after_intent(repository, &set, place, parent.as_ref(), &Silent).await);
    pass(repository, fate.late).await;
    let orphans = there(&set, place, orphans).await;
    let mut packs = pages_of(parent.as_ref());
    let left = condemned::packs(&standing, place, packs.iter().flatten().copied());
    let mut next = 0;
    for page in &mut packs {
        let gone = page.is_none_or(|pack| left.contains(&pack));
        if !gone && !dice.one_in(3) {
            continue;
        }
        let free = orphans.iter().filter(|pack| !condemned::names_pack(&standing, place, **pack));
        let adopted: Vec<&PackId> = free.collect();
        *page = Some(match adopted.get(usize::try_from(dice.below(adopted.len() as u64 * 2)).unwrap()) {
            Some(pack) => **pack,
            None => {
                let pack = PackId { backup, number: next };
                steps.one()?;
                tried!(
                    put_name(repository, &set, Named::Pack { place: place.clone(), backup, number: next })
                        .await
                );
                next += 1;
                pack
            }
        });
    }
    for _ in 0..fate.works {
        pass(repository, 1).await;
        steps.one()?;
        tried!(word.give(repository, &set).await);
    }
    pass(repository, fate.frozen).await;
    steps.one()?;
    tried!(put_name(repository, &set, Named::Map { place: place.clone(), backup, number: 0 }).await);
    let stopped = tried!(now(repository.world()));
    let manifest = manifest(place, backup, parent.as_ref(), &packs, at, (started, stopped, fate.damaged));
    steps.one()?;
    let word = Arc::new(futures::lock::Mutex::new(word));
    COMMITTING.set(COMMITTING.get() + 1);
    let committed = commit(repository, &set, place, &word, &manifest).await;
    COMMITTING.set(COMMITTING.get() - 1);
    Ok(committed.map(|()| backup))
}

async fn commit(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    word: &SharedWord,
    manifest: &Manifest,
) -> Result<()> {
    condemned::before_manifest(repository, set, place, word, manifest).await?;
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let mut entropy = WorldEntropy::new(repository.world());
    let sealed = manifest
        .seal(repository.sealer().unwrap(), repository.writer().unwrap(), &mut compressor, &mut entropy)
        .unwrap();
    put_everywhere(set, sealed).await.map(|_bytes| ())
}

/// Reads a backup for hours, as a mount does: with a word, given before it looks and renewed hourly. Says what it named and could not
/// find; none where the backup was condemned before it had given its word.
pub(crate) async fn mini_mount(
    repository: &Repository,
    place: &Place,
    of: BackupId,
    hours: u64,
) -> Result<Option<Vec<String>>> {
    let set = repository.regions().set();
    let started = now(repository.world())?;
    let manifest = repository.manifest(place, of).await?;
    let backup = BackupId::new(started.seconds(), &mut WorldEntropy::new(repository.world())).unwrap();
    let uses = std::iter::once(of).chain(manifest.body.uses.iter().copied()).collect();
    let mut word =
        Word { place: place.clone(), backup, uses, adopts: Vec::new(), host: "mount".to_owned(), number: 0 };
    word.give(repository, &set).await?;
    let standing = crate::prune::standing(repository, place).await?;
    if !condemned::can_be_parent(&standing, place, &manifest.header)
        || !condemned::packs(&standing, place, manifest.body.packs.iter().map(|row| row.pack)).is_empty()
    {
        return Ok(None);
    }
    // A tombstone that was carried out meanwhile says nothing any more, but the manifest goes first.
    let name = Named::Manifest { place: place.clone(), backup: of }.to_name();
    for region in set.attached() {
        if !region.exists(name.as_str()).await.unwrap_or(false) {
            set.detach(region.name(), DetachReason::Failed("pruned there".to_owned()));
        }
    }
    if set.attached().is_empty() {
        return Ok(None);
    }
    // Only now is it certain what is there: what it named stays for as long as it renews its word.
    let mut all: Vec<Named> = vec![Named::Map { place: place.clone(), backup: of, number: 0 }];
    let pack = |pack: PackId| Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number };
    all.extend(manifest.body.packs.iter().map(|row| pack(row.pack)));
    let mut lost = Vec::new();
    let word = Arc::new(futures::lock::Mutex::new(word));
    for _ in 0..hours {
        pass(repository, 1).await;
        // One that was stopped for half a day ends, as a backup does, before it reads on.
        COMMITTING.set(COMMITTING.get() + 1);
        let read = match super::intent::confirm(&word, repository, &set).await {
            Ok(()) => Some(missing(&set, &all).await),
            Err(_stopped) => None,
        };
        COMMITTING.set(COMMITTING.get() - 1);
        match read {
            Some(missing) => lost.extend(missing),
            None => break,
        }
    }
    Ok(Some(lost))
}

/// What of these no region has.
async fn missing(set: &RegionSet, all: &[Named]) -> Vec<String> {
    let mut missing = Vec::new();
    for named in all {
        let name = named.to_name();
        let mut found = false;
        for region in set.attached() {
            found |= region.exists(name.as_str()).await.unwrap_or(true);
        }
        if !found {
            missing.push(name.to_string());
        }
    }
    missing
}

/// Which of these packs every region has: a real backup reads the footers of those that it takes over, its word given.
async fn there(set: &RegionSet, place: &Place, packs: Vec<PackId>) -> Vec<PackId> {
    let mut all = Vec::new();
    for pack in packs {
        let name = Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number }.to_name();
        let mut everywhere = true;
        for region in set.attached() {
            everywhere &= region.exists(name.as_str()).await.unwrap_or(false);
        }
        if everywhere {
            all.push(pack);
        }
    }
    all
}

/// A pack or map that is signed, and whose content is its name.
async fn put_name(repository: &Repository, set: &RegionSet, named: Named) -> Result<()> {
    let name = named.to_name();
    let sealer = repository.sealer()?;
    let mut entropy = WorldEntropy::new(repository.world());
    let fields = serde_json::Map::new();
    let mut object = ObjectBuilder::new(sealer, &name, fields, Protection::Meta, None, &mut entropy).unwrap();
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    object.push_frame(name.as_str().as_bytes(), &mut compressor).unwrap();
    let digest = sealer.digest_key().digest(name.as_str().as_bytes());
    put_everywhere(set, object.finish(&[], digest, repository.writer()?).unwrap()).await.map(drop)
}

/// Where the pages of a backup lie.
fn pages_of(parent: Option<&Manifest>) -> Vec<Option<PackId>> {
    let mut pages: Vec<Option<PackId>> = Vec::new();
    for row in parent.iter().flat_map(|parent| &parent.body.packs) {
        pages.extend((0..row.pages_in_use).map(|_| Some(row.pack)));
    }
    pages.resize(PAGES, None);
    pages
}

fn manifest(
    place: &Place,
    backup: BackupId,
    parent: Option<&Manifest>,
    pages: &[Option<PackId>],
    at: At,
    (started, stopped, damaged): (seawall_repo::time::Time, seawall_repo::time::Time, bool),
) -> Manifest {
    let mut used: BTreeMap<([u8; 16], u32), (PackId, u64)> = BTreeMap::new();
    for pack in pages.iter().flatten() {
        used.entry((pack.backup.to_bytes(), pack.number)).or_insert((*pack, 0)).1 += 1;
    }
    let mut rows: Vec<PackRow> = used
        .into_values()
        .map(|(pack, pages)| PackRow {
            pack,
            pages_in_use: pages,
            pages_stored: PAGES as u64,
            stored_bytes: 60,
        })
        .collect();
    rows.sort_by_key(|row| (row.pack.backup, row.pack.number));
    let mut uses: Vec<BackupId> = rows.iter().map(|row| row.pack.backup).filter(|id| *id != backup).collect();
    uses.extend(parent.map(|parent| parent.header.backup));
    uses.sort_unstable();
    uses.dedup();
    let mut header = ManifestHeader {
        backup,
        cluster: place.cluster.clone(),
        system: place.system,
        postgresql: 17,
        way: if parent.is_some() { Way::Scan } else { Way::Full },
        parent: parent.map(|parent| parent.header.backup),
        timeline: at.timeline,
        start: at.start,
        stop: at.stop,
        stop_timeline: at.timeline,
        started,
        stopped,
        segment_size: at.size,
        bytes: 48 * 1024,
        stored: 1,
        packs: 1,
        maps: 1,
        uses: Vec::new(),
        uses_more: false,
        damaged_pages: u64::from(damaged),
        from_standby: false,
        next_xid: None,
    };
    header.set_uses(&uses);
    let finding = seawall_repo::manifest::Finding {
        path: seawall_repo::base64_field::Base64Bytes(b"base/1/1".to_vec()),
        page: 0,
        expected: 1,
        found: 2,
        reason: "model".to_owned(),
    };
    let body = ManifestBody {
        uses,
        packs: rows,
        label: "model".to_owned(),
        control: vec![1; 512],
        findings: if damaged { vec![finding] } else { Vec::new() },
        ..ManifestBody::default()
    };
    Manifest { header, body }
}

/// Whether a backup that chose this parent some time ago may build on it, once it has given its word.
pub(crate) async fn may_build_on(repository: &Repository, place: &Place, parent: &Manifest) -> Result<()> {
    let set = repository.regions().set();
    condemned::after_intent(repository, &set, place, Some(parent), &Silent).await.map(|_standing| ())
}

/// A backup of which every page lies in another backup's pack, and which names the maps of all of them.
pub(crate) async fn of_many(
    repository: &Repository,
    place: &Place,
    at: At,
    others: &[BackupId],
) -> Result<BackupId> {
    let time = now(repository.world())?;
    let backup = BackupId::new(time.seconds(), &mut WorldEntropy::new(repository.world())).unwrap();
    let pages: Vec<_> = others.iter().map(|backup| Some(PackId { backup: *backup, number: 0 })).collect();
    let set = repository.regions().set();
    put_name(repository, &set, Named::Map { place: place.clone(), backup, number: 0 }).await?;
    let manifest = manifest(place, backup, None, &pages, at, (time, time, false));
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let mut entropy = WorldEntropy::new(repository.world());
    let sealed = manifest
        .seal(repository.sealer().unwrap(), repository.writer().unwrap(), &mut compressor, &mut entropy)
        .unwrap();
    put_everywhere(&set, sealed).await.map(|_bytes| backup)
}

/// What a taken host can put: a manifest that is signed and sealed as it should be and says whatever it likes.
pub(crate) async fn forged(
    repository: &Repository,
    place: &Place,
    at: At,
    claimed: seawall_repo::time::Time,
    empty: bool,
) -> Result<()> {
    let backup = BackupId::new(claimed.seconds(), &mut WorldEntropy::new(repository.world())).unwrap();
    let pages = [Some(PackId { backup, number: 0 }); PAGES];
    let set = repository.regions().set();
    put_name(repository, &set, Named::Pack { place: place.clone(), backup, number: 0 }).await?;
    let mut manifest = manifest(place, backup, None, &pages, at, (claimed, claimed, false));
    if empty {
        manifest.header.bytes = 0;
    }
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let mut entropy = WorldEntropy::new(repository.world());
    let sealed = manifest
        .seal(repository.sealer().unwrap(), repository.writer().unwrap(), &mut compressor, &mut entropy)
        .unwrap();
    put_everywhere(&set, sealed).await.map(|_bytes| ())
}
