//! A new passphrase from the terminal: asked twice, not shown.
//!
//! Promises: it is never an argument and never printed; the terminal shows what is typed again afterwards, whatever happened.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use seawall_engine::words::Passphrase;
use seawall_engine::{Error, Result};

/// Asks for it twice.
pub(super) fn ask_twice() -> Result<Passphrase> {
    if !stdin().is_terminal() {
        return Err(Error::usage(
            "keys.passphrase-missing",
            "there is no terminal to ask for the passphrase at",
        )
        .hint("put it on the only line of a file (chmod 600): --new-passphrase-file FILE"));
    }
    let first = ask("New passphrase: ")?;
    if *first != *ask("The same again: ")? {
        return Err(Error::usage("keys.passphrase-differs", "these were two different passphrases"));
    }
    Ok(Passphrase::from(first.to_string()))
}

fn ask(prompt: &str) -> Result<zeroize::Zeroizing<String>> {
    let unusable = |error| {
        Error::source_side("host.terminal", "the passphrase cannot be asked for at this terminal")
            .because(error)
    };
    let silent = Silent::begin().map_err(|error| unusable(error.into()))?;
    let _shown = write!(stderr(), "{prompt}").and_then(|()| stderr().flush());
    let mut line = zeroize::Zeroizing::new(String::with_capacity(4096));
    let read = stdin().lock().read_line(&mut line);
    drop(silent);
    let _shown = writeln!(stderr());
    read.map_err(unusable)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

/// A terminal that does not show what is typed; as before once this is gone.
struct Silent(Termios);

impl Silent {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing better can be done, and the shell sets its terminal by itself.
        let _set = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}
