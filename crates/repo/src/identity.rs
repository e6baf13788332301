//! Identities: who can read a repository. A file with age secret keys and, where one person is both, the owner's key;
//! or a passphrase.
//!
//! Promises: a file that age made is an identity file here, and age reads the age lines of ours; an error names the line
//! and never shows it. Deliberately reads no file and asks nobody: texts come from the caller. (New age keys take their
//! randomness from the operating system, inside the age library.)

use std::fmt;
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::x25519;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::keys::{OwnerKey, OwnerPublic};

/// A passphrase: wiped when dropped, never printed.
pub type Passphrase = SecretString;

/// The words of a passphrase.
pub fn words_of(passphrase: &Passphrase) -> &str {
    passphrase.expose_secret()
}

/// How the secret line of an age identity begins.
const AGE_SECRET_PREFIX: &str = "AGE-SECRET-KEY-";

/// The public half of an identity: `age1…`. What is wrapped for it, its holder can open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient(String);

/// A text that is not a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a recipient: {shown:?}, wanted a public key such as age1… ({reason})")]
pub struct RecipientError {
    shown: String,
    reason: &'static str,
}

impl Recipient {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_age(&self) -> Result<x25519::Recipient, RecipientError> {
        age_recipient(&self.0)
    }
}

fn age_recipient(text: &str) -> Result<x25519::Recipient, RecipientError> {
    // Whoever pastes the secret half by mistake must not find it in a log.
    let secret = text.to_ascii_uppercase().starts_with(AGE_SECRET_PREFIX);
    let shown = if secret { "(a secret key)".to_owned() } else { text.chars().take(80).collect() };
    text.parse().map_err(|reason| RecipientError { shown, reason })
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        age_recipient(text).map(|recipient| Self(recipient.to_string()))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not an identity file. Says which line and nothing of what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A line that is neither a key nor a comment.
    #[error("line {line} is neither a key nor a comment (its text is not shown, it may be secret)")]
    UnknownLine {
        /// The line's number, from 1.
        line: usize,
    },
    /// A line that begins as a key and is none.
    #[error("line {line} should be {what}, but is damaged (its text is not shown)")]
    DamagedKey {
        /// The line's number, from 1.
        line: usize,
        /// Which key.
        what: &'static str,
    },
    /// No key at all.
    #[error("holds no key")]
    Empty,
}

/// Everything somebody can open wrapped keys with, and the owner's keys that were found with it.
#[derive(Default)]
pub struct Identities {
    keys: Vec<x25519::Identity>,
    passphrases: Vec<SecretString>,
    owners: Vec<OwnerKey>,
}

impl Identities {
    /// A fresh age identity, and nothing else.
    pub fn generate() -> Self {
        Self { keys: vec![x25519::Identity::generate()], ..Self::default() }
    }

    /// A passphrase.
    pub fn passphrase(passphrase: &str) -> Self {
        Self::of_passphrase(Passphrase::from(passphrase.to_owned()))
    }

    /// A passphrase that was read already.
    pub fn of_passphrase(passphrase: Passphrase) -> Self {
        Self { passphrases: vec![passphrase], ..Self::default() }
    }

    /// Adds the owner's key, so that it is printed with the identity.
    pub fn with_owner(mut self, owner: OwnerKey) -> Self {
        self.owners.push(owner);
        self
    }

