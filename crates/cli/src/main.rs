//! The `seawall` binary; everything is in the library beside it.

use std::process::ExitCode;

/// In the static binary: musl's own is slow with threads, and gives every large buffer back at once only to ask for it again.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    seawall_cli::main()
}
