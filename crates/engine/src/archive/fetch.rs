//! `wal fetch`: one file for a recovering server, or the truth about why not.
//!
//! PostgreSQL takes every exit code from 1 to 125 for the end of all WAL, and promotes. Promises: "not there" is answered only
//! where it is the truth (a plan says so, or every region has positively said so); an outage is waited for and then stops the
//! server, and so do damage, a foreign file, a mistake in the command and whatever else goes wrong. What is handed over was
//! checked: signature, digest, length, and that its first page is the one its name promises.
//! Commit point: the rename to the target's name. Deliberately does not read ahead; each request is its own process.

mod decide;
mod judge;
mod link;
mod memory;
mod place;
mod rival;
mod settled;

use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_pg::{ControlFile, SegmentName, WalFileName};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::wal_object::{OpenWal, WalContent, WalHeader};
use seawall_store::{NotServed, ReadFaultKind, RegionName, World};
use serde::Serialize;

use self::decide::{Absence, Decision, decide};
use self::judge::Wanted;
use self::link::Link;
pub(crate) use self::memory::MEMORY_FILE_NAME;
use self::memory::Memory;
use self::place::Arriving;
use super::adopted;
use super::plan_file::PlanFile;
use super::read::{self, Arrived, Opened, Sink as _};
use crate::error::{Error, Kind, Result};
use crate::monitor::Finding;
use crate::repository::{
    Acknowledge, Apart, KeyFiles, Levels, RegionSettings, Repository, RepositorySettings, Secrets, not_served,
};
use crate::source::read_control;
use crate::words::ClusterName;

/// How long an outage is waited for by a plan that does not say it.
pub const FETCH_WAIT: Duration = Duration::from_secs(60);
/// What is looked at of a segment that the server has already; all have more.
const BEGINNING_BYTES: usize = 256 << 10;
/// Between two looks at regions that are away.
const PAUSE: Duration = Duration::from_secs(2);

/// What the server asks for.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest<'a> {
    /// `%f`: the file's name.
    pub name: &'a str,
    /// `%p`: where it goes; from the data directory where it is relative.
    pub target: &'a Path,
    /// The data directory: where PostgreSQL runs `restore_command`.
    pub data_directory: &'a Path,
    /// How long to wait for regions that are away.
    pub wait: Duration,
}

/// Where WAL is read.
#[derive(Debug, Clone, Copy)]
pub enum FetchFrom<'a> {
    /// By the plan that a restore left.
    Plan(&'a PlanFile),
    /// By settings: a standby, or a command written by hand.
    Settings {
        /// The repository.
        settings: &'a RepositorySettings,
        /// The cluster.
        cluster: &'a ClusterName,
        /// What opens it.
        secrets: &'a Secrets,
    },
}

/// A file that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// The file of the archive: a `.partial` one where the plan says so.
    pub file: WalFileName,
    /// Its length.
    pub bytes: u64,
    /// Who served it (its last part).
    pub region: RegionName,
    /// Copies that were wrong while another served.
    pub findings: Vec<Finding>,
}

/// The answer to the server.
#[derive(Debug)]
pub enum FetchAnswer {
    /// The file is in its place.
    Delivered(Delivered),
    /// It is not there, truthfully.
    EndOfWal {
        /// Why that is the truth.
        why: String,
    },
    /// No answer is right: the server has to stop and can be started again.
    Stop(Error),
}

impl FetchAnswer {
    /// The exit code that says it to PostgreSQL.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Delivered(_) => 0,
            Self::EndOfWal { .. } => 1,
            Self::Stop(_) => 126,
        }
    }
}