    /// Reads an identity file: age secret keys and owner's keys, one a line; comments begin with `#`.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let mut found = Self::default();
        for (index, line) in text.lines().enumerate() {
            found.add_line(line.trim(), index + 1)?;
        }
        if found.keys.is_empty() && found.owners.is_empty() {
            return Err(IdentityError::Empty);
        }
        Ok(found)
    }

    fn add_line(&mut self, text: &str, line: usize) -> Result<(), IdentityError> {
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        if text.starts_with(AGE_SECRET_PREFIX) {
            let what = "an age secret key";
            let key = text.parse().map_err(|_: &str| IdentityError::DamagedKey { line, what })?;
            self.keys.push(key);
        } else if OwnerKey::is_text(text) {
            let damaged =
                |error: crate::keys::KeyTextError| IdentityError::DamagedKey { line, what: error.what };
            self.owners.push(OwnerKey::from_text(text).map_err(damaged)?);
        } else {
            return Err(IdentityError::UnknownLine { line });
        }
        Ok(())
    }

    /// The identity file. A secret. Passphrases are not in it.
    pub fn print(&self) -> Zeroizing<String> {
        // Room for all, so that growing leaves no copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(512 * (self.keys.len() + self.owners.len())));
        for key in &self.keys {
            text.push_str("# a seawall identity: whoever has it can read every backup; keep it away from database hosts\n");
            text.push_str(&format!("# public key: {}\n", key.to_public()));
            text.push_str(key.to_string().expose_secret());
            text.push('\n');
        }
        for owner in &self.owners {
            text.push_str("# the repository owner's key: whoever has it can name new writers and keys\n");
            text.push_str(&format!("# owner: {}\n", owner.public()));
            text.push_str(&owner.to_text());
            text.push('\n');
        }
        text
    }

    /// These and those.
    pub fn merge(&mut self, mut others: Self) {
        self.keys.append(&mut others.keys);
        self.passphrases.append(&mut others.passphrases);
        self.owners.append(&mut others.owners);
    }

    /// The public halves of the age keys.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.keys.iter().map(|key| Recipient(key.to_public().to_string())).collect()
    }

    /// The owner's key with this public half.
    pub fn owner(&self, public: &OwnerPublic) -> Option<&OwnerKey> {
        self.owners.iter().find(|owner| owner.public() == *public)
    }

    /// All owner's keys found.
    pub fn owners(&self) -> &[OwnerKey] {
        &self.owners
    }

    pub(crate) fn age_keys(&self) -> &[x25519::Identity] {
        &self.keys
    }

    /// All passphrases brought.
    pub fn passphrases(&self) -> &[Passphrase] {
        &self.passphrases
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, passphrases) = (self.recipients(), self.passphrases.len());
        write!(f, "Identities(secrets of {keys:?}, {passphrases} passphrases, owners {:?})", self.owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Seeded;

    fn with_owner() -> Identities {
        Identities::generate().with_owner(OwnerKey::generate(&mut Seeded::new(1)))
    }

    #[test]
    fn the_file_round_trips() {
        let identities = with_owner();
        let read = Identities::parse(&identities.print()).unwrap();
        assert_eq!(read.recipients(), identities.recipients());
        let public = identities.owners()[0].public();
        assert_eq!(read.owner(&public).unwrap().seed(), identities.owners()[0].seed());
        assert!(read.owner(&OwnerPublic::from_bytes([1; 32])).is_none());
        assert!(!format!("{read:?}").contains(AGE_SECRET_PREFIX));
    }

    #[test]
    fn comments_blanks_and_windows_line_ends_are_read() {
        let text = with_owner().print().replace('\n', "\r\n\r\n  # note\r\n");
        assert_eq!(Identities::parse(&text).unwrap().owners().len(), 1);
    }

    #[test]
    fn an_error_names_the_line_and_does_not_show_it() {
        let text = with_owner().print();
        let secret = text.lines().find(|line| line.starts_with(AGE_SECRET_PREFIX)).unwrap().to_owned();
        let mut damaged = secret.clone();
        damaged.replace_range(20..22, if &secret[20..22] == "QQ" { "PP" } else { "QQ" });
        let cases = [
            (format!("\n{damaged}\n"), IdentityError::DamagedKey { line: 2, what: "an age secret key" }),
            (
                "seawall-owner-secret:hunter2".to_owned(),
                IdentityError::DamagedKey { line: 1, what: "an owner's secret key" },
            ),
            ("# ok\nhunter2".to_owned(), IdentityError::UnknownLine { line: 2 }),
            (secret.to_lowercase(), IdentityError::UnknownLine { line: 1 }),
            ("# nothing\n".to_owned(), IdentityError::Empty),
        ];
        for (text, wanted) in cases {
            let error = Identities::parse(&text).unwrap_err();
            assert_eq!(error, wanted);
            assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(&damaged[16..]));
        }
    }

    #[test]
    fn recipients_are_checked_and_a_pasted_secret_is_not_shown() {
        let identities = Identities::generate();
        let text = identities.recipients()[0].to_string();
        assert_eq!(text.parse::<Recipient>().unwrap().as_str(), text);
        assert!("age1qqqq".parse::<Recipient>().is_err());
        let secret = identities.print().lines().last().unwrap().to_owned();
        let error = secret.parse::<Recipient>().unwrap_err().to_string();
        assert!(!error.contains(&secret[16..]), "{error}");
    }
}
