//! How deep a verification looks, where, and how long it may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::source::Niceness;

/// How deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes and manifests.
    Quick,
    /// That, and a share of the objects, drawn anew each time, read whole.
    Sample(Share),
    /// Every object read, and its stored bytes held against what was signed: needs no private key.
    Stored,
    /// That, and opened as far as the keys allow.
    Full,
}

impl Depth {
    /// Whether every object is read whole.
    #[must_use]
    pub fn reads_all(self) -> bool {
        matches!(self, Self::Stored | Self::Full)
    }

    /// One word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Sample(_) => "sample",
            Self::Stored => "stored",
            Self::Full => "full",
        }
    }
}

/// A share of all objects, in millionths: from one in a million to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wanted a share of the objects, more than 0% and at most 100%, such as 5% or 0.5%")]
pub struct ShareError;

const MILLION: u32 = 1_000_000;

impl Share {
    /// Whether an object is in the sample that `seed` draws: a name is in or out for the whole run, whoever asks.
    #[must_use]
    pub fn holds(self, seed: u64, name: &str) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        let drawn =
            hasher.finalize().as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // The remainder favours small numbers by less than one in 10^13.
        drawn % u64::from(MILLION) < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let digits = text.strip_suffix('%').ok_or(ShareError)?;
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(part) || part.len() > 4 {
            return Err(ShareError);
        }
        let whole: u32 = whole.parse().map_err(|_| ShareError)?;
        let part: u32 = format!("{part:0<4}").parse().map_err(|_| ShareError)?;
        let millionths =
            whole.checked_mul(10_000).and_then(|whole| whole.checked_add(part)).ok_or(ShareError)?;
        if (1..=MILLION).contains(&millionths) { Ok(Self(millionths)) } else { Err(ShareError) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        match format!("{part:04}").trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            part => write!(f, "{whole}.{part}%"),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// How deep.
    pub depth: Depth,
    /// The one region to judge; without it, all.
    pub region: Option<String>,
    /// Reading ends in order after so many bytes; the place is remembered. Depths that read all only.
    pub budget_bytes: Option<u64>,
    /// Reading ends in order after so long; the place is remembered. Depths that read all only.
    pub budget_time: Option<Duration>,
    /// Threads that check; 0: one a CPU.
    pub workers: usize,
    /// How far they step back.
    pub niceness: Niceness,
}

impl VerifyOptions {
    /// Whether this run is one of several that together read everything.
    #[must_use]
    pub fn is_budgeted(&self) -> bool {
        self.budget_bytes.is_some() || self.budget_time.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_shown() {
        for (text, shown) in
            [("5%", "5%"), ("100%", "100%"), ("0.5%", "0.5%"), ("0.0001%", "0.0001%"), ("12.50%", "12.5%")]
        {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), shown);
        }
        for text in ["0%", "101%", "100.1%", "5", "%", "-1%", ".5%", "1.00001%", "99999999999%"] {
            assert_eq!(text.parse::<Share>(), Err(ShareError), "{text}");
        }
    }

    #[test]
    fn a_sample_has_about_its_share_and_another_seed_draws_others() {
        let share: Share = "5%".parse().unwrap();
        let drawn = |seed| {
            (0..20_000).filter(|n| share.holds(seed, &format!("orders/7/wal/{n}"))).collect::<Vec<u32>>()
        };
        let (one, two) = (drawn(1), drawn(2));
        assert!((800..1200).contains(&one.len()), "{}", one.len());
        assert_eq!(one, drawn(1));
        assert_ne!(one, two);
        assert_eq!(
            (0..100).filter(|n| "100%".parse::<Share>().unwrap().holds(7, &n.to_string())).count(),
            100
        );
    }
}
