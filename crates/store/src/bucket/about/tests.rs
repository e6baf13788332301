use super::*;
use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::AzureCredential;
use object_store::client::{HttpError, HttpResponse, HttpService};
use object_store::gcp::GcpCredential;
use std::sync::Arc;

/// No test here sends anything.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl HttpService for Nobody {
    async fn call(&self, _request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        Ok(HttpResponse::new(Bytes::new().into()))
    }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Told<Answer> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Ok(Answer { status, headers: headers.collect(), body: Bytes::copy_from_slice(body.as_bytes()) })
}

fn google(answers: &[Told<Answer>]) -> About {
    let credential = GcpCredential { bearer: String::new() };
    let (client, base) = (HttpClient::new(Nobody), String::new());
    let credentials = Arc::new(StaticCredentialProvider::new(credential));
    gcs::Google { client, credentials, base, bucket: "b".into(), prefix: "pg/".into() }.read(answers)
}

fn amazon(answers: &[Told<Answer>]) -> About {
    let credential = AwsCredential { key_id: String::new(), secret_key: String::new(), token: None };
    let (client, base) = (HttpClient::new(Nobody), String::new());
    let credentials = Arc::new(StaticCredentialProvider::new(credential));
    let (bucket, prefix, region) = ("b".into(), "pg/".into(), String::new());
    s3::Amazon { client, credentials, base, bucket, prefix, region }.read(answers)
}

fn azure(answers: &[Told<Answer>]) -> About {
    let credential = AzureCredential::BearerToken(String::new());
    let (client, base) = (HttpClient::new(Nobody), String::new());
    let credentials = Arc::new(StaticCredentialProvider::new(credential));
    azure::Azure { client, credentials, base, account: "acme".into(), container: "c".into() }.read(answers)
}

fn refused() -> Told<Answer> {
    Err(NotTold("the service answered 403".to_owned()))
}

#[test]
fn what_google_says_of_a_bucket_is_read() {
    let resource = r#"{"location": "EUR4", "locationType": "dual-region", "projectNumber": "77",
        "retentionPolicy": {"retentionPeriod": "86400", "isLocked": true}, "versioning": {"enabled": true},
        "softDeletePolicy": {"retentionDurationSeconds": "604800"}, "defaultEventBasedHold": true,
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 3}}]}}"#;
    let rights = r#"{"permissions": ["storage.objects.get"]}"#;
    let about = google(&[answer(200, &[], resource), answer(200, &[], rights)]);
    let location = about.location.unwrap();
    assert_eq!((location.name.as_str(), location.kind), ("eur4", LocationKind::DualRegion));
    assert_eq!(location.regions, ["europe-north1", "europe-west4"]);
    assert_eq!(about.owner.unwrap(), "project 77");
    assert_eq!(about.lock.unwrap(), Some(Lock { period: days(1), is_final: true }));
    assert_eq!(about.versions.unwrap(), Versions::Kept(Some(days(3))));
    assert_eq!(about.soft_delete.unwrap(), Some(days(7)));
    assert!(about.holds_new_objects.unwrap() && about.deletes_by_itself.unwrap().is_empty());
    assert_eq!(about.rights.unwrap(), ["storage.objects.get"]);
}

#[test]
fn a_plain_bucket_of_google_keeps_nothing_and_a_pair_of_ones_own_names_its_regions() {
    let plain = r#"{"location": "EUROPE-WEST3", "locationType": "region", "projectNumber": "7",
        "softDeletePolicy": {"retentionDurationSeconds": "0"}}"#;
    let about = google(&[answer(200, &[], plain), answer(200, &[], "{}")]);
    assert_eq!(about.location.unwrap().regions, ["europe-west3"]);
    assert_eq!((about.lock, about.versions, about.soft_delete), (Ok(None), Ok(Versions::Off), Ok(None)));
    assert_eq!(about.rights.unwrap(), Vec::<String>::new());
    let pair = r#"{"location": "EU", "locationType": "dual-region",
        "customPlacementConfig": {"dataLocations": ["EUROPE-WEST1", "EUROPE-WEST4"]}}"#;
    let about = google(&[answer(200, &[], pair), refused()]);
    assert_eq!(about.location.unwrap().regions, ["europe-west1", "europe-west4"]);
}

