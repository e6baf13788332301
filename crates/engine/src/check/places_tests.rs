//! What buckets have in common, lie in, and do not tell.

use super::*;
use seawall_store::bucket::about::Versions;

pub(in crate::check) fn about(bucket: &str, location: Told<Location>, owner: &str) -> About {
    About {
        bucket: bucket.to_owned(),
        location,
        owner: Ok(owner.to_owned()),
        lock: Ok(None),
        holds_new_objects: Ok(false),
        versions: Ok(Versions::Off),
        soft_delete: Ok(None),
        deletes_by_itself: Ok(Vec::new()),
        rights: Ok(Vec::new()),
    }
}

fn region(name: &str) -> Told<Location> {
    Ok(Location { name: name.to_owned(), kind: LocationKind::Region, regions: vec![name.to_owned()] })
}

fn wide(name: &str, kind: LocationKind, regions: &[&str]) -> Told<Location> {
    Ok(Location {
        name: name.to_owned(),
        kind,
        regions: regions.iter().map(|one| (*one).to_owned()).collect(),
    })
}

pub(in crate::check) fn place(region: &str, url: &str, about: About) -> Place {
    Place { region: region.to_owned(), url: url.to_owned(), access: Access::default(), about: Some(about) }
}

fn two(one: Told<Location>, other: Told<Location>) -> [Place; 2] {
    [
        place("one", "gs://a/pg", about("a", one, "project 1")),
        place("two", "gs://b/pg", about("b", other, "project 2")),
    ]
}

fn ids(places: &[Place], residency: &[&str]) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut report = CheckReport::default();
    let residency: Vec<String> = residency.iter().map(|one| (*one).to_owned()).collect();
    judge(&mut report, places, &residency);
    let ids = |findings: &[crate::monitor::Finding]| {
        assert!(findings.iter().all(|finding| finding.hint.is_some()));
        findings.iter().map(|finding| finding.id).collect()
    };
    (ids(&report.findings), ids(&report.notes))
}

const NONE: [&str; 0] = [];

#[test]
fn two_places_with_nothing_in_common_are_in_order() {
    let places = two(region("europe-west3"), region("europe-north1"));
    assert_eq!(ids(&places, &["EUROPE-WEST3", "europe-north1"]), (vec![], vec![]));
}

#[test]
fn what_two_regions_share_is_told() {
    assert_eq!(ids(&two(region("europe-west3"), region("europe-west3")), &NONE).0, ["check.same-location"]);
    let pair = wide("eur4", LocationKind::DualRegion, &["europe-north1", "europe-west4"]);
    assert_eq!(ids(&two(pair.clone(), region("europe-west4")), &NONE).0, ["check.same-location"]);
    assert_eq!(ids(&two(pair.clone(), region("europe-west3")), &NONE), (vec![], vec![]));
    let eu = wide("eu", LocationKind::MultiRegion, &[]);
    assert_eq!(
        ids(&two(region("europe-west3"), eu.clone()), &NONE),
        (vec![], vec!["check.maybe-same-location"])
    );
    assert_eq!(ids(&two(eu.clone(), pair), &NONE), (vec![], vec!["check.maybe-same-location"]));
    assert_eq!(ids(&two(eu.clone(), eu), &NONE).0, ["check.same-location"]);

    let mut places = two(region("europe-west3"), region("europe-north1"));
    places[1].about = Some(about("b", region("europe-north1"), "project 1"));
    assert_eq!(ids(&places, &NONE), (vec![], vec!["check.same-owner"]));
    places[1].about = Some(about("a", region("europe-west3"), "project 1"));
    assert_eq!(ids(&places, &NONE), (vec!["check.same-bucket"], vec![]));
    // One name at another address is another bucket.
    places[1].access.endpoint = Some("https://elsewhere".to_owned());
    assert_eq!(ids(&places, &NONE).0, ["check.same-location"]);
}

#[test]
fn services_of_other_makes_call_their_places_as_they_like() {
    let mut places = two(region("us-east-1"), region("us-east-1"));
    for (place, endpoint) in places.iter_mut().zip(["https://one.lan", "https://two.lan"]) {
        place.url = place.url.replace("gs://", "s3://");
        place.access.endpoint = Some(endpoint.to_owned());
    }
    assert_eq!(ids(&places, &NONE), (vec![], vec![]));
    places[1].access.endpoint.clone_from(&places[0].access.endpoint.clone());
    assert_eq!(ids(&places, &NONE).0, ["check.same-location"]);
}

#[test]
fn data_that_lies_elsewhere_or_nobody_knows_where_is_found() {
    let pair = wide("eu", LocationKind::DualRegion, &["europe-west1", "europe-west4"]);
    let places = two(pair, region("us-east1"));
    assert_eq!(ids(&places, &["europe-west1", "europe-west4"]).0, ["check.residency"]);
    assert_eq!(ids(&places, &["EU", "us-east1"]).0, NONE);
    assert_eq!(
        ids(&places, &["europe-west1", "us-east1"]).0,
        ["check.residency"],
        "half of a pair is not all of it"
    );
    let places = two(region("europe-west3"), Err(NotTold("the service answered 403".to_owned())));
    assert_eq!(ids(&places, &["europe-west3"]), (vec!["check.residency"], vec!["check.not-told"]));
    assert_eq!(ids(&places, &NONE), (vec![], vec!["check.not-told"]));
}

#[test]
fn a_bucket_that_deletes_or_holds_by_itself_is_found() {
    let mut places = two(region("europe-west3"), region("europe-north1"));
    let here = places[0].about.as_mut().unwrap();
    here.deletes_by_itself = Ok(vec!["deletes objects with {\"age\":30}".to_owned()]);
    here.holds_new_objects = Ok(true);
    assert_eq!(ids(&places, &NONE).0, ["check.bucket-deletes", "check.new-objects-held"]);
}

#[test]
fn what_is_not_told_for_one_reason_is_one_note() {
    let why = || NotTold("the service answered 403".to_owned());
    let mut silent = about("a", Err(why()), "account x");
    (silent.lock, silent.versions) = (Err(why()), Err(why()));
    silent.rights = Err(NotTold("no question".to_owned()));
    let mut report = CheckReport::default();
    judge(&mut report, &[place("one", "s3://a/pg", silent)], &[]);
    let told: Vec<&str> = report.notes.iter().map(|note| note.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "bucket a of region one was not told: where it is, its lock, versions: the service answered 403",
            "bucket a of region one was not told: which rights this login has: no question",
        ]
    );
}
