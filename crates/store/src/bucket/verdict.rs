//! What a service's answer means: the one table from HTTP and its faults to [`ErrorKind`].
//!
//! Promises: nothing that went wrong on the way becomes "no such object" or "the name is taken"; what may pass is said to pass
//! (408, 425, 429, 5xx, broken connections, an answer that is no answer), what will not is not tried again. Only 404 and 412 about
//! one object reach the driver as they are, for it knows which object was asked about. Of an answer's body only code and message are
//! kept, and of a denied access the details, where Google names the right; never what a service repeats of the request. Does not do: retrying.

use super::NoRepository;
use crate::error::{Cause, ErrorKind};
use futures::StreamExt as _;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse};
use std::error::Error;
use std::sync::Arc;

/// No service needs more to say what is wrong.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Of a message so much is shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// An answer that is a refusal.
#[derive(Debug, thiserror::Error)]
#[error("the service answered {status}{}{}", spaced(" ", .code), spaced(": ", .message))]
pub(super) struct Answer {
    status: u16,
    code: String,
    message: String,
    kind: ErrorKind,
}

fn spaced(by: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{by}{text}") }
}

/// What went wrong, said once: each layer of a driver's error repeats the one beneath.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// What a driver's error means, where it is one that came over HTTP or from a bucket's wrapper, and its cause without repetitions.
pub(crate) fn of(error: &object_store::Error) -> Option<(ErrorKind, Cause)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut over_http = None;
    while let Some(cause) = next {
        if cause.downcast_ref::<NoRepository>().is_some() {
            return Some((ErrorKind::Unavailable, Arc::new(Said(cause.to_string()))));
        }
        if let Some(answer) = cause.downcast_ref::<Answer>() {
            return Some((answer.kind, Arc::new(Said(answer.to_string()))));
        }
        if cause.downcast_ref::<HttpError>().is_some() {
            over_http = Some(cause);
        }
        next = cause.source();
    }
    over_http.map(|error| (ErrorKind::Unavailable, Arc::new(Said(said_once(error))) as Cause))
}

/// With which status a service refused, where it did.
pub(crate) fn status(error: &object_store::Error) -> Option<u16> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(answer) = cause.downcast_ref::<Answer>() {
            return Some(answer.status);
        }
        next = cause.source();
    }
    None
}

