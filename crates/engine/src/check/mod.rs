//! Is everything set up right? Each thing that is not becomes a finding with its cure.
//!
//! Promises: looks at everything it can reach, so that one fault does not hide the next; what could not be looked at is an
//! error and never "in order". Changes nothing, unless a test of the archive is asked for: then the server finishes a WAL
//! segment. Rights are tried out on what nobody stored. Deliberately does not ask whether stored bytes are good (`verify`) or how far a
//! recovery would reach (`status`).

mod archive_command;
mod arrival;
mod judge;
mod places;
mod repository;
mod retention;
mod rights;
mod run;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use seawall_repo::id::ClusterName;
use serde::Serialize;

pub use archive_command::ExpectedCommand;
pub use run::run;

use crate::error::Error;
use crate::monitor::Finding;
use crate::prune::RetentionRules;
use crate::repository::RepositorySettings;
use crate::source::ConnectOptions;

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Where the repository is and whom to believe.
    pub repository: RepositorySettings,
    /// The cluster.
    pub cluster: ClusterName,
    /// This host's key file.
    pub key_file: PathBuf,
    /// The server's data directory.
    pub data_directory: PathBuf,
    /// How seawall connects.
    pub connect: ConnectOptions,
    /// What `archive_command` should be.
    pub command: ExpectedCommand,
    /// What is kept.
    pub rules: RetentionRules,
    /// Where data may be, in the services' names for places; everywhere where none is named.
    pub residency: Vec<String>,
    /// Whether this host is meant to prune with the same logins.
    pub prunes: bool,
    /// Have the server finish a segment, and wait so long for it to arrive in every region.
    pub archive_within: Option<Duration>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct CheckReport {
    /// The cluster.
    pub cluster: String,
    /// What is in order, one line each.
    pub in_order: Vec<String>,
    /// What is not, each with its cure.
    pub findings: Vec<Finding>,
    /// What is worth knowing and changes no exit code: what a service did not tell, what regions have in common.
    pub notes: Vec<Finding>,
    /// What could not be looked at; never empty when something was left out.
    #[serde(skip)]
    pub errors: Vec<Error>,
    /// The ids of those errors.
    pub not_checked: Vec<&'static str>,
}

impl CheckReport {
    fn good(&mut self, what: impl Into<String>) {
        self.in_order.push(what.into());
    }

    fn bad(&mut self, id: &'static str, what: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding { id, what: what.into(), hint: Some(cure.into()) });
    }

    fn note(&mut self, id: &'static str, what: impl Into<String>, cure: impl Into<String>) {
        self.notes.push(Finding { id, what: what.into(), hint: Some(cure.into()) });
    }

    fn failed(&mut self, error: Error) {
        self.not_checked.push(error.id());
        self.errors.push(error);
    }
}
