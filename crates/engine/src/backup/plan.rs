//! What a backup will do: on which parent it builds, by which way, which packs it empties. Pure.
//!
//! Promises a reason for the way; order comes from timelines and LSNs, never from names.

use std::collections::HashSet;
use std::time::Duration;

use seawall_pg::{History, Lsn};
use seawall_repo::compact::{self, BackupWork, CompactionRule, PackInUse};
use seawall_repo::id::BackupId;
use seawall_repo::manifest::{ManifestHeader, Way};
use seawall_repo::pack::PackId;
use seawall_repo::usage::PackRow;
use serde::Serialize;

/// How pages are found, on which parent, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChosenWay {
    /// The way.
    pub way: Way,
    /// The parent.
    pub parent: Option<BackupId>,
    /// Why, in words.
    pub reason: String,
}

/// What the choice rests on.
#[derive(Debug)]
pub(super) struct WayInput<'a> {
    /// Backups of this cluster and system identifier that the regions of this backup hold, in order.
    pub candidates: &'a [ManifestHeader],
    /// The server's last checkpoint: this backup starts there or later.
    pub start: Lsn,
    /// The ancestry of the timeline it starts on.
    pub history: &'a History,
    /// PostgreSQL's major version.
    pub postgresql: u16,
    /// Whether a full backup was asked for.
    pub full: bool,
    /// A parent asked for by name.
    pub parent: Option<BackupId>,
}

/// Chooses way and parent: the newest backup that this server's timeline grew from.
///
/// # Errors
/// The parent asked for cannot be one; the words say why.
pub(super) fn choose_way(input: &WayInput<'_>) -> Result<ChosenWay, String> {
    if input.full {
        return Ok(full("asked for"));
    }
    if let Some(wanted) = input.parent {
        let Some(header) = input.candidates.iter().find(|header| header.backup == wanted) else {
            return Err(format!("backup {wanted} is not in every region of this backup"));
        };
        unfit(header, input).map_or(Ok(()), Err)?;
        return Ok(scan(wanted, "every page is read and compared, as asked for"));
    }
    let fit = input.candidates.iter().filter(|header| unfit(header, input).is_none());
    let newest = fit.max_by_key(|header| (header.start, header.stop));
    Ok(match newest {
        Some(header) => scan(header.backup, "every page is read and compared, as asked for"),
        None if input.candidates.is_empty() => full("there is no backup to build on"),
        None => full("no earlier backup lies on this server's timeline"),
    })
}

fn full(reason: &str) -> ChosenWay {
    ChosenWay { way: Way::Full, parent: None, reason: reason.to_owned() }
}

fn scan(parent: BackupId, reason: &str) -> ChosenWay {
    ChosenWay { way: Way::Scan, parent: Some(parent), reason: reason.to_owned() }
}

/// Why a backup cannot be the parent. By content any backup could be; one off the timeline would only be compared in vain.
fn unfit(header: &ManifestHeader, input: &WayInput<'_>) -> Option<String> {
    if header.postgresql != input.postgresql {
        return Some(format!("backup {} is of PostgreSQL {}", header.backup, header.postgresql));
    }
    if input.history.covers(header.timeline, header.start, header.stop).is_err() {
        return Some(format!(
            "backup {} lies on timeline {}, which this server did not grow from",
            header.backup, header.timeline
        ));
    }
    if header.start > input.start {
        let why = "begins later than the server's last checkpoint: was pg_resetwal run?";
        return Some(format!("backup {} {why}", header.backup));
    }
    None
}

/// Packs to be emptied by this backup: those of which too little is in use, within the budget of design.
#[must_use]
pub(super) fn packs_to_empty(
    rows: &[PackRow],
    now_seconds: u64,
    since_parent: Duration,
    changed_before: u64,
) -> HashSet<PackId> {
    let in_use: Vec<PackInUse> = rows
        .iter()
        .map(|row| PackInUse {
            pack: row.pack,
            pages_in_use: row.pages_in_use,
            pages_stored: row.pages_stored,
            age: Duration::from_secs(now_seconds.saturating_sub(row.pack.backup.seconds())),
        })
        .collect();
    // The changes of this backup are not known yet; those of the last one are the estimate.
    let work = BackupWork { pages_changed: changed_before, since_parent };
    compact::plan(&in_use, work, &CompactionRule::default())
        .rewrites()
        .iter()
        .map(|planned| planned.pack)
        .collect()
}

