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
  seawall verify --full --identity ops.key    read and open every byte
  seawall verify --full --budget 100GiB       go on each night where the last one stopped
  seawall verify --region north               judge one region's copies

Every region is judged by its own copies. Without an identity, signatures, digests as stored and footers are checked, and what was not
is said. Exit code 0: as it should be. 1: findings, each with what it endangers and what mends it.";

/// Are the stored bytes good?
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Names, sizes, manifests and records only; the default
    #[arg(long, conflicts_with_all = ["sample", "full"])]
    pub quick: bool,
    /// Also read this share of the objects whole, others each time
    #[arg(long, value_name = "SHARE", conflicts_with = "full", value_parser = share)]
    pub sample: Option<Share>,
    /// Read every object and open it as far as the keys allow
    #[arg(long)]
    pub full: bool,
    /// Judge this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Stop after so many bytes; the next run with a budget goes on there
    #[arg(long, value_name = "SIZE", requires = "full", conflicts_with_all = ["sample", "quick"], value_parser = size)]
    pub budget: Option<u64>,
    /// Stop after so long; the next run with a budget goes on there
    #[arg(long = "for", value_name = "TIME", requires = "full", conflicts_with_all = ["sample", "quick"], value_parser = duration)]
    pub time: Option<Duration>,
    /// Read at most so many bytes a second [default: backup.bandwidth]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
}

impl VerifyArgs {
    /// How deep to look.
    #[must_use]
    pub fn depth(&self) -> Depth {
        match (self.full, self.sample) {
            (true, _) => Depth::Full,
            (false, Some(share)) => Depth::Sample(share),
            (false, None) => Depth::Quick,
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
