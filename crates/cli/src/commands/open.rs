//! From a cluster's settings to what the engine's operations need: an opened repository, a way to the server.

use std::path::PathBuf;

use seawall_engine::repository::{Acknowledge, HostKeys, Repository, RepositorySettings, Secrets};
use seawall_engine::source::{ConnectOptions, Credentials};
use seawall_engine::words::{Bandwidth, World};
use seawall_engine::{Error, Result};

use crate::settings::{Ack, ClusterSettings};

/// The engine's view of the repository settings.
#[must_use]
pub fn repository_settings(settings: &ClusterSettings) -> RepositorySettings {
    let repository = &settings.repository;
    RepositorySettings {
        regions: repository.regions.clone(),
        id: repository.id,
        owner: repository.owner,
        acknowledge: match repository.ack {
            Ack::All { degrade } => Acknowledge::Healthy { degrade },
            Ack::AtLeast(count) => Acknowledge::AtLeast(count.get()),
        },
        levels: repository.levels,
    }
}

/// For work that writes: with this host's key file. `limit` bounds what passes between here and all regions together.
pub async fn as_writer(
    settings: &ClusterSettings,
    limit: Option<&Bandwidth>,
    world: &World,
) -> Result<Repository> {
    let secrets = Secrets::Host(settings.repository.writer_key_file.clone());
    Repository::open(&repository_settings(settings), &settings.name, &secrets, limit, world).await
}

/// For work that reads: with identities where they were given, else with this host's key file. `limit` as for
/// [`as_writer`].
pub async fn as_reader(
    settings: &ClusterSettings,
    limit: Option<&Bandwidth>,
    world: &World,
) -> Result<Repository> {
    let repository = &settings.repository;
    let secrets = if repository.key_files.is_empty() {
        Secrets::Host(repository.writer_key_file.clone())
    } else {
        Secrets::Identities(repository.key_files.clone())
    };
    Repository::open(&pinned(settings), &settings.name, &secrets, limit, world).await
}

/// For work that decides about deleting: with the key file that has the right to, where the settings name one.
pub async fn as_pruner(settings: &ClusterSettings, world: &World) -> Result<Repository> {
    let repository = &settings.repository;
    let file = repository.prune_key_file.clone().unwrap_or_else(|| repository.writer_key_file.clone());
    Repository::open(&pinned(settings), &settings.name, &Secrets::Host(file), None, world).await
}

/// A limit of so many bytes a second, of which one second's worth is saved up while nothing passes.
#[must_use]
pub fn limit(bytes_per_second: Option<u64>, world: &World) -> Option<Bandwidth> {
    bytes_per_second.map(|rate| Bandwidth::new(rate, rate, world))
}

/// The settings with what this host's key file pins: on a host that writes, whom to believe was settled by `init`.
pub fn pinned(settings: &ClusterSettings) -> RepositorySettings {
    let mut pinned = repository_settings(settings);
    let of_this_host = settings.data_directory.is_some() && pinned.owner.is_none();
    // A key file that cannot be used pins nothing; where it is needed, opening says what is wrong with it.
    if of_this_host && let Ok(keys) = HostKeys::load(&settings.repository.writer_key_file) {
        pinned.owner = Some(keys.owner);
        pinned.id = pinned.id.or(Some(keys.repository));
    }
    pinned
}

/// How to reach the server.
pub fn connection(settings: &ClusterSettings) -> Result<ConnectOptions> {
    let credentials = Credentials::from_environment(|name| std::env::var_os(name)).map_err(|error| {
        Error::usage("settings.password", "the password for the server cannot be found").because(error)
    })?;
    Ok(ConnectOptions { conninfo: settings.connection.expose().to_owned(), credentials })
}

/// Where the server's files are.
pub fn data_directory(settings: &ClusterSettings) -> Result<PathBuf> {
    settings.data_directory.clone().ok_or_else(|| {
        Error::usage("settings.data-directory", format!("cluster {} has no data_directory", settings.name))
            .hint(format!("set data_directory in [cluster.{}]", settings.name))
    })
}

/// A runtime for one command.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Error::source_side("host.runtime", "threads cannot be started on this host").because(error)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limit_lets_one_second_s_worth_pass_at_once() {
        let world = World::seeded(1);
        assert!(limit(None, &world).is_none());
        let limit = limit(Some(1000), &world).unwrap();
        limit.take_blocking(1000);
        assert_eq!(world.clock.monotonic(), Duration::ZERO);
        limit.take_blocking(3000);
        assert_eq!(world.clock.monotonic(), Duration::from_secs(3));
    }
}
