//! The methods of "Objects" (cloud.google.com/storage/docs/json_api/v1/objects), uploads apart.
//!
//! *Assumed*: a rewrite is always done in one call (the page promises it where location and class stay the same).

use serde_json::{Map, Value, json};

use super::{fields, resource};
use crate::call::{Call, Reply};
use crate::model::{At, Component, Listing, ObjectChange, Payload, Preconditions, Target, Version};
use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::xml::{Asked, partial};

pub(crate) fn described(
    asked: &Asked<'_>,
    bucket: &str,
    name: &str,
    version: &Version,
) -> Result<Value, Refusal> {
    let world = asked.shared.world();
    Ok(resource::object(asked.call, world.bucket(bucket)?, name, version))
}

fn here(asked: &Asked<'_>, version: &Version) -> Result<Reply, Refusal> {
    let value = described(asked, &asked.route.bucket, &asked.route.name, version)?;
    let mut reply = Reply::json(200, &value);
    reply.set("etag", &version.json_etag());
    Ok(reply)
}

/// Bytes with `alt=media`, otherwise the resource; `softDeleted=true` finds what was deleted.
pub(crate) fn get(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let at = match (asked.call.number("generation")?, asked.call.flag("softDeleted")) {
        (None, false) => At::Live,
        (Some(generation), false) => At::Generation(generation),
        (Some(generation), true) => At::SoftDeleted(generation),
        (None, true) => return Err(Refusal::required("generation")),
    };
    let preconditions = asked.call.query_preconditions(false)?;
    let version = asked.shared.world().read(asked.target(), at, preconditions)?.clone();
    if asked.route.operation == Operation::ObjectGet {
        return partial(asked, &version, false);
    }
    here(asked, &version)
}

pub(crate) fn list(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let call = asked.call;
    if call.asked("matchGlob").is_some() || call.asked("filter").is_some() {
        return Err(Refusal::not_simulated("lists by pattern"));
    }
    let text = |key: &str| call.asked(key).map(str::to_owned);
    let most = call.number("maxResults")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let listing = Listing {
        prefix: text("prefix").unwrap_or_default(),
        delimiter: text("delimiter"),
        after: None,
        from: text("startOffset"),
        before: text("endOffset"),
        most,
        token: text("pageToken").filter(|token| !token.is_empty()),
        versions: call.flag("versions"),
        soft_deleted: call.flag("softDeleted"),
        include_trailing_delimiter: call.flag("includeTrailingDelimiter"),
    };
    let world = asked.shared.world();
    let page = world.list(asked.who, &asked.route.bucket, &listing)?;
    let bucket = world.bucket(&asked.route.bucket)?;
    let items = page.items.iter().map(|(name, version)| resource::object(call, bucket, name, version));
    let mut value = json!({ "kind": "storage#objects" });
    if !page.items.is_empty() {
        value["items"] = items.collect();
    }
    if !page.prefixes.is_empty() {
        value["prefixes"] = json!(page.prefixes);
    }
    if let Some(next) = page.next {
        value["nextPageToken"] = json!(next);
    }
    Ok(Reply::json(200, &value))
}

pub(crate) fn delete(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let generation = asked.call.number("generation")?;
    let preconditions = asked.call.query_preconditions(false)?;
    asked.shared.world().delete(asked.target(), generation, preconditions)?;
    Ok(Reply::new(204))
}

pub(crate) fn restore(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let generation = asked.call.number("generation")?.ok_or_else(|| Refusal::required("generation"))?;
    let preconditions = asked.call.query_preconditions(false)?;
    let version = asked.shared.world().restore(asked.target(), generation, preconditions)?;
    here(asked, &version)
}

pub(crate) fn patch(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let fields = fields(asked.body)?;
    let change = ObjectChange {
        at: asked.call.number("generation")?.map_or(At::Live, At::Generation),
        preconditions: asked.call.query_preconditions(false)?,
        about: &|about| {
            let class = about.storage_class.clone();
            resource::apply(&fields, about)?;
            // "Storage classes": changed by rewriting, not here.
            about.storage_class = class;
            Ok(())
        },
        hold: resource::hold(&fields),
        retention: resource::retention(&fields)?,
        override_unlocked: asked.call.flag("overrideUnlockedRetention"),
    };
    let version = asked.shared.world().patch(asked.target(), &change)?;
    here(asked, &version)
}

pub(crate) fn compose(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let body = fields(asked.body)?;
    let sources = body.get("sourceObjects").and_then(Value::as_array);
    let sources = sources.ok_or_else(|| Refusal::required("sourceObjects"))?;
    let sources: Vec<Component> = sources.iter().map(component).collect::<Result<_, _>>()?;
    let destination = body.get("destination").and_then(Value::as_object).cloned().unwrap_or_default();
    let wishes = resource::wishes(asked.call, &destination)?;
    let version = asked.shared.world().compose(asked.target(), &sources, wishes)?;
    here(asked, &version)
}

fn component(value: &Value) -> Result<Component, Refusal> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let name = value["name"].as_str().ok_or_else(|| Refusal::required("sourceObjects[].name"))?;
    Ok(Component {
        name: name.to_owned(),
        generation: number(&value["generation"]),
        preconditions: Preconditions {
            generation: number(&value["objectPreconditions"]["ifGenerationMatch"]),
            ..Preconditions::default()
        },
    })
}

/// `rewriteTo` and `copyTo`: rights to read the source and to write the destination. Without fields metadata are the source's.
pub(crate) fn copy(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let call: &Call = asked.call;
    let (bucket, name) = asked.route.destination.as_ref().ok_or_else(|| Refusal::required("destination"))?;
    let at = call.number("sourceGeneration")?.map_or(At::Live, At::Generation);
    let body = fields(asked.body)?;
    let mut world = asked.shared.world();
    let found = world.read(asked.target(), at, call.query_preconditions(true)?)?.clone();
    let mut wishes = resource::wishes(call, &body)?;
    if replaces_nothing(&body) {
        let (class, key) = (wishes.about.storage_class.take(), wishes.about.kms_key.take());
        wishes.about = found.about.clone();
        wishes.about.storage_class = class.or(wishes.about.storage_class);
        wishes.about.kms_key = key.or(wishes.about.kms_key);
    }
    let to = Target { who: asked.who, bucket, name };
    world.may_put(to, &wishes)?;
    let payload = Payload {
        blob: world.blobs.copy(found.blob)?,
        size: found.size,
        crc32c: found.crc32c,
        md5: found.md5,
        components: found.components,
    };
    let version = world.put(to, payload, wishes)?;
    drop(world);
    let value = described(asked, bucket, name, &version)?;
    if call.path.contains("/copyTo/") {
        return Ok(Reply::json(200, &value));
    }
    let size = version.size.to_string();
    Ok(Reply::json(
        200,
        &json!({
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": true,
            "resource": value,
        }),
    ))
}

/// Whether a body says nothing of metadata but the class and the key.
fn replaces_nothing(body: &Map<String, Value>) -> bool {
    body.keys().all(|key| ["name", "bucket", "storageClass", "kmsKeyName"].contains(&key.as_str()))
}
