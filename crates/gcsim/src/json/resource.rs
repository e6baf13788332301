//! The resource that describes an object, written and read.
//!
//! "Objects" (cloud.google.com/storage/docs/json_api/v1/objects#resource): numbers of 64 bits are text, what is false or absent is left out.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::model::{
    About, Bucket, Hold, ObjectRetention, RetentionChange, State, Version, Wishes, retained_until,
};
use crate::moment::Moment;
use crate::refusal::Refusal;

pub(crate) fn object(call: &Call, bucket: &Bucket, name: &str, version: &Version) -> Value {
    let at = format!("http://{}", call.header("host").unwrap_or_default());
    let path = format!("storage/v1/b/{}/o/{}", bucket.name, utf8_percent_encode(name, NON_ALPHANUMERIC));
    let generation = version.generation;
    let mut value = json!({
        "kind": "storage#object",
        "id": format!("{}/{name}/{generation}", bucket.name),
        "selfLink": format!("{at}/{path}"),
        "mediaLink": format!("{at}/download/{path}?generation={generation}&alt=media"),
        "name": name,
        "bucket": bucket.name,
        "generation": generation.to_string(),
        "metageneration": version.metageneration.to_string(),
        "size": version.size.to_string(),
        "crc32c": version.crc32c_base64(),
        "etag": version.json_etag(),
        "timeCreated": version.created.rfc3339(),
        "updated": version.updated.rfc3339(),
        "timeStorageClassUpdated": version.created.rfc3339(),
        "timeFinalized": version.created.rfc3339(),
    });
    let about = &version.about;
    let optional = [
        ("md5Hash", version.md5_base64()),
        ("componentCount", None),
        ("contentType", about.content_type.clone()),
        ("cacheControl", about.cache_control.clone()),
        ("contentDisposition", about.content_disposition.clone()),
        ("contentEncoding", about.content_encoding.clone()),
        ("contentLanguage", about.content_language.clone()),
        ("storageClass", about.storage_class.clone()),
        ("kmsKeyName", about.kms_key.clone()),
        ("customTime", about.custom_time.map(Moment::rfc3339)),
        ("retentionExpirationTime", retained_until(bucket, version).map(Moment::rfc3339)),
    ];
    for (key, one) in optional {
        if let Some(one) = one {
            value[key] = json!(one);
        }
    }
    if let Some(count) = version.components {
        value["componentCount"] = json!(count);
    }
    if !about.metadata.is_empty() {
        value["metadata"] = json!(about.metadata);
    }
    protection(&mut value, version);
    value
}

/// Holds, retention and what kind of version it is.
fn protection(value: &mut Value, version: &Version) {
    for (key, on) in [("temporaryHold", version.temporary_hold), ("eventBasedHold", version.event_based_hold)]
    {
        if on {
            value[key] = json!(true);
        }
    }
    if let Some(retention) = version.retention {
        let mode = if retention.locked { "Locked" } else { "Unlocked" };
        value["retention"] = json!({ "mode": mode, "retainUntilTime": retention.until.rfc3339() });
    }
    match version.state {
        State::Live => {}
        State::Noncurrent { since } => value["timeDeleted"] = json!(since.rfc3339()),
        State::SoftDeleted { since, until } => {
            value["softDeleteTime"] = json!(since.rfc3339());
            value["hardDeleteTime"] = json!(until.rfc3339());
        }
    }
}

/// Puts what these fields say into what is known; a null takes away. Fields that only the service sets are passed over.
///
/// # Errors
/// 400 for a value of the wrong kind, 501 for a field that is not simulated.
pub(crate) fn apply(fields: &Map<String, Value>, about: &mut About) -> Result<(), Refusal> {
    for (key, value) in fields {
        let text = value.as_str().map(str::to_owned);
        match key.as_str() {
            "contentType" => about.content_type = text,
            "cacheControl" => about.cache_control = text,
            "contentDisposition" => about.content_disposition = text,
            "contentEncoding" => about.content_encoding = text,
            "contentLanguage" => about.content_language = text,
            "storageClass" => about.storage_class = text.map(|class| class.to_uppercase()),
            "kmsKeyName" => about.kms_key = text,
            "customTime" => about.custom_time = text.as_deref().map(moment).transpose()?,
            "metadata" => metadata(value, about)?,
            "acl" | "owner" | "contexts" => return Err(Refusal::not_simulated(&format!("the field {key}"))),
            _ => {}
        }
    }
    Ok(())
}

fn moment(text: &str) -> Result<Moment, Refusal> {
    Moment::parse_rfc3339(text).ok_or_else(|| Refusal::invalid(format!("Invalid time: {text}")))
}

fn metadata(value: &Value, about: &mut About) -> Result<(), Refusal> {
    let Some(pairs) = value.as_object() else {
        about.metadata.clear();
        return Ok(());
    };
    for (key, value) in pairs {
        match value {
            Value::Null => drop(about.metadata.remove(key)),
            Value::String(value) => drop(about.metadata.insert(key.clone(), value.clone())),
            _ => return Err(Refusal::invalid("Invalid value for metadata.")),
        }
    }
    Ok(())
}

pub(crate) fn hold(fields: &Map<String, Value>) -> Hold {
    // A null releases, as false does.
    let asked = |key: &str| fields.get(key).map(|value| value.as_bool().unwrap_or(false));
    Hold { temporary: asked("temporaryHold"), event_based: asked("eventBasedHold") }
}

/// # Errors
/// 400.
pub(crate) fn retention(fields: &Map<String, Value>) -> Result<RetentionChange, Refusal> {
    let Some(value) = fields.get("retention") else { return Ok(RetentionChange::Keep) };
    // Google's own client removes it with nulls for both fields.
    if value.as_object().is_none_or(|fields| fields.values().all(Value::is_null)) {
        return Ok(RetentionChange::Remove);
    }
    let locked = match value["mode"].as_str() {
        Some("Locked") => true,
        Some("Unlocked") => false,
        _ => return Err(Refusal::invalid("Invalid retention mode.")),
    };
    let until = value["retainUntilTime"].as_str().ok_or_else(|| Refusal::required("retainUntilTime"))?;
    Ok(RetentionChange::Set(ObjectRetention { locked, until: moment(until)? }))
}

/// What an upload asks for, from its resource and its query.
///
/// # Errors
/// 400, 501.
pub(crate) fn wishes(call: &Call, fields: &Map<String, Value>) -> Result<Wishes, Refusal> {
    let mut about = About::default();
    apply(fields, &mut about)?;
    if let Some(key) = call.asked("kmsKeyName").or_else(|| call.asked("destinationKmsKeyName")) {
        about.kms_key = Some(key.to_owned());
    }
    let mut hashes = call.hashes()?;
    for (key, kind) in [("crc32c", "crc32c"), ("md5Hash", "md5")] {
        if let Some(value) = fields.get(key).and_then(Value::as_str) {
            hashes.add(kind, value)?;
        }
    }
    let hold = hold(fields);
    let retention = match retention(fields)? {
        RetentionChange::Set(retention) => Some(retention),
        _ => None,
    };
    Ok(Wishes {
        about,
        preconditions: call.query_preconditions(false)?,
        hashes,
        temporary_hold: hold.temporary.unwrap_or(false),
        event_based_hold: hold.event_based,
        retention,
    })
}
