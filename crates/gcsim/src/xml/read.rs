//! Reading an object, wholly or in part, or only what is known of it.
//!
//! "Get object" (cloud.google.com/storage/docs/xml-api/get-object-download): headers, `generation=`, conditional headers of HTTP. Ranges by RFC 9110
//! and "Download objects": one range, bounded, open or suffix; several ranges at once and malformed ones are answered with the
//! whole object (*assumed*). `If-Match` and `If-Unmodified-Since` that do not hold are 412, `If-None-Match` and
//! `If-Modified-Since` 304. Not simulated: decompressing what was stored with `Content-Encoding: gzip`.

use bytes::Bytes;

use super::{Asked, headers};
use crate::call::{Call, Reply};
use crate::model::{At, Version};
use crate::moment::Moment;
use crate::operation::Operation;
use crate::refusal::Refusal;

pub(crate) fn get(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let at = asked.call.number("generation")?.map_or(At::Live, At::Generation);
    let preconditions = headers::preconditions(asked.call, false)?;
    let version = asked.shared.world().read(asked.target(), at, preconditions)?.clone();
    conditions_of_http(asked.call, &version)?;
    let head = asked.route.operation == Operation::ObjectHead;
    partial(asked, &version, head)
}

/// The bytes that are asked for, with the headers that go with them.
///
/// # Errors
/// 416; the blob cannot be read.
pub(crate) fn partial(asked: &Asked<'_>, version: &Version, head: bool) -> Result<Reply, Refusal> {
    let range = asked.call.header("range").map_or(Ok(None), |range| within(range, version.size))?;
    let (from, length) = range.unwrap_or((0, version.size));
    let mut reply = Reply::new(if range.is_some() { 206 } else { 200 });
    if !head {
        let bytes = asked.shared.blobs.read(version.blob, from, length);
        // Between finding a version and opening its blob it may have been deleted: then it is not there.
        let missing = |_| Refusal::no_such_key(&asked.route.bucket, &asked.route.name);
        reply.body = bytes.map_err(missing)?;
    } else {
        // A body that is not sent still has its length.
        reply.body = Bytes::new();
        reply.set("content-length", &length.to_string());
    }
    if range.is_some() {
        let last = from + length - 1;
        reply.set("content-range", &format!("bytes {from}-{last}/{}", version.size));
    }
    file_headers(&mut reply, version);
    Ok(reply)
}

/// From where and how much; nothing where the whole is meant.
fn within(range: &str, size: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let (first, last) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, u64::MAX),
        (Err(_), Ok(suffix)) if first.trim().is_empty() && suffix > 0 => {
            (size.saturating_sub(suffix), u64::MAX)
        }
        (Err(_), Ok(_)) if first.trim().is_empty() => return Err(Refusal::range_not_satisfiable()),
        _ => return Ok(None),
    };
    if first >= size {
        return Err(Refusal::range_not_satisfiable());
    }
    Ok(Some((first, last.min(size - 1) - first + 1)))
}

fn conditions_of_http(call: &Call, version: &Version) -> Result<(), Refusal> {
    let etag = version.etag();
    let names = |header: &str| {
        let wanted = call.header(header)?;
        let same = |one: &str| one.trim() == "*" || one.trim().trim_matches('"') == etag.trim_matches('"');
        Some(wanted.split(',').any(same))
    };
    let changed_since = |header: &str| {
        let since = call.header(header).and_then(Moment::parse_http_date)?;
        Some(version.updated.whole_seconds() > since.whole_seconds())
    };
    // RFC 9110, 13.2.2: tags before dates.
    let changed = names("if-match").map_or_else(|| changed_since("if-unmodified-since"), |same| Some(!same));
    if changed == Some(true) {
        return Err(Refusal::precondition_failed());
    }
    let unchanged =
        names("if-none-match").or_else(|| changed_since("if-modified-since").map(|changed| !changed));
    if unchanged == Some(true) { Err(Refusal::not_modified()) } else { Ok(()) }
}

/// What every answer about an object says in its headers.
pub(crate) fn file_headers(reply: &mut Reply, version: &Version) {
    let about = &version.about;
    reply.set("etag", &version.etag());
    reply.set("last-modified", &version.updated.http_date());
    reply.set("accept-ranges", "bytes");
    reply.set("x-goog-generation", &version.generation.to_string());
    reply.set("x-goog-metageneration", &version.metageneration.to_string());
    reply.set("x-goog-stored-content-length", &version.size.to_string());
    reply.set("x-goog-stored-content-encoding", about.content_encoding.as_deref().unwrap_or("identity"));
    reply.add("x-goog-hash", &format!("crc32c={}", version.crc32c_base64()));
    if let Some(md5) = version.md5_base64() {
        reply.add("x-goog-hash", &format!("md5={md5}"));
    }
    let optional = [
        ("content-type", &about.content_type),
        ("cache-control", &about.cache_control),
        ("content-disposition", &about.content_disposition),
        ("content-encoding", &about.content_encoding),
        ("content-language", &about.content_language),
        ("x-goog-storage-class", &about.storage_class),
        ("x-goog-encryption-kms-key-name", &about.kms_key),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            reply.set(name, value);
        }
    }
    if let Some(components) = version.components {
        reply.set("x-goog-component-count", &components.to_string());
    }
    if let Some(time) = about.custom_time {
        reply.set("x-goog-custom-time", &time.rfc3339());
    }
    for (key, value) in &about.metadata {
        reply.set(&format!("x-goog-meta-{key}"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn ranges_are_bounded_open_or_suffixes() {
        assert_eq!(within("bytes=0-0", 10).unwrap(), Some((0, 1)));
        assert_eq!(within("bytes=2-100", 10).unwrap(), Some((2, 8)));
        assert_eq!(within("bytes=9-", 10).unwrap(), Some((9, 1)));
        assert_eq!(within("bytes=-3", 10).unwrap(), Some((7, 3)));
        assert_eq!(within("bytes=-30", 10).unwrap(), Some((0, 10)));
        assert_eq!(within("bytes=5-2", 10).unwrap(), None);
        assert_eq!(within("lines=1-2", 10).unwrap(), None);
        for range in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(within(range, 10).unwrap_err().status, 416, "{range}");
        }
        assert_eq!(within("bytes=0-", 0).unwrap_err().status, 416);
        assert_eq!(within("bytes=-5", 0).unwrap_err().status, 416);
    }
}
