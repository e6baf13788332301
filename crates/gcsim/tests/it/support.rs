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

/// The JSON API, spoken by hand as whoever has a token.
pub(crate) struct Json {
    client: reqwest::Client,
    url: String,
    token: String,
}

pub(crate) type Said = (u16, serde_json::Value);

impl Json {
    pub(crate) fn new(control: &Control) -> Self {
        Self::with_token(control, "anything")
    }

    pub(crate) fn with_token(control: &Control, token: &str) -> Self {
        Self { client: http(), url: control.url(), token: token.to_owned() }
    }

    /// A request beneath `/storage/v1/b`, with a JSON body where one is given.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &serde_json::Value) -> Said {
        let url = format!("{}/storage/v1/b{path}", self.url);
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        said(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Said {
        self.call("GET", path, &serde_json::Value::Null).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Said {
        self.call("DELETE", path, &serde_json::Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: serde_json::Value) -> Said {
        self.call("POST", path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: serde_json::Value) -> Said {
        self.call("PATCH", path, &body).await
    }

    /// Bytes alone, with more of a query where one is given.
    pub(crate) async fn upload(&self, name: &str, more: &str, bytes: &'static str) -> Said {
        let url = format!("{}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}{more}", self.url);
        said(self.client.post(url).bearer_auth(&self.token).body(bytes).send().await.unwrap()).await
    }

    /// The object's generation, of an upload that must work.
    pub(crate) async fn put(&self, name: &str, bytes: &'static str) -> String {
        let (status, value) = self.upload(name, "", bytes).await;
        assert_eq!(status, 200, "{value}");
        value["generation"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn said(response: reqwest::Response) -> Said {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// `reason` of a JSON error.
pub(crate) fn reason(said: &Said) -> (u16, &str) {
    (said.0, said.1["error"]["errors"][0]["reason"].as_str().unwrap_or_default())
}
