//! The `seawall` binary; everything is in the library beside it.

use std::process::ExitCode;

/// The allocator of the released, static binary would otherwise be musl's, which serves one thread at a time; with the same one
/// everywhere, tests run on what is handed out.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seawall_cli::main()
}
