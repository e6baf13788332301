//! Listing names, a page at a time.
//!
//! "Objects: list" (cloud.google.com/storage/docs/json_api/v1/objects/list) and "List objects" (.../xml-api/get-bucket-list): UTF-8 order of the
//! bytes, at most 1000 items and prefixes a page, names beyond a delimiter rolled up, `startOffset` inclusive, `endOffset` exclusive,
//! `start-after` exclusive; "Consistency" (.../consistency): what was answered as written is listed. Rights:
//! `storage.objects.list` on the bucket. A page token is where the page ended, to be used as it is (*assumed* form).

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Version, World};
use crate::refusal::Refusal;
use crate::rights::Who;

/// At most so many on a page, whatever was asked.
pub(crate) const MOST: usize = 1000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// Names after this one.
    pub(crate) after: Option<String>,
    /// This name and those after it.
    pub(crate) from: Option<String>,
    /// Names before this one.
    pub(crate) before: Option<String>,
    pub(crate) most: Option<usize>,
    pub(crate) token: Option<String>,
    /// Noncurrent ones too.
    pub(crate) versions: bool,
    /// Soft-deleted ones only.
    pub(crate) soft_deleted: bool,
    /// Whether a name that ends with the delimiter is an item besides its prefix.
    pub(crate) include_trailing_delimiter: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<(String, Version)>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) next: Option<String>,
}

/// Where a page ended.
#[derive(Debug, Serialize, Deserialize)]
enum Mark {
    /// With this generation of this name.
    Item(String, u64),
    /// With this rolled-up prefix.
    Prefix(String),
}

impl Listing {
    fn mark(&self) -> Result<Option<Mark>, Refusal> {
        let Some(token) = &self.token else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let mark = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        mark.map(Some).ok_or_else(|| Refusal::invalid("Invalid page token."))
    }

    /// The rolled-up prefix that a name falls into.
    fn rolled_up<'a>(&self, name: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let rest = name.get(self.prefix.len()..)?;
        let at = rest.find(delimiter)?;
        name.get(..self.prefix.len() + at + delimiter.len())
    }

    fn wants(&self, version: &Version) -> bool {
        if self.soft_deleted {
            return version.is_soft_deleted();
        }
        version.is_live() || (self.versions && !version.is_soft_deleted())
    }
}

/// A page being filled.
struct Filling<'a> {
    listing: &'a Listing,
    most: usize,
    last: Option<Mark>,
    page: Page,
}

impl Filling<'_> {
    fn is_full(&mut self) -> bool {
        let full = self.page.items.len() + self.page.prefixes.len() >= self.most;
        if full {
            let mark = self.last.as_ref().and_then(|mark| serde_json::to_vec(mark).ok());
            self.page.next = mark.map(|mark| URL_SAFE_NO_PAD.encode(mark));
        }
        full
    }

    /// Takes what is wanted of a name; false when the page is full and something is left.
    fn take<'v>(&mut self, name: &str, versions: impl Iterator<Item = &'v Version>) -> bool {
        let rolled = self.listing.rolled_up(name).map(str::to_owned);
        for version in versions {
            if let Some(prefix) = &rolled {
                if self.page.prefixes.last() == Some(prefix) {
                    // Already there.
                } else if self.is_full() {
                    return false;
                } else {
                    self.page.prefixes.push(prefix.clone());
                    self.last = Some(Mark::Prefix(prefix.clone()));
                }
                if !(self.listing.include_trailing_delimiter && name == prefix) {
                    break;
                }
            }
            if self.is_full() {
                return false;
            }
            self.page.items.push((name.to_owned(), version.clone()));
            self.last = Some(Mark::Item(name.to_owned(), version.generation));
        }
        true
    }
}

impl World {
    /// # Errors
    /// 400 for a page token that was never given out, 403, 404.
    pub(crate) fn list(&self, who: &Who, bucket: &str, listing: &Listing) -> Result<Page, Refusal> {
        self.bucket(bucket)?;
        who.need("storage.objects.list", bucket, None)?;
        if listing.soft_deleted && listing.versions {
            return Err(Refusal::invalid("versions and softDeleted cannot both be true."));
        }
        let mark = listing.mark()?;
        let mut lowest = Bound::Included(listing.prefix.as_str());
        if let Some(from) = listing.from.as_deref().filter(|from| **from > *listing.prefix) {
            lowest = Bound::Included(from);
        }
        if let Some(after) = listing.after.as_deref().filter(|after| **after >= *listing.prefix) {
            lowest = Bound::Excluded(after);
        }
        if let Some(Mark::Item(name, _) | Mark::Prefix(name)) = &mark {
            lowest = Bound::Included(name);
        }
        let most = listing.most.unwrap_or(MOST).clamp(1, MOST);
        let mut filling = Filling { listing, most, last: None, page: Page::default() };
        let names = self.objects.get(bucket);
        let names = names.into_iter().flat_map(|names| names.range::<str, _>((lowest, Bound::Unbounded)));
        for (name, versions) in names {
            if !name.starts_with(&listing.prefix) {
                break;
            }
            if listing.before.as_deref().is_some_and(|before| !before.is_empty() && name.as_str() >= before) {
                break;
            }
            let after = match &mark {
                Some(Mark::Prefix(prefix)) if listing.rolled_up(name) == Some(prefix) => continue,
                Some(Mark::Item(last, generation)) if last == name => *generation,
                _ => 0,
            };
            let wanted =
                versions.values().filter(|version| version.generation > after && listing.wants(version));
            if !filling.take(name, wanted) {
                break;
            }
        }
        Ok(filling.page)
    }
}
