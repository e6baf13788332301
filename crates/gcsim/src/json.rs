//! The JSON API: what everybody but `object_store` speaks.
//!
//! "JSON API overview" (cloud.google.com/storage/docs/json_api) and the pages of its methods. `fields` and `projection` are passed over: the
//! answer is always the whole resource. Deliberately not simulated, and answered 501: access lists, IAM policies, notifications, batches,
//! folders, lists by pattern.

mod buckets;
mod objects;
mod resource;
mod upload;

pub(crate) use buckets::resource;

use serde_json::json;

use crate::call::Reply;
use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::xml::Asked;

/// # Errors
/// Whatever is in the way.
pub(crate) fn answer(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    match asked.route.operation {
        Operation::BucketGet => buckets::get(asked),
        Operation::BucketList => buckets::list(asked),
        Operation::BucketInsert => buckets::insert(asked),
        Operation::BucketPatch => buckets::patch(asked),
        Operation::BucketLock => buckets::lock(asked),
        Operation::BucketDelete => buckets::delete(asked),
        Operation::BucketTest => buckets::test_permissions(asked),
        Operation::ObjectGet | Operation::ObjectHead => objects::get(asked),
        Operation::ObjectList => objects::list(asked),
        Operation::ObjectDelete => objects::delete(asked),
        Operation::ObjectPatch => objects::patch(asked),
        Operation::ObjectCompose => objects::compose(asked),
        Operation::ObjectCopy => objects::copy(asked),
        Operation::ObjectRestore => objects::restore(asked),
        Operation::ObjectPut => upload::insert(asked),
        Operation::SessionStart => upload::start(asked),
        Operation::SessionPut => upload::put(asked),
        Operation::SessionCancel => upload::cancel(asked),
        _ => Err(Refusal::not_simulated("this JSON request")),
    }
}

/// The error document of "HTTP status and error codes for JSON".
pub(crate) fn refused(refusal: &Refusal) -> Reply {
    if refusal.status == 304 {
        return Reply::new(304);
    }
    let message = refusal.said();
    let one = json!({ "domain": "global", "reason": refusal.reason, "message": message });
    let error = json!({ "code": refusal.status, "message": message, "errors": [one] });
    Reply::json(refusal.status, &json!({ "error": error }))
}

/// A JSON object from a request's body; nothing sent is an empty one.
///
/// # Errors
/// 400.
pub(crate) fn fields(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
    if body.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(body)
        .map_err(|cause| Refusal::new(400, "ParseError", "parseError", cause.to_string()))
}
