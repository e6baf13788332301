//! "Objects: insert" (cloud.google.com/storage/docs/json_api/v1/objects/insert): bytes alone, bytes with a resource, and resumable sessions.

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{fields, objects, resource};
use crate::call::Reply;
use crate::model::{Chunk, Progress, Target};
use crate::refusal::Refusal;
use crate::xml::Asked;

/// `uploadType=media` and `uploadType=multipart`.
pub(crate) fn insert(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let (mut resource, content_type, bytes) = match asked.call.asked("uploadType") {
        Some("multipart") => related(asked)?,
        _ => (Map::new(), asked.call.header("content-type").map(str::to_owned), asked.body.clone()),
    };
    if let (Some(content_type), None) = (content_type, resource.get("contentType")) {
        resource.insert("contentType".to_owned(), Value::String(content_type));
    }
    if let Some(encoding) = asked.call.asked("contentEncoding") {
        resource.insert("contentEncoding".to_owned(), Value::String(encoding.to_owned()));
    }
    let name = name(asked, &resource)?;
    let wishes = resource::wishes(asked.call, &resource)?;
    let payload = asked.shared.receive(&[bytes], &wishes.hashes)?;
    let target = Target { name: &name, ..asked.target() };
    let version = asked.shared.world().put(target, payload, wishes)?;
    Ok(Reply::json(200, &objects::described(asked, &asked.route.bucket, &name, &version)?))
}

/// From the query, otherwise from the resource.
fn name(asked: &Asked<'_>, resource: &Map<String, Value>) -> Result<String, Refusal> {
    let named = Some(asked.route.name.as_str()).filter(|name| !name.is_empty());
    let named = named.or_else(|| resource.get("name").and_then(Value::as_str));
    named.map(str::to_owned).ok_or_else(|| Refusal::required("name"))
}

type Related = (Map<String, Value>, Option<String>, Bytes);

/// A `multipart/related` body: the resource, then the bytes with their type.
fn related(asked: &Asked<'_>) -> Result<Related, Refusal> {
    let wrong = || Refusal::invalid("Malformed multipart body.");
    let content_type = asked.call.header("content-type").unwrap_or_default();
    let boundary = content_type.split("boundary=").nth(1).ok_or_else(wrong)?;
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let delimiter = format!("--{boundary}");
    let body = asked.body;
    let starts = find(body, delimiter.as_bytes(), 0).ok_or_else(wrong)? + delimiter.len();
    let next = format!("\r\n{delimiter}");
    let (first, second) = match find(body, next.as_bytes(), starts) {
        Some(middle) => (starts..middle, middle + next.len()),
        None => return Err(wrong()),
    };
    let last = find(body, format!("{next}--").as_bytes(), second).ok_or_else(wrong)?;
    let (_, json) = part(&body.slice(first)).ok_or_else(wrong)?;
    let (headers, bytes) = part(&body.slice(second..last)).ok_or_else(wrong)?;
    let kind = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
    });
    Ok((fields(&json)?, kind, bytes))
}

/// The headers of a part and what follows them.
fn part(bytes: &Bytes) -> Option<(String, Bytes)> {
    let end = find(bytes, b"\r\n\r\n", 0)?;
    Some((String::from_utf8_lossy(bytes.get(..end)?).into_owned(), bytes.slice(end + 4..)))
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

/// Answers the session's address.
pub(crate) fn start(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let mut resource = fields(asked.body)?;
    if let (Some(kind), None) = (asked.call.header("x-upload-content-type"), resource.get("contentType")) {
        resource.insert("contentType".to_owned(), Value::String(kind.to_owned()));
    }
    let name = name(asked, &resource)?;
    let wishes = resource::wishes(asked.call, &resource)?;
    let target = Target { name: &name, ..asked.target() };
    let id = asked.shared.world().start_session(target, wishes)?;
    let host = asked.call.header("host").unwrap_or_default();
    let bucket = &asked.route.bucket;
    let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    let mut reply = Reply::new(200);
    let address = format!(
        "http://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={name}&upload_id={id}"
    );
    reply.set("location", &address);
    reply.set("x-guploader-uploadid", &id);
    Ok(reply)
}

pub(crate) fn cancel(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let id = asked.call.asked("upload_id").unwrap_or_default();
    asked.shared.world().cancel_session(&asked.route.bucket, id)?;
    Ok(Reply::new(499))
}

pub(crate) fn put(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let id = asked.call.asked("upload_id").unwrap_or_default();
    let (from, total) = match asked.call.header("content-range") {
        Some(range) => content_range(range, asked)?,
        // Without it the request brings everything.
        None => (Some(0), asked.whole.then_some(asked.body.len() as u64)),
    };
    let hashes = asked.call.hashes()?;
    let chunk = Chunk { from, total, bytes: asked.body, whole: asked.whole, hashes };
    let progress = asked.shared.world().put_chunk(&asked.route.bucket, id, &chunk)?;
    match progress {
        Progress::Received(received) => {
            let mut reply = Reply::new(308);
            if let Some(last) = received.checked_sub(1) {
                reply.set("range", &format!("bytes=0-{last}"));
            }
            reply.set("x-guploader-uploadid", id);
            Ok(reply)
        }
        Progress::Finished { bucket, name, version } => {
            Ok(Reply::json(200, &objects::described(asked, &bucket, &name, &version)?))
        }
    }
}

/// From where, and the whole size; `*` is unknown.
fn content_range(text: &str, asked: &Asked<'_>) -> Result<(Option<u64>, Option<u64>), Refusal> {
    let wrong = || Refusal::invalid(format!("Invalid Content-Range: {text}"));
    let (range, total) =
        text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let total = if total == "*" { None } else { Some(total.parse::<u64>().map_err(|_| wrong())?) };
    if range == "*" {
        return Ok((None, total));
    }
    let (first, last) = range.split_once('-').ok_or_else(wrong)?;
    let (first, last): (u64, u64) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let length = last.checked_sub(first).map(|more| more + 1).ok_or_else(wrong)?;
    if (asked.whole && length != asked.body.len() as u64) || total.is_some_and(|total| last >= total) {
        return Err(wrong());
    }
    Ok((Some(first), total))
}
