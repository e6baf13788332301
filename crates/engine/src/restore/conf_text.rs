//! Changing the text of a PostgreSQL configuration file as little as needed.
//!
//! Promises: lines that are not named stay byte for byte, also those that are no UTF-8 or that the server would refuse; a line
//! that goes out of force stays visible as a comment.

use seawall_pg::settings::{ConfLine, parse_conf_line};

/// In front of a line that was put out of force.
pub const COMMENTED_OUT: &str = "# before the restore: ";

/// A setting found in a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FoundSetting {
    /// The file, as a person would name it.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The setting, in lower case.
    pub name: String,
    /// Its value, unquoted.
    pub value: String,
}

/// Every setting in a file, in its order. Lines that the server would refuse are left out.
#[must_use]
pub fn settings_in(file: &str, content: &[u8]) -> Vec<FoundSetting> {
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    let settings = lines.filter_map(|(index, line)| {
        let (name, value) = setting_of(line)?;
        Some(FoundSetting { file: file.to_owned(), line: index + 1, name, value })
    });
    settings.collect()
}

fn setting_of(line: &[u8]) -> Option<(String, String)> {
    match parse_conf_line(&String::from_utf8_lossy(line)) {
        Ok(ConfLine::Setting { name, value }) => Some((name.to_ascii_lowercase(), value)),
        Ok(ConfLine::Blank | ConfLine::Include { .. }) | Err(_) => None,
    }
}

/// The content with every line that sets one of these commented out.
#[must_use]
pub fn comment_out(content: &[u8], is_named: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(256));
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if setting_of(line).is_some_and(|(name, _)| is_named(&name)) {
            out.extend_from_slice(COMMENTED_OUT.as_bytes());
        }
        out.extend_from_slice(line);
    }
    out
}

/// The content with these settings: what set them before is commented out, the new lines stand at the end under `heading`.
/// Values are given as they are to be written, quoted where needed.
#[must_use]
pub fn with_settings(content: &[u8], heading: &str, settings: &[(String, String)]) -> Vec<u8> {
    let mut out = comment_out(content, |name| settings.iter().any(|(set, _)| set == name));
    if out.last().is_some_and(|byte| *byte != b'\n') {
        out.push(b'\n');
    }
    if settings.is_empty() {
        return out;
    }
    out.extend(format!("# {heading}\n").into_bytes());
    for (name, value) in settings {
        out.extend(format!("{name} = {value}\n").into_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_lines_change_and_stay_readable() {
        let content = b"# a comment\nport = 5432\nArchive_Command 'cp %p /x'\n\xff\xfe = 1\ninclude 'x'\nbroken line here\n";
        let changed = comment_out(content, |name| name == "archive_command");
        let expected =
            b"# a comment\nport = 5432\n# before the restore: Archive_Command 'cp %p /x'\n\xff\xfe = 1\ninclude 'x'\nbroken line here\n";
        assert_eq!(changed.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn settings_are_found_with_their_lines() {
        let found = settings_in("postgresql.conf", b"port = 5432 # x\n\nPORT = '5433'\n");
        assert_eq!(
            found.iter().map(|f| (f.line, f.value.as_str())).collect::<Vec<_>>(),
            [(1, "5432"), (3, "5433")]
        );
    }

    #[test]
    fn new_lines_stand_at_the_end_of_a_file_without_a_last_line_end() {
        let set = [("port".to_owned(), "5".to_owned())];
        assert_eq!(
            String::from_utf8(with_settings(b"port = 4", "why", &set)).unwrap(),
            "# before the restore: port = 4\n# why\nport = 5\n"
        );
    }
}
