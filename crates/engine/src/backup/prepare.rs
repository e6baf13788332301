//! Before a page is read: what is there, whether it can be backed up, on what the backup builds.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seawall_pg::control::WalLevel;
use seawall_pg::timeline::HistoryFile;
use seawall_pg::{History, Lsn, Timeline, WalFileName};
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::manifest::{Manifest, ManifestHeader, Way};
use seawall_repo::records::Adoption;
use seawall_store::{RegionSet, durable};

use super::adopt;
use super::changed::Changed;
use super::condemned::{after_intent, can_be_parent, names_pack};
use super::intent::Word;
use super::plan::{ChosenWay, WayInput, choose_way};
use super::run::BackupOptions;
use super::since::{Known, Since, Unknown};
use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::prune::{Standing, standing};
use crate::repository::Repository;
use crate::source::{Facts, ReadControl, Started, read_control};

/// What was found out.
pub(super) struct Prepared {
    pub(super) control: ReadControl,
    pub(super) place: Place,
    pub(super) way: ChosenWay,
    pub(super) parent: Option<Manifest>,
    pub(super) fulls: HashSet<BackupId>,
    pub(super) committed: Vec<BackupId>,
    /// The ancestry of the server's timeline.
    pub(super) history: History,
}

impl Prepared {
    /// What changed from the parent's start to that of this session, where WAL tells that; settles the way that is reported.
    ///
    /// # Errors
    /// The WAL in the archive is another server's.
    pub(super) async fn changed_since(
        &mut self,
        repository: &Repository,
        session: &Started,
        data_directory: &Path,
        options: &BackupOptions,
    ) -> Result<Option<Changed>> {
        let (start, on_standby) = (session.start_lsn(), session.on_standby());
        self.changed_from(repository, start, data_directory, on_standby, options).await
    }

    /// The same up to any place.
    ///
    /// # Errors
    /// The WAL in the archive is another server's.
    pub(super) async fn changed_from(
        &mut self,
        repository: &Repository,
        start: Lsn,
        data_directory: &Path,
        on_standby: bool,
        options: &BackupOptions,
    ) -> Result<Option<Changed>> {
        let Some(parent) = self.parent.as_ref().filter(|_| !options.scan) else { return Ok(None) };
        let (control, history) = (&self.control.file, &self.history);
        let place = &self.place;
        let since = Since { repository, place, parent, control, history, start, data_directory, on_standby };
        match since.known().await {
            Ok(known) => {
                self.way.way = Way::Wal;
                self.way.reason = by_wal(&known);
                Ok(Some(Changed::new(known.changes, self.control.file.relation_segment_blocks)))
            }
            Err(Unknown::Uncertain(why)) => {
                self.way.reason = format!("every page is read and compared: {why}");
                Ok(None)
            }
            Err(Unknown::Conflict(conflict)) => Err(conflict),
        }
    }
}

fn by_wal(known: &Known) -> String {
    let (pages, segments) = (known.changes.pages(), known.segments);
    let by = match known.chapters {
        0 => String::new(),
        1 => ", a whole folder of them by its chapter,".to_owned(),
        many => format!(", {many} whole folders of them by their chapters,"),
    };
    format!("{segments} segments of WAL since the parent{by} name {pages} changed pages; no others are read")
}

/// Refuses a server whose files cannot make a backup.
pub(super) fn refuse_unfit(facts: &Facts) -> Result<()> {
    facts.refuse_managed_service()?;
    if facts.archiving.mode == "off" {
        return Err(Error::source_side("backup.archive-mode-off", "archive_mode is off: without WAL no online backup can be recovered")
            .hint("seawall init --configure-postgres shows the settings; archive_mode needs a restart of PostgreSQL"));
    }
    if facts.wal_level == WalLevel::Minimal {
        return Err(Error::source_side(
            "backup.wal-level-minimal",
            "wal_level is minimal: its WAL cannot recover a backup",
        )
        .hint("set wal_level = replica and restart PostgreSQL"));
    }
    if facts.block_bytes != 8192 {
        return Err(Error::source_side(
            "backup.block-size",
            format!("this server has pages of {} bytes", facts.block_bytes),
        )
        .hint("seawall supports servers built with the usual 8 kB pages"));
    }
    Ok(())
}

