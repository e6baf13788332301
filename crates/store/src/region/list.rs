//! Listing one region, in the order of names, going on where a broken listing stopped.
//!
//! Promises: strictly ascending names (a driver that breaks the order is an error, for merges rely on it); bounded
//! memory; a failure in the middle is retried from the last name seen, within the region's limits.
//! Does not do: a view of one moment; what comes or goes meanwhile may be seen or not.

use super::{Call, ObjectInfo, Region};
use crate::error::{ErrorKind, Failure, StoreError};
use crate::meter::OpKind;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many names are taken from the driver in one bounded step.
const BATCH: usize = 1000;

/// One level of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Whole names up to (without) the next `/`, ascending.
    pub dirs: Vec<String>,
    /// Objects right here, ascending.
    pub objects: Vec<ObjectInfo>,
}

/// The driver's listing went backwards.
#[derive(Debug, thiserror::Error)]
#[error("the listing is out of order: {after} came after {before}")]
struct OutOfOrder {
    before: String,
    after: String,
}

type Source = BoxStream<'static, object_store::Result<ObjectMeta>>;

struct Cursor<'a> {
    region: &'a Region,
    prefix: Option<Path>,
    label: String,
    after: Option<Path>,
    source: Option<Source>,
    ready: VecDeque<ObjectInfo>,
    finished: bool,
}

impl Region {
    /// All objects whose names begin with the whole segments of `prefix` (`""`: all), after the name `after`, in order.
    /// The stream ends after an error.
    #[must_use]
    pub fn list<'a>(
        &'a self,
        prefix: &str,
        after: Option<&str>,
    ) -> BoxStream<'a, Result<ObjectInfo, StoreError>> {
        let parsed = self
            .parse_prefix(prefix)
            .and_then(|prefix| Ok((prefix, after.map(|a| self.parse(a)).transpose()?)));
        let (parsed_prefix, after) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let cursor = Cursor {
            region: self,
            prefix: parsed_prefix,
            label: prefix.to_owned(),
            after,
            source: None,
            ready: VecDeque::new(),
            finished: false,
        };
        stream::try_unfold(cursor, Cursor::next).boxed()
    }

    /// All of [`Region::list`] in memory; for listings known to be short.
    pub async fn list_collect(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list(prefix, None).try_collect().await
    }

    /// What stands right beneath `prefix`: objects, and the names of what has more beneath.
    pub async fn list_level(&self, prefix: &str) -> Result<Level, StoreError> {
        let parsed = self.parse_prefix(prefix)?;
        let answer = self
            .call(Call::new(OpKind::List, prefix), || async {
                let listing = self.store.list_with_delimiter(parsed.as_ref());
                let answer = self.timed(self.limits().put_time(0), listing).await?;
                Ok((answer.map_err(Failure::of)?, 0))
            })
            .await?;
        let mut level = Level {
            dirs: answer.common_prefixes.iter().map(ToString::to_string).collect(),
            objects: answer.objects.iter().map(ObjectInfo::of).collect(),
        };
        level.dirs.sort_unstable();
        level.objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(level)
    }

    fn parse_prefix(&self, prefix: &str) -> Result<Option<Path>, StoreError> {
        crate::name::parse_prefix(prefix).map_err(|why| self.bad_name(prefix, why))
    }
}

impl Cursor<'_> {
    async fn next(mut self) -> Result<Option<(ObjectInfo, Self)>, StoreError> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Some((object, self)));
            }
            if self.finished {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Takes the next batch from the driver; after a failure the listing is begun again behind the last name seen.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let region = self.region;
        let (prefix, after) = (self.prefix.clone(), self.after.clone());
        let mut kept = self.source.take();
        let call = Call::new(OpKind::List, &self.label);
        let (batch, source) = region
            .call(call, || {
                let source = kept.take().unwrap_or_else(|| match &after {
                    Some(after) => region.store.list_with_offset(prefix.as_ref(), after),
                    None => region.store.list(prefix.as_ref()),
                });
                take_batch(region, source, after.clone())
            })
            .await?;
        self.finished = source.is_none();
        self.source = source;
        if let Some(last) = batch.last() {
            self.after = Some(last.location.clone());
        }
        self.ready = batch.iter().map(ObjectInfo::of).collect();
        Ok(())
    }
}

type Batch = (Vec<ObjectMeta>, Option<Source>);

async fn take_batch(
    region: &Region,
    mut source: Source,
    mut before: Option<Path>,
) -> Result<(Batch, u64), Failure> {
    let mut batch: Vec<ObjectMeta> = Vec::new();
    while batch.len() < BATCH {
        let Some(next) = region.timed(region.limits().stall, source.next()).await? else {
            return Ok(((batch, None), 0));
        };
        let object = next.map_err(Failure::of)?;
        if let Some(before) = before.filter(|before| object.location <= *before) {
            let error = OutOfOrder { before: before.to_string(), after: object.location.to_string() };
            return Err(Failure { kind: ErrorKind::Other, cause: Arc::new(error) });
        }
        before = Some(object.location.clone());
        batch.push(object);
    }
    Ok(((batch, Some(source)), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, in_memory, world};

    fn object(name: &str) -> object_store::Result<ObjectMeta> {
        let last_modified = std::time::SystemTime::UNIX_EPOCH.into();
        Ok(ObjectMeta { location: Path::from(name), last_modified, size: 1, e_tag: None, version: None })
    }

    #[test]
    fn listing_that_goes_backwards_or_repeats_is_an_error() {
        let (world, _) = world();
        let (region, _) = in_memory("one", &world);
        let take = |names: &[&'static str], after: Option<&str>| {
            let source = stream::iter(names.iter().map(|name| object(name)).collect::<Vec<_>>()).boxed();
            block_on(take_batch(&region, source, after.map(Path::from)))
        };
        assert!(take(&["a", "b"], None).is_ok());
        for (names, after) in [(["b", "a"], None), (["a", "a"], None), (["a", "b"], Some("a"))] {
            let failure = take(&names, after).map(drop).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Other);
            assert!(failure.cause.to_string().starts_with("the listing is out of order"));
        }
    }
}
