//! Which cluster of which repository: from the settings file, or without any from `--from`.

use std::path::PathBuf;

use clap::Args;
use seawall_engine::repository::KeyFiles;
use seawall_engine::words::{BackupId, ClusterName, OwnerPublic};
use seawall_engine::{Error, Result};

use super::Global;
use crate::settings::{self, ClusterSettings, FILE_VARIABLE, Settings, load, resolve};

/// Which cluster; for commands that need this machine's settings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which cluster")]
pub struct ClusterArgs {
    /// The cluster; needed where the settings have several
    #[arg(long, value_name = "NAME", value_parser = cluster_name)]
    pub cluster: Option<ClusterName>,
}

/// Which cluster of which repository; for commands that also work on a bare machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which repository")]
pub struct PlaceArgs {
    /// The cluster; needed where the settings have several, and with --from
    #[arg(long, value_name = "NAME", value_parser = cluster_name)]
    pub cluster: Option<ClusterName>,
    /// A region of the repository, in place of a settings file; repeat it for each region
    #[arg(long, value_name = "URL", conflicts_with = "config", requires = "cluster")]
    pub from: Vec<String>,
    /// File with an age identity that opens the keys; may be repeated
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// File with a passphrase that opens the keys, on its only line; may be repeated. Each opening takes a second and 256 MiB
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Vec<PathBuf>,
    /// Give this region up: it is not asked, and what it alone may have is not waited for; may be repeated
    #[arg(long, value_name = "NAME")]
    pub without_region: Vec<String>,
    /// Whose signatures to believe, from the recovery kit [default: repository.owner]
    #[arg(long, value_name = "ed25519:…")]
    pub owner: Option<OwnerPublic>,
}

fn cluster_name(text: &str) -> std::result::Result<ClusterName, String> {
    text.parse().map_err(|error: <ClusterName as std::str::FromStr>::Err| error.to_string())
}

/// A backup's id as it was typed.
pub(super) fn backup_id(text: &str) -> std::result::Result<BackupId, String> {
    text.parse().map_err(|_| {
        "wanted an id such as 20310504T020000Z-0123456789abcdef; `seawall list` shows them".to_owned()
    })
}

/// All settings, from the file that is meant.
pub fn all_settings(global: &Global) -> Result<Settings> {
    load::settings(&settings_file(global)?)
}

/// The settings file that is meant, absolute.
pub fn settings_file(global: &Global) -> Result<PathBuf> {
    let variable = std::env::var_os(FILE_VARIABLE);
    load::file(global.config.as_deref(), variable.as_deref())
}

impl ClusterArgs {
    /// The cluster's settings.
    pub fn resolve(&self, global: &Global) -> Result<ClusterSettings> {
        chosen(all_settings(global)?, self.cluster.as_ref())
    }
}

impl PlaceArgs {
    /// The cluster's settings, with what was said on the command line instead of what the file says.
    pub fn resolve(&self, global: &Global) -> Result<ClusterSettings> {
        let mut settings = match &self.cluster {
            Some(cluster) if !self.from.is_empty() => resolve::bare(cluster, &self.from)?,
            _ => chosen(all_settings(global)?, self.cluster.as_ref())?,
        };
        if let Some(owner) = &self.owner {
            settings.repository.owner = Some(*owner);
        }
        settings.keep_regions(None, &self.without_region)?;
        let brought = key_files(&self.identity, &self.passphrase_file);
        if !brought.is_empty() {
            settings.repository.key_files = brought;
        }
        Ok(settings)
    }
}

/// What was named on the command line, absolute.
pub fn key_files(identities: &[PathBuf], passphrases: &[PathBuf]) -> KeyFiles {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    KeyFiles {
        identities: identities.iter().map(absolute).collect(),
        passphrases: passphrases.iter().map(absolute).collect(),
    }
}

/// The named cluster, or the only one.
fn chosen(settings: Settings, name: Option<&ClusterName>) -> Result<ClusterSettings> {
    let settings::Settings { files, mut clusters } = settings;
    let names = clusters.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let place = files.first().map(|file| file.display().to_string()).unwrap_or_default();
    let Some(name) = name else {
        return match (clusters.len(), clusters.pop_first()) {
            (1, Some((_, only))) => Ok(only),
            _ => Err(Error::usage("settings.which-cluster", "the settings have several clusters")
                .fact("settings", place)
                .fact("clusters", names)
                .hint("say which: --cluster NAME")),
        };
    };
    clusters.remove(name).ok_or_else(|| {
        Error::usage("settings.unknown-cluster", format!("the settings have no cluster {name}"))
            .fact("settings", place)
            .fact("clusters", names)
            .hint(format!("add a section [cluster.{name}], or choose one of them with --cluster"))
    })
}
