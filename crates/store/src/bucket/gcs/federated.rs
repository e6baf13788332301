//! Workload identity federation and impersonation: a token of somebody else's, exchanged for one of Google's.
//!
//! Written from "External account credentials" (<https://google.aip.dev/auth/4117>), RFC 8693 and "generateAccessToken"
//! (<https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>). Google's own crate
//! was tried first: it asks further addresses in the background, which nothing switches off, and knows neither the region's authority
//! nor its proxy.
//!
//! Promises: one exchange serves until five minutes before its token ends; a file with a token is read anew for each; tokens go over TLS only
//! (plain HTTP to the machine itself and its link alone), and stand in no error. Does not do: sources that are certificates; they are
//! refused by name when the region is opened.

mod aws;
mod program;
mod source;

use crate::bucket::open::BucketError;
use crate::world::World;
use async_trait::async_trait;
use object_store::client::{HttpClient, HttpRequest};
use object_store::gcp::GcpCredential;
use object_store::{CredentialProvider, HeaderValue, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use source::{Source, Written};
use std::net::{IpAddr, Ipv6Addr};
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
    ExternalAccount(Box<External>),
    ImpersonatedServiceAccount(Impersonated),
}

#[derive(Deserialize)]
struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Written,
    /// Whose quota is used where the stranger is a person of a workforce pool.
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
    ExternalAccount(Box<External>),
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

/// Whom Google is shown first.
enum First {
    Stranger(Box<Stranger>),
    Person(Person),
}

/// Somebody whom another provider vouches for.
struct Stranger {
    audience: String,
    token_type: String,
    token_url: String,
    source: Source,
    user_project: Option<String>,
}

/// What logging in takes: whom to speak by, and what time it is.
struct Login {
    client: HttpClient,
    world: World,
}

/// For whom a source is asked.
struct Caller<'a> {
    login: &'a Login,
    audience: &'a str,
    token_type: &'a str,
    /// The address where another account's token is asked for with the result.
    account: Option<&'a str>,
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
    login: Login,
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
                (external.understood(), url.map(|url| Account { url, delegates: Vec::new() }))
            }
            File::ImpersonatedServiceAccount(of) => {
                let account = Account { url: of.service_account_impersonation_url, delegates: of.delegates };
                let first = match of.source_credentials {
                    Inner::AuthorizedUser(person) => Ok(First::Person(person)),
                    Inner::ExternalAccount(external) => external.understood(),
                };
                (first, Some(account))
            }
        };
        let refused = |why: &str| unusable(why.to_owned());
        let first = first.map_err(refused)?;
        check(&first, account.as_ref()).map_err(refused)?;
        let login = Login { client, world: world.clone() };
        Ok(Self { login, first, account, kept: Mutex::new(None) })
    }

    async fn fresh(&self) -> Result<(GcpCredential, Duration)> {
        let scope = if self.account.is_some() { PLATFORM } else { STORAGE };
        let first = match &self.first {
            First::Stranger(stranger) => self.exchanged(stranger, scope).await?,
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
        let lent: Lent = self.login.asked(request).await?;
        Ok((GcpCredential { bearer: lent.access_token }, LIFETIME))
    }

    /// "Token exchange", RFC 8693.
    async fn exchanged(&self, stranger: &Stranger, scope: &str) -> Result<Exchanged> {
        let caller = Caller {
            login: &self.login,
            audience: &stranger.audience,
            token_type: &stranger.token_type,
            account: self.account.as_ref().map(|account| account.url.as_str()),
        };
        let (subject, token_type) = stranger.source.subject(&caller).await?;
        let options = stranger
            .user_project
            .as_ref()
            .map(|project| serde_json::json!({ "userProject": project }).to_string());
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("audience", &stranger.audience)
            .append_pair("scope", scope)
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("subject_token_type", token_type.as_ref().unwrap_or(&stranger.token_type))
            .append_pair("subject_token", &subject)
            .extend_pairs(options.iter().map(|options| ("options", options)))
            .finish();
        self.login.asked(post(&stranger.token_url, "application/x-www-form-urlencoded", form)?).await
    }

    async fn renewed(&self, person: &Person) -> Result<Exchanged> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &person.client_id)
            .append_pair("client_secret", &person.client_secret)
            .append_pair("refresh_token", &person.refresh_token)
            .finish();
        let url = person.token_uri.as_deref().unwrap_or(RENEWAL);
        self.login.asked(post(url, "application/x-www-form-urlencoded", form)?).await
    }
}

impl Login {
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
        let now = self.login.world.clock.monotonic();
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

impl External {
    fn understood(self) -> std::result::Result<First, &'static str> {
        Ok(First::Stranger(Box::new(Stranger {
            audience: self.audience,
            token_type: self.subject_token_type,
            token_url: self.token_url,
            source: Source::new(self.credential_source, |name| std::env::var(name).ok())?,
            user_project: self.workforce_pool_user_project,
        })))
    }
}

/// What is refused beforehand, in words.
fn check(first: &First, account: Option<&Account>) -> std::result::Result<(), &'static str> {
    let mut addresses: Vec<&str> = account.iter().map(|account| account.url.as_str()).collect();
    match first {
        First::Person(person) => addresses.extend(person.token_uri.as_deref()),
        First::Stranger(stranger) => {
            addresses.push(&stranger.token_url);
            if !stranger.source.addresses().into_iter().all(is_safe_or_near) {
                return Err(
                    "an address of its credential_source is not https (plain http is for the machine itself and its link)",
                );
            }
        }
    }
    match addresses.into_iter().all(is_safe) {
        true => Ok(()),
        false => Err("an address in it is not https (plain http is for the loopback)"),
    }
}

fn is_safe(address: &str) -> bool {
    reaches(address, |ip| ip.is_loopback())
}

/// Clouds tell a machine who it is by plain HTTP at an address of its link, which no router hands on (RFC 3927; AWS has one of IPv6 too).
fn is_safe_or_near(address: &str) -> bool {
    const AWS: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
    reaches(address, |ip| match ip {
        IpAddr::V4(four) => four.is_loopback() || four.is_link_local(),
        IpAddr::V6(six) => six.is_loopback() || ip == AWS,
    })
}

/// Whether an address is of TLS, or of a host that plain HTTP may go to.
fn reaches(address: &str, plainly: impl Fn(IpAddr) -> bool) -> bool {
    // A place for a name is in it where AWS's region comes later.
    let Ok(url) = url::Url::parse(&address.replace("{region}", "region")) else { return false };
    let is_near = match url.host() {
        Some(url::Host::Ipv4(address)) => plainly(address.into()),
        Some(url::Host::Ipv6(address)) => plainly(address.into()),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_near)
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
