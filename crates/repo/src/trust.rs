//! Whom a reader believes: the pinned repository and owner, the owner's certificates and revocations, nothing else.
//!
//! Promises: an object or record counts only if a writer that the owner named, for this cluster, with the needed right and
//! not revoked when it was stored, signed it under this name. Deliberately asks no clock: the store's time of an object's
//! creation is given.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::envelope::Head;
use crate::error::{Fault, ObjectError};
use crate::id::{ClusterName, RepositoryId, WriterId};
use crate::keys::OwnerPublic;
use crate::layout::{Named, ObjectName};
use crate::records::{ClusterScope, FORMAT, Revocation, Right, SeawallJson, WriterCertificate};
use crate::seal::Cipher;
use crate::signed::{SignedError, SignedText, Signer};
use crate::time::Time;

/// What a reader is told beforehand: in its settings or the recovery kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pins {
    /// The repository's id.
    pub repository: RepositoryId,
    /// The owner's public key.
    pub owner: OwnerPublic,
}

/// Why a signer or a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Another repository than the pinned one.
    #[error("is repository {found}, wanted {wanted}")]
    OtherRepository {
        /// What it is.
        found: RepositoryId,
        /// What was pinned.
        wanted: RepositoryId,
    },
    /// Another owner than the pinned one.
    #[error("has the owner {found}, wanted {wanted}")]
    OtherOwner {
        /// Whose it is.
        found: OwnerPublic,
        /// What was pinned.
        wanted: OwnerPublic,
    },
    /// A repository in a newer format.
    #[error("repository format {found} is newer than this program, which reads {FORMAT}")]
    NewerFormat {
        /// Its format.
        found: u32,
    },
    /// A record whose fields are not those of its name.
    #[error("record does not belong under its name: {what}")]
    Misplaced {
        /// Which field.
        what: &'static str,
    },
    /// A writer without a certificate.
    #[error("writer {writer} is unknown: no certificate of the owner names it")]
    UnknownWriter {
        /// Who.
        writer: WriterId,
    },
    /// A writer whose certificate ended before.
    #[error("writer {writer} was revoked at {revoked}: {reason}")]
    Revoked {
        /// Who.
        writer: WriterId,
        /// Since when.
        revoked: Time,
        /// Why.
        reason: String,
    },
    /// A writer of another cluster.
    #[error("writer {writer} may write for {allowed} only, not for {cluster}")]
    WrongCluster {
        /// Who.
        writer: WriterId,
        /// For which cluster it is certified.
        allowed: ClusterScope,
        /// For which cluster it wrote.
        cluster: ClusterName,
    },
    /// A writer without the needed right.
    #[error("writer {writer} has not the right to {}", .right.as_str())]
    MissingRight {
        /// Who.
        writer: WriterId,
        /// Which right.
        right: Right,
    },
    /// A signature that its writer did not make.
    #[error("signature of writer {writer} does not fit: changed, moved here from another place, or forged")]
    Forged {
        /// Who is said to have signed.
        writer: WriterId,
    },
    /// An object sealed otherwise than its repository.
    #[error("is sealed with {}, but this repository with {}", .found.as_str(), .wanted.as_str())]
    OtherCipher {
        /// Its cipher.
        found: Cipher,
        /// The repository's.
        wanted: Cipher,
    },
    /// A kind of object that no writer signs.
    #[error("is no object that a writer signs")]
    NotAWriters,
}

/// The pins, the repository's own word, and all certificates and revocations that were checked.
#[derive(Debug, Clone)]
pub struct Trust {
    pins: Pins,
    cipher: Cipher,
    certificates: BTreeMap<WriterId, WriterCertificate>,
    revocations: BTreeMap<WriterId, Revocation>,
}

impl Trust {
    /// Believes a repository whose `seawall.json` is that of the pins.
    pub fn open(pins: Pins, seawall_json: &[u8]) -> Result<(Self, SeawallJson), ObjectError> {
        let name = Named::Seawall.to_name();
        let opened =
            open_seawall(&pins, &name, seawall_json).map_err(|fault| ObjectError::new(&name, fault))?;
        let trust =
            Self { pins, cipher: opened.cipher, certificates: BTreeMap::new(), revocations: BTreeMap::new() };
        Ok((trust, opened))
    }

    /// The repository's id.
    pub fn repository(&self) -> &RepositoryId {
        &self.pins.repository
    }

    /// The owner's public key.
    pub fn owner(&self) -> &OwnerPublic {
        &self.pins.owner
    }

    /// The repository's cipher, in the owner's word.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The certificates that were added.
    pub fn certificates(&self) -> impl Iterator<Item = &WriterCertificate> {
        self.certificates.values()
    }

    /// A writer's revocation, if one was added.
    pub fn revocation(&self, writer: &WriterId) -> Option<&Revocation> {
        self.revocations.get(writer)
    }

    /// Whether anybody was revoked: then the store's time of an object's creation decides.
    pub fn has_revocations(&self) -> bool {
        !self.revocations.is_empty()
    }

    /// A record that the owner must have signed.
    pub fn open_owners<R: DeserializeOwned>(&self, name: &ObjectName, text: &[u8]) -> Result<R, ObjectError> {
        let opened = SignedText::parse(text)
            .and_then(|signed| signed.open_as_owner(&self.pins.repository, name, &self.pins.owner));
        opened.map_err(|error| ObjectError::new(name, error.into()))
    }

