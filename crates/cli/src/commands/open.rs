//! From a cluster's settings to what the engine's operations need: an opened repository, a way to the server.

use std::path::PathBuf;

use seawall_engine::repository::{
    Acknowledge, HostKeys, RegionSettings, Repository, RepositorySettings, Secrets,
};
use seawall_engine::source::{ConnectOptions, Credentials};
use seawall_engine::words::{Bandwidth, World};
use seawall_engine::{Error, Result};

use crate::settings::{Ack, ClusterSettings};

/// The engine's view of the repository settings.
#[must_use]
pub fn repository_settings(settings: &ClusterSettings) -> RepositorySettings {
    let repository = &settings.repository;
    RepositorySettings {
        regions: repository
            .regions
            .iter()
            .map(|region| RegionSettings { name: region.name.clone(), url: region.url.clone() })
            .collect(),
        id: repository.id,
        owner: repository.owner,
        acknowledge: match repository.ack {
            Ack::All => Acknowledge::All,
            Ack::AtLeast(count) => Acknowledge::AtLeast(count.get()),
        },
        compression_level: repository.compression_level,
    }
}

/// For work that writes: with this host's key file.
pub async fn as_writer(settings: &ClusterSettings, world: &World) -> Result<Repository> {
    let secrets = Secrets::Host(settings.repository.writer_key_file.clone());
    let bandwidth = settings.backup.bandwidth.map(|rate| Bandwidth::new(rate, rate, world));
    Repository::open(&repository_settings(settings), &settings.name, &secrets, bandwidth.as_ref(), world)
        .await
}

/// For work that reads: with identities where they were given, else with this host's key file.
pub async fn as_reader(settings: &ClusterSettings, world: &World) -> Result<Repository> {
    let repository = &settings.repository;
    let secrets = if repository.identity_files.is_empty() {
        Secrets::Host(repository.writer_key_file.clone())
    } else {
        Secrets::Identities(repository.identity_files.clone())
    };
    Repository::open(&pinned(settings), &settings.name, &secrets, None, world).await
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