/// Packs older than a ceiling, whatever they hold.
pub(super) fn packs_too_old(
    rows: &[PackRow],
    now_seconds: u64,
    age_max: Option<Duration>,
) -> impl Iterator<Item = PackId> + '_ {
    let oldest = age_max.map(|age_max| now_seconds.saturating_sub(age_max.as_secs()));
    let packs = rows.iter().map(|row| row.pack);
    packs.filter(move |pack| oldest.is_some_and(|oldest| pack.backup.seconds() < oldest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_pg::{Timeline, WalSegmentSize};
    use seawall_repo::time::Time;

    fn header(number: u8, timeline: u32, start: u64) -> ManifestHeader {
        let mut id = [0; 16];
        id[15] = number;
        ManifestHeader {
            backup: BackupId::from_bytes(id).unwrap(),
            cluster: "c".parse().unwrap(),
            system: "7".parse().unwrap(),
            postgresql: 17,
            way: Way::Full,
            parent: None,
            timeline: Timeline::new(timeline).unwrap(),
            start: Lsn(start),
            stop: Lsn(start + 100),
            stop_timeline: Timeline::new(timeline).unwrap(),
            started: Time::from_micros(0).unwrap(),
            stopped: Time::from_micros(0).unwrap(),
            segment_size: WalSegmentSize::new(16 << 20).unwrap(),
            bytes: 0,
            stored: 0,
            packs: 0,
            maps: 0,
            uses: Vec::new(),
            uses_more: false,
            damaged_pages: 0,
            from_standby: false,
            next_xid: None,
        }
    }

    fn choose(candidates: &[ManifestHeader], full: bool) -> ChosenWay {
        let history = History::root(Timeline::new(1).unwrap());
        let input =
            WayInput { candidates, start: Lsn(5_000), history: &history, postgresql: 17, full, parent: None };
        choose_way(&input).unwrap()
    }

    #[test]
    fn the_newest_backup_of_the_timeline_by_lsn_is_the_parent() {
        // Ids in the other order than positions: names decide nothing.
        let chosen = choose(&[header(9, 1, 1_000), header(2, 1, 3_000), header(5, 1, 2_000)], false);
        assert_eq!(chosen.parent, Some(header(2, 1, 3_000).backup));
        assert_eq!(chosen.way, Way::Scan);
    }

    #[test]
    fn a_parent_that_was_named_is_taken_or_refused_with_the_reason() {
        let mut old_major = header(4, 1, 1_000);
        old_major.postgresql = 16;
        let candidates =
            [header(1, 1, 1_000), header(2, 1, 3_000), header(3, 2, 1_000), old_major, header(5, 1, 9_000)];
        let history = History::root(Timeline::new(1).unwrap());
        let named = |number: u8| {
            let parent = Some(header(number, 1, 0).backup);
            let (start, postgresql) = (Lsn(5_000), 17);
            let input = WayInput {
                candidates: &candidates,
                start,
                history: &history,
                postgresql,
                full: false,
                parent,
            };
            choose_way(&input)
        };
        let older = named(1).unwrap();
        assert_eq!((older.way, older.parent), (Way::Scan, Some(candidates[0].backup)));
        for (number, why) in [
            (3, "lies on timeline 2, which this server did not grow from"),
            (4, "is of PostgreSQL 16"),
            (5, "begins later than the server's last checkpoint"),
            (6, "is not in every region of this backup"),
        ] {
            let said = named(number).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn without_a_fitting_parent_the_backup_is_full_and_says_why() {
        assert_eq!(choose(&[], false).reason, "there is no backup to build on");
        let other_timeline = choose(&[header(1, 2, 1_000)], false);
        assert_eq!((other_timeline.way, other_timeline.parent), (Way::Full, None));
        assert!(other_timeline.reason.contains("timeline"), "{}", other_timeline.reason);
        let reset = choose(&[header(1, 1, 9_000)], false);
        assert_eq!(reset.way, Way::Full);
        assert_eq!(choose(&[header(1, 1, 1_000)], true).reason, "asked for");
    }
}
