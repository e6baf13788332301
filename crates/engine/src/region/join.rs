//! A place becomes a region, or comes back as one.
//!
//! Commit point: the marker, behind an event that says that the place was empty until now; from then on it is a region that lacks everything, which is what a sync fills: records and tombstones
//! first, manifests last, so that whatever it shows is whole. Interrupted anywhere, the same command goes on. Nothing but the marker is put
//! into a place that holds anything else than this repository, and nothing is taken out of one that was away for too long.

use std::sync::Arc;

use seawall_repo::id::ClusterName;
use seawall_repo::layout::{Named, Place};
use seawall_store::{Bandwidth, Extent, Put, Region, RegionName, World};
use serde::Serialize;

use super::look::{held, place, unknown};
use super::report::{JoinReport, PlaceState};
use crate::backup::now;
use crate::error::{Error, Kind, Result};
use crate::events;
use crate::init::is_missing_directory;
use crate::monitor::{Finding, Monitor};
use crate::repository::{
    Expecting, Repository, RepositorySettings, Secrets, get_any, not_served, open_regions, put_everywhere,
    store_error,
};
use crate::sync::{REGION_BEGUN, SyncOptions, forgotten, only_in, sync};

const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Whether it was one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// A new one.
    Add,
    /// One that was lost, or away for too long.
    Rejoin,
}

impl Joining {
    fn event(self) -> &'static str {
        match self {
            Self::Add => "region-added",
            Self::Rejoin => "region-rejoined",
        }
    }
}

/// Which region, and how.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Its name in the settings.
    pub region: RegionName,
    /// New, or back.
    pub joining: Joining,
    /// Only look.
    pub dry_run: bool,
}

/// Makes a place of the settings a region of the repository and fills it.
///
/// # Errors
/// There is no such region, or no other; the place holds something else; it was away for longer than tombstones stay; a region cannot be
/// asked.
pub async fn join(
    settings: &RepositorySettings,
    cluster: &ClusterName,
    secrets: &Secrets,
    bandwidth: Option<&Bandwidth>,
    world: &World,
    (options, monitor): (&JoinOptions, Arc<dyn Monitor>),
) -> Result<JoinReport> {
    let name = &options.region;
    let (one, others) = apart(settings, name)?;
    let known = Repository::open(&others, cluster, secrets, bandwidth, world).await?;
    let (objects, bytes) = held(&known).await;
    let missing = one.regions.iter().any(|region| is_missing_directory(&region.url));
    let found = match (missing, options.dry_run) {
        // A directory that is not there yet stays not there.
        (true, true) => PlaceState::Empty,
        _ => {
            let regions = open_regions(&one, Expecting::Nothing, bandwidth, world)?;
            let region = regions.find(name.as_str()).ok_or_else(|| unknown(name))?;
            let found = place(&known, region).await?;
            if found != PlaceState::Region && !options.dry_run {
                begin(&known, region).await?;
                put_marker(&known, region).await?;
            }
            found
        }
    };
    let mut report = JoinReport {
        cluster: cluster.clone(),
        region: name.clone(),
        url: one.regions.first().map(|region| region.url.clone()).unwrap_or_default(),
        found,
        dry_run: options.dry_run,
        objects,
        bytes,
        sync: None,
        findings: Vec::new(),
    };
    if found != PlaceState::Region && options.dry_run {
        return Ok(report);
    }
    let whole = Repository::open(settings, cluster, secrets, bandwidth, world).await?;
    refuse_forgotten(&whole, name).await?;
    let only =
        SyncOptions { dry_run: options.dry_run, regions: vec![name.clone()], ..SyncOptions::default() };
    report.sync = Some(sync(&whole, &only, monitor).await?);
    if !options.dry_run {
        tell(&whole, options, &mut report).await?;
    }
    Ok(report)
}

