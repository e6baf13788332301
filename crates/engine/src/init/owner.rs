//! The owner's word: the repository's own record, believed, and the owner's key out of an identity file or the repository.

use seawall_repo::identity::Identities;
use seawall_repo::keys::OwnerKey;
use seawall_repo::layout::{ObjectName, prefix};
use seawall_repo::records::{OwnerRecord, SeawallJson};
use seawall_repo::trust::{Pins, Trust};
use seawall_store::{Extent, Regions};

use crate::error::{Error, Result};
use crate::repository::{RepositorySettings, believe, get_any, list_names, not_served, peek};

const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Everything that is needed to sign as the owner.
pub struct OwnersWord {
    /// Whom to believe.
    pub trust: Trust,
    /// What the repository says of itself.
    pub record: SeawallJson,
    /// Signs certificates, keys and adoptions.
    pub key: OwnerKey,
}

/// Believes a repository whose owner is pinned, or whose owner's key stands in an identity file, and finds that key.
///
/// # Errors
/// Nothing pins the owner, another repository or owner than pinned, no identity opens the owner's key, a region is away.
pub async fn owners_word(
    regions: &Regions,
    settings: &RepositorySettings,
    identities: &Identities,
) -> Result<OwnersWord> {
    let said = peek(regions).await?;
    let brought = identities.owner(&said.owner);
    let owner = match (settings.owner, brought) {
        (Some(pinned), _) => pinned,
        (None, Some(key)) => key.public(),
        (None, None) => return Err(not_pinned(&said)),
    };
    let pins = Pins { repository: settings.id.unwrap_or(said.repository), owner };
    let (trust, record) = believe(regions, pins).await?;
    if let Some(key) = identities.owner(&record.owner) {
        return Ok(OwnersWord { trust, key: OwnerKey::from_seed(*key.seed()), record });
    }
    let key = stored_key(regions, &trust, identities).await?;
    Ok(OwnersWord { trust, record, key })
}

fn not_pinned(said: &SeawallJson) -> Error {
    Error::usage("keys.owner-not-pinned", "nothing says whose repository this should be")
        .fact("owner in the region", said.owner)
        .fact("repository", said.repository)
        .hint(format!(
            "compare with the recovery kit; if it is the same, set repository.owner = \"{}\"",
            said.owner
        ))
}

async fn stored_key(regions: &Regions, trust: &Trust, identities: &Identities) -> Result<OwnerKey> {
    let mut refused = None;
    for name in list_names(regions, prefix::OWNER).await? {
        match OwnerKey::unwrap(&owner_record(regions, trust, &name).await?.wrapped, identities) {
            Ok(key) if key.public() == *trust.owner() => return Ok(key),
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    let error = Error::usage(
        "keys.owner-key-needed",
        "this needs the owner's key, and no identity given opens it",
    )
    .fact("owner", trust.owner())
    .hint("add --identity FILE with an identity of one of the recipients, or the file with the owner's key");
    Err(match refused {
        Some(cause) => error.because(cause),
        None => error.fact("in the repository", "the owner's key is not stored here: it was made elsewhere"),
    })
}

async fn owner_record(regions: &Regions, trust: &Trust, name: &ObjectName) -> Result<OwnerRecord> {
    let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
    let served =
        get_any(regions, name, extent, |_region, bytes| trust.open_owners::<OwnerRecord>(name, &bytes)).await;
    served.map(|served| served.value).map_err(|error| not_served(&error))
}
