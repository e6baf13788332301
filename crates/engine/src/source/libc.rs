//! The version of this host's C library, which decides how text is sorted by locales that are not `C`.
//!
//! Asked of `getconf`, because the library that this program was linked with may be another. Promise: none where it is not told
//! in the form that is known, as on hosts with a C library other than glibc.

use std::process::Command;

/// Such as `2.36`: in the words in which PostgreSQL records it as a collation's version.
#[must_use]
pub fn version() -> Option<String> {
    // Without an environment: its name is looked for where the system has it.
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").env_clear().output().ok()?;
    output.status.success().then_some(())?;
    version_in(&String::from_utf8(output.stdout).ok()?)
}

fn version_in(text: &str) -> Option<String> {
    let version = text.trim().strip_prefix("glibc ")?;
    let is_one = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_one.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_form_is_a_version() {
        assert_eq!(version_in("glibc 2.36\n").as_deref(), Some("2.36"));
        for text in ["", "glibc \n", "musl 1.2", "glibc x", "undefined\n"] {
            assert_eq!(version_in(text), None, "{text}");
        }
    }
}
