//! What happens when a process ends otherwise than planned: a panic in any thread, a command line that cannot be read.
//!
//! For most commands a panic is exit code 70. For whatever may be meant as a `restore_command` it is 126: PostgreSQL
//! takes every code from 1 to 125, Rust's own 101 among them, for the end of WAL, and promotes. So a line that was
//! mistyped in `restore_command` must not end with 2 either; [`may_be_fetch`] errs on that side.
//! SIGTERM keeps its default: PostgreSQL takes it for a shutdown and does not promote.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe};

use seawall_engine::text::shown;

use crate::exit;

/// Runs `body` and turns any panic, in whichever thread, into the exit code that harms nobody.
pub fn run(words: &[OsString], body: impl FnOnce() -> u8) -> u8 {
    let fetch = may_be_fetch(words);
    watch(fetch);
    caught(fetch, body)
}

const fn code_of_panic(fetch: bool) -> u8 {
    if fetch { exit::FETCH_FAILED } else { exit::BUG }
}

fn watch(fetch: bool) {
    let code = code_of_panic(fetch);
    panic::set_hook(Box::new(move |info| {
        tell(&info.to_string(), code);
        if fetch {
            // At once and from any thread: what is half done stands under a temporary name and stays without effect.
            end(code);
        }
    }));
}

/// Also a panic that does not pass the hook, and a code that PostgreSQL would misread.
fn caught(fetch: bool, body: impl FnOnce() -> u8) -> u8 {
    let ended = panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(code_of_panic(fetch));
    if fetch && !matches!(ended, 0 | 1) { exit::FETCH_FAILED } else { ended }
}

/// Whether a command line is, or may be meant as, `seawall wal fetch`: it has one of the two words or the name of a WAL
/// file, and is not another `wal` command or `debug`. A slip in one of the words must not become the end of WAL.
#[must_use]
pub fn may_be_fetch(words: &[OsString]) -> bool {
    let arguments = || words.iter().skip(1);
    let has = |wanted: &str| arguments().any(|word| word == wanted);
    let other = ["push", "status", "ack-hole", "help"].into_iter().any(has);
    !other && !is_debug(words) && (has("wal") || has("fetch") || names_wal(words))
}

/// Whether it is `seawall debug`, which names WAL files too: not where `debug` is the value of an option, nor beside `fetch`.
fn is_debug(words: &[OsString]) -> bool {
    let takes_value =
        |word: &OsStr| ["-c", "--config", "--cluster", "--color"].iter().any(|option| word == *option);
    let debug = |pair: &[OsString]| matches!(pair, [before, word] if word == "debug" && !takes_value(before));
    words.windows(2).any(debug) && !words.iter().any(|word| word == "fetch")
}

/// Whether a WAL file's name is among the arguments, as PostgreSQL passes it for `%f`.
#[must_use]
pub fn names_wal(words: &[OsString]) -> bool {
    words.iter().skip(1).any(|word| is_wal_name(word))
}

/// `xlog_internal.h`: 24 hexadecimal digits, those with `.partial` or an offset and `.backup`, or 8 and `.history`.
fn is_wal_name(word: &OsStr) -> bool {
    let Some(name) = word.to_str().and_then(|path| path.rsplit('/').next()) else { return false };
    let (stem, suffix) = name.split_once('.').map_or((name, ""), |(stem, suffix)| (stem, suffix));
    let hexadecimal = stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    let suffix_fits = match stem.len() {
        8 => suffix == "history",
        24 => suffix.is_empty() || suffix == "partial" || suffix.ends_with(".backup"),
        _ => false,
    };
    hexadecimal && suffix_fits
}

fn tell(what: &str, code: u8) {
    let text = format!(
        "error: seawall has a bug: {}\n  hint: please report this line with what was typed\n  [cli.panic, exit {code}]\n",
        shown(what)
    );
    // Where nobody listens, the exit code still tells.
    let _told = std::io::stderr().lock().write_all(text.as_bytes());
}

#[expect(
    clippy::exit,
    reason = "a panic in a helper thread has no other way to end the process with this code"
)]
fn end(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn what_may_be_meant_as_a_restore_command_is_recognised() {
        for line in [
            "seawall wal fetch %f %p",
            "seawall --config /x wal fetch 00000002.history pg_wal/RECOVERYHISTORY",
            "seawall wal ftech 000000010000000000000003 pg_wal/RECOVERYXLOG",
            "seawall wla fetch x y",
            "seawall wal",
            "seawall wla ftech 0000000100000000000000AB.partial x",
            "seawall 000000010000000000000003.00000028.backup",
            "seawall --cluster debug wal ftech 000000010000000000000003 pg_wal/RECOVERYXLOG",
            "seawall debug wal fetch 000000010000000000000003 pg_wal/RECOVERYXLOG",
            "seawall wal ack-hloe 000000010000000000000003 --reason x",
        ] {
            assert!(may_be_fetch(&words(line)), "{line}");
        }
        for line in [
            "seawall wal push pg_wal/000000010000000000000003",
            "seawall wal ack-hole 000000010000000000000003 --reason x",
            "seawall status",
            "seawall help wal fetch",
            "seawall backup",
            "seawall debug index 000000010000000000000003",
            "seawall --json debug wal 000000010000000000000003 --limit 1",
            "wal list",
            "seawall restore -D /x --timeline 00000002",
        ] {
            assert!(!may_be_fetch(&words(line)), "{line}");
        }
    }

    #[test]
    fn only_three_codes_leave_a_fetch() {
        for code in 0..=u8::MAX {
            let wanted = if code <= 1 { code } else { 126 };
            assert_eq!(caught(true, || code), wanted);
        }
        assert_eq!(caught(true, || panic::resume_unwind(Box::new("quiet"))), 126);
        assert_eq!(caught(false, || panic::resume_unwind(Box::new("quiet"))), 70);
        assert_eq!(caught(false, || 4), 4);
    }
}
