//! The one place where secrets leave foreign text before it is shown: commands, connection strings and URLs that somebody wrote
//! into a configuration (`archive_command = 'PGPASSWORD=… pg_…'`).
//!
//! Promises: what follows a name that sounds like a secret, the password of a URL, a token in its place, and texts that are
//! secrets by their form are masked; where the end of a value is unclear, more is masked rather than less. Names of files
//! (`passfile`, `--passphrase-file`) stay. Deliberately a rule of thumb: a secret that nothing marks as one is not recognised.

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// What a name of a secret contains.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accountkey",
    "credential",
    "signature",
    "authorization",
];
/// Names that are one as a whole only.
const WHOLE_NAMES: [&str; 4] = ["sig", "pass", "pw", "key"];
/// How a name of a file, or of a word about a secret that is none, ends.
const NO_SECRET_ENDS: [&str; 7] = ["file", "path", "dir", "command", "_id", "encryption", "required"];
/// How texts begin that are secrets by their form.
const FORMS: [&str; 9] =
    ["AGE-SECRET-KEY-", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "AIza"];
/// User information of a URL without a password that is at least so long is a token and no name.
const TOKEN_CHARS_MIN: usize = 20;

/// The text with what looks like a secret masked.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open = None;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let begins_word = before.is_none_or(|c| !is_name_char(c));
        let found = begins_word.then(|| secret_at(rest, open)).flatten();
        if let Some(found) = found {
            let kept = rest.get(..found.kept).unwrap_or_default();
            open = kept.chars().fold(open, quotes);
            out.push_str(kept);
            out.push_str(MASK);
            at += found.kept + found.hidden;
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        open = quotes(open, c);
        out.push(c);
        at += c.len_utf8();
    }
    out
}

/// Which quotes are open behind a character.
fn quotes(open: Option<char>, c: char) -> Option<char> {
    match open {
        None if c == '\'' || c == '"' => Some(c),
        Some(quote) if quote == c => None,
        open => open,
    }
}

/// So many bytes stay, and so many behind them are a secret.
struct Found {
    kept: usize,
    hidden: usize,
}

fn secret_at(rest: &str, open: Option<char>) -> Option<Found> {
    form(rest).or_else(|| url(rest)).or_else(|| user_option(rest, open)).or_else(|| named(rest, open))
}

/// A text that is a secret by itself.
fn form(rest: &str) -> Option<Found> {
    let is_one =
        FORMS.iter().any(|form| rest.get(..form.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(form)));
    is_one.then(|| Found { kept: 0, hidden: word_length(rest) })
}

/// `scheme://user:password@` and `scheme://token@`.
fn url(rest: &str) -> Option<Found> {
    let scheme = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+.-".contains(c)))?;
    let behind = rest.get(scheme..)?.strip_prefix("://")?;
    let begin = scheme + "://".len();
    let authority = behind
        .get(..behind.find(|c: char| c.is_whitespace() || "/?#\"".contains(c)).unwrap_or(behind.len()))?;
    let user_info = authority.rsplit_once('@')?.0;
    match user_info.split_once(':') {
        Some((_, "")) => None,
        Some((user, password)) => Some(Found { kept: begin + user.len() + 1, hidden: password.len() }),
        None if user_info.chars().count() >= TOKEN_CHARS_MIN => {
            Some(Found { kept: begin, hidden: user_info.len() })
        }
        None => None,
    }
}

/// `-u user:password` and `--user user:password`, as curl has them.
fn user_option(rest: &str, open: Option<char>) -> Option<Found> {
    let option = ["-u", "--user", "--proxy-user"].into_iter().find(|option| {
        rest.strip_prefix(option).is_some_and(|behind| behind.starts_with([' ', '\t', '=']))
    })?;
    let behind = rest.get(option.len()..)?;
    let gap = behind.len() - behind.trim_start_matches([' ', '\t', '=']).len();
    let value = behind.get(gap..)?;
    let word = value.get(..value_length(value, open))?;
    let word = word.strip_suffix(['\'', '"']).filter(|_| word.starts_with(['\'', '"'])).unwrap_or(word);
    let colon = word.find(':')?;
    let hidden = word.len() - colon - 1;
    (hidden > 0).then_some(Found { kept: option.len() + gap + colon + 1, hidden })
}

/// `NAME=value`, `name = value`, `Name: value`, `--name value`.
fn named(rest: &str, open: Option<char>) -> Option<Found> {
    let length = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
    let name = rest.get(..length)?;
    if !is_secret_name(name) {
        return None;
    }
    let behind = rest.get(length..)?;
    let after_gap = behind.trim_start();
    let sign = after_gap.starts_with(['=', ':']);
    let value = if sign { after_gap.get(1..)?.trim_start() } else { after_gap };
    let is_option = name.starts_with("--") && behind.len() > after_gap.len() && !value.starts_with('-');
    if value.is_empty() || value.starts_with(MASK) || !(sign || is_option) {
        return None;
    }
    let hidden = match after_gap.starts_with(':') {
        // A header: all of it, up to the end of its quotes.
        true => open.and_then(|quote| value.find(quote)).unwrap_or(value.len()),
        false => value_length(value, open),
    };
    (hidden > 0).then_some(Found { kept: rest.len() - value.len(), hidden })
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    if NO_SECRET_ENDS.iter().any(|end| name.ends_with(end)) && !name.ends_with("access_key_id") {
        return false;
    }
    NAMES.iter().any(|word| name.contains(word)) || WHOLE_NAMES.contains(&name.as_str())
}

