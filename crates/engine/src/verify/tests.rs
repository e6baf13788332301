//! Verify as a whole, on repositories in memory that are made by the same builders as real ones.

mod cases;
mod chapters;
mod copies;
mod endless;
pub(crate) mod ground;
mod healed;
mod indexes;
mod links;
mod matrix;
mod pruned;
mod records;
mod scale;
