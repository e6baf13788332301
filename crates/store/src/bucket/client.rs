//! The HTTP client under the drivers: TLS, proxies, waiting, what refusals mean, and a checksum that Google compares.
//!
//! Promises: TLS everywhere but on the loopback; no limit on how long a transfer takes, only on how long nothing moves; the
//! checksum of a put is computed from the caller's bytes and refused by the service where other bytes arrive (`x-goog-hash`,
//! <https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash>). Does not do: retries.

use super::open::BucketError;
use super::verdict;
use crate::access::Access;
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, HeaderMap, HeaderValue, PutPayload, RetryConfig,
};
use std::time::Duration;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const MOVE_WITHIN: Duration = Duration::from_secs(30);
const CA_BYTES_MAX: u64 = 4 << 20;

/// The checksum of a payload, on its way from the put to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crc32c(u32);

impl Crc32c {
    pub(super) fn of(payload: &PutPayload) -> Self {
        Self(payload.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece)))
    }

    /// As Google writes it: base64 of the number's big-endian bytes.
    fn header(self) -> String {
        format!("crc32c={}", BASE64_STANDARD.encode(self.0.to_be_bytes()))
    }
}

/// No retries and no pauses: the region above has them.
pub(super) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, backoff: BackoffConfig::default() }
}

/// Where clouds tell a machine who it is, which no proxy reaches. The drivers ask there by the same options.
pub(super) const LINK: &str = "169.254.0.0/16,fd00:ec2::254,metadata.google.internal";

/// The client's options. `headers` go with every request.
pub(super) fn options(access: &Access, headers: HeaderMap) -> Result<ClientOptions, BucketError> {
    // The first to come decides for the process; a second finds the same.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut options = ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("seawall/", env!("CARGO_PKG_VERSION"))))
        .with_default_headers(headers)
        .with_connect_timeout(CONNECT_WITHIN)
        .with_read_timeout(MOVE_WITHIN)
        .with_timeout_disabled()
        .with_allow_http(is_plain_http(access)?);
    if let Some(path) = &access.ca_file {
        let unusable = |why: String| BucketError::File { path: path.clone(), why };
        let pem =
            crate::durable::read_whole(path, CA_BYTES_MAX).map_err(|error| unusable(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
        if certificates.is_empty() {
            return Err(unusable("it holds no certificate".to_owned()));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    if let Some(proxy) = &access.proxy {
        options = options.with_proxy_url(proxy).with_proxy_excludes(LINK);
    }
    Ok(options)
}

/// Whether the endpoint speaks plain HTTP, which only the loopback may: what is sent carries credentials.
fn is_plain_http(access: &Access) -> Result<bool, BucketError> {
    let Some(endpoint) = &access.endpoint else { return Ok(false) };
    // Only the host is repeated: the rest may hold what nobody should see.
    let named = |host: &str, why: &'static str| BucketError::Endpoint { endpoint: host.to_owned(), why };
    let url = url::Url::parse(endpoint)
        .map_err(|_not_a_url| named("as given", "it is no URL; write https://host:port"))?;
    let bad = |why: &'static str| named(url.host_str().unwrap_or_default(), why);
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return Err(bad("it names no host")),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(bad("it carries a user, a password or a query"));
    }
    match url.scheme() {
        "https" => Ok(false),
        "http" if is_loopback => Ok(true),
        "http" => Err(bad(
            "credentials would cross the network unsealed; use https, with ca_file for an authority of your own",
        )),
        _ => Err(bad("it must begin with https://")),
    }
}

/// A connector whose clients say what refusals mean, and send along what belongs to puts.
#[derive(Debug, Default)]
pub(super) struct Connector {
    /// Google's headers for puts; none where headers are signed before they get here.
    google: Option<HeaderMap>,
}

impl Connector {
    /// For Google: each put with its checksum and these headers.
    pub(super) fn google(with_puts: HeaderMap) -> Self {
        Self { google: Some(with_puts) }
    }
}

#[derive(Debug)]
struct Client {
    client: HttpClient,
    google: Option<HeaderMap>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { client, google: self.google.clone() }))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(with_puts) = &self.google
            && let Some(crc) = request.extensions().get::<Crc32c>().copied()
            && let Ok(value) = HeaderValue::from_str(&crc.header())
        {
            request.headers_mut().insert("x-goog-hash", value);
            request.headers_mut().extend(with_puts.clone());
        }
        verdict::sift(self.client.execute(request).await?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use object_store::ClientConfigKey;
    use std::sync::{Arc, Mutex};

    /// Keeps the headers of what it was asked.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<HeaderMap>>>);

    #[async_trait]
    impl HttpService for Kept {
        async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            self.0.lock().unwrap().push(request.headers().clone());
            Ok(HttpResponse::new(Bytes::new().into()))
        }
    }

    #[test]
    fn a_put_carries_the_checksum_of_its_bytes_and_nothing_else_does() {
        let kept = Kept::default();
        let with_puts =
            HeaderMap::from_iter([("x-goog-kms".parse().unwrap(), HeaderValue::from_static("k"))]);
        let client = Client { client: HttpClient::new(kept.clone()), google: Some(with_puts) };
        let mut put = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        put.extensions_mut().insert(Crc32c::of(&PutPayload::from_static(b"123456789")));
        let get = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        for request in [put, get] {
            futures::executor::block_on(client.call(request)).unwrap();
        }
        let kept = kept.0.lock().unwrap();
        assert_eq!(kept[0].get("x-goog-hash").unwrap(), "crc32c=4waSgw==");
        assert_eq!(kept[0].get("x-goog-kms").unwrap(), "k");
        assert!(kept[1].is_empty());
    }

    #[test]
    fn no_proxy_is_asked_who_the_machine_is() {
        let proxy = Some("http://proxy.acme.example:3128".to_owned());
        let options = options(&Access { proxy, ..Access::default() }, HeaderMap::new()).unwrap();
        let excluded = options.get_config_value(&ClientConfigKey::ProxyExcludes).unwrap();
        for near in ["169.254.0.0/16", "fd00:ec2::254", "metadata.google.internal"] {
            assert!(excluded.split(',').any(|one| one == near), "{excluded}");
        }
    }

    #[test]
    fn a_checksum_is_written_as_google_reads_it() {
        // The check value of CRC-32C (Castagnoli) is e3069283.
        let payload = PutPayload::from_iter([Bytes::from_static(b"1234"), Bytes::from_static(b"56789")]);
        assert_eq!(Crc32c::of(&payload), Crc32c(0xe306_9283));
        assert_eq!(Crc32c::of(&payload).header(), "crc32c=4waSgw==");
    }

    #[test]
    fn plain_http_is_for_the_loopback() {
        let of = |endpoint: &str| {
            is_plain_http(&Access { endpoint: Some(endpoint.into()), ..Access::default() })
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("https://minio.lan:9000"), Ok(false));
        assert_eq!(of("http://127.0.0.1:9000"), Ok(true));
        assert_eq!(of("http://[::1]:9000"), Ok(true));
        for bad in ["http://minio.lan:9000", "minio.lan", "ftp://x", "https://u:p@x", "https://x?sig=1"] {
            let said = of(bad).unwrap_err();
            assert!(!said.contains("u:p"), "{said}");
        }
    }
}
