//! Whether `archive_command` is this program with these settings.
//!
//! Reads the command as a shell splits words; what a shell could do beyond that (variables, pipes, a script) is not guessed:
//! such a command is reported as one that cannot be recognised.

use std::path::{Path, PathBuf};

/// What the server should run.
#[derive(Debug, Clone)]
pub struct ExpectedCommand {
    /// The whole command, as `init --configure-postgres` sets it.
    pub command: String,
    /// This program.
    pub program: PathBuf,
    /// The settings file of this run.
    pub settings: PathBuf,
    /// The one that is read when none is named.
    pub default_settings: PathBuf,
}

/// What is wrong with the server's command; none where it is as expected.
pub(super) fn fault(found: &str, expected: &ExpectedCommand) -> Option<String> {
    if found == expected.command {
        return None;
    }
    let words = words(found);
    let mut rest = words.iter().map(String::as_str).peekable();
    let mut settings = expected.default_settings.clone();
    while let Some((name, value)) = rest.peek().and_then(|word| word.split_once('=')) {
        if name == "SEAWALL_CONFIG" {
            settings = PathBuf::from(value);
        }
        rest.next();
    }
    let program = rest.next().unwrap_or_default();
    if Path::new(program).file_name() != expected.program.file_name() {
        return Some("it does not run seawall, or not in a way that can be recognised".to_owned());
    }
    if program.contains('/') && !is_same(Path::new(program), &expected.program) {
        return Some(format!("it runs {program}, and this is {}", expected.program.display()));
    }
    let rest: Vec<&str> = rest.collect();
    let pushes = rest.windows(2).any(|pair| pair == ["wal", "push"]);
    if !pushes || !rest.contains(&"%p") {
        return Some("it does not run `wal push %p`".to_owned());
    }
    if let Some(named) = named_settings(&rest) {
        settings = PathBuf::from(named);
    }
    let other = !is_same(&settings, &expected.settings);
    other.then(|| {
        format!("it uses the settings {}, and this run {}", settings.display(), expected.settings.display())
    })
}

fn named_settings<'a>(words: &[&'a str]) -> Option<&'a str> {
    let apart = words.windows(2).find_map(|pair| match pair {
        ["-c" | "--config", value] => Some(*value),
        _ => None,
    });
    apart.or_else(|| words.iter().find_map(|word| word.strip_prefix("--config=")))
}

/// One file under two names is the same; one that is not there is only what it is called.
fn is_same(left: &Path, right: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(left) == real(right)
}

/// Words with their quotes taken off and the server's `%%` read as `%`.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.iter().map(|word| word.replace("%%", "%")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> ExpectedCommand {
        ExpectedCommand {
            command: "'/opt/a b/seawall' --config /etc/x.toml wal push %p".to_owned(),
            program: "/opt/a b/seawall".into(),
            settings: "/etc/x.toml".into(),
            default_settings: "/etc/seawall/seawall.toml".into(),
        }
    }

    #[test]
    fn the_same_said_otherwise_is_recognised() {
        for command in [
            "'/opt/a b/seawall' --config /etc/x.toml wal push %p",
            "\"/opt/a b/seawall\" wal push -c /etc/x.toml \"%p\"",
            "/opt/a\\ b/seawall --config=/etc/x.toml wal push %p",
            "SEAWALL_CONFIG=/etc/x.toml seawall wal push %p",
        ] {
            assert_eq!(fault(command, &expected()), None, "{command}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        for (command, told) in [
            ("cp %p /backup/%f", "does not run seawall"),
            ("/bin/true", "does not run seawall"),
            ("", "does not run seawall"),
            ("/usr/bin/seawall wal push %p", "it runs /usr/bin/seawall"),
            ("seawall wal push", "`wal push %p`"),
            ("seawall wal fetch %f %p", "`wal push %p`"),
            ("seawall wal push %p", "the settings /etc/seawall/seawall.toml"),
            ("seawall -c /etc/y.toml wal push %p", "the settings /etc/y.toml"),
        ] {
            let fault = fault(command, &expected()).unwrap_or_default();
            assert!(fault.contains(told), "{command}: {fault}");
        }
    }
}
