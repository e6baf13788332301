//! Azure Blob Storage (`az://container/prefix`, with the storage account as a setting).
//!
//! Logging in: the file of the settings (TOML with `account_key`, or `sas_token`, or `client_id`, `client_secret` and `tenant_id`), else
//! `AZURE_STORAGE_ACCOUNT_KEY` and its fellows, else a federated token (workload identity), else the machine's managed identity.

use super::about::azure::Azure;
use super::client::{Connector, no_retries, options};
use super::open::{BucketError, Driven, beneath};
use super::secret;
use crate::access::Access;
use object_store::HeaderMap;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector as _;
use object_store::path::Path;
use serde::Deserialize;
use std::sync::Arc;

pub(super) const OPTIONS: &[&str] =
    &["credentials_file", "endpoint", "ca_file", "proxy", "storage_class", "account"];

/// What is taken from the environment: who one is.
const OF_ENVIRONMENT: [&str; 11] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_ENDPOINT",
    "AZURE_OBJECT_ID",
    "AZURE_USE_AZURE_CLI",
];

/// A file with credentials.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    account_key: Option<String>,
    sas_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    tenant_id: Option<String>,
}

pub(super) fn driver(container: &str, access: &Access, prefix: Option<Path>) -> Result<Driven, BucketError> {
    let account = access.account.clone().or_else(|| std::env::var("AZURE_STORAGE_ACCOUNT_NAME").ok());
    let account = account.ok_or_else(|| BucketError::Url {
        url: format!("az://{container}"),
        why: "needs the name of the storage account: account = \"...\" in its region, or AZURE_STORAGE_ACCOUNT_NAME",
    })?;
    let client = options(access, HeaderMap::new())?;
    let mut builder = log_in(access)?
        .with_account(&account)
        .with_container_name(container)
        .with_retry(no_retries())
        .with_client_options(client.clone())
        .with_http_connector(Connector::default());
    if let Some(endpoint) = &access.endpoint {
        let is_plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned()).with_allow_http(is_plain);
    }
    let base = access.endpoint.clone().unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
    let driver = builder.build()?;
    let service = Azure {
        client: Connector::default().connect(&client)?,
        credentials: Arc::clone(driver.credentials()),
        base: base.trim_end_matches('/').to_owned(),
        account,
        container: container.to_owned(),
    };
    Ok(Driven { driver: beneath(driver, prefix), service: Arc::new(service) })
}

fn log_in(access: &Access) -> Result<MicrosoftAzureBuilder, BucketError> {
    let builder = MicrosoftAzureBuilder::new();
    let Some(path) = &access.credentials_file else {
        let given = OF_ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
        return given
            .map(|(name, value)| Ok((name.to_ascii_lowercase().parse::<AzureConfigKey>()?, value)))
            .try_fold(builder, |builder, setting: Result<_, object_store::Error>| {
                let (key, value) = setting?;
                Ok(builder.with_config(key, value))
            });
    };
    let unusable = |why: &str| BucketError::File { path: path.clone(), why: why.to_owned() };
    let text = secret::read(path)?;
    // The parser's own words would repeat what stands there.
    let found: Credentials = toml::from_str(&text).map_err(|_secret| {
        unusable("it must be TOML with account_key, sas_token, or client_id, client_secret and tenant_id")
    })?;
    let given = [
        (AzureConfigKey::AccessKey, &found.account_key),
        (AzureConfigKey::SasKey, &found.sas_token),
        (AzureConfigKey::ClientId, &found.client_id),
        (AzureConfigKey::ClientSecret, &found.client_secret),
        (AzureConfigKey::AuthorityId, &found.tenant_id),
    ];
    if given.iter().all(|(_, value)| value.is_none()) {
        return Err(unusable("it holds none of account_key, sas_token, client_id"));
    }
    let given = given.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
    Ok(given.fold(builder, |builder, (key, value)| builder.with_config(key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_environment_is_one_that_the_driver_knows() {
        for name in OF_ENVIRONMENT {
            assert!(name.to_ascii_lowercase().parse::<AzureConfigKey>().is_ok(), "{name}");
        }
    }
}
