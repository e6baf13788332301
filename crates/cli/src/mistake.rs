//! A mistake on the command line as an error of ours, for programs; a person reads the command line library's own words.
//!
//! Promises: the same words either way: what is wrong is the message, each suggestion a hint, the usage a fact.

use clap::error::ErrorKind;
use seawall_engine::Error;

/// Stable.
const ID: &str = "usage.arguments";

/// Whether a command line that may not parse asks for JSON. Behind `--` nothing is an option.
#[must_use]
pub fn asks_for_json(words: &[String]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// The error that a command line which does not parse amounts to.
#[must_use]
pub fn error(error: &clap::Error) -> Error {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::usage(ID, "a command is missing").hint("seawall --help lists the commands");
    }
    // Without colour: paragraphs for what is wrong, suggestions, usage, and where help is.
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n").map(joined);
    let what = paragraphs.next().unwrap_or_default();
    let mut told = Error::usage(ID, what.strip_prefix("error: ").unwrap_or(&what));
    for line in text.lines().map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            told = told.hint(tip);
        }
    }
    match paragraphs.find_map(|text| text.strip_prefix("Usage: ").map(str::to_owned)) {
        Some(usage) => told.fact("usage", usage),
        None => told,
    }
}

/// A paragraph in one line.
fn joined(paragraph: &str) -> String {
    paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn of(line: &str) -> Error {
        error(&Cli::try_parse_from(line.split(' ')).unwrap_err())
    }

    #[test]
    fn a_suggestion_is_a_hint_and_the_usage_a_fact() {
        let option = of("seawall list --regoin north");
        assert_eq!(option.to_string(), "unexpected argument '--regoin' found");
        assert_eq!(option.hints(), ["a similar argument exists: '--region'"]);
        assert_eq!(option.facts(), [("usage", "seawall list --region <NAME>".to_owned())]);
        assert_eq!(of("seawall bakcup").hints(), ["a similar subcommand exists: 'backup'"]);
        assert_eq!(
            of("seawall list --color sometimes").to_string(),
            "invalid value 'sometimes' for '--color <WHEN>' [possible values: auto, always, never]"
        );
    }

    #[test]
    fn everything_that_is_missing_is_in_one_line() {
        let said = of("seawall key add-writer").to_string();
        assert_eq!(
            said,
            "the following required arguments were not provided: --label <TEXT> --output <FILE>"
        );
        assert_eq!(of("seawall").to_string(), "a command is missing");
        assert_eq!(of("seawall wal").to_string(), "a command is missing");
    }

    #[test]
    fn what_is_no_option_asks_for_nothing() {
        let asks = |line: &str| asks_for_json(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(asks("seawall --json bakcup"));
        assert!(!asks("seawall wal push -- --json"));
    }
}
