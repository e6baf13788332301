//! A token that AWS answers for: a request to its `GetCallerIdentity`, signed and not sent, which Google sends.
//!
//! From "External account credentials" (<https://google.aip.dev/auth/4117>), what is to be in such a token
//! (<https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>), "Create a signed AWS API request"
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>) and "Retrieve instance metadata"
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>). The driver's own signer adds a header that stands
//! in none of them.
//!
//! Promise: keys are asked for anew for each token, and stand in no error.

use std::collections::BTreeMap;

use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{HeaderValue, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Caller, Login, failed};

/// Of "aws1" the number is the version of how all this is written.
const ID: &str = "aws1";
const SESSION_SECONDS: HeaderValue = HeaderValue::from_static("300");
/// RFC 3986: what is never encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Where a machine of AWS tells who it is.
pub(super) struct Aws {
    region_url: Option<String>,
    keys_url: Option<String>,
    /// With `{region}` in it.
    verification: String,
    session_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    token: Option<String>,
}

impl Aws {
    pub(super) fn new(
        id: &str,
        region_url: Option<String>,
        keys_url: Option<String>,
        verification: String,
        session_url: Option<String>,
    ) -> std::result::Result<Self, &'static str> {
        match id {
            ID => Ok(Self { region_url, keys_url, verification, session_url }),
            _ => Err("the environment_id of its credential_source is not aws1"),
        }
    }

    pub(super) fn addresses(&self) -> Vec<&str> {
        let asked = [&self.region_url, &self.keys_url, &self.session_url];
        asked.into_iter().flatten().chain([&self.verification]).map(String::as_str).collect()
    }

    /// The signed request as Google wants to be handed it. What stands in the environment goes before what the machine tells.
    pub(super) async fn subject(
        &self,
        caller: &Caller<'_>,
        environment: Environment<'_>,
    ) -> Result<Zeroizing<String>> {
        let keys = match keys_of(environment) {
            Some(keys) => keys,
            None => self.keys_of_machine(caller.login).await?,
        };
        let region = match environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION")) {
            Some(region) => region,
            None => self.region_of_machine(caller.login).await?,
        };
        let url = self.verification.replace("{region}", &region);
        let at = caller.login.world.clock.now_unix_us();
        token(&url, caller.audience, &keys, (&region, at))
    }

    /// IMDSv2: the machine tells only who can put a request first.
    async fn told(&self, login: &Login, url: &str) -> Result<Vec<u8>> {
        let mut request = get(url)?;
        if let Some(session) = &self.session_url {
            let mut asking = get(session)?;
            *asking.method_mut() = "PUT".parse().map_err(failed)?;
            asking.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
            let session = Zeroizing::new(login.answer(asking).await?);
            let mut session =
                HeaderValue::from_bytes(&session).map_err(|_secret| failed("AWS's answer is no session"))?;
            session.set_sensitive(true);
            request.headers_mut().insert("x-aws-ec2-metadata-token", session);
        }
        login.answer(request).await
    }

    async fn keys_of_machine(&self, login: &Login) -> Result<Keys> {
        let url = self.keys_url.as_deref();
        let url = url.ok_or_else(|| {
            failed("neither the environment nor the credentials file says where AWS's keys are")
        })?;
        let role = self.told(login, url).await?;
        let role = String::from_utf8_lossy(&role).trim().to_owned();
        let told = Zeroizing::new(self.told(login, &format!("{}/{role}", url.trim_end_matches('/'))).await?);
        serde_json::from_slice(&told).map_err(|_secret| failed("AWS's answer holds no keys"))
    }

    async fn region_of_machine(&self, login: &Login) -> Result<String> {
        let url = self.region_url.as_deref();
        let url = url.ok_or_else(|| {
            failed("neither the environment nor the credentials file says which region of AWS this is")
        })?;
        let zone = self.told(login, url).await?;
        // A zone is a region and a letter.
        let zone = String::from_utf8_lossy(&zone).trim().to_owned();
        let region = zone.strip_suffix(|letter: char| letter.is_ascii_lowercase());
        region.map(str::to_owned).ok_or_else(|| failed("AWS's answer names no zone"))
    }
}

fn keys_of(environment: Environment<'_>) -> Option<Keys> {
    Some(Keys {
        access_key_id: environment("AWS_ACCESS_KEY_ID")?,
        secret_access_key: Zeroizing::new(environment("AWS_SECRET_ACCESS_KEY")?),
        token: environment("AWS_SESSION_TOKEN"),
    })
}

fn get(url: &str) -> Result<HttpRequest> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.parse().map_err(failed)?;
    Ok(request)
}

