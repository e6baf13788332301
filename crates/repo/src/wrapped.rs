//! Keys wrapped for people: small age files inside signed records. Any age program opens them.
//!
//! Promises: any one entry is enough to get at the keys; whoever cannot is told which recipients could. What is unwrapped
//! is wiped when dropped. (age draws its own randomness from the operating system.)

use std::fmt;
use std::io::{Read, Write};

use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base64_field::Base64Bytes;
use crate::entropy::Entropy;
use crate::identity::{Identities, Recipient, RecipientError};
use crate::keys::{ClusterSecret, KEY_BYTES, MetaKey, OwnerKey, key_from_base64};

/// Work to open a passphrase entry: scrypt with N = 2^18, about a second and 256 MiB.
const SCRYPT_LOG_N: u8 = 18;
/// The most work that an entry found in a repository may ask for.
const SCRYPT_LOG_N_MAX: u8 = 20;
/// Longest plain text of an entry.
const PLAIN_BYTES_MAX: u64 = 4096;

/// One wrapping of a record's secret text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Wrapped {
    /// For holders of age identities.
    X25519 {
        /// Who can open it.
        recipients: Vec<Recipient>,
        /// The age file.
        age: Base64Bytes,
    },
    /// For whoever knows a passphrase.
    Passphrase {
        /// The age file.
        age: Base64Bytes,
    },
    /// A way of a later version; skipped.
    #[serde(other)]
    Unknown,
}

/// Whom to wrap for.
#[derive(Debug, Clone, Copy)]
pub enum WrapFor<'a> {
    /// These recipients, at least one.
    Recipients(&'a [Recipient]),
    /// A passphrase.
    Passphrase(&'a SecretString),
}

/// Why keys could not be wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Nobody to wrap for.
    #[error("no recipient given")]
    NoRecipients,
    /// A recipient that is none.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// Nothing given opens any entry.
    #[error("no identity given can open this; {}", who_could(.recipients, *.passphrase))]
    WrongIdentity {
        /// Who could.
        recipients: Vec<Recipient>,
        /// Whether a passphrase would do.
        passphrase: bool,
    },
    /// An entry that was opened or should open, but is damaged.
    #[error("wrapped key is damaged: {reason}")]
    Damaged {
        /// In what way.
        reason: String,
    },
}

fn who_could(recipients: &[Recipient], passphrase: bool) -> String {
    let mut who: Vec<String> =
        recipients.iter().map(|recipient| format!("the identity of {recipient}")).collect();
    if passphrase {
        who.push("the passphrase".to_owned());
    }
    if who.is_empty() {
        "it names nobody who could".to_owned()
    } else {
        format!("needed: {}", who.join(" or "))
    }
}

fn damaged(error: impl fmt::Display) -> WrapError {
    WrapError::Damaged { reason: error.to_string() }
}

/// Both secrets of a cluster and generation, as `key/` records wrap them.
#[derive(Debug, Clone)]
pub struct ClusterKeys {
    /// What hosts hold too.
    pub meta: MetaKey,
    /// What only holders of an identity hold.
    pub secret: ClusterSecret,
}

#[derive(Deserialize)]
struct ClusterKeysText<'a> {
    meta: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
struct OwnerText<'a> {
    owner: &'a str,
}

impl ClusterKeys {
    /// Fresh ones.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { meta: MetaKey::generate(entropy), secret: ClusterSecret::generate(entropy) }
    }

    /// Wraps them, one entry for each of `to`.
    pub fn wrap(&self, to: &[WrapFor<'_>]) -> Result<Vec<Wrapped>, WrapError> {
        let secret = Zeroizing::new(self.secret.as_static().to_bytes());
        let (meta, secret) = (base64_of(self.meta.as_bytes()), base64_of(&secret));
        wrap_all(&json_of(&[("meta", &meta), ("secret", &secret)]), to)
    }

    /// Unwraps them with whatever identity fits.
    pub fn unwrap(wrapped: &[Wrapped], identities: &Identities) -> Result<Self, WrapError> {
        let text = unwrap_any(wrapped, identities)?;
        let keys: ClusterKeysText<'_> = serde_json::from_slice(&text).map_err(|_| not_as_documented())?;
        let meta = key_from_base64(keys.meta).ok_or_else(not_as_documented)?;
        let secret = key_from_base64(keys.secret).ok_or_else(not_as_documented)?;
        Ok(Self { meta: MetaKey::from_bytes(*meta), secret: ClusterSecret::from_bytes(*secret) })
    }
}

