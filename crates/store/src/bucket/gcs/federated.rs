//! Workload identity federation and impersonation: a token of somebody else's, exchanged for one of Google's.
//!
//! Written from "External account credentials" (<https://google.aip.dev/auth/4117>), RFC 8693 and "generateAccessToken"
//! (<https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>). Google's own crate
//! was tried first: it asks further addresses in the background, which nothing switches off, and knows neither the region's authority
//! nor its proxy.
//!
//! Promises: one exchange serves until five minutes before its token ends; a file with a token is read anew for each; tokens go over TLS only
//! (plain HTTP on the loopback), and stand in no error. Does not do: sources that are programs or AWS, workforce pools: refused by
//! name when the region is opened.

use crate::bucket::open::BucketError;
use crate::world::World;
use async_trait::async_trait;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredential;
use object_store::{CredentialProvider, HeaderMap, HeaderValue, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

const TOKEN_BYTES_MAX: u64 = 1 << 20;
const LIFETIME: Duration = Duration::from_secs(3600);
/// So long before its end a token is used no more.
const AHEAD: Duration = Duration::from_secs(300);
/// What storing and deleting objects takes.
const STORAGE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
/// What asking for another account's token takes.
const PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a person's login is renewed (<https://developers.google.com/identity/protocols/oauth2>), unless the file says otherwise.
const RENEWAL: &str = "https://oauth2.googleapis.com/token";

/// A file of one of the kinds that are understood here.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ExternalAccount(External),
    ImpersonatedServiceAccount(Impersonated),
}

#[derive(Deserialize)]
struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
    workforce_pool_user_project: Option<String>,
}

#[derive(Deserialize)]
struct Impersonated {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Inner,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Inner {
    AuthorizedUser(Person),
    ExternalAccount(External),
}

/// A person's login.
#[derive(Deserialize)]
struct Person {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

impl Drop for Person {
    fn drop(&mut self) {
        self.client_secret.zeroize();
        self.refresh_token.zeroize();
    }
}

/// Where the token of somebody else's is.
#[derive(Deserialize)]
struct Source {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// Whom Google is shown first.
enum First {
    Stranger(External),
    Person(Person),
}

/// Whose token is asked for with the first.
struct Account {
    url: String,
    delegates: Vec<String>,
}

/// A token and until when, by the world's clock, it is used.
type Kept = Option<(Arc<GcpCredential>, Duration)>;

/// Exchanges tokens.
pub(super) struct Federated {
    client: HttpClient,
    world: World,
    first: First,
    account: Option<Account>,
    kept: Mutex<Kept>,
}

impl std::fmt::Debug for Federated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Federated").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lent {
    access_token: String,
}

impl Federated {
    /// Reads the text of a credentials file.
    pub(super) fn new(
        text: &str,
        client: HttpClient,
        world: &World,
        unusable: impl Fn(String) -> BucketError,
    ) -> std::result::Result<Self, BucketError> {
        // The parser's own words would repeat what stands there.
        let file: File = serde_json::from_str(text).map_err(|_secret| {
            unusable("it lacks what such a file must have, or its source_credentials are of a type that is not supported".into())
        })?;
        let (first, account) = match file {
            File::ExternalAccount(mut external) => {
                let url = external.service_account_impersonation_url.take();
                (First::Stranger(external), url.map(|url| Account { url, delegates: Vec::new() }))
            }
            File::ImpersonatedServiceAccount(of) => {
                let account = Account { url: of.service_account_impersonation_url, delegates: of.delegates };
                let first = match of.source_credentials {
                    Inner::AuthorizedUser(person) => First::Person(person),
                    Inner::ExternalAccount(external) => First::Stranger(external),
                };
                (first, Some(account))
            }
        };
        check(&first, account.as_ref()).map_err(|why| unusable(why.to_owned()))?;
        Ok(Self { client, world: world.clone(), first, account, kept: Mutex::new(None) })
    }

    async fn fresh(&self) -> Result<(GcpCredential, Duration)> {
        let scope = if self.account.is_some() { PLATFORM } else { STORAGE };
        let first = match &self.first {
            First::Stranger(external) => self.exchanged(external, scope).await?,
            First::Person(person) => self.renewed(person).await?,
        };
        let Some(account) = &self.account else {
            let lifetime = first.expires_in.map_or(LIFETIME, Duration::from_secs);
            return Ok((GcpCredential { bearer: first.access_token }, lifetime));
        };
        let wanted = serde_json::json!({
            "scope": [STORAGE], "lifetime": format!("{}s", LIFETIME.as_secs()), "delegates": account.delegates,
        });
        let mut request = post(&account.url, "application/json", wanted.to_string())?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", first.access_token))
            .map_err(|_secret| failed("a token cannot be sent"))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert("authorization", bearer);
        let lent: Lent = self.asked(request).await?;
        Ok((GcpCredential { bearer: lent.access_token }, LIFETIME))
    }

