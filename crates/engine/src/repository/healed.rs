//! Reading an object, or a heal copy of it where its own is damaged.
//!
//! Promises: every read of the engine that may take any region's copy goes through here, so a region whose damaged object was healed serves
//! it as before; a heal copy is believed by what it signs, which is the original's name. Costs nothing while copies are good.

use bytes::Bytes;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::{Extent, NotServed, Region, RegionName, Regions, Served, Spares, StoreError};

/// As [`Regions::get_any`], heal copies included.
pub(crate) async fn get_any<T, E>(
    regions: &Regions,
    name: &ObjectName,
    extent: Extent,
    check: impl FnMut(&RegionName, Bytes) -> std::result::Result<T, E>,
) -> std::result::Result<Served<T>, NotServed>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let rank = |text: &str| number_of(text, name);
    let spares = Spares { folder: name.heals_folder(), rank: &rank };
    regions.get_any_or_spare(name.as_str(), Some(&spares), extent, check).await
}

/// The heal copies of an object in a region, the newest first.
///
/// # Errors
/// The region cannot be listed.
pub(crate) async fn heal_copies(
    region: &Region,
    name: &ObjectName,
) -> std::result::Result<Vec<ObjectName>, StoreError> {
    let rank = |text: &str| number_of(text, name);
    let spares = Spares { folder: name.heals_folder(), rank: &rank };
    Ok(region.spares(&spares).await?.iter().filter_map(|text| ObjectName::parse(text)).collect())
}

/// The number of a heal copy.
pub(crate) fn heal_number(name: &ObjectName) -> u32 {
    match name.named() {
        Named::Heal { number, .. } => *number,
        _ => 0,
    }
}

fn number_of(text: &str, original: &ObjectName) -> Option<u32> {
    let name = ObjectName::parse(text)?;
    (name.healed().as_ref() == Some(original)).then(|| heal_number(&name))
}