impl OwnerKey {
    /// Wraps the owner's key, one entry for each of `to`.
    pub fn wrap(&self, to: &[WrapFor<'_>]) -> Result<Vec<Wrapped>, WrapError> {
        wrap_all(&json_of(&[("owner", &base64_of(self.seed()))]), to)
    }

    /// Unwraps it with whatever identity fits.
    pub fn unwrap(wrapped: &[Wrapped], identities: &Identities) -> Result<Self, WrapError> {
        let text = unwrap_any(wrapped, identities)?;
        let owner: OwnerText<'_> = serde_json::from_slice(&text).map_err(|_| not_as_documented())?;
        key_from_base64(owner.owner).map(|seed| Self::from_seed(*seed)).ok_or_else(not_as_documented)
    }
}

/// What stands inside is not shown: it is secret.
fn not_as_documented() -> WrapError {
    damaged("what was wrapped is not a key text")
}

fn base64_of(key: &[u8; KEY_BYTES]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(48));
    BASE64_STANDARD.encode_string(key, &mut text);
    text
}

/// A JSON object of texts that need no escapes, written once into memory that is wiped.
fn json_of(fields: &[(&str, &Zeroizing<String>)]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    for (index, (name, value)) in fields.iter().enumerate() {
        let parts = [if index == 0 { "{\"" } else { ",\"" }, name, "\":\"", value, "\""];
        parts.iter().for_each(|part| text.extend_from_slice(part.as_bytes()));
    }
    text.push(b'}');
    text
}

fn wrap_all(plain: &[u8], to: &[WrapFor<'_>]) -> Result<Vec<Wrapped>, WrapError> {
    if to.is_empty() {
        return Err(WrapError::NoRecipients);
    }
    to.iter().map(|to| wrap(plain, *to, SCRYPT_LOG_N)).collect()
}

fn wrap(plain: &[u8], to: WrapFor<'_>, log_n: u8) -> Result<Wrapped, WrapError> {
    match to {
        WrapFor::Recipients([]) => Err(WrapError::NoRecipients),
        WrapFor::Recipients(recipients) => {
            let keys = recipients.iter().map(Recipient::to_age).collect::<Result<Vec<_>, _>>()?;
            let encryptor = Encryptor::with_recipients(keys.iter().map(|key| key as _));
            let age = age_file(encryptor.map_err(damaged)?, plain).map_err(damaged)?;
            Ok(Wrapped::X25519 { recipients: recipients.to_vec(), age })
        }
        WrapFor::Passphrase(passphrase) => {
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(log_n);
            let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _)).map_err(damaged)?;
            Ok(Wrapped::Passphrase { age: age_file(encryptor, plain).map_err(damaged)? })
        }
    }
}

fn age_file(encryptor: Encryptor, plain: &[u8]) -> std::io::Result<Base64Bytes> {
    let mut age = Vec::new();
    let mut writer = encryptor.wrap_output(&mut age)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(Base64Bytes(age))
}

/// The plain text of the first entry that something in `identities` opens.
fn unwrap_any(wrapped: &[Wrapped], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let (mut who, mut by_passphrase, mut first_damage) = (Vec::new(), false, None);
    for entry in wrapped {
        let tried = match entry {
            Wrapped::Unknown => continue,
            Wrapped::X25519 { recipients, age } => {
                who.extend(recipients.iter().cloned());
                let keys: Vec<&dyn age::Identity> =
                    identities.age_keys().iter().map(|key| key as _).collect();
                open_age(&age.0, &keys)
            }
            Wrapped::Passphrase { age } => {
                by_passphrase = true;
                open_by_passphrase(&age.0, identities.passphrases())
            }
        };
        match tried {
            Ok(Some(plain)) => return Ok(plain),
            Ok(None) => {}
            // Another entry may still be whole: the damage counts only if none opens.
            Err(error) => first_damage = first_damage.or(Some(error)),
        }
    }
    Err(first_damage.unwrap_or(WrapError::WrongIdentity { recipients: who, passphrase: by_passphrase }))
}

fn open_by_passphrase(
    file: &[u8],
    passphrases: &[SecretString],
) -> Result<Option<Zeroizing<Vec<u8>>>, WrapError> {
    for passphrase in passphrases {
        let mut identity = scrypt::Identity::new(SecretString::from(passphrase.expose_secret().to_owned()));
        identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
        if let Some(plain) = open_age(file, &[&identity])? {
            return Ok(Some(plain));
        }
    }
    Ok(None)
}

