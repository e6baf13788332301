//! The words of a line of `pg_hba.conf` or `pg_ident.conf`, as far as they name files.
//!
//! As `next_token` in `src/backend/libpq/hba.c`: separated by space or commas, quoted by `"`, ended by `#`.

use seawall_pg::settings::IncludeKind;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether it began with a quote: then `@` and `include` are plain text.
    is_quoted: bool,
}

impl Word {
    /// The way to include, when this is the word for one.
    pub(super) fn include_kind(&self) -> Option<IncludeKind> {
        match self.text.as_str() {
            _ if self.is_quoted => None,
            "include" => Some(IncludeKind::File),
            "include_if_exists" => Some(IncludeKind::FileIfExists),
            "include_dir" => Some(IncludeKind::Directory),
            _ => None,
        }
    }

    /// The file of names that this word stands for, as in `@admins`.
    pub(super) fn name_list(&self) -> Option<&str> {
        let name = self.text.strip_prefix('@')?;
        (!self.is_quoted && !name.is_empty()).then_some(name)
    }
}

pub(super) fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut present: Option<Word> = None;
    let mut in_quotes = false;
    for c in line.chars() {
        match c {
            '#' if !in_quotes => break,
            c if (c.is_ascii_whitespace() || c == ',') && !in_quotes => words.extend(present.take()),
            '"' => {
                in_quotes = !in_quotes;
                present.get_or_insert(Word { text: String::new(), is_quoted: true });
            }
            c => present.get_or_insert(Word { text: String::new(), is_quoted: false }).text.push(c),
        }
    }
    words.extend(present);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(line: &str) -> Vec<String> {
        split(line).iter().filter_map(Word::name_list).map(str::to_owned).collect()
    }

    #[test]
    fn lists_are_found_between_commas_and_not_in_quotes_or_comments() {
        assert_eq!(lists("local @dbs,postgres  +x,@admins,\"@no\" peer # @no"), ["dbs", "admins"]);
        assert_eq!(lists("local all @\"with space\" peer"), ["with space"]);
    }

    #[test]
    fn includes_are_words_and_not_quoted() {
        let kind = |line: &str| split(line).first().and_then(Word::include_kind);
        assert_eq!(kind("include_dir conf.d"), Some(IncludeKind::Directory));
        assert_eq!(kind("\"include\" x"), None);
        assert_eq!(kind("local all all peer"), None);
    }
}