#[test]
fn what_was_not_told_is_never_none() {
    for about in
        [google(&[refused(), refused()]), amazon(&[]), google(&[answer(404, &[], ""), answer(200, &[], "x")])]
    {
        assert!(about.location.is_err() && about.owner.is_err() && about.lock.is_err(), "{about:?}");
        assert!(
            about.versions.is_err() && about.deletes_by_itself.is_err() && about.rights.is_err(),
            "{about:?}"
        );
    }
    assert!(google(&[answer(200, &[], "{}")]).location.is_err());
    let told = azure(&[refused(), refused(), refused()]);
    assert!(
        told.location.is_err() && told.lock.is_err() && told.soft_delete.is_err() && told.rights.is_err()
    );
}

#[test]
fn what_s3_says_of_a_bucket_is_read() {
    let location = "<?xml?><LocationConstraint xmlns=\"x\">eu-central-1</LocationConstraint>";
    let lock = "<ObjectLockConfiguration><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let rules = "<LifecycleConfiguration><Rule><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>5</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";
    let owner = "<ListBucketResult><Contents><Owner><ID>abc</ID></Owner></Contents></ListBucketResult>";
    let about = amazon(&[location, lock, versioning, rules, owner].map(|body| answer(200, &[], body)));
    assert_eq!(about.location.unwrap().name, "eu-central-1");
    assert_eq!(about.owner.unwrap(), "account abc");
    assert_eq!(about.lock.unwrap(), Some(Lock { period: days(30), is_final: true }));
    assert_eq!(about.versions.unwrap(), Versions::Kept(Some(days(5))));

    let plain = [
        answer(200, &[], "<LocationConstraint/>"),
        answer(404, &[], ""),
        answer(200, &[], "<V/>"),
        answer(404, &[], ""),
    ];
    let about = amazon(&plain);
    assert_eq!(about.location.unwrap().name, "us-east-1");
    assert_eq!((about.lock, about.versions), (Ok(None), Ok(Versions::Off)));
    assert_eq!(about.deletes_by_itself.unwrap(), Vec::<String>::new());
    let years = lock.replace("<Days>30</Days>", "<Years>1</Years>").replace("COMPLIANCE", "GOVERNANCE");
    let about = amazon(&[refused(), answer(200, &[], &years)]);
    assert_eq!(about.lock.unwrap(), Some(Lock { period: days(365), is_final: false }));
}

#[test]
fn what_azure_says_of_a_container_is_read() {
    let service = "<StorageServiceProperties><DeleteRetentionPolicy><Enabled>true</Enabled><Days>14</Days></DeleteRetentionPolicy></StorageServiceProperties>";
    let plain = [("x-ms-has-immutability-policy", "false"), ("x-ms-has-legal-hold", "false")];
    let sku = [("x-ms-sku-name", "Standard_GRS")];
    let about = azure(&[answer(200, &plain, ""), answer(200, &[], service), answer(200, &sku, "")]);
    assert!(about.location.unwrap_err().0.contains("Standard_GRS"));
    assert_eq!((about.owner.unwrap().as_str(), about.lock), ("account acme", Ok(None)));
    assert_eq!((about.soft_delete, about.holds_new_objects), (Ok(Some(days(14))), Ok(false)));
    let locked = [
        ("x-ms-has-immutability-policy", "true"),
        ("x-ms-immutable-storage-with-versioning-enabled", "true"),
    ];
    let about = azure(&[answer(200, &locked, ""), refused(), refused()]);
    assert!(about.lock.is_err());
    assert_eq!(about.versions, Ok(Versions::Kept(None)));
}