/// The settings of this region alone, and of the others.
fn apart(
    settings: &RepositorySettings,
    name: &RegionName,
) -> Result<(RepositorySettings, RepositorySettings)> {
    let (mut one, mut others) = (settings.clone(), settings.clone());
    one.regions.retain(|region| region.name == name.as_str());
    others.regions.retain(|region| region.name != name.as_str());
    if one.regions.is_empty() {
        return Err(unknown(name));
    }
    if others.regions.is_empty() {
        return Err(Error::usage(
            "region.the-only-one",
            format!("{name} is the only region: there is none to fill it from"),
        )
        .hint("`seawall init` makes a repository where there is none yet"));
    }
    Ok((one, others))
}

/// Says in the place that it was empty until now: that events of before are lacking there tells nothing of it.
async fn begin(known: &Repository, region: &Region) -> Result<()> {
    let begun = Joined { region: region.name(), url: region.url() };
    for adoption in known.adoptions().await? {
        let place = Place { cluster: known.cluster().clone(), system: adoption.system };
        let event = events::sealed(known, &place, REGION_BEGUN, &begun)?;
        let (name, bytes) = (event.name().clone(), bytes::Bytes::copy_from_slice(event.bytes()));
        // The others first: an event that they lacked would count against them.
        put_everywhere(&known.regions().set(), event).await?;
        let put = region.put_new(name.as_str(), &bytes).await;
        put.map_err(|error| store_error(&format!("region {} takes no event", region.name()), &error))?;
    }
    Ok(())
}

/// The owner's word about the repository, as another region has it.
async fn put_marker(known: &Repository, region: &Region) -> Result<()> {
    let name = Named::Seawall.to_name();
    let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
    let believed = |bytes: bytes::Bytes| {
        known.trust().open_owners::<serde_json::Value>(&name, &bytes).map(|_record| bytes)
    };
    let served = get_any(known.regions(), &name, extent, |_region, bytes| believed(bytes)).await;
    let served = served.map_err(|error| not_served(&error))?;
    match region.put_new(name.as_str(), &served.value).await {
        Ok(Put::Created | Put::AlreadyThere) => Ok(()),
        Ok(Put::Conflict { .. }) => Err(Error::busy(
            "region.taken",
            format!(
                "somebody else put another repository into the place of region {} meanwhile",
                region.name()
            ),
        )),
        Err(error) => Err(store_error(&format!("region {} does not take {name}", region.name()), &error)),
    }
}

/// Refuses a place whose data is older than what anybody remembers of pruning.
async fn refuse_forgotten(repository: &Repository, name: &RegionName) -> Result<()> {
    let now = now(repository.world())?;
    for adoption in repository.adoptions().await? {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let since = forgotten(repository, &place, now).await?.into_iter().find(|(region, _)| region == name);
        let Some((_, since)) = since else { continue };
        let only = only_in(repository, &place, name).await?;
        let url = repository.regions().find(name.as_str()).map(|region| region.url().to_owned());
        return Err(Error::data(
            "region.away-too-long",
            format!("region {name} was away since {since} or before: nobody remembers what was pruned meanwhile, so what it holds must not come back"),
        )
        .fact("url", url.unwrap_or_default())
        .fact("objects that no other region has", only)
        .hint(format!("give {name} an empty place, and run this again: another prefix in its URL in the settings is enough, and nothing has to be deleted"))
        .hint(format!("what only the old place has can still be restored from it: seawall restore --region {name} …, before its URL is changed")));
    }
    Ok(())
}

#[derive(Serialize)]
struct Joined<'a> {
    region: &'a RegionName,
    url: &'a str,
}

async fn tell(repository: &Repository, options: &JoinOptions, report: &mut JoinReport) -> Result<()> {
    let Some(present) = repository.adoptions().await?.pop() else { return Ok(()) };
    let place = Place { cluster: repository.cluster().clone(), system: present.system };
    let joined = Joined { region: &report.region, url: &report.url };
    let told =
        events::tell(repository, &repository.regions().set(), &place, options.joining.event(), &joined).await;
    match told {
        Err(error) if error.kind() == Kind::Bug => Err(error),
        Err(error) => {
            report.findings.push(Finding {
                id: "region.event-not-stored",
                what: format!("the event could not be written: {error}"),
                hint: None,
            });
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
