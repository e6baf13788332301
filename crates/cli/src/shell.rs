//! Words as a POSIX shell reads them, so that a hint can be pasted.

/// A word in quotes where it needs them.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A whole command.
#[must_use]
pub fn command<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The same command with another value behind an option, whether it stood as `--option value` or `--option=value`.
#[must_use]
pub fn with_option(words: &[String], option: &str, value: &str) -> String {
    let mut changed: Vec<String> = Vec::with_capacity(words.len());
    let mut is_value = false;
    for word in words {
        if is_value {
            changed.push(value.to_owned());
            is_value = false;
        } else if word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')) {
            changed.push(format!("{option}={value}"));
        } else {
            is_value = word == option;
            changed.push(word.clone());
        }
    }
    command(&changed)
}

/// The same command without these options that take a value and without these that take none.
#[must_use]
pub fn without(words: &[String], with_value: &[&str], alone: &[&str]) -> String {
    command(&words_without(words, with_value, alone))
}

/// The same, word by word.
#[must_use]
pub fn words_without(words: &[String], with_value: &[&str], alone: &[&str]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    let mut is_value = false;
    for word in words {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        if std::mem::take(&mut is_value) || alone.contains(&word.as_str()) {
            continue;
        }
        if with_value.contains(&name) {
            is_value = name == word;
            continue;
        }
        kept.push(word.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_real_shell() {
        for word in ["plain", "", "two words", "it's", "$HOME `x` \"y\" \\z", "*", "a\nb", "-D", "~/x"] {
            let script = format!("printf %s {}", quoted(word));
            let out = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }

    #[test]
    fn one_option_is_replaced_and_the_rest_stays() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let apart = words(&["seawall", "restore", "--at", "10:00", "-D", "/a b"]);
        assert_eq!(with_option(&apart, "--at", "11:00 Z"), "seawall restore --at '11:00 Z' -D '/a b'");
        let joined = words(&["seawall", "restore", "--at=10:00"]);
        assert_eq!(with_option(&joined, "--at", "11:00"), "seawall restore --at=11:00");
        let both = words(&["seawall", "--at", "x y", "--lsn=0/1", "--latest", "-D", "--at"]);
        assert_eq!(without(&both, &["--at", "--lsn"], &["--latest"]), "seawall -D");
    }
}
