//! `backup_label`: where recovery of a backup begins.
//!
//! Promises: read as strictly as the server's own parser (`read_backup_label` in
//! `src/backend/access/transam/xlogrecovery.c`), and the bytes are kept: what the stop function returned is written
//! back unchanged, because the server's parser forgives nothing.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::segment::{SegmentName, WalSegmentSize};
use crate::timeline::Timeline;

/// A label is at most 1024 bytes; with the fixed lines no `backup_label` comes near this.
const LABEL_BYTES_MAX: usize = 64 << 10;

/// The content of `backup_label`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    /// Where replay begins.
    pub start: Lsn,
    /// The name of the segment that holds `start`.
    pub start_segment: SegmentName,
    /// Where the checkpoint record stands.
    pub checkpoint: Lsn,
    /// `streamed`, or `pg_start_backup` for the exclusive mode of old.
    pub method: String,
    /// Which server the backup was taken from.
    pub from: BackupFrom,
    /// When it started, as the server wrote it.
    pub start_time: String,
    /// The label given to the start function; invalid UTF-8 is replaced.
    pub label: String,
    /// The timeline it starts on.
    pub timeline: Timeline,
    /// What it builds on, where the server made it incremental. The server refuses to start from such a directory.
    pub incremental: Option<IncrementalFrom>,
    /// The bytes it was read from.
    raw: Vec<u8>,
}

/// Which server a backup was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum BackupFrom {
    Primary,
    Standby,
}

/// What an incremental backup of PostgreSQL builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncrementalFrom {
    /// Start of the backup before.
    pub lsn: Lsn,
    /// Its timeline.
    pub timeline: Timeline,
}

/// Why bytes are not a usable `backup_label`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum BackupLabelError {
    #[error("backup_label is {bytes} bytes long, which no PostgreSQL writes")]
    TooLong { bytes: usize },
    #[error("backup_label ends where its line {expected:?} should stand")]
    Missing { expected: &'static str },
    #[error("backup_label has {found:?} where its line {expected:?} should stand")]
    Line { expected: &'static str, found: String },
    #[error("backup_label begins on timeline {timeline}, but names segment {segment}")]
    Timeline { timeline: Timeline, segment: SegmentName },
    #[error("backup_label begins at {start}, which segment {segment} does not hold")]
    Segment { start: Lsn, segment: SegmentName },
}

impl BackupLabel {
    /// Reads the content of `backup_label`, as the stop function returned it or as a file holds it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupLabelError> {
        if bytes.len() > LABEL_BYTES_MAX {
            return Err(BackupLabelError::TooLong { bytes: bytes.len() });
        }
        let text = String::from_utf8_lossy(bytes);
        let mut lines = Lines(&text);
        let (start, start_segment) = lines.take("START WAL LOCATION", start_line)?;
        let checkpoint = lines.take("CHECKPOINT LOCATION", |value| value.parse().ok())?;
        let method = lines.take("BACKUP METHOD", |value| Some(value.to_owned()))?;
        let from = lines.take("BACKUP FROM", backup_from)?;
        let start_time = lines.take("START TIME", |value| Some(value.to_owned()))?;
        let label = lines.take("LABEL", |value| Some(value.to_owned()))?;
        let timeline = lines.take("START TIMELINE", decimal_timeline)?;
        let incremental = lines.incremental()?;
        if !lines.0.is_empty() {
            return Err(BackupLabelError::Line { expected: "(end)", found: lines.first_line() });
        }
        if timeline != start_segment.timeline() {
            return Err(BackupLabelError::Timeline { timeline, segment: start_segment });
        }
        let raw = bytes.to_vec();
        Ok(Self {
            start,
            start_segment,
            checkpoint,
            method,
            from,
            start_time,
            label,
            timeline,
            incremental,
            raw,
        })
    }

    /// The bytes it was read from: what a restore has to write.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether the segment it names holds its start, given the size of the cluster's segments.
    pub fn check_segment(&self, size: WalSegmentSize) -> Result<(), BackupLabelError> {
        let right = SegmentName::of(self.timeline, self.start, size) == self.start_segment;
        let (start, segment) = (self.start, self.start_segment);
        right.then_some(()).ok_or(BackupLabelError::Segment { start, segment })
    }

    /// The lines as PostgreSQL writes them. For a label that was read, [`Self::raw`] is the truth.
    pub fn print(&self) -> String {
        let from = match self.from {
            BackupFrom::Primary => "primary",
            BackupFrom::Standby => "standby",
        };
        let mut text = format!(
            "START WAL LOCATION: {} (file {})\nCHECKPOINT LOCATION: {}\nBACKUP METHOD: {}\nBACKUP FROM: {from}\n\
             START TIME: {}\nLABEL: {}\nSTART TIMELINE: {}\n",
            self.start,
            self.start_segment,
            self.checkpoint,
            self.method,
            self.start_time,
            self.label,
            self.timeline
        );
        if let Some(IncrementalFrom { lsn, timeline }) = self.incremental {
            // Writing to a String cannot fail.
            let _ = write!(text, "INCREMENTAL FROM LSN: {lsn}\nINCREMENTAL FROM TLI: {timeline}\n");
        }
        text
    }
}

