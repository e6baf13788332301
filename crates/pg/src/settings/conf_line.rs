//! Single lines of `postgresql.conf` and its kin.
//!
//! Promises: reads what the server's lexer reads (`src/backend/utils/misc/guc-file.l`) and refuses the rest, so that a
//! restore can tell which lines name commands or other files before it puts them back.

/// One line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfLine {
    /// Nothing, or a comment.
    Blank,
    /// A setting and its value, unquoted. Names keep their case; the server ignores it.
    Setting {
        /// The setting's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// An order to read other files.
    Include {
        /// In which way.
        kind: IncludeKind,
        /// Which, as written: relative to the file's own directory unless absolute.
        path: String,
    },
}

/// In which way other files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeKind {
    /// `include`: it must exist.
    File,
    /// `include_if_exists`.
    FileIfExists,
    /// `include_dir`: every `*.conf` inside, in name order.
    Directory,
}

/// Why a line is none that the server reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line that PostgreSQL reads as a setting: {text:?}")]
pub struct ConfLineError {
    /// The line.
    pub text: String,
}

/// Reads one line, without or with its line end.
pub fn parse_conf_line(line: &str) -> Result<ConfLine, ConfLineError> {
    parse(line).ok_or_else(|| ConfLineError { text: line.trim_end().chars().take(200).collect() })
}

fn parse(line: &str) -> Option<ConfLine> {
    let line = line.trim_matches(is_space);
    if is_end(line) {
        return Some(ConfLine::Blank);
    }
    let (name, rest) = take_name(line)?;
    let rest = rest.trim_start_matches(is_space);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches(is_space);
    let (value, rest) = take_value(rest)?;
    if !is_end(rest.trim_start_matches(is_space)) {
        return None;
    }
    let kind = match name.to_ascii_lowercase().as_str() {
        "include" => IncludeKind::File,
        "include_if_exists" => IncludeKind::FileIfExists,
        "include_dir" => IncludeKind::Directory,
        _ => return Some(ConfLine::Setting { name: name.to_owned(), value }),
    };
    Some(ConfLine::Include { kind, path: value })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('#')
}

/// Letters of names; the server takes every non-ASCII character for one.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn take_name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(is_letter(c) || c.is_ascii_digit() || c == '$' || c == '.'));
    let (name, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let well_formed = name.split('.').all(|part| part.starts_with(is_letter)) && name.split('.').count() <= 2;
    well_formed.then_some((name, rest))
}

fn take_value(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return take_quoted(quoted);
    }
    let is_bare = |c: char| is_letter(c) || c.is_ascii_digit() || "-._:/+$".contains(c);
    let end = text.find(|c| !is_bare(c)).unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end)?;
    (!value.is_empty()).then(|| (value.to_owned(), rest))
}

/// What follows an opening quote: `''` and `\'` are a quote, backslash escapes are those of C.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '\'' => match rest.as_str().strip_prefix('\'') {
                Some(after) => {
                    value.push('\'');
                    rest = after.chars();
                }
                None => return Some((value, rest.as_str())),
            },
            '\\' => rest = push_escape(&mut value, rest.as_str())?.chars(),
            '\n' => return None,
            c => value.push(c),
        }
    }
}

/// Reads what follows a backslash and returns what follows that.
fn push_escape<'a>(value: &mut String, text: &'a str) -> Option<&'a str> {
    let octal = text.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if octal > 0 {
        let (digits, rest) = text.split_at_checked(octal)?;
        // Above 127 it would be a byte of some encoding, which text cannot hold.
        let code = u32::from_str_radix(digits, 8).ok().filter(|code| *code < 128)?;
        value.push(char::from_u32(code)?);
        return Some(rest);
    }
    let mut chars = text.chars();
    value.push(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    });
    Some(chars.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setting(name: &str, value: &str) -> Result<ConfLine, ConfLineError> {
        Ok(ConfLine::Setting { name: name.to_owned(), value: value.to_owned() })
    }

    #[test]
    fn lines_are_read_as_the_server_does() {
        assert_eq!(
            parse_conf_line("max_connections = 100\t\t\t# (change requires restart)\n"),
            setting("max_connections", "100")
        );
        assert_eq!(parse_conf_line("wal_level=replica"), setting("wal_level", "replica"));
        assert_eq!(parse_conf_line("port 5432"), setting("port", "5432"));
        assert_eq!(parse_conf_line("shared_buffers = 128MB"), setting("shared_buffers", "128MB"));
        assert_eq!(parse_conf_line("a.b = -1.5e+3"), setting("a.b", "-1.5e+3"));
        assert_eq!(
            parse_conf_line("archive_command = 'cp \"%p\" ''x'' \\'y\\' \\134\\t#'  # note\r\n"),
            setting("archive_command", "cp \"%p\" 'x' 'y' \\\t#")
        );
        assert_eq!(parse_conf_line("application_name = ''"), setting("application_name", ""));
    }

    #[test]
    fn includes_and_blanks_are_told_apart() {
        for blank in ["", "\n", "  # x = 1", "\t"] {
            assert_eq!(parse_conf_line(blank), Ok(ConfLine::Blank));
        }
        for (line, kind) in [
            ("include 'x.conf'", IncludeKind::File),
            ("INCLUDE_IF_EXISTS = 'x.conf'", IncludeKind::FileIfExists),
            ("include_dir 'x.conf'", IncludeKind::Directory),
        ] {
            assert_eq!(parse_conf_line(line), Ok(ConfLine::Include { kind, path: "x.conf".to_owned() }));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for bad in [
            "port",
            "port =",
            "= 1",
            "1port = 2",
            "port = 1 2",
            "port == 1",
            "port = 'x",
            "port = 'x\\",
            "a.b.c = 1",
            "a. = 1",
            "x = 'a\nb'",
            "x = '\\377'",
            "port = (1)",
        ] {
            assert_eq!(parse_conf_line(bad), Err(ConfLineError { text: bad.to_owned() }));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_a_panic(text: String) {
            drop(parse_conf_line(&text));
            drop(parse_conf_line(&format!("x = '{text}")));
        }
    }
}
