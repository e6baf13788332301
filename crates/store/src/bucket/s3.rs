//! Amazon S3 and what is compatible (`s3://bucket/prefix`).
//!
//! Logging in: the file of the settings (the format of `~/.aws/credentials`), else `AWS_ACCESS_KEY_ID` and its fellows, else a web
//! identity (EKS), else the container's or the machine's role; in the order of AWS's own tools, by the driver.
//! Bodies are not signed over TLS: hashing them would cost more than sealing does, TLS keeps them whole, and every object carries
//! digests of its own. On the loopback, without TLS, they are signed. A CRC-64/NVME goes along, which the service compares.

use super::about::s3::Amazon;
use super::client::{Connector, no_retries, options};
use super::open::{BucketError, Driven, beneath, names_begin};
use super::secret;
use crate::access::Access;
use object_store::HeaderMap;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::client::HttpConnector as _;
use object_store::path::Path;
use std::sync::Arc;

pub(super) const OPTIONS: &[&str] = &[
    "credentials_file",
    "profile",
    "endpoint",
    "ca_file",
    "proxy",
    "storage_class",
    "kms_key",
    "aws_region",
];

/// What requests are signed for where nobody says, as the driver has it.
const REGION: &str = "us-east-1";

/// What is taken from the environment: who one is. How to put is not the environment's to say.
const OF_ENVIRONMENT: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

pub(super) fn driver(bucket: &str, access: &Access, prefix: Option<Path>) -> Result<Driven, BucketError> {
    let client = options(access, HeaderMap::new())?;
    let is_plain = access.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = log_in(access)?
        .with_bucket_name(bucket)
        .with_retry(no_retries())
        .with_client_options(client.clone())
        .with_http_connector(Connector::default())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .with_unsigned_payload(!is_plain)
        .with_disable_bulk_delete(true);
    if let Some(region) = &access.aws_region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    if let Some(key) = &access.kms_key {
        builder = builder.with_sse_kms_encryption(key);
    }
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| REGION.to_owned());
    let endpoint = access.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let driver = builder.build()?;
    let service = Amazon {
        client: Connector::default().connect(&client)?,
        credentials: Arc::clone(driver.credentials()),
        base: format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        bucket: bucket.to_owned(),
        prefix: names_begin(prefix.as_ref()),
        region,
    };
    Ok(Driven { driver: beneath(driver, prefix), service: Arc::new(service) })
}

fn log_in(access: &Access) -> Result<AmazonS3Builder, BucketError> {
    let builder = AmazonS3Builder::new();
    let Some(path) = &access.credentials_file else {
        let given = OF_ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
        return given
            .map(|(name, value)| Ok((name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()?, value)))
            .try_fold(builder, |builder, setting: Result<_, object_store::Error>| {
                let (key, value) = setting?;
                Ok(builder.with_config(key, value))
            });
    };
    let text = secret::read(path)?;
    let profile = access.profile.as_deref().unwrap_or("default");
    let missing = |what: &str| BucketError::File {
        path: path.clone(),
        why: format!("its section [{profile}] has no {what}"),
    };
    let of = |name: &str| value_of(&text, profile, name);
    let builder = builder
        .with_access_key_id(of("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?)
        .with_secret_access_key(of("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?);
    Ok(match of("aws_session_token") {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

/// A value in a section of an INI file, as AWS's tools write it.
fn value_of<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let mut is_here = false;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_here = header.trim() == section;
        } else if is_here
            && let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case(name)
        {
            return Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_the_credentials_file_is_found() {
        let text = "# mine\n[default]\naws_access_key_id = A\n\n[ other ]\nAWS_ACCESS_KEY_ID=B\naws_secret_access_key =\n";
        assert_eq!(value_of(text, "default", "aws_access_key_id"), Some("A"));
        assert_eq!(value_of(text, "other", "aws_access_key_id"), Some("B"));
        assert_eq!(value_of(text, "other", "aws_secret_access_key"), None);
        assert_eq!(value_of(text, "third", "aws_access_key_id"), None);
    }

    #[test]
    fn every_name_of_the_environment_is_one_that_the_driver_knows() {
        for name in OF_ENVIRONMENT {
            assert!(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }
}