    /// "Token exchange", RFC 8693.
    async fn exchanged(&self, external: &External, scope: &str) -> Result<Exchanged> {
        let subject = self.subject(&external.credential_source).await?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("audience", &external.audience)
            .append_pair("scope", scope)
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("subject_token_type", &external.subject_token_type)
            .append_pair("subject_token", &subject)
            .finish();
        self.asked(post(&external.token_url, "application/x-www-form-urlencoded", form)?).await
    }

    async fn renewed(&self, person: &Person) -> Result<Exchanged> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &person.client_id)
            .append_pair("client_secret", &person.client_secret)
            .append_pair("refresh_token", &person.refresh_token)
            .finish();
        let url = person.token_uri.as_deref().unwrap_or(RENEWAL);
        self.asked(post(url, "application/x-www-form-urlencoded", form)?).await
    }

    async fn subject(&self, source: &Source) -> Result<Zeroizing<String>> {
        let bytes = match (&source.file, &source.url) {
            (Some(path), _) => crate::durable::read_whole(path, TOKEN_BYTES_MAX)
                .map_err(|error| failed(format!("{} cannot be read: {error}", path.display())))?,
            (None, Some(url)) => {
                let mut request = HttpRequest::new(HttpRequestBody::empty());
                *request.uri_mut() = url.parse().map_err(failed)?;
                for (name, value) in &source.headers {
                    let one = HeaderMap::from_iter([(
                        name.parse().map_err(failed)?,
                        value.parse().map_err(failed)?,
                    )]);
                    request.headers_mut().extend(one);
                }
                self.answer(request).await?
            }
            (None, None) => Vec::new(),
        };
        let text = Zeroizing::new(String::from_utf8_lossy(&Zeroizing::new(bytes)).trim().to_owned());
        let Some(field) = source.format.as_ref().filter(|format| format.kind == "json") else {
            return Ok(text);
        };
        let field = field.subject_token_field_name.as_deref().unwrap_or_default();
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|_secret| failed("the token's source holds no JSON"))?;
        let token = json[field].as_str().ok_or_else(|| failed("the token's source lacks the named field"))?;
        Ok(Zeroizing::new(token.to_owned()))
    }

    async fn asked<T: DeserializeOwned>(&self, request: HttpRequest) -> Result<T> {
        let bytes = Zeroizing::new(self.answer(request).await?);
        serde_json::from_slice(&bytes).map_err(|_secret| failed("the login's answer holds no token"))
    }

    async fn answer(&self, request: HttpRequest) -> Result<Vec<u8>> {
        let response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(failed)?;
        if !status.is_success() {
            return Err(failed(format!("the login answered {status}")));
        }
        Ok(body.to_vec())
    }
}

#[async_trait]
impl CredentialProvider for Federated {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> Result<Arc<GcpCredential>> {
        let mut kept = self.kept.lock().await;
        let now = self.world.clock.monotonic();
        if let Some((credential, _)) = kept.as_ref().filter(|(_, until)| now < *until) {
            return Ok(Arc::clone(credential));
        }
        let (fresh, lifetime) = self.fresh().await?;
        let fresh = Arc::new(fresh);
        // One that lives shorter than that is used once.
        *kept = Some((Arc::clone(&fresh), now.saturating_add(lifetime.saturating_sub(AHEAD))));
        Ok(fresh)
    }
}

/// What is refused beforehand, in words.
fn check(first: &First, account: Option<&Account>) -> std::result::Result<(), &'static str> {
    let mut addresses: Vec<&str> = account.iter().map(|account| account.url.as_str()).collect();
    match first {
        First::Person(person) => addresses.extend(person.token_uri.as_deref()),
        First::Stranger(external) => {
            let source = &external.credential_source;
            if external.workforce_pool_user_project.is_some() {
                return Err("workforce pools are not supported; workload pools are");
            }
            if source.file.is_none() && source.url.is_none() {
                return Err(
                    "its credential_source is none that is supported: file and url are, programs and AWS are not",
                );
            }
            addresses.push(&external.token_url);
            addresses.extend(source.url.as_deref());
        }
    }
    match addresses.into_iter().all(is_safe) {
        true => Ok(()),
        false => Err("an address in it is not https (plain http is for the loopback)"),
    }
}

fn is_safe(address: &str) -> bool {
    let Ok(url) = url::Url::parse(address) else { return false };
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

fn post(url: &str, kind: &'static str, body: String) -> Result<HttpRequest> {
    let mut request = HttpRequest::new(bytes::Bytes::from(body).into());
    *request.uri_mut() = url.parse().map_err(failed)?;
    *request.method_mut() = "POST".parse().map_err(failed)?;
    request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    Ok(request)
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "login", source: source.into() }
}