fn token(url: &str, audience: &str, keys: &Keys, (region, at): (&str, i64)) -> Result<Zeroizing<String>> {
    let parsed = url::Url::parse(url).map_err(failed)?;
    let host = &parsed[url::Position::BeforeHost..url::Position::AfterPort];
    let date = jiff::Timestamp::from_microsecond(at).map_err(failed)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut headers =
        BTreeMap::from([("host", host), ("x-amz-date", &date), ("x-goog-cloud-target-resource", audience)]);
    headers.extend(keys.token.as_deref().map(|token| ("x-amz-security-token", token)));
    let of = Signed {
        method: "POST",
        path: parsed.path(),
        query: parsed.query().unwrap_or_default(),
        headers: &headers,
    };
    let authorization = of.authorization(keys, (region, "sts"), &date);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, *value))
        .chain([("Authorization", authorization.as_str())])
        .map(|(key, value)| serde_json::json!({ "key": key, "value": value }))
        .collect();
    let request = serde_json::json!({ "url": url, "method": "POST", "headers": headers });
    let request = Zeroizing::new(request.to_string());
    Ok(Zeroizing::new(utf8_percent_encode(&request, ENCODED).to_string()))
}

/// A request without a body.
struct Signed<'a> {
    method: &'a str,
    path: &'a str,
    /// With its parts encoded.
    query: &'a str,
    /// Names in small letters.
    headers: &'a BTreeMap<&'a str, &'a str>,
}

impl Signed<'_> {
    fn authorization(&self, keys: &Keys, (region, service): (&str, &str), date: &str) -> String {
        let mut query: Vec<&str> = self.query.split('&').filter(|part| !part.is_empty()).collect();
        query.sort_unstable();
        let names = self.headers.keys().copied().collect::<Vec<_>>().join(";");
        let lines: String =
            self.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let (method, path, query) = (self.method, self.path, query.join("&"));
        let nothing = hex(digest::digest(&digest::SHA256, b"").as_ref());
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{nothing}");
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
        let secret = Zeroizing::new(format!("AWS4{}", keys.secret_access_key.as_str()));
        let steps = [day, region, service, "aws4_request"];
        let key = steps.iter().fold(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), |key, step| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref())
        });
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        let id = &keys.access_key_id;
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(token: Option<&str>) -> Keys {
        Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            token: token.map(str::to_owned),
        }
    }

    /// `get-vanilla` and `get-vanilla-query-order-key-case` of AWS's test suite for signatures.
    #[test]
    fn signatures_are_those_of_awss_own_examples() {
        let headers = BTreeMap::from([("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")]);
        let signature = |query| {
            let of = Signed { method: "GET", path: "/", query, headers: &headers };
            let authorization = of.authorization(&keys(None), ("us-east-1", "service"), "20150830T123600Z");
            authorization.rsplit('=').next().unwrap().to_owned()
        };
        assert_eq!(signature(""), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        assert_eq!(
            signature("Param2=value2&Param1=value1"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn a_token_is_the_signed_request_and_names_whom_it_is_for() {
        let url = "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
        let at = 1_440_938_160_000_000;
        let token = token(url, "//iam/pools/acme", &keys(Some("session")), ("eu-west-1", at)).unwrap();
        assert!(!token.contains([' ', '+', '"', '/']), "{}", *token);
        let text = percent_encoding::percent_decode_str(&token).decode_utf8().unwrap().into_owned();
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((request["url"].as_str(), request["method"].as_str()), (Some(url), Some("POST")));
        let header = |name: &str| {
            let all = request["headers"].as_array().unwrap();
            all.iter().find(|one| one["key"] == name).unwrap()["value"].as_str().unwrap().to_owned()
        };
        assert_eq!(header("host"), "sts.eu-west-1.amazonaws.com");
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(header("x-amz-security-token"), "session");
        assert_eq!(header("x-goog-cloud-target-resource"), "//iam/pools/acme");
        let authorization = header("Authorization");
        let begin = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/sts/aws4_request, \
                     SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, Signature=";
        assert!(authorization.starts_with(begin), "{authorization}");
        assert!(!text.contains("wJalr"), "the secret key is in it");
    }

    #[test]
    fn keys_of_the_environment_are_whole_or_none() {
        let both = |name: &str| name.starts_with("AWS_").then(|| format!("of {name}"));
        assert!(keys_of(&both).is_some_and(|keys| keys.token.as_deref() == Some("of AWS_SESSION_TOKEN")));
        assert!(keys_of(&|name| (name == "AWS_ACCESS_KEY_ID").then(String::new)).is_none());
    }
}
