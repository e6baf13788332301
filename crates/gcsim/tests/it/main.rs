//! The simulator against clients that are not ours, and against what Google's documentation says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests stop at the first surprise"
)]

mod faults;
mod json;
mod persistence;
mod protection;
mod python;
mod races;
mod resumable;
mod rights;
mod suite;
mod support;
mod xml;