/// Answers one request.
pub async fn fetch(from: FetchFrom<'_>, request: &FetchRequest<'_>, world: &World) -> FetchAnswer {
    if let Some(answer) = settled::settled(&from, request, world) {
        return answer;
    }
    let source = match Source::of(from) {
        Ok(source) => source,
        Err(error) => return FetchAnswer::Stop(error),
    };
    let mut memory = Memory::load(request.data_directory, world);
    if let Some(regions) = memory.first_asked(&source.settings.regions) {
        // Only a file counts that is delivered: what some regions say is no answer for all.
        let at_once = Waiting::begin(Duration::ZERO, world);
        if let Ok(repository) = source.open(regions, &at_once).await
            && let delivered @ FetchAnswer::Delivered(_) =
                fetch_in(&repository, source.plan, request, &at_once).await
        {
            return delivered;
        }
    }
    let waiting = Waiting::begin(request.wait, world);
    match source.open(source.settings.regions.clone(), &waiting).await {
        Ok(repository) => {
            let answer = fetch_in(&repository, source.plan, request, &waiting).await;
            memory.learn(&repository);
            answer
        }
        Err(error) => FetchAnswer::Stop(error),
    }
}

/// The time that is left for waiting.
struct Waiting {
    world: World,
    until: Duration,
}

impl Waiting {
    fn begin(wait: Duration, world: &World) -> Self {
        Self { world: world.clone(), until: world.clock.monotonic().saturating_add(wait) }
    }

    /// Pauses; false once the time is over.
    async fn again(&self) -> bool {
        let left = self.until.saturating_sub(self.world.clock.monotonic());
        if left.is_zero() {
            return false;
        }
        self.world.clock.sleep(PAUSE.min(left)).await;
        true
    }
}

/// Where WAL is read, whoever said so.
struct Source<'a> {
    settings: RepositorySettings,
    cluster: ClusterName,
    secrets: Secrets,
    plan: Option<&'a PlanFile>,
}

impl<'a> Source<'a> {
    fn of(from: FetchFrom<'a>) -> Result<Self> {
        match from {
            FetchFrom::Plan(plan) => {
                let secrets = Secrets::Identities(KeyFiles {
                    identities: plan.repository.identity_files.clone(),
                    passphrases: plan.repository.passphrase_files.clone(),
                });
                Ok(Self {
                    settings: settings_of(plan)?,
                    cluster: plan.cluster.clone(),
                    secrets,
                    plan: Some(plan),
                })
            }
            FetchFrom::Settings { settings, cluster, secrets } => Ok(Self {
                settings: settings.clone(),
                cluster: cluster.clone(),
                secrets: secrets.clone(),
                plan: None,
            }),
        }
    }

    /// Opens it in these regions, waiting while they are away.
    async fn open(&self, regions: Vec<RegionSettings>, waiting: &Waiting) -> Result<Repository> {
        let settings = RepositorySettings { regions, ..self.settings.clone() };
        loop {
            match Repository::open(&settings, &self.cluster, &self.secrets, None, &waiting.world).await {
                Err(error) if error.kind() == Kind::Unavailable => {
                    if !waiting.again().await {
                        return Err(error);
                    }
                }
                opened => return opened,
            }
        }
    }
}

fn settings_of(plan: &PlanFile) -> Result<RepositorySettings> {
    let planned = &plan.repository;
    let owner = planned.owner.parse().map_err(|error| {
        Error::usage("archive.plan-owner", "the plan file names no owner's key").because(error)
    })?;
    Ok(RepositorySettings {
        regions: planned.regions.clone(),
        id: Some(planned.id),
        owner: Some(owner),
        acknowledge: Acknowledge::All,
        levels: Levels::DEFAULT,
    })
}

async fn fetch_in(
    repository: &Repository,
    plan: Option<&PlanFile>,
    request: &FetchRequest<'_>,
    waiting: &Waiting,
) -> FetchAnswer {
    match answer(repository, plan, request, waiting).await {
        Ok(answer) => answer,
        Err(error) => FetchAnswer::Stop(error),
    }
}

async fn answer(
    repository: &Repository,
    plan: Option<&PlanFile>,
    request: &FetchRequest<'_>,
    waiting: &Waiting,
) -> Result<FetchAnswer> {
    let file: WalFileName = request.name.parse().map_err(|error| {
        Error::usage("archive.name", format!("{:?} is no file of WAL", request.name))
            .hint("the setting is: restore_command = 'seawall wal fetch %f %p'")
            .because(error)
    })?;
    let control = read_control(request.data_directory, waiting.world.clock.as_ref())?.file;
    match decide(plan, &control, file) {
        Decision::Serve(object, absence) => {
            let link = Link::find(object, &control, plan, request.data_directory);
            let serving = Serving { repository, plan, control: &control, waiting, object, absence, link };
            serving.run(&request.data_directory.join(request.target)).await
        }
        Decision::InPgWal(segment) => in_pg_wal(segment, &control, plan, request),
        Decision::NotThere(why) => Ok(FetchAnswer::EndOfWal { why }),
        Decision::Stop(why) => Err(Error::usage("archive.not-as-planned", format!("{file} cannot be answered"))
            .fact("why", why)
            .hint("start the restore again, or take restore_command out of the settings if this server is no longer restored")),
    }
}

