//! Backups on a calendar: a line for each month, a cell for each day, a mark for what keeps its backup.
//!
//! Promises: at most 100 columns, whatever the backups are; the days are those of the policy's time zone. A day of several
//! backups shows what keeps the most important of them. Deliberately decides nothing: `explain` has the words.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use seawall_engine::retention::{Decision, Point, Policy, Rule};
use seawall_engine::words::{BackupId, Time};

use super::human;
use super::page::{Page, Span, Style};

/// What stands in a day's cell; a later one goes before an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    None,
    Condemned,
    Other,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    Hold,
    Breach,
}

impl Mark {
    const ALL: [Self; 10] = [
        Self::Yearly,
        Self::Monthly,
        Self::Weekly,
        Self::Daily,
        Self::Hourly,
        Self::Other,
        Self::Hold,
        Self::Breach,
        Self::Condemned,
        Self::None,
    ];

    fn of(decision: &Decision) -> Self {
        if decision.breaches_max_age() {
            return Self::Breach;
        }
        let marks = decision.keep.iter().map(|reason| match reason.rule {
            Rule::Hold => Self::Hold,
            Rule::Yearly => Self::Yearly,
            Rule::Monthly => Self::Monthly,
            Rule::Weekly => Self::Weekly,
            Rule::Daily => Self::Daily,
            Rule::Hourly => Self::Hourly,
            Rule::Floor
            | Rule::NoRule
            | Rule::Pitr
            | Rule::Tail
            | Rule::Within
            | Rule::Last
            | Rule::MinBackups => Self::Other,
        });
        marks.max().unwrap_or(Self::Condemned)
    }

    fn sign(self) -> (&'static str, Style) {
        match self {
            Self::None => ("·", Style::Dim),
            Self::Condemned => ("x", Style::Bad),
            Self::Other => ("+", Style::Good),
            Self::Hourly => ("h", Style::Good),
            Self::Daily => ("d", Style::Good),
            Self::Weekly => ("w", Style::Good),
            Self::Monthly => ("m", Style::Good),
            Self::Yearly => ("y", Style::Good),
            Self::Hold => ("H", Style::Strong),
            Self::Breach => ("!", Style::Warn),
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::None => "no backup",
            Self::Condemned => "condemned",
            Self::Other => "kept by another rule",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Hold => "held",
            Self::Breach => "older than max_age, kept by a hold or as the newest",
        }
    }
}

/// The days with backups, and the span that is drawn.
struct Days {
    marks: BTreeMap<Date, Mark>,
    first: Date,
    today: Date,
    window: Option<Date>,
}

/// The calendar of these decisions.
#[must_use]
pub fn page(decisions: &[Decision], points: &[Point], policy: &Policy, now: Time) -> Page {
    let zone = TimeZone::get(&policy.zone).unwrap_or(TimeZone::UTC);
    let mut page = Page::new();
    let kept = decisions.iter().filter(|decision| decision.is_kept()).count();
    let counted = |number: usize, what: &str| {
        format!("{} {what}", human::count(u64::try_from(number).unwrap_or(u64::MAX)))
    };
    let total = decisions.len();
    page.line(format!(
        "{}, {}; days of {}",
        counted(kept, "kept"),
        counted(total.saturating_sub(kept), "condemned"),
        zone.iana_name().unwrap_or("UTC")
    ));
    let Some(days) = Days::of(decisions, points, policy, now, &zone) else { return page };
    page.blank();
    page.spans(0, [Span::new(Style::Dim, heading())]);
    days.months(&mut page);
    page.blank();
    days.legend(&mut page);
    page
}

/// The numbers of some days, each over its column.
fn heading() -> String {
    let mut line = " ".repeat(MONTH_WIDTH);
    for day in [1, 5, 10, 15, 20, 25, 30] {
        let column = MONTH_WIDTH + (day - 1) * CELL_WIDTH;
        line.push_str(&" ".repeat(column.saturating_sub(line.len())));
        line.push_str(&day.to_string());
    }
    line
}

const MONTH_WIDTH: usize = 9;
const CELL_WIDTH: usize = 2;
/// So many months without any backup are one line.
const GAP: usize = 3;

