//! What a region can answer instead of what was asked, as kinds that tell the caller what to do.
//!
//! Promises: [`StoreError::NotFound`] is a positive answer of a region that could be asked; no outage, missing root
//! directory, I/O error or denied access becomes one. A message never repeats its cause.
//! Does not do: hints and exit codes; those belong to who knows what the object means.

use crate::durable::DurableError;
use crate::local::LocalError;
use crate::region::RegionName;
use rustix::io::Errno;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The cause below a [`StoreError`], shared so that errors can be cloned into reports.
pub type Cause = Arc<dyn Error + Send + Sync + 'static>;

/// Why a region did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The region was asked and positively has no such object.
    #[error("{name} is not in region {region}")]
    NotFound {
        /// The region that answered.
        region: RegionName,
        /// The object's name.
        name: String,
    },
    /// The region has an object of that name already; it was not touched.
    #[error("{name} already exists in region {region}")]
    AlreadyExists {
        /// The region that answered.
        region: RegionName,
        /// The object's name.
        name: String,
    },
    /// No answer, or one that may be another next time. Has been retried already.
    #[error("region {region} is unavailable for {name} (tried {tried} times in {} s)", .waited.as_secs())]
    Unavailable {
        /// The region.
        region: RegionName,
        /// The object's name, or the prefix listed.
        name: String,
        /// Attempts made; 0 when the region was known to be down and not asked at all.
        tried: u32,
        /// From the first attempt to giving up.
        waited: Duration,
        /// The last attempt's failure.
        source: Cause,
    },
    /// Credentials or permissions do not suffice; trying again does not help.
    #[error("region {region} denies access to {name}")]
    Denied {
        /// The region.
        region: RegionName,
        /// The object's name.
        name: String,
        /// Its answer.
        source: Cause,
    },
    /// What the region holds under this name cannot be an object as it was put.
    #[error("{name} in region {region} is damaged: {what}")]
    Damaged {
        /// The region.
        region: RegionName,
        /// The object's name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// No space, or a quota reached.
    #[error("region {region} is full, {name} was not stored")]
    Full {
        /// The region.
        region: RegionName,
        /// The object's name.
        name: String,
        /// Its answer.
        source: Cause,
    },
    /// The object is larger than the caller is ready to hold.
    #[error("{name} in region {region} has {size_bytes} bytes, more than the {limit_bytes} allowed here")]
    TooLarge {
        /// The region.
        region: RegionName,
        /// The object's name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// No region keeps objects under such a name.
    #[error("{name:?} is no name for an object in region {region}: {why}")]
    InvalidName {
        /// The region.
        region: RegionName,
        /// The name as given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else; trying again does not help.
    #[error("region {region} refused {name}")]
    Other {
        /// The region.
        region: RegionName,
        /// The object's name.
        name: String,
        /// Its answer.
        source: Cause,
    },
}

/// The kinds of [`StoreError`] without their facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Positively absent.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Down or not reachable.
    Unavailable,
    /// Not allowed.
    Denied,
    /// Damaged.
    Damaged,
    /// No space.
    Full,
    /// Larger than allowed.
    TooLarge,
    /// Impossible name.
    InvalidName,
    /// Anything else.
    Other,
}

impl StoreError {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Full { .. } => ErrorKind::Full,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::InvalidName { .. } => ErrorKind::InvalidName,
            Self::Other { .. } => ErrorKind::Other,
        }
    }

    /// Whether this is the positive answer "no such object".
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// The region concerned.
    #[must_use]
    pub fn region(&self) -> &RegionName {
        match self {
            Self::NotFound { region, .. }
            | Self::AlreadyExists { region, .. }
            | Self::Unavailable { region, .. }
            | Self::Denied { region, .. }
            | Self::Damaged { region, .. }
            | Self::Full { region, .. }
            | Self::TooLarge { region, .. }
            | Self::InvalidName { region, .. }
            | Self::Other { region, .. } => region,
        }
    }

    /// The error and its causes in one line, outermost first.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

/// A failed attempt before it is dressed as a [`StoreError`]: its kind and its cause.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) cause: Cause,
}

/// The driver did not answer in time; what was asked may still happen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no progress for {} ms", .0.as_millis())]
pub(crate) struct Stalled(pub(crate) Duration);

impl Failure {
    pub(crate) fn stalled(limit: Duration) -> Self {
        Self { kind: ErrorKind::Unavailable, cause: Arc::new(Stalled(limit)) }
    }

    pub(crate) fn of(error: object_store::Error) -> Self {
        use object_store::Error as E;
        if let Some((kind, cause)) = crate::bucket::verdict::of(&error) {
            return Self { kind, cause };
        }
        let given = match &error {
            E::NotFound { .. } => Some(ErrorKind::NotFound),
            E::AlreadyExists { .. } | E::Precondition { .. } => Some(ErrorKind::AlreadyExists),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Some(ErrorKind::Denied),
            E::InvalidPath { .. } => Some(ErrorKind::InvalidName),
            _ => None,
        };
        let kind = given.unwrap_or_else(|| kind_by_cause(&error));
        Self { kind, cause: bare_cause(error) }
    }