/// Looks at the data directory and the repository.
pub(super) async fn prepare(
    repository: &Repository,
    set: &RegionSet,
    facts: &Facts,
    data_directory: &Path,
    options: &BackupOptions,
    monitor: &Arc<dyn Monitor>,
) -> Result<Prepared> {
    let control = read_control(data_directory, repository.world().clock.as_ref())?;
    if control.file.system_identifier != facts.system_identifier {
        return Err(Error::usage(
            "backup.other-data-directory",
            format!("{} is not the data directory of the server that answered", data_directory.display()),
        )
        .fact("data directory", control.file.system_identifier)
        .fact("server", facts.system_identifier)
        .hint("check data_directory and connection in the settings"));
    }
    let place = adopted_place(repository, facts).await?;
    let catalog = repository.catalog().await?;
    for finding in &catalog.refused {
        monitor.finding(finding);
    }
    let here: Vec<_> = catalog.backups.iter().filter(|entry| entry.place == place).collect();
    let everywhere = |regions: &[seawall_store::RegionName]| {
        set.attached().iter().all(|region| regions.contains(region.name()))
    };
    let condemned = standing(repository, &place).await?;
    let candidates: Vec<ManifestHeader> = here
        .iter()
        .filter(|entry| everywhere(&entry.regions) && can_be_parent(&condemned, &place, &entry.header))
        .map(|entry| entry.header.clone())
        .collect();
    if let Some(wanted) = options.parent.filter(|wanted| !here.iter().any(|entry| entry.id == *wanted)) {
        let what = format!("there is no backup {wanted} of this server");
        return Err(Error::usage("backup.parent-unfit", what).hint("`seawall list` shows what there is"));
    }
    let history = local_history(data_directory, facts.timeline)?;
    let input = WayInput {
        candidates: &candidates,
        start: control.file.checkpoint.redo,
        history: &history,
        postgresql: facts.server.version.major(),
        full: options.full,
        parent: options.parent,
    };
    let mut way = choose_way(&input).map_err(|why| {
        Error::usage("backup.parent-unfit", why).hint("leave --parent away to let seawall choose")
    })?;
    if way.way == Way::Full && !options.full && candidates.is_empty() && !here.is_empty() {
        "earlier backups are not in every region of this one, or about to be deleted"
            .clone_into(&mut way.reason);
    }
    let parent = load_parent(repository, &place, &mut way, options, monitor).await?;
    let fulls = here.iter().filter(|entry| entry.header.way == Way::Full).map(|entry| entry.id).collect();
    let committed = here.iter().map(|entry| entry.id).collect();
    Ok(Prepared { control, place, way, parent, fulls, committed, history })
}

/// The parent's manifest. One that is damaged makes the backup a full one, with a finding: a new backup must not depend on
/// the state of an old one, unless it was asked for by name.
async fn load_parent(
    repository: &Repository,
    place: &Place,
    way: &mut ChosenWay,
    options: &BackupOptions,
    monitor: &Arc<dyn Monitor>,
) -> Result<Option<Manifest>> {
    let Some(parent) = way.parent else { return Ok(None) };
    let usable = async {
        let manifest = repository.manifest(place, parent).await?;
        let head =
            repository.read_head(&Named::Manifest { place: place.clone(), backup: parent }.into()).await?;
        Ok::<_, Error>((manifest, head.value.generation() == repository.sealer()?.generation()))
    };
    match usable.await {
        Ok((manifest, true)) => Ok(Some(manifest)),
        // Digests of pages are made with the key of the manifest's generation: its leaves cannot be shared.
        Ok((_, false)) => {
            let reason = format!("backup {parent} was made with another generation of keys");
            if options.parent.is_some() {
                return Err(Error::usage("backup.parent-unfit", reason)
                    .hint("leave --parent away: a new generation of keys begins with a full backup"));
            }
            *way = ChosenWay { way: Way::Full, parent: None, reason };
            Ok(None)
        }
        Err(error) if options.parent.is_some() || error.kind() != crate::Kind::Data => Err(error),
        Err(error) => {
            monitor.finding(&Finding {
                id: error.id(),
                what: error.to_string(),
                hint: Some("this backup is a full one for that reason".to_owned()),
            });
            *way = ChosenWay {
                way: Way::Full,
                parent: None,
                reason: format!("the manifest of {parent} cannot be used"),
            };
            Ok(None)
        }
    }
}

