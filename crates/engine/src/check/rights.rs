//! What this host's login may do in each bucket: everything it needs, and nothing that would let a taken host destroy the copy.
//!
//! Promises: nothing that is stored is touched in finding out (how each right is asked for is told where it is asked:
//! [`seawall_store::Region::may_create`], [`seawall_store::Region::may_delete`]). Deliberately looks at buckets only: in a directory
//! whoever writes can delete.

use seawall_repo::layout::Named;
use seawall_store::bucket::about::{NotTold, Told};
use seawall_store::{ErrorKind, Region, StoreError};

use super::CheckReport;
use super::places::{Place, by_reason};
use crate::repository::Repository;

/// What a login of Google may have besides. Everything else that was asked about gives power over what is stored.
const HARMLESS: [&str; 4] =
    ["storage.objects.create", "storage.objects.get", "storage.objects.list", "storage.buckets.get"];
const DELETE: &str = "storage.objects.delete";

/// What was found out in one region.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    create: Told<bool>,
    read: Told<bool>,
    list: Told<bool>,
    delete: Told<bool>,
}

/// Tries in the regions that hold the repository, and judges. `prunes`: whether this host is one that deletes.
pub(super) async fn check(report: &mut CheckReport, repository: &Repository, places: &[Place], prunes: bool) {
    for region in repository.regions().iter() {
        let place = places.iter().find(|place| place.region == region.name().as_str());
        if let Some(place) = place.filter(|place| place.about.is_some()) {
            let rights = look(region, place).await;
            judge(report, place, &rights, prunes);
        }
    }
}

async fn look(region: &Region, place: &Place) -> Rights {
    let told = place.about.as_ref().and_then(|about| about.rights.as_ref().ok());
    let create = match told {
        // A grant under a condition on names is not seen by the question, so only a yes is an answer.
        Some(rights) if rights.iter().any(|right| right == "storage.objects.create") => Ok(true),
        _ => match region.may_create().await {
            // Who may only add blobs cannot put one under a name that is taken (*assumed*): a refusal there says nothing.
            Ok(false) if place.scheme() == "az" => Err(NotTold(
                "Azure refuses a put under a name that is taken to who may only add, too".to_owned(),
            )),
            answer => answer.map_err(|error| NotTold::from(&error)),
        },
    };
    let marker = Named::Seawall.to_name();
    let read = allowed(region.head(marker.as_str()).await);
    let list = allowed(region.list_level("").await);
    Rights { create, read, list, delete: region.may_delete().await }
}

fn allowed<T>(answer: std::result::Result<T, StoreError>) -> Told<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Denied => Ok(false),
        Err(error) => Err(NotTold::from(&error)),
    }
}

fn judge(report: &mut CheckReport, place: &Place, rights: &Rights, prunes: bool) {
    let (before, region) = (report.findings.len() + report.notes.len(), &place.region);
    let needed = [
        ("create", &rights.create, true),
        ("read", &rights.read, true),
        ("list", &rights.list, true),
        ("delete", &rights.delete, prunes),
    ];
    for (right, had, is_needed) in needed {
        if is_needed && *had == Ok(false) {
            report.bad(
                "check.right-missing",
                format!("in region {region} this login may not {right} objects"),
                format!("give it {}", called(place.scheme(), right)),
            );
        }
    }
    let untold = needed.iter().filter_map(|(right, had, _)| Some((*right, had.as_ref().err()?.to_string())));
    for (why, rights) in by_reason(untold) {
        report.note(
            "check.not-told",
            format!(
                "whether this login may {} objects in region {region} was not told: {why}",
                rights.join(", ")
            ),
            "a region that is away is asked when it is back; else look it up where the bucket is managed",
        );
    }
    let told = place.about.as_ref().and_then(|about| about.rights.as_ref().ok());
    let has_delete = told.is_some_and(|rights| rights.iter().any(|right| right == DELETE));
    if !prunes && (rights.delete == Ok(true) || has_delete) {
        report.bad(
            "check.right-too-many",
            format!("in region {region} this login may delete objects: whoever takes this host can destroy the copy"),
            format!("take {} from it; prune with another login, on another host", called(place.scheme(), "delete")),
        );
    }
    let too_many = too_many(place);
    if !too_many.is_empty() {
        report.bad(
            "check.right-too-many",
            format!("in region {region} this login has {}, which nothing here needs", too_many.join(", ")),
            "take it from the login: it lets whoever takes this host change what is stored, or lift what protects it",
        );
    }
    if report.findings.len() + report.notes.len() == before {
        let not = if prunes { "and delete" } else { "and not delete" };
        report.good(format!("rights in region {region}: this login may create, read and list, {not}"));
    }
}

