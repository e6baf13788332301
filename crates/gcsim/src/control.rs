//! The control API beneath `/_control/`: what tests do to the simulated world that no client of the real one could.
//!
//! Promise: it needs no credential and is struck by no fault. Deliberately plain: each call is one method of [`crate::Control`].

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::faults::Rule;
use crate::json;
use crate::model::{At, Change, Hold, ObjectChange, Preconditions, RetentionChange, Target};
use crate::refusal::Refusal;
use crate::rights::{self, Credentials, Who};
use crate::state::Shared;

pub(crate) fn answer(shared: &Arc<Shared>, call: &Call, body: &Bytes) -> Reply {
    let path = call.path.trim_start_matches("/_control/");
    let answer = match (&call.method, path) {
        (&Method::GET, "health") => Ok(json!({ "now": shared.clock.now().rfc3339() })),
        (&Method::GET, "faults") => Ok(json!(shared.faults.standings())),
        (&Method::POST, "faults") => read::<Rule>(body).map(|rule| json!({ "id": shared.faults.add(rule) })),
        (&Method::DELETE, "faults") => Ok(json!({ "removed": shared.faults.remove(None) })),
        (&Method::GET, "counters") => Ok(json!(shared.counters.all())),
        (&Method::DELETE, "counters") => {
            shared.counters.reset();
            Ok(json!({}))
        }
        (&Method::GET, "rights") => Ok(json!(shared.used.all())),
        (&Method::DELETE, "rights") => {
            shared.used.reset();
            Ok(json!({}))
        }
        (&Method::POST, "clock") => clock(shared, body),
        (&Method::PUT, "credentials") => read::<Credentials>(body).and_then(|credentials| {
            rights::check(&credentials)?;
            shared.world().commit(vec![Change::Credentials(credentials)])?;
            Ok(json!({}))
        }),
        (&Method::POST, "settings") => settings(shared, body),
        (&Method::POST, "buckets") => bucket(shared, call, body),
        (&Method::POST, "lock") => lock(shared, body),
        (&Method::POST, "hold") => hold(shared, body),
        (&Method::POST, "damage") => damage(shared, body),
        (&Method::DELETE, rule) if rule.starts_with("faults/") => release(shared, rule),
        _ => Err(Refusal::not_simulated("this control request")),
    };
    answer.map_or_else(|refusal| json::refused(&refusal), |value| Reply::json(200, &value))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|cause| Refusal::invalid(cause.to_string()))
}

fn release(shared: &Shared, path: &str) -> Result<Value, Refusal> {
    let id = path.trim_start_matches("faults/").parse().ok();
    match id.map(|id| shared.faults.remove(Some(id))) {
        Some(1) => Ok(json!({})),
        _ => Err(Refusal::new(404, "NoSuchRule", "notFound", "No such rule.")),
    }
}

/// Only forwards, as time does.
fn clock(shared: &Shared, body: &Bytes) -> Result<Value, Refusal> {
    let seconds = json::fields(body)?.get("advance_seconds").and_then(Value::as_f64);
    let seconds = seconds.filter(|seconds| (0.0..1e11).contains(seconds));
    let seconds = seconds.ok_or_else(|| Refusal::required("advance_seconds"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it was compared with a bound far below that of the type"
    )]
    let micros = (seconds * 1e6) as i64;
    let ahead = shared.clock.ahead().saturating_add(micros);
    shared.world().commit(vec![Change::Clock(ahead)])?;
    Ok(json!({ "now": shared.clock.now().rfc3339() }))
}

fn settings(shared: &Shared, body: &Bytes) -> Result<Value, Refusal> {
    let limit = json::fields(body)?.get("rate_limit").and_then(Value::as_bool);
    let limit = limit.ok_or_else(|| Refusal::required("rate_limit"))?;
    shared.world().commit(vec![Change::RateLimit(limit)])?;
    Ok(json!({}))
}

/// As "Buckets: insert", without asking for a right.
fn bucket(shared: &Shared, call: &Call, body: &Bytes) -> Result<Value, Refusal> {
    let fields = json::fields(body)?;
    let project = call.asked("project").unwrap_or("project");
    let bucket =
        shared.world().insert_bucket(&Who::Anybody, project, &fields, call.flag("enableObjectRetention"))?;
    Ok(json::resource(&bucket))
}

/// As "Buckets: lockRetentionPolicy", without asking for a right.
fn lock(shared: &Shared, body: &Bytes) -> Result<Value, Refusal> {
    let fields = json::fields(body)?;
    let name = fields.get("bucket").and_then(Value::as_str).ok_or_else(|| Refusal::required("bucket"))?;
    let mut world = shared.world();
    let metageneration = world.bucket(name)?.metageneration;
    Ok(json::resource(&world.lock_bucket(&Who::Anybody, name, metageneration)?))
}

/// A temporary hold on an object, set or released, without asking for a right.
fn hold(shared: &Shared, body: &Bytes) -> Result<Value, Refusal> {
    let fields = json::fields(body)?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).ok_or_else(|| Refusal::required(key));
    let on = fields.get("on").and_then(Value::as_bool).ok_or_else(|| Refusal::required("on"))?;
    let target = Target { who: &Who::Anybody, bucket: text("bucket")?, name: text("name")? };
    let change = ObjectChange {
        at: At::Live,
        preconditions: Preconditions::default(),
        about: &|_| Ok(()),
        hold: Hold { temporary: Some(on), event_based: None },
        retention: RetentionChange::Keep,
        override_unlocked: false,
    };
    shared.world().patch(target, &change)?;
    Ok(json!({}))
}

fn damage(shared: &Shared, body: &Bytes) -> Result<Value, Refusal> {
    let fields = json::fields(body)?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).ok_or_else(|| Refusal::required(key));
    let byte = fields.get("byte").and_then(Value::as_u64).ok_or_else(|| Refusal::required("byte"))?;
    let bit = fields.get("bit").and_then(Value::as_u64).unwrap_or(0) % 8;
    let world = shared.world();
    let blob = world.version(text("bucket")?, text("name")?, At::Live)?.blob;
    shared.blobs.damage(blob, byte, u8::try_from(bit).unwrap_or(0))?;
    Ok(json!({}))
}
