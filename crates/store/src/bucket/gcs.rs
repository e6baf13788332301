//! Google Cloud Storage (`gs://bucket/prefix`), by its XML interface.
//!
//! Logging in: the file of the settings, else that of `GOOGLE_APPLICATION_CREDENTIALS`, else what `gcloud auth
//! application-default login` has left, else the metadata server of the machine (also workload identity on GKE); as
//! <https://cloud.google.com/docs/authentication/application-default-credentials> orders them. A file may be of a service account, of a
//! person, of a workload that another provider vouches for, or ask for another account's token ([`federated`]).

mod federated;

use super::about::gcs::Google;
use super::client::{Connector, LINK, no_retries, options};
use super::open::{BucketError, Driven, beneath, names_begin};
use super::secret;
use crate::access::Access;
use crate::world::World;
use federated::Federated;
use object_store::client::HttpClient;
use object_store::client::HttpConnector as _;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{ClientOptions, HeaderMap, HeaderValue, StaticCredentialProvider};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) const OPTIONS: &[&str] =
    &["credentials_file", "endpoint", "ca_file", "proxy", "storage_class", "kms_key", "user_project"];

/// Where Google answers for both of its interfaces.
const ADDRESS: &str = "https://storage.googleapis.com";

/// The beginning of every kind of Google's credentials file.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// A file for emulators: a token as it is, sent only to an endpoint on the loopback.
#[derive(Deserialize)]
struct Fixed {
    token: String,
}

pub(super) fn driver(
    bucket: &str,
    access: &Access,
    prefix: Option<Path>,
    world: &World,
) -> Result<Driven, BucketError> {
    let client = options(access, headers("x-goog-user-project", access.user_project.as_deref())?)?;
    let with_puts = headers("x-goog-encryption-kms-key-name", access.kms_key.as_deref())?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(no_retries())
        .with_client_options(client.clone())
        .with_http_connector(Connector::google(with_puts));
    let base = access.endpoint.as_deref().unwrap_or(ADDRESS).trim_end_matches('/').to_owned();
    let builder = match &access.endpoint {
        Some(_) => builder.with_base_url(&base),
        None => builder,
    };
    let login = Connector::default().connect(&login_options(access)?)?;
    let driver = log_in(builder, access, (&login, world))?.build()?;
    let service = Google {
        client: Connector::default().connect(&client)?,
        credentials: Arc::clone(driver.credentials()),
        base,
        bucket: bucket.to_owned(),
        prefix: names_begin(prefix.as_ref()),
    };
    Ok(Driven { driver: beneath(driver, prefix), service: Arc::new(service) })
}

/// Who pays for requests to the storage is not the affair of those who hand out tokens. Which addresses may be asked by plain HTTP is looked at
/// when a file is read ([`federated`]); what is on the machine's link no proxy reaches.
fn login_options(access: &Access) -> Result<ClientOptions, BucketError> {
    let options = options(access, HeaderMap::new())?.with_allow_http(true);
    Ok(match access.proxy {
        Some(_) => options.with_proxy_excludes(format!("localhost,127.0.0.0/8,::1,{LINK}")),
        None => options,
    })
}

fn headers(name: &'static str, value: Option<&str>) -> Result<HeaderMap, BucketError> {
    let mut headers = HeaderMap::new();
    if let Some(value) = value {
        let value = HeaderValue::from_str(value).map_err(|_odd| BucketError::Url {
            url: value.to_owned(),
            why: "cannot be sent; is it one line of plain characters?",
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn log_in(
    builder: GoogleCloudStorageBuilder,
    access: &Access,
    (client, world): (&HttpClient, &World),
) -> Result<GoogleCloudStorageBuilder, BucketError> {
    let of_environment = || std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    let Some(path) = access.credentials_file.clone().or_else(of_environment) else { return Ok(builder) };
    let text = secret::read(&path)?;
    let unusable = |why: String| BucketError::File { path: path.clone(), why };
    // The parser's own words would repeat what stands there.
    let kind: Kind = serde_json::from_str(&text)
        .map_err(|_secret| unusable("it is no JSON of Google's credentials".to_owned()))?;
    match kind.kind.as_str() {
        "service_account" => Ok(builder.with_service_account_key(text.as_str())),
        "authorized_user" => Ok(builder.with_application_credentials(path.display().to_string())),
        "fixed_token"
            if access.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) =>
        {
            let fixed: Fixed =
                serde_json::from_str(&text).map_err(|_secret| unusable("it holds no token".to_owned()))?;
            let credential = GcpCredential { bearer: fixed.token };
            Ok(builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential))))
        }
        "external_account" | "impersonated_service_account" => {
            let federated = Federated::new(&text, client.clone(), world, unusable)?;
            Ok(builder.with_credentials(Arc::new(federated)))
        }
        other => Err(unusable(format!(
            "credentials of the type {other:?} are not supported; service_account, authorized_user, external_account and impersonated_service_account are"
        ))),
    }
}
