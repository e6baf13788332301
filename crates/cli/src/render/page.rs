//! What a command has to say, as lines and tables: the only way to a terminal.
//!
//! Promises: every text that enters a [`Page`] is foreign until it leaves through [`Page::write`], which is the one
//! place that makes it harmless ([`seawall_engine::text::shown`]) and adds colour afterwards. So no database, file name
//! or store can move the cursor, and no renderer has to think of it.
//! Deliberately does not know what a report means, and never decides whether there is colour.

use std::io::{self, Write};

use seawall_engine::text::shown;
use unicode_width::UnicodeWidthStr as _;

/// How a piece of text looks where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As the terminal has it.
    Plain,
    /// What the eye should find first.
    Strong,
    /// As it should be.
    Good,
    /// Needs somebody's attention.
    Warn,
    /// Wrong.
    Bad,
    /// Of less weight than what stands around it.
    Dim,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Dim => Some("2"),
        }
    }
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    style: Style,
    text: String,
}

impl Span {
    /// A piece with its look.
    #[must_use]
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self { style, text: text.into() }
    }

    /// A piece without any.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }

    fn width(&self) -> usize {
        shown(&self.text).width()
    }

    fn write(&self, out: &mut dyn Write, colour: bool) -> io::Result<()> {
        let text = shown(&self.text);
        match self.style.code().filter(|_| colour) {
            Some(code) => write!(out, "\u{1b}[{code}m{text}\u{1b}[0m"),
            None => write!(out, "{text}"),
        }
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

/// On which side the cells of a column begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers, sizes, durations.
    Right,
}

/// Rows under a line of headings, each column as wide as its widest cell.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<(Align, String)>,
    rows: Vec<Vec<Span>>,
}

impl Table {
    /// A table with these columns and no rows.
    #[must_use]
    pub fn new(headings: &[(Align, &str)]) -> Self {
        let headings = headings.iter().map(|(align, text)| (*align, (*text).to_owned())).collect();
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row; cells beyond the last column are a mistake of the caller and are shown without a heading.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Span>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).chain([self.headings.len()]).max().unwrap_or(0);
        let cell = |row: &Vec<Span>, column: usize| row.get(column).map_or(0, Span::width);
        (0..columns)
            .map(|column| {
                let heading = self.headings.get(column).map_or(0, |(_, text)| text.width());
                self.rows.iter().map(|row| cell(row, column)).chain([heading]).max().unwrap_or(0)
            })
            .collect()
    }

    fn write(&self, out: &mut dyn Write, indent: usize, colour: bool) -> io::Result<()> {
        let widths = self.widths();
        let headings: Vec<Span> =
            self.headings.iter().map(|(_, text)| Span::new(Style::Dim, text.as_str())).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            self.write_row(out, row, &widths, (indent, colour))?;
        }
        Ok(())
    }

    fn write_row(
        &self,
        out: &mut dyn Write,
        row: &[Span],
        widths: &[usize],
        (indent, colour): (usize, bool),
    ) -> io::Result<()> {
        write!(out, "{:indent$}", "")?;
        // Spaces are owed until something follows them, so no line ends with any.
        let mut owed = 0;
        for (column, (span, width)) in row.iter().zip(widths).enumerate() {
            let padding = width.saturating_sub(span.width());
            let align = self.headings.get(column).map_or(Align::Left, |(align, _)| *align);
            let (before, after) = if align == Align::Right { (padding, 0) } else { (0, padding) };
            if !span.text.is_empty() {
                write!(out, "{:1$}", "", owed + before)?;
                span.write(out, colour)?;
                owed = after + 2;
            } else {
                owed += padding + 2;
            }
        }
        writeln!(out)
    }
}

#[derive(Debug, Clone)]
enum Item {
    Line(usize, Vec<Span>),
    Table(usize, Table),
}

/// Lines and tables in order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    items: Vec<Item>,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line of one piece.
    pub fn line(&mut self, text: impl Into<Span>) -> &mut Self {
        self.spans(0, [text.into()])
    }

    /// Adds a line that begins so many columns to the right.
    pub fn indented(&mut self, indent: usize, text: impl Into<Span>) -> &mut Self {
        self.spans(indent, [text.into()])
    }

    /// Adds a line of several pieces.
    pub fn spans(&mut self, indent: usize, spans: impl IntoIterator<Item = Span>) -> &mut Self {
        self.items.push(Item::Line(indent, spans.into_iter().collect()));
        self
    }

    /// Adds an empty line.
    pub fn blank(&mut self) -> &mut Self {
        self.spans(0, [])
    }

    /// Adds `name: value` lines with the values in one column.
    pub fn facts<'a>(
        &mut self,
        indent: usize,
        facts: impl IntoIterator<Item = (&'a str, String)>,
    ) -> &mut Self {
        let facts: Vec<_> = facts.into_iter().collect();
        let width = facts.iter().map(|(name, _)| name.width() + 1).max().unwrap_or(0);
        for (name, value) in facts {
            let padding = " ".repeat(width.saturating_sub(name.width() + 1) + 1);
            let name = Span::plain(format!("{name}:{padding}"));
            self.spans(indent, [name, Span::plain(value)]);
        }
        self
    }

    /// Adds a table.
    pub fn table(&mut self, indent: usize, table: Table) -> &mut Self {
        self.items.push(Item::Table(indent, table));
        self
    }

    /// Adds another page's content behind this one's.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.items.extend(other.items);
        self
    }

    /// Writes it all: escaped, aligned, and with colour where asked.
    pub fn write(&self, out: &mut dyn Write, colour: bool) -> io::Result<()> {
        for item in &self.items {
            match item {
                Item::Line(_, spans) if spans.is_empty() => writeln!(out)?,
                Item::Line(indent, spans) => {
                    write!(out, "{:1$}", "", *indent)?;
                    for span in spans {
                        span.write(out, colour)?;
                    }
                    writeln!(out)?;
                }
                Item::Table(indent, table) => table.write(out, *indent, colour)?,
            }
        }
        Ok(())
    }

    /// The page as text without colour; for tests and for places that keep text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        // Writing to memory cannot fail.
        let _ok = self.write(&mut out, false);
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_reach_the_terminal_as_a_command() {
        let mut page = Page::new();
        page.line("drop\u{1b}[2J\nme").facts(2, [("name", "a\u{202e}b".to_owned())]);
        let mut table = Table::new(&[(Align::Left, "file")]);
        table.row([Span::new(Style::Bad, "x\u{7}y")]);
        page.table(0, table);
        assert_eq!(page.to_text(), "drop\\u{1b}[2J\\u{a}me\n  name: a\\u{202e}b\nfile\nx\\u{7}y\n");
    }

    #[test]
    fn colour_is_added_behind_the_escaping() {
        let mut page = Page::new();
        page.line(Span::new(Style::Good, "ok\u{1b}"));
        let mut out = Vec::new();
        page.write(&mut out, true).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{1b}[32mok\\u{1b}\u{1b}[0m\n");
    }

    #[test]
    fn columns_are_aligned_by_what_the_eye_sees() {
        let mut table = Table::new(&[(Align::Left, "name"), (Align::Right, "size"), (Align::Left, "note")]);
        table.row(["東京".into(), "5 MiB".into(), "".into()]);
        table.row(["orders".into(), "1.2 GiB".into(), "x".into()]);
        let mut page = Page::new();
        page.table(1, table);
        let wanted = " name       size  note\n 東京      5 MiB\n orders  1.2 GiB  x\n";
        assert_eq!(page.to_text(), wanted);
    }
}
