//! What must never be shown or passed on a command line, and files that must not be open to others.
//!
//! Promises: no message of this module holds the secret it speaks of.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use seawall_engine::Error;

const MASK: &str = "********";

/// A connection string with its password masked, in both of libpq's forms.
#[must_use]
pub fn masked_connection(text: &str) -> String {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return masked_url(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value)) = split_password(rest) {
        out.push_str(before);
        out.push_str(MASK);
        rest = value.get(value_length(value)..).unwrap_or_default();
    }
    out + rest
}

/// Whether a connection string carries a password.
#[must_use]
pub fn has_password(text: &str) -> bool {
    masked_connection(text) != text
}

/// A URL without user information and without its query's values.
#[must_use]
pub fn masked_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let authority_end = place.find('/').unwrap_or(place.len());
    let (authority, path) = place.split_at_checked(authority_end).unwrap_or((place, ""));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            format!("{}:{MASK}@{host}", user.split(':').next().unwrap_or_default())
        }
        _ => authority.to_owned(),
    };
    let masked = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret_name(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(masked).collect::<Vec<_>>().join("&"));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}{path}{query}")
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "signature", "credential", "sig", "passphrase"]
        .iter()
        .any(|word| name.contains(word))
}

/// Splits behind the next `password =` (or `sslpassword =`), where its value begins.
fn split_password(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find("password") {
        let behind = from + found + "password".len();
        let rest = text.get(behind..)?;
        let value = rest.trim_start();
        if let Some(value) = value.strip_prefix('=') {
            let value = value.trim_start();
            if !value.is_empty() && !value.starts_with(MASK) {
                return text.split_at_checked(text.len() - value.len());
            }
        }
        from = behind;
    }
    None
}

/// Length of a libpq value: quoted, or up to the next space; a backslash takes the next character with it.
fn value_length(text: &str) -> usize {
    let quoted = text.starts_with('\'');
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quoted => return at + 1,
            c if c.is_whitespace() && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// The name of the secret that an argument carries, if it carries one.
#[must_use]
pub fn secret_in_argument(argument: &str) -> Option<&'static str> {
    let upper = argument.to_ascii_uppercase();
    if upper.contains("AGE-SECRET-KEY-") {
        return Some("an age identity");
    }
    if argument.contains("seawall-") && argument.contains("-secret:") {
        return Some("a key of seawall");
    }
    // A conninfo can be the whole argument or stand behind `--flag=`.
    let value =
        if argument.starts_with('-') { argument.split_once('=').map_or("", |(_, v)| v) } else { argument };
    (has_password(value) || (value.contains("://") && masked_url(value) != value)).then_some("a password")
}

/// Refuses arguments that carry secrets: every user of the machine can read them in the process list.
pub fn refuse_in_arguments<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    for (place, argument) in arguments.into_iter().enumerate() {
        if let Some(what) = secret_in_argument(argument) {
            return Err(Error::usage("args.secret", format!("argument {place} holds {what}"))
                .fact("why refused", "every user of this machine can read arguments in the process list")
                .hint("put an identity or key into a file of its own (chmod 600) and name the file: --identity FILE")
                .hint("put a password into ~/.pgpass or the settings file (chmod 600), or use peer authentication")
                .hint("treat the secret as known to others now, and replace it"));
        }
    }
    Ok(())
}

/// Refuses a settings file that others can change, or that they can read while a secret stands in it.
pub fn refuse_open_settings(path: &Path, holds_secret: bool) -> Result<(), Error> {
    let metadata = std::fs::metadata(path).map_err(|source| {
        Error::usage("settings.unreadable", format!("cannot look at {}", path.display())).because(source)
    })?;
    let mode = metadata.mode() & 0o7777;
    let quoted = crate::shell::quoted(&path.to_string_lossy());
    if mode & 0o002 != 0 {
        return Err(Error::usage(
            "settings.writable-by-others",
            format!("everybody can change {}", path.display()),
        )
        .fact("mode", format!("{mode:04o}"))
        .fact("why refused", "whoever changes it decides which repository is believed")
        .hint(format!("chmod o-w {quoted}")));
    }
    if holds_secret && mode & 0o004 != 0 {
        return Err(Error::usage(
            "settings.secret-readable-by-others",
            format!("{} holds a password and everybody can read it", path.display()),
        )
        .fact("mode", format!("{mode:04o}"))
        .hint(format!("chmod o-rwx {quoted}, and replace the password"))
        .hint("or take the password out: peer authentication over the server's socket needs none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn passwords_in_connection_strings_are_masked_in_every_form() {
        let cases = [
            ("host=a password=x user=b", "host=a password=******** user=b"),
            ("password = 'x \\' y' host=a", "password = ******** host=a"),
            ("sslpassword=abc", "sslpassword=********"),
            ("host=a\tpassword=x\\ y z=1", "host=a\tpassword=******** z=1"),
            (
                "postgresql://me:pw@host/db?sslpassword=q&x=1",
                "postgresql://me:********@host/db?sslpassword=********&x=1",
            ),
            ("host=/run user=seawall", "host=/run user=seawall"),
            ("passfile=/x/password", "passfile=/x/password"),
        ];
        for (text, wanted) in cases {
            assert_eq!(masked_connection(text), wanted);
            assert_eq!(has_password(text), text != wanted);
        }
    }

    #[test]
    fn secrets_in_arguments_are_refused_without_being_repeated() {
        let secret = "AGE-SECRET-KEY-1QQQ";
        for bad in [
            secret,
            "--identity=age-secret-key-1qqq",
            "host=x password=abc",
            "--connection=password=abc",
            "postgres://u:abc@h/d",
            "seawall-meta-secret:QUJD",
        ] {
            let error = refuse_in_arguments(["seawall", bad]).unwrap_err();
            assert_eq!(error.id(), "args.secret");
            let said = crate::render::error::page(&error, 2).to_text();
            assert!(!said.contains("abc") && !said.to_uppercase().contains("1QQQ") && !said.contains("QUJD"));
        }
        for good in [
            "--identity=/etc/seawall/identity",
            "age1qqq",
            "file:///backups/pg",
            "-D",
            "/data/password",
            "2026-11-22 10:00:00+01",
            "user@host",
            "password",
        ] {
            assert!(refuse_in_arguments([good]).is_ok(), "{good}");
        }
    }

    #[test]
    fn settings_that_others_can_change_or_secrets_they_can_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seawall.toml");
        std::fs::write(&path, "").unwrap();
        let outcome = |mode, secret| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            refuse_open_settings(&path, secret).map_err(|error| error.id())
        };
        assert_eq!(outcome(0o644, false), Ok(()));
        assert_eq!(outcome(0o640, true), Ok(()));
        assert_eq!(outcome(0o644, true), Err("settings.secret-readable-by-others"));
        assert_eq!(outcome(0o646, false), Err("settings.writable-by-others"));
    }
}