async fn adopted_place(repository: &Repository, facts: &Facts) -> Result<Place> {
    let adoptions: Vec<Adoption> = repository.adoptions().await?;
    let system = facts.system_identifier;
    if adoptions.iter().any(|adoption| adoption.system == system) {
        return Ok(Place { cluster: repository.cluster().clone(), system });
    }
    let known = adoptions.iter().map(|adoption| adoption.system.to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::usage("backup.system-not-adopted", format!("the server is not the one known as {}", repository.cluster()))
        .fact("server's system identifier", system)
        .fact("known", if known.is_empty() { "none" } else { known.as_str() })
        .hint("after a major upgrade: seawall init --after-upgrade-of OLD_ID; a second cluster needs a name of its own"))
}

/// The ancestry of the timeline that is written, from `pg_wal`.
pub(crate) fn local_history(data_directory: &Path, timeline: Timeline) -> Result<History> {
    if timeline.get() == 1 {
        return Ok(History::root(timeline));
    }
    let path = data_directory.join("pg_wal").join(WalFileName::TimelineHistory(timeline).to_string());
    let content = durable::read_whole(&path, 1 << 20).map_err(|error| {
        Error::source_side("source.history-missing", format!("cannot read {}", path.display()))
            .hint("without it nobody can tell which backups this server grew from; fetch it from the archive into pg_wal")
            .because(error)
    })?;
    let file = HistoryFile::parse(timeline, &content).map_err(|error| {
        Error::source_side("source.history-malformed", format!("{} cannot be read", path.display()))
            .because(error)
    })?;
    Ok(History::from_file(&file))
}

/// What a backup may use, once it has said so.
pub(super) struct Announced {
    pub(super) word: Word,
    /// Orphans that are taken over.
    pub(super) adopted: adopt::Adopted,
    /// What is condemned, and so not used.
    pub(super) condemned: Standing,
}

/// The backup's word, with the orphans it may take over. Given before anything is looked into.
pub(super) async fn give_word(
    repository: &Repository,
    set: &RegionSet,
    prepared: &Prepared,
    backup: BackupId,
    monitor: &dyn Monitor,
) -> Result<Announced> {
    let orphans = adopt::find_orphans(repository, set, &prepared.place, &prepared.committed).await?;
    let mut word = Word {
        place: prepared.place.clone(),
        backup,
        uses: prepared.parent.as_ref().map(used_by).unwrap_or_default(),
        adopts: orphans.clone(),
        host: super::host_name(),
        number: 0,
    };
    word.give(repository, set).await?;
    let place = &prepared.place;
    let condemned = after_intent(repository, set, place, prepared.parent.as_ref(), monitor).await?;
    let free: Vec<_> = orphans.into_iter().filter(|pack| !names_pack(&condemned, place, *pack)).collect();
    let adopted = adopt::adopt(repository, place, &free).await;
    Ok(Announced { word, adopted, condemned })
}

/// What building on a backup may reference: it, and all it references itself.
fn used_by(parent: &Manifest) -> Vec<BackupId> {
    std::iter::once(parent.header.backup).chain(parent.body.uses.iter().copied()).collect()
}

/// Since the parent began.
pub(super) fn since_parent(parent: Option<&Manifest>, now_seconds: u64) -> Duration {
    parent.map_or(Duration::ZERO, |parent| {
        Duration::from_secs(now_seconds.saturating_sub(parent.header.started.seconds()))
    })
}