impl Days {
    fn of(
        decisions: &[Decision],
        points: &[Point],
        policy: &Policy,
        now: Time,
        zone: &TimeZone,
    ) -> Option<Self> {
        let date = |time: Time| {
            let instant = Timestamp::from_microsecond(time.micros()).unwrap_or(Timestamp::MAX);
            instant.to_zoned(zone.clone()).date()
        };
        let stored: BTreeMap<BackupId, Time> = points.iter().map(|point| (point.id, point.stored)).collect();
        let mut marks: BTreeMap<Date, Mark> = BTreeMap::new();
        for decision in decisions {
            let Some(stored) = stored.get(&decision.id) else { continue };
            let mark = marks.entry(date(*stored)).or_insert(Mark::None);
            *mark = (*mark).max(Mark::of(decision));
        }
        let (first, last) = (*marks.keys().next()?, *marks.keys().next_back()?);
        let window = policy.pitr.map(|pitr| date(pitr.before(now)));
        // A clock of this host that is behind the store's hides no backup.
        Some(Self { marks, first, today: date(now).max(last), window })
    }

    fn months(&self, page: &mut Page) {
        let mut empty: Vec<Date> = Vec::new();
        let mut month = self.first.first_of_month();
        while month <= self.today {
            let mut of_it = self.marks.range(month..=month.last_of_month());
            if of_it.next().is_none() {
                empty.push(month);
            } else {
                self.gap(page, &mut empty);
                self.month(page, month);
            }
            let Ok(next) = month.checked_add(jiff::Span::new().months(1)) else { break };
            month = next;
        }
        self.gap(page, &mut empty);
    }

    fn gap(&self, page: &mut Page, empty: &mut Vec<Date>) {
        let months = std::mem::take(empty);
        if months.len() < GAP {
            months.into_iter().for_each(|month| self.month(page, month));
        } else {
            let text = format!("{}{} months without a backup", " ".repeat(MONTH_WIDTH), months.len());
            page.spans(0, [Span::new(Style::Dim, text)]);
        }
    }

