//! `seawall init`.

use std::path::PathBuf;

use clap::Args;
use seawall_engine::words::{Recipient, SystemIdentifier};

use super::place::ClusterArgs;

const EXAMPLES: &str = "\
Examples:
  On another machine, once for each person who may read the backups:
    seawall key generate --output ops.key
  On the database host, as the owner of the data directory:
    seawall init --recipient age1… --recipient age1…
  Unattended, and again without harm:
    seawall init --yes --recipient age1… --recipient age1…
  What it would do:
    seawall init --dry-run --recipient age1… --recipient age1…
  With PostgreSQL's side, as its superuser:
    seawall init --administrator 'host=/var/run/postgresql user=postgres' --configure-postgres --recipient age1… --recipient age1…
  After pg_upgrade, which makes a new system identifier:
    seawall init --after-upgrade-of 7401234567890123456";

/// Set up a repository, a cluster in it, and this host's key file
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Who can read the backups: the public half of an age identity kept elsewhere; two or more
    #[arg(long, value_name = "age1…")]
    pub recipient: Vec<Recipient>,
    /// Go on with a single recipient: when its identity is lost, so is every backup
    #[arg(long)]
    pub one_key: bool,
    /// File with the owner's key, or with an identity that opens it; a new repository needs none, a further cluster does
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// File with a passphrase that opens the owner's key, on its only line, in place of --identity
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Vec<PathBuf>,
    /// The cluster was upgraded with pg_upgrade: its WAL follows that of this system identifier
    #[arg(long, value_name = "SYSTEM-ID", conflicts_with = "adopt")]
    pub after_upgrade_of: Option<SystemIdentifier>,
    /// The cluster was made anew (initdb) and takes over this name
    #[arg(long)]
    pub adopt: bool,
    /// Also set up PostgreSQL: connect as this superuser (host, port, user, dbname; no password) and make the role that the
    /// connection setting names, with the grants it needs and no more
    #[arg(long, value_name = "CONNINFO", help_heading = "PostgreSQL")]
    pub administrator: Option<String>,
    /// Leave roles as they are
    #[arg(long, requires = "configure_postgres", help_heading = "PostgreSQL")]
    pub no_role: bool,
    /// Make the server archive through seawall: ALTER SYSTEM for what differs, then a reload; says what needs a restart
    #[arg(long, requires = "administrator", help_heading = "PostgreSQL")]
    pub configure_postgres: bool,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}