/// What Google says this login has and should not have; deletions were tried, which sees more.
fn too_many(place: &Place) -> Vec<&str> {
    let told = place.about.as_ref().and_then(|about| about.rights.as_ref().ok());
    let mine = told.into_iter().flatten().map(String::as_str);
    mine.filter(|right| *right != DELETE && !HARMLESS.contains(right)).collect()
}

/// A right in the provider's word.
fn called(scheme: &str, right: &str) -> &'static str {
    match (scheme, right) {
        ("gs", "create") => "storage.objects.create",
        ("gs", "read") => "storage.objects.get",
        ("gs", "list") => "storage.objects.list",
        ("gs", _) => DELETE,
        ("s3", "create") => "s3:PutObject",
        ("s3", "read") => "s3:GetObject",
        ("s3", "list") => "s3:ListBucket",
        ("s3", _) => "s3:DeleteObject",
        (_, "create") => "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
        (_, "read" | "list") => "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
        _ => "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::tests::{about, place};
    use super::*;

    fn ids(rights: &Rights, google: &[&str], prunes: bool) -> (Vec<&'static str>, usize) {
        let mut about = about("a", Err(NotTold("not asked".to_owned())), "project 1");
        about.rights = Ok(google.iter().map(|one| (*one).to_owned()).collect());
        let mut report = CheckReport::default();
        judge(&mut report, &place("one", "gs://a/pg", about), rights, prunes);
        assert!(report.findings.iter().all(|finding| finding.hint.is_some()));
        (report.findings.iter().map(|finding| finding.id).collect(), report.in_order.len())
    }

    fn rights(delete: bool) -> Rights {
        Rights { create: Ok(true), read: Ok(true), list: Ok(true), delete: Ok(delete) }
    }

    #[test]
    fn who_writes_must_not_delete_and_who_prunes_must() {
        assert_eq!(ids(&rights(false), &[], false), (vec![], 1));
        assert_eq!(ids(&rights(true), &[], false), (vec!["check.right-too-many"], 0));
        assert_eq!(ids(&rights(true), &[DELETE], true), (vec![], 1));
        assert_eq!(ids(&rights(false), &[], true), (vec!["check.right-missing"], 0));
    }

    #[test]
    fn what_is_lacking_and_what_is_too_much_is_named() {
        let lacking = Rights { create: Ok(false), list: Ok(false), ..rights(false) };
        assert_eq!(ids(&lacking, &[], false).0, ["check.right-missing"; 2]);
        let powerful = ["storage.objects.get", "storage.buckets.update", "storage.buckets.setIamPolicy"];
        let mut about = about("a", Err(NotTold("not asked".to_owned())), "project 1");
        about.rights = Ok(powerful.map(str::to_owned).to_vec());
        let mut report = CheckReport::default();
        judge(&mut report, &place("one", "gs://a/pg", about), &rights(false), false);
        let [found] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
        assert!(
            found.what.contains("storage.buckets.update, storage.buckets.setIamPolicy"),
            "{}",
            found.what
        );
    }

    #[test]
    fn what_cannot_be_told_is_not_in_order() {
        let silent = Rights { delete: Err(NotTold("away".to_owned())), ..rights(false) };
        assert_eq!(ids(&silent, &[], false), (vec![], 0));
        let away = || Err(NotTold("away".to_owned()));
        let silent = Rights { create: away(), read: away(), list: away(), delete: away() };
        let mut report = CheckReport::default();
        let of = about("a", Err(NotTold("away".to_owned())), "project 1");
        judge(&mut report, &place("one", "gs://a/pg", of), &silent, false);
        let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
        assert!(note.what.contains("create, read, list, delete objects in region one"), "{}", note.what);
    }
}