/// The server looks into `pg_wal` when told "not there"; that is right only if it finds the segment.
fn in_pg_wal(
    segment: SegmentName,
    control: &ControlFile,
    plan: Option<&PlanFile>,
    request: &FetchRequest<'_>,
) -> Result<FetchAnswer> {
    let path: PathBuf = request.data_directory.join("pg_wal").join(segment.to_string());
    let looked = || -> std::result::Result<(), String> {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        if length != control.wal_segment_size.bytes() {
            return Err(format!("it has {length} bytes"));
        }
        let mut first = vec![0; BEGINNING_BYTES];
        file.read_exact_at(&mut first, 0).map_err(|error| error.to_string())?;
        let file = WalFileName::Segment(segment);
        let link = Link::find(file, control, plan, request.data_directory);
        let wanted = Wanted { file, control, plan, link: link.as_ref() };
        wanted.first_page(segment, &first)?;
        wanted.goes_on(&first)
    };
    match looked() {
        Ok(()) => Ok(FetchAnswer::EndOfWal {
            why: format!("{segment} lies in pg_wal, where the server looks next"),
        }),
        Err(why) => Err(Error::source_side(
            "archive.salvaged-missing",
            format!("{} is not as the restore left it", path.display()),
        )
        .fact("why", why)
        .hint("restore again with --salvage-wal")),
    }
}

/// One file of the archive on its way to the server.
struct Serving<'a> {
    repository: &'a Repository,
    plan: Option<&'a PlanFile>,
    control: &'a ControlFile,
    waiting: &'a Waiting,
    object: WalFileName,
    absence: Absence,
    link: Option<Link>,
}

