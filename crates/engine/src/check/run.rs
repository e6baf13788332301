//! Looks at this host, the server and the repository, one after the other; a part that fails does not stop the next.

use seawall_store::World;

use super::{CheckOptions, CheckReport, arrival, repository, retention, server};
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
    retention::check(&mut report, &options.rules);
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
    if let (Some(within), Some(connection), Some(opened)) = (options.archive_within, connection, opened) {
        let place = repository::place(&opened, system);
        let proven = arrival::check(&mut report, &connection, &opened, &place, within, world).await;
        if let Err(error) = proven {
            report.failed(error);
        }
    }
    report
}
