//! XML multipart uploads: start, parts, completion, abort, lists.
//!
//! "XML API multipart uploads" (cloud.google.com/storage/docs/multipart-uploads). It says that preconditions are not supported; that such a request
//! is refused instead of ignored is *assumed*, and the safe side for a test.

use super::text::{self, element};
use super::{Asked, headers, objects};
use crate::call::Reply;
use crate::model::{Upload, hex};
use crate::refusal::Refusal;

fn no_preconditions(asked: &Asked<'_>) -> Result<(), Refusal> {
    if headers::preconditions(asked.call, false)?.any() {
        return Err(Refusal::invalid("Preconditions are not supported in multipart uploads."));
    }
    Ok(())
}

fn id<'a>(asked: &'a Asked<'_>) -> &'a str {
    asked.call.asked("uploadId").unwrap_or_default()
}

pub(crate) fn start(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    no_preconditions(asked)?;
    let about = headers::about(asked.call)?;
    let id = asked.shared.world().start_upload(asked.target(), about)?;
    let inner = element("Bucket", &asked.route.bucket)
        + &element("Key", &asked.route.name)
        + &element("UploadId", &id);
    Ok(Reply::xml(200, &format!("<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>")))
}

pub(crate) fn part(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    no_preconditions(asked)?;
    if asked.call.header("x-goog-copy-source").is_some() {
        return Err(Refusal::not_simulated("parts that are copied"));
    }
    let number = asked.call.number("partNumber")?.ok_or_else(|| Refusal::required("partNumber"))?;
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let payload = asked.shared.receive(std::slice::from_ref(asked.body), &asked.call.hashes()?)?;
    let md5 = asked.shared.world().put_part(asked.target(), id(asked), number, payload)?;
    let mut reply = Reply::new(200);
    reply.set("etag", &format!("\"{}\"", hex(&md5)));
    Ok(reply)
}

pub(crate) fn finish(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    no_preconditions(asked)?;
    let named = text::parts(asked.body)?;
    let version = asked.shared.world().complete_upload(asked.target(), id(asked), &named)?;
    let inner = element("Bucket", &asked.route.bucket)
        + &element("Key", &asked.route.name)
        + &element("ETag", &version.etag());
    let document = format!("<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>");
    let mut reply = Reply::new(200);
    objects::written(&mut reply, &version);
    let document = Reply::xml(200, &document);
    reply.headers.extend(document.headers);
    reply.body = document.body;
    Ok(reply)
}

pub(crate) fn abort(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    asked.shared.world().abort_upload(asked.target(), id(asked))?;
    Ok(Reply::new(204))
}

/// The uploads of a bucket, or the parts of one; all on one page.
pub(crate) fn list(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let world = asked.shared.world();
    if asked.route.name.is_empty() {
        let prefix = asked.call.asked("prefix").unwrap_or_default();
        let uploads = world.uploads_of(asked.who, &asked.route.bucket, prefix)?;
        let inner: String = uploads.into_iter().map(upload).collect();
        let head = element("Bucket", &asked.route.bucket) + &element("IsTruncated", "false");
        return Ok(Reply::xml(
            200,
            &format!("<ListMultipartUploadsResult>{head}{inner}</ListMultipartUploadsResult>"),
        ));
    }
    asked.target().need("storage.multipartUploads.listParts")?;
    let found = world.upload(asked.target(), id(asked))?;
    let parts = found.parts.iter().map(|(number, part)| {
        let inner = [
            element("PartNumber", &number.to_string()),
            element("LastModified", &part.stored.rfc3339()),
            element("ETag", &format!("\"{}\"", hex(&part.md5))),
            element("Size", &part.size.to_string()),
        ];
        format!("<Part>{}</Part>", inner.concat())
    });
    let parts: String = parts.collect();
    let head = element("UploadId", &found.id) + &element("IsTruncated", "false");
    Ok(Reply::xml(200, &format!("<ListPartsResult>{head}{parts}</ListPartsResult>")))
}

fn upload(upload: &Upload) -> String {
    let inner = [
        element("Key", &upload.name),
        element("UploadId", &upload.id),
        element("Initiated", &upload.started.rfc3339()),
    ];
    format!("<Upload>{}</Upload>", inner.concat())
}
