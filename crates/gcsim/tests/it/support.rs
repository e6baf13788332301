//! Starting a simulator with a bucket, and clients for it.

use std::sync::Once;

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use seawall_gcsim::{Control, Simulator};

pub(crate) const BUCKET: &str = "backups";

/// A simulator in this process with one bucket in one region.
pub(crate) fn simulator() -> Simulator {
    let simulator = Simulator::start().unwrap();
    simulator.create_bucket(BUCKET, "europe-west3").unwrap();
    simulator
}

/// The same, with settings of a bucket resource besides.
pub(crate) fn simulator_with(settings: &serde_json::Value) -> Simulator {
    let simulator = Simulator::start().unwrap();
    let mut resource = serde_json::json!({ "name": BUCKET, "location": "europe-west3" });
    resource.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    simulator.create_bucket_with(&resource, "project", true).unwrap();
    simulator
}

/// TLS is never used here, and the client wants to know whose all the same.
pub(crate) fn with_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// `object_store`'s driver on a bucket, as whoever has this token, without retries.
pub(crate) fn driver_as(control: &Control, bucket: &str, token: &str) -> GoogleCloudStorage {
    with_tls_provider();
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() };
    GoogleCloudStorageBuilder::new()
        .with_base_url(&control.url())
        .with_bucket_name(bucket)
        .with_bearer_token(token)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(retry)
        .build()
        .unwrap()
}

pub(crate) fn driver(control: &Control) -> GoogleCloudStorage {
    driver_as(control, BUCKET, "anything")
}

pub(crate) fn http() -> reqwest::Client {
    with_tls_provider();
    reqwest::Client::new()
}