    pub(crate) fn may_pass(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    pub(crate) fn dress(self, region: &RegionName, name: &str, tried: u32, waited: Duration) -> StoreError {
        let (region, name, source) = (region.clone(), name.to_owned(), self.cause);
        match self.kind {
            ErrorKind::NotFound => StoreError::NotFound { region, name },
            ErrorKind::AlreadyExists => StoreError::AlreadyExists { region, name },
            ErrorKind::Unavailable => StoreError::Unavailable { region, name, tried, waited, source },
            ErrorKind::Denied => StoreError::Denied { region, name, source },
            ErrorKind::Damaged => StoreError::Damaged { region, name, what: source.to_string() },
            ErrorKind::Full => StoreError::Full { region, name, source },
            ErrorKind::InvalidName => StoreError::InvalidName { region, name, why: source.to_string() },
            ErrorKind::TooLarge | ErrorKind::Other => StoreError::Other { region, name, source },
        }
    }
}

/// The driver's error without the sentence around it that repeats it.
fn bare_cause(error: object_store::Error) -> Cause {
    use object_store::Error as E;
    match error {
        E::Generic { source, .. }
        | E::NotFound { source, .. }
        | E::AlreadyExists { source, .. }
        | E::Precondition { source, .. }
        | E::PermissionDenied { source, .. }
        | E::Unauthenticated { source, .. }
        | E::NotSupported { source } => Arc::from(source),
        E::InvalidPath { source } => Arc::new(source),
        other => Arc::new(other),
    }
}

fn kind_by_cause(error: &object_store::Error) -> ErrorKind {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(local) = cause.downcast_ref::<LocalError>() {
            match local {
                LocalError::RootMissing { .. } | LocalError::MarkerMissing { .. } => {
                    return ErrorKind::Unavailable;
                }
                LocalError::BadName { .. } => return ErrorKind::InvalidName,
                LocalError::NotAnObject { .. } | LocalError::Short { .. } => return ErrorKind::Damaged,
                LocalError::Durable { source: DurableError::WrongKind { .. } } => return ErrorKind::Damaged,
                LocalError::Durable { source: DurableError::UnsafeName { .. } } => {
                    return ErrorKind::InvalidName;
                }
                LocalError::Absent { .. } | LocalError::Exists { .. } | LocalError::Durable { .. } => {}
            }
        }
        if cause.downcast_ref::<crate::faulty::InjectedFault>().is_some() {
            return ErrorKind::Unavailable;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return kind_by_errno(io);
        }
        next = cause.source();
    }
    ErrorKind::Other
}

/// Which errors of a file system may pass (a dropped mount, a busy or ailing disk) and which will not.
fn kind_by_errno(error: &std::io::Error) -> ErrorKind {
    let Some(errno) = Errno::from_io_error(error) else { return ErrorKind::Other };
    match errno {
        Errno::NOSPC | Errno::DQUOT => ErrorKind::Full,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        Errno::NAMETOOLONG => ErrorKind::InvalidName,
        Errno::IO
        | Errno::STALE
        | Errno::NOTCONN
        | Errno::TIMEDOUT
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH
        | Errno::CONNREFUSED
        | Errno::CONNRESET
        | Errno::NODEV
        | Errno::NXIO
        | Errno::AGAIN
        | Errno::INTR
        | Errno::BUSY
        | Errno::NFILE
        | Errno::MFILE
        | Errno::NOMEM
        // A name on the way vanished between two steps; a question about the object itself answers NotFound.
        | Errno::NOENT => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_failure(errno: Errno) -> Failure {
        Failure::of(object_store::Error::Generic {
            store: "test",
            source: Box::new(std::io::Error::from(errno)),
        })
    }

    #[test]
    fn no_error_of_the_file_system_is_a_positive_not_found() {
        for number in 1..134 {
            let errno = Errno::from_raw_os_error(number);
            assert_ne!(io_failure(errno).kind, ErrorKind::NotFound, "{errno:?}");
        }
    }

    #[test]
    fn errors_tell_what_to_do() {
        assert_eq!(io_failure(Errno::NOSPC).kind, ErrorKind::Full);
        assert_eq!(io_failure(Errno::ROFS).kind, ErrorKind::Denied);
        assert_eq!(io_failure(Errno::STALE).kind, ErrorKind::Unavailable);
        assert_eq!(io_failure(Errno::NOTDIR).kind, ErrorKind::Other);
        assert!(io_failure(Errno::IO).may_pass());
        assert!(!io_failure(Errno::NOSPC).may_pass());
    }

    #[test]
    fn message_says_each_cause_once() {
        let error = io_failure(Errno::NOSPC).dress(&RegionName::new("eu").unwrap(), "a/b", 1, Duration::ZERO);
        assert_eq!(
            error.chain(),
            "region eu is full, a/b was not stored: No space left on device (os error 28)"
        );
    }
}
