//! The files beneath `config` that are handed to cloud providers: S3's and Azure's roles are held against Google's, which
//! `real_least_rights` holds against what was used; the Terraform example is parsed and looked into. None of them has met its provider.

use std::collections::BTreeSet;

use crate::support::rights::{ROLES, config, of_role};
use hcl_edit::structure::{Block, Body};
use seawall_testkit::{Context as _, Failure, Result};
use serde_json::Value;

const CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";

fn on_s3(google: &str) -> &'static [&'static str] {
    match google {
        "storage.objects.create" => &["s3:PutObject"],
        "storage.objects.get" => &["s3:GetObject"],
        "storage.objects.list" => &["s3:ListBucket"],
        "storage.objects.delete" => &["s3:DeleteObject"],
        "storage.buckets.get" => &[
            "s3:GetBucketLocation",
            "s3:GetBucketObjectLockConfiguration",
            "s3:GetBucketVersioning",
            "s3:GetLifecycleConfiguration",
        ],
        _ => &["(no action of S3 is known for it)"],
    }
}

fn on_azure(google: &str) -> &'static str {
    match google {
        "storage.objects.create" => "blobs/add/action",
        "storage.objects.get" | "storage.objects.list" => "blobs/read",
        "storage.objects.delete" => "blobs/delete",
        "storage.buckets.get" => "read",
        _ => "(no action of Azure is known for it)",
    }
}

fn texts(value: &Value) -> impl Iterator<Item = String> + '_ {
    value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned))
}

fn read(path: &str) -> Result<Value> {
    serde_json::from_str(&config(path)?).context(|| format!("reading {path}"))
}

#[test]
fn the_roles_of_s3_and_azure_say_what_those_of_google_say() -> Result<()> {
    for role in ROLES {
        let google = of_role(role)?;
        let policy = read(&format!("iam/amazon/{role}.json"))?;
        let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
        let given: BTreeSet<String> = statements.iter().flat_map(|one| texts(&one["Action"])).collect();
        let wanted = google.iter().flat_map(|right| on_s3(right)).map(|one| (*one).to_owned()).collect();
        assert_eq!(given, wanted, "{role} on S3");
        assert!(statements.iter().all(|one| one["Effect"] == "Allow"), "{role} on S3");
        // Only objects that are new: S3 would replace others without asking for another right.
        for put in
            statements.iter().filter(|one| texts(&one["Action"]).any(|action| action == "s3:PutObject"))
        {
            assert_eq!(put["Condition"]["Null"]["s3:if-none-match"], "false", "{role} on S3");
        }

        let definition = read(&format!("iam/azure/{role}.json"))?;
        let given: BTreeSet<String> =
            texts(&definition["Actions"]).chain(texts(&definition["DataActions"])).collect();
        let wanted = google.iter().map(|right| format!("{CONTAINERS}/{}", on_azure(right))).collect();
        assert_eq!(given, wanted, "{role} on Azure");
    }
    Ok(())
}

#[test]
fn only_who_prunes_may_delete_and_nobody_may_change_a_bucket() -> Result<()> {
    for role in ROLES {
        let rights = of_role(role)?;
        assert_eq!(rights.contains("storage.objects.delete"), role == "pruner", "{role}");
        for right in rights {
            assert!(
                right == "storage.buckets.get" || right.starts_with("storage.objects."),
                "{role}: {right}"
            );
        }
    }
    Ok(())
}

fn blocks<'a>(body: &'a Body, kind: &'a str, label: &'a str) -> Vec<&'a Block> {
    let labelled = |block: &&Block| block.labels.first().is_none_or(|first| first.as_str() == label);
    body.get_blocks(kind).filter(labelled).collect()
}

#[test]
fn the_terraform_example_is_hcl_with_a_lock_on_each_bucket_and_no_rule_that_deletes() -> Result<()> {
    let text = config("terraform/google/main.tf")?;
    let body: Body = text.parse().map_err(|error| Failure::new(format!("main.tf: {error}")))?;
    let buckets = blocks(&body, "resource", "google_storage_bucket");
    let [bucket] = buckets.as_slice() else {
        return Err(Failure::new(format!("{} resources of buckets", buckets.len())));
    };
    for wanted in ["retention_policy", "soft_delete_policy", "lifecycle_rule"] {
        assert_eq!(bucket.body.get_blocks(wanted).count(), 1, "{wanted}");
    }
    let rules = bucket.body.get_blocks("lifecycle_rule").flat_map(|rule| rule.body.get_blocks("action"));
    let actions: Vec<String> = rules
        .filter_map(|action| Some(action.body.get_attribute("type")?.value.as_str()?.to_owned()))
        .collect();
    assert_eq!(actions, ["AbortIncompleteMultipartUpload"]);
    for resource in
        ["google_project_iam_custom_role", "google_service_account", "google_storage_bucket_iam_member"]
    {
        assert_eq!(blocks(&body, "resource", resource).len(), 1, "{resource}");
    }
    // The permissions come from the files themselves, so they cannot drift; that all of them are taken is left to see.
    for role in ROLES {
        assert!(text.contains(&format!("\"{role}\"")), "{role}");
    }
    assert!(text.contains("yamldecode(file(\"${path.module}/../../iam/google/${role}.yaml\"))"));
    Ok(())
}
