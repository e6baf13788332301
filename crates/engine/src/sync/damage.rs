//! Which objects are looked at for damage: what verifications recorded, and what is asked for by name.
//!
//! Promises: without being asked nothing is read but what a verification of the last weeks named and nobody healed since; what is condemned
//! or that no kept backup uses is left as it is. Objects go by in the order of their names, some at the same time.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::layout::{Named, ObjectName, Place, prefix};
use seawall_repo::time::Time;
use seawall_store::{Listed, RegionName};

use super::heal::{Healing, heal};
use super::run::{AT_ONCE, Run};
use super::wanted::Wanted;
use crate::backup::now;
use crate::error::{Error, Result};
use crate::verify::known_damage;

/// What is read whole in every region, and healed where it is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heal {
    /// Everything.
    All,
    /// Everything beneath a name that ends in `/`.
    Beneath(String),
    /// This object.
    Object(ObjectName),
}

impl Heal {
    /// As it is typed: `all`, an object's name, or the beginning of names that ends in `/`; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            _ if text.len() > 1 && text.ends_with('/') => Some(Self::Beneath(text.to_owned())),
            _ => ObjectName::parse(text).filter(|name| name.healed().is_none()).map(Self::Object),
        }
    }
}

/// The kind under which it is counted.
const KIND: &str = "heal";

