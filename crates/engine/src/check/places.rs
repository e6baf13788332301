//! Where the buckets are, whose they are, and what two of them have in common: what the services tell in, findings out.
//!
//! Promises: what a service does not tell is said to be not told, and counts as a breach where a setting asks for it. Names of
//! locations are compared as the service writes them, whatever their case. Deliberately says nothing of directories but that nobody
//! can be asked about them.

use seawall_store::Access;
use seawall_store::bucket::about::{About, Location, LocationKind, NotTold, Told};

use super::CheckReport;
use crate::repository::Repository;

/// A region and what its service tells of the bucket; nothing where it is a directory.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) url: String,
    pub(super) access: Access,
    pub(super) about: Option<About>,
}

impl Place {
    /// `gs`, `s3`, `az` or `file`.
    pub(super) fn scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

/// Asks every region at the same time.
pub(super) async fn look(repository: &Repository) -> Vec<Place> {
    let regions = repository.regions();
    let told = regions.each(|region| region.about()).await.into_iter();
    let placed = regions.iter().zip(told);
    placed
        .map(|(region, (name, about))| Place {
            region: name.to_string(),
            url: region.url().to_owned(),
            access: region.access().clone(),
            about,
        })
        .collect()
}

/// Judges where they are; `residency` are the places where data may be, all where it is empty.
pub(super) fn judge(report: &mut CheckReport, places: &[Place], residency: &[String]) {
    for place in places {
        match &place.about {
            Some(about) => {
                report.good(line(place, about));
                not_told(report, place, about);
                by_itself(report, place, about);
                resides(report, place, about, residency);
            }
            None => {
                report.good(format!("region {} is a directory: where it stands is not told", place.region));
            }
        }
    }
    for (at, place) in places.iter().enumerate() {
        places.iter().take(at).for_each(|earlier| shared(report, earlier, place));
    }
}

fn line(place: &Place, about: &About) -> String {
    let mut line = format!("region {}: bucket {}", place.region, about.bucket);
    if let Ok(location) = &about.location {
        line += &format!(" in {}", words(location));
    }
    if let Ok(owner) = &about.owner {
        line += &format!(", {owner}");
    }
    line
}

fn words(location: &Location) -> String {
    let kind = match location.kind {
        LocationKind::Region => return format!("{} (a region)", location.name),
        LocationKind::DualRegion => "a dual-region",
        LocationKind::MultiRegion => "a multi-region",
    };
    match location.regions.is_empty() {
        true => format!("{} ({kind})", location.name),
        false => format!("{} ({kind}: {})", location.name, location.regions.join(", ")),
    }
}

/// What is not known, once for each reason.
fn not_told(report: &mut CheckReport, place: &Place, about: &About) {
    let why = |what: &'static str, told: Option<&NotTold>| told.map(|why| (what, why.to_string()));
    let missing = [
        why("where it is", about.location.as_ref().err()),
        why("whose it is", about.owner.as_ref().err()),
        why("its lock", about.lock.as_ref().err()),
        why("whether it holds new objects", about.holds_new_objects.as_ref().err()),
        why("versions", about.versions.as_ref().err()),
        why("soft delete", about.soft_delete.as_ref().err()),
        why("rules that delete", about.deletes_by_itself.as_ref().err()),
        why("which rights this login has", about.rights.as_ref().err()),
    ];
    for (reason, what) in by_reason(missing.into_iter().flatten()) {
        report.note(
            "check.not-told",
            format!(
                "bucket {} of region {} was not told: {}: {reason}",
                about.bucket,
                place.region,
                what.join(", ")
            ),
            to_be_told(place.scheme()),
        );
    }
}

/// What was not told, once for each reason, in the order in which they come.
pub(super) fn by_reason<'a>(missing: impl Iterator<Item = (&'a str, String)>) -> Vec<(String, Vec<&'a str>)> {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (what, reason) in missing {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, what_else)) => what_else.push(what),
            None => reasons.push((reason, vec![what])),
        }
    }
    reasons
}

fn to_be_told(scheme: &str) -> &'static str {
    match scheme {
        "gs" => "to have it told, give this login storage.buckets.get on the bucket",
        "s3" => {
            "to have told what S3 tells, allow this login s3:GetBucketLocation, s3:GetBucketObjectLockConfiguration, \
             s3:GetBucketVersioning and s3:GetLifecycleConfiguration on the bucket"
        }
        _ => "look it up where the bucket is managed",
    }
}

