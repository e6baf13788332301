//! A bar for each timeline over one axis of time: where recovery is possible, where there is only WAL, and where it has a hole.
//!
//! Promises: at most 100 columns, whatever the times are; a hole is seen however short it is. Times of WAL are when it was stored.
//! Deliberately decides nothing, and prints no text from elsewhere.

use seawall_engine::wal_status::SystemWal;
use seawall_engine::words::Time;

use super::human;
use super::page::{Page, Span, Style};

/// What stands in a cell; a later one goes before an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Nothing,
    Wal,
    Window,
    Acknowledged,
    Hole,
}

impl Mark {
    const ALL: [Self; 4] = [Self::Window, Self::Wal, Self::Hole, Self::Acknowledged];

    fn sign(self) -> (char, Style) {
        match self {
            Self::Nothing => (' ', Style::Plain),
            Self::Wal => ('─', Style::Dim),
            Self::Window => ('█', Style::Good),
            Self::Acknowledged => ('~', Style::Warn),
            Self::Hole => ('!', Style::Bad),
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Nothing => "no WAL",
            Self::Wal => "WAL that no backup leads to",
            Self::Window => "window: every point can be reached",
            Self::Acknowledged => "hole that was acknowledged",
            Self::Hole => "hole",
        }
    }
}

const LABEL_WIDTH: usize = 14;
const BAR_WIDTH: usize = 72;

/// The axis.
struct Axis {
    from: i64,
    to: i64,
}

impl Axis {
    /// From the oldest time to now; none where nothing has a time.
    fn of(system: &SystemWal, now: Time) -> Option<Self> {
        let stretches = system.timelines.iter().flat_map(|one| &one.stretches);
        let times = stretches.flat_map(|one| [one.from_time, one.to_time]).flatten();
        let times: Vec<i64> = times.chain([now]).map(Time::micros).collect();
        let (from, to) = (*times.iter().min()?, *times.iter().max()?);
        (times.len() > 1).then_some(Self { from, to: to.max(from.saturating_add(1)) })
    }

    fn cell(&self, time: Time) -> usize {
        let within = i128::from(time.micros().clamp(self.from, self.to)) - i128::from(self.from);
        let length = (i128::from(self.to) - i128::from(self.from)).max(1);
        usize::try_from(within * (BAR_WIDTH as i128 - 1) / length).unwrap_or(0).min(BAR_WIDTH - 1)
    }
}

/// The bars of a system's timelines.
#[must_use]
pub fn page(system: &SystemWal, now: Time) -> Page {
    let mut page = Page::new();
    let Some(axis) = Axis::of(system, now) else { return page };
    page.blank();
    let mut seen = Vec::new();
    for one in system.timelines.iter().filter(|one| !one.stretches.is_empty()) {
        let mut cells = [Mark::Nothing; BAR_WIDTH];
        for stretch in &one.stretches {
            let (Some(from), Some(to)) = (stretch.from_time.or(stretch.to_time), stretch.to_time) else {
                continue;
            };
            fill(&mut cells, axis.cell(from), axis.cell(to), Mark::Wal);
            for window in system.together().filter(|window| window.timeline == one.timeline) {
                let until = window.stored.unwrap_or(to).min(to);
                let since = window.from_time.max(from);
                if since <= until {
                    fill(&mut cells, axis.cell(since), axis.cell(until), Mark::Window);
                }
            }
        }
        for hole in system.holes.iter().filter(|hole| hole.timeline == one.timeline) {
            let mark = if hole.acknowledged.is_some() { Mark::Acknowledged } else { Mark::Hole };
            let Some(at) = hole.after.or(hole.before) else { continue };
            let from = hole.before.unwrap_or(at).min(at);
            // Between what is left and right of it, and one cell at least.
            let (first, last) = (axis.cell(from), axis.cell(at));
            let first = if last > first.saturating_add(1) { first.saturating_add(1) } else { last };
            fill(&mut cells, first, last.saturating_sub(usize::from(last > first)), mark);
        }
        seen.extend(cells);
        page.spans(2, bar(&format!("timeline {}", one.timeline), &cells));
    }
    let label = |micros| Time::from_micros(micros).map_or_else(String::new, human::time);
    let (left, right) = (label(axis.from), label(axis.to));
    let gap = BAR_WIDTH.saturating_sub(left.len()).saturating_sub(right.len()).max(1);
    page.spans(
        2,
        [Span::new(Style::Dim, format!("{}{left}{}{right}", " ".repeat(LABEL_WIDTH), " ".repeat(gap)))],
    );
    for mark in Mark::ALL.into_iter().filter(|mark| seen.contains(mark)) {
        let (sign, style) = mark.sign();
        page.spans(4, [Span::new(style, sign.to_string()), Span::plain(format!("  {}", mark.meaning()))]);
    }
    page
}