impl Serving<'_> {
    async fn run(&self, target: &Path) -> Result<FetchAnswer> {
        let place =
            Place { cluster: self.repository.cluster().clone(), system: self.control.system_identifier };
        if self.absence == Absence::WhenProven {
            // Under a name or system identifier that the repository does not know, everything is absent.
            self.adopted(&place).await?;
        }
        let name: ObjectName = Named::Wal { place, file: self.object }.into();
        let link = self.link.as_ref();
        let wanted = Wanted { file: self.object, control: self.control, plan: self.plan, link };
        let begin = || Arriving::begin(target, &self.waiting.world);
        let fits = |header: &WalHeader, bytes: &[u8]| wanted.beginning(header, bytes);
        let reading = self.patiently(async || read::open_into(self.repository, &name, fits, begin).await);
        let (read, apart) = match self.object.segment() {
            Some(_) => rival::beside_others(self.repository, &name, reading).await,
            None => (reading.await, None),
        };
        if let (Ok(_), Some(apart)) = (&read, &apart)
            && wanted.both_go_on(self.repository, &name, apart).await
        {
            return self.contested(&name, apart);
        }
        match read {
            Ok((Arrived::Whole(arriving), region)) => self.delivered(arriving, region),
            Ok((Arrived::InParts, _)) => match self.read(&name, &|wal| wanted.in_parts(wal)).await {
                Ok(opened) => self.deliver_parts(opened, &wanted, begin()?).await,
                Err(fault) => self.not_served(&name, &fault).await,
            },
            Ok((Arrived::Failed(error), _)) => Err(error),
            Err(fault) => self.not_served(&name, &fault).await,
        }
    }

    /// Beyond what a restore promised it may end here; before that it must not.
    fn contested(&self, name: &ObjectName, apart: &Apart) -> Result<FetchAnswer> {
        match self.absence {
            Absence::WhenNotServed => Ok(FetchAnswer::EndOfWal {
                why: format!(
                    "{} lies beyond what this restore promised, and is not one file: {}",
                    self.object,
                    apart.words()
                ),
            }),
            Absence::WhenProven | Absence::Damage => Err(rival::two_writers(name, apart)),
        }
    }

    async fn adopted(&self, place: &Place) -> Result<()> {
        loop {
            match adopted(self.repository, place).await {
                Err(error) if error.kind() == Kind::Unavailable => {
                    if !self.waiting.again().await {
                        return Err(error);
                    }
                }
                other => return other.map(drop),
            }
        }
    }

    /// Reads an object, waiting while a region that may have it is away.
    async fn read(
        &self,
        name: &ObjectName,
        fits: &(dyn Fn(&OpenWal) -> std::result::Result<(), String> + Sync),
    ) -> std::result::Result<Opened, NotServed> {
        self.patiently(async || read::open(self.repository, name, fits).await).await
    }

    async fn patiently<T>(
        &self,
        attempt: impl AsyncFn() -> std::result::Result<T, NotServed>,
    ) -> std::result::Result<T, NotServed> {
        loop {
            match attempt().await {
                Err(fault) if fault.may_pass() && self.absence != Absence::WhenNotServed => {
                    if !self.waiting.again().await {
                        return Err(fault);
                    }
                }
                other => return other,
            }
        }
    }

    async fn not_served(&self, name: &ObjectName, fault: &NotServed) -> Result<FetchAnswer> {
        let absent = fault.is_absent_everywhere();
        match self.absence {
            Absence::WhenProven if absent => {
                let regions: Vec<&str> = fault.faults.iter().map(|fault| fault.region.as_str()).collect();
                Ok(FetchAnswer::EndOfWal {
                    why: format!("{} is in no region: {}", self.object, regions.join(", ")),
                })
            }
            Absence::WhenNotServed => Ok(FetchAnswer::EndOfWal {
                why: format!(
                    "{} lies beyond what this restore promised, and no region serves it: {fault}",
                    self.object
                ),
            }),
            Absence::WhenProven | Absence::Damage => Err(self.stop(name, fault).await),
        }
    }

    async fn stop(&self, name: &ObjectName, fault: &NotServed) -> Error {
        if let Some(link) = &self.link
            && let Some(broken) = link.error(self.repository, name, self.control).await
        {
            return broken;
        }
        let error = not_served(fault);
        if fault.faults.iter().any(|fault| matches!(fault.kind, ReadFaultKind::Failed(_))) {
            return error.hint("recovery stopped and lost nothing: start the server again when the region is back, or restore with --without-region NAME if it will not come back");
        }
        error
            .fact("object", name)
            .hint("recovery stopped before it: restore to an earlier point, or repair the object from another copy of the repository")
    }

    async fn deliver_parts(
        &self,
        opened: Opened,
        wanted: &Wanted<'_>,
        mut arriving: Arriving,
    ) -> Result<FetchAnswer> {
        let mut region = opened.region;
        let (WalContent::Parts(digests), Some(mut joiner)) = (opened.wal.content, opened.joiner) else {
            return Err(Error::bug("archive.no-joiner", "a file in parts has nothing that joins them"));
        };
        for (number, (part, digest)) in joiner.part_names().into_iter().zip(&digests).enumerate() {
            let read = self.read(&part, &|wal| wanted.part(number, digest, wal)).await;
            let read = match read {
                Ok(read) => read,
                Err(fault) => return Err(self.stop(&part, &fault).await),
            };
            let bytes = joiner.add(read.wal).map_err(|error| crate::repository::object_error(&error))?;
            arriving.append(&bytes)?;
            region = read.region;
        }
        joiner.finish().map_err(|error| crate::repository::object_error(&error))?;
        self.delivered(arriving, region)
    }

    fn delivered(&self, arriving: Arriving, region: RegionName) -> Result<FetchAnswer> {
        let bytes = arriving.arrive()?;
        let findings = self.repository.take_findings();
        Ok(FetchAnswer::Delivered(Delivered { file: self.object, bytes, region, findings }))
    }
}

#[cfg(test)]
mod tests;