    fn month(&self, page: &mut Page, month: Date) {
        let mut spans = vec![Span::plain(format!("{:04}-{:02}  ", month.year(), month.month()))];
        let last = month.last_of_month().min(self.today);
        let mut day = month;
        while day <= last {
            if day < self.first {
                spans.push(Span::plain(" ".repeat(CELL_WIDTH)));
            } else {
                let (sign, style) = self.marks.get(&day).copied().unwrap_or(Mark::None).sign();
                spans.push(Span::new(style, sign));
                let shade = if self.is_inside(day) { SHADE } else { " " };
                // No line ends with a space.
                if day < last || shade == SHADE {
                    spans.push(Span::new(Style::Dim, shade));
                }
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        page.spans(0, spans);
    }

    /// Whether every instant from a day on is in the window, or part of that day is.
    fn is_inside(&self, day: Date) -> bool {
        self.window.is_some_and(|since| since <= day && day <= self.today)
    }

    fn legend(&self, page: &mut Page) {
        let shown: BTreeSet<Mark> = self.marks.values().copied().chain([Mark::None]).collect();
        for mark in Mark::ALL.into_iter().filter(|mark| shown.contains(mark)) {
            let (sign, style) = mark.sign();
            page.spans(2, [Span::new(style, sign), Span::plain(format!("  {}", mark.meaning()))]);
        }
        if self.window.is_some() {
            page.spans(
                2,
                [Span::new(Style::Dim, SHADE), Span::plain("  window: every instant can be reached")],
            );
        }
    }
}

/// Behind the mark of a day in the window.
const SHADE: &str = "─";

#[cfg(test)]
mod tests {
    use seawall_engine::retention::{Reason, Span as Seconds};
    use seawall_engine::words::{Lsn, SystemIdentifier, Timeline};
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    fn at(text: &str) -> Time {
        Time::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap()
    }

    fn backup(number: u64, stored: &str, rules: &[Rule]) -> (Point, Decision) {
        let stored = at(stored);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let (id, system) = (BackupId::from_bytes(bytes).unwrap(), SystemIdentifier(7));
        let point = Point {
            id,
            system,
            timeline: Timeline::FIRST,
            start: Lsn(1),
            stop: Lsn(2),
            stop_timeline: Timeline::FIRST,
            stored,
            claimed: stored,
            oldest_bytes: None,
            unfit: None,
            regions: Vec::new(),
            holds: Vec::new(),
        };
        let keep = rules.iter().map(|rule| Reason { rule: *rule, text: "\u{1b}[2J".to_owned() }).collect();
        (point, Decision { id, system, keep, against: Vec::new(), leaves: None })
    }

    fn drawn(backups: &[(&str, &[Rule])], policy: &Policy, now: &str) -> String {
        let numbered = (1..).zip(backups);
        let (points, decisions): (Vec<_>, Vec<_>) =
            numbered.map(|(number, (stored, rules))| backup(number, stored, rules)).unzip();
        page(&decisions, &points, policy, at(now)).to_text()
    }

    #[test]
    fn a_month_shows_what_keeps_each_day_and_where_the_window_lies() {
        let policy =
            Policy { pitr: Some(Seconds::days(4)), zone: "Europe/Berlin".to_owned(), ..Policy::default() };
        let backups: [(&str, &[Rule]); 9] = [
            ("2026-10-29T02:00:00Z", &[Rule::Monthly, Rule::Daily]),
            ("2026-11-01T02:00:00Z", &[Rule::Hold, Rule::Yearly]),
            ("2026-11-02T02:00:00Z", &[Rule::Weekly]),
            ("2026-11-03T02:00:00Z", &[]),
            ("2026-11-05T02:00:00Z", &[Rule::Pitr, Rule::Daily]),
            // Behind midnight in Berlin.
            ("2026-11-05T23:30:00Z", &[Rule::Pitr]),
            ("2026-11-07T02:00:00Z", &[]),
            ("2026-11-07T03:00:00Z", &[Rule::Hourly, Rule::Last]),
            ("2026-11-08T02:00:00Z", &[Rule::Floor]),
        ];
        let wanted = "\
7 kept, 2 condemned; days of Europe/Berlin

         1       5         10        15        20        25        30
2026-10                                                          m · ·
2026-11  H w x · d─+─h─+─·─

  m  monthly
  w  weekly
  d  daily
  h  hourly
  +  kept by another rule
  H  held
  x  condemned
  ·  no backup
  ─  window: every instant can be reached
";
        assert_eq!(drawn(&backups, &policy, "2026-11-09T01:00:00Z"), wanted);
    }

    #[test]
    fn months_without_a_backup_are_one_line() {
        let backups: [(&str, &[Rule]); 2] =
            [("2024-02-29T02:00:00Z", &[Rule::Yearly]), ("2026-01-01T02:00:00Z", &[Rule::Floor])];
        let text = drawn(&backups, &Policy::default(), "2026-03-02T00:00:00Z");
        let lines: Vec<&str> = text.lines().skip(3).take(5).collect();
        assert_eq!(lines[0].trim_end().chars().last(), Some('y'));
        assert_eq!(lines[1], "         22 months without a backup");
        assert_eq!(lines[2], format!("2026-01  +{}", " ·".repeat(30)));
        assert_eq!(lines[3], format!("2026-02  ·{}", " ·".repeat(27)));
        assert_eq!(lines[4], "2026-03  · ·");
    }

    #[test]
    fn no_line_is_wider_than_a_hundred_columns_or_ends_with_a_space() {
        let stored: Vec<String> = (0..3_000u64)
            .map(|day| {
                Time::from_micros(i64::try_from(day * 86_400_000_000 + 1_500_000_000_000_000).unwrap())
            })
            .map(|time| time.unwrap().to_string())
            .collect();
        let backups: Vec<(&str, &[Rule])> =
            stored.iter().map(|time| (time.as_str(), &[Rule::Within][..])).collect();
        let policy = Policy { pitr: Some(Seconds::days(90_000)), ..Policy::default() };
        let text = drawn(&backups, &policy, "2026-03-02T00:00:00Z");
        assert!(text.lines().count() > 99);
        for line in text.lines() {
            assert!(line.width() <= 100 && !line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn a_breach_of_max_age_is_seen() {
        use seawall_engine::retention::{Against, Why};
        let (point, mut decision) = backup(1, "2026-11-01T02:00:00Z", &[Rule::Hold]);
        decision.against.push(Against { why: Why::MaxAge, text: "old".to_owned() });
        let text = page(&[decision], &[point], &Policy::default(), at("2026-11-02T00:00:00Z")).to_text();
        assert!(text.contains("2026-11  ! ·\n") && text.contains("  !  older than max_age"), "{text}");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_is() {
        assert_eq!(
            drawn(&[], &Policy::default(), "2026-11-02T00:00:00Z"),
            "0 kept, 0 condemned; days of UTC\n"
        );
    }
}