fn fill(cells: &mut [Mark; BAR_WIDTH], first: usize, last: usize, mark: Mark) {
    for cell in cells.iter_mut().skip(first).take(last.saturating_sub(first).saturating_add(1)) {
        *cell = (*cell).max(mark);
    }
}

/// Cells of one kind are one span; no line ends with a space.
fn bar(label: &str, cells: &[Mark]) -> Vec<Span> {
    let mut spans = vec![Span::plain(format!("{label:<LABEL_WIDTH$}"))];
    let used = cells.iter().rposition(|mark| *mark != Mark::Nothing).map_or(0, |last| last + 1);
    for same in cells[..used].chunk_by(|one, other| one == other) {
        let (sign, style) = same[0].sign();
        spans.push(Span::new(style, sign.to_string().repeat(same.len())));
    }
    spans
}

#[cfg(test)]
mod tests {
    use seawall_engine::wal_status::{HoleReport, SegmentSpan, StretchReport, TimelineReport, WindowReport};
    use seawall_engine::words::{Lsn, SystemIdentifier, Timeline};
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    fn at(day: i64) -> Time {
        Time::from_micros((20_000 + day) * 86_400_000_000).unwrap()
    }

    fn system(stretches: &[(i64, i64)], windows: &[(i64, i64)], hole: Option<(i64, i64)>) -> SystemWal {
        let segment = "000000010000000000000001".parse().unwrap();
        let timeline = Timeline::FIRST;
        let stretches = stretches.iter().map(|(from, to)| StretchReport {
            first: segment,
            last: segment,
            from_time: Some(at(*from)),
            to_time: Some(at(*to)),
        });
        let windows = windows.iter().map(|(from, to)| WindowReport {
            region: None,
            timeline,
            from: Lsn(1),
            from_time: at(*from),
            to: Lsn(2),
            stored: Some(at(*to)),
            last_commit: None,
            by_partial: false,
            backups: 1,
            current: true,
        });
        let holes = hole.iter().map(|(before, after)| HoleReport {
            timeline,
            missing: SegmentSpan { first: segment, last: segment, segments: 1 },
            from: Lsn(1),
            to: Lsn(2),
            before: Some(at(*before)),
            after: Some(at(*after)),
            acknowledged: None,
        });
        SystemWal {
            system: SystemIdentifier(7),
            present: true,
            segment_size: Some(1 << 24),
            timelines: vec![TimelineReport {
                timeline,
                parent: None,
                fork: None,
                current: true,
                history_known: true,
                segments: 1,
                stretches: stretches.collect(),
                partial: None,
            }],
            windows: windows.collect(),
            holes: holes.collect(),
            conflicts: Vec::new(),
            conflicts_unread: 0,
            not_compared: 0,
            regions: Vec::new(),
            newest: None,
            found: Vec::new(),
        }
    }

    #[test]
    fn windows_wal_and_holes_are_drawn_over_one_axis() {
        let text =
            page(&system(&[(0, 40), (50, 71)], &[(10, 40), (60, 71)], Some((40, 50))), at(71)).to_text();
        let wanted = format!(
            "\n  timeline 1    {}{}{}{}{}\n",
            "─".repeat(10),
            "█".repeat(31),
            "!".repeat(9),
            "─".repeat(10),
            "█".repeat(12)
        );
        assert!(text.starts_with(&wanted), "{text}\n{wanted}");
        for sign in ["█  window", "─  WAL that no backup", "!  hole"] {
            assert!(text.contains(sign), "{text}");
        }
        assert!(text.lines().all(|line| line.width() <= 100 && !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn a_hole_of_an_instant_is_seen_and_what_has_no_time_is_not_drawn() {
        let text = page(&system(&[(0, 400), (400, 900)], &[(1, 400), (401, 900)], Some((400, 400))), at(900))
            .to_text();
        assert!(text.contains('!'), "{text}");
        assert_eq!(page(&system(&[], &[], None), at(1)).to_text(), "");
    }

    #[test]
    fn times_beyond_reason_keep_the_width() {
        for (from, to) in [(-19_000, 2_000_000), (5, 5), (900, 1)] {
            let text = page(&system(&[(from, to)], &[(from, to)], Some((to, from))), at(3)).to_text();
            assert!(text.lines().all(|line| line.width() <= 100), "{text}");
        }
    }
}
