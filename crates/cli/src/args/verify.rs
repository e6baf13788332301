//! `seawall verify`.

use std::time::Duration;

use clap::Args;
use seawall_engine::verify::{Depth, Share};

use super::place::PlaceArgs;
use crate::settings::quantity;

const EXAMPLES: &str = "\
Examples:
  seawall verify                              is everything there that backups and WAL need?
  seawall verify --sample 5% --identity ops.key
  seawall verify --stored                     read every stored byte; needs no identity
  seawall verify --full --identity ops.key    read and open every byte
  seawall verify --full --budget 100GiB       go on each night where the last one stopped
  seawall verify --region north               judge one region's copies

Every region is judged by its own copies. --stored shows that every byte is what was signed when it was stored; --full also that it
opens, that pages are right and that maps lead to them. Without an identity --full leaves content closed, and says so.
Exit code 0: as it should be. 1: findings, each with what it endangers and what mends it.";

/// Are the stored bytes good?
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("all").args(["stored", "full"]))]
pub struct VerifyArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Names, sizes, manifests and records only; the default
    #[arg(long, conflicts_with_all = ["sample", "stored", "full"])]
    pub quick: bool,
    /// Also read this share of the objects whole, others each time
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["stored", "full"], value_parser = share)]
    pub sample: Option<Share>,
    /// Read every object and hold its stored bytes against what was signed
    #[arg(long, conflicts_with = "full")]
    pub stored: bool,
    /// Read every object and open it as far as the keys allow
    #[arg(long)]
    pub full: bool,
    /// Judge this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Stop after so many bytes; the next run with a budget goes on there
    #[arg(long, value_name = "SIZE", requires = "all", conflicts_with_all = ["sample", "quick"], value_parser = size)]
    pub budget: Option<u64>,
    /// Stop after so long; the next run with a budget goes on there
    #[arg(long = "for", value_name = "TIME", requires = "all", conflicts_with_all = ["sample", "quick"], value_parser = duration)]
    pub time: Option<Duration>,
    /// Read at most so many bytes a second [default: backup.bandwidth]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
}

impl VerifyArgs {
    /// How deep to look.
    #[must_use]
    pub fn depth(&self) -> Depth {
        match (self.full, self.stored, self.sample) {
            (true, ..) => Depth::Full,
            (_, true, _) => Depth::Stored,
            (_, _, Some(share)) => Depth::Sample(share),
            _ => Depth::Quick,
        }
    }
}

fn share(text: &str) -> Result<Share, String> {
    text.parse().map_err(|error: <Share as std::str::FromStr>::Err| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    let size = quantity::bytes(text).filter(|size| *size > 0);
    size.ok_or_else(|| "wanted a size with its unit, such as 100GiB".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = quantity::duration(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "wanted a time with its unit, such as 1h or 90m".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    quantity::rate(text).ok_or_else(|| "wanted a rate, such as 100MiB/s".to_owned())
}
