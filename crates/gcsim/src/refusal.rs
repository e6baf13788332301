//! What is answered when a request is not carried out: one value, written as XML or JSON by whoever asked.
//!
//! Codes and reasons are those of "HTTP status and error codes for XML" (cloud.google.com/storage/docs/xml-api/reference-status)
//! and "HTTP status and error codes for JSON" (cloud.google.com/storage/docs/json_api/v1/status-codes). The texts of
//! messages follow what the service is known to say; nothing may depend on them (*assumed*).

use crate::moment::Moment;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// `<Code>` in XML.
    pub(crate) code: String,
    /// `reason` in JSON.
    pub(crate) reason: String,
    pub(crate) message: String,
    /// `<Details>` in XML; JSON says it as the message.
    pub(crate) details: Option<String>,
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            details: None,
            retry_after: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", "invalid", message)
    }

    pub(crate) fn required(what: &str) -> Self {
        Self::new(400, "InvalidArgument", "required", format!("Required parameter: {what}"))
    }

    /// Something of the real service that is not simulated: said loudly, never answered as if it had worked.
    pub(crate) fn not_simulated(what: &str) -> Self {
        Self::new(501, "NotImplemented", "notImplemented", format!("gcsim does not simulate {what}"))
    }

    pub(crate) fn no_such_bucket(bucket: &str) -> Self {
        let mut refusal = Self::new(404, "NoSuchBucket", "notFound", "The specified bucket does not exist.");
        refusal.details = Some(format!("The specified bucket {bucket} does not exist."));
        refusal
    }

    pub(crate) fn no_such_key(bucket: &str, name: &str) -> Self {
        let mut refusal = Self::new(404, "NoSuchKey", "notFound", "The specified key does not exist.");
        refusal.details = Some(format!("No such object: {bucket}/{name}"));
        refusal
    }

    pub(crate) fn no_such_upload() -> Self {
        let message = "The requested upload was not found.";
        Self::new(404, "NoSuchUpload", "notFound", message)
    }

    pub(crate) fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold.";
        Self::new(412, "PreconditionFailed", "conditionNotMet", message)
    }

    pub(crate) fn not_modified() -> Self {
        Self::new(304, "NotModified", "notModified", "Not Modified")
    }

    pub(crate) fn range_not_satisfiable() -> Self {
        let message = "The requested range cannot be satisfied.";
        Self::new(416, "InvalidRange", "requestedRangeNotSatisfiable", message)
    }

    pub(crate) fn login_required() -> Self {
        Self::new(401, "AuthenticationRequired", "required", "Login Required")
    }

    pub(crate) fn invalid_credentials() -> Self {
        Self::new(401, "AuthenticationRequired", "authError", "Invalid Credentials")
    }

    /// 403 with the permission that is missing, on an object or, without a name, on a bucket.
    pub(crate) fn denied(who: &str, permission: &str, name: Option<&str>) -> Self {
        let on = if name.is_some() { "object" } else { "bucket" };
        let mut refusal = Self::new(403, "AccessDenied", "forbidden", "Access denied.");
        refusal.details = Some(format!(
            "{who} does not have {permission} access to the Google Cloud Storage {on}. \
             Permission '{permission}' denied on resource (or it may not exist)."
        ));
        refusal
    }

    pub(crate) fn retained(bucket: &str, name: &str, until: Moment) -> Self {
        let until = until.rfc3339();
        let message = format!(
            "Object '{bucket}/{name}' is subject to bucket's retention policy or object retention \
             and cannot be deleted or overwritten until {until}"
        );
        Self::new(403, "RetentionPolicyNotMet", "retentionPolicyNotMet", message)
    }

    pub(crate) fn held(bucket: &str, name: &str, kind: &str) -> Self {
        let message = format!(
            "Object '{bucket}/{name}' is under active {kind} hold and cannot be deleted, overwritten \
             or archived until hold is removed."
        );
        Self::new(403, "ObjectUnderActiveHold", "objectUnderActiveHold", message)
    }

    pub(crate) fn rate_limited(bucket: &str, name: &str) -> Self {
        let message = format!(
            "The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, \
             and delete). Please reduce your request rate."
        );
        Self::new(429, "SlowDown", "rateLimitExceeded", message)
    }

    /// What the simulator itself could not do, such as writing its data directory.
    pub(crate) fn internal(cause: &std::io::Error) -> Self {
        Self::new(500, "InternalError", "internalError", format!("gcsim: {cause}"))
    }

    /// The message as JSON carries it: the details where there are any.
    pub(crate) fn said(&self) -> &str {
        self.details.as_deref().unwrap_or(&self.message)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(cause: std::io::Error) -> Self {
        Self::internal(&cause)
    }
}