/// What is left of the text.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// The value of the next line, which must be `<name>: <value>` and end with a line feed.
    fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, BackupLabelError> {
        if self.0.is_empty() {
            return Err(BackupLabelError::Missing { expected: name });
        }
        let wrong = BackupLabelError::Line { expected: name, found: self.first_line() };
        let Some((line, rest)) = self.0.split_once('\n') else { return Err(wrong) };
        let value = line.strip_prefix(name).and_then(|line| line.strip_prefix(": "));
        let value = value.filter(|value| !value.ends_with('\r')).and_then(read).ok_or(wrong)?;
        self.0 = rest;
        Ok(value)
    }

    fn incremental(&mut self) -> Result<Option<IncrementalFrom>, BackupLabelError> {
        if !self.0.starts_with("INCREMENTAL FROM LSN") {
            return Ok(None);
        }
        let lsn = self.take("INCREMENTAL FROM LSN", |value| value.parse().ok())?;
        let timeline = self.take("INCREMENTAL FROM TLI", decimal_timeline)?;
        Ok(Some(IncrementalFrom { lsn, timeline }))
    }

    fn first_line(&self) -> String {
        self.0.lines().next().unwrap_or_default().chars().take(200).collect()
    }
}

/// `<lsn> (file <segment>)`
fn start_line(value: &str) -> Option<(Lsn, SegmentName)> {
    let (lsn, segment) = value.split_once(" (file ")?;
    Some((lsn.parse().ok()?, segment.strip_suffix(')')?.parse().ok()?))
}

fn backup_from(value: &str) -> Option<BackupFrom> {
    match value {
        "primary" => Some(BackupFrom::Primary),
        "standby" => Some(BackupFrom::Standby),
        _ => None,
    }
}

