//! Randomness as an input: whoever makes keys, ids or ephemeral secrets is given a source.
//!
//! Promises nothing about the quality of the source: production passes the operating system's, tests a seeded one.
//! (The age library draws the randomness of the files it makes from the operating system by itself.)

/// A source of random bytes.
pub trait Entropy {
    /// Fills all of `buffer`. A source that cannot deliver must stop the program: a key must never be half random.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// `N` fresh random bytes.
pub(crate) fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
