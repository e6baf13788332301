//! A request as the two APIs see it, and the answer they give.
//!
//! Promise: names are decoded here and nowhere else; a name or header that is no UTF-8 is refused, never guessed.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::hashes::Hashes;
use crate::model::Preconditions;
use crate::refusal::Refusal;

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// As it was sent, without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
}

impl Call {
    /// # Errors
    /// 400: the path or the query is no UTF-8.
    pub(crate) fn new(parts: &hyper::http::request::Parts) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(&key.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        });
        Ok(Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: pairs.collect::<Result<_, Refusal>>()?,
            headers: parts.headers.clone(),
        })
    }

    /// The first value of a query parameter.
    pub(crate) fn asked(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// Google's own clients write `true` and `True`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.asked(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// # Errors
    /// 400: it is there and no number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let value = self.asked(key);
        let wrong = || Refusal::invalid(format!("Invalid value for {key}."));
        value.map(|value| value.parse().map_err(|_| wrong())).transpose()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// # Errors
    /// 400: it is there and no number.
    pub(crate) fn number_header(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let wrong = || Refusal::invalid(format!("Invalid value for {name}."));
        self.header(name).map(|value| value.parse().map_err(|_| wrong())).transpose()
    }

    /// The bearer token.
    pub(crate) fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim)
    }

    /// Checksums that came as headers.
    ///
    /// # Errors
    /// 400: one of them is malformed.
    pub(crate) fn hashes(&self) -> Result<Hashes, Refusal> {
        let mut hashes = Hashes::default();
        let said = self.headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
        for one in said.flat_map(|value| value.split(',')) {
            let (kind, value) =
                one.split_once('=').ok_or_else(|| Refusal::invalid("Invalid x-goog-hash."))?;
            hashes.add(kind, value)?;
        }
        if let Some(md5) = self.header("content-md5") {
            hashes.add("md5", md5)?;
        }
        Ok(hashes)
    }

    /// The JSON API's conditions, from the query; `source` picks those on a copy's source.
    pub(crate) fn query_preconditions(&self, source: bool) -> Result<Preconditions, Refusal> {
        let key = |rest: &str| if source { format!("ifSource{rest}") } else { format!("if{rest}") };
        Ok(Preconditions {
            generation: self.number(&key("GenerationMatch"))?,
            generation_not: self.number(&key("GenerationNotMatch"))?,
            metageneration: self.number(&key("MetagenerationMatch"))?,
            metageneration_not: self.number(&key("MetagenerationNotMatch"))?,
        })
    }
}

/// Percent-decoded.
///
/// # Errors
/// 400: the bytes are no UTF-8.
pub(crate) fn decoded(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| Refusal::invalid("The request is not valid UTF-8."))
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.set("content-type", content_type);
        self.body = body.into();
        self
    }

    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status).with_body("application/json; charset=UTF-8", value.to_string())
    }

    pub(crate) fn xml(status: u16, body: &str) -> Self {
        let body = format!("<?xml version='1.0' encoding='UTF-8'?>{body}");
        Self::new(status).with_body("application/xml; charset=UTF-8", body)
    }

    /// Adds a header. What no header can carry is left out: the service does not take such values either.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.headers.remove(name);
        self.add(name, value);
    }

    pub(crate) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