/// The messages of an error and its causes, without those that the one before has said.
fn said_once(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.last().is_some_and(|last| last.contains(&text)) {
            said.push(text);
        }
        next = cause.source();
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

/// Hands on what succeeded and what the driver must see; turns every other answer into an error that says what it means.
pub(super) async fn sift(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.status().as_u16();
    if status < 400 {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = beginning(body).await?;
    let text = String::from_utf8_lossy(&body);
    let code = code_in(&text);
    match kind(status, &code) {
        ErrorKind::NotFound | ErrorKind::AlreadyExists => {
            Ok(HttpResponse::from_parts(parts, bytes::Bytes::from(body).into()))
        }
        kind => {
            let message = message_in(&text);
            Err(HttpError::new(HttpErrorKind::Unknown, Answer { status, code, message, kind }))
        }
    }
}

async fn beginning(body: object_store::client::HttpResponseBody) -> Result<Vec<u8>, HttpError> {
    let mut pieces = body.bytes_stream();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let room = BODY_BYTES_MAX - all.len();
        all.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if all.len() >= BODY_BYTES_MAX {
            break;
        }
    }
    Ok(all)
}

fn kind(status: u16, code: &str) -> ErrorKind {
    match (status, code) {
        // A quota of requests passes; one of bytes does not.
        (403 | 429, code) if code.to_ascii_lowercase().contains("ratelimit") => ErrorKind::Unavailable,
        (403, "QuotaExceeded" | "quotaExceeded" | "InsufficientQuota" | "XMinioStorageFull") | (507, _) => {
            ErrorKind::Full
        }
        // Of a login: a grant that is refused.
        (401 | 403, _) | (400, "invalid_grant" | "invalid_client" | "unauthorized_client") => {
            ErrorKind::Denied
        }
        // Broken on the way: the service compared a checksum. Or the body did not come in time.
        (
            400,
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "Md5Mismatch"
            | "Crc64Mismatch"
            | "IncompleteBody"
            | "RequestTimeout",
        ) => ErrorKind::Unavailable,
        // Two creations at once: neither is told who won.
        (409, "ConditionalRequestConflict" | "OperationAborted") => ErrorKind::Unavailable,
        (409 | 412, _) => ErrorKind::AlreadyExists,
        // No object is asked about where the bucket is missing.
        (404 | 410, "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted") => ErrorKind::Unavailable,
        (404 | 410, _) => ErrorKind::NotFound,
        (416, _) => ErrorKind::Damaged,
        (408 | 425 | 429 | 500.., _) => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

/// The code in an error's body: `<Code>…</Code>` of the XML interfaces, `"reason": "…"` of Google's JSON, `"error": "…"` of logins.
fn code_in(body: &str) -> String {
    let of_json = || value_of(body, "reason").or_else(|| value_of(body, "error"));
    between(body, "<Code>", '<').or_else(of_json).unwrap_or_default()
}

fn message_in(body: &str) -> String {
    let details = between(body, "<Details>", '<').filter(|_| code_in(body) == "AccessDenied");
    let found = details.or_else(|| between(body, "<Message>", '<')).or_else(|| value_of(body, "message"));
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    found.unwrap_or_default().chars().map(one_line).take(MESSAGE_CHARS_MAX).collect()
}

fn between(text: &str, from: &str, to: char) -> Option<String> {
    Some(text.split_once(from)?.1.split_once(to)?.0.trim().to_owned())
}

/// The text after `"name":`, if it is a text.
fn value_of(json: &str, name: &str) -> Option<String> {
    let rest = json.split_once(&format!("\"{name}\""))?.1.trim_start().strip_prefix(':')?.trim_start();
    Some(rest.strip_prefix('"')?.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_is_an_absence() {
        assert_eq!(kind(404, "NoSuchKey"), ErrorKind::NotFound);
        assert_eq!(kind(404, "NoSuchBucket"), ErrorKind::Unavailable);
        for status in (400..600).filter(|status| ![404, 410].contains(status)) {
            assert_ne!(kind(status, ""), ErrorKind::NotFound, "{status}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let cases = [
            (429, "SlowDown", ErrorKind::Unavailable),
            (403, "userRateLimitExceeded", ErrorKind::Unavailable),
            (403, "AccessDenied", ErrorKind::Denied),
            (403, "QuotaExceeded", ErrorKind::Full),
            (401, "", ErrorKind::Denied),
            (400, "invalid_grant", ErrorKind::Denied),
            (400, "BadDigest", ErrorKind::Unavailable),
            (400, "InvalidArgument", ErrorKind::Other),
            (409, "ConditionalRequestConflict", ErrorKind::Unavailable),
            (412, "PreconditionFailed", ErrorKind::AlreadyExists),
            (416, "InvalidRange", ErrorKind::Damaged),
            (408, "", ErrorKind::Unavailable),
            (503, "", ErrorKind::Unavailable),
            (507, "", ErrorKind::Full),
        ];
        for (status, code, meant) in cases {
            assert_eq!(kind(status, code), meant, "{status} {code}");
        }
    }

    #[test]
    fn codes_and_messages_are_found_in_every_kind_of_body() {
        let xml = "<?xml?><Error><Code>NoSuchKey</Code><Message>It is\nnot there</Message><AWSAccessKeyId>K</AWSAccessKeyId></Error>";
        assert_eq!((code_in(xml), message_in(xml)), ("NoSuchKey".to_owned(), "It is not there".to_owned()));
        let denied = |code: &str| {
            message_in(&format!(
                "<Error><Code>{code}</Code><Message>No.</Message><Details>a@b lacks c</Details></Error>"
            ))
        };
        assert_eq!(
            (denied("AccessDenied").as_str(), denied("SignatureDoesNotMatch").as_str()),
            ("a@b lacks c", "No.")
        );
        let json = "{\"error\": {\"code\": 429, \"message\": \"slow\", \"errors\": [{\"reason\": \"rateLimitExceeded\"}]}}";
        assert_eq!((code_in(json), message_in(json)), ("rateLimitExceeded".to_owned(), "slow".to_owned()));
        assert_eq!(code_in("{\"error\": \"invalid_grant\"}"), "invalid_grant");
        assert_eq!((code_in("<html>"), message_in("<html>")), (String::new(), String::new()));
    }
}
