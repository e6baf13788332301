//! From what a run gathered to its report: counts by region, what could not be checked, the place for the next run.
//!
//! Pure but for the meters of regions. Promise: what was not looked at is said in words.

use std::collections::BTreeMap;

use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::memory::Place;
use super::options::{Depth, VerifyOptions};
use super::outcome::Gathered;
use super::pass::Pass;
use super::report::{Known, RegionReport};
use crate::error::Error;
use crate::repository::Repository;

pub(super) fn none_answered(gathered: &Gathered) -> Error {
    let error = Error::unavailable("repository.region-unavailable", "no region could be verified");
    gathered
        .broken
        .iter()
        .fold(error, |error, (region, why)| error.fact("region", format!("{region}: {why}")))
}

pub(super) fn region_reports(
    repository: &Repository,
    gathered: &Gathered,
    regions: &[RegionName],
) -> Vec<RegionReport> {
    let of = |region: &RegionName| {
        let tally = gathered.tallies.get(region)?;
        let requests = repository.regions().find(region.as_str())?.meter();
        Some(RegionReport {
            region: region.clone(),
            broken: gathered.broken.get(region).cloned(),
            kinds: tally.kinds.clone(),
            orphans: tally.orphans,
            leftovers: tally.leftovers.map(|left| left.removed),
            pages: tally.pages,
            pages_unjudged: tally.unjudged,
            links: gathered
                .links
                .iter()
                .filter(|((_, of), _)| of == region)
                .map(|(_, links)| links.compared)
                .sum(),
            read_bytes: requests.get.bytes,
            requests,
        })
    };
    regions.iter().filter_map(of).collect()
}

pub(super) fn known_damage(gathered: &Gathered) -> Vec<Known> {
    let most = |regions: &BTreeMap<RegionName, u64>| regions.values().copied().max().unwrap_or(0);
    gathered
        .known
        .iter()
        .map(|(backup, regions)| Known { backup: *backup, pages: most(regions) })
        .filter(|known| known.pages > 0)
        .collect()
}

pub(super) fn not_checked(
    repository: &Repository,
    options: &VerifyOptions,
    gathered: &Gathered,
    pass: &Pass<'_>,
    remembers: bool,
) -> Vec<String> {
    let mut words = Vec::new();
    match options.depth {
        Depth::Quick => words.push("content, and whether neighbouring WAL segments go on in one another: names, sizes, signatures of manifests, maps and records only; --sample, --stored or --full read it".to_owned()),
        Depth::Sample(share) => words.push(format!("content and links of WAL segments beyond a sample of {share}, and maps against packs; --full reads everything")),
        Depth::Stored => words.push("what is in objects: their stored bytes were held against what was signed, and links of WAL segments by what their indexes tell; --full opens them".to_owned()),
        Depth::Full if !repository.opens_content() => words.push(
            "what is in packs and WAL: frames, page digests and checksums need the private key (--identity FILE); signatures, stored digests, footers, and links of WAL segments by what their indexes tell were checked"
                .to_owned(),
        ),
        Depth::Full => {}
    }
    if gathered.closed > 0 && repository.opens_content() && options.depth != Depth::Stored {
        words.push(format!(
            "the content of {} objects: no identity at hand opens their keys",
            gathered.closed
        ));
    }
    let untold: u64 = gathered.links.values().map(|links| links.untold).sum();
    if untold > 0 {
        words.push(format!(
            "{untold} links between neighbouring WAL segments: one of the two has no index, and its records were not or cannot be read"
        ));
    }
    if pass.stopped {
        words.push(
            "what lies behind the place where the budget ended; run it again to go on there".to_owned(),
        );
    }
    if options.is_budgeted() && !remembers {
        words.push("nothing is remembered: no signing key is at hand, so the next run begins anew (run it on a host that writes)".to_owned());
    }
    words
}

pub(super) fn place(
    pass: &Pass<'_>,
    options: &VerifyOptions,
    regions: &[RegionName],
    before: Option<Place>,
    began: Time,
) -> Option<Place> {
    if !options.depth.reads_all() {
        return None;
    }
    let goes_on = pass.resume.is_some();
    let last_complete = before.as_ref().and_then(|before| before.last_complete);
    let round_began = before.filter(|_| goes_on).map_or(began, |before| before.round_began);
    let reached = pass.reached.clone().or_else(|| pass.resume.clone());
    Some(Place {
        depth: options.depth.word().to_owned(),
        regions: regions.iter().map(ToString::to_string).collect(),
        round_began,
        after: reached.filter(|_| pass.stopped),
        last_complete: if pass.stopped { last_complete } else { Some(began) },
    })
}