impl Run<'_> {
    /// Heals what is damaged, as far as anybody knows or asks.
    pub(super) async fn heal(&mut self, wanted: &[Wanted]) -> Result<()> {
        self.monitor.phase("damage", None);
        let places: Vec<Place> = wanted.iter().map(|wanted| wanted.place.clone()).collect();
        let mut known = Vec::new();
        for place in &places {
            known.extend(self.recorded(place).await?);
        }
        self.heal_these(known, wanted).await?;
        for asked in self.options.heal.clone() {
            self.asked(&asked, wanted).await?;
        }
        Ok(())
    }

    /// What verifications recorded and nobody healed since.
    async fn recorded(&self, place: &Place) -> Result<Vec<(ObjectName, RegionName)>> {
        let known = known_damage(self.repository, place, now(self.repository.world())?).await?;
        let mut copies: BTreeMap<RegionName, BTreeMap<ObjectName, Time>> = BTreeMap::new();
        for target in self.targets.iter().filter(|target| known.keys().any(|(at, _)| at == target.as_str())) {
            copies.insert(target.clone(), self.heal_copies(target, place).await);
        }
        let since_healed = |region: &RegionName, name: &ObjectName, found: Time| {
            copies.get(region).and_then(|of| of.get(name)).is_some_and(|healed| *healed > found)
        };
        let found = known.into_iter().filter_map(|((region, name), found)| {
            let region = self.targets.iter().find(|target| target.as_str() == region)?.clone();
            (!since_healed(&region, &name, found)).then_some((name, region))
        });
        Ok(found.collect())
    }

    /// The originals of a region's heal copies, and when each got its newest. What cannot be listed is looked at.
    async fn heal_copies(&self, region: &RegionName, place: &Place) -> BTreeMap<ObjectName, Time> {
        let mut newest: BTreeMap<ObjectName, Time> = BTreeMap::new();
        let Some(region) = self.repository.regions().find(region.as_str()) else { return newest };
        for prefix in [prefix::HEALS.to_owned(), prefix::heals(&place.cluster), place.heals()] {
            for info in region.list_collect(&prefix).await.unwrap_or_default() {
                let original = ObjectName::parse(&info.name).and_then(|name| name.healed());
                let stored = Time::from_micros(info.modified_unix_us);
                if let (Some(original), Some(stored)) = (original, stored) {
                    let known = newest.entry(original).or_insert(stored);
                    *known = stored.max(*known);
                }
            }
        }
        newest
    }

    async fn asked(&mut self, asked: &Heal, wanted: &[Wanted]) -> Result<()> {
        let cluster = self.repository.cluster().clone();
        let prefixes = match asked {
            Heal::Object(name) => {
                let targets = self.targets.iter().map(|target| (name.clone(), target.clone())).collect();
                return self.heal_these(targets, wanted).await;
            }
            Heal::Beneath(prefix) => vec![prefix.clone()],
            Heal::All => {
                let marker = Named::Seawall.to_name();
                let targets = self.targets.iter().map(|target| (marker.clone(), target.clone())).collect();
                self.heal_these(targets, wanted).await?;
                vec![prefix::OWNER.to_owned(), prefix::WRITERS.to_owned(), prefix::cluster(&cluster)]
            }
        };
        let mut names = 0_u64;
        for prefix in prefixes {
            names += self.beneath(&prefix, wanted).await?;
        }
        match (asked, names) {
            (Heal::Beneath(prefix), 0) => {
                Err(Error::usage("sync.nothing-beneath", format!("no region has anything beneath {prefix}"))
                    .hint("names begin with the cluster's, as verify and restore print them"))
            }
            _ => Ok(()),
        }
    }

    /// Every object beneath a prefix; how many there were.
    async fn beneath(&mut self, prefix: &str, wanted: &[Wanted]) -> Result<u64> {
        let repository = self.repository;
        let mut listed = repository.regions().list_all(prefix);
        let (mut names, mut these) = (0, Vec::new());
        while let Some(next) = listed.next().await {
            match next {
                Listed::Broken { region, error } => self.broken(&region, &error.chain()),
                Listed::Object { name, held, .. } => {
                    names += 1;
                    let Some(name) = ObjectName::parse(&name) else { continue };
                    let targets = held.into_iter().filter(|held| self.targets.contains(&held.region));
                    these.extend(targets.map(|held| (name.clone(), held.region)));
                }
            }
            if these.len() >= 4 * AT_ONCE {
                self.heal_these(std::mem::take(&mut these), wanted).await?;
            }
        }
        self.heal_these(these, wanted).await?;
        Ok(names)
    }

    async fn heal_these(&mut self, these: Vec<(ObjectName, RegionName)>, wanted: &[Wanted]) -> Result<()> {
        let (repository, dry_run) = (self.repository, self.options.dry_run);
        for wanted in wanted.iter().filter(|_| !these.is_empty()) {
            wanted.keep_fresh(repository).await?;
        }
        let these: Vec<_> = these
            .into_iter()
            .filter(|(name, region)| worth(name, wanted) && !self.is_given_up(region))
            .collect();
        let mut healing = futures::stream::iter(these)
            .map(|(name, region)| async move {
                let healing = match repository.regions().find(region.as_str()) {
                    Some(target) => heal(repository, &name, target, dry_run).await,
                    None => Healing::NotNeeded,
                };
                (name, region, healing)
            })
            .buffered(AT_ONCE);
        while let Some((name, region, healing)) = healing.next().await {
            self.tell_healing(&name, &region, healing);
        }
        Ok(())
    }

    fn tell_healing(&mut self, name: &ObjectName, region: &RegionName, healing: Healing) {
        let (damaged, healed, bytes) = match healing {
            Healing::NotNeeded => return,
            Healing::Damaged(bytes) => (1, 0, bytes),
            Healing::Healed(bytes) => (1, 1, bytes),
            Healing::Conflict(why) => {
                return self.tell("sync.conflict", format!("{name} in {region} is not healed: {why}"));
            }
            Healing::NoGoodCopy(why) => {
                return self.tell("sync.no-good-copy", format!("{name} cannot be healed in {region}: {why}"));
            }
            Healing::Refused(error) => {
                self.give_up(region, &error.chain());
                let what = format!("{name} was not healed in {region}: {}", error.chain());
                return self.tell("sync.region-refuses", what);
            }
        };
        self.monitor.advance(bytes * healed);
        if let Some(told) = self.kind_of(region, KIND) {
            told.lacking += damaged;
            told.lacking_bytes += bytes;
            told.copied += healed;
            told.copied_bytes += bytes * healed;
        }
    }
}

/// Whether an object is healed at all: not what is on its way out, and no copy of a copy.
fn worth(name: &ObjectName, wanted: &[Wanted]) -> bool {
    let named = name.named();
    let own = match named {
        Named::Adoption(_) => return true,
        Named::Heal { .. } => return false,
        named => named.place(),
    };
    let Some(place) = own else { return true };
    wanted.iter().find(|wanted| wanted.place == *place).is_some_and(|wanted| wanted.stays(named))
}
