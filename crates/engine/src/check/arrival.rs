//! Proof that archiving works: the server finishes a segment, and it has to arrive in every region.

use std::time::Duration;

use seawall_pg::WalFileName;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::World;

use super::CheckReport;
use crate::error::Result;
use crate::repository::Repository;
use crate::source::Connection;

const POLL: Duration = Duration::from_millis(200);

/// Has a segment finished and waits for it.
///
/// # Errors
/// The server refuses, as a standby does.
pub(super) async fn check(
    report: &mut CheckReport,
    connection: &Connection,
    repository: &Repository,
    place: &Place,
    within: Duration,
    world: &World,
) -> Result<()> {
    // A restore point makes sure that there is something to switch away from.
    let sql = "SELECT pg_walfile_name(pg_create_restore_point('seawall check')) AS file";
    let answer = connection.ask("a restore point", sql).await?;
    let file: WalFileName = answer.only()?.parsed("file")?;
    connection.ask("to finish a WAL segment", "SELECT pg_switch_wal()").await?;
    let name: ObjectName = Named::Wal { place: place.clone(), file }.into();
    let began = world.clock.monotonic();
    loop {
        let missing = missing(repository, &name).await;
        let waited = world.clock.monotonic().saturating_sub(began);
        if missing.is_empty() {
            report.good(format!("{file} arrived in every region within {:.1} s", waited.as_secs_f64()));
            return Ok(());
        }
        if waited >= within {
            report.bad(
                "check.not-archived",
                format!("{file} did not arrive within {} s in {}", within.as_secs(), missing.join(", ")),
                "the server's log has the messages of seawall wal push",
            );
            return Ok(());
        }
        world.clock.sleep(POLL).await;
    }
}

async fn missing(repository: &Repository, name: &ObjectName) -> Vec<String> {
    let there = repository.regions().each(|region| region.exists(name.as_str())).await;
    let late = there.into_iter().filter_map(|(region, there)| match there {
        Ok(true) => None,
        Ok(false) => Some(region.to_string()),
        Err(error) => Some(format!("{region} ({})", error.chain())),
    });
    late.collect()
}
