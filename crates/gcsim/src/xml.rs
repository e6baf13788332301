//! The XML API: what `object_store` speaks.
//!
//! "XML API overview" (cloud.google.com/storage/docs/xml-api/overview) and the pages of its methods. Addresses are path-style only
//! (`/bucket/object`). Deliberately not simulated, and answered 501: making and configuring buckets (tests use the control
//! API or JSON), access lists, resumable uploads by XML, signed addresses, customer-supplied keys.

mod headers;
mod objects;
mod read;
mod text;
mod uploads;

use bytes::Bytes;

use crate::call::{Call, Reply};
use crate::model::Target;
use crate::operation::{Operation, Route};
use crate::refusal::Refusal;
use crate::rights::Who;
use crate::state::Shared;

pub(crate) use read::{file_headers, partial};

/// A request being answered.
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) call: &'a Call,
    pub(crate) route: &'a Route,
    pub(crate) who: &'a Who,
    pub(crate) body: &'a Bytes,
    /// Whether the body is all that the client meant to send.
    pub(crate) whole: bool,
}

impl Asked<'_> {
    pub(crate) fn target(&self) -> Target<'_> {
        Target { who: self.who, bucket: &self.route.bucket, name: &self.route.name }
    }
}

/// # Errors
/// Whatever is in the way.
pub(crate) fn answer(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    match asked.route.operation {
        Operation::ObjectGet | Operation::ObjectHead => read::get(asked),
        Operation::ObjectPut => objects::put(asked),
        Operation::ObjectDelete => objects::delete(asked),
        Operation::ObjectCopy => objects::copy(asked),
        Operation::ObjectList => objects::list(asked),
        Operation::UploadStart => uploads::start(asked),
        Operation::UploadPart => uploads::part(asked),
        Operation::UploadFinish => uploads::finish(asked),
        Operation::UploadAbort => uploads::abort(asked),
        Operation::UploadList => uploads::list(asked),
        Operation::BucketGet => objects::head_bucket(asked),
        _ => Err(Refusal::not_simulated("this XML request")),
    }
}

/// The error document of "HTTP status and error codes for XML".
pub(crate) fn refused(refusal: &Refusal) -> Reply {
    if refusal.status == 304 {
        return Reply::new(304);
    }
    let code = text::element("Code", &refusal.code);
    let message = text::element("Message", &refusal.message);
    let details = refusal.details.as_deref().map(|details| text::element("Details", details));
    Reply::xml(refusal.status, &format!("<Error>{code}{message}{}</Error>", details.unwrap_or_default()))
}