/// Length of a value: up to the next space, `&`, `;` or `|`, or to the end of the quotes that were open before it; quotes that
/// it opens itself belong to it, and a backslash takes the next character with it.
fn value_length(text: &str, open: Option<char>) -> usize {
    let mut own = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match own {
            _ if escaped => escaped = false,
            _ if c == '\\' => escaped = true,
            Some(quote) if quote == c => own = None,
            Some(_) => {}
            None if open == Some(c) => return at,
            None if c == '\'' || c == '"' => own = Some(c),
            None if c.is_whitespace() || "&;|".contains(c) => return at,
            None => {}
        }
    }
    text.len()
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || "'\"&;|@".contains(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_masked_in_every_form_in_which_commands_carry_them() {
        let cases = [
            ("PGPASSWORD=hunter2 pg_receivewal -D /x", "PGPASSWORD=******** pg_receivewal -D /x"),
            ("export PGPASSWORD='a b'; cp %p /x", "export PGPASSWORD=********; cp %p /x"),
            (
                "AWS_SECRET_ACCESS_KEY=abc/d+e aws s3 cp %p s3://b/%f",
                "AWS_SECRET_ACCESS_KEY=******** aws s3 cp %p s3://b/%f",
            ),
            ("AWS_ACCESS_KEY_ID=AKIAX aws s3 cp", "AWS_ACCESS_KEY_ID=******** aws s3 cp"),
            ("host=a password=x user=b", "host=a password=******** user=b"),
            ("password = 'x \\' y' host=a", "password = ******** host=a"),
            ("sslpassword=abc", "sslpassword=********"),
            ("tool --password hunter2 --verbose", "tool --password ******** --verbose"),
            ("tool --password=hunter2 %p", "tool --password=******** %p"),
            ("tool --secret-key \"a b\" %p", "tool --secret-key ******** %p"),
            ("curl -u me:hunter2 -T %p https://h/", "curl -u me:******** -T %p https://h/"),
            ("curl --user 'me:hunter2' -T %p", "curl --user 'me:********' -T %p"),
            (
                "curl -H 'Authorization: Bearer abc.def' https://h/%f",
                "curl -H 'Authorization: ********' https://h/%f",
            ),
            ("curl -H \"X-Api-Key: abc\" https://h/", "curl -H \"X-Api-Key: ********\" https://h/"),
            ("curl https://me:hunter2@host/%f", "curl https://me:********@host/%f"),
            ("git push https://0123456789abcdef01234@h/x", "git push https://********@h/x"),
            (
                "azcopy %p 'https://a.blob/x?sv=1&sig=abc%3D&se=2'",
                "azcopy %p 'https://a.blob/x?sv=1&sig=********&se=2'",
            ),
            ("x https://h/%f?X-Amz-Signature=abc&y=1", "x https://h/%f?X-Amz-Signature=********&y=1"),
            ("sh -c 'TOKEN=abc cp %p /x' next", "sh -c 'TOKEN=******** cp %p /x' next"),
            (
                "psql \"host=a password=x\" -c \"select 1\"",
                "psql \"host=a password=********\" -c \"select 1\"",
            ),
            ("x AccountKey=abc==;Endpoint=y", "x AccountKey=********;Endpoint=y"),
            ("age -i AGE-SECRET-KEY-1QQQ x", "age -i ******** x"),
            ("x ghp_abcdefghij y", "x ******** y"),
        ];
        for (text, wanted) in cases {
            assert_eq!(masked(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        for text in [
            "/usr/bin/seawall -c /etc/seawall.toml wal push %p",
            "test ! -f /mnt/%f && cp %p /mnt/%f",
            "rsync -a %p postgres@backup:/srv/wal/%f",
            "scp -i /home/me/.ssh/key %p ssh://backup@host/x",
            "host=old user=repl passfile=/x/password sslkey=/x/key",
            "restic --password-file /etc/restic/password backup %p",
            "PGPASSFILE=/home/me/.pgpass pg_receivewal",
            "pgbackrest --stanza=main archive-push %p",
            "psql --no-password --password",
            "password",
            "https://host:443/path",
            "pg_stat_statements, auto_explain",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_masked_without_a_panic_and_masking_twice_changes_nothing(text in ".*") {
            let once = masked(&text);
            prop_assert_eq!(masked(&once), once);
        }

        #[test]
        fn a_password_never_survives_whatever_stands_around_it(
            before in "[ a-z'\"/%&;=-]{0,20}", secret in "[A-Z0-9]{12,20}", after in "[ a-z'\"/%&;=-]{0,20}"
        ) {
            for marked in [format!("{before} PGPASSWORD={secret} {after}"), format!("{before} http://u:{secret}@h/{after}")] {
                prop_assert!(!masked(&marked).contains(&secret), "{} became {}", marked, masked(&marked));
            }
        }
    }
}
