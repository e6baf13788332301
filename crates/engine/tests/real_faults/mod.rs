//! Backup and restore over stores that fail: each call of an operation in turn, before and after doing its work, once and for good.
//!
//! What must hold afterwards, whatever failed in one of two regions: a backup succeeded, saying which region was left out; one is
//! listed only in regions from which alone every byte of it can be read; the next backup succeeds everywhere; a restore was served
//! by the other region, or failed with an error that is no bug and left nothing a server could start on.
//!
//! The calls of one undisturbed operation are counted and printed first. The normal suite takes a sample of them, the ignored
//! tests all.

#![expect(clippy::print_stdout, reason = "the number of calls is part of what the test says")]
#![expect(clippy::panic, reason = "a test that cannot go on says why")]
#![expect(clippy::needless_pass_by_value, reason = "closures of the test bench")]
#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

mod backup;
mod bench;
mod restore;