/// What takes objects away, or keeps all of them, without seawall.
fn by_itself(report: &mut CheckReport, place: &Place, about: &About) {
    for rule in about.deletes_by_itself.iter().flatten() {
        report.bad(
            "check.bucket-deletes",
            format!(
                "a rule of bucket {} of region {} {rule}: backups lose what they need",
                about.bucket, place.region
            ),
            "remove the rule from the bucket; seawall prune deletes what nothing needs",
        );
    }
    if about.holds_new_objects == Ok(true) {
        report.bad(
            "check.new-objects-held",
            format!(
                "bucket {} of region {} holds every new object until somebody lets it go: prune can delete nothing",
                about.bucket, place.region
            ),
            "switch the bucket's default hold off; a retention period ends by itself",
        );
    }
}

fn resides(report: &mut CheckReport, place: &Place, about: &About, residency: &[String]) {
    if residency.is_empty() {
        return;
    }
    let cure = "move the region to a bucket in one of these places, or add the place to repository.residency";
    match &about.location {
        Ok(location) if may_be(location, residency) => {}
        Ok(location) => report.bad(
            "check.residency",
            format!(
                "region {} lies in {}, and data may be in {} only",
                place.region,
                words(location),
                residency.join(", ")
            ),
            cure,
        ),
        Err(why) => report.bad(
            "check.residency",
            format!(
                "where region {} lies was not told ({why}), and data may be in {} only",
                place.region,
                residency.join(", ")
            ),
            to_be_told(place.scheme()),
        ),
    }
}

fn may_be(location: &Location, residency: &[String]) -> bool {
    let allowed = |name: &String| residency.iter().any(|place| place.eq_ignore_ascii_case(name));
    allowed(&location.name) || (!location.regions.is_empty() && location.regions.iter().all(allowed))
}

/// What would be lost together.
fn shared(report: &mut CheckReport, one: &Place, other: &Place) {
    let (Some(here), Some(there)) = (&one.about, &other.about) else { return };
    if one.scheme() != other.scheme() {
        return;
    }
    let regions = format!("regions {} and {}", one.region, other.region);
    let one_service =
        one.access.endpoint == other.access.endpoint && one.access.account == other.access.account;
    if one_service && here.bucket == there.bucket {
        report.bad(
            "check.same-bucket",
            format!("{regions} are the same bucket {}: they are lost together", here.bucket),
            "give each region a bucket of its own, in a place of its own",
        );
        return;
    }
    // Another make's location is a setting of that make: it tells nothing about another service of it.
    if one.scheme() != "s3" || one_service {
        locations(report, &regions, &here.location, &there.location);
    }
    if let (Ok(owner), Ok(same)) = (&here.owner, &there.owner)
        && owner == same
    {
        report.note(
            "check.same-owner",
            format!("{regions} belong to one {owner}: who takes it over or closes it has both copies"),
            "put each bucket into a project or account of its own, with owners of its own, where you can",
        );
    }
}

fn locations(report: &mut CheckReport, regions: &str, one: &Told<Location>, other: &Told<Location>) {
    let (Ok(one), Ok(other)) = (one, other) else { return };
    let both = one.regions.iter().find(|region| other.regions.contains(region));
    let same = both.or_else(|| (one.name == other.name).then_some(&one.name));
    if let Some(same) = same {
        report.bad(
            "check.same-location",
            format!(
                "{regions} both lie in {same} ({} and {}): they can be lost together",
                words(one),
                words(other)
            ),
            "put one of the buckets elsewhere",
        );
    } else if within(one, other) || within(other, one) {
        report.note(
            "check.maybe-same-location",
            format!("{regions} may lie in one place: {} and {}", words(one), words(other)),
            "a multi-region does not say where a copy is; take single regions to be sure",
        );
    }
}

/// Whether the service may choose a region of the one for the other, a multi-region.
fn within(one: &Location, wide: &Location) -> bool {
    let begins = match wide.name.as_str() {
        "eu" => "europe-",
        "us" => "us-",
        "asia" => "asia-",
        _ => return false,
    };
    wide.kind == LocationKind::MultiRegion && one.regions.iter().any(|region| region.starts_with(begins))
}

#[cfg(test)]
#[path = "places_tests.rs"]
pub(super) mod tests;
