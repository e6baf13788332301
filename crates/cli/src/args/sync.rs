//! `seawall sync`.

use clap::Args;
use seawall_engine::sync::Heal;
use seawall_engine::words::RegionName;

use super::place::ClusterArgs;
use crate::settings::quantity;

const EXAMPLES: &str = "\
Examples:
  seawall sync --dry-run                 what does each region lack?
  seawall sync                           bring every region to what the others hold
  seawall sync --region north            only this one
  seawall sync --bandwidth 50MiB/s
  seawall sync --heal all                read everything, and heal what is damaged

What seawall verify found damaged in the last five weeks is healed from a region that has it good: nothing is overwritten, the good copy
stands under heal/ beside it, and everybody who reads finds it there. What a standing tombstone names is not brought back, what no kept backup uses is not copied, and two contents under one name are left as they
are and told. A run that was stopped goes on where it was. It may run beside backups, archiving, prune and another sync.
Exit code 0: every region asked holds what the others hold. 1: findings, or a region could not be brought up to date.";

/// Bring regions to what the others hold
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct SyncArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Only this region; may be repeated
    #[arg(long, value_name = "NAME", value_parser = region)]
    pub region: Vec<RegionName>,
    /// Give this region up: it is neither asked nor brought up to date; may be repeated
    #[arg(long, value_name = "NAME")]
    pub without_region: Vec<String>,
    /// Read every region's copy of this object, of all beneath a name that ends in /, or of all, and heal what is damaged; may be repeated
    #[arg(long, value_name = "NAME", value_parser = heal)]
    pub heal: Vec<Heal>,
    /// Only say what would be copied and healed
    #[arg(long)]
    pub dry_run: bool,
    /// Move at most so many bytes a second between here and all regions together [default: backup.bandwidth]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
}

fn heal(text: &str) -> Result<Heal, String> {
    let wanted = "wanted an object's name as verify prints it, the beginning of names up to a /, or all";
    Heal::parse(text).ok_or_else(|| wanted.to_owned())
}

fn region(text: &str) -> Result<RegionName, String> {
    RegionName::new(text).ok_or_else(|| "wanted a region's name, such as europe-west1".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let rate = quantity::rate(text).filter(|rate| *rate > 0);
    rate.ok_or_else(|| "wanted bytes per second with their unit, such as 100MiB/s".to_owned())
}
