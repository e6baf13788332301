//! Where the token of somebody else's comes from: a file, an address, a program, or a signature that AWS answers for.
//!
//! From "External account credentials" (<https://google.aip.dev/auth/4117>). What a credentials file asks for and this cannot do is refused by
//! name when the region is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{HeaderMap, Result};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::aws::Aws;
use super::program::{Program, WrittenProgram};
use super::{Caller, TOKEN_BYTES_MAX, failed};

/// A `credential_source` as it is written.
#[derive(Deserialize)]
pub(super) struct Written {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    format: Option<Format>,
    executable: Option<WrittenProgram>,
    environment_id: Option<String>,
    region_url: Option<String>,
    regional_cred_verification_url: Option<String>,
    imdsv2_session_token_url: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// How what is read becomes a token.
pub(super) enum Text {
    Plain,
    /// The named field of a JSON object.
    Json(String),
}

/// Whom to ask for the token.
pub(super) enum Source {
    File(PathBuf, Text),
    Address { url: String, headers: BTreeMap<String, String>, text: Text },
    Program(Program),
    Aws(Aws),
}

impl Source {
    /// What is written, understood; `environment` tells whether programs may be run.
    pub(super) fn new(
        written: Written,
        environment: impl Fn(&str) -> Option<String>,
    ) -> std::result::Result<Self, &'static str> {
        let text = Text::new(written.format)?;
        match (written.environment_id, written.executable, written.file, written.url) {
            (Some(id), _, _, url) => {
                let verification = written
                    .regional_cred_verification_url
                    .ok_or("its credential_source lacks regional_cred_verification_url")?;
                let (region_url, session_url) = (written.region_url, written.imdsv2_session_token_url);
                Ok(Self::Aws(Aws::new(&id, region_url, url, verification, session_url)?))
            }
            (None, Some(program), ..) => Ok(Self::Program(Program::new(program, environment)?)),
            (None, None, Some(file), _) => Ok(Self::File(file, text)),
            (None, None, None, Some(url)) => Ok(Self::Address { url, headers: written.headers, text }),
            (None, None, None, None) => {
                Err("its credential_source is none of file, url, executable and environment_id")
            }
        }
    }

    /// Where it sends anything to.
    pub(super) fn addresses(&self) -> Vec<&str> {
        match self {
            Self::File(..) | Self::Program(_) => Vec::new(),
            Self::Address { url, .. } => vec![url],
            Self::Aws(aws) => aws.addresses(),
        }
    }

    /// The token, and its type where the source itself says so.
    pub(super) async fn subject(&self, caller: &Caller<'_>) -> Result<(Zeroizing<String>, Option<String>)> {
        match self {
            Self::File(path, text) => {
                let bytes = crate::durable::read_whole(path, TOKEN_BYTES_MAX)
                    .map_err(|error| failed(format!("{} cannot be read: {error}", path.display())))?;
                Ok((text.token(&Zeroizing::new(bytes))?, None))
            }
            Self::Address { url, headers, text } => {
                let mut request = HttpRequest::new(HttpRequestBody::empty());
                *request.uri_mut() = url.parse().map_err(failed)?;
                for (name, value) in headers {
                    let one = HeaderMap::from_iter([(
                        name.parse().map_err(failed)?,
                        value.parse().map_err(failed)?,
                    )]);
                    request.headers_mut().extend(one);
                }
                Ok((text.token(&Zeroizing::new(caller.login.answer(request).await?))?, None))
            }
            Self::Program(program) => program.subject(caller).await.map(|(token, kind)| (token, Some(kind))),
            Self::Aws(aws) => {
                aws.subject(caller, &|name| std::env::var(name).ok()).await.map(|token| (token, None))
            }
        }
    }
}

impl Text {
    fn new(format: Option<Format>) -> std::result::Result<Self, &'static str> {
        let Some(format) = format else { return Ok(Self::Plain) };
        match (format.kind.as_str(), format.subject_token_field_name) {
            ("text", _) => Ok(Self::Plain),
            ("json", Some(field)) => Ok(Self::Json(field)),
            ("json", None) => Err("the format of its credential_source names no subject_token_field_name"),
            _ => Err("the format of its credential_source is neither text nor json"),
        }
    }

    fn token(&self, bytes: &[u8]) -> Result<Zeroizing<String>> {
        let text = Zeroizing::new(String::from_utf8_lossy(bytes).trim().to_owned());
        let Self::Json(field) = self else { return Ok(text) };
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|_secret| failed("the token's source holds no JSON"))?;
        let token = json[field].as_str().ok_or_else(|| failed("the token's source lacks the named field"))?;
        Ok(Zeroizing::new(token.to_owned()))
    }
}
