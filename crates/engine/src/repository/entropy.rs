//! The world's randomness in the shape the repository format asks for.

use seawall_repo::entropy::Entropy;
use seawall_store::World;

/// Draws from the world; ends the program when there is no randomness, because a key must never be half random.
#[derive(Debug)]
pub struct WorldEntropy<'a>(&'a World);

impl<'a> WorldEntropy<'a> {
    /// From this world.
    #[must_use]
    pub fn new(world: &'a World) -> Self {
        Self(world)
    }
}

impl Entropy for WorldEntropy<'_> {
    #[expect(clippy::expect_used, reason = "a key made of predictable bytes is worse than no backup")]
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.random.fill(buffer).expect("the system gives random bytes");
    }
}
