//! One backup's fate in words: what it is, what keeps it, what speaks against it rule by rule, and when it will leave.

use seawall_repo::id::BackupId;

use super::decide::{decide, objections};
use super::point::Input;

/// The lines for one backup; none where there is no such backup.
#[must_use]
pub fn explain(input: &Input<'_>, id: BackupId) -> Option<Vec<String>> {
    let point = input.points.iter().find(|point| point.id == id)?;
    let decision = decide(input).into_iter().find(|decision| decision.id == id)?;
    let mut lines = vec![
        format!("backup {id} of system {}", point.system),
        format!(
            "from {} on timeline {} to {} on timeline {}",
            point.start, point.timeline, point.stop, point.stop_timeline
        ),
        format!(
            "stored at {} by the store's clock, ended at {} by its writer's",
            point.stored, point.claimed
        ),
    ];
    let regions: Vec<&str> = point.regions.iter().map(seawall_store::RegionName::as_str).collect();
    lines.push(if regions.is_empty() {
        "in no region".to_owned()
    } else {
        format!("in {}", regions.join(", "))
    });
    lines.push(if decision.is_kept() {
        "kept:".to_owned()
    } else {
        "condemned: nothing keeps it".to_owned()
    });
    lines.extend(decision.keep.iter().map(|reason| format!("  {reason}")));
    let against = objections(input, id);
    if !against.is_empty() {
        lines.push("against it:".to_owned());
        lines.extend(against.iter().map(|against| format!("  {}", against.text)));
    }
    if decision.breaches_max_age() {
        lines.push("it breaks max_age: a hold and the floor go before it".to_owned());
    }
    if decision.is_kept() {
        lines.push(match decision.leaves {
            Some(at) => format!("leaves about {at}, if backups go on once a day"),
            None => "when it leaves is not foreseen".to_owned(),
        });
    }
    Some(lines)
}
