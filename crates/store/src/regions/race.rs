//! Asking one region, and the next beside it when the first hesitates.
//!
//! Promises: a region that shows signs of life (an answer's head, a piece of the body) is left to finish, however long a transfer
//! takes; one that shows none for its bound is raced by the next; dropping the race drops every call that is on its way.
//! Does not do: judging answers.

use super::{Extent, Regions};
use crate::error::StoreError;
use crate::region::{Moving, Region};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, Either, pending, select};
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;

/// So many times its usual latency a region may keep silent.
const USUAL_TIMES: u32 = 8;
/// At least so long: a pause of this length is nothing unusual on a busy machine.
const SILENT_LEAST: Duration = Duration::from_secs(1);
/// At most so long.
const SILENT_MOST: Duration = Duration::from_secs(5);
/// So long where nothing is known of a region's latency: a connection has to be made.
const SILENT_FIRST: Duration = Duration::from_secs(2);

/// How long a region may keep silent before the next is asked.
fn patience(region: &Region) -> Duration {
    match region.health().latency_us {
        0 => SILENT_FIRST,
        usual => Duration::from_micros(usual).saturating_mul(USUAL_TIMES).clamp(SILENT_LEAST, SILENT_MOST),
    }
}

type Answer<'a> = (&'a Region, Result<Bytes, StoreError>);

/// The last region that was asked, and what was seen of it.
struct Latest<'a> {
    region: &'a Region,
    asked: Duration,
    moving: Arc<Moving>,
    seen: u64,
    until: Duration,
}

pub(super) struct Race<'a> {
    regions: &'a Regions,
    name: &'a str,
    extent: &'a Extent,
    waiting: std::vec::IntoIter<&'a Region>,
    running: FuturesUnordered<BoxFuture<'a, Answer<'a>>>,
    latest: Option<Latest<'a>>,
}

impl<'a> Race<'a> {
    pub(super) fn new(regions: &'a Regions, name: &'a str, extent: &'a Extent) -> Self {
        let waiting = regions.by_preference().into_iter();
        Self { regions, name, extent, waiting, running: FuturesUnordered::new(), latest: None }
    }

    /// The next answer; none when every region has given its own.
    pub(super) async fn next(&mut self) -> Option<Answer<'a>> {
        // Who was asked before has failed by now, or is slow.
        self.ask_next();
        loop {
            let silence = self.silence();
            let answer = match select(self.running.next(), silence).await {
                Either::Left((answer, _)) => Some(answer),
                Either::Right(_) => None,
            };
            match answer {
                Some(answer) => return answer,
                None => self.look(),
            }
        }
    }

    fn now(&self) -> Duration {
        self.regions.world().clock.monotonic()
    }

    fn ask_next(&mut self) {
        let Some(region) = self.waiting.next() else {
            self.latest = None;
            return;
        };
        let (name, extent, moving) = (self.name, self.extent, Arc::new(Moving::default()));
        let (asked, watched) = (self.now(), Arc::clone(&moving));
        let until = asked.saturating_add(patience(region));
        self.latest = Some(Latest { region, asked, moving, seen: 0, until });
        self.running.push(Box::pin(async move {
            let answer = region.get_extent_moving(name, extent, &watched).await;
            (region, answer)
        }));
    }

    /// Ends when it is time to look whether the latest region moves; never where there is nobody else to ask.
    fn silence(&self) -> BoxFuture<'static, ()> {
        match &self.latest {
            Some(latest) if self.waiting.len() > 0 => self.regions.world().clock.deadline(latest.until),
            _ => Box::pin(pending()),
        }
    }

    fn look(&mut self) {
        let now = self.now();
        let Some(latest) = &mut self.latest else { return };
        let moved = latest.moving.count();
        if moved > latest.seen {
            latest.seen = moved;
            latest.until = now.saturating_add(patience(latest.region));
            return;
        }
        latest.region.is_slow(now.saturating_sub(latest.asked));
        self.ask_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pair, world};

    #[test]
    fn a_transfer_that_moves_is_left_to_finish_and_one_that_stops_is_raced() {
        let (world, clock) = world();
        let (regions, _) = pair(&world);
        let mut race = Race::new(&regions, "a", &Extent::Prefix(1));
        race.ask_next();
        for _ in 0..20 {
            race.latest.as_ref().unwrap().moving.moved();
            clock.advance(SILENT_MOST);
            race.look();
            assert_eq!((race.running.len(), race.waiting.len()), (1, 1), "it shows signs of life");
        }
        clock.advance(SILENT_MOST);
        race.look();
        assert_eq!((race.running.len(), race.waiting.len()), (2, 0));
    }
}