    /// Adds what stands under a name in `writer/`: a certificate or a revocation.
    pub fn add_writer_record(&mut self, name: &ObjectName, text: &[u8]) -> Result<(), ObjectError> {
        match name.named() {
            Named::Writer(writer) => self.add_certificate(name, *writer, text),
            Named::Revocation(writer) => self.add_revocation(name, *writer, text),
            _ => Err(misplaced(name, "not a writer's record")),
        }
    }

    fn add_certificate(
        &mut self,
        name: &ObjectName,
        writer: WriterId,
        text: &[u8],
    ) -> Result<(), ObjectError> {
        let certificate: WriterCertificate = self.open_owners(name, text)?;
        if certificate.writer != writer || certificate.public.id() != writer {
            return Err(misplaced(name, "writer"));
        }
        self.certificates.insert(writer, certificate);
        Ok(())
    }

    fn add_revocation(
        &mut self,
        name: &ObjectName,
        writer: WriterId,
        text: &[u8],
    ) -> Result<(), ObjectError> {
        let revocation: Revocation = self.open_owners(name, text)?;
        if revocation.writer != writer {
            return Err(misplaced(name, "writer"));
        }
        self.revocations.insert(writer, revocation);
        Ok(())
    }

    /// A record that the owner must have signed, or a writer with the right that such a record needs ([`Right::needed_for`]).
    /// `created` is as for [`Trust::verify_object`].
    pub fn open_writers<R: DeserializeOwned>(
        &self,
        name: &ObjectName,
        text: &[u8],
        created: Option<Time>,
    ) -> Result<R, ObjectError> {
        let fault = |fault: Fault| ObjectError::new(name, fault);
        let signed = SignedText::parse(text).map_err(|error| fault(error.into()))?;
        let opened = match signed.signer() {
            Signer::Owner => signed.open_as_owner(&self.pins.repository, name, &self.pins.owner),
            Signer::Writer(writer) => {
                let certificate =
                    self.certificate(name, writer, created).map_err(|error| fault(error.into()))?;
                signed.open_as_writer(&self.pins.repository, name, &certificate.public)
            }
        };
        opened.map_err(|error| fault(error.into()))
    }

    /// Checks that the writer an object names signed it and had the right to. `created` is when the store says the object
    /// was created; without it a revoked writer's objects do not count.
    pub fn verify_object(
        &self,
        name: &ObjectName,
        head: &Head,
        created: Option<Time>,
    ) -> Result<(), TrustError> {
        let writer = head.writer();
        let certificate = self.certificate(name, writer, created)?;
        let message = head.message(&self.pins.repository, name);
        if !certificate.public.has_signed(&message, head.signature()) {
            return Err(TrustError::Forged { writer });
        }
        let (found, wanted) = (head.sealing().cipher, self.cipher);
        if found == wanted { Ok(()) } else { Err(TrustError::OtherCipher { found, wanted }) }
    }

    /// The certificate by which `writer` may have put `name`.
    fn certificate(
        &self,
        name: &ObjectName,
        writer: WriterId,
        created: Option<Time>,
    ) -> Result<&WriterCertificate, TrustError> {
        let cluster = name.named().cluster().ok_or(TrustError::NotAWriters)?;
        let certificate = self.certificates.get(&writer).ok_or(TrustError::UnknownWriter { writer })?;
        if let Some(revocation) = self.revocations.get(&writer)
            && created.is_none_or(|created| created >= revocation.revoked)
        {
            let Revocation { revoked, reason, .. } = revocation.clone();
            return Err(TrustError::Revoked { writer, revoked, reason });
        }
        if !certificate.cluster.covers(cluster) {
            let (allowed, cluster) = (certificate.cluster.clone(), cluster.clone());
            return Err(TrustError::WrongCluster { writer, allowed, cluster });
        }
        let needed = Right::needed_for(name.named());
        match needed.first() {
            Some(right) if !needed.iter().any(|right| certificate.rights.contains(right)) => {
                Err(TrustError::MissingRight { writer, right: *right })
            }
            _ => Ok(certificate),
        }
    }
}

fn misplaced(name: &ObjectName, what: &'static str) -> ObjectError {
    ObjectError::new(name, TrustError::Misplaced { what }.into())
}

/// What the text says of itself is compared first, so that a wrong repository is told from a forged one.
fn open_seawall(pins: &Pins, name: &ObjectName, text: &[u8]) -> Result<SeawallJson, Fault> {
    let signed = SignedText::parse(text)?;
    let claimed: serde_json::Value = signed.peek()?;
    if let Some(found) = claimed.get("format").and_then(serde_json::Value::as_u64)
        && found > u64::from(FORMAT)
    {
        return Err(TrustError::NewerFormat { found: u32::try_from(found).unwrap_or(u32::MAX) }.into());
    }
    let claimed: SeawallJson = signed.peek()?;
    if claimed.repository != pins.repository {
        let (found, wanted) = (claimed.repository, pins.repository);
        return Err(TrustError::OtherRepository { found, wanted }.into());
    }
    if claimed.owner != pins.owner {
        return Err(TrustError::OtherOwner { found: claimed.owner, wanted: pins.owner }.into());
    }
    let opened: SeawallJson = signed.open_as_owner(&pins.repository, name, &pins.owner)?;
    if opened.format == FORMAT {
        return Ok(opened);
    }
    Err(Fault::Signed(SignedError::Record {
        reason: format!("format is {}, wanted {FORMAT}", opened.format),
    }))
}

#[cfg(test)]
mod tests;
