//! Whether another region holds another server's file under the name that is being handed over.
//!
//! Servers that were promoted on both sides of a partition archive under the same names, and the links of their records can fit each other:
//! who took now one region's file and now the other's would replay two histories into one database. Promises: heads are compared while the
//! file is on its way; where copies differ and both go on where the server stands, neither is handed over. A region that is away, or does not
//! answer within a second after the file is there, is not waited for: it is `verify`'s and `wal status`' to tell then.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use seawall_repo::layout::ObjectName;
use seawall_repo::wal_object::{OpenWal, WalContent};
use seawall_store::RegionName;

use super::judge::Wanted;
use crate::archive::read;
use crate::error::Error;
use crate::repository::Repository;
use crate::repository::{Apart, apart};

/// How much longer than for the file itself other regions are waited for.
const WAIT: Duration = Duration::from_secs(1);

/// What `reading` gives, and two regions that hold different files under the name.
pub(super) async fn beside_others<T>(
    repository: &Repository,
    name: &ObjectName,
    reading: impl Future<Output = T>,
) -> (T, Option<Apart>) {
    if repository.regions().len() < 2 {
        return (reading.await, None);
    }
    match select(pin!(reading), pin!(apart(repository, name, &[]))).await {
        Either::Left((read, comparing)) => {
            let compared = repository.world().within(WAIT, comparing).await;
            (read, compared.flatten())
        }
        Either::Right((apart, reading)) => (reading.await, apart),
    }
}

impl Wanted<'_> {
    /// Whether both files go on where the server stands: then nobody but a person can say which it is.
    pub(super) async fn both_go_on(&self, repository: &Repository, name: &ObjectName, apart: &Apart) -> bool {
        self.goes_on_in(repository, name, &apart.one.region).await
            && self.goes_on_in(repository, name, &apart.other.region).await
    }

    async fn goes_on_in(&self, repository: &Repository, name: &ObjectName, region: &RegionName) -> bool {
        let Some(alone) = repository.within(region) else { return false };
        let fits = |wal: &OpenWal| match &wal.content {
            WalContent::Bytes(bytes) => self.beginning(&wal.header, bytes),
            WalContent::Parts(_) => self.in_parts(wal),
        };
        match read::open(&alone, name, &fits).await {
            Ok(_) => true,
            // What cannot be looked at now may be such a file.
            Err(fault) => fault.may_pass(),
        }
    }
}

/// Neither is handed over.
pub(super) fn two_writers(name: &ObjectName, apart: &Apart) -> Error {
    let error = Error::data("archive.two-writers", format!("regions hold files of two servers under {name}"))
        .fact("what", apart.words())
        .hint("recovery stopped before it and lost nothing: nobody but you can say whose history this server is to follow");
    apart.choices().iter().fold(error, |error, (follow, without)| {
        error.hint(format!(
            "to follow writer {}, whose WAL is in region {}: put --without-region {} into restore_command and start the server again",
            follow.by(),
            follow.region,
            without.region
        ))
    })
}
