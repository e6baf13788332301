//! The one place where foreign text becomes harmless: whatever a database, a file name or a store can influence passes
//! here before it is shown.
//!
//! Terminal text loses control characters, escape codes, bidirectional overrides and invalid UTF-8 (each is shown as
//! `\u{…}` or `\x..`). JSON is encoded by its own library; HTML and metrics get their functions when they are there.

use std::fmt::Write as _;

/// Text as a terminal may show it: printable characters stay, all else is shown escaped.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ok = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// Bytes (a file's name, say) as a terminal may show them.
#[must_use]
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&shown(chunk.valid()));
        for byte in chunk.invalid() {
            let _ok = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    let direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let invisible = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    !(c.is_control() || direction || invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_codes_and_line_breaks_are_shown_and_not_obeyed() {
        assert_eq!(shown("a\u{1b}[31mred\r\nb"), "a\\u{1b}[31mred\\u{d}\\u{a}b");
        assert_eq!(shown("\u{202e}evil"), "\\u{202e}evil");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert_eq!(shown("Zürich 'orders' \"x\" 東京"), "Zürich 'orders' \"x\" 東京");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(shown_bytes(b"base/\xff1"), "base/\\xff1");
    }
}
