//! Retention against random histories, a plain reference, and what examples say.
//!
//! A history that fails is named by its number: `Dice::new(number)` makes it again.

mod examples;
mod gaps;
mod properties;
mod reach;
mod reference;
mod world;
