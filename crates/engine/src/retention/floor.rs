//! The floor: what no setting lets go.
//!
//! Promises: of every lineage that no successor took over from, the newest good backup stays: by the store's time, by its
//! position, and in each region, once of all and once of those whose time is confirmed; and so does its newest backup at all.

use seawall_repo::id::SystemId;

use super::decide::{Reason, Rule};
use super::scene::{Scene, Seen};

/// The indices of the backups on the floor, each with its reason.
pub(super) fn floor(scene: &Scene<'_>) -> Vec<(usize, Reason)> {
    let standing = scene.lineages.all().filter(|system| !scene.lineages.is_superseded(*system));
    standing.flat_map(|system| of_lineage(scene, system)).collect()
}

fn of_lineage(scene: &Scene<'_>, system: SystemId) -> Vec<(usize, Reason)> {
    let of_it: Vec<_> =
        scene.points.iter().enumerate().filter(|(_, seen)| seen.point.system == system).collect();
    let mut floor = Vec::new();
    if !scene.has_good(system) {
        let text = "the lineage has no good backup";
        return of_it.into_iter().map(|(at, _)| (at, Reason::new(Rule::Floor, text.to_owned()))).collect();
    }
    newest(&mut floor, &of_it, "newest backup of its lineage", |_| true);
    newest(&mut floor, &of_it, "newest good backup of its lineage", |seen| seen.good);
    let sure = "newest good backup of its lineage with a confirmed time";
    newest(&mut floor, &of_it, sure, |seen| seen.good && seen.confirmed);
    for region in scene.input.regions {
        let text = format!("newest good backup in region {region}");
        let here = |seen: &Seen<'_>| seen.good && seen.point.regions.contains(region);
        newest(&mut floor, &of_it, &text, here);
        newest(&mut floor, &of_it, &format!("{text} with a confirmed time"), |seen| {
            here(seen) && seen.confirmed
        });
    }
    floor
}

/// The newest by the store's time, which is the last in the list, and the newest by position.
fn newest(
    floor: &mut Vec<(usize, Reason)>,
    of_it: &[(usize, &Seen<'_>)],
    text: &str,
    wanted: impl Fn(&Seen<'_>) -> bool,
) {
    let mut add = |at: usize, text: String| {
        if !floor.iter().any(|(known, _)| *known == at) {
            floor.push((at, Reason::new(Rule::Floor, text)));
        }
    };
    let of_kind = || of_it.iter().filter(|(_, seen)| wanted(seen));
    if let Some((at, _)) = of_kind().next_back() {
        add(*at, text.to_owned());
    }
    if let Some((at, _)) = of_kind().max_by_key(|(_, seen)| seen.point.position()) {
        add(*at, format!("{text}, by its position"));
    }
}
