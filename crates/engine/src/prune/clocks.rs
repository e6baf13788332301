//! What time it is by each region's own clock: told by an object put there now.
//!
//! Promises: ages are told by the earliest of these clocks and a grace by the region's own, so no host's clock, however wrong,
//! makes anything leave early. A region that could not take the object has no clock here, and is condemned nothing.

use std::collections::BTreeMap;

use seawall_repo::layout::ObjectName;
use seawall_repo::time::Time;
use seawall_store::{RegionName, RegionSet};

use crate::error::{Error, Result};
use crate::monitor::Finding;

/// How far the clock of this host and a region's may lie apart without a word.
const APART_MICROS: i64 = 5 * 60 * 1_000_000;

/// Each region's time, from the object `put` that was just put to the set.
pub(super) async fn clocks(
    set: &RegionSet,
    put: &ObjectName,
    host: Time,
    findings: &mut Vec<Finding>,
) -> Result<BTreeMap<RegionName, Time>> {
    let mut clocks = BTreeMap::new();
    for region in set.attached() {
        match region.head(put.as_str()).await {
            Ok(info) => {
                let Some(time) = Time::from_micros(info.modified_unix_us) else { continue };
                if (time.micros() - host.micros()).abs() > APART_MICROS {
                    findings.push(Finding {
                        id: "prune.clock",
                        what: format!(
                            "the clock of region {} says {time}, this host's {host}",
                            region.name()
                        ),
                        hint: Some("the region's clock decides; set this host's right".to_owned()),
                    });
                }
                clocks.insert(region.name().clone(), time);
            }
            Err(error) => findings.push(Finding {
                id: "prune.region-unreached",
                what: format!("region {} cannot be asked for its time: {}", region.name(), error.chain()),
                hint: Some("nothing is condemned or deleted there until it is back".to_owned()),
            }),
        }
    }
    if clocks.is_empty() {
        return Err(Error::unavailable("repository.region-unavailable", "no region tells its time"));
    }
    Ok(clocks)
}