/// The plain text of an age file; none if no identity fits.
fn open_age(file: &[u8], identities: &[&dyn age::Identity]) -> Result<Option<Zeroizing<Vec<u8>>>, WrapError> {
    let decryptor = Decryptor::new_buffered(file).map_err(damaged)?;
    let reader = match decryptor.decrypt(identities.iter().copied()) {
        Ok(reader) => reader,
        // For a passphrase entry "decryption failed" is what a wrong passphrase looks like.
        Err(
            DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed,
        ) => {
            return Ok(None);
        }
        Err(error) => return Err(damaged(error)),
    };
    let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN_BYTES_MAX as usize));
    reader.take(PLAIN_BYTES_MAX).read_to_end(&mut plain).map_err(damaged)?;
    Ok(Some(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Seeded;

    fn keys() -> ClusterKeys {
        ClusterKeys::generate(&mut Seeded::new(9))
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn each_of_several_identities_opens_and_the_record_round_trips() {
        let (one, two) = (Identities::generate(), Identities::generate());
        let recipients = [one.recipients(), two.recipients()].concat();
        let wrapped = keys().wrap(&[WrapFor::Recipients(&recipients)]).unwrap();
        let text = serde_json::to_string(&wrapped).unwrap();
        assert!(text.starts_with("[{\"type\":\"x25519\",\"recipients\":[\"age1"), "{text}");
        let read: Vec<Wrapped> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, wrapped);
        for identities in [&one, &two] {
            let opened = ClusterKeys::unwrap(&read, identities).unwrap();
            assert_eq!(opened.meta.as_bytes(), keys().meta.as_bytes());
            assert_eq!(opened.secret.public(), keys().secret.public());
        }
    }

    #[test]
    fn a_wrong_identity_is_told_who_could() {
        let (right, wrong) = (Identities::generate(), Identities::generate());
        let wrapped = keys().wrap(&[WrapFor::Recipients(&right.recipients())]).unwrap();
        let error = ClusterKeys::unwrap(&wrapped, &wrong).unwrap_err();
        assert_eq!(error, WrapError::WrongIdentity { recipients: right.recipients(), passphrase: false });
        assert!(error.to_string().contains(right.recipients()[0].as_str()), "{error}");
        assert!(ClusterKeys::unwrap(&wrapped, &Identities::passphrase("x")).is_err());
        let mut both = wrong;
        both.merge(right);
        assert!(ClusterKeys::unwrap(&wrapped, &both).is_ok());
    }

    #[test]
    fn a_passphrase_opens_and_a_wrong_one_does_not() {
        let plain = json_of(&[("owner", &base64_of(&[3; 32]))]);
        let wrapped = [wrap(&plain, WrapFor::Passphrase(&secret("correct horse")), 4).unwrap()];
        let read: Vec<Wrapped> = serde_json::from_str(&serde_json::to_string(&wrapped).unwrap()).unwrap();
        assert_eq!(
            OwnerKey::unwrap(&read, &Identities::passphrase("correct horse")).unwrap().seed(),
            &[3; 32]
        );
        let error = OwnerKey::unwrap(&read, &Identities::passphrase("battery")).unwrap_err();
        assert_eq!(error, WrapError::WrongIdentity { recipients: vec![], passphrase: true });
    }

    #[test]
    fn an_entry_asking_for_too_much_work_is_refused() {
        let plain = json_of(&[("owner", &base64_of(&[3; 32]))]);
        let Wrapped::Passphrase { age } = wrap(&plain, WrapFor::Passphrase(&secret("x")), 4).unwrap() else {
            panic!("a passphrase entry");
        };
        let at = age.0.windows(3).position(|bytes| bytes == b" 4\n").expect("the work factor's place");
        let mut heavy = age.0.clone();
        heavy.splice(at..at + 3, *b" 40\n");
        let heavy = [Wrapped::Passphrase { age: Base64Bytes(heavy) }];
        assert!(matches!(
            OwnerKey::unwrap(&heavy, &Identities::passphrase("x")),
            Err(WrapError::Damaged { .. })
        ));
    }

    #[test]
    fn damage_is_not_taken_for_a_wrong_identity() {
        let identity = Identities::generate();
        let wrapped = keys().wrap(&[WrapFor::Recipients(&identity.recipients())]).unwrap();
        let [Wrapped::X25519 { recipients, age }] = &wrapped[..] else { panic!("one entry") };
        let with = |age: Vec<u8>| [Wrapped::X25519 { recipients: recipients.clone(), age: Base64Bytes(age) }];
        for (what, bytes) in [
            ("flipped at its end", {
                let mut bytes = age.0.clone();
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }),
            ("truncated", age.0[..age.0.len() - 1].to_vec()),
            ("empty", vec![]),
        ] {
            let result = ClusterKeys::unwrap(&with(bytes), &identity);
            assert!(matches!(result, Err(WrapError::Damaged { .. })), "{what}: {result:?}");
        }
        // A whole entry beside a damaged one is enough.
        let [broken] = with(vec![]);
        assert!(ClusterKeys::unwrap(&[broken, wrapped[0].clone()], &identity).is_ok());
    }

    #[test]
    fn ways_of_later_versions_are_skipped() {
        let read: Vec<Wrapped> = serde_json::from_str("[{\"type\":\"kms\",\"key\":\"x\"}]").unwrap();
        assert_eq!(read, [Wrapped::Unknown]);
        assert!(matches!(
            ClusterKeys::unwrap(&read, &Identities::generate()),
            Err(WrapError::WrongIdentity { .. })
        ));
    }

    #[test]
    fn nobody_to_wrap_for_is_an_error() {
        assert_eq!(keys().wrap(&[]), Err(WrapError::NoRecipients));
        assert_eq!(keys().wrap(&[WrapFor::Recipients(&[])]), Err(WrapError::NoRecipients));
    }
}
