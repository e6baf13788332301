//! Writing, copying, deleting and listing by the XML API.
//!
//! "Put object" (cloud.google.com/storage/docs/xml-api/put-object-upload), "Copy object" (.../put-object-copy), "Delete object" (.../delete-object),
//! "List objects" (.../get-bucket-list).

use super::text::element;
use super::{Asked, file_headers, headers};
use crate::call::{Reply, decoded};
use crate::model::{At, Listing, Payload, Target, Version, Wishes};
use crate::refusal::Refusal;

pub(crate) fn put(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let wishes = headers::wishes(asked.call)?;
    let payload = asked.shared.receive(std::slice::from_ref(asked.body), &wishes.hashes)?;
    let version = asked.shared.world().put(asked.target(), payload, wishes)?;
    let mut reply = Reply::new(200);
    written(&mut reply, &version);
    Ok(reply)
}

/// What the answer to a write says.
pub(crate) fn written(reply: &mut Reply, version: &Version) {
    file_headers(reply, version);
    for not_of_the_answer in
        ["content-type", "content-encoding", "content-disposition", "content-language", "accept-ranges"]
    {
        reply.headers.remove(not_of_the_answer);
    }
}

pub(crate) fn delete(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let generation = asked.call.number("generation")?;
    let preconditions = headers::preconditions(asked.call, false)?;
    asked.shared.world().delete(asked.target(), generation, preconditions)?;
    Ok(Reply::new(204))
}

/// Rights: reading the source, writing the destination. Metadata come from the source unless the directive says otherwise.
pub(crate) fn copy(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let source = asked.call.header("x-goog-copy-source").unwrap_or_default();
    let source = source.strip_prefix('/').unwrap_or(source);
    let (bucket, name) =
        source.split_once('/').ok_or_else(|| Refusal::invalid("Invalid x-goog-copy-source."))?;
    let (bucket, name) = (decoded(bucket)?, decoded(name)?);
    let at = asked.call.number_header("x-goog-copy-source-generation")?.map_or(At::Live, At::Generation);
    let replace = asked.call.header("x-goog-metadata-directive") == Some("REPLACE");
    let mut world = asked.shared.world();
    let from = Target { who: asked.who, bucket: &bucket, name: &name };
    let found = world.read(from, at, headers::preconditions(asked.call, true)?)?.clone();
    let mut about = if replace { headers::about(asked.call)? } else { found.about.clone() };
    if let Some(class) = asked.call.header("x-goog-storage-class") {
        about.storage_class = Some(class.to_uppercase());
    }
    let preconditions = headers::preconditions(asked.call, false)?;
    let wishes = Wishes { about, preconditions, ..Wishes::default() };
    world.may_put(asked.target(), &wishes)?;
    let payload = Payload {
        blob: world.blobs.copy(found.blob)?,
        size: found.size,
        crc32c: found.crc32c,
        md5: found.md5,
        components: found.components,
    };
    let version = world.put(asked.target(), payload, wishes)?;
    let inner = element("ETag", &version.etag()) + &element("LastModified", &version.updated.rfc3339());
    let mut reply = Reply::xml(200, &format!("<CopyObjectResult>{inner}</CopyObjectResult>"));
    reply.set("x-goog-generation", &version.generation.to_string());
    reply.set("x-goog-metageneration", &version.metageneration.to_string());
    Ok(reply)
}

/// Version 2 (`list-type=2`) and version 1, which differ in where they go on.
pub(crate) fn list(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let call = asked.call;
    let known =
        ["list-type", "prefix", "delimiter", "start-after", "continuation-token", "max-keys", "marker"];
    if let Some((key, _)) = call.query.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        return Err(Refusal::not_simulated(&format!("the parameter {key} on a bucket")));
    }
    let second = call.asked("list-type") == Some("2");
    let after = if second { call.asked("start-after") } else { call.asked("marker") };
    let most = call.number("max-keys")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let listing = Listing {
        prefix: call.asked("prefix").unwrap_or_default().to_owned(),
        delimiter: call.asked("delimiter").map(str::to_owned),
        after: after.map(str::to_owned),
        most,
        token: call.asked("continuation-token").filter(|_| second).map(str::to_owned),
        ..Listing::default()
    };
    let page = asked.shared.world().list(asked.who, &asked.route.bucket, &listing)?;
    let mut inner = element("Name", &asked.route.bucket) + &element("Prefix", &listing.prefix);
    if let Some(delimiter) = &listing.delimiter {
        inner += &element("Delimiter", delimiter);
    }
    inner += &element("IsTruncated", if page.next.is_some() { "true" } else { "false" });
    if second {
        inner += &element("KeyCount", &(page.items.len() + page.prefixes.len()).to_string());
        inner += &page.next.map(|next| element("NextContinuationToken", &next)).unwrap_or_default();
    } else if page.next.is_some() {
        let last = page.items.last().map(|(name, _)| name).max(page.prefixes.last());
        inner += &last.map(|last| element("NextMarker", last)).unwrap_or_default();
    }
    inner.extend(page.items.iter().map(|(name, version)| contents(name, version)));
    let prefixes = page.prefixes.iter().map(|prefix| element("Prefix", prefix));
    inner.extend(prefixes.map(|prefix| format!("<CommonPrefixes>{prefix}</CommonPrefixes>")));
    let space = "http://doc.s3.amazonaws.com/2006-03-01";
    Ok(Reply::xml(200, &format!("<ListBucketResult xmlns='{space}'>{inner}</ListBucketResult>")))
}

fn contents(name: &str, version: &Version) -> String {
    let inner = [
        element("Key", name),
        element("Generation", &version.generation.to_string()),
        element("MetaGeneration", &version.metageneration.to_string()),
        element("LastModified", &version.updated.rfc3339()),
        element("ETag", &version.etag()),
        element("Size", &version.size.to_string()),
        element("StorageClass", version.about.storage_class.as_deref().unwrap_or_default()),
    ];
    format!("<Contents>{}</Contents>", inner.concat())
}

pub(crate) fn head_bucket(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let world = asked.shared.world();
    let bucket = world.bucket(&asked.route.bucket)?;
    asked.who.need("storage.buckets.get", &bucket.name, None)?;
    let mut reply = Reply::new(200);
    reply.set("x-goog-metageneration", &bucket.metageneration.to_string());
    Ok(reply)
}
