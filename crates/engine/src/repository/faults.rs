//! What it means for a person when objects cannot be used: from the format's faults to the engine's errors.

use std::error::Error as StdError;

use seawall_repo::envelope::HeadError;
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::signed::SignedError;
use seawall_repo::trust::TrustError;
use seawall_repo::wrapped::WrapError;
use seawall_store::{NotServed, ReadFaultKind};

use super::places;
use crate::error::{Error, Kind};

/// What it means that no region could serve an object: the fault of a copy that was there says more than that it failed.
#[must_use]
pub fn not_served(error: &NotServed) -> Error {
    let of_format = error.faults.iter().find_map(|fault| match &fault.kind {
        ReadFaultKind::Damaged(cause) => object_error_in(cause.as_ref()),
        ReadFaultKind::Missing | ReadFaultKind::Failed(_) => None,
    });
    match of_format {
        Some(object) if !error.may_pass() => {
            error.faults.iter().fold(object_error(object), |described, fault| described.fact("region", fault))
        }
        _ => places::not_served(error),
    }
}

fn object_error_in<'a>(cause: &'a (dyn StdError + Send + Sync + 'static)) -> Option<&'a ObjectError> {
    let cause: &'a (dyn StdError + 'static) = cause;
    cause.downcast_ref::<ObjectError>()
}

/// What a fault of one object means.
#[must_use]
pub fn object_error(error: &ObjectError) -> Error {
    let (kind, id, hint) = meaning(&error.fault);
    let described = Error::new(kind, id, error.to_string());
    match hint {
        Some(hint) => described.hint(hint),
        None => described,
    }
}

fn meaning(fault: &Fault) -> (Kind, &'static str, Option<&'static str>) {
    match fault {
        Fault::Head(head) => of_head(head),
        Fault::Trust(trust) => of_trust(trust),
        Fault::Signed(SignedError::Forged { .. }) => (Kind::Data, "repository.forged", Some(FORGED)),
        Fault::Signed(_) => (Kind::Data, "repository.record-damaged", None),
        Fault::Wrapped(WrapError::WrongIdentity { .. }) => (
            Kind::Usage,
            "keys.wrong-identity",
            Some("give the identity file of one of the recipients named: --identity FILE"),
        ),
        Fault::Wrapped(_) => (Kind::Data, "keys.record-damaged", None),
        Fault::NeedsIdentity { .. } => (
            Kind::Usage,
            "keys.identity-needed",
            Some(
                "content opens only with an identity: --identity FILE (hosts that write have none, on purpose)",
            ),
        ),
        Fault::NeedsMetaKey { .. } => (
            Kind::Usage,
            "keys.generation-missing",
            Some(
                "the key file of this host lacks this generation of keys; an identity opens it: --identity FILE",
            ),
        ),
        _ => (Kind::Data, "repository.object-damaged", None),
    }
}

const FORGED: &str =
    "do not use this copy; find out who could write to the region, and compare with another region";

fn of_head(fault: &HeadError) -> (Kind, &'static str, Option<&'static str>) {
    match fault {
        HeadError::NewerVersion { .. }
        | HeadError::UnknownFeatures { .. }
        | HeadError::UnknownKind { .. } => {
            (Kind::Usage, "repository.newer-format", Some("use a newer release of seawall"))
        }
        _ => (Kind::Data, "repository.object-damaged", None),
    }
}

fn of_trust(fault: &TrustError) -> (Kind, &'static str, Option<&'static str>) {
    match fault {
        TrustError::OtherRepository { .. } => (
            Kind::Usage,
            "repository.other-repository",
            Some("the region holds another repository than the settings pin: check its URL"),
        ),
        TrustError::OtherOwner { .. } => (
            Kind::Usage,
            "repository.other-owner",
            Some(
                "compare the owner's key with the recovery kit; if the kit is right, this is not your repository",
            ),
        ),
        TrustError::NewerFormat { .. } => {
            (Kind::Usage, "repository.newer-format", Some("use a newer release of seawall"))
        }
        TrustError::UnknownWriter { .. } => (
            Kind::Data,
            "repository.writer-unknown",
            Some(
                "if the writer is yours, its certificate is missing in this region: seawall key show lists what is known",
            ),
        ),
        TrustError::Revoked { .. } => (Kind::Data, "repository.writer-revoked", None),
        TrustError::WrongCluster { .. } | TrustError::MissingRight { .. } => {
            (Kind::Data, "repository.writer-without-right", None)
        }
        _ => (Kind::Data, "repository.forged", Some(FORGED)),
    }
}

/// Whether an object is not believed because of who signed it, not because of its state.
pub(crate) fn is_of_a_stranger(error: &Error) -> bool {
    matches!(error.id(), "repository.writer-unknown" | "repository.writer-without-right")
}
