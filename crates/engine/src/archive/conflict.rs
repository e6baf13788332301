//! Another file under a name that this host has a file for: whose it is, told beside whose this one is.

use seawall_repo::error::ObjectError;
use seawall_repo::id::WriterId;
use seawall_repo::keys::WriterKey;
use seawall_repo::layout::ObjectName;
use seawall_repo::object::OpenHead;
use seawall_repo::time::Time;
use seawall_repo::wal_object::WalHeader;
use seawall_store::{Region, RegionName};

use crate::backup::host_name;
use crate::error::Error;
use crate::repository::Repository;

/// Another file under the same name.
#[derive(Debug)]
pub(super) struct OtherCopy {
    region: RegionName,
    name: ObjectName,
    made_by: String,
}

impl OtherCopy {
    /// What the believed head of a copy says of its maker.
    pub(super) fn of(
        repository: &Repository,
        region: &Region,
        head: &OpenHead,
    ) -> std::result::Result<Self, ObjectError> {
        let made_by = try_made_by(repository, head)?;
        Ok(Self { region: region.name().clone(), name: head.name().clone(), made_by })
    }

    /// The conflict, with both writers.
    pub(super) fn error(&self, repository: &Repository) -> Error {
        let here = match repository.writer().map(WriterKey::id) {
            Ok(own) => format!("writer {own} ({}), host {}", label(repository, own), host_name()),
            Err(_) => format!("host {}", host_name()),
        };
        let what = format!("region {} holds another file under {}", self.region, self.name);
        Error::data("archive.conflict", what)
            .fact("there", &self.made_by)
            .fact("here", here)
            .hint("two servers write the same timeline: find out which one is the primary, and stop archiving on the other (archive_mode = off)")
            .hint("nothing was overwritten, and PostgreSQL keeps its file")
    }
}

/// Who made an object of WAL, where, and when.
pub(super) fn made_by(repository: &Repository, head: &OpenHead) -> String {
    try_made_by(repository, head).unwrap_or_else(|error| error.to_string())
}

fn try_made_by(repository: &Repository, head: &OpenHead) -> std::result::Result<String, ObjectError> {
    let header: WalHeader = head.header_as()?;
    let writer = head.head().writer();
    let WalHeader { host, archived, .. } = header;
    Ok(format!("writer {writer} ({}), host {host}, archived {archived}", label(repository, writer)))
}

/// What people call a writer.
fn label(repository: &Repository, writer: WriterId) -> String {
    let certificate = repository.trust().certificates().find(|known| known.writer == writer);
    certificate.map(|known| known.label.clone()).unwrap_or_default()
}

/// When a region's copy was made, by its own word: it decides only where somebody was revoked.
pub(super) async fn created(repository: &Repository, region: &Region, name: &ObjectName) -> Option<Time> {
    if !repository.trust().has_revocations() {
        return None;
    }
    let info = region.head(name.as_str()).await.ok()?;
    Time::from_micros(info.modified_unix_us)
}