fn decimal_timeline(value: &str) -> Option<Timeline> {
    crate::bytes::plain_number(value.as_bytes()).and_then(Timeline::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REAL: &str = "START WAL LOCATION: 0/7000028 (file 000000010000000000000007)\n\
        CHECKPOINT LOCATION: 0/7000080\n\
        BACKUP METHOD: streamed\n\
        BACKUP FROM: primary\n\
        START TIME: 2026-11-22 06:23:58 UTC\n\
        LABEL: pg_basebackup base backup\n\
        START TIMELINE: 1\n";
    const INCREMENT: &str = "INCREMENTAL FROM LSN: 0/A000028\nINCREMENTAL FROM TLI: 1\n";

    #[test]
    fn real_label_is_read_and_kept() {
        let label = BackupLabel::parse(REAL.as_bytes()).unwrap();
        assert_eq!((label.start, label.checkpoint), (Lsn(0x0700_0028), Lsn(0x0700_0080)));
        assert_eq!((label.from, label.timeline), (BackupFrom::Primary, Timeline::FIRST));
        assert_eq!(label.label, "pg_basebackup base backup");
        assert_eq!(label.start_time, "2026-11-22 06:23:58 UTC");
        assert_eq!(label.incremental, None);
        assert_eq!((label.raw(), label.print().as_str()), (REAL.as_bytes(), REAL));
        assert_eq!(label.check_segment(WalSegmentSize::DEFAULT), Ok(()));
        assert!(label.check_segment(WalSegmentSize::new(1 << 20).unwrap()).is_err());
    }

    #[test]
    fn incremental_label_is_recognised() {
        let text = format!("{REAL}{INCREMENT}");
        let label = BackupLabel::parse(text.as_bytes()).unwrap();
        assert_eq!(
            label.incremental,
            Some(IncrementalFrom { lsn: Lsn(0x0A00_0028), timeline: Timeline::FIRST })
        );
        assert_eq!(label.print(), text);
    }

    #[test]
    fn label_that_is_not_utf8_keeps_its_bytes() {
        let bytes = REAL.replace("base backup", "\u{1}").into_bytes();
        let bytes: Vec<u8> = bytes.into_iter().map(|b| if b == 1 { 0xE9 } else { b }).collect();
        let label = BackupLabel::parse(&bytes).unwrap();
        assert_eq!(label.label, "pg_basebackup \u{FFFD}");
        assert_eq!(label.raw(), bytes);
    }

    #[test]
    fn every_missing_or_changed_line_is_named() {
        let lines: Vec<&str> = REAL.split_inclusive('\n').collect();
        for gone in 0..lines.len() {
            let rest: String =
                lines.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, line)| *line).collect();
            let error = BackupLabel::parse(rest.as_bytes()).unwrap_err().to_string();
            let name = lines[gone].split(':').next().unwrap();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
        for bad in [
            String::new(),
            REAL.trim_end().to_owned(),
            REAL.replace('\n', "\r\n"),
            format!("\u{FEFF}{REAL}"),
            format!("{REAL}more\n"),
            format!("{REAL}INCREMENTAL FROM LSN: 0/A000028\n"),
            REAL.replace("primary", "somewhere"),
            REAL.replace("TIMELINE: 1", "TIMELINE: 2"),
            REAL.replace("TIMELINE: 1", "TIMELINE: 0"),
            REAL.replace("0/7000028", "7000028"),
            "x".repeat(LABEL_BYTES_MAX + 1),
        ] {
            assert!(BackupLabel::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn any_label() -> impl Strategy<Value = BackupLabel> {
        let increment = proptest::option::of((any::<u64>(), 1u32..));
        (any::<[u64; 2]>(), 1u32.., any::<bool>(), "[^\r\n\u{FFFD}]{0,40}", increment).prop_map(
            |([start, checkpoint], timeline, primary, label, increment)| {
                let timeline = Timeline::new(timeline).unwrap();
                let mut made = BackupLabel {
                    start: Lsn(start),
                    start_segment: SegmentName::of(timeline, Lsn(start), WalSegmentSize::DEFAULT),
                    checkpoint: Lsn(checkpoint),
                    method: "streamed".to_owned(),
                    from: if primary { BackupFrom::Primary } else { BackupFrom::Standby },
                    start_time: "2026-11-22 06:23:58 UTC".to_owned(),
                    label,
                    timeline,
                    incremental: increment.map(|(lsn, timeline)| IncrementalFrom {
                        lsn: Lsn(lsn),
                        timeline: Timeline::new(timeline).unwrap(),
                    }),
                    raw: Vec::new(),
                };
                made.raw = made.print().into_bytes();
                made
            },
        )
    }

    proptest! {
        #[test]
        fn print_then_parse_gives_the_same(label in any_label()) {
            prop_assert_eq!(BackupLabel::parse(label.print().as_bytes()), Ok(label));
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>, at in 0usize..200) {
            drop(BackupLabel::parse(&bytes));
            let mut near = REAL.as_bytes().to_vec();
            near.splice(at..at + 3, bytes);
            drop(BackupLabel::parse(&near));
        }
    }
}
