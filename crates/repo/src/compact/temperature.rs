//! Which changed pages share a pack.
//!
//! A pack is given back when the last page in it is. Where some pages change daily and others yearly (a zipf-like
//! workload, that is, most real ones), mixing them leaves packs that are half dead after a day and half alive for a
//! year. So pages that changed again soon after they were last stored go into packs of their own. In the model this,
//! together with the order of rewriting (`plan`), takes the space of the zipf workload from 2.33 to about 2.12 times
//! what is needed; neither alone gains anything worth having.
//!
//! Promises one answer from one age; deliberately does not track pages: the age of the pack that held the page before
//! is in every map, and serves as well as the page's own history would.

use std::time::Duration;

/// A page stored again within this time is hot. The model is flat between one and two weeks.
pub const HOT_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// Which of a backup's packs a changed page goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temperature {
    /// Likely to change again before the backup is pruned.
    Hot,
    /// New, or unchanged for long before this.
    Cold,
}

impl Temperature {
    /// The temperature of a changed page, by the age of the pack that held its earlier content (`None`: a new page, or
    /// one of zeros before).
    ///
    /// Packs of the first backup say nothing about when a page last changed; the caller passes `None` for those of a
    /// backup without a parent.
    pub fn of_changed_page(age_of_earlier_pack: Option<Duration>) -> Self {
        match age_of_earlier_pack {
            Some(age) if age <= HOT_FOR => Self::Hot,
            _ => Self::Cold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stored_again_within_two_weeks_are_hot() {
        let days = |n: u64| Some(Duration::from_secs(n * 24 * 3600));
        assert_eq!(Temperature::of_changed_page(days(1)), Temperature::Hot);
        assert_eq!(Temperature::of_changed_page(days(14)), Temperature::Hot);
        assert_eq!(Temperature::of_changed_page(days(15)), Temperature::Cold);
        assert_eq!(Temperature::of_changed_page(None), Temperature::Cold);
    }
}
