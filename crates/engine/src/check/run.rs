//! Looks at this host, the server and the repository, one after the other; a part that fails does not stop the next.

use seawall_store::World;

use super::{CheckOptions, CheckReport, arrival, places, repository, retention, rights, server};
use crate::repository::Repository;
use crate::source::read_control;

/// Checks everything that can be reached.
pub async fn run(options: &CheckOptions, world: &World) -> CheckReport {
    let mut report = CheckReport { cluster: options.cluster.to_string(), ..CheckReport::default() };
    let system = match read_control(&options.data_directory, world.clock.as_ref()) {
        Ok(control) => control.file.system_identifier,
        Err(error) => {
            report.failed(error.into());
            return report;
        }
    };
    let connection = match server::check(&mut report, options, system).await {
        Ok(connection) => Some(connection),
        Err(error) => {
            report.failed(error);
            None
        }
    };
    let opened = match repository::check(&mut report, options, system, world).await {
        Ok(opened) => Some(opened),
        Err(error) => {
            report.failed(error);
            None
        }
    };
    buckets(&mut report, options, opened.as_ref()).await;
    if let (Some(within), Some(connection), Some(opened)) = (options.archive_within, connection, opened) {
        let place = repository::place(&opened, system);
        let proven = arrival::check(&mut report, &connection, &opened, &place, within, world).await;
        if let Err(error) = proven {
            report.failed(error);
        }
    }
    report
}

/// What the buckets' services tell, and what the rules of retention come to in them. Where the repository cannot be opened that is said,
/// and the rules are judged for themselves.
async fn buckets(report: &mut CheckReport, options: &CheckOptions, opened: Option<&Repository>) {
    let Some(repository) = opened else {
        retention::check(report, &options.rules, &[]);
        return;
    };
    let seen = places::look(repository).await;
    places::judge(report, &seen, &options.residency);
    rights::check(report, repository, &seen, options.prunes || repository::may_prune(repository)).await;
    retention::check(report, &options.rules, &seen);
}
