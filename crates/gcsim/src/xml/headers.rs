//! Request headers of the XML API that say something of the object.
//!
//! "HTTP headers and common query string parameters for XML" (cloud.google.com/storage/docs/xml-api/reference-headers).

use crate::call::Call;
use crate::model::{About, Preconditions, Wishes};
use crate::moment::Moment;
use crate::refusal::Refusal;

/// What an upload's headers say of the object.
///
/// # Errors
/// 400 for a malformed one, 501 for what is not simulated.
pub(crate) fn about(call: &Call) -> Result<About, Refusal> {
    if call.header("x-goog-encryption-key").is_some() {
        return Err(Refusal::not_simulated("customer-supplied encryption keys"));
    }
    if call.header("x-goog-resumable").is_some() {
        return Err(Refusal::not_simulated("resumable uploads by the XML API; the JSON ones are"));
    }
    let text = |name: &str| call.header(name).map(str::to_owned);
    let custom_time = text("x-goog-custom-time").map(|time| {
        Moment::parse_rfc3339(&time).ok_or_else(|| Refusal::invalid("Invalid x-goog-custom-time."))
    });
    let metadata = call.headers.iter().filter_map(|(name, value)| {
        let key = name.as_str().strip_prefix("x-goog-meta-")?;
        Some((key.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    Ok(About {
        content_type: text("content-type"),
        cache_control: text("cache-control"),
        content_disposition: text("content-disposition"),
        content_encoding: text("content-encoding").filter(|encoding| encoding != "aws-chunked"),
        content_language: text("content-language"),
        storage_class: text("x-goog-storage-class").map(|class| class.to_uppercase()),
        kms_key: text("x-goog-encryption-kms-key-name"),
        custom_time: custom_time.transpose()?,
        metadata: metadata.collect(),
    })
}

/// Conditions on what is there, or on a copy's source.
///
/// # Errors
/// 400: not a number.
pub(crate) fn preconditions(call: &Call, of_source: bool) -> Result<Preconditions, Refusal> {
    let prefix = if of_source { "x-goog-copy-source-if" } else { "x-goog-if" };
    Ok(Preconditions {
        generation: call.number_header(&format!("{prefix}-generation-match"))?,
        generation_not: call.number_header(&format!("{prefix}-generation-not-match"))?,
        metageneration: call.number_header(&format!("{prefix}-metageneration-match"))?,
        metageneration_not: call.number_header(&format!("{prefix}-metageneration-not-match"))?,
    })
}

/// # Errors
/// As [`about`].
pub(crate) fn wishes(call: &Call) -> Result<Wishes, Refusal> {
    if call.header("x-goog-object-lock-mode").is_some() {
        return Err(Refusal::not_simulated("object retention by XML headers; by JSON it is"));
    }
    Ok(Wishes {
        about: about(call)?,
        preconditions: preconditions(call, false)?,
        hashes: call.hashes()?,
        ..Wishes::default()
    })
}
