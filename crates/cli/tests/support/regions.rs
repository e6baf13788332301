//! Damage to what regions hold: objects found by their place in a region, spoiled in the ways that storage spoils them.
//!
//! Promise: damaging something that is not there fails, so no test passes because there was nothing to damage.

use std::path::{Path, PathBuf};

use seawall_testkit::{Context, Failure, Result};

/// How an object is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Gone.
    Removed,
    /// Half of it is left.
    Truncated,
    /// Nothing is left.
    Emptied,
    /// One bit in its middle is wrong.
    Flipped,
}

impl Damage {
    /// Every way.
    pub(crate) const ALL: [Self; 4] = [Self::Removed, Self::Truncated, Self::Emptied, Self::Flipped];

    /// Spoils the object at `path`.
    pub(crate) fn apply(self, path: &Path) -> Result<()> {
        let content = std::fs::read(path).context(|| format!("reading {}", path.display()))?;
        let spoiled = match self {
            Self::Removed => {
                return std::fs::remove_file(path).context(|| format!("removing {}", path.display()));
            }
            Self::Truncated => content.get(..content.len() / 2).unwrap_or_default().to_vec(),
            Self::Emptied => Vec::new(),
            Self::Flipped => flipped(content)?,
        };
        std::fs::write(path, spoiled).context(|| format!("writing {}", path.display()))
    }
}

fn flipped(mut content: Vec<u8>) -> Result<Vec<u8>> {
    let middle = content.len() / 2;
    *content.get_mut(middle).ok_or_else(|| Failure::new("an empty object has no bit to flip"))? ^= 1;
    Ok(content)
}

/// Every object of a region whose name holds `part`, in name order: path beneath the region. At least one.
pub(crate) fn objects(region: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(region, &mut found)?;
    found.retain(|path| path.strip_prefix(region).is_ok_and(|name| name.to_string_lossy().contains(part)));
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(format!("{} holds nothing named {part}", region.display())));
    }
    found.into_iter().map(|path| Ok(path.strip_prefix(region)?.to_owned())).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory).context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, found)? } else { found.push(path) }
    }
    Ok(())
}
