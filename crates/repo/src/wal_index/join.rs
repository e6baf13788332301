//! Whether one stretch of WAL goes on in the next one, and both joined: by positions alone.
//!
//! Every record names the beginning of the record before it (`xl_prev`). So a segment that is missing, of another history or
//! exchanged is noticed at its edges, whatever it is called.

use seawall_pg::Lsn;

use crate::wal_index::{Begins, CommitSpan, Ends, SegmentIndex};

/// How a segment does not follow the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum Break {
    #[error("its first record says that the one before begins at {said}; that begins at {found}")]
    Link { said: Lsn, found: Lsn },
    #[error("it goes on with a record that begins at {said}; the one left open begins at {found}")]
    OtherRest { said: Lsn, found: Lsn },
    #[error("it begins with a new record, though the one at {open} was left open")]
    RestMissing { open: Lsn },
    #[error("it begins with the rest of a record, though none was left open")]
    RestOfNone,
}

impl SegmentIndex {
    /// Joins the index of the WAL right behind.
    ///
    /// # Errors
    /// It is not the same WAL going on; nothing was changed then.
    pub fn then(&mut self, later: &Self) -> Result<(), Break> {
        self.goes_on_with(later)?;
        // A record that fills whole segments is told as missing once.
        if let (Ends::Beginning { of, told: false }, Begins::UnknownRest) = (self.ends, later.begins)
            && self.untold.last() != Some(&of)
        {
            self.untold.push(of);
        }
        // Given up in the end: there is nothing to tell of it.
        if let Begins::Overwritten { of } = later.begins {
            self.untold.retain(|start| *start != of);
        }
        self.untold.extend_from_slice(&later.untold);
        self.first = self.first.or(later.first);
        self.last = later.last.or(self.last);
        self.ends = match (self.ends, later.ends) {
            // A record may fill whole segments, of which each alone knows only that it is one's middle.
            (open @ Ends::Beginning { .. }, Ends::UnknownMiddle) => open,
            (_, ends) => ends,
        };
        self.records = self.records.saturating_add(later.records);
        self.commits = match (self.commits, later.commits) {
            (Some(own), Some(later)) => Some(own.then(&later)),
            (own, later) => own.or(later),
        };
        self.marks.extend_from_slice(&later.marks);
        self.changes.join(&later.changes);
        Ok(())
    }

    /// Compares edges. Where a host knew too little when it pushed, the links of records decide.
    fn goes_on_with(&self, later: &Self) -> Result<(), Break> {
        match (self.ends, later.begins) {
            (Ends::Beginning { of: open, .. }, Begins::Rest { of } | Begins::Overwritten { of })
                if of != open =>
            {
                return Err(Break::OtherRest { said: of, found: open });
            }
            (Ends::Beginning { of: open, .. }, Begins::Record) => return Err(Break::RestMissing { open }),
            (Ends::Record | Ends::Switch { .. }, begins) if begins != Begins::Record => {
                return Err(Break::RestOfNone);
            }
            _ => {}
        }
        // The first record names the last one before it: the one left open, if there was one and it was not given up.
        let given_up = matches!(later.begins, Begins::Overwritten { .. });
        match (later.first, self.last) {
            (Some(first), Some(last)) if !given_up && first.previous != last => {
                Err(Break::Link { said: first.previous, found: last })
            }
            _ => Ok(()),
        }
    }
}

impl CommitSpan {
    /// Joins those right behind.
    #[must_use]
    pub fn then(self, later: &Self) -> Self {
        Self {
            count: self.count.saturating_add(later.count),
            first: self.first,
            last: later.last,
            earliest: self.earliest.min(later.earliest),
            latest: self.latest.max(later.latest),
        }
    }
}
